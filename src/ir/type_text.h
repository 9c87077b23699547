// Text of types, as in graph text; large tables of parameters are named by content hash and kept in a store.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "base/tensor.h"
#include "ir/type.h"

namespace cupel {

// Large constants by content hash (base/hash.h content_hash).
using ConstantStore = std::map<std::string, Tensor, std::less<>>;

// "u8[batch,3] quant(scale=[0x1p-4], zero_point=[3])"; adds to `store` when it is not null.
std::string print_type(const TensorType& type, ConstantStore* store);
// bad_input with place "<name>:LINE:COLUMN".
Result<TensorType> parse_type(std::string_view text, const ConstantStore& store, std::string_view name);

}  // namespace cupel
