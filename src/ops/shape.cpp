// Shape and Size: known from the operand's type alone.
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

// First and last dimension of [start, end), counted from the end when negative, clamped to the rank.
std::pair<int64_t, int64_t> dimension_range(const Attributes& attributes, int64_t rank) {
  const auto bound = [&](std::string_view name, int64_t fallback) {
    const int64_t value = attr_int(attributes, name, fallback);
    return std::clamp<int64_t>(value < 0 ? value + rank : value, 0, rank);
  };
  const int64_t begin = bound("start", 0);
  return {begin, std::max(begin, bound("end", rank))};
}

Result<Types> infer_shape(const InferContext& c) {
  const auto [begin, end] = dimension_range(c.attributes, static_cast<int64_t>(c.shape(0).size()));
  return Types{plain(DType::s64, {end - begin})};
}

Result<Contents> fold_shape(const InferContext& c) {
  const Shape& shape = c.shape(0);
  const auto [begin, end] = dimension_range(c.attributes, static_cast<int64_t>(shape.size()));
  return std::vector<Dim>(shape.begin() + begin, shape.begin() + end);
}

Status reference_shape(const EvalContext& c) {
  const auto [begin, end] = dimension_range(c.attributes, c.in(0).rank());
  std::copy(c.in(0).dims().begin() + begin, c.in(0).dims().begin() + end, c.out().mutable_data<int64_t>().begin());
  return {};
}

Result<Types> infer_size(const InferContext&) { return Types{plain(DType::s64, {})}; }

// Not known when two symbols meet.
Result<Contents> fold_size(const InferContext& c) {
  auto elements = shape_elements(c.shape(0));
  return elements ? Contents({*elements}) : std::nullopt;
}

Status reference_size(const EvalContext& c) {
  c.out().mutable_data<int64_t>()[0] = c.in(0).size();
  return {};
}

}  // namespace

namespace ops {
const OpDef kShape{.name = "Shape",
                   .attributes = {{"end", AttributeKind::integer}, {"start", AttributeKind::integer}},
                   .infer = infer_shape,
                   .fold_contents = fold_shape,
                   .reference = reference_shape,
                   .cost = no_cost,
                   .removed_by_simplify = true,
                   .samples = {R"(graph "shape" stage imported opset 17 {
  input %x : f32[batch,3,5]
  %y = Shape(%x)
  output %y
})",
                               R"(graph "shape_part" stage imported opset 17 {
  input %x : f32[batch,3,5,7]
  %y = Shape(%x) {start=-3, end=-1}
  output %y
})"}};

const OpDef kSize{.name = "Size",
                  .infer = infer_size,
                  .fold_contents = fold_size,
                  .reference = reference_size,
                  .cost = no_cost,
                  .removed_by_simplify = true,
                  .samples = {R"(graph "size" stage imported opset 17 {
  input %x : f32[batch,3,5]
  %y = Size(%x)
  output %y
})"}};
}  // namespace ops
}  // namespace cupel
