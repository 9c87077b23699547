#include "kernel/routines.h"

#include <fmt/format.h>

namespace cupel {
namespace {

__extension__ using Wide = __int128;

constexpr DType kMoved[] = {DType::u8, DType::s8, DType::s32, DType::f32, DType::s64};
constexpr DType kIndices[] = {DType::s64, DType::s32};

constexpr RoutineRow::Operand kGatherOperands[] = {{"data", kMoved}, {"indices", kIndices}};
constexpr std::string_view kGatherIntegers[] = {"extent", "step"};

std::vector<ByteAxis> gather_moves(const CallSpec& s, size_t operand) {
  if (operand != 0) return {};
  return {{s.integers[1], s.integers[0]}};
}

std::string broken_gather(const CallSpec& s) {
  const Access& data = s.operands[0];
  const int64_t extent = s.integers[0], step = s.integers[1], size = dtype_bits(data.dtype) / 8;
  constexpr int64_t kMostBytes = int64_t{1} << 40;
  if (s.out.dtype != data.dtype)
    return fmt::format("out: is {}, expected {}, which data is", dtype_name(s.out.dtype), dtype_name(data.dtype));
  if (extent < 1 || extent > kMaxElements) return fmt::format("extent is {}, expected 1 to 2^34", extent);
  if (step % size != 0) return fmt::format("step: {} is no multiple of {} bytes", step, size);
  Wide least = data.offset, greatest = data.offset + size - 1;
  const auto move = [&](Wide stride, Wide count) { (stride < 0 ? least : greatest) += stride * (count - 1); };
  for (size_t d = 0; d < s.space.size(); ++d) move(data.strides[d], s.space[d]);
  move(step, extent);
  if (least < 0) return "data: some index reaches bytes before its buffer";
  if (greatest >= kMostBytes) return "data: its indices span 2^40 bytes or more";
  return {};
}

const RoutineRow kRows[] = {
    {"gather", "cupel_call_gather", cupel_call_gather, kGatherOperands, kGatherIntegers, kMoved, gather_moves,
     broken_gather},
};

}  // namespace

std::span<const RoutineRow> routine_table() { return kRows; }
const RoutineRow& routine_row(Routine routine) { return kRows[static_cast<size_t>(routine)]; }

}  // namespace cupel
