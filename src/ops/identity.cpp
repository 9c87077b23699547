// Identity and Dropout: at inference both give their operand.
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

Result<Types> infer_identity(const InferContext& c) { return Types{c.type(0)}; }

// Results: the operand, and the mask of kept elements (all of them).
Result<Types> infer_dropout(const InferContext& c) {
  if (c.has(2)) {
    CUPEL_TRY(expect_dtype(c, 2, DType::boolean));
    const Tensor* training = c.constants[2];
    if (training == nullptr)
      return unsupported("", "training_mode (operand 2) is computed at run time", "export the model for inference");
    if (training->size() != 1)
      return bad_input("", fmt::format("training_mode (operand 2) has {} elements, expected 1", training->size()),
                       "export the model again");
    if (training->int_at(0) != 0)
      return unsupported("", "training_mode is true; Cupel computes inference", "export the model for inference");
  }
  return Types{c.type(0), plain(DType::boolean, c.shape(0))};
}

Status reference_dropout(const EvalContext& c) {
  CUPEL_TRY(share_elements(c));
  if (c.outputs.size() > 1) std::ranges::fill(c.out(1).mutable_bytes(), std::byte{1});
  return {};
}

}  // namespace

namespace ops {
const OpDef kIdentity{.name = "Identity",
                      .quant_rule = QuantRule::same,
                      .codes_since_opset = 1,
                      .elements = Elements::elementwise,
                      .infer = infer_identity,
                      .fold_contents = same_contents,
                      .reference = share_elements,
                      .cost = no_cost,
                      .removed_by_simplify = true,
                      .samples = {R"(graph "identity" stage imported opset 17 {
  input %x : f32[batch,3,5]
  %y = Identity(%x)
  output %y
})",
                                  R"(graph "identity_codes" stage imported opset 17 {
  input %x : u8[batch,3] quant(scale=[0x1p-7], zero_point=[128])
  %y = Identity(%x)
  output %y
})"}};

const OpDef kDropout{.name = "Dropout",
                     .max_inputs = 3,
                     .max_outputs = 2,
                     .attributes = {{"seed", AttributeKind::integer}},
                     .quant_rule = QuantRule::same,
                     .elements = Elements::elementwise,
                     .parameters_from = 1,
                     .infer = infer_dropout,
                     .fold_contents = same_contents,
                     .reference = reference_dropout,
                     .cost = no_cost,
                     .removed_by_simplify = true,
                     .samples = {R"(graph "dropout" stage imported opset 17 {
  input %x : f32[batch,3,5]
  %y = Dropout(%x)
  output %y
})",
                                 R"(graph "dropout_mask" stage imported opset 17 {
  input %x : f32[batch,7]
  constant %ratio : f32[] = [0.5]
  constant %training : bool[] = [0]
  %y, %mask = Dropout(%x, %ratio, %training) {seed=1}
  output %y
  output %mask
})"}};
}  // namespace ops
}  // namespace cupel
