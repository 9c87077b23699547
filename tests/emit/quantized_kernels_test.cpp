// The kernels that quantized networks are made of: contractions and depthwise convolutions with requantization,
// rectifiers, residual sums and tables, where code generation takes its special ways.
#include <cmath>
#include <random>

#include "emit/run_kernel.h"

namespace cupel {
namespace {

struct Epilogue {
  DType out = DType::u8;
  int32_t zero_point = 0;
  bool relu = false, residual = false, table = false;
  float scale = 0x1p-9f;
};

constexpr Epilogue kEpilogues[] = {
    {},
    {.zero_point = 117},
    {.zero_point = 255, .relu = true},
    {.relu = true, .scale = 3.0f},
    {.out = DType::s8, .zero_point = -128},
    {.out = DType::s8, .zero_point = 5, .relu = true, .scale = 1e9f},
    {.zero_point = 3, .residual = true},
    {.residual = true, .table = true},
    {.zero_point = 9, .table = true, .scale = 1e30f},
};

// Space {h, w, channels}; the scale per channel is operand 0, a residual of u8 and a table follow.
class Maker {
 public:
  explicit Maker(uint64_t seed) : rng_(seed) {}

  RandomKernel depthwise(int64_t h, int64_t w, int64_t channels, int64_t kernel, int64_t stride,
                         const Epilogue& epilogue, int64_t tile_h, int64_t tile_w) {
    WindowSpec s;
    const int64_t room = rounded(channels), line = ((w - 1) * stride + kernel) * room;
    s.space = {h, w, channels};
    s.a = {.dtype = DType::u8,
           .item_stride = line * ((h - 1) * stride + kernel),
           .strides = {stride * line, stride * room, 1}};
    s.weights = {.dtype = DType::s8, .constant = true, .strides = {0, 0, 1}};
    s.start = {.dtype = DType::s32, .constant = true, .strides = {0, 0, 4}};
    s.weights_tap_stride = room;
    s.loops = {{kernel, line}, {kernel, room}};
    s.out = {.dtype = epilogue.out, .item_stride = h * w * room, .strides = {w * room, room, 1}};
    s.epilogue = expression(epilogue, s.out, s.operands);
    RandomKernel random;
    random.items = 2;
    random.kernel = {s, WindowSchedule{std::min(tile_h, h), std::min(tile_w, w), std::min<int64_t>(4, room / 16)}};
    fill(random, {2 * s.out.item_stride, 2 * s.a.item_stride + 64, room * kernel * kernel, room * 4}, room, s.operands,
         2 * s.out.item_stride);
    return random;
  }

  RandomKernel contract(int64_t h, int64_t w, int64_t depth, int64_t columns, const Epilogue& epilogue,
                        ContractSchedule schedule, bool wide) {
    ContractSpec s;
    const int64_t room = rounded(columns);
    s.space = {h, w, columns};
    s.a = {.dtype = DType::u8, .item_stride = h * w * depth, .strides = {w * depth, depth, 0}};
    s.run = depth;
    s.b = {.dtype = wide ? DType::s16 : DType::s8, .constant = true, .strides = {0, 0, 0}};
    s.b_block_stride = wide ? block_bytes_s16(1, depth) : block_bytes_s8(1, depth);
    s.start = {.dtype = DType::s32, .constant = true, .strides = {0, 0, 4}};
    s.out = {.dtype = epilogue.out, .item_stride = h * w * room, .strides = {w * room, room, 1}};
    s.epilogue = expression(epilogue, s.out, s.operands);
    RandomKernel random;
    random.items = 2;
    random.kernel = {s, schedule};
    fill(random, {2 * s.out.item_stride, 2 * s.a.item_stride + 64, 0, room * 4}, room, s.operands,
         2 * s.out.item_stride);
    Tensor weights(DType::s8, {columns, depth});
    for (int8_t& x : weights.mutable_data<int8_t>()) x = static_cast<int8_t>(rng_());
    const Tensor packed = wide ? pack_weights_s16(weights, depth) : pack_weights_s8(weights, depth);
    random.buffers[2] = AlignedBytes(packed.bytes_size() + 64);
    std::memcpy(random.buffers[2].data(), packed.bytes().data(), static_cast<size_t>(packed.bytes_size()));
    return random;
  }

 private:
  static int64_t rounded(int64_t n) { return (n + 15) / 16 * 16; }

  static ScalarExpr expression(const Epilogue& epilogue, const Access& out, std::vector<Access>& operands) {
    ExprBuilder b;
    operands.push_back({.dtype = DType::f32, .constant = true, .strides = {0, 0, 4}});
    Scalar v = to_f32(b.accumulator(0, ScalarType::s32)) * b.operand(0, DType::f32);
    if (epilogue.residual) {
      operands.push_back(out);
      operands.back().dtype = DType::u8;
      v = fma(to_f32(b.operand(1, DType::u8) - 7), 0.37f, v);
    }
    if (epilogue.relu) v = relu(v);
    Scalar code = to_code(v, epilogue.out, epilogue.zero_point);
    if (epilogue.table) {
      operands.push_back({.dtype = DType::u8, .constant = true, .strides = {0, 0, 0}});
      code = b.table(static_cast<int32_t>(operands.size()) - 1, code);
    }
    scale_ = epilogue.scale;
    return b.finish(code);
  }

  void fill(RandomKernel& random, std::vector<int64_t> sizes, int64_t room, const std::vector<Access>& operands,
            int64_t residual) {
    sizes.push_back(room * 4);
    for (size_t i = 1; i < operands.size(); ++i) sizes.push_back(operands[i].constant ? 256 : residual);
    for (size_t i = 0; i < sizes.size(); ++i) {
      AlignedBytes buffer(sizes[i] + 64);
      for (int64_t k = 0; k + 4 <= buffer.size(); k += 4) {
        uint32_t word = static_cast<uint32_t>(rng_());
        if (i == 3) word = static_cast<uint32_t>(static_cast<int32_t>(word) >> 18);
        if (i == 4) word = std::bit_cast<uint32_t>(scale_ * static_cast<float>(word % 1000) * 0.001f);
        std::memcpy(buffer.data() + k, &word, 4);
      }
      random.buffers.push_back(std::move(buffer));
    }
    random.initial = random.buffers[0];
  }

  std::mt19937_64 rng_;
  static inline float scale_ = 1;
};

class QuantizedKernels : public testing::TestWithParam<std::string> {};

TEST_P(QuantizedKernels, Depthwise) {
  std::vector<RandomKernel> randoms;
  uint64_t seed = 0;
  for (const int64_t channels : {16, 24, 32, 40, 96, 130, 144, 576})
    for (const auto [kernel, stride, w] :
         {std::array<int64_t, 3>{3, 1, 9}, {3, 2, 4}, {5, 1, 7}, {7, 2, 3}, {1, 1, 1}}) {
      const Epilogue& epilogue = kEpilogues[seed % std::size(kEpilogues)];
      randoms.push_back(Maker(seed).depthwise(3, w, channels, kernel, stride, epilogue,
                                              1 + static_cast<int64_t>(seed / 5 % 3),
                                              1 + static_cast<int64_t>(seed % 5)));
      ++seed;
    }
  compare_kernels(randoms, *find_emit_target(GetParam()));
}

TEST_P(QuantizedKernels, Contract) {
  const EmitTarget target = *find_emit_target(GetParam());
  const bool wide = target.byte_product == ByteProduct::two_s16;
  std::vector<RandomKernel> randoms;
  uint64_t seed = 0;
  for (const Epilogue& epilogue : kEpilogues)
    for (const int64_t blocks : {1, 2, 3, 4, 5}) {
      ContractSchedule schedule = {.tile_h = 1 + static_cast<int64_t>(seed % 2),
                                   .tile_w = 1 + static_cast<int64_t>(seed % 7),
                                   .tile_blocks = blocks,
                                   .unroll = 4,
                                   .prefetch = static_cast<int64_t>(seed % 4)};
      if (seed % 3 == 0)
        schedule.bands = (3 / schedule.tile_h + schedule.tile_h - 1) * ((6 + schedule.tile_w) / schedule.tile_w);
      randoms.push_back(Maker(seed).contract(3, 7, 20 + static_cast<int64_t>(seed % 9), 70 + static_cast<int64_t>(seed),
                                             epilogue, schedule, wide));
      ++seed;
    }
  compare_kernels(randoms, target);
}

// An image of f32, channel by channel, to codes pixel by pixel, with a gap behind every row of pixels or none.
TEST_P(QuantizedKernels, ImageInput) {
  std::mt19937 rng(3);
  std::vector<RandomKernel> randoms;
  for (const int64_t channels : {2, 3, 4})
    for (const DType type : {DType::u8, DType::f32})
      for (const int64_t gap : {0, 12}) {
        const int64_t h = 5, w = 37, size = dtype_bits(type) / 8;
        MapSpec s;
        s.space = {h, w, channels};
        s.operands = {{.dtype = DType::f32, .item_stride = h * w * channels * 4, .strides = {w * 4, 4, h * w * 4}}};
        s.out = {.dtype = type,
                 .item_stride = h * (w * channels + gap) * size,
                 .strides = {(w * channels + gap) * size, channels * size, size}};
        ExprBuilder e;
        const Scalar x = e.operand(0, DType::f32) * 13.0f;
        s.value = e.finish(type == DType::f32 ? x : to_code(x, type, 100));
        RandomKernel random;
        random.kernel = {s, MapSchedule{1}};
        random.items = 2;
        random.buffers = {AlignedBytes(2 * s.out.item_stride + 64), AlignedBytes(2 * s.operands[0].item_stride + 64)};
        for (int64_t i = 0; i < 2 * s.operands[0].item_stride; i += 4) {
          const float value = static_cast<float>(rng() % 4000) * 0.01f - 20.0f;
          std::memcpy(random.buffers[1].data() + i, &value, 4);
        }
        random.initial = random.buffers[0];
        randoms.push_back(std::move(random));
      }
  compare_kernels(randoms, *find_emit_target(GetParam()));
}

INSTANTIATE_TEST_SUITE_P(Targets, QuantizedKernels, testing::ValuesIn(target_names()), test_name);

}  // namespace
}  // namespace cupel
