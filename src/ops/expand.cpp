// Expand (broadcast to a shape), Tile (whole repetitions along every axis) and ExpandBatch (one item for the whole
// batch).
#include <fmt/format.h>

#include <algorithm>

#include "ir/graph.h"
#include "ops/known.h"
#include "ops/move.h"
#include "ops/op_table.h"
#include "ops/rules.h"

namespace cupel {
namespace {

using namespace ops;

Status expect_not_negative(const std::vector<Dim>& values, std::string_view what) {
  for (const Dim& d : values)
    if (d.factor < 0)
      return bad_input("", fmt::format("{} {} holds the negative number {}", what, to_text(values), to_text(d)),
                       "correct the model's shapes");
  return {};
}

Result<Types> infer_expand(const InferContext& c) {
  const std::vector<Dim> wanted = CUPEL_TRY(known_dims(c, 1, "the shape"));
  CUPEL_TRY(expect_not_negative(wanted, "the wanted shape"));
  return Types{CUPEL_TRY(addressed_type(c, 0, CUPEL_TRY(broadcast_shapes(c.shape(0), wanted))))};
}

// Of one known element, repeated to a vector of constant length.
Result<Contents> fold_expand(const InferContext& c) {
  const std::vector<Dim>*x = contents_of(c, 0), *wanted = contents_of(c, 1);
  if (x == nullptr || wanted == nullptr || wanted->size() > 1 || c.shape(0).size() > 1) return std::nullopt;
  const Dim length = wanted->empty() ? Dim(1) : (*wanted)[0];
  if (x->size() != 1 || length == Dim(1)) return *x;
  if (!length.is_constant() || length.factor < 0 || length.factor > 64) return std::nullopt;
  return std::vector<Dim>(static_cast<size_t>(length.factor), (*x)[0]);
}

Status reference_expand(const EvalContext& c) {
  const Tensor& x = c.in(0);
  const Dims& dims = c.out().dims();
  move_elements(c.threads, element_bytes(x.dtype()), dims, broadcast_strides(x.dims(), dims), x.bytes().data(),
                strides_of(dims), c.out().mutable_bytes().data());
  return {};
}

Result<Types> infer_tile(const InferContext& c) {
  const std::vector<Dim> repeats = CUPEL_TRY(known_dims(c, 1, "repeats"));
  CUPEL_TRY(expect_not_negative(repeats, "repeats"));
  Shape shape = c.shape(0);
  if (repeats.size() != shape.size())
    return bad_input("", fmt::format("{} repeats for an operand of rank {}", repeats.size(), shape.size()),
                     "export the model again");
  for (size_t i = 0; i < shape.size(); ++i) shape[i] = CUPEL_TRY(dim_mul(shape[i], repeats[i]));
  return Types{CUPEL_TRY(addressed_type(c, 0, std::move(shape)))};
}

Status reference_tile(const EvalContext& c) {
  const Tensor& x = c.in(0);
  const Tensor& y = c.out();
  if (y.empty()) return {};
  // Every axis becomes (repeat, index); the repeat does not move in the source.
  const Dims own = strides_of(x.dims()), result = strides_of(y.dims());
  Dims dims, source, target;
  for (size_t i = 0; i < own.size(); ++i) {
    dims.insert(dims.end(), {y.dims()[i] / x.dims()[i], x.dims()[i]});
    source.insert(source.end(), {0, own[i]});
    target.insert(target.end(), {x.dims()[i] * result[i], result[i]});
  }
  move_elements(c.threads, element_bytes(x.dtype()), std::move(dims), std::move(source), x.bytes().data(),
                std::move(target), c.out().mutable_bytes().data());
  return {};
}

// y[n, …] = x[0, …] for every n below the leading dimension of the second operand, whose elements do not matter.
Result<Types> infer_expand_batch(const InferContext& c) {
  Shape shape = c.shape(0);
  if (shape.empty() || shape[0] != Dim(1))
    return bad_input("", fmt::format("operand 0 has shape {}, expected a leading dimension of 1", to_text(shape)),
                     "export the model again");
  if (c.shape(1).empty())
    return bad_input("", "operand 1 has no dimension to take the batch from", "export the model again");
  shape[0] = c.shape(1)[0];
  return Types{CUPEL_TRY(addressed_type(c, 0, std::move(shape)))};
}

}  // namespace

namespace ops {
const OpDef kExpandBatch{.name = "ExpandBatch",
                         .since_opset = 0,
                         .min_inputs = 2,
                         .max_inputs = 2,
                         .quant_rule = QuantRule::same,
                         .codes_since_opset = 8,
                         .elements = Elements::moved,
                         .parameters_from = 1,
                         .infer = infer_expand_batch,
                         .reference = reference_expand,
                         .spelled_by = "expand to the shape of another value",
                         .samples = {R"(graph "expand_batch" stage simplified opset 17 {
  input %x : f32[batch,4]
  constant %token : f32[1,3] = [1.5, -2.0, 3.25]
  %y = ExpandBatch(%token, %x)
  output %y
})",
                                     R"(graph "expand_batch_codes" stage integer opset 17 {
  input %x : f32[batch,4]
  constant %token : u8[1,1,3] quant(scale=[0x1p-7], zero_point=[128]) = [1, 2, 255]
  %y = ExpandBatch(%token, %x)
  output %y
})"}};

const OpDef kExpand{.name = "Expand",
                    .since_opset = 8,
                    .min_inputs = 2,
                    .max_inputs = 2,
                    .quant_rule = QuantRule::same,
                    .codes_since_opset = 8,
                    .elements = Elements::moved,
                    .parameters_from = 1,
                    .infer = infer_expand,
                    .fold_contents = fold_expand,
                    .reference = reference_expand,
                    .samples = {R"(graph "expand" stage imported opset 17 {
  input %x : f32[batch,1,5]
  constant %shape : s64[4] = [2, 1, 3, 1]
  %y = Expand(%x, %shape)
  output %y
})",
                                R"(graph "expand_last" stage imported opset 17 {
  input %x : f32[batch,3,1]
  constant %shape : s64[2] = [3, 7]
  %y = Expand(%x, %shape)
  output %y
})",
                                R"(graph "expand_codes" stage integer opset 17 {
  input %x : u8[batch,1,3] quant(scale=[0x1p-7], zero_point=[128])
  constant %shape : s64[3] = [1, 4, 3]
  %y = Expand(%x, %shape)
  output %y
})"}};

const OpDef kTile{.name = "Tile",
                  .min_inputs = 2,
                  .max_inputs = 2,
                  .quant_rule = QuantRule::same,
                  .codes_since_opset = 6,
                  .elements = Elements::moved,
                  .parameters_from = 1,
                  .infer = infer_tile,
                  .reference = reference_tile,
                  .samples = {R"(graph "tile" stage imported opset 17 {
  input %x : f32[batch,2,3]
  constant %repeats : s64[3] = [1, 3, 2]
  %y = Tile(%x, %repeats)
  output %y
})",
                              R"(graph "tile_batch" stage imported opset 17 {
  input %x : f32[batch,5]
  constant %repeats : s64[2] = [2, 1]
  %y = Tile(%x, %repeats)
  output %y
})",
                              R"(graph "tile_codes" stage integer opset 17 {
  input %x : s8[batch,3] quant(scale=[0x1p-7], zero_point=[-5])
  constant %repeats : s64[2] = [1, 4]
  %y = Tile(%x, %repeats)
  output %y
})"}};
}  // namespace ops
}  // namespace cupel
