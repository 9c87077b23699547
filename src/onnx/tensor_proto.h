// Constants of a file: payloads, typed or raw, inside the file or beside it.
#pragma once

#include <filesystem>

#include "base/tensor.h"
#include "onnx/model.h"

namespace cupel {

// The tensor of a message. Nothing is allocated before the payload's size is known to equal the declared one. bad_input
// for a payload of another size, values outside the type, and external data that breaks the rules of read_beneath
// or has keys other than location, offset, length and checksum. Errors have an empty place.
Result<Tensor> read_tensor(const TensorFields& fields, const std::filesystem::path& folder);

}  // namespace cupel
