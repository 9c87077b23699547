// Canonical operators turned into the forms of an older opset. Private to src/onnx.
#pragma once

#include "onnx/exporter.h"

namespace cupel {

// The least opset that can express the node, at least 13; operators with a spelling count as expressible everywhere.
int least_opset(const Graph& graph, const Node& node);

// Edits the node into the exporter's opset.
Status downgrade(Exporter& exporter, const Node& node, NodeDraft& draft);

// Whether spell_out knows the operator.
bool has_spelling(std::string_view op);
// Adds the nodes that stand for an operator which the opset lacks and turns the draft into the last of them.
Status spell_out(Exporter& exporter, const Node& node, NodeDraft& draft);

}  // namespace cupel
