// Random kernels of every form with buffers to run them on: the same (form, seed) gives the same kernel and bytes.
//
//   RandomKernel random = make_random_kernel(KernelForm::contract, seed);
//   AlignedBytes expected = expected_result(random);
//   … run emitted code on random.pointers() …
//   EXPECT_EQ(compare_results(random, expected, random.buffers[0]), "");
//
// No expression depends on the payload of a NaN, converts a number out of range or lets an exact sum leave int32.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <string_view>
#include <type_traits>
#include <vector>

#include "kernel/kernel.h"
#include "kernel/kernel_buffers.h"
#include "kernel/packing.h"
#include "kernel/random_parts.h"
#include "lower/builder.h"
#include "runtime/routines.h"

namespace cupel {

enum class KernelForm : uint8_t { contract, window, map, row, call };
inline constexpr KernelForm kKernelForms[] = {KernelForm::contract, KernelForm::window, KernelForm::map,
                                              KernelForm::row, KernelForm::call};

inline std::string_view kernel_form_name(KernelForm form) {
  constexpr std::string_view kNames[] = {"contract", "window", "map", "row", "call"};
  return kNames[static_cast<size_t>(form)];
}

struct RandomOptions {
  bool s16_weights = false;  // pack_weights_s16 in place of pack_weights_s8 in contractions
};

class KernelGenerator : RandomParts {
 public:
  KernelGenerator(uint64_t seed, RandomOptions options) : RandomParts(seed), options_(options) {}

  RandomKernel make(KernelForm form) {
    items_ = pick(1, 3);
    RandomKernel random;
    switch (form) {
      case KernelForm::contract: random.kernel = contract(); break;
      case KernelForm::window: random.kernel = window(); break;
      case KernelForm::map: random.kernel = map(); break;
      case KernelForm::row: random.kernel = row(); break;
      case KernelForm::call: random.kernel = call(); break;
    }
    random.items = items_;
    fill(random);
    return random;
  }

 private:
  Kernel contract() {
    ContractSpec s;
    ContractSchedule schedule;
    const bool floats = chance(0.35);
    const DType type = floats ? DType::f32 : DType::u8;
    const int64_t size = size_of(type), outer = chance(0.3) ? pick(1, 3) : 1;
    const bool has_outer = outer > 1 || chance(0.2);
    const int64_t h = chance(0.2) ? 1 : pick(1, 9), w = chance(0.1) ? 1 : pick(1, 17);
    const int64_t columns = one_of<int64_t>({1, 3, 10, 16, 17, 24, 31, 32, 48, 64, 65, pick(1, 80)});
    if (has_outer) s.space.push_back(outer);
    s.space.insert(s.space.end(), {h, w, columns});
    const size_t rank = s.space.size();

    const int64_t kh = one_of<int64_t>({1, 1, 2, 3}), kw = one_of<int64_t>({1, 1, 3, 5});
    const int64_t stride_h = pick(1, 2), stride_w = pick(1, 3), dilation = one_of<int64_t>({1, 1, 2});
    const int64_t channels =
        one_of<int64_t>({1, 3, 4, 5, 8, 15, 16, 33, pick(1, 70), kh * kw == 1 ? pick(100, 600) : 7});
    const bool joined = chance(0.3);  // a row of taps as one run
    const int64_t pixel = joined ? channels * size : (channels * outer + pick(0, 5)) * size;
    const int64_t reach = joined ? (kw - 1) + 1 : (kw - 1) * dilation + 1;
    const int64_t line = ((w - 1) * stride_w + reach) * pixel + pick(0, 4) * size;
    const int64_t plane = ((h - 1) * stride_h + (kh - 1) * dilation + 1) * line;
    s.a = {.dtype = type, .offset = pick(0, 5) * size, .strides = Dims(rank, 0)};
    s.a.strides[rank - 3] = stride_h * line;
    s.a.strides[rank - 2] = stride_w * pixel;
    if (has_outer) s.a.strides[0] = joined ? plane : channels * size;
    s.a.item_stride = (joined ? outer : 1) * plane + pick(0, 2) * 16 * size;
    const bool over_rows = kh > 1 || chance(0.3);
    if (over_rows) s.loops.push_back({kh, dilation * line});
    if (joined) {
      s.run = kw * channels;
    } else {
      if (kw > 1 || chance(0.3)) s.loops.push_back({kw, dilation * pixel});
      s.run = channels;
    }
    const int64_t steps = joined ? kh : kh * kw;
    // An image with zeros around it. Sums of f32 then lose the sign of a zero, as the epilogue below sees to.
    const bool bordered = chance(0.4);
    const auto border = [&](int64_t taps, int64_t stride, int64_t apart, int64_t extent) {
      const int64_t lines = (extent - 1) * stride + (taps - 1) * apart + 1;
      return Border{taps, stride, apart, pick(0, std::min<int64_t>(lines, 3)), pick(1, lines)};
    };
    if (bordered && over_rows) s.rows = border(kh, stride_h, dilation, h);
    if (bordered && joined) s.columns = border(kw, stride_w, 1, w);

    s.b = {.dtype = floats                 ? DType::f32
                    : options_.s16_weights ? DType::s16
                                           : DType::s8,
           .constant = chance(0.9),
           .strides = Dims(rank, 0)};
    const int64_t block = floats                 ? block_bytes_f32(steps, s.run)
                          : options_.s16_weights ? block_bytes_s16(steps, s.run)
                                                 : block_bytes_s8(steps, s.run);
    s.b.offset = pick(0, 2) * 64;
    s.b_block_stride = block + (chance(0.1) ? 64 : 0);
    const int64_t packed = s.b_block_stride * ((columns + 15) / 16);
    if (has_outer && chance(0.8)) s.b.strides[0] = packed;
    if (!s.b.constant) s.b.item_stride = packed * outer;
    s.start = per_column(floats ? DType::f32 : DType::s32, s.space, s.b.constant || chance(0.5));
    s.start.offset = s.start.offset / 64 * 64;

    const DType out = floats ? one_of({DType::f32, DType::f32, DType::u8})
                             : one_of({DType::u8, DType::u8, DType::s8, DType::s32, DType::f32});
    const double sum_size =
        floats ? std::sqrt(static_cast<double>(steps * s.run)) * 4 : static_cast<double>(steps * s.run) * 128 * 40;
    s.out = result_access(out, s.space);
    s.epilogue = epilogue(s.space, floats ? ScalarType::f32 : ScalarType::s32, sum_size, out, s.operands);
    if (floats && (s.rows.known() || s.columns.known())) s.epilogue = with_positive_zero(s.epilogue);

    const int64_t blocks = (columns + 15) / 16;
    schedule.tile_blocks = pick(1, std::min<int64_t>(blocks, 4));
    schedule.tile_w = pick(1, std::min<int64_t>(w, 28 / schedule.tile_blocks));
    schedule.tile_h = pick(1, std::min<int64_t>(h, std::max<int64_t>(1, 28 / schedule.tile_blocks / schedule.tile_w)));
    schedule.unroll = one_of<int64_t>({1, 2, 4, 8});
    const int64_t tiles = pixel_tiles(s, schedule);
    do schedule.bands = chance(0.3) ? tiles : pick(1, std::min<int64_t>(tiles, 6));
    while (tiles % schedule.bands != 0);
    schedule.prefetch = one_of<int64_t>({0, 0, 1, 8});
    return {std::move(s), schedule};
  }

  Kernel window() {
    WindowSpec s;
    WindowSchedule schedule;
    s.kind = one_of({WindowKind::dot, WindowKind::dot, WindowKind::sum, WindowKind::max});
    const bool dot = s.kind == WindowKind::dot;
    const DType type = dot ? one_of({DType::u8, DType::u8, DType::f32}) : one_of({DType::u8, DType::s8, DType::f32});
    const bool floats = type == DType::f32;
    const int64_t size = size_of(type);
    const int64_t h = pick(1, 9), w = pick(1, 12),
                  channels = one_of<int64_t>({1, 8, 16, 17, 32, 40, 64, 100, pick(1, 80)});
    if (chance(0.2)) s.space.push_back(pick(1, 2));
    s.space.insert(s.space.end(), {h, w, channels});
    const size_t rank = s.space.size();
    const int64_t room = (channels + 15) / 16 * 16;
    const int64_t kh = pick(1, 5), kw = pick(1, 5), stride_h = pick(1, 2), stride_w = pick(1, 2),
                  dilation = one_of<int64_t>({1, 1, 2});
    const int64_t pixel = (room + (chance(0.3) ? pick(0, 3) : 0)) * size;
    const int64_t line = ((w - 1) * stride_w + (kw - 1) * dilation + 1) * pixel;
    const int64_t plane = ((h - 1) * stride_h + (kh - 1) * dilation + 1) * line;
    s.a = {.dtype = type, .offset = pick(0, 3) * 16 * size, .strides = Dims(rank, 0)};
    if (rank == 4) s.a.strides[0] = plane;
    s.a.strides[rank - 3] = stride_h * line;
    s.a.strides[rank - 2] = stride_w * pixel;
    s.a.strides[rank - 1] = size;
    s.a.item_stride = plane * (rank == 4 ? s.space[0] : 1) + (chance(0.5) ? 64 : 0);
    if (kh > 1 || chance(0.5)) s.loops.push_back({kh, dilation * line});
    if (kw > 1 || chance(0.5)) s.loops.push_back({kw, dilation * pixel});
    if (dot) {
      s.weights = per_column(floats ? DType::f32 : DType::s8, s.space, true);
      s.weights.offset = s.weights.offset / 64 * 64;
      s.weights_tap_stride = room * size_of(s.weights.dtype);
      if (rank == 4) s.weights.strides[0] = chance(0.5) ? 0 : s.weights_tap_stride * kh * kw;
      s.start = per_column(floats ? DType::f32 : DType::s32, s.space, true);
      s.start.offset = s.start.offset / 64 * 64;
    }
    const DType out = one_of({DType::u8, DType::u8, DType::s8, DType::s32, DType::f32});
    const auto taps = static_cast<double>(kh * kw);
    const double sum_size = floats                      ? 4 * std::sqrt(taps)
                            : dot                       ? taps * 128 * 40
                            : s.kind == WindowKind::sum ? taps * 200
                                                        : 200;
    s.out = result_access(out, s.space);
    s.epilogue = epilogue(s.space, floats ? ScalarType::f32 : ScalarType::s32, sum_size, out, s.operands);
    schedule.tile_h = pick(1, std::min<int64_t>(h, 3));
    schedule.tile_w = pick(1, std::min<int64_t>(w, 6));
    schedule.tile_blocks = pick(1, std::min<int64_t>(room / 16, 4));
    return {std::move(s), schedule};
  }

  Kernel map() {
    MapSpec s;
    const auto rank = static_cast<size_t>(pick(1, 5));
    for (size_t d = 0; d < rank; ++d) s.space.push_back(chance(0.2) ? 1 : pick(1, d + 1 == rank ? 70 : 6));
    ExprBuilder b;
    std::vector<Scalar> reals, wholes;
    const int64_t operands = chance(0.1) ? 0 : pick(1, 4);
    for (int64_t i = 0; i < operands; ++i) {
      s.operands.push_back(map_operand(s.space));
      const Scalar x = b.operand(static_cast<int32_t>(i), s.operands.back().dtype);
      (x.type() == ScalarType::f32 ? reals : wholes).push_back(x);
    }
    const DType type = one_of({DType::u8, DType::s8, DType::s16, DType::s32, DType::f16, DType::f32});
    if (operands == 0) {
      s.value = b.finish(is_float(type) ? Scalar(real(3)) : Scalar(static_cast<int32_t>(pick(-128, 255))));
    } else if (operands == 1 && scalar_type_of(type) == scalar_type_of(s.operands[0].dtype) && chance(0.5)) {
      s.value = b.finish(b.operand(0, s.operands[0].dtype));  // a copy
    } else {
      if (reals.empty())
        reals.push_back(chance(0.5) ? to_f32(wholes[0])
                                    : from_code(wholes[0], static_cast<int32_t>(pick(0, 200)), real_scale()));
      if (wholes.empty()) wholes.push_back(round_s32(in_range(reals[0], 1000.0f)));
      if (chance(0.2)) {
        s.operands.push_back(table_access(rank));
        wholes.push_back(b.table(static_cast<int32_t>(s.operands.size()) - 1, wholes[0]));
      }
      const int64_t count = pick(0, 8);
      for (int64_t i = 0; i < count; ++i) grow(reals, wholes);
      if (is_float(type)) {
        s.value = b.finish(reals.back());
      } else if (chance(0.5)) {
        s.value = b.finish(wholes.back());
      } else {
        s.value = b.finish(to_result(reals.back(), type, rank, s.operands, b));
      }
    }
    s.out = apart(type, s.space, shuffled(rank), s.space.back());
    return {std::move(s), MapSchedule{chance(0.5) ? -1 : pick(0, static_cast<int64_t>(rank) - 1)}};
  }

  Kernel row() {
    RowSpec s;
    const auto rank = static_cast<size_t>(pick(1, 4));
    for (size_t d = 0; d + 1 < rank; ++d) s.space.push_back(pick(1, 4));
    s.space.push_back(one_of<int64_t>({1, 10, 63, 64, 65, 128, 130, 200, pick(1, 300)}));
    const DType in = one_of({DType::f32, DType::f32, DType::u8, DType::s32}),
                out = one_of({DType::f32, DType::f32, DType::u8, DType::s8});
    s.operands.push_back(apart(in, s.space, shuffled(rank), s.space.back()));
    ExprBuilder b;
    const auto input = [&](ExprBuilder& builder) {
      const Scalar x = builder.operand(0, in);
      return in == DType::f32 ? x : from_code(x, 100, in == DType::s32 ? 0x1p-19f : 0.05f);
    };
    const auto step = [&](RowReduction kind, auto&& value, auto&& finish) {
      RowStep made{.kind = kind};
      ExprBuilder inner, scalars;
      made.value = inner.finish(value(inner));
      if constexpr (!std::is_null_pointer_v<std::decay_t<decltype(finish)>>)
        made.finish = scalars.finish(finish(scalars));
      s.steps.push_back(std::move(made));
    };
    const auto acc = [](ExprBuilder& builder, int32_t i) { return builder.accumulator(i, ScalarType::f32); };
    const auto n = static_cast<float>(s.space.back());
    Scalar v = 0.0f;
    const int64_t pattern = pick(0, 3);
    if (pattern <= 1) {  // softmax, logarithm of it
      step(RowReduction::greatest, input, nullptr);
      step(RowReduction::sum64, [&](ExprBuilder& e) { return exp(input(e) - acc(e, 0)); }, nullptr);
      v = pattern == 0 ? exp(input(b) - acc(b, 0)) / acc(b, 1) : (input(b) - acc(b, 0)) - log(acc(b, 1));
    } else if (pattern == 2) {  // layer normalization
      step(RowReduction::sum64, input, [&](ExprBuilder& e) { return acc(e, 0) / n; });
      step(
          RowReduction::squares64, [&](ExprBuilder& e) { return input(e) - acc(e, 0); },
          [&](ExprBuilder& e) { return 1.0f / sqrt(acc(e, 1) / n + 1e-5f); });
      const auto affine = [&] {
        Access access = apart(DType::f32, s.space, nested(rank), s.space.back(), true);
        for (size_t d = 0; d + 1 < rank; ++d) access.strides[d] = 0;
        s.operands.push_back(access);
        return b.operand(static_cast<int32_t>(s.operands.size()) - 1, DType::f32);
      };
      const Scalar scaled = (input(b) - acc(b, 0)) * acc(b, 1), scale = affine();
      v = chance(0.7) ? fma(scaled, scale, affine()) : scaled * scale;
    } else {  // anything
      const int64_t count = pick(1, 3);
      for (int32_t i = 0; i < count; ++i) {
        const auto kind = one_of({RowReduction::greatest, RowReduction::sum64, RowReduction::squares64});
        const auto value = [&](ExprBuilder& e) { return i == 0 ? input(e) : activation(input(e) - acc(e, i - 1)); };
        if (chance(0.5)) {
          step(kind, value,
               [&](ExprBuilder& e) { return i == 0 ? acc(e, 0) * 0.25f : acc(e, i) / (abs(acc(e, i - 1)) + 1.0f); });
        } else {
          step(kind, value, nullptr);
        }
      }
      v = activation(input(b)) * acc(b, static_cast<int32_t>(count) - 1);
    }
    if (chance(0.2)) v = activation(v);
    s.value = b.finish(to_result(out == DType::f32 ? v : v * 50.0f, out, rank, s.operands, b));
    s.out = apart(out, s.space, shuffled(rank), s.space.back());
    return {std::move(s), RowSchedule()};
  }

  // A gather along an axis of its own: data moves along some dimensions of the space, indices along the others.
  Kernel call() {
    CallSpec s;
    const auto rank = static_cast<size_t>(pick(1, 4));
    for (size_t d = 0; d + 1 < rank; ++d) s.space.push_back(pick(1, 4));
    s.space.push_back(one_of<int64_t>({1, 3, 16, 40, pick(1, 64)}));
    const DType type = one_of({DType::f32, DType::f32, DType::u8, DType::s8, DType::s32, DType::s64});
    const int64_t extent = one_of<int64_t>({1, 2, 7, pick(1, 20)});
    Dims data_dims = s.space, index_dims = s.space;
    std::vector<bool> looks_up(rank);
    for (size_t d = 0; d < rank; ++d) {
      looks_up[d] = chance(0.5);
      (looks_up[d] ? data_dims : index_dims)[d] = 1;
    }
    data_dims.push_back(extent);
    Access data = apart(type, data_dims, shuffled(rank + 1), extent, chance(0.5));
    s.integers = {extent, data.strides.back()};
    data.strides.pop_back();
    Access indices =
        apart(one_of({DType::s64, DType::s32}), index_dims, shuffled(rank), index_dims.back(), chance(0.2));
    if (chance(0.2)) indices.item_stride = 0;
    for (size_t d = 0; d < rank; ++d) (looks_up[d] ? data : indices).strides[d] = 0;
    s.operands = {std::move(data), std::move(indices)};
    s.out = apart(type, s.space, shuffled(rank), s.space.back());
    return {std::move(s), CallSchedule()};
  }

  // ---- Contents ----

  // Of s32 or s64, at every place where one could lie.
  void fill_indices(DType type, AlignedBytes& buffer, int64_t extent) {
    for (int64_t i = 0; i + size_of(type) <= buffer.size(); i += size_of(type)) {
      const int64_t index = pick(-extent, extent - 1);
      std::memcpy(buffer.data() + i, &index, static_cast<size_t>(size_of(type)));
    }
  }

  void fill_random(DType type, AlignedBytes& buffer, double magnitude) {
    const int mode = static_cast<int>(pick(0, 9));  // 0: greatest codes, 1: least
    std::byte* at = buffer.data();
    for (int64_t i = 0; i + size_of(type) <= buffer.size(); i += size_of(type)) {
      if (type == DType::f32) {
        const float x = real(magnitude);
        std::memcpy(at + i, &x, 4);
      } else if (type == DType::f16) {
        const uint16_t x = f32_to_f16(real(magnitude));
        std::memcpy(at + i, &x, 2);
      } else if (type == DType::s32) {
        const auto bound = static_cast<int64_t>(magnitude);
        const auto x = static_cast<int32_t>(pick(-bound, bound));
        std::memcpy(at + i, &x, 4);
      } else {
        at[i] = mode == 0   ? std::byte{type == DType::s8 ? uint8_t{127} : uint8_t{255}}
                : mode == 1 ? std::byte{type == DType::s8 ? uint8_t{128} : uint8_t{0}}
                            : static_cast<std::byte>(rng_());
      }
    }
  }
  // Last byte that a run of the kernel may touch.
  int64_t bytes_of(const Access& access, const Dims& space, int64_t last, int64_t behind) const {
    int64_t greatest = access.offset + (items_ - 1) * access.item_stride + behind;
    for (size_t d = 0; d < space.size(); ++d)
      greatest += std::max<int64_t>(0, access.strides[d]) * ((d + 1 == space.size() ? last : space[d]) - 1);
    return greatest + size_of(access.dtype);
  }
  void fill(RandomKernel& random) {
    const KernelSpec& spec = random.kernel.spec;
    const Dims& space = space_of(spec);
    const auto* contraction = std::get_if<ContractSpec>(&spec);
    const auto* windowed = std::get_if<WindowSpec>(&spec);
    const auto* called = std::get_if<CallSpec>(&spec);
    const std::vector<const Access*> accesses = accesses_of(spec);
    const size_t first_operand = spec.index() == 0   ? 4
                                 : spec.index() == 1 ? (windowed->kind == WindowKind::dot ? 4 : 2)
                                                     : 1;
    for (size_t i = 0; i < accesses.size(); ++i) {
      const Access& access = *accesses[i];
      const bool reduced = spec.index() < 2 && i == 1;
      int64_t behind = 0;
      if (reduced)
        for (const ReductionLoop& loop : contraction != nullptr ? contraction->loops : windowed->loops)
          behind += (loop.count - 1) * loop.stride;
      if (reduced && contraction != nullptr) behind += (contraction->run + 3) * size_of(access.dtype);
      if (windowed != nullptr && i == 2 && windowed->kind == WindowKind::dot) {
        int64_t taps = 1;
        for (const ReductionLoop& loop : windowed->loops) taps *= loop.count;
        behind += taps * windowed->weights_tap_stride;
      }
      if (contraction != nullptr && i == 2) behind += contraction->b_block_stride * ((space.back() + 15) / 16);
      if (called != nullptr && i == 1) behind += (called->integers[0] - 1) * called->integers[1];
      const bool table = access.constant && access.dtype == DType::u8 &&
                         std::all_of(access.strides.begin(), access.strides.end(), [](int64_t x) { return x == 0; });
      if (table) behind += 256;
      AlignedBytes buffer(bytes_of(access, space, written_extent(spec), behind) + 64);
      double magnitude = access.dtype == DType::s32 ? 1 << 20 : 4;
      if (i == 3 && first_operand == 4 && access.dtype == DType::s32) magnitude = start_size_;
      for (size_t m = 0; m < multipliers_.size(); ++m)
        if (i == first_operand + multipliers_[m]) magnitude = multiplier_sizes_[m];
      if (called != nullptr && i == 2) {
        fill_indices(access.dtype, buffer, called->integers[0]);
      } else if (contraction != nullptr && i == 2) {
        fill_packed(*contraction, buffer);
      } else {
        fill_random(access.dtype, buffer, magnitude);
      }
      random.buffers.push_back(std::move(buffer));
    }
    if (called != nullptr) random.buffers.emplace_back(static_cast<int64_t>(sizeof(CupelFault)));
    if (contraction != nullptr) clear_border(*contraction, random.buffers[1]);
    random.initial = random.buffers[0];
  }
  // Zeros wherever the kernel says that its image has them.
  void clear_border(const ContractSpec& s, AlignedBytes& image) {
    const size_t rank = s.space.size();
    Dims at = s.space;
    at.back() = 1;
    const int64_t part = s.run / s.columns.taps, size = size_of(s.a.dtype);
    const auto outside = [](const Border& b, int64_t position, int64_t tap) {
      const int64_t line = position * b.stride + tap * b.dilation - b.before;
      return b.known() && (line < 0 || line >= b.lines);
    };
    if (!s.rows.known() && !s.columns.known()) return;
    std::vector<std::pair<int64_t, int64_t>> steps = {{0, 0}};  // step of the outermost loop, offset
    for (size_t l = 0; l < s.loops.size(); ++l) {
      std::vector<std::pair<int64_t, int64_t>> next;
      for (const auto& [outermost, offset] : steps)
        for (int64_t k = 0; k < s.loops[l].count; ++k)
          next.emplace_back(l == 0 ? k : outermost, offset + k * s.loops[l].stride);
      steps = std::move(next);
    }
    for (int64_t item = 0; item < items_; ++item)
      for_each_coordinate(at, [&](const Dims& c) {
        for (const auto& [row_tap, offset] : steps)
          for (int64_t tap = 0; tap < s.columns.taps; ++tap)
            if (outside(s.rows, c[rank - 3], row_tap) || outside(s.columns, c[rank - 2], tap))
              std::memset(image.data() + byte_offset(s.a, c, item) + offset + tap * part * size, 0,
                          static_cast<size_t>(part * size));
      });
  }
  // Packed weights for each place that b is read from.
  void fill_packed(const ContractSpec& s, AlignedBytes& buffer) {
    int64_t steps = 1;
    for (const ReductionLoop& loop : s.loops) steps *= loop.count;
    const int64_t columns = s.space.back(), depth = steps * s.run;
    const int64_t outer = s.space.size() > 3 && s.b.strides[0] != 0 ? s.space[0] : 1;
    const int64_t items = s.b.constant ? 1 : items_;
    const int mode = static_cast<int>(pick(0, 5));
    for (int64_t item = 0; item < items; ++item)
      for (int64_t o = 0; o < outer; ++o) {
        Tensor weights(s.b.dtype == DType::f32 ? DType::f32 : DType::s8, {columns, depth});
        if (s.b.dtype == DType::f32) {
          for (float& w : weights.mutable_data<float>()) w = real(1.0);
        } else {
          for (int8_t& w : weights.mutable_data<int8_t>())
            w = static_cast<int8_t>(mode == 0   ? -128
                                    : mode == 1 ? 127
                                    : mode == 2 ? (chance(0.5) ? -128 : 127)
                                                : pick(-127, 127));
        }
        const Tensor packed = s.b.dtype == DType::f32   ? pack_weights_f32(weights)
                              : s.b.dtype == DType::s16 ? pack_weights_s16(weights, s.run)
                                                        : pack_weights_s8(weights, s.run);
        const int64_t blocks = packed.dims()[0], block = packed.bytes_size() / blocks;
        std::byte* to = buffer.data() + s.b.offset + item * s.b.item_stride + (outer > 1 ? o * s.b.strides[0] : 0);
        for (int64_t i = 0; i < blocks; ++i)
          std::memcpy(to + i * s.b_block_stride, packed.bytes().data() + i * block, static_cast<size_t>(block));
      }
  }

  RandomOptions options_;
};

inline RandomKernel make_random_kernel(KernelForm form, uint64_t seed, RandomOptions options = {}) {
  return KernelGenerator(seed * 4 + static_cast<uint64_t>(form), options).make(form);
}

}  // namespace cupel
