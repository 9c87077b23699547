// MaxPool, AveragePool over windows of one to three spatial dimensions; GlobalAveragePool, GlobalMaxPool over all of
// them.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <limits>
#include <type_traits>

#include "ir/graph.h"
#include "ops/clones.h"
#include "ops/op_table.h"
#include "ops/reduction.h"
#include "ops/rules.h"
#include "ops/window.h"

namespace cupel {
namespace {

using namespace ops;

struct Geometry {
  std::array<WindowAxis, 3> axes;  // the last ones are used; the others are trivial
  int64_t window() const { return axes[0].kernel * axes[1].kernel * axes[2].kernel; }
};

Result<Geometry> geometry_of(const Attributes& attributes, const Shape& x) {
  const std::vector<WindowAxis> axes = CUPEL_TRY(pooling_axes(attributes, x));
  Geometry g;
  std::ranges::copy(axes, g.axes.end() - static_cast<std::ptrdiff_t>(axes.size()));
  return g;
}

Shape result_shape(const Geometry& g, const Shape& x) {
  Shape shape = {x[0], x[1]};
  for (size_t i = 3 - (x.size() - 2); i < 3; ++i) shape.emplace_back(g.axes[i].out);
  return shape;
}

Result<Types> infer_max_pool(const InferContext& c) {
  const DType t = c.type(0).dtype;
  if (t != DType::f32 && t != DType::u8 && t != DType::s8)
    return unsupported("", fmt::format("operand 0 is {}, expected f32, u8 or s8", dtype_name(t)),
                       "convert the operand");
  const int64_t order = attr_int(c.attributes, "storage_order", 0);
  if (order != 0 && order != 1)
    return bad_input("", fmt::format("storage_order is {}, expected 0 or 1", order), "correct the attribute");
  return Types{CUPEL_TRY(moved_type(c, 0, result_shape(CUPEL_TRY(geometry_of(c.attributes, c.shape(0))), c.shape(0))))};
}

// f32, or codes with a declared result; `window` elements are averaged at most.
Result<Types> average_type(const InferContext& c, Shape shape, int64_t window) {
  if (!c.type(0).quant) {
    CUPEL_TRY(expect_dtype(c, 0, DType::f32));
    return Types{plain(DType::f32, std::move(shape))};
  }
  CUPEL_TRY(expect_byte_codes(c, 0));
  CUPEL_TRY(expect_exact_sum(window));
  return Types{CUPEL_TRY(declared_byte_codes(c, std::move(shape)))};
}

Result<Types> infer_average_pool(const InferContext& c) {
  const int64_t include = attr_int(c.attributes, "count_include_pad", 0);
  if (include != 0 && include != 1)
    return bad_input("", fmt::format("count_include_pad is {}, expected 0 or 1", include), "correct the attribute");
  const Geometry g = CUPEL_TRY(geometry_of(c.attributes, c.shape(0)));
  return average_type(c, result_shape(g, c.shape(0)), g.window());
}

Result<std::pair<Shape, int64_t>> infer_global(const InferContext& c) {
  const Shape& x = c.shape(0);
  CUPEL_TRY(expect_image(x));
  Shape shape(x.size(), Dim(1));
  shape[0] = x[0];
  shape[1] = x[1];
  int64_t window = 1;
  for (size_t i = 2; i < x.size(); ++i) {
    if (!x[i].is_constant())
      return unsupported("", fmt::format("the symbolic dimension {} of operand 0 {}", to_text(x[i]), to_text(x)),
                         kGiveSize);
    window = CUPEL_TRY(checked_mul(window, x[i].factor));
  }
  return std::pair(std::move(shape), window);
}

Result<Types> infer_global_average_pool(const InferContext& c) {
  auto [shape, window] = CUPEL_TRY(infer_global(c));
  return average_type(c, std::move(shape), window);
}

Result<Types> infer_global_max_pool(const InferContext& c) {
  const DType t = c.type(0).dtype;
  if (t != DType::f32 && t != DType::u8 && t != DType::s8)
    return unsupported("", fmt::format("operand 0 is {}, expected f32, u8 or s8", dtype_name(t)),
                       "convert the operand");
  return Types{CUPEL_TRY(moved_type(c, 0, CUPEL_TRY(infer_global(c)).first))};
}

// results[j] = f(results[j], x[j · stride])
template <class T, class A, class F>
CUPEL_CLONES void take_tap(F f, const T* __restrict x, int64_t stride, int64_t n, A* __restrict results) {
  if (stride == 1) {
    for (int64_t j = 0; j < n; ++j) results[j] = f(results[j], x[j]);
  } else if (stride == 2) {
    for (int64_t j = 0; j < n; ++j) results[j] = f(results[j], x[2 * j]);
  } else {
    for (int64_t j = 0; j < n; ++j) results[j] = f(results[j], x[j * stride]);
  }
}

// One row of windows along the last dimension at a time: `row` starts at `start` and takes the taps in row-major order;
// store(first result, row, depth index, height index) gets it. Padding takes no part.
template <class A, class T, class F, class Store>
void pool(const EvalContext& c, const Geometry& g, const T* x, A start, F f, Store&& store) {
  const auto& [depth, height, width] = g.axes;
  if (c.out().empty()) return;
  const int64_t planes = c.out().size() / (depth.out * height.out * width.out);
  const int64_t part = std::max<int64_t>(
      1, kPartOperations / std::max<int64_t>(1, width.out * std::min<int64_t>(g.window(), kPartOperations)));
  // Taps outside these never meet the input.
  const int64_t first_tap = width.first_tap(width.out - 1), end_tap = width.end_tap(0);
  c.threads.parallel_for(planes * depth.out * height.out, part, [&](int64_t begin, int64_t end) {
    std::vector<A> row(static_cast<size_t>(width.out));
    for (int64_t r = begin; r < end; ++r) {
      const int64_t oy = r % height.out, oz = r / height.out % depth.out, plane = r / height.out / depth.out;
      std::fill(row.begin(), row.end(), start);
      for (int64_t kz = depth.first_tap(oz); kz < depth.end_tap(oz); ++kz)
        for (int64_t ky = height.first_tap(oy); ky < height.end_tap(oy); ++ky) {
          const int64_t z = depth.start(oz) + kz * depth.dilation, y = height.start(oy) + ky * height.dilation;
          const T* line = x + ((plane * depth.in + z) * height.in + y) * width.in;
          for (int64_t kx = first_tap; kx < end_tap; ++kx) {
            const int64_t from = width.first_window(kx), to = width.end_window(kx);
            if (from < to)
              take_tap(f, line + width.start(from) + kx * width.dilation, width.stride, to - from, row.data() + from);
          }
        }
      store(r * width.out, row.data(), oz, oy);
    }
  });
}

template <class T>
Status max_pool(const EvalContext& c, const Geometry& g) {
  T* out = c.out().mutable_data<T>().data();
  using Limits = std::numeric_limits<T>;
  const T start = Limits::has_infinity ? static_cast<T>(-Limits::infinity()) : Limits::lowest();
  pool<T>(c, g, c.in(0).data<T>().data(), start, GreaterOf{},
          [&](int64_t at, const T* row, int64_t, int64_t) { std::copy_n(row, g.axes[2].out, out + at); });
  return {};
}

Status reference_max_pool(const EvalContext& c) {
  const Geometry g = CUPEL_TRY(geometry_of(c.attributes, to_shape(c.in(0).dims())));
  switch (c.in(0).dtype()) {
    case DType::u8: return max_pool<uint8_t>(c, g);
    case DType::s8: return max_pool<int8_t>(c, g);
    default: return max_pool<float>(c, g);
  }
}

struct SumCodes {
  ByteCodes codes;
  [[gnu::always_inline]] int32_t operator()(int32_t sum, uint8_t byte) const { return sum + codes.centered(byte); }
};

// A window without elements (only dilation can make one) gives 0.
Status reference_average_pool(const EvalContext& c) {
  const Geometry g = CUPEL_TRY(geometry_of(c.attributes, to_shape(c.in(0).dims())));
  const bool include_pad = attr_int(c.attributes, "count_include_pad", 0) != 0;
  std::array<std::vector<int64_t>, 3> taps;  // counted by each window of each dimension
  for (size_t i = 0; i < 3; ++i)
    for (int64_t o = 0; o < g.axes[i].out; ++o) taps[i].push_back(g.axes[i].counted_taps(o, include_pad));
  const auto divisor = [&](int64_t oz, int64_t oy, int64_t ox) {
    const int64_t n =
        taps[0][static_cast<size_t>(oz)] * taps[1][static_cast<size_t>(oy)] * taps[2][static_cast<size_t>(ox)];
    return std::max<int64_t>(1, n);
  };
  const int64_t width = g.axes[2].out;
  if (!c.input_types[0]->quant) {
    float* out = c.out().mutable_data<float>().data();
    pool<float>(c, g, c.in(0).data<float>().data(), 0.0f, SumOf{},
                [&](int64_t at, const float* row, int64_t oz, int64_t oy) {
                  for (int64_t j = 0; j < width; ++j) out[at + j] = row[j] / static_cast<float>(divisor(oz, oy, j));
                });
    return {};
  }
  const MeanOfCodes mean(*c.input_types[0], c.output_types[0]);
  uint8_t* out = byte_elements(c.out());
  pool<int32_t>(c, g, byte_elements(c.in(0)), 0, SumCodes{ByteCodes(*c.input_types[0])},
                [&](int64_t at, const int32_t* row, int64_t oz, int64_t oy) {
                  int64_t n = 0;
                  float multiplier = 0;
                  for (int64_t j = 0; j < width; ++j) {
                    if (const int64_t own = divisor(oz, oy, j); own != n) {
                      n = own;
                      multiplier = mean.multiplier(n);
                    }
                    out[at + j] = mean.store(row[j], multiplier);
                  }
                });
  return {};
}

std::vector<bool> spatial_dims(const EvalContext& c) {
  std::vector<bool> reduces(c.in(0).dims().size(), true);
  reduces[0] = reduces[1] = false;
  return reduces;
}
Status reference_global_average_pool(const EvalContext& c) { return reduce_mean(c, spatial_dims(c)); }
Status reference_global_max_pool(const EvalContext& c) { return reduce_greatest(c, spatial_dims(c)); }

Cost cost_window(const Attributes& attributes, std::span<const TensorType* const>,
                 std::span<const TensorType> outputs) {
  int64_t operations = elements_per_item(outputs[0]);
  for (int64_t k : attr_ints(attributes, "kernel_shape"))
    if (__builtin_mul_overflow(operations, k, &operations)) return {0, INT64_MAX};
  return {0, operations};
}
Cost cost_global(const Attributes&, std::span<const TensorType* const> inputs, std::span<const TensorType>) {
  return {0, elements_per_item(*inputs[0])};
}

}  // namespace

namespace ops {

const OpDef kMaxPool{.name = "MaxPool",
                     .since_opset = 1,
                     .operand_types = {{kFloatTypes | kByteTypes}},
                     .max_outputs = 2,  // the second, indices, is refused when asked for
                     .attributes = {{"auto_pad", AttributeKind::text},
                                    {"ceil_mode", AttributeKind::integer},
                                    {"dilations", AttributeKind::integers},
                                    {"kernel_shape", AttributeKind::integers, true},
                                    {"pads", AttributeKind::integers},
                                    {"storage_order", AttributeKind::integer},
                                    {"strides", AttributeKind::integers}},
                     .quant_rule = QuantRule::same,
                     .codes_since_opset = 12,
                     .elements = Elements::windowed,
                     .infer = infer_max_pool,
                     .reference = reference_max_pool,
                     .cost = cost_window,
                     .samples = {R"(graph "max_pool" stage imported opset 17 {
  input %x : f32[batch,3,9,7]
  %y = MaxPool(%x) {kernel_shape=[3,3], strides=[2,2], pads=[1,1,1,1]}
  output %y
})",
                                 R"(graph "max_pool_ceil_dilated" stage imported opset 17 {
  input %x : f32[batch,2,10,11]
  %y = MaxPool(%x) {kernel_shape=[2,3], strides=[3,2], dilations=[2,1], pads=[0,1,1,0], ceil_mode=1}
  output %y
})",
                                 R"(graph "max_pool_1d_same_lower" stage imported opset 17 {
  input %x : f32[batch,3,12]
  %y = MaxPool(%x) {kernel_shape=[4], strides=[3], auto_pad="SAME_LOWER"}
  output %y
})",
                                 R"(graph "max_pool_3d" stage imported opset 17 {
  input %x : f32[2,1,4,5,6]
  %y = MaxPool(%x) {kernel_shape=[2,2,3], strides=[2,1,1], auto_pad="VALID"}
  output %y
})",
                                 R"(graph "max_pool_codes" stage integer opset 17 {
  input %x : u8[batch,3,8,8] quant(scale=[0x1.4p-5], zero_point=[113])
  %y = MaxPool(%x) {kernel_shape=[2,2], strides=[2,2]} : u8[batch,3,4,4] quant(scale=[0x1.4p-5], zero_point=[113])
  output %y
})"}};

const OpDef kAveragePool{.name = "AveragePool",
                         .since_opset = 1,
                         .operand_types = {{kFloatTypes}},
                         .attributes = {{"auto_pad", AttributeKind::text},
                                        {"ceil_mode", AttributeKind::integer},
                                        {"count_include_pad", AttributeKind::integer},
                                        {"dilations", AttributeKind::integers},
                                        {"kernel_shape", AttributeKind::integers, true},
                                        {"pads", AttributeKind::integers},
                                        {"strides", AttributeKind::integers}},
                         .quant_rule = QuantRule::average,
                         .elements = Elements::windowed,
                         .infer = infer_average_pool,
                         .reference = reference_average_pool,
                         .cost = cost_window,
                         .samples = {R"(graph "average_pool" stage imported opset 17 {
  input %x : f32[batch,3,9,7]
  %y = AveragePool(%x) {kernel_shape=[3,3], strides=[2,2], pads=[1,1,1,1]}
  output %y
})",
                                     R"(graph "average_pool_include_pad" stage imported opset 17 {
  input %x : f32[batch,2,10,11]
  %y = AveragePool(%x) {kernel_shape=[3,2], strides=[2,3], pads=[1,0,1,1], ceil_mode=1, count_include_pad=1}
  output %y
})",
                                     R"(graph "average_pool_same_upper" stage imported opset 17 {
  input %x : f32[batch,3,11]
  %y = AveragePool(%x) {kernel_shape=[4], strides=[2], auto_pad="SAME_UPPER"}
  output %y
})",
                                     R"(graph "average_pool_empty_windows" stage imported opset 19 {
  input %x : f32[batch,3,2,3]
  %y = AveragePool(%x) {kernel_shape=[2,2], dilations=[4,2], pads=[2,1,2,1]}
  output %y
})",
                                     R"(graph "average_pool_codes_empty_windows" stage integer opset 19 {
  input %x : u8[batch,3,2,3] quant(scale=[0x1.4p-5], zero_point=[113])
  %y = AveragePool(%x) {kernel_shape=[2,2], dilations=[4,2], pads=[2,1,2,1]} : u8[batch,3,2,3] quant(scale=[0x1.8p-6], zero_point=[120])
  output %y
})",
                                     R"(graph "average_pool_codes" stage integer opset 17 {
  input %x : u8[batch,3,7,7] quant(scale=[0x1.4p-5], zero_point=[113])
  %y = AveragePool(%x) {kernel_shape=[3,3], strides=[2,2], pads=[1,1,1,1]} : u8[batch,3,4,4] quant(scale=[0x1.8p-6], zero_point=[120])
  output %y
})",
                                     R"(graph "average_pool_codes_3d" stage integer opset 17 {
  input %x : s8[1,2,3,4,5] quant(scale=[0x1.4p-5], zero_point=[-13])
  %y = AveragePool(%x) {kernel_shape=[2,2,2], pads=[0,1,0,0,0,1], count_include_pad=1} : s8[1,2,2,4,5] quant(scale=[0x1.8p-5], zero_point=[12])
  output %y
})"}};

const OpDef kGlobalAveragePool{.name = "GlobalAveragePool",
                               .since_opset = 1,
                               .operand_types = {{kFloatTypes}},
                               .quant_rule = QuantRule::average,
                               .infer = infer_global_average_pool,
                               .reference = reference_global_average_pool,
                               .cost = cost_global,
                               .samples = {R"(graph "global_average_pool" stage imported opset 17 {
  input %x : f32[batch,3,5,7]
  %y = GlobalAveragePool(%x)
  output %y
})",
                                           R"(graph "global_average_pool_codes" stage integer opset 17 {
  input %x : u8[batch,3,7,7] quant(scale=[0x1.4p-5], zero_point=[13])
  %y = GlobalAveragePool(%x) : u8[batch,3,1,1] quant(scale=[0x1.8p-7], zero_point=[0])
  output %y
})"}};

const OpDef kGlobalMaxPool{.name = "GlobalMaxPool",
                           .since_opset = 1,
                           .operand_types = {{kFloatTypes}},
                           .quant_rule = QuantRule::same,
                           .infer = infer_global_max_pool,
                           .reference = reference_global_max_pool,
                           .cost = cost_global,
                           .samples = {R"(graph "global_max_pool" stage imported opset 17 {
  input %x : f32[batch,3,5,7]
  %y = GlobalMaxPool(%x)
  output %y
})",
                                       R"(graph "global_max_pool_codes" stage integer opset 17 {
  input %x : s8[batch,3,9] quant(scale=[0x1.4p-5], zero_point=[13])
  %y = GlobalMaxPool(%x) : s8[batch,3,1] quant(scale=[0x1.4p-5], zero_point=[13])
  output %y
})"}};

}  // namespace ops
}  // namespace cupel
