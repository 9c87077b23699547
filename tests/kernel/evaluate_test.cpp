// evaluate_kernel against plain loops over logical tensors, written without accesses or packing.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <random>

#include "base/same_bytes.h"
#include "base/scalar_math.h"
#include "kernel/kernel.h"
#include "kernel/packing.h"
#include "kernel/random_kernels.h"
#include "lower/builder.h"
#include "ops/partial_sums.h"
#include "ops/requantize.h"

namespace cupel {
namespace {

using Random = std::mt19937;
int64_t pick(Random& random, int64_t least, int64_t greatest) {
  return std::uniform_int_distribution<int64_t>(least, greatest)(random);
}
template <class T>
std::vector<T> random_values(Random& random, int64_t count) {
  std::vector<T> values(static_cast<size_t>(count));
  for (T& value : values) {
    if constexpr (std::is_same_v<T, float>) {
      value = std::uniform_real_distribution<float>(-3, 3)(random);
    } else {
      value = static_cast<T>(random());
    }
  }
  return values;
}
template <class T>
std::byte* bytes(std::vector<T>& values) {
  return reinterpret_cast<std::byte*>(values.data());
}
void run(const Kernel& kernel, std::vector<std::byte*> buffers, int64_t items = 1) {
  const Status status = check_kernel(kernel);
  ASSERT_TRUE(status) << status.error().message() << "\n" << print_kernel(kernel);
  evaluate_kernel(kernel, buffers, items);
}
int64_t up16(int64_t n) { return (n + 15) / 16 * 16; }

struct Conv {
  int64_t batch, in_h, in_w, groups, ic, oc, kh, kw, stride_h, stride_w, pad, dilation;  // ic, oc: per group
  int64_t out_h() const { return (in_h + 2 * pad - dilation * (kh - 1) - 1) / stride_h + 1; }
  int64_t out_w() const { return (in_w + 2 * pad - dilation * (kw - 1) - 1) / stride_w + 1; }
};
Conv random_conv(Random& random) {
  Conv c{};
  do {
    c = {pick(random, 1, 2), pick(random, 1, 9),  pick(random, 1, 9), pick(random, 1, 3),
         pick(random, 1, 9), pick(random, 1, 20), pick(random, 1, 3), pick(random, 1, 3),
         pick(random, 1, 2), pick(random, 1, 2),  pick(random, 0, 2), pick(random, 1, 2)};
  } while (c.in_h + 2 * c.pad < c.dilation * (c.kh - 1) + 1 || c.in_w + 2 * c.pad < c.dilation * (c.kw - 1) + 1);
  return c;
}
// Spec of a convolution of NHWC images with a halo of `pad` pixels, channels of all groups side by side; the result is
// NHWC with every group's channels in whole blocks of 16.
ContractSpec conv_spec(const Conv& c, DType type, DType weights, DType out) {
  const int64_t size = dtype_bits(type) / 8, out_size = dtype_bits(out) / 8;
  const int64_t pixel = c.groups * c.ic * size, line = (c.in_w + 2 * c.pad) * pixel;
  const int64_t block = type == DType::f32 ? block_bytes_f32(c.kh * c.kw, c.ic) : block_bytes_s8(c.kh * c.kw, c.ic);
  const int64_t out_pixel = c.groups * up16(c.oc) * out_size;
  ContractSpec s;
  s.space = {c.groups, c.out_h(), c.out_w(), c.oc};
  s.a = {type, false, 0, (c.in_h + 2 * c.pad) * line, {c.ic * size, c.stride_h * line, c.stride_w * pixel, 0}};
  s.b = {weights, true, 0, 0, {block * (up16(c.oc) / 16), 0, 0, 0}};
  s.b_block_stride = block;
  s.start = {type == DType::f32 ? DType::f32 : DType::s32, true, 0, 0, {up16(c.oc) * 4, 0, 0, 4}};
  s.loops = {{c.kh, c.dilation * line}, {c.kw, c.dilation * pixel}};
  s.run = c.ic;
  s.out = {out,
           false,
           0,
           c.out_h() * c.out_w() * out_pixel,
           {up16(c.oc) * out_size, c.out_w() * out_pixel, out_pixel, out_size}};
  return s;
}
// The image with its halo, `fill` around it.
template <class T>
std::vector<T> with_halo(const Conv& c, const std::vector<T>& x, T fill) {
  const int64_t channels = c.groups * c.ic, h = c.in_h + 2 * c.pad, w = c.in_w + 2 * c.pad;
  std::vector<T> padded(static_cast<size_t>(c.batch * h * w * channels + 64), fill);
  for (int64_t n = 0; n < c.batch; ++n)
    for (int64_t y = 0; y < c.in_h; ++y)
      for (int64_t z = 0; z < c.in_w * channels; ++z)
        padded[static_cast<size_t>(((n * h + y + c.pad) * w + c.pad) * channels + z)] =
            x[static_cast<size_t>((n * c.in_h + y) * c.in_w * channels + z)];
  return padded;
}
// Packs the weights of all groups; each group's are [oc][kh][kw][ic].
template <class T>
std::vector<std::byte> packed_groups(const Conv& c, const std::vector<T>& weights) {
  std::vector<std::byte> all;
  const int64_t depth = c.kh * c.kw * c.ic;
  for (int64_t g = 0; g < c.groups; ++g) {
    const Tensor group = Tensor::of<T>(
        {c.oc, depth}, std::span(&weights[static_cast<size_t>(g * c.oc * depth)], static_cast<size_t>(c.oc * depth)));
    const Tensor packed = std::is_same_v<T, float> ? pack_weights_f32(group) : pack_weights_s8(group, c.ic);
    all.insert(all.end(), packed.bytes().begin(), packed.bytes().end());
  }
  return all;
}
// Calls body(n, g, y, x, column, place of the result, place of the start).
template <class Body>
void for_each_output(const Conv& c, Body&& body) {
  for (int64_t n = 0; n < c.batch; ++n)
    for (int64_t g = 0; g < c.groups; ++g)
      for (int64_t y = 0; y < c.out_h(); ++y)
        for (int64_t x = 0; x < c.out_w(); ++x)
          for (int64_t o = 0; o < c.oc; ++o)
            body(n, g, y, x, o,
                 static_cast<size_t>((((n * c.out_h() + y) * c.out_w() + x) * c.groups + g) * up16(c.oc) + o),
                 static_cast<size_t>(g * up16(c.oc) + o));
}
// Calls body(input index or −1 in the padding, weight index) for the products of one output, in their defined order.
template <class Body>
void for_each_product(const Conv& c, int64_t n, int64_t g, int64_t y, int64_t x, int64_t o, Body&& body) {
  for (int64_t ky = 0; ky < c.kh; ++ky)
    for (int64_t kx = 0; kx < c.kw; ++kx)
      for (int64_t i = 0; i < c.ic; ++i) {
        const int64_t iy = y * c.stride_h + ky * c.dilation - c.pad, ix = x * c.stride_w + kx * c.dilation - c.pad;
        const bool inside = iy >= 0 && iy < c.in_h && ix >= 0 && ix < c.in_w;
        body(inside ? ((n * c.in_h + iy) * c.in_w + ix) * c.groups * c.ic + g * c.ic + i : -1,
             static_cast<size_t>((((g * c.oc + o) * c.kh + ky) * c.kw + kx) * c.ic + i));
      }
}

TEST(EvaluateContract, QuantizedConvolutionsWithResidualAreThoseOfPlainLoops) {
  Random random(1);
  for (int round = 0; round < 60; ++round) {
    const Conv c = random_conv(random);
    SCOPED_TRACE(round);
    const int32_t zx = static_cast<int32_t>(pick(random, 0, 255)), zy = static_cast<int32_t>(pick(random, 0, 255)),
                  zr = 11;
    const float residual_scale = 0.75f;
    const bool is_signed = round % 2 == 1;  // s8 activations are stored as code + 128
    const auto x = random_values<uint8_t>(random, c.batch * c.in_h * c.in_w * c.groups * c.ic);
    const auto w = random_values<int8_t>(random, c.groups * c.oc * c.kh * c.kw * c.ic);
    const auto bias = random_values<int16_t>(random, c.groups * up16(c.oc));
    auto m = random_values<float>(random, c.groups * up16(c.oc));
    for (float& value : m) value *= 0.003f;
    auto residual = random_values<uint8_t>(random, c.batch * c.out_h() * c.out_w() * c.groups * up16(c.oc));

    ContractSpec s = conv_spec(c, DType::u8, DType::s8, is_signed ? DType::s8 : DType::u8);
    const DType out_type = s.out.dtype;
    const int32_t z = is_signed ? zy - 128 : zy;
    s.operands = {{DType::f32, true, 0, 0, {up16(c.oc) * 4, 0, 0, 4}},
                  {DType::u8, false, 0, s.out.item_stride, s.out.strides}};
    ExprBuilder b;
    const Scalar v = to_f32(b.accumulator(0, ScalarType::s32)) * b.operand(0, DType::f32);
    s.epilogue = b.finish(to_code(relu(fma(to_f32(b.operand(1, DType::u8) - zr), residual_scale, v)), out_type, z));
    // Zero points are folded into the start: the halo holds zx.
    std::vector<int32_t> start(bias.begin(), bias.end());
    for (int64_t g = 0; g < c.groups; ++g)
      for (int64_t o = 0; o < c.oc; ++o)
        for (int64_t k = 0; k < c.kh * c.kw * c.ic; ++k)
          start[static_cast<size_t>(g * up16(c.oc) + o)] -=
              zx * w[static_cast<size_t>((g * c.oc + o) * c.kh * c.kw * c.ic + k)];
    std::vector<uint8_t> padded = with_halo(c, x, static_cast<uint8_t>(zx)), out(residual.size());
    std::vector<std::byte> packed = packed_groups(c, w);
    run({s, ContractSchedule()}, {bytes(out), bytes(padded), packed.data(), bytes(start), bytes(m), bytes(residual)},
        c.batch);

    const ops::CodeRange range(out_type, z);
    for_each_output(c, [&](int64_t n, int64_t g, int64_t y, int64_t xx, int64_t o, size_t at, size_t column) {
      int64_t acc = bias[column];
      for_each_product(c, n, g, y, xx, o, [&](int64_t i, size_t k) {
        if (i >= 0) acc += (x[static_cast<size_t>(i)] - zx) * w[k];
      });
      const float scaled = static_cast<float>(static_cast<int32_t>(acc)) * m[column];
      const float sum = std::fma(static_cast<float>(residual[at] - zr), residual_scale, scaled);
      const int32_t expected = ops::to_code(sum < 0 ? 0.0f : sum, range);
      ASSERT_EQ(is_signed ? static_cast<int8_t>(out[at]) : out[at], expected);
    });
  }
}

TEST(EvaluateContract, HalfWordWeightsGiveTheSumsOfBytes) {
  for (uint64_t seed = 0; seed < 100; ++seed) {
    RandomKernel whole = make_random_kernel(KernelForm::contract, seed),
                 half = make_random_kernel(KernelForm::contract, seed, {.s16_weights = true});
    if (std::get<ContractSpec>(whole.kernel.spec).b.dtype != DType::s8) continue;
    ASSERT_EQ(std::get<ContractSpec>(half.kernel.spec).b.dtype, DType::s16);
    EXPECT_EQ(compare_results(half, expected_result(whole), expected_result(half)), "");
  }
}

TEST(EvaluateContract, FloatConvolutionsAreOneChainOfFma) {
  Random random(2);
  for (int round = 0; round < 60; ++round) {
    const Conv c = random_conv(random);
    SCOPED_TRACE(round);
    const auto x = random_values<float>(random, c.batch * c.in_h * c.in_w * c.groups * c.ic);
    const auto w = random_values<float>(random, c.groups * c.oc * c.kh * c.kw * c.ic);
    auto bias = random_values<float>(random, c.groups * up16(c.oc));
    ContractSpec s = conv_spec(c, DType::f32, DType::f32, DType::f32);
    ExprBuilder b;
    s.epilogue = b.finish(*unary_expression("Silu", {}, b.accumulator(0, ScalarType::f32)));
    std::vector<float> padded = with_halo(c, x, 0.0f),
                       out(static_cast<size_t>(c.batch * c.out_h() * c.out_w() * c.groups * up16(c.oc)));
    std::vector<std::byte> packed = packed_groups(c, w);
    run({s, ContractSchedule()}, {bytes(out), bytes(padded), packed.data(), bytes(bias)}, c.batch);
    for_each_output(c, [&](int64_t n, int64_t g, int64_t y, int64_t xx, int64_t o, size_t at, size_t column) {
      float acc = bias[column];
      for_each_product(c, n, g, y, xx, o, [&](int64_t i, size_t k) {
        acc = std::fma(i < 0 ? 0.0f : x[static_cast<size_t>(i)], w[k], acc);
      });
      ASSERT_EQ(std::bit_cast<uint32_t>(out[at]), std::bit_cast<uint32_t>(silu_f32(acc)));
    });
  }
}

// A window over h × w pixels of `channels` with one item, taps kh × kw.
struct Pool {
  int64_t out_h, out_w, channels, kh, kw, stride;
  int64_t in_w() const { return (out_w - 1) * stride + kw; }
  int64_t in_h() const { return (out_h - 1) * stride + kh; }
  int64_t pitch() const { return up16(channels); }
  size_t input(int64_t y, int64_t x, int64_t ky, int64_t kx, int64_t c) const {
    return static_cast<size_t>(((y * stride + ky) * in_w() + x * stride + kx) * pitch() + c);
  }
};
WindowSpec pool_spec(const Pool& p, WindowKind kind, DType type, DType out) {
  const int64_t size = dtype_bits(type) / 8, out_size = dtype_bits(out) / 8, pixel = p.pitch() * size,
                line = p.in_w() * pixel;
  WindowSpec s{.kind = kind, .space = {p.out_h, p.out_w, p.channels}};
  s.a = {type, false, 0, 0, {p.stride * line, p.stride * pixel, size}};
  s.loops = {{p.kh, line}, {p.kw, pixel}};
  s.out = {out, false, 0, 0, {p.out_w * p.pitch() * out_size, p.pitch() * out_size, out_size}};
  return s;
}
template <class Body>
void for_each_pooled(const Pool& p, Body&& body) {
  for (int64_t y = 0; y < p.out_h; ++y)
    for (int64_t x = 0; x < p.out_w; ++x)
      for (int64_t c = 0; c < p.channels; ++c) body(y, x, c, static_cast<size_t>((y * p.out_w + x) * p.pitch() + c));
}

TEST(EvaluateWindow, DotSumAndMaxOfCodesAreThoseOfPlainLoops) {
  Random random(3);
  for (int round = 0; round < 60; ++round) {
    const Pool p{pick(random, 1, 6), pick(random, 1, 6), pick(random, 1, 90),
                 pick(random, 1, 4), pick(random, 1, 4), pick(random, 1, 2)};
    auto codes = random_values<int8_t>(random, p.in_h() * p.in_w() * p.pitch());
    auto weights = random_values<int8_t>(random, p.kh * p.kw * p.pitch());
    auto start = random_values<int32_t>(random, p.pitch());
    for (int32_t& value : start) value >>= 8;
    ExprBuilder b;
    const ScalarExpr plain = b.finish(b.accumulator(0, ScalarType::s32));
    std::vector<int32_t> dots(static_cast<size_t>(p.out_h * p.out_w * p.pitch())), sums(dots), greatest(dots);
    WindowSpec dot = pool_spec(p, WindowKind::dot, DType::u8, DType::s32),
               sum = pool_spec(p, WindowKind::sum, DType::s8, DType::s32),
               max = pool_spec(p, WindowKind::max, DType::s8, DType::s32);
    dot.weights = {DType::s8, true, 0, 0, {0, 0, 1}};
    dot.weights_tap_stride = p.pitch();
    dot.start = {DType::s32, true, 0, 0, {0, 0, 4}};
    dot.epilogue = sum.epilogue = max.epilogue = plain;
    run({dot, WindowSchedule()}, {bytes(dots), bytes(codes), bytes(weights), bytes(start)});
    run({sum, WindowSchedule()}, {bytes(sums), bytes(codes)});
    run({max, WindowSchedule()}, {bytes(greatest), bytes(codes)});
    for_each_pooled(p, [&](int64_t y, int64_t x, int64_t c, size_t at) {
      int32_t acc = start[static_cast<size_t>(c)], total = 0, most = -128;
      for (int64_t ky = 0; ky < p.kh; ++ky)
        for (int64_t kx = 0; kx < p.kw; ++kx) {
          const int8_t code = codes[p.input(y, x, ky, kx, c)];
          acc += static_cast<uint8_t>(code) * weights[static_cast<size_t>((ky * p.kw + kx) * p.pitch() + c)];
          total += code;
          most = std::max<int32_t>(most, code);
        }
      ASSERT_EQ(dots[at], acc);
      ASSERT_EQ(sums[at], total);
      ASSERT_EQ(greatest[at], most);
    });
  }
}

TEST(EvaluateWindow, FloatsGoThroughTheTapsInOrder) {
  Random random(4);
  for (int round = 0; round < 30; ++round) {
    const Pool p{pick(random, 1, 4), pick(random, 1, 4), pick(random, 1, 40),
                 pick(random, 1, 4), pick(random, 1, 4), pick(random, 1, 2)};
    auto numbers = random_values<float>(random, p.in_h() * p.in_w() * p.pitch());
    for (float& value : numbers)
      if (random() % 16 == 0) value = random() % 2 == 0 ? std::numeric_limits<float>::quiet_NaN() : -0.0f;
    auto weights = random_values<float>(random, p.kh * p.kw * p.pitch()),
         start = random_values<float>(random, p.pitch());
    ExprBuilder b;
    const ScalarExpr plain = b.finish(b.accumulator(0, ScalarType::f32));
    std::vector<float> dots(static_cast<size_t>(p.out_h * p.out_w * p.pitch())), sums(dots), greatest(dots);
    WindowSpec dot = pool_spec(p, WindowKind::dot, DType::f32, DType::f32),
               sum = pool_spec(p, WindowKind::sum, DType::f32, DType::f32),
               max = pool_spec(p, WindowKind::max, DType::f32, DType::f32);
    dot.weights = {DType::f32, true, 0, 0, {0, 0, 4}};
    dot.weights_tap_stride = p.pitch() * 4;
    dot.start = {DType::f32, true, 0, 0, {0, 0, 4}};
    dot.epilogue = sum.epilogue = max.epilogue = plain;
    run({dot, WindowSchedule()}, {bytes(dots), bytes(numbers), bytes(weights), bytes(start)});
    run({sum, WindowSchedule()}, {bytes(sums), bytes(numbers)});
    run({max, WindowSchedule()}, {bytes(greatest), bytes(numbers)});
    for_each_pooled(p, [&](int64_t y, int64_t x, int64_t c, size_t at) {
      float acc = start[static_cast<size_t>(c)], total = 0, most = -std::numeric_limits<float>::infinity();
      for (int64_t ky = 0; ky < p.kh; ++ky)
        for (int64_t kx = 0; kx < p.kw; ++kx) {
          const float v = numbers[p.input(y, x, ky, kx, c)];
          acc = std::fma(v, weights[static_cast<size_t>((ky * p.kw + kx) * p.pitch() + c)], acc);
          total = total + v;
          most = v > most ? v : most;
        }
      ASSERT_TRUE(same_bytes(dots[at], acc));
      ASSERT_TRUE(same_bytes(sums[at], total));
      ASSERT_TRUE(same_bytes(greatest[at], most));
    });
  }
}

MapSpec copy_spec(DType type, Dims space, Access from, Access to) {
  ExprBuilder b;
  const ScalarExpr value = b.finish(b.operand(0, type));
  return {std::move(space), {std::move(from)}, value, std::move(to)};
}

TEST(EvaluateMap, TransposesAndReversesByStrides) {
  std::vector<uint8_t> x(2 * 3 * 5), y(x.size());
  for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<uint8_t>(i);
  // [2][3][5] to [5][2][3], the last dimension read backwards.
  const MapSpec s =
      copy_spec(DType::u8, {5, 2, 3}, {DType::u8, false, 10, 0, {1, 15, -5}}, {DType::u8, false, 0, 0, {6, 3, 1}});
  run({s, MapSchedule()}, {bytes(y), bytes(x)});
  for (size_t i = 0; i < 5; ++i)
    for (size_t j = 0; j < 2; ++j)
      for (size_t k = 0; k < 3; ++k) EXPECT_EQ(y[i * 6 + j * 3 + k], x[j * 15 + (2 - k) * 5 + i]);
}

TEST(EvaluateMap, BroadcastsByStrideZeroAndAddsAsDocumented) {
  std::vector<uint8_t> a = {1, 2, 3, 4, 5, 6}, row = {10, 20, 30}, out(6);
  ExprBuilder b;
  const Scalar t = from_code(b.operand(0, DType::u8), 2, 0.5f);
  MapSpec s{{2, 3},
            {{DType::u8, false, 0, 0, {3, 1}}, {DType::u8, true, 0, 0, {0, 1}}},
            {},
            {DType::u8, false, 0, 0, {3, 1}}};
  s.value = b.finish(to_code(fma(to_f32(b.operand(1, DType::u8) - 5), 0.25f, t), DType::u8, 100));
  run({s, MapSchedule()}, {bytes(out), bytes(a), bytes(row)});
  const ops::CodeRange range(DType::u8, 100);
  for (size_t i = 0; i < 6; ++i)
    EXPECT_EQ(
        out[i],
        ops::to_code(std::fma(static_cast<float>(row[i % 3] - 5), 0.25f, static_cast<float>(a[i] - 2) * 0.5f), range));
}

TEST(EvaluateMap, FillsAndWritesSlicesAndLooksUpTables) {
  std::vector<int8_t> out(2 * 8, 1), part = {5, -6, 7, -128, 127, 0};
  ExprBuilder b;
  run({MapSpec{{2, 8}, {}, b.finish(-3), {DType::s8, false, 0, 0, {8, 1}}}, MapSchedule()}, {bytes(out)});
  EXPECT_EQ(out, std::vector<int8_t>(16, -3));
  run({copy_spec(DType::s8, {2, 3}, {DType::s8, false, 0, 0, {3, 1}}, {DType::s8, false, 4, 0, {8, 1}}), MapSchedule()},
      {bytes(out), bytes(part)});
  EXPECT_EQ(out, (std::vector<int8_t>{-3, -3, -3, -3, 5, -6, 7, -3, -3, -3, -3, -3, -128, 127, 0, -3}));

  std::vector<uint8_t> table(256);
  for (size_t i = 0; i < 256; ++i) table[i] = static_cast<uint8_t>(255 - i);
  std::vector<uint8_t> found(6);
  ExprBuilder t;
  const MapSpec look{{6},
                     {{DType::s8, false, 0, 0, {1}}, {DType::u8, true, 0, 0, {0}}},
                     t.finish(t.table(1, t.operand(0, DType::s8))),
                     {DType::u8, false, 0, 0, {1}}};
  run({look, MapSchedule()}, {bytes(found), bytes(part), bytes(table)});
  for (size_t i = 0; i < 6; ++i) EXPECT_EQ(found[i], table[static_cast<uint8_t>(part[i])]);
}

TEST(EvaluateMap, WalksBatchItemsByTheirStrides) {
  std::vector<float> x = {1, 2, 3, 4, 5, 6}, y(9, -1.0f);
  run({copy_spec(DType::f32, {2}, {DType::f32, false, 0, 8, {4}}, {DType::f32, false, 4, 12, {4}}), MapSchedule()},
      {bytes(y), bytes(x)}, 3);
  EXPECT_EQ(y, (std::vector<float>{-1, 1, 2, -1, 3, 4, -1, 5, 6}));
}

// Softmax and layer normalization by the formulas of docs/quantization.md 4.
TEST(EvaluateRow, SoftmaxAndLayerNormalizationAreTheReferences) {
  Random random(5);
  for (const int64_t n : {1, 2, 63, 64, 65, 128, 197, 1000}) {
    auto x = random_values<float>(random, 3 * n), scale = random_values<float>(random, n),
         bias = random_values<float>(random, n);
    const Access all{DType::f32, false, 0, 0, {n * 4, 4}}, shared{DType::f32, true, 0, 0, {0, 4}};
    const auto count = static_cast<float>(n);
    ExprBuilder b0, b1, b2, c0, c0f, c1, c1f, c2;
    RowSpec softmax{.space = {3, n}, .operands = {all}, .out = all},
        norm{.space = {3, n}, .operands = {all, shared, shared}, .out = all};
    softmax.steps.push_back({RowReduction::greatest, b0.finish(b0.operand(0, DType::f32)), {}});
    const auto power = [](ExprBuilder& b) { return exp(b.operand(0, DType::f32) - b.accumulator(0, ScalarType::f32)); };
    softmax.steps.push_back({RowReduction::sum64, b1.finish(power(b1)), {}});
    softmax.value = b2.finish(power(b2) / b2.accumulator(1, ScalarType::f32));
    const auto centered = [](ExprBuilder& b) { return b.operand(0, DType::f32) - b.accumulator(0, ScalarType::f32); };
    norm.steps.push_back({RowReduction::sum64, c0.finish(c0.operand(0, DType::f32)),
                          c0f.finish(c0f.accumulator(0, ScalarType::f32) / count)});
    norm.steps.push_back({RowReduction::squares64, c1.finish(centered(c1)),
                          c1f.finish(1.0f / sqrt(c1f.accumulator(1, ScalarType::f32) / count + 1e-5f))});
    norm.value = c2.finish(
        fma(centered(c2) * c2.accumulator(1, ScalarType::f32), c2.operand(1, DType::f32), c2.operand(2, DType::f32)));
    std::vector<float> soft(x.size()), normal(x.size());
    run({softmax, RowSchedule()}, {bytes(soft), bytes(x)});
    run({norm, RowSchedule()}, {bytes(normal), bytes(x), bytes(scale), bytes(bias)});

    for (size_t row = 0; row < 3; ++row) {
      const float* values = &x[row * static_cast<size_t>(n)];
      float m = -std::numeric_limits<float>::infinity();
      for (int64_t i = 0; i < n; ++i) m = values[i] > m ? values[i] : m;
      std::vector<float> powers, d;
      for (int64_t i = 0; i < n; ++i) powers.push_back(exp_f32(values[i] - m));
      const float total = ops::sum64(powers.data(), n, ops::PlainSum{}),
                  mean = ops::sum64(values, n, ops::PlainSum{}) / count;
      for (int64_t i = 0; i < n; ++i) d.push_back(values[i] - mean);
      const float v = ops::sum64(d.data(), n, [](float partial, float y) { return std::fma(y, y, partial); });
      const float r = 1.0f / std::sqrt(v / count + 1e-5f);
      for (size_t i = 0; i < static_cast<size_t>(n); ++i) {
        ASSERT_TRUE(same_bytes(soft[row * static_cast<size_t>(n) + i], powers[i] / total)) << n;
        ASSERT_TRUE(same_bytes(normal[row * static_cast<size_t>(n) + i], std::fma(d[i] * r, scale[i], bias[i]))) << n;
      }
    }
  }
}

// A table of three rows of two; four indices for each of two items.
TEST(Evaluate, GatherLooksUpRows) {
  CallSpec s;
  s.space = {4, 2};
  s.operands = {{DType::f32, true, 0, 0, {0, 4}}, {DType::s64, false, 0, 32, {8, 0}}};
  s.integers = {3, 8};
  s.out = {DType::f32, false, 0, 32, {8, 4}};
  const Kernel kernel = {s, CallSchedule()};
  ASSERT_TRUE(check_kernel(kernel));
  const float table[] = {1, 2, 3, 4, 5, 6};
  int64_t indices[] = {2, 0, -1, -3, 1, 1, -2, 0};
  float out[16] = {};
  CupelFault fault = {};
  const auto bytes = [](const void* p) { return static_cast<std::byte*>(const_cast<void*>(p)); };
  const std::vector<std::byte*> buffers = {bytes(out), bytes(table), bytes(indices), bytes(&fault)};
  evaluate_kernel(kernel, buffers, 2);
  EXPECT_THAT(out, testing::ElementsAre(5, 6, 1, 2, 5, 6, 1, 2, 3, 4, 3, 4, 3, 4, 1, 2));
  EXPECT_EQ(fault.found, 0);
  // The first index that is out of range is noted.
  indices[5] = 3;
  indices[6] = -4;
  evaluate_kernel(kernel, buffers, 2);
  EXPECT_EQ(fault.found, 1);
  EXPECT_EQ(fault.unit, 5);
  EXPECT_EQ(fault.item, 1);
  EXPECT_EQ(fault.index, 3);
  EXPECT_EQ(fault.extent, 3);
}

// The schedule says how, not what.
TEST(Evaluate, SchedulesChangeNothing) {
  for (uint64_t seed = 0; seed < 20; ++seed) {
    RandomKernel random = make_random_kernel(KernelForm::contract, seed);
    const AlignedBytes expected = expected_result(random);
    random.kernel.schedule = ContractSchedule();
    EXPECT_EQ(compare_results(random, expected, expected_result(random)), "");
  }
}

TEST(Evaluate, RandomKernelsWriteTheirResultAndNothingElse) {
  for (const KernelForm form : kKernelForms)
    for (uint64_t seed = 0; seed < 150; ++seed) {
      const RandomKernel random = make_random_kernel(form, seed);
      const AlignedBytes result = expected_result(random);
      ASSERT_EQ(compare_results(random, result, result), "") << print_kernel(random.kernel);
    }
}

TEST(Evaluate, ComparisonFindsADifferentElementAndAStrayByte) {
  const RandomKernel random = make_random_kernel(KernelForm::map, 3);
  const AlignedBytes expected = expected_result(random);
  AlignedBytes wrong = expected, stray = expected;
  const Access& out = *accesses_of(random.kernel.spec)[0];
  wrong.data()[out.offset] ^= std::byte{1};
  stray.data()[stray.size() - 1] ^= std::byte{1};
  EXPECT_TRUE(compare_results(random, expected, wrong).starts_with("item 0 at [0"));
  EXPECT_EQ(compare_results(random, expected, stray),
            fmt::format("byte {} is no element of the result and was written", stray.size() - 1));
}

}  // namespace
}  // namespace cupel
