// Older and foreign forms of operators turned into the canonical ones. Private to src/onnx.
#pragma once

#include <string_view>

#include "onnx/importer.h"

namespace cupel {

// Edits the node until its operands and attributes are those of the newest opset, adding constants and nodes before it.
// Errors have an empty place.
Status upgrade(Importer& importer, NodeDraft& node);

// The part of it that concerns opsets 1 to 6 alone, which comes first.
Status upgrade_first_opsets(Importer& importer, NodeDraft& node);

// Whether an upgrade turns this operator, which the op table has not, into others. Operators outside ai.onnx are
// written "domain.name".
bool is_upgraded_away(std::string_view op);

// QuantizeLinear and DequantizeLinear: scale and zero point become attributes (axis only for more than one scale).
Status upgrade_quantization(Importer& importer, NodeDraft& node);
// The parameters in such attributes.
QuantParams params_of(const Attributes& attributes);

}  // namespace cupel
