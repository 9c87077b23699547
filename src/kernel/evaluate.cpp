// The meaning of a Kernel, element by element. Along the last dimension up to kScalarLanes elements are computed at
// once; no element depends on how they are grouped.
#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>
#include <optional>

#include "base/scalar_math.h"
#include "kernel/kernel.h"
#include "kernel/routines.h"
#include "kernel/scalar_lanes.h"
#include "ops/clones.h"
#include "runtime/floating_point.h"

namespace cupel {
namespace {

constexpr int64_t kColumns = 16;
using Buffers = std::span<std::byte* const>;

// Calls body(coordinates) for every row: all coordinates but the last one's.
template <class Body>
void for_each_row(const Dims& space, Body&& body) {
  Dims at(space.size() - 1, 0);
  while (true) {
    body(std::as_const(at));
    size_t d = at.size();
    while (d > 0 && ++at[d - 1] == space[d - 1]) at[--d] = 0;
    if (d == 0) return;
  }
}

// Byte of the element at `row` and index 0 of the last dimension.
std::byte* row_address(const Access& access, std::byte* buffer, const Dims& row, int64_t item) {
  int64_t offset = access.offset + item * access.item_stride;
  for (size_t d = 0; d < row.size(); ++d) offset += access.strides[d] * row[d];
  return buffer + offset;
}

template <class T>
T value_at(const std::byte* at) {
  T value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

template <class T>
void load_as(const std::byte* at, int64_t stride, int count, Lanes& lanes) {
  for (int i = 0; i < count; ++i) {
    const T value = value_at<T>(at + i * stride);
    if constexpr (std::is_same_v<T, float>) {
      lanes[static_cast<size_t>(i)] = std::bit_cast<uint32_t>(value);
    } else {
      lanes[static_cast<size_t>(i)] = static_cast<uint32_t>(static_cast<int32_t>(value));
    }
  }
}

void load(DType type, const std::byte* at, int64_t stride, int count, Lanes& lanes) {
  switch (type) {
    case DType::u8: return load_as<uint8_t>(at, stride, count, lanes);
    case DType::s8: return load_as<int8_t>(at, stride, count, lanes);
    case DType::s32: return load_as<int32_t>(at, stride, count, lanes);
    case DType::f16:
      for (int i = 0; i < count; ++i)
        lanes[static_cast<size_t>(i)] = std::bit_cast<uint32_t>(f16_to_f32(value_at<uint16_t>(at + i * stride)));
      return;
    default: return load_as<float>(at, stride, count, lanes);
  }
}

// Low bytes first, as the machine stores them.
void store(DType type, std::byte* at, int64_t stride, int count, const Lanes& lanes) {
  // The low bytes, which come first.
  static_assert(std::endian::native == std::endian::little);
  const auto width = static_cast<size_t>(dtype_bits(type) / 8);
  if (type == DType::f16) {
    for (int i = 0; i < count; ++i) {
      const uint16_t rounded = f32_to_f16(std::bit_cast<float>(lanes[static_cast<size_t>(i)]));
      std::memcpy(at + i * stride, &rounded, width);
    }
    return;
  }
  for (int i = 0; i < count; ++i) std::memcpy(at + i * stride, &lanes[static_cast<size_t>(i)], width);
}

// An expression over the kernel's operands, at elements of one row.
class RowExpression {
 public:
  RowExpression(const ScalarExpr& expr, const std::vector<Access>& operands, Buffers buffers)
      : evaluator_(expr), operands_(operands), buffers_(buffers), rows_(operands.size()) {}

  void enter_row(const Dims& row, int64_t item) {
    for (size_t i = 0; i < operands_.size(); ++i) rows_[i] = row_address(operands_[i], buffers_[i], row, item);
  }
  // Elements [first, first + count) of the row; accumulators[i] holds accumulator i of each of them.
  const Lanes& run(int64_t first, int count, std::span<const Lanes* const> accumulators) {
    return evaluator_.run(
        count,
        [&](const ScalarNode& node, Lanes& lanes) {
          const auto index = static_cast<size_t>(node.index);
          if (node.op == ScalarOp::accumulator) {
            std::copy_n(accumulators[index]->begin(), count, lanes.begin());
          } else {
            const int64_t stride = operands_[index].strides.back();
            load(operands_[index].dtype, rows_[index] + first * stride, stride, count, lanes);
          }
        },
        [&](const ScalarNode& node) {
          return reinterpret_cast<const uint8_t*>(rows_[static_cast<size_t>(node.index)]);
        });
  }

 private:
  LaneEvaluator evaluator_;
  const std::vector<Access>& operands_;
  Buffers buffers_;
  std::vector<const std::byte*> rows_;
};

// Offsets in the reduced operand of all steps, outermost loop first.
std::vector<int64_t> step_offsets(const std::vector<ReductionLoop>& loops) {
  std::vector<int64_t> offsets = {0};
  for (const ReductionLoop& loop : loops) {
    std::vector<int64_t> inner;
    for (const int64_t offset : offsets)
      for (int64_t i = 0; i < loop.count; ++i) inner.push_back(offset + i * loop.stride);
    offsets = std::move(inner);
  }
  return offsets;
}

// Groups of 4 products of one block of 16 columns, wrapping.
CUPEL_CLONES void dot_block_s8(const uint8_t* a, const int8_t* b, int64_t run, uint32_t* acc) {
  for (int64_t k = 0; k < run; k += 4) {
    int32_t x[4] = {};
    for (int64_t t = 0; t < std::min<int64_t>(4, run - k); ++t) x[t] = a[k + t];
    for (int64_t c = 0; c < kColumns; ++c) {
      const int8_t* w = b + k * kColumns + c * 4;
      acc[c] += static_cast<uint32_t>(x[0] * w[0] + x[1] * w[1] + x[2] * w[2] + x[3] * w[3]);
    }
  }
}
CUPEL_CLONES void dot_block_s16(const uint8_t* a, const std::byte* b, int64_t run, uint32_t* acc) {
  for (int64_t k = 0; k < run; ++k)
    for (int64_t c = 0; c < kColumns; ++c) {
      const int32_t w = value_at<int16_t>(b + ((k / 2 * kColumns + c) * 2 + k % 2) * 2);
      acc[c] += static_cast<uint32_t>(a[k] * w);
    }
}
CUPEL_CLONES void chain_block_f32(const std::byte* a, const std::byte* b, int64_t run, uint32_t* acc) {
  float chain[kColumns];
  std::memcpy(chain, acc, sizeof chain);
  for (int64_t k = 0; k < run; ++k) {
    const float x = value_at<float>(a + k * 4);
    float w[kColumns];
    std::memcpy(w, b + k * 4 * kColumns, sizeof w);
    for (int64_t c = 0; c < kColumns; ++c) chain[c] = __builtin_fmaf(x, w[c], chain[c]);
  }
  std::memcpy(acc, chain, sizeof chain);
}

void evaluate(const ContractSpec& spec, Buffers buffers, int64_t items) {
  const std::vector<int64_t> steps = step_offsets(spec.loops);
  const int64_t columns = spec.space.back();
  const int64_t step_bytes = spec.b.dtype == DType::f32   ? spec.run * kColumns * 4
                             : spec.b.dtype == DType::s16 ? (spec.run + 3) / 4 * 4 * kColumns * 2
                                                          : (spec.run + 3) / 4 * 4 * kColumns;
  RowExpression epilogue(spec.epilogue, spec.operands, buffers.subspan(4));
  for (int64_t item = 0; item < items; ++item)
    for_each_row(spec.space, [&](const Dims& row) {
      epilogue.enter_row(row, item);
      const std::byte* a = row_address(spec.a, buffers[1], row, item);
      const std::byte* b = row_address(spec.b, buffers[2], row, item);
      const std::byte* start = row_address(spec.start, buffers[3], row, item);
      std::byte* out = row_address(spec.out, buffers[0], row, item);
      for (int64_t first = 0; first < columns; first += kScalarLanes) {
        const int count = static_cast<int>(std::min<int64_t>(kScalarLanes, columns - first));
        Lanes acc{};
        load(spec.start.dtype, start + first * spec.start.strides.back(), spec.start.strides.back(), count, acc);
        for (int64_t c = 0; c < count; c += kColumns) {
          const std::byte* block = b + (first + c) / kColumns * spec.b_block_stride;
          for (const int64_t step : steps) {
            if (spec.b.dtype == DType::s8) {
              dot_block_s8(reinterpret_cast<const uint8_t*>(a + step), reinterpret_cast<const int8_t*>(block), spec.run,
                           &acc[static_cast<size_t>(c)]);
            } else if (spec.b.dtype == DType::s16) {
              dot_block_s16(reinterpret_cast<const uint8_t*>(a + step), block, spec.run, &acc[static_cast<size_t>(c)]);
            } else {
              chain_block_f32(a + step, block, spec.run, &acc[static_cast<size_t>(c)]);
            }
            block += step_bytes;
          }
        }
        const Lanes* accumulator = &acc;
        const Lanes& result = epilogue.run(first, count, {&accumulator, 1});
        store(spec.out.dtype, out + first * spec.out.strides.back(), spec.out.strides.back(), count, result);
      }
    });
}

// The start of a greatest value: below or equal to every code, below every number.
uint32_t least_value(DType type) {
  if (type == DType::f32) return std::bit_cast<uint32_t>(-std::numeric_limits<float>::infinity());
  return static_cast<uint32_t>(dtype_min(type));
}

void reduce_tap(WindowKind kind, bool real, const Lanes& x, const Lanes& w, int count, Lanes& acc) {
  const Lanes before = acc;
  if (kind == WindowKind::max) {
    for (size_t i = 0; !real && i < acc.size(); ++i)
      acc[i] = static_cast<uint32_t>(std::max(static_cast<int32_t>(x[i]), static_cast<int32_t>(acc[i])));
    if (real) compute_lanes(ScalarOp::greater, x, before, before, count, acc);
  } else if (kind == WindowKind::sum) {
    compute_lanes(real ? ScalarOp::add : ScalarOp::add_s32, before, x, x, count, acc);
  } else if (real) {
    compute_lanes(ScalarOp::fma, x, w, before, count, acc);
  } else {
    Lanes product{};
    compute_lanes(ScalarOp::mul_s32, x, w, w, count, product);
    compute_lanes(ScalarOp::add_s32, before, product, product, count, acc);
  }
}

void evaluate(const WindowSpec& spec, Buffers buffers, int64_t items) {
  const std::vector<int64_t> taps = step_offsets(spec.loops);
  const int64_t channels = spec.space.back();
  const bool dot = spec.kind == WindowKind::dot, real = spec.a.dtype == DType::f32;
  RowExpression epilogue(spec.epilogue, spec.operands, buffers.subspan(dot ? 4 : 2));
  for (int64_t item = 0; item < items; ++item)
    for_each_row(spec.space, [&](const Dims& row) {
      epilogue.enter_row(row, item);
      const std::byte* a = row_address(spec.a, buffers[1], row, item);
      const std::byte* weights = dot ? row_address(spec.weights, buffers[2], row, item) : nullptr;
      const std::byte* start = dot ? row_address(spec.start, buffers[3], row, item) : nullptr;
      std::byte* out = row_address(spec.out, buffers[0], row, item);
      for (int64_t first = 0; first < channels; first += kScalarLanes) {
        const int count = static_cast<int>(std::min<int64_t>(kScalarLanes, channels - first));
        Lanes acc{}, x{}, w{};
        if (dot)
          load(spec.start.dtype, start + first * spec.start.strides.back(), spec.start.strides.back(), count, acc);
        if (spec.kind == WindowKind::max) acc.fill(least_value(spec.a.dtype));
        for (size_t tap = 0; tap < taps.size(); ++tap) {
          const int64_t stride = spec.a.strides.back();
          load(spec.a.dtype, a + taps[tap] + first * stride, stride, count, x);
          if (dot) {
            const int64_t step = spec.weights.strides.back();
            load(spec.weights.dtype, weights + static_cast<int64_t>(tap) * spec.weights_tap_stride + first * step, step,
                 count, w);
          }
          reduce_tap(spec.kind, real, x, w, count, acc);
        }
        const Lanes* accumulator = &acc;
        const Lanes& result = epilogue.run(first, count, {&accumulator, 1});
        store(spec.out.dtype, out + first * spec.out.strides.back(), spec.out.strides.back(), count, result);
      }
    });
}

void evaluate(const MapSpec& spec, Buffers buffers, int64_t items) {
  const int64_t extent = spec.space.back(), stride = spec.out.strides.back();
  RowExpression value(spec.value, spec.operands, buffers.subspan(1));
  for (int64_t item = 0; item < items; ++item)
    for_each_row(spec.space, [&](const Dims& row) {
      value.enter_row(row, item);
      std::byte* out = row_address(spec.out, buffers[0], row, item);
      for (int64_t first = 0; first < extent; first += kScalarLanes) {
        const int count = static_cast<int>(std::min<int64_t>(kScalarLanes, extent - first));
        store(spec.out.dtype, out + first * stride, stride, count, value.run(first, count, {}));
      }
    });
}

// One reduction along a row. Element i falls on lane i mod 64: chunks begin at multiples of kScalarLanes.
float reduce(RowReduction kind, RowExpression& value, int64_t extent, std::span<const Lanes* const> accumulators) {
  static_assert(kScalarLanes == 64);
  float greatest = -std::numeric_limits<float>::infinity();
  float partial[64] = {};
  for (int64_t first = 0; first < extent; first += kScalarLanes) {
    const int count = static_cast<int>(std::min<int64_t>(kScalarLanes, extent - first));
    const Lanes& lanes = value.run(first, count, accumulators);
    for (int i = 0; i < count; ++i) {
      const float x = std::bit_cast<float>(lanes[static_cast<size_t>(i)]);
      if (kind == RowReduction::greatest) {
        greatest = scalar::greater(x, greatest);
      } else {
        partial[i] = kind == RowReduction::sum64 ? partial[i] + x : __builtin_fmaf(x, x, partial[i]);
      }
    }
  }
  if (kind == RowReduction::greatest) return greatest;
  for (int h = 32; h > 0; h /= 2)
    for (int j = 0; j < h; ++j) partial[j] = partial[j] + partial[j + h];
  return partial[0];
}

void evaluate(const RowSpec& spec, Buffers buffers, int64_t items) {
  const int64_t extent = spec.space.back(), stride = spec.out.strides.back();
  const std::vector<Access> none;
  std::vector<RowExpression> values;
  std::vector<std::optional<RowExpression>> finishes;
  for (const RowStep& step : spec.steps) {
    values.emplace_back(step.value, spec.operands, buffers.subspan(1));
    finishes.emplace_back();
    if (!step.finish.nodes.empty()) finishes.back().emplace(step.finish, none, Buffers{});
  }
  RowExpression value(spec.value, spec.operands, buffers.subspan(1));
  std::vector<Lanes> accumulators(spec.steps.size());
  std::vector<const Lanes*> pointers;
  for (const Lanes& lanes : accumulators) pointers.push_back(&lanes);
  for (int64_t item = 0; item < items; ++item)
    for_each_row(spec.space, [&](const Dims& row) {
      for (size_t i = 0; i < spec.steps.size(); ++i) {
        values[i].enter_row(row, item);
        accumulators[i].fill(std::bit_cast<uint32_t>(reduce(spec.steps[i].kind, values[i], extent, pointers)));
        if (finishes[i]) accumulators[i].fill(finishes[i]->run(0, 1, pointers)[0]);
      }
      value.enter_row(row, item);
      std::byte* out = row_address(spec.out, buffers[0], row, item);
      for (int64_t first = 0; first < extent; first += kScalarLanes) {
        const int count = static_cast<int>(std::min<int64_t>(kScalarLanes, extent - first));
        store(spec.out.dtype, out + first * stride, stride, count, value.run(first, count, pointers));
      }
    });
}

// By the function that compiled code calls.
void evaluate(const CallSpec& spec, Buffers buffers, int64_t items) {
  std::vector<CupelAccess> accesses;
  const auto add = [&](const Access& a) {
    accesses.push_back({dtype_bits(a.dtype) / 8, a.offset, a.item_stride, a.strides.data()});
  };
  add(spec.out);
  for (const Access& operand : spec.operands) add(operand);
  const CupelCall call = {static_cast<int64_t>(spec.space.size()), spec.space.data(), accesses.data(),
                          spec.integers.data()};
  std::vector<uint8_t*> bytes;
  for (std::byte* buffer : buffers) bytes.push_back(reinterpret_cast<uint8_t*>(buffer));
  routine_row(spec.routine).function(&call, bytes.data(), 0, items * units_per_item({spec, CallSchedule()}));
}

}  // namespace

void evaluate_kernel(const Kernel& kernel, std::span<std::byte* const> buffers, int64_t items) {
  const NetworkArithmetic arithmetic;
  std::visit([&](const auto& spec) { evaluate(spec, buffers, items); }, kernel.spec);
}

}  // namespace cupel
