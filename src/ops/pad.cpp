// Pad: constant, reflect, edge and wrap; negative pads crop, and cropping comes first.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "ir/graph.h"
#include "ops/known.h"
#include "ops/move.h"
#include "ops/op_table.h"
#include "ops/requantize.h"
#include "ops/rules.h"

namespace cupel {
namespace {

using namespace ops;

enum class PadMode { constant, reflect, edge, wrap };

// Elements added (or, negative, removed) before and after each axis of the operand.
struct PadAmount {
  int64_t before = 0, after = 0;
};

Result<PadMode> pad_mode(const Attributes& attributes) {
  const std::string name = attr_text(attributes, "mode", "constant");
  if (name == "constant") return PadMode::constant;
  if (name == "reflect") return PadMode::reflect;
  if (name == "edge") return PadMode::edge;
  if (name == "wrap") return PadMode::wrap;
  return bad_input("", "mode is none of constant, reflect, edge and wrap", "correct the attribute");
}

// Pads are given as all "before", then all "after", for `axes` or for every axis.
Result<std::vector<PadAmount>> pad_amounts(size_t rank, const std::vector<int64_t>& pads,
                                           const std::optional<std::vector<int64_t>>& axes) {
  const size_t count = axes ? axes->size() : rank;
  if (pads.size() != 2 * count)
    return bad_input("", fmt::format("{} pads for {} axes, expected {}", pads.size(), count, 2 * count),
                     "export the model again");
  std::vector<PadAmount> amounts(rank);
  std::vector<bool> seen(rank, false);
  for (size_t i = 0; i < count; ++i) {
    const int64_t axis =
        CUPEL_TRY(normalize_axis(axes ? (*axes)[i] : static_cast<int64_t>(i), static_cast<int64_t>(rank)));
    const auto k = static_cast<size_t>(axis);
    if (seen[k]) return bad_input("", fmt::format("axis {} is given twice", axis), "export the model again");
    seen[k] = true;
    for (int64_t pad : {pads[i], pads[count + i]})
      if (pad > kMaxElements)
        return resource_error("", fmt::format("a pad of {} exceeds the limit of {}", pad, kMaxElements),
                              "use a model with smaller tensors");
    amounts[k] = {pads[i], pads[count + i]};
  }
  return amounts;
}

// One axis of the operand after cropping.
struct PaddedAxis {
  int64_t crop = 0;    // first index that is kept
  int64_t kept = 0;    // number of indices that are kept
  int64_t before = 0;  // added in front, ≥ 0
  int64_t after = 0;   // added behind, ≥ 0
  int64_t size() const { return before + kept + after; }

  // The operand's index for index i of the result; −1 for the constant.
  int64_t source(PadMode mode, int64_t i) const {
    int64_t j = i - before;
    if (j < 0 || j >= kept) {
      switch (mode) {
        case PadMode::constant: return -1;
        case PadMode::edge: j = j < 0 ? 0 : kept - 1; break;
        case PadMode::reflect: j = j < 0 ? -j : 2 * (kept - 1) - j; break;
        case PadMode::wrap: j = (j % kept + kept) % kept; break;
      }
    }
    return crop + j;
  }
};

Result<PaddedAxis> padded_axis(int64_t size, PadAmount pad, PadMode mode, size_t axis) {
  const std::string remedy = "correct the pads";
  if (pad.before < -size || pad.after < -size ||
      std::min<int64_t>(pad.before, 0) + std::min<int64_t>(pad.after, 0) < -size)
    return bad_input("",
                     fmt::format("pads {} and {} remove more than the {} elements of dimension {}", pad.before,
                                 pad.after, size, axis),
                     remedy);
  PaddedAxis a;
  a.crop = std::max<int64_t>(0, -pad.before);
  a.kept = size - a.crop - std::max<int64_t>(0, -pad.after);
  a.before = std::max<int64_t>(0, pad.before);
  a.after = std::max<int64_t>(0, pad.after);
  const int64_t most = std::max(a.before, a.after);
  const bool fits = mode == PadMode::constant || most == 0 || (mode == PadMode::reflect ? most < a.kept : a.kept > 0);
  if (!fits)
    return bad_input("",
                     fmt::format("pads {} and {} ask for more than the {} elements of dimension {}", a.before, a.after,
                                 a.kept, axis),
                     remedy);
  return a;
}

Status expect_value(const InferContext& c) {
  const TensorType &x = c.type(0), &value = c.type(2);
  const auto count = shape_elements(value.shape);
  if (value.shape.size() > 1 || !count || !(*count == Dim(1)))
    return bad_input("", fmt::format("the value (operand 2) has shape {}, expected one element", to_text(value.shape)),
                     "export the model again");
  const bool fits =
      x.quant ? (value.dtype == DType::f32 && !value.quant) || (value.dtype == x.dtype && value.quant == x.quant)
              : value.dtype == x.dtype && !value.quant;
  if (!fits)
    return bad_input(
        "", fmt::format("the value (operand 2) is {}, the operand is {}", to_text(value), to_text(x)),
        x.quant ? "give the value as a real number or with the operand's parameters" : "convert the value");
  return {};
}

Result<Types> infer_pad(const InferContext& c) {
  const PadMode mode = CUPEL_TRY(pad_mode(c.attributes));
  const auto pads = CUPEL_TRY(known_integers(c, 1, "pads"));
  std::optional<std::vector<int64_t>> axes;
  if (c.has(3)) axes = CUPEL_TRY(known_integers(c, 3, "axes"));
  if (c.has(2)) CUPEL_TRY(expect_value(c));
  const auto amounts = CUPEL_TRY(pad_amounts(c.shape(0).size(), pads, axes));
  Shape shape = c.shape(0);
  for (size_t i = 0; i < shape.size(); ++i) {
    if (amounts[i].before == 0 && amounts[i].after == 0) continue;
    if (!shape[i].is_constant())
      return unsupported("", fmt::format("the symbolic dimension {} is padded", to_text(shape[i])),
                         "export the model with that dimension constant");
    shape[i] = CUPEL_TRY(padded_axis(shape[i].factor, amounts[i], mode, i)).size();
  }
  if (c.type(0).quant && dtype_bits(c.type(0).dtype) > 16)
    return unsupported("", fmt::format("padding of {} codes", dtype_name(c.type(0).dtype)), "keep this op in float");
  return Types{CUPEL_TRY(addressed_type(c, 0, std::move(shape)))};
}

// The element that pads: the given one, else 0; for codes the code of the given real number, else of 0.
void padding_element(const EvalContext& c, std::byte* element) {
  const TensorType& x = *c.input_types[0];
  const auto bytes = static_cast<size_t>(element_bytes(x.dtype));
  std::memset(element, 0, 8);
  const bool same_type = c.has(2) && c.input_types[2]->dtype == x.dtype;
  if (same_type) {
    std::memcpy(element, c.in(2).bytes().data(), bytes);
  } else if (x.quant) {
    const float real = c.has(2) ? c.in(2).data<float>()[0] : 0.0f;
    const int32_t code = to_code(real * inverse_scale(x.quant->scale[0]), CodeRange(x.dtype, x.quant->zero_point[0]));
    std::memcpy(element, &code, bytes);  // low bytes first
  }
}

// A run of the innermost padded axis: `length` blocks from source index `source` (−1: the constant).
struct Segment {
  int64_t target, length, source;
};

std::vector<Segment> segments_of(const PaddedAxis& axis, PadMode mode) {
  std::vector<Segment> segments;
  const auto add = [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) segments.push_back({i, 1, axis.source(mode, i)});
  };
  const bool constant = mode == PadMode::constant;
  const int64_t behind = axis.before + axis.kept;
  if (constant && axis.before > 0) segments.push_back({0, axis.before, -1});
  if (!constant) add(0, axis.before);
  if (axis.kept > 0) segments.push_back({axis.before, axis.kept, axis.crop});
  if (constant && axis.after > 0) segments.push_back({behind, axis.after, -1});
  if (!constant) add(behind, axis.size());
  return segments;
}

Status reference_pad(const EvalContext& c) {
  const Tensor& x = c.in(0);
  Tensor& y = c.out();
  if (y.empty()) return {};
  const PadMode mode = CUPEL_TRY(pad_mode(c.attributes));
  std::optional<std::vector<int64_t>> given;
  if (c.has(3)) given = integers_of(c.in(3));
  const auto amounts = CUPEL_TRY(pad_amounts(x.dims().size(), integers_of(c.in(1)), given));
  std::vector<PaddedAxis> axes;
  size_t inner = 0;  // the innermost axis that changes; blocks lie below it
  for (size_t i = 0; i < amounts.size(); ++i) {
    axes.push_back(CUPEL_TRY(padded_axis(x.dims()[i], amounts[i], mode, i)));
    if (axes[i].size() != y.dims()[i])
      return internal_error("",
                            fmt::format("dimension {} becomes {}, inferred was {}", i, axes[i].size(), y.dims()[i]));
    if (amounts[i].before != 0 || amounts[i].after != 0) inner = i;
  }
  if (axes.empty()) return share_elements(c);

  std::byte element[8];
  padding_element(c, element);
  const Dims strides = strides_of(x.dims());
  const int64_t bytes = element_bytes(x.dtype()), block = strides_of(y.dims())[inner], row = block * y.dims()[inner];
  const std::vector<Segment> segments = segments_of(axes[inner], mode);
  const std::byte* source = x.bytes().data();
  std::byte* target = y.mutable_bytes().data();
  c.threads.parallel_for(y.size() / row, std::max<int64_t>(1, kMoveGrain / row), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      std::byte* out = target + r * row * bytes;
      int64_t offset = 0, rest = r;
      bool constant = false;
      for (size_t k = inner; k-- > 0; rest /= axes[k].size()) {
        const int64_t index = axes[k].source(mode, rest % axes[k].size());
        constant = constant || index < 0;
        offset += index * strides[k];
      }
      if (constant) {
        fill_elements(bytes, element, row, out);
        continue;
      }
      for (const Segment& s : segments) {
        std::byte* to = out + s.target * block * bytes;
        if (s.source < 0) {
          fill_elements(bytes, element, s.length * block, to);
        } else {
          std::memcpy(to, source + (offset + s.source * block) * bytes, static_cast<size_t>(s.length * block * bytes));
        }
      }
    }
  });
  return {};
}

}  // namespace

namespace ops {
const OpDef kPad{.name = "Pad",
                 .min_inputs = 2,
                 .max_inputs = 4,
                 .attributes = {{"mode", AttributeKind::text}},
                 .quant_rule = QuantRule::same,
                 .codes_since_opset = 13,
                 .elements = Elements::moved,
                 .parameters_from = 1,
                 .infer = infer_pad,
                 .reference = reference_pad,
                 .samples = {R"(graph "pad" stage imported opset 17 {
  input %x : f32[batch,2,3,5]
  constant %pads : s64[8] = [0, 0, 1, 2, 0, 0, 2, 1]
  constant %value : f32[] = [0x1.8p+0]
  %y = Pad(%x, %pads, %value)
  output %y
})",
                             R"(graph "pad_reflect" stage imported opset 17 {
  input %x : f32[batch,2,4,5]
  constant %pads : s64[8] = [0, 0, 3, 2, 0, 0, 1, 4]
  %y = Pad(%x, %pads) {mode="reflect"}
  output %y
})",
                             R"(graph "pad_edge_axes" stage imported opset 18 {
  input %x : f32[batch,4,5]
  constant %pads : s64[4] = [2, -1, 1, 3]
  constant %axes : s64[2] = [-1, 1]
  %y = Pad(%x, %pads, _, %axes) {mode="edge"}
  output %y
})",
                             R"(graph "pad_wrap" stage imported opset 19 {
  input %x : f32[batch,2,3]
  constant %pads : s64[6] = [0, 1, 4, 0, -1, 7]
  %y = Pad(%x, %pads) {mode="wrap"}
  output %y
})",
                             R"(graph "pad_codes" stage integer opset 17 {
  input %x : u8[batch,3,5] quant(scale=[0x1p-7], zero_point=[128])
  constant %pads : s64[6] = [0, 1, 2, 0, 0, -1]
  %y = Pad(%x, %pads)
  output %y
})"}};
}  // namespace ops
}  // namespace cupel
