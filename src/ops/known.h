// Known elements of operands: shape arithmetic over constants and the symbolic batch.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "ir/op_def.h"

namespace cupel::ops {

using Contents = std::optional<std::vector<Dim>>;

// Known elements of operand i; null when it is absent or computed at run time.
inline const std::vector<Dim>* contents_of(const InferContext& c, size_t i) {
  return i < c.contents.size() ? c.contents[i] : nullptr;
}

// The elements of operand i: its contents, or those of a constant of any size; unsupported when they are computed at
// run time.
Result<std::vector<Dim>> known_elements(const InferContext& c, size_t i, std::string_view what);

// The elements of operand i, which may be symbolic; unsupported when they are not known, bad_input when the operand is
// no integer tensor of rank 1 (of rank 0 or 1 with `scalar`).
Result<std::vector<Dim>> known_dims(const InferContext& c, size_t i, std::string_view what, bool scalar = false);

// bad_input unless operand i is s64 or s32 and of rank 1 (0 or 1 with `scalar`).
Status expect_integers(const InferContext& c, size_t i, std::string_view what, bool scalar = false);

// Elements of an integer tensor at run time.
std::vector<int64_t> integers_of(const Tensor& t);

// fold_contents of ops that keep the row-major elements of operand 0.
Result<Contents> same_contents(const InferContext& c);

}  // namespace cupel::ops
