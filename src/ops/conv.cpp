// Conv: convolution over one or two spatial dimensions, with groups.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "ir/graph.h"
#include "ops/contract.h"
#include "ops/op_table.h"
#include "ops/rules.h"
#include "ops/window.h"
#include "runtime/thread_pool.h"

namespace cupel {
namespace {

using namespace ops;

struct Geometry {
  int64_t in_channels, out_channels, groups;
  WindowAxis h, w;  // h is trivial (all ones) for one spatial dimension
};

Result<Geometry> geometry_of(const Attributes& attributes, const Shape& x, const Shape& w) {
  const std::vector<WindowAxis> axes = CUPEL_TRY(convolution_axes(attributes, x, w));
  if (!x[1].is_constant())
    return unsupported("", fmt::format("the symbolic dimension {} of operand 0 {}", to_text(x[1]), to_text(x)),
                       kGiveSize);
  Geometry g{.in_channels = x[1].factor,
             .out_channels = w[0].factor,
             .groups = attr_int(attributes, "group", 1),
             .h = axes.size() == 2 ? axes[0] : WindowAxis{},
             .w = axes.back()};
  if (g.groups < 1 || g.in_channels % g.groups != 0 || g.out_channels % g.groups != 0 ||
      CUPEL_TRY(checked_mul(w[1].factor, g.groups)) != g.in_channels)
    return bad_input(
        "", fmt::format("{} input channels, {} groups and weights {} do not fit", g.in_channels, g.groups, to_text(w)),
        "correct the model's shapes");
  return g;
}

Result<Types> infer(const InferContext& c) {
  const Geometry g = CUPEL_TRY(geometry_of(c.attributes, c.shape(0), c.shape(1)));
  Shape out = {c.shape(0)[0], g.out_channels};
  if (c.shape(0).size() == 4) out.emplace_back(g.h.out);
  out.emplace_back(g.w.out);
  if (c.type(1).quant && !c.type(1).quant->per_tensor() && c.type(1).quant->axis != 0)
    return unsupported("", fmt::format("weights with parameters along axis {}", c.type(1).quant->axis),
                       "quantize weights per tensor or along axis 0");
  const TensorType type = CUPEL_TRY(contraction_type(c, std::move(out)));
  if (c.has(2)) {
    if (c.shape(2) != Shape{g.out_channels})
      return bad_input("", fmt::format("bias has shape {}, expected [{}]", to_text(c.shape(2)), g.out_channels),
                       "correct the model's shapes");
    CUPEL_TRY(expect_dtype(c, 2, c.type(0).quant ? DType::s32 : DType::f32));
  }
  return Types{type};
}

// Weights [oc][ic][kh][kw] in the order of the chain: [oc][kh][kw][ic].
template <class T>
std::vector<T> chain_order(const T* w, int64_t out_channels, int64_t ic, int64_t taps) {
  std::vector<T> ordered(static_cast<size_t>(out_channels * ic * taps));
  for (int64_t o = 0; o < out_channels; ++o)
    for (int64_t i = 0; i < ic; ++i)
      for (int64_t t = 0; t < taps; ++t)
        ordered[static_cast<size_t>((o * taps + t) * ic + i)] = w[(o * ic + i) * taps + t];
  return ordered;
}

// Rows (kh, kw, ic) of the output pixels [begin, begin+count) of one image and group; x points at its first channel.
template <class T>
void gather_columns(const Geometry& g, int64_t ic, const T* x, int64_t begin, int64_t count, T* columns,
                    int64_t pitch) {
  const int64_t plane = g.h.in * g.w.in;
  for (int64_t kh = 0; kh < g.h.kernel; ++kh)
    for (int64_t kw = 0; kw < g.w.kernel; ++kw)
      for (int64_t c = 0; c < ic; ++c) {
        T* row = columns + ((kh * g.w.kernel + kw) * ic + c) * pitch;
        const T* image = x + c * plane;
        int64_t oy = begin / g.w.out, ox = begin % g.w.out;
        for (int64_t done = 0; done < count; ox = 0, ++oy) {
          const int64_t run = std::min(g.w.out - ox, count - done);
          const int64_t y = g.h.start(oy) + kh * g.h.dilation;
          T* out = row + done;
          done += run;
          if (y < 0 || y >= g.h.in) {
            std::fill(out, out + run, T{});
            continue;
          }
          const T* line = image + y * g.w.in;
          const int64_t first = g.w.start(ox) + kw * g.w.dilation;
          if (g.w.stride == 1 && first >= 0 && first + run <= g.w.in) {
            std::memcpy(out, line + first, static_cast<size_t>(run) * sizeof(T));
            continue;
          }
          for (int64_t i = 0; i < run; ++i) {
            const int64_t at = first + i * g.w.stride;
            out[i] = at >= 0 && at < g.w.in ? line[at] : T{};
          }
        }
      }
}

constexpr int64_t kPixelBlock = 512;

// Calls block(image, group, first pixel, pixels, columns) for every block of output pixels, on all threads.
template <class T, class Block>
void for_each_block(const Geometry& g, int64_t images, const T* x, ThreadPool& threads, Block&& block) {
  const int64_t ic = g.in_channels / g.groups, depth = ic * g.h.kernel * g.w.kernel, pixels = g.h.out * g.w.out;
  const int64_t blocks = (pixels + kPixelBlock - 1) / kPixelBlock;
  threads.parallel_for(images * g.groups * blocks, 1, [&](int64_t begin, int64_t end) {
    std::vector<T> columns(static_cast<size_t>(depth * kPixelBlock));
    for (int64_t i = begin; i < end; ++i) {
      const int64_t first = i % blocks * kPixelBlock, group = i / blocks % g.groups, image = i / blocks / g.groups;
      const int64_t count = std::min(kPixelBlock, pixels - first);
      gather_columns(g, ic, x + (image * g.in_channels + group * ic) * g.h.in * g.w.in, first, count, columns.data(),
                     kPixelBlock);
      block(image, group, first, count, columns.data());
    }
  });
}

Status reference(const EvalContext& c) {
  const Geometry g = CUPEL_TRY(geometry_of(c.attributes, to_shape(c.in(0).dims()), to_shape(c.in(1).dims())));
  const int64_t images = c.in(0).dims()[0], pixels = g.h.out * g.w.out;
  const int64_t ic = g.in_channels / g.groups, oc = g.out_channels / g.groups, taps = g.h.kernel * g.w.kernel,
                depth = ic * taps;
  if (c.out().empty()) return {};
  if (!c.input_types[0]->quant) {
    const std::vector<float> w = chain_order(c.in(1).data<float>().data(), g.out_channels, ic, taps);
    const float* bias = c.has(2) ? c.in(2).data<float>().data() : nullptr;
    float* out = c.out().mutable_data<float>().data();
    const bool padded = g.h.reads_padding() || g.w.reads_padding();
    for_each_block(g, images, c.in(0).data<float>().data(), c.threads,
                   [&](int64_t image, int64_t group, int64_t first, int64_t count, const float* columns) {
                     float* results = out + (image * g.out_channels + group * oc) * pixels + first;
                     for (int64_t o = 0; o < oc; ++o)
                       std::fill_n(results + o * pixels, count, bias ? bias[group * oc + o] : 0.0f);
                     contract_f32(oc, count, depth, w.data() + group * oc * depth, columns, kPixelBlock, results,
                                  pixels);
                     for (int64_t o = 0; padded && o < oc; ++o)
                       for (int64_t i = 0; i < count; ++i) results[o * pixels + i] += 0.0f;
                   });
    return {};
  }
  const std::vector<int16_t> x = centered_codes(c.in(0), *c.input_types[0]);
  const std::vector<int16_t> w =
      chain_order(centered_codes(c.in(1), *c.input_types[1]).data(), g.out_channels, ic, taps);
  const int32_t* bias = c.has(2) ? c.in(2).data<int32_t>().data() : nullptr;
  const ContractionResult result(*c.input_types[0], *c.input_types[1], c.output_types[0], g.out_channels);
  for_each_block(g, images, x.data(), c.threads,
                 [&](int64_t image, int64_t group, int64_t first, int64_t count, const int16_t* columns) {
                   thread_local std::vector<int32_t> sums;
                   sums.resize(static_cast<size_t>(oc * kPixelBlock));
                   for (int64_t o = 0; o < oc; ++o)
                     std::fill_n(sums.data() + o * kPixelBlock, count, bias ? bias[group * oc + o] : 0);
                   contract_s32(oc, count, depth, w.data() + group * oc * depth, columns, kPixelBlock, sums.data(),
                                kPixelBlock);
                   for (int64_t o = 0; o < oc; ++o)
                     result.store(sums.data() + o * kPixelBlock, count, group * oc + o, c.out(),
                                  (image * g.out_channels + group * oc + o) * pixels + first);
                 });
  return {};
}

Cost cost(const Attributes& attributes, std::span<const TensorType* const> inputs,
          std::span<const TensorType> outputs) {
  const auto out = bind_shape(outputs[0].shape, 1);
  const auto w = bind_shape(inputs[1]->shape, 1);
  if (!out || !w || (*w)[0] == 0) return {};
  (void)attributes;
  return {element_count(*out) * (element_count(*w) / (*w)[0]), 0};
}

int64_t channel_axis(const Attributes&, int64_t) { return 0; }

}  // namespace

namespace ops {
const OpDef kConv{.name = "Conv",
                  .since_opset = 1,
                  .operand_types = same_type(kFloatTypes),
                  .min_inputs = 2,
                  .max_inputs = 3,
                  .attributes = {{"auto_pad", AttributeKind::text},
                                 {"dilations", AttributeKind::integers},
                                 {"group", AttributeKind::integer},
                                 {"kernel_shape", AttributeKind::integers},
                                 {"pads", AttributeKind::integers},
                                 {"strides", AttributeKind::integers}},
                  .quant_rule = QuantRule::contraction,
                  .elements = Elements::windowed,
                  .channel_axis = channel_axis,
                  .infer = infer,
                  .reference = reference,
                  .cost = cost,
                  .samples = {
                      R"(graph "conv3x3" stage imported opset 17 {
  input %x : f32[batch,3,7,9]
  input %w : f32[4,3,3,3]
  input %b : f32[4]
  %y = Conv(%x, %w, %b) {kernel_shape=[3,3], pads=[1,1,1,1]}
  output %y
})",
                      R"(graph "conv_stride_dilation" stage imported opset 17 {
  input %x : f32[2,2,11,10]
  input %w : f32[3,2,3,2]
  %y = Conv(%x, %w) {strides=[2,3], dilations=[2,1], pads=[2,0,1,1]}
  output %y
})",
                      R"(graph "conv_depthwise" stage imported opset 17 {
  input %x : f32[batch,6,5,5]
  input %w : f32[6,1,3,3]
  input %b : f32[6]
  %y = Conv(%x, %w, %b) {group=6, pads=[1,1,1,1], strides=[2,2]}
  output %y
})",
                      R"(graph "conv_same_upper" stage imported opset 17 {
  input %x : f32[1,4,6,6]
  input %w : f32[6,2,3,3]
  %y = Conv(%x, %w) {group=2, auto_pad="SAME_UPPER", strides=[2,2]}
  output %y
})",
                      R"(graph "conv_1d" stage imported opset 17 {
  input %x : f32[batch,3,12]
  input %w : f32[5,3,4]
  %y = Conv(%x, %w) {pads=[1,2]}
  output %y
})",
                      R"(graph "conv_codes" stage integer opset 17 {
  input %x : u8[batch,3,7,9] quant(scale=[0x1p-6], zero_point=[100])
  input %w : s8[2,3,3,3] quant(axis=0, scale=[0x1p-7, 0x1.8p-7], zero_point=[0, 0])
  input %b : s32[2]
  %y = Conv(%x, %w, %b) {pads=[1,1,1,1]} : u8[batch,2,7,9] quant(scale=[0x1p-4], zero_point=[128])
  output %y
})",
                      R"(graph "conv_1d_codes" stage integer opset 17 {
  input %x : u8[batch,4,9] quant(scale=[0x1p-6], zero_point=[100])
  input %w : s8[5,4,3] quant(scale=[0x1p-7], zero_point=[0])
  %y = Conv(%x, %w) {pads=[1,2], strides=[2]} : u8[batch,5,5] quant(scale=[0x1p-3], zero_point=[128])
  output %y
})",
                      R"(graph "conv_groups_codes" stage integer opset 17 {
  input %x : u8[batch,8,5,6] quant(scale=[0x1p-6], zero_point=[100])
  input %w : s8[32,4,3,3] quant(scale=[0x1p-7], zero_point=[0])
  input %b : s32[32]
  %y = Conv(%x, %w, %b) {group=2, pads=[1,1,1,1]} : u8[batch,32,5,6] quant(scale=[0x1p-3], zero_point=[128])
  output %y
})",
                      R"(graph "conv_groups_s8" stage integer opset 17 {
  input %x : s8[batch,6,5,5] quant(scale=[0x1p-6], zero_point=[-9])
  input %w : s8[9,2,1,3] quant(scale=[0x1p-7], zero_point=[0])
  %y = Conv(%x, %w) {group=3, pads=[0,1,0,1], strides=[2,1]} : s8[batch,9,3,5] quant(scale=[0x1p-4], zero_point=[5])
  output %y
})",
                      R"(graph "conv_codes_to_float" stage integer opset 17 {
  input %x : s8[1,4,5,5] quant(scale=[0x1p-6], zero_point=[-3])
  input %w : s8[4,1,3,3] quant(scale=[0x1p-7], zero_point=[2])
  %y = Conv(%x, %w) {group=4}
  output %y
})"}};
}  // namespace ops
}  // namespace cupel
