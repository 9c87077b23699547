// Gather: result = data with dimension `axis` replaced by the dimensions of the indices.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "ir/graph.h"
#include "ops/known.h"
#include "ops/move.h"
#include "ops/op_table.h"
#include "ops/rules.h"

namespace cupel {
namespace {

using namespace ops;

// An index in [−size, size) made non-negative.
Result<int64_t> checked_index(int64_t index, int64_t position, int64_t size, size_t axis) {
  if (index < -size || index >= size)
    return bad_input("",
                     fmt::format("index {} (element {} of the indices) is outside dimension {} of size {}", index,
                                 position, axis, size),
                     "correct the indices");
  return index < 0 ? index + size : index;
}

Result<size_t> gather_axis(const Attributes& attributes, size_t rank) {
  return static_cast<size_t>(CUPEL_TRY(normalize_axis(attr_int(attributes, "axis", 0), static_cast<int64_t>(rank))));
}

Result<Types> infer_gather(const InferContext& c) {
  const Shape &data = c.shape(0), &indices = c.shape(1);
  const size_t axis = CUPEL_TRY(gather_axis(c.attributes, data.size()));
  const DType t = c.type(1).dtype;
  if (t != DType::s64 && t != DType::s32)
    return bad_input("", fmt::format("the indices (operand 1) are {}, expected s64 or s32", dtype_name(t)),
                     "convert the indices");
  if (const std::vector<Dim>* known = contents_of(c, 1); known && data[axis].is_constant())
    for (size_t i = 0; i < known->size(); ++i)
      if ((*known)[i].is_constant())
        CUPEL_TRY(checked_index((*known)[i].factor, static_cast<int64_t>(i), data[axis].factor, axis));
  const auto at = data.begin() + static_cast<std::ptrdiff_t>(axis);
  Shape shape(data.begin(), at);
  shape.insert(shape.end(), indices.begin(), indices.end());
  shape.insert(shape.end(), at + 1, data.end());
  return Types{CUPEL_TRY(addressed_type(c, 0, std::move(shape)))};
}

// Of a vector with known elements.
Result<Contents> fold_gather(const InferContext& c) {
  const std::vector<Dim>*data = contents_of(c, 0), *indices = contents_of(c, 1);
  if (data == nullptr || indices == nullptr || c.shape(0).size() != 1) return std::nullopt;
  std::vector<Dim> elements;
  for (size_t i = 0; i < indices->size(); ++i) {
    if (!(*indices)[i].is_constant()) return std::nullopt;
    const int64_t index =
        CUPEL_TRY(checked_index((*indices)[i].factor, static_cast<int64_t>(i), static_cast<int64_t>(data->size()), 0));
    elements.push_back((*data)[static_cast<size_t>(index)]);
  }
  return elements;
}

Status reference_gather(const EvalContext& c) {
  const Tensor& data = c.in(0);
  const size_t axis = CUPEL_TRY(gather_axis(c.attributes, data.dims().size()));
  const int64_t size = data.dims()[axis], block = strides_of(data.dims())[axis];
  std::vector<int64_t> rows = integers_of(c.in(1));
  for (size_t i = 0; i < rows.size(); ++i)
    rows[i] = CUPEL_TRY(checked_index(rows[i], static_cast<int64_t>(i), size, axis));
  if (c.out().empty()) return {};
  const auto count = static_cast<int64_t>(rows.size());
  const int64_t bytes = element_bytes(data.dtype());
  const std::byte* source = data.bytes().data();
  std::byte* target = c.out().mutable_bytes().data();
  c.threads.parallel_for(
      c.out().size() / block, std::max<int64_t>(1, kMoveGrain / block), [&](int64_t begin, int64_t end) {
        const auto source_row = [&](int64_t r) { return r / count * size + rows[static_cast<size_t>(r % count)]; };
        if (block > 1) {
          const auto length = static_cast<size_t>(block * bytes);
          for (int64_t r = begin; r < end; ++r)
            std::memcpy(target + r * block * bytes, source + source_row(r) * block * bytes, length);
          return;
        }
        with_element(bytes, [&](auto element) {
          using E = decltype(element);
          for (int64_t r = begin; r < end; ++r)
            reinterpret_cast<E*>(target)[r] = reinterpret_cast<const E*>(source)[source_row(r)];
        });
      });
  return {};
}

}  // namespace

namespace ops {
const OpDef kGather{.name = "Gather",
                    .min_inputs = 2,
                    .max_inputs = 2,
                    .attributes = {{"axis", AttributeKind::integer}},
                    .quant_rule = QuantRule::same,
                    .codes_since_opset = 1,
                    .elements = Elements::moved,
                    .infer = infer_gather,
                    .fold_contents = fold_gather,
                    .reference = reference_gather,
                    .samples = {R"(graph "gather" stage imported opset 17 {
  input %x : f32[batch,5,3]
  constant %indices : s64[4] = [4, -5, 2, 2]
  %y = Gather(%x, %indices) {axis=1}
  output %y
})",
                                R"(graph "gather_scalar" stage imported opset 17 {
  input %x : f32[batch,5,3]
  constant %index : s64[] = [0]
  %y = Gather(%x, %index) {axis=1}
  output %y
})",
                                R"(graph "gather_last" stage imported opset 17 {
  input %x : f32[batch,2,7]
  constant %indices : s32[2,2] = [6, 0, -1, 3]
  %y = Gather(%x, %indices) {axis=-1}
  output %y
})",
                                R"(graph "gather_codes" stage integer opset 17 {
  input %x : u8[batch,5,3] quant(scale=[0x1p-7], zero_point=[128])
  constant %indices : s64[2] = [1, 3]
  %y = Gather(%x, %indices) {axis=1}
  output %y
})",
                                R"(graph "gather_embedding" stage imported opset 17 {
  input %ids : s64[batch,3]
  constant %table : f32[4,2] = [0x1p+0, 0x1p+1, -0x1p+0, 0x1.8p+1, 0x0p+0, 0x1p-1, 0x1.4p+2, -0x1p+3]
  %y = Gather(%table, %ids)
  output %y
})",
                                R"(graph "gather_embedding_codes" stage integer opset 17 {
  input %ids : s32[batch,2,2]
  constant %table : s8[3,3] quant(scale=[0x1p-7], zero_point=[4]) = [1, -2, 3, 127, -128, 0, 7, 8, 9]
  %y = Gather(%table, %ids) {axis=0}
  output %y
})",
                                R"(graph "gather_of_a_fixed_batch" stage imported opset 17 {
  input %x : f32[2,5,3]
  input %ids : s64[2,4]
  %y = Gather(%x, %ids) {axis=1}
  output %y
})"}};
}  // namespace ops
}  // namespace cupel
