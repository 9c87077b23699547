#include "kernel/routines.h"

#include <fmt/format.h>

#include <algorithm>

#include "runtime/op_call.h"

namespace cupel {
namespace {

__extension__ using Wide = __int128;

constexpr int64_t kMostItemBytes = int64_t{1} << 40;

int64_t round_up_64(int64_t bytes) { return (bytes + 63) / 64 * 64; }

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

// ---- Operators

constexpr DType kAny[] = {DType::u8,  DType::s8,  DType::u16, DType::s16, DType::f16, DType::bf16,   DType::f32,
                          DType::u32, DType::s32, DType::f64, DType::u64, DType::s64, DType::boolean};
constexpr DType kBytes[] = {DType::u8};

std::vector<ByteAxis> op_moves(const CallSpec& s, size_t operand) {
  const OpCall call(s.integers.data());
  for (int64_t i = 0, present = 0; i < call.operands(); ++i) {
    const OpTensor t = call.operand(i);
    if (!t.present() || present++ != static_cast<int64_t>(operand)) continue;
    return {{t.element_bytes(), t.size()}};
  }
  return {};
}

// The block of a tensor that is present; empty when it is sound.
std::string broken_tensor(const int64_t* block, bool result) {
  if (block[OpDescription::dtype] < 0 || block[OpDescription::dtype] > static_cast<int64_t>(DType::boolean))
    return "a tensor has an unknown type";
  if (block[OpDescription::rank] < 0 || block[OpDescription::rank] > kMostOpRank) return "a tensor has an unknown rank";
  Dims dims(block + OpDescription::dims, block + OpDescription::dims + block[OpDescription::rank]);
  if (std::any_of(dims.begin(), dims.end(), [](int64_t d) { return d < 1; }) || !count_elements(dims))
    return "a tensor has no elements or too many";
  const int64_t offset = block[OpDescription::offset];
  if (offset < 0 || offset > kMostItemBytes || (!result && offset != 0) ||
      offset % op_element_bytes(block[OpDescription::dtype]) != 0)
    return "a result begins where none may";
  return {};
}

// Whether elements of so many bytes lie on multiples of them, in every item.
bool is_aligned(const Access& a, int64_t bytes) { return a.offset % bytes == 0 && a.item_stride % bytes == 0; }

std::string broken_op(const CallSpec& s, const char* (*check)(const OpCall&)) {
  const auto& n = s.integers;
  const auto at_most = [](int64_t value, int64_t most) { return value >= 0 && value <= most; };
  if (n.size() < OpDescription::header_size || !at_most(n[OpDescription::results], 64) ||
      !at_most(n[OpDescription::operands], 64) || !at_most(n[OpDescription::attributes], 4096) ||
      !at_most(n[OpDescription::scratch_bytes], kMostItemBytes) || n[OpDescription::results] < 1)
    return "the integers are no description of an operator";
  const OpCall call(n.data());
  const int64_t tensors = call.results() + call.operands();
  if (static_cast<int64_t>(n.size()) !=
      OpDescription::header_size + tensors * OpDescription::tensor_size + call.attributes())
    return fmt::format("{} integers do not fit their header", n.size());
  size_t present = 0;
  for (int64_t i = 0; i < tensors; ++i) {
    const int64_t* block = n.data() + OpDescription::header_size + i * OpDescription::tensor_size;
    const bool result = i < call.results();
    if (!result && block[OpDescription::dtype] == -1) {
      if (block[OpDescription::rank] != 0) return "a tensor that is absent has a rank";
      continue;
    }
    if (std::string cause = broken_tensor(block, result); !cause.empty()) return cause;
    const int64_t element = op_element_bytes(block[OpDescription::dtype]);
    if (result) {
      if (!is_aligned(s.out, element)) return "a result lies off the boundaries of its elements";
      continue;
    }
    if (present >= s.operands.size()) return "an operand is missing";
    const Access& a = s.operands[present++];
    if (dtype_bits(a.dtype) / 8 != element ||
        std::any_of(a.strides.begin(), a.strides.end(), [](int64_t stride) { return stride != 0; }))
      return fmt::format("operand {} has another type than its description, or moves", i);
  }
  if (present != s.operands.size()) return "more operands than the integers describe";
  const int64_t bytes = call.result_bytes(), scratch = call.scratch_bytes();
  const int64_t all = scratch > 0 ? round_up_64(bytes) + scratch : bytes;
  const bool parts = call.results() == 1 && scratch == 0;
  if (scratch > 0 && !is_aligned(s.out, 8)) return "the scratch lies off the boundaries of its elements";
  if (s.space.size() != 2 || s.space[0] != call.units() || (call.units() != 1 && !parts) || call.units() > all ||
      s.space[0] * s.space[1] != all || s.out.strides != std::vector<int64_t>{s.space[1], 1})
    return fmt::format("the space is no division of {} bytes", all);
  const char* cause = check(call);
  return cause ? cause : "";
}

const RoutineRow kRows[] = {
    {"gather", "cupel_call_gather", cupel_call_gather, kGatherOperands, kGatherIntegers, kMoved, gather_moves,
     broken_gather},
#define CUPEL_OP_ROUTINE(name)                                   \
  {#name,                                                        \
   "cupel_op_" #name,                                            \
   cupel_op_##name,                                              \
   {},                                                           \
   {},                                                           \
   kBytes,                                                       \
   op_moves,                                                     \
   [](const CallSpec& s) { return broken_op(s, check_##name); }, \
   true},
#include "runtime/op_routines.def"
#undef CUPEL_OP_ROUTINE
};

}  // namespace

std::span<const RoutineRow> routine_table() { return kRows; }
std::optional<Routine> op_routine(std::string_view name) {
  const auto row =
      std::find_if(std::begin(kRows), std::end(kRows), [&](const RoutineRow& r) { return r.is_op && r.name == name; });
  if (row == std::end(kRows)) return std::nullopt;
  return static_cast<Routine>(row - std::begin(kRows));
}
std::span<const DType> op_operand_types() { return kAny; }
const RoutineRow& routine_row(Routine routine) { return kRows[static_cast<size_t>(routine)]; }

}  // namespace cupel
