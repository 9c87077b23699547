// Slice (starts, ends, axes, steps) and Split.
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

constexpr int64_t kMaxParts = 65536;

// Indices start, start + step, … (count of them) along one axis.
struct IndexRange {
  int64_t start = 0, step = 1, count = 0;
};

// ONNX's rule: negative bounds count from the end, then both are clamped to the axis of `size`. Requires step ≠ 0.
IndexRange index_range(int64_t size, int64_t start, int64_t end, int64_t step) {
  if (size == 0) return {};
  step = std::clamp(step, -(size + 1), size + 1);  // longer steps take the same single index
  if (start < 0) start += size;
  if (end < 0) end += size;
  if (step > 0) {
    start = std::clamp<int64_t>(start, 0, size);
    end = std::clamp<int64_t>(end, 0, size);
    return {start, step, end > start ? (end - start + step - 1) / step : 0};
  }
  start = std::clamp<int64_t>(start, 0, size - 1);
  end = std::clamp<int64_t>(end, -1, size - 1);
  return {start, step, start > end ? (start - end - step - 1) / -step : 0};
}

// The operands of a Slice node, one entry for each sliced axis.
struct SliceBounds {
  std::vector<size_t> axes;
  std::vector<int64_t> steps;
};

Result<SliceBounds> slice_bounds(size_t rank, size_t starts, size_t ends,
                                 const std::optional<std::vector<int64_t>>& axes,
                                 const std::optional<std::vector<int64_t>>& steps) {
  const std::string remedy = "export the model again";
  if (starts != ends || (axes && axes->size() != starts) || (steps && steps->size() != starts))
    return bad_input("",
                     fmt::format("{} starts, {} ends, {} axes, {} steps, expected equally many", starts, ends,
                                 axes ? axes->size() : starts, steps ? steps->size() : starts),
                     remedy);
  if (starts > rank)
    return bad_input("", fmt::format("{} axes are sliced, the operand has rank {}", starts, rank), remedy);
  SliceBounds bounds;
  for (size_t i = 0; i < starts; ++i) {
    const int64_t axis = axes ? (*axes)[i] : static_cast<int64_t>(i);
    bounds.axes.push_back(static_cast<size_t>(CUPEL_TRY(normalize_axis(axis, static_cast<int64_t>(rank)))));
    if (std::count(bounds.axes.begin(), bounds.axes.end(), bounds.axes.back()) > 1)
      return bad_input("", fmt::format("axis {} is given twice", axis), remedy);
    bounds.steps.push_back(steps ? (*steps)[i] : 1);
    if (bounds.steps.back() == 0) return bad_input("", fmt::format("the step of axis {} is 0", axis), remedy);
  }
  return bounds;
}

// Length of the slice of a symbolic dimension f·s: bounds that are multiples of s between 0 and f·s, or the whole
// dimension reversed. Bounds that no size reaches mean the first or the last element, as exporters write them.
Result<Dim> symbolic_length(const Dim& dim, const Dim& start, const Dim& end, int64_t step) {
  const int64_t limit = std::min(dim.factor, kMaxElements) * kSymbolLimit;
  const auto beyond = [&](const Dim& bound) { return bound.is_constant() && bound.factor >= limit; };
  const auto before = [&](const Dim& bound) { return bound.is_constant() && bound.factor <= -limit; };
  if (step == -1 && (start == Dim(-1) || beyond(start)) && before(end)) return dim;
  // The multiple of the symbol that a bound stands for.
  const auto multiple = [&](const Dim& bound) -> std::optional<int64_t> {
    if (bound == Dim(0) || before(bound)) return 0;
    if (beyond(bound)) return dim.factor;
    if (bound.symbol == dim.symbol && bound.factor > 0) return std::min(bound.factor, dim.factor);
    return std::nullopt;
  };
  const auto first = multiple(start), last = multiple(end);
  if (step == 1 && first && last) return *last > *first ? Dim(*last - *first, dim.symbol) : Dim(0);
  return unsupported("",
                     fmt::format("a slice of the symbolic dimension {} from {} to {} with step {}", to_text(dim),
                                 to_text(start), to_text(end), step),
                     "export the model with that dimension constant");
}

Result<Types> infer_slice(const InferContext& c) {
  const std::vector<Dim> starts = CUPEL_TRY(known_dims(c, 1, "starts")), ends = CUPEL_TRY(known_dims(c, 2, "ends"));
  std::optional<std::vector<int64_t>> axes, steps;
  if (c.has(3)) axes = CUPEL_TRY(known_integers(c, 3, "axes"));
  if (c.has(4)) steps = CUPEL_TRY(known_integers(c, 4, "steps"));
  const SliceBounds bounds = CUPEL_TRY(slice_bounds(c.shape(0).size(), starts.size(), ends.size(), axes, steps));
  Shape shape = c.shape(0);
  for (size_t i = 0; i < bounds.axes.size(); ++i) {
    Dim& dim = shape[bounds.axes[i]];
    if (!dim.is_constant()) {
      dim = CUPEL_TRY(symbolic_length(dim, starts[i], ends[i], bounds.steps[i]));
      continue;
    }
    for (const Dim& bound : {starts[i], ends[i]})
      if (!bound.is_constant())
        return unsupported(
            "",
            fmt::format("a bound of the slice of axis {} is the symbolic dimension {}", bounds.axes[i], to_text(bound)),
            kGiveParameters);
    dim = index_range(dim.factor, starts[i].factor, ends[i].factor, bounds.steps[i]).count;
  }
  return Types{CUPEL_TRY(addressed_type(c, 0, std::move(shape)))};
}

// Of a vector with known elements.
Result<Contents> fold_slice(const InferContext& c) {
  const std::vector<Dim>* x = contents_of(c, 0);
  if (x == nullptr || c.shape(0).size() != 1) return std::nullopt;
  const auto starts = CUPEL_TRY(known_integers(c, 1, "starts")), ends = CUPEL_TRY(known_integers(c, 2, "ends"));
  if (starts.empty()) return *x;
  const int64_t step = c.has(4) ? CUPEL_TRY(known_integers(c, 4, "steps"))[0] : 1;
  const IndexRange range = index_range(static_cast<int64_t>(x->size()), starts[0], ends[0], step);
  std::vector<Dim> elements;
  for (int64_t i = 0; i < range.count; ++i) elements.push_back((*x)[static_cast<size_t>(range.start + i * range.step)]);
  return elements;
}

Status reference_slice(const EvalContext& c) {
  const Tensor& x = c.in(0);
  const auto starts = integers_of(c.in(1)), ends = integers_of(c.in(2));
  std::optional<std::vector<int64_t>> axes, steps;
  if (c.has(3)) axes = integers_of(c.in(3));
  if (c.has(4)) steps = integers_of(c.in(4));
  const SliceBounds bounds = CUPEL_TRY(slice_bounds(x.dims().size(), starts.size(), ends.size(), axes, steps));
  Dims dims = x.dims(), strides = strides_of(x.dims());
  int64_t offset = 0;
  for (size_t i = 0; i < bounds.axes.size(); ++i) {
    const size_t axis = bounds.axes[i];
    const IndexRange range = index_range(x.dims()[axis], starts[i], ends[i], bounds.steps[i]);
    dims[axis] = range.count;
    offset += range.start * strides[axis];
    strides[axis] *= range.step;
  }
  if (dims != c.out().dims())
    return internal_error(
        "", fmt::format("the slice has shape {}, inferred was {}", to_text(dims), to_text(c.out().dims())));
  if (c.out().empty()) return {};
  const int64_t bytes = element_bytes(x.dtype());
  move_elements(c.threads, bytes, dims, std::move(strides), x.bytes().data() + offset * bytes, strides_of(dims),
                c.out().mutable_bytes().data());
  return {};
}

// Sizes of the parts along `dim`.
Result<std::vector<Dim>> part_sizes(const InferContext& c, const Dim& dim) {
  const std::string remedy = "correct the model's shapes";
  if (c.has(1)) {
    if (has_attr(c.attributes, "num_outputs"))
      return bad_input("", "both split and num_outputs are given", "export the model again");
    std::vector<Dim> sizes = CUPEL_TRY(known_dims(c, 1, "split"));
    Dim sum = 0;
    for (const Dim& size : sizes) {
      if (size.factor < 0)
        return bad_input("", fmt::format("the split {} has the negative size {}", to_text(sizes), to_text(size)),
                         remedy);
      sum = CUPEL_TRY(dim_add(sum, size));
    }
    if (!(sum == dim))
      return bad_input("", fmt::format("the split {} does not add up to {}", to_text(sizes), to_text(dim)), remedy);
    return sizes;
  }
  const int64_t parts = attr_int(c.attributes, "num_outputs", static_cast<int64_t>(c.declared.size()));
  if (parts <= 0)
    return bad_input("", fmt::format("a split into {} parts, expected at least 1", parts), "give split or num_outputs");
  if (parts > kMaxParts)
    return resource_error("", fmt::format("a split into {} parts exceeds the limit of {}", parts, kMaxParts),
                          "split into fewer parts");
  const int64_t chunk = dim.factor / parts + (dim.factor % parts != 0);
  const int64_t last = dim.factor - chunk * (parts - 1);
  if (!dim.is_constant() && last != chunk)
    return unsupported("", fmt::format("the symbolic dimension {} is split into {} parts", to_text(dim), parts),
                       "export the model with that dimension constant");
  if (last < 0)
    return bad_input("", fmt::format("a dimension of {} cannot be split into {} parts", to_text(dim), parts), remedy);
  std::vector<Dim> sizes(static_cast<size_t>(parts), Dim(chunk, dim.symbol));
  sizes.back() = Dim(last, dim.symbol);
  return sizes;
}

Result<Types> infer_split(const InferContext& c) {
  const auto axis = static_cast<size_t>(
      CUPEL_TRY(normalize_axis(attr_int(c.attributes, "axis", 0), static_cast<int64_t>(c.shape(0).size()))));
  const std::vector<Dim> sizes = CUPEL_TRY(part_sizes(c, c.shape(0)[axis]));
  if (!c.declared.empty() && c.declared.size() != sizes.size())
    return bad_input("", fmt::format("{} results of a split into {} parts", c.declared.size(), sizes.size()),
                     "export the model again");
  Types types;
  for (const Dim& size : sizes) {
    Shape shape = c.shape(0);
    shape[axis] = size;
    types.push_back(CUPEL_TRY(addressed_type(c, 0, std::move(shape))));
  }
  return types;
}

// The first part of a vector with known elements.
Result<Contents> fold_split(const InferContext& c) {
  const std::vector<Dim>* x = contents_of(c, 0);
  if (x == nullptr || c.shape(0).size() != 1) return std::nullopt;
  const std::vector<Dim> sizes = CUPEL_TRY(part_sizes(c, c.shape(0)[0]));
  if (sizes.empty()) return std::nullopt;
  return std::vector<Dim>(x->begin(), x->begin() + sizes[0].factor);
}

Status reference_split(const EvalContext& c) {
  const Tensor& x = c.in(0);
  const auto axis = static_cast<size_t>(CUPEL_TRY(normalize_axis(attr_int(c.attributes, "axis", 0), x.rank())));
  const Dims strides = strides_of(x.dims());
  const int64_t bytes = element_bytes(x.dtype());
  int64_t begin = 0;
  for (Tensor& part : c.outputs) {
    const int64_t size = part.dims()[axis];
    if (begin + size > x.dims()[axis]) return internal_error("", "the parts are longer than the operand");
    if (!part.empty())
      move_elements(c.threads, bytes, part.dims(), strides, x.bytes().data() + begin * strides[axis] * bytes,
                    strides_of(part.dims()), part.mutable_bytes().data());
    begin += size;
  }
  return {};
}

}  // namespace

namespace ops {
const OpDef kSlice{.name = "Slice",
                   .operand_types = {{kAnyType}, {kIndexTypes}},
                   .min_inputs = 3,
                   .max_inputs = 5,
                   .quant_rule = QuantRule::same,
                   .codes_since_opset = 1,
                   .elements = Elements::moved,
                   .parameters_from = 1,
                   .infer = infer_slice,
                   .fold_contents = fold_slice,
                   .reference = reference_slice,
                   .samples = {R"(graph "slice" stage imported opset 17 {
  input %x : f32[batch,7,9]
  constant %starts : s64[2] = [1, -3]
  constant %ends : s64[2] = [6, 9223372036854775807]
  constant %axes : s64[2] = [1, -1]
  constant %steps : s64[2] = [2, 1]
  %y = Slice(%x, %starts, %ends, %axes, %steps)
  output %y
})",
                               R"(graph "slice_backwards" stage imported opset 17 {
  input %x : f32[batch,7,5]
  constant %starts : s64[1] = [-1]
  constant %ends : s64[1] = [-9223372036854775807]
  constant %axes : s64[1] = [2]
  constant %steps : s64[1] = [-2]
  %y = Slice(%x, %starts, %ends, %axes, %steps)
  output %y
})",
                               R"(graph "slice_leading" stage imported opset 17 {
  input %x : f32[batch,7]
  constant %starts : s64[2] = [0, 1]
  constant %ends : s64[2] = [2147483647, 3]
  %y = Slice(%x, %starts, %ends)
  output %y
})",
                               R"(graph "slice_empty" stage imported opset 17 {
  input %x : f32[batch,7]
  constant %starts : s64[1] = [5]
  constant %ends : s64[1] = [2]
  constant %axes : s64[1] = [1]
  %y = Slice(%x, %starts, %ends, %axes)
  output %y
})",
                               R"(graph "slice_codes" stage integer opset 17 {
  input %x : u8[batch,3,5] quant(scale=[0x1p-7], zero_point=[128])
  constant %starts : s64[1] = [1]
  constant %ends : s64[1] = [4]
  constant %axes : s64[1] = [2]
  %y = Slice(%x, %starts, %ends, %axes)
  output %y
})"}};

const OpDef kSplit{.name = "Split",
                   .operand_types = {{kAnyType}, {kIndexTypes}},
                   .max_inputs = 2,
                   .max_outputs = -1,
                   .attributes = {{"axis", AttributeKind::integer}, {"num_outputs", AttributeKind::integer}},
                   .quant_rule = QuantRule::same,
                   .codes_since_opset = 2,
                   .elements = Elements::moved,
                   .parameters_from = 1,
                   .infer = infer_split,
                   .fold_contents = fold_split,
                   .reference = reference_split,
                   .samples = {R"(graph "split" stage imported opset 17 {
  input %x : f32[batch,7,3]
  constant %sizes : s64[3] = [2, 4, 1]
  %a, %b, %c = Split(%x, %sizes) {axis=1}
  output %a
  output %b
  output %c
})",
                               R"(graph "split_rest" stage imported opset 18 {
  input %x : f32[batch,7]
  %a, %b, %c = Split(%x) {axis=-1, num_outputs=3}
  output %a
  output %b
  output %c
})",
                               R"(graph "split_codes" stage integer opset 17 {
  input %x : u8[batch,6] quant(scale=[0x1p-7], zero_point=[128])
  constant %sizes : s64[2] = [3, 3]
  %a, %b = Split(%x, %sizes) {axis=1}
  output %a
  output %b
})"}};
}  // namespace ops
}  // namespace cupel
