// Attributes of nodes between ONNX's form and the Graph's. Private to src/onnx.
#pragma once

#include <filesystem>

#include "ir/op_def.h"
#include "onnx/model.h"

namespace cupel {

// The value of an attribute; unsupported for subgraphs, lists of strings, NaN and the like, bad_input for one
// without a value. Errors have an empty place.
Result<Attribute> read_attribute(const AttributeFields& fields, const std::filesystem::path& folder);

// Drops attributes that change nothing (momentum; stash_type = 1; …).
void drop_harmless(const OpDef& op, Attributes& attributes);

}  // namespace cupel
