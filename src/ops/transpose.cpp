// Transpose: result dimension k is operand dimension perm[k]; without perm the order is reversed.
#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "ir/graph.h"
#include "ops/known.h"
#include "ops/move.h"
#include "ops/op_table.h"
#include "ops/rules.h"

namespace cupel {
namespace {

using namespace ops;

Result<std::vector<int64_t>> permutation(const Attributes& attributes, size_t rank) {
  std::vector<int64_t> perm(rank);
  std::iota(perm.rbegin(), perm.rend(), 0);
  if (!has_attr(attributes, "perm")) return perm;
  perm = attr_ints(attributes, "perm");
  std::vector<bool> seen(rank, false);
  bool valid = perm.size() == rank;
  for (int64_t axis : perm) {
    valid = valid && axis >= 0 && axis < static_cast<int64_t>(rank) && !seen[static_cast<size_t>(axis)];
    if (valid) seen[static_cast<size_t>(axis)] = true;
  }
  if (!valid)
    return bad_input("", fmt::format("perm {} is no permutation of {} axes", to_text(perm), rank),
                     "correct the attribute");
  return perm;
}

Result<Types> infer_transpose(const InferContext& c) {
  const auto perm = CUPEL_TRY(permutation(c.attributes, c.shape(0).size()));
  Shape shape;
  for (int64_t axis : perm) shape.push_back(c.shape(0)[static_cast<size_t>(axis)]);
  return Types{CUPEL_TRY(addressed_type(c, 0, std::move(shape)))};
}

Result<Contents> fold_transpose(const InferContext& c) {
  return c.shape(0).size() <= 1 ? same_contents(c) : std::nullopt;
}

Status reference_transpose(const EvalContext& c) {
  const Tensor& x = c.in(0);
  const auto perm = CUPEL_TRY(permutation(c.attributes, x.dims().size()));
  const Dims own = strides_of(x.dims());
  Dims strides;
  for (int64_t axis : perm) strides.push_back(own[static_cast<size_t>(axis)]);
  move_elements(c.threads, element_bytes(x.dtype()), c.out().dims(), std::move(strides), x.bytes().data(),
                strides_of(c.out().dims()), c.out().mutable_bytes().data());
  return {};
}

}  // namespace

namespace ops {
const OpDef kTranspose{.name = "Transpose",
                       .attributes = {{"perm", AttributeKind::integers}},
                       .quant_rule = QuantRule::same,
                       .codes_since_opset = 1,
                       .elements = Elements::moved,
                       .infer = infer_transpose,
                       .fold_contents = fold_transpose,
                       .reference = reference_transpose,
                       .samples = {R"(graph "transpose" stage imported opset 17 {
  input %x : f32[batch,3,5,7]
  %y = Transpose(%x) {perm=[0,2,3,1]}
  output %y
})",
                                   R"(graph "transpose_heads" stage imported opset 17 {
  input %x : f32[batch,5,2,8]
  %y = Transpose(%x) {perm=[0,2,1,3]}
  output %y
})",
                                   R"(graph "transpose_reversed" stage imported opset 17 {
  input %x : f32[17,33]
  %y = Transpose(%x)
  output %y
})",
                                   R"(graph "transpose_codes" stage integer opset 17 {
  input %x : u8[batch,3,5] quant(scale=[0x1p-7], zero_point=[128])
  %y = Transpose(%x) {perm=[0,2,1]}
  output %y
})"}};
}  // namespace ops
}  // namespace cupel
