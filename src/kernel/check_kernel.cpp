// The rules that a Kernel must meet before it is evaluated or emitted.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "kernel/kernel.h"
#include "kernel/routines.h"

namespace cupel {
namespace {

__extension__ using Wide = __int128;

constexpr int64_t kMaxKernelRank = 12;
constexpr int64_t kMaxLoops = 8;
constexpr int64_t kMaxSteps = int64_t{1} << 24;      // of a reduction
constexpr int64_t kMaxItemBytes = int64_t{1} << 40;  // that one access spans
constexpr int64_t kBlock = 16;
constexpr int64_t kMaxTile = 256, kMaxUnroll = 64, kMaxPrefetch = 4096;

std::unexpected<Error> broken(std::string cause) { return bad_input("kernel", std::move(cause), "correct the kernel"); }
std::unexpected<Error> beyond(std::string cause) {
  return resource_error("kernel", std::move(cause), "use smaller tensors");
}

int64_t size_of(DType type) { return dtype_bits(type) / 8; }
int64_t round_up(int64_t n, int64_t unit) { return (n + unit - 1) / unit * unit; }

// The bytes of one item that an access reaches, relative to its buffer.
struct Span {
  Wide least = 0, greatest = 0;
  void step(Wide stride, Wide count) { (stride < 0 ? least : greatest) += stride * (count - 1); }
};

Status check_span(std::string_view name, const Span& span) {
  if (span.least < 0) return broken(fmt::format("{}: reaches bytes before its buffer", name));
  if (span.greatest >= kMaxItemBytes) return beyond(fmt::format("{}: spans 2^40 bytes or more", name));
  return {};
}

Status check_space(const Dims& space, int64_t least_rank) {
  const auto rank = static_cast<int64_t>(space.size());
  if (rank < least_rank || rank > kMaxKernelRank)
    return broken(fmt::format("space has {} dimensions, expected {} to {}", rank, least_rank, kMaxKernelRank));
  Wide elements = 1;
  for (const int64_t extent : space) {
    if (extent < 1) return broken(fmt::format("space {} has an extent below 1", to_text(space)));
    elements *= extent;
    if (elements > kMaxElements) return beyond(fmt::format("space {} has more than 2^34 elements", to_text(space)));
  }
  return {};
}

// Types, strides for every dimension, alignment; that an item fits is checked with its reductions.
Status check_access(std::string_view name, const Access& access, const Dims& space, std::span<const DType> types) {
  if (std::find(types.begin(), types.end(), access.dtype) == types.end()) {
    std::string expected;
    for (size_t i = 0; i < types.size(); ++i)
      expected += std::string(i == 0 ? "" : i + 1 == types.size() ? " or " : ", ") + std::string(dtype_name(types[i]));
    return broken(fmt::format("{}: is {}, expected {}", name, dtype_name(access.dtype), expected));
  }
  if (access.strides.size() != space.size())
    return broken(fmt::format("{}: has {} strides for {} dimensions", name, access.strides.size(), space.size()));
  if (access.constant && access.item_stride != 0)
    return broken(fmt::format("{}: is constant with item stride {}, expected 0", name, access.item_stride));
  if (access.item_stride < 0) return broken(fmt::format("{}: item stride {} is negative", name, access.item_stride));
  if (access.item_stride >= kMaxItemBytes) return beyond(fmt::format("{}: item stride is 2^40 bytes or more", name));
  const int64_t size = size_of(access.dtype);
  const auto aligned = [&](int64_t bytes) { return bytes % size == 0; };
  if (!aligned(access.offset) || !aligned(access.item_stride) ||
      !std::all_of(access.strides.begin(), access.strides.end(), aligned))
    return broken(fmt::format("{}: an offset or stride is no multiple of {} bytes", name, size));
  return {};
}

// `last`: elements of the last dimension that are touched.
Span span_of(const Access& access, const Dims& space, int64_t last) {
  Span span{access.offset, access.offset};
  for (size_t d = 0; d < space.size(); ++d) span.step(access.strides[d], d + 1 == space.size() ? last : space[d]);
  span.greatest += size_of(access.dtype) - 1;
  return span;
}

// No two elements of the result share a byte: taken by growing stride, each dimension steps over all inner ones.
Status check_apart(const Access& out, const Dims& space, int64_t last) {
  struct Step {
    Wide stride, count;
  };
  std::vector<Step> steps;
  for (size_t d = 0; d < space.size(); ++d) {
    const int64_t count = d + 1 == space.size() ? last : space[d];
    if (count > 1) steps.push_back({out.strides[d] < 0 ? -Wide{out.strides[d]} : Wide{out.strides[d]}, count});
  }
  if (out.item_stride > 0) steps.push_back({out.item_stride, 2});
  std::sort(steps.begin(), steps.end(), [](const Step& a, const Step& b) { return a.stride < b.stride; });
  Wide inner = size_of(out.dtype);
  for (const Step& step : steps) {
    if (step.stride < inner)
      return broken(last == space.back() ? "out: elements overlap"
                                         : "out: elements overlap, with the last dimension in whole blocks of 16");
    inner += step.stride * (step.count - 1);
  }
  return {};
}

Status check_loops(const std::vector<ReductionLoop>& loops, std::string_view name, Span& span) {
  if (static_cast<int64_t>(loops.size()) > kMaxLoops)
    return broken(fmt::format("{} reduction loops, expected at most {}", loops.size(), kMaxLoops));
  int64_t steps = 1;
  for (const ReductionLoop& loop : loops) {
    if (loop.count < 1) return broken(fmt::format("a reduction loop counts {}, expected at least 1", loop.count));
    if (loop.count > kMaxSteps / steps) return beyond("the reduction has more than 2^24 steps");
    steps *= loop.count;
    span.step(loop.stride, loop.count);
  }
  return check_span(name, span);
}

// Positions and taps of a border move over the same lines.
Status check_border(std::string_view name, const Border& b, int64_t taps, int64_t position_bytes, int64_t tap_bytes) {
  if (b.lines == 0 && b == Border{}) return {};
  if (b.taps != taps) return broken(fmt::format("{}: {} taps, the reduction has {}", name, b.taps, taps));
  const auto numbers = [&] {
    return fmt::format(
        "{}: stride {}, dilation {}, before {} and lines {} must be at least 1, 1, 0 and 1 and at most 2^24", name,
        b.stride, b.dilation, b.before, b.lines);
  };
  if (b.stride < 1 || b.dilation < 1 || b.before < 0 || b.lines < 1) return broken(numbers());
  if (std::max({b.stride, b.dilation, b.before, b.lines}) > kMaxSteps) return beyond(numbers());
  if (Wide{position_bytes} * b.dilation != Wide{tap_bytes} * b.stride)
    return broken(fmt::format("{}: a position moves {} bytes and a tap {}, which is not as {} to {}", name,
                              position_bytes, tap_bytes, b.stride, b.dilation));
  return {};
}

Status check_expression(std::string_view name, const ScalarExpr& expr, const ScalarScope& scope, ScalarType expected) {
  const auto types = scalar_types(expr, scope);
  if (!types) return broken(fmt::format("{}: {}", name, types.error().cause));
  if (types->back() != expected)
    return broken(
        fmt::format("{}: gives {}, expected {}", name, scalar_type_name(types->back()), scalar_type_name(expected)));
  return {};
}

// A table is read by `table` nodes alone and lies still.
Status check_tables(const std::vector<Access>& operands, std::span<const ScalarExpr* const> expressions) {
  for (size_t i = 0; i < operands.size(); ++i) {
    bool table = false, element = false;
    for (const ScalarExpr* expr : expressions)
      for (const ScalarNode& node : expr->nodes) {
        if (node.index != static_cast<int32_t>(i)) continue;
        table |= node.op == ScalarOp::table;
        element |= node.op == ScalarOp::operand;
      }
    if (!table) continue;
    const Access& a = operands[i];
    const bool still = std::all_of(a.strides.begin(), a.strides.end(), [](int64_t stride) { return stride == 0; });
    if (element || !a.constant || !still)
      return broken(fmt::format("operand {}: a table is constant, has strides 0 and no other use", i));
  }
  return {};
}

constexpr DType kReal[] = {DType::f32};
constexpr DType kWhole[] = {DType::s32};
constexpr DType kElements[] = {DType::u8, DType::s8, DType::s32, DType::f16, DType::f32};
constexpr DType kMapped[] = {DType::u8, DType::s8, DType::s16, DType::s32, DType::f16, DType::f32};  // what maps write

// Operands and the result. whole_blocks: the last dimension is computed in blocks of 16.
Status check_operands(const std::vector<Access>& operands, const Access& out, const Dims& space, bool whole_blocks) {
  const int64_t last = whole_blocks ? round_up(space.back(), kBlock) : space.back();
  for (size_t i = 0; i < operands.size(); ++i) {
    const std::string name = fmt::format("operand {}", i);
    const Access& a = operands[i];
    CUPEL_TRY(check_access(name, a, space, kElements));
    if (whole_blocks && a.strides.back() != 0 && a.strides.back() != size_of(a.dtype))
      return broken(fmt::format("{}: steps {} bytes along the last dimension, expected 0 or {}", name, a.strides.back(),
                                size_of(a.dtype)));
    CUPEL_TRY(check_span(name, span_of(a, space, last)));
  }
  CUPEL_TRY(check_access("out", out, space, whole_blocks ? std::span<const DType>(kElements) : kMapped));
  if (out.constant) return broken("out: is constant");
  if (whole_blocks && out.strides.back() != size_of(out.dtype))
    return broken(fmt::format("out: steps {} bytes along the last dimension, expected {}", out.strides.back(),
                              size_of(out.dtype)));
  CUPEL_TRY(check_span("out", span_of(out, space, last)));
  return check_apart(out, space, last);
}

// The last dimension of a weight-like operand is contiguous and the same for every pixel.
Status check_per_column(std::string_view name, const Access& access, const Dims& space, int64_t last_stride) {
  const size_t rank = space.size();
  if (access.strides[rank - 1] != last_stride)
    return broken(fmt::format("{}: steps {} bytes along the last dimension, expected {}", name,
                              access.strides[rank - 1], last_stride));
  if (access.strides[rank - 2] != 0 || access.strides[rank - 3] != 0)
    return broken(fmt::format("{}: moves along h or w", name));
  return {};
}

Status check_range(std::string_view name, int64_t value, int64_t least, int64_t greatest) {
  if (value < least || value > greatest)
    return broken(fmt::format("schedule: {} is {}, expected {} to {}", name, value, least, greatest));
  return {};
}

Status check(const ContractSpec& s, const ContractSchedule& schedule) {
  constexpr DType kA[] = {DType::u8, DType::f32};
  constexpr DType kPacked[] = {DType::s8, DType::s16};
  CUPEL_TRY(check_space(s.space, 3));
  const int64_t columns = round_up(s.space.back(), kBlock);
  CUPEL_TRY(check_access("a", s.a, s.space, kA));
  const bool real = s.a.dtype == DType::f32;
  if (s.a.strides.back() != 0) return broken("a: moves along the columns");
  CUPEL_TRY(check_access("b", s.b, s.space, real ? std::span<const DType>(kReal) : kPacked));
  CUPEL_TRY(check_per_column("b", s.b, s.space, 0));
  CUPEL_TRY(check_access("start", s.start, s.space, real ? kReal : kWhole));
  CUPEL_TRY(check_per_column("start", s.start, s.space, 4));
  CUPEL_TRY(check_span("start", span_of(s.start, s.space, columns)));

  if (s.run < 1) return broken(fmt::format("run is {}, expected at least 1", s.run));
  if (s.run > kMaxSteps) return beyond("the reduction has more than 2^24 steps");
  Span a = span_of(s.a, s.space, 1);
  // Up to 3 bytes behind a run are read.
  a.step(size_of(s.a.dtype), real ? s.run : round_up(s.run, 4));
  CUPEL_TRY(check_loops(s.loops, "a", a));
  const size_t rank = s.space.size();
  if (s.rows.known() && s.loops.empty()) return broken("rows: the reduction has no loop over them");
  if (!s.loops.empty())
    CUPEL_TRY(check_border("rows", s.rows, s.loops[0].count, s.a.strides[rank - 3], s.loops[0].stride));
  if (s.columns.taps < 1 || s.run % s.columns.taps != 0)
    return broken(fmt::format("columns: a run of {} is no {} equal parts", s.run, s.columns.taps));
  CUPEL_TRY(check_border("columns", s.columns, s.columns.taps, s.a.strides[rank - 2],
                         s.run / s.columns.taps * size_of(s.a.dtype)));
  Wide depth = real ? s.run : round_up(s.run, 4);
  for (const ReductionLoop& loop : s.loops) depth *= loop.count;
  const Wide block_bytes = depth * kBlock * size_of(s.b.dtype);
  if (s.b_block_stride < 0 || s.b_block_stride % size_of(s.b.dtype) != 0 ||
      (columns > kBlock && s.b_block_stride < block_bytes))
    return broken(fmt::format("b: block stride {} is below the {} bytes of a block of 16 columns or no multiple of {}",
                              s.b_block_stride, static_cast<int64_t>(block_bytes), size_of(s.b.dtype)));
  Span b = span_of(s.b, s.space, 1);
  b.step(s.b_block_stride, columns / kBlock);
  b.greatest += block_bytes;
  CUPEL_TRY(check_span("b", b));

  CUPEL_TRY(check_operands(s.operands, s.out, s.space, true));
  CUPEL_TRY(check_expression("epilogue", s.epilogue, scope_of(s), scalar_type_of(s.out.dtype)));
  CUPEL_TRY(check_tables(s.operands, std::array{&s.epilogue}));

  CUPEL_TRY(check_range("tile_h", schedule.tile_h, 1, s.space[rank - 3]));
  CUPEL_TRY(check_range("tile_w", schedule.tile_w, 1, s.space[rank - 2]));
  CUPEL_TRY(check_range("tile_blocks", schedule.tile_blocks, 1, columns / kBlock));
  if (Wide{schedule.tile_h} * schedule.tile_w * schedule.tile_blocks > kMaxTile)
    return broken(fmt::format("schedule: a tile has more than {} blocks of results", kMaxTile));
  CUPEL_TRY(check_range("unroll", schedule.unroll, 1, kMaxUnroll));
  const int64_t tiles = pixel_tiles(s, schedule);
  CUPEL_TRY(check_range("bands", schedule.bands, 1, tiles));
  if (tiles % schedule.bands != 0)
    return broken(fmt::format("schedule: {} tiles of pixels are no {} equal bands", tiles, schedule.bands));
  return check_range("prefetch", schedule.prefetch, 0, kMaxPrefetch);
}

Status check(const WindowSpec& s, const WindowSchedule& schedule) {
  constexpr DType kDotA[] = {DType::u8, DType::f32};
  constexpr DType kReducedA[] = {DType::u8, DType::s8, DType::f32};
  constexpr DType kCodes[] = {DType::s8};
  if (s.kind > WindowKind::max) return broken("the kind of window is unknown");
  CUPEL_TRY(check_space(s.space, 3));
  const int64_t channels = round_up(s.space.back(), kBlock);
  const bool dot = s.kind == WindowKind::dot, real = s.a.dtype == DType::f32;
  CUPEL_TRY(check_access("a", s.a, s.space, dot ? std::span<const DType>(kDotA) : kReducedA));
  if (s.a.strides.back() != size_of(s.a.dtype))
    return broken(
        fmt::format("a: steps {} bytes along the last dimension, expected {}", s.a.strides.back(), size_of(s.a.dtype)));
  Span a = span_of(s.a, s.space, channels);
  CUPEL_TRY(check_loops(s.loops, "a", a));
  if (dot) {
    CUPEL_TRY(check_access("weights", s.weights, s.space, real ? kReal : kCodes));
    CUPEL_TRY(check_per_column("weights", s.weights, s.space, size_of(s.weights.dtype)));
    if (s.weights_tap_stride % size_of(s.weights.dtype) != 0)
      return broken(fmt::format("weights: tap stride {} is no multiple of {} bytes", s.weights_tap_stride,
                                size_of(s.weights.dtype)));
    Span weights = span_of(s.weights, s.space, channels);
    int64_t taps = 1;
    for (const ReductionLoop& loop : s.loops) taps *= loop.count;
    weights.step(s.weights_tap_stride, taps);
    CUPEL_TRY(check_span("weights", weights));
    CUPEL_TRY(check_access("start", s.start, s.space, real ? kReal : kWhole));
    CUPEL_TRY(check_per_column("start", s.start, s.space, 4));
    CUPEL_TRY(check_span("start", span_of(s.start, s.space, channels)));
  } else if (s.weights != Access() || s.start != Access() || s.weights_tap_stride != 0) {
    return broken("weights and start belong to dot windows alone");
  }
  CUPEL_TRY(check_operands(s.operands, s.out, s.space, true));
  CUPEL_TRY(check_expression("epilogue", s.epilogue, scope_of(s), scalar_type_of(s.out.dtype)));
  CUPEL_TRY(check_tables(s.operands, std::array{&s.epilogue}));
  CUPEL_TRY(check_range("tile_h", schedule.tile_h, 1, s.space[s.space.size() - 3]));
  CUPEL_TRY(check_range("tile_w", schedule.tile_w, 1, s.space[s.space.size() - 2]));
  CUPEL_TRY(check_range("tile_blocks", schedule.tile_blocks, 1, channels / kBlock));
  if (Wide{schedule.tile_w} * schedule.tile_blocks > kMaxTile)
    return broken(fmt::format("schedule: a tile has more than {} blocks of results", kMaxTile));
  return {};
}

Status check(const MapSpec& s, const MapSchedule& schedule) {
  CUPEL_TRY(check_space(s.space, 1));
  CUPEL_TRY(check_operands(s.operands, s.out, s.space, false));
  CUPEL_TRY(check_expression("value", s.value, scope_of(s), scalar_type_of(s.out.dtype)));
  CUPEL_TRY(check_tables(s.operands, std::array{&s.value}));
  return check_range("vector_dimension", schedule.vector_dimension, -1, static_cast<int64_t>(s.space.size()) - 1);
}

Status check(const RowSpec& s, const RowSchedule&) {
  constexpr size_t kMaxRowSteps = 16;
  CUPEL_TRY(check_space(s.space, 1));
  CUPEL_TRY(check_operands(s.operands, s.out, s.space, false));
  if (s.steps.empty() || s.steps.size() > kMaxRowSteps)
    return broken(fmt::format("a row has {} reductions, expected 1 to {}", s.steps.size(), kMaxRowSteps));
  std::vector<const ScalarExpr*> expressions = {&s.value};
  ScalarScope scope = scope_of(s);
  scope.accumulators.clear();
  for (size_t i = 0; i < s.steps.size(); ++i) {
    const RowStep& step = s.steps[i];
    if (step.kind > RowReduction::squares64) return broken(fmt::format("step {}: the kind of reduction is unknown", i));
    CUPEL_TRY(check_expression(fmt::format("step {}", i), step.value, scope, ScalarType::f32));
    expressions.push_back(&step.value);
    scope.accumulators.push_back(ScalarType::f32);
    if (step.finish.nodes.empty()) continue;
    const ScalarScope scalars{{}, scope.accumulators};
    CUPEL_TRY(check_expression(fmt::format("step {}: finish", i), step.finish, scalars, ScalarType::f32));
  }
  CUPEL_TRY(check_expression("value", s.value, scope, scalar_type_of(s.out.dtype)));
  return check_tables(s.operands, expressions);
}

Status check(const CallSpec& s, const CallSchedule&) {
  static_assert(kMaxKernelRank <= kCupelMostCallDimensions);
  if (static_cast<size_t>(s.routine) >= routine_table().size()) return broken("the routine is unknown");
  const RoutineRow& row = routine_row(s.routine);
  CUPEL_TRY(check_space(s.space, 1));
  if (!row.is_op && s.operands.size() != row.operands.size())
    return broken(fmt::format("{} has {} operands, expected {}", row.name, s.operands.size(), row.operands.size()));
  if (!row.is_op && s.integers.size() != row.integers.size())
    return broken(fmt::format("{} has {} integers, expected {}: {}", row.name, s.integers.size(), row.integers.size(),
                              fmt::join(row.integers, ", ")));
  for (size_t i = 0; i < s.operands.size(); ++i) {
    const std::string name(row.is_op ? fmt::format("operand {}", i) : row.operands[i].name);
    CUPEL_TRY(check_access(name, s.operands[i], s.space, row.is_op ? op_operand_types() : row.operands[i].types));
    CUPEL_TRY(check_span(name, span_of(s.operands[i], s.space, s.space.back())));
  }
  CUPEL_TRY(check_access("out", s.out, s.space, row.results));
  if (s.out.constant) return broken("out: is constant");
  CUPEL_TRY(check_span("out", span_of(s.out, s.space, s.space.back())));
  CUPEL_TRY(check_apart(s.out, s.space, s.space.back()));
  if (std::string cause = row.broken(s); !cause.empty()) return broken(std::move(cause));
  return {};
}

}  // namespace

Status check_kernel(const Kernel& kernel) {
  if (kernel.spec.index() != kernel.schedule.index()) return broken("the schedule is of another form than the spec");
  switch (kernel.spec.index()) {
    case 0: return check(std::get<0>(kernel.spec), std::get<0>(kernel.schedule));
    case 1: return check(std::get<1>(kernel.spec), std::get<1>(kernel.schedule));
    case 2: return check(std::get<2>(kernel.spec), std::get<2>(kernel.schedule));
    case 3: return check(std::get<3>(kernel.spec), std::get<3>(kernel.schedule));
    default: return check(std::get<4>(kernel.spec), std::get<4>(kernel.schedule));
  }
}

}  // namespace cupel
