#include "kernel/footprint.h"

#include "kernel/routines.h"

namespace cupel {
namespace {

constexpr int64_t kBlock = 16;

int64_t size_of(DType type) { return dtype_bits(type) / 8; }
int64_t round_up(int64_t n, int64_t unit) { return (n + unit - 1) / unit * unit; }

// The axes of an access over a space whose last dimension counts `last`.
std::vector<ByteAxis> axes_of(const Access& access, const Dims& space, int64_t last) {
  std::vector<ByteAxis> axes;
  for (size_t d = 0; d < space.size(); ++d)
    axes.push_back({access.strides[d], d + 1 == space.size() ? last : space[d]});
  return axes;
}

class Touches {
 public:
  // whole_blocks: the last dimension is computed in blocks of 16.
  Touches(const Dims& space, bool whole_blocks)
      : space_(space), last_(space.back()), room_(whole_blocks ? round_up(space.back(), kBlock) : space.back()) {}

  void add(size_t operand, TouchKind kind, int64_t first, int64_t bytes, std::vector<ByteAxis> axes) {
    all_.push_back({operand, kind, first, bytes, std::move(axes)});
  }
  // Elements of an access at every coordinate; `more`: axes beside those of the space.
  void reads(size_t operand, const Access& access, const std::vector<ByteAxis>& more = {}) {
    const auto element = [&](TouchKind kind, int64_t last) {
      std::vector<ByteAxis> axes = axes_of(access, space_, last);
      axes.insert(axes.end(), more.begin(), more.end());
      add(operand, kind, access.offset, size_of(access.dtype), std::move(axes));
    };
    element(TouchKind::reads, last_);
    if (room_ > last_) element(TouchKind::reads_beyond, room_);
  }
  void writes(const Access& out) {
    add(0, TouchKind::writes, out.offset, size_of(out.dtype), axes_of(out, space_, last_));
    if (room_ > last_)
      add(0, TouchKind::writes_beyond, out.offset + last_ * out.strides.back(), size_of(out.dtype),
          axes_of(out, space_, room_ - last_));
  }
  // Operands from buffer `first` on, and the tables that the expressions look up in them.
  void operands(size_t first, const std::vector<Access>& operands, const std::vector<const ScalarExpr*>& expressions) {
    std::vector<bool> table(operands.size(), false);
    for (const ScalarExpr* expr : expressions)
      for (const ScalarNode& node : expr->nodes)
        if (node.op == ScalarOp::table) table[static_cast<size_t>(node.index)] = true;
    for (size_t i = 0; i < operands.size(); ++i) {
      if (table[i]) {
        add(first + i, TouchKind::reads, operands[i].offset, 256, {});
      } else {
        reads(first + i, operands[i]);
      }
    }
  }
  std::vector<Touch> take() { return std::move(all_); }

 private:
  const Dims& space_;
  int64_t last_, room_;
  std::vector<Touch> all_;
};

std::vector<ByteAxis> loop_axes(const std::vector<ReductionLoop>& loops) {
  std::vector<ByteAxis> axes;
  for (const ReductionLoop& loop : loops) axes.push_back({loop.stride, loop.count});
  return axes;
}

// Blocks of 16 columns with all of K in groups of 64 bytes, 4 for each column: of the last block, the columns of the
// space alone go anywhere.
void read_packed(Touches& touches, const ContractSpec& s) {
  const bool real = s.a.dtype == DType::f32;
  int64_t depth = real ? s.run : round_up(s.run, 4);
  for (const ReductionLoop& loop : s.loops) depth *= loop.count;
  const int64_t block_bytes = depth * kBlock * size_of(s.b.dtype), columns = s.space.back();
  const auto blocks = [&](int64_t count, std::vector<ByteAxis> more) {
    std::vector<ByteAxis> axes = axes_of(s.b, s.space, 1);
    axes.push_back({s.b_block_stride, count});
    axes.insert(axes.end(), more.begin(), more.end());
    return axes;
  };
  const int64_t whole = columns / kBlock, left = columns % kBlock;
  if (whole > 0) touches.add(2, TouchKind::reads, s.b.offset, block_bytes, blocks(whole, {}));
  if (left == 0) return;
  touches.add(2, TouchKind::reads, s.b.offset + whole * s.b_block_stride, left * 4,
              blocks(1, {{64, block_bytes / 64}}));
  touches.add(2, TouchKind::reads_beyond, s.b.offset, block_bytes, blocks(whole + 1, {}));
}

std::vector<Touch> touches(const ContractSpec& s) {
  Touches all(s.space, true);
  const int64_t size = size_of(s.a.dtype), run = s.a.dtype == DType::f32 ? s.run : round_up(s.run, 4);
  std::vector<ByteAxis> a = axes_of(s.a, s.space, 1);
  for (const ByteAxis& loop : loop_axes(s.loops)) a.push_back(loop);
  all.writes(s.out);
  all.add(1, TouchKind::reads, s.a.offset, s.run * size, a);
  if (run > s.run) all.add(1, TouchKind::reads_beyond, s.a.offset, run * size, a);
  read_packed(all, s);
  all.reads(3, s.start);
  all.operands(4, s.operands, {&s.epilogue});
  return all.take();
}

std::vector<Touch> touches(const WindowSpec& s) {
  Touches all(s.space, true);
  const bool dot = s.kind == WindowKind::dot;
  all.writes(s.out);
  all.reads(1, s.a, loop_axes(s.loops));
  if (dot) {
    int64_t taps = 1;
    for (const ReductionLoop& loop : s.loops) taps *= loop.count;
    all.reads(2, s.weights, {{s.weights_tap_stride, taps}});
    all.reads(3, s.start);
  }
  all.operands(dot ? 4 : 2, s.operands, {&s.epilogue});
  return all.take();
}

std::vector<Touch> touches(const MapSpec& s) {
  Touches all(s.space, false);
  all.writes(s.out);
  all.operands(1, s.operands, {&s.value});
  return all.take();
}

std::vector<Touch> touches(const RowSpec& s) {
  Touches all(s.space, false);
  std::vector<const ScalarExpr*> expressions = {&s.value};
  for (const RowStep& step : s.steps) expressions.push_back(&step.value);
  all.writes(s.out);
  all.operands(1, s.operands, expressions);
  return all.take();
}

std::vector<Touch> touches(const CallSpec& s) {
  Touches all(s.space, false);
  all.writes(s.out);
  for (size_t i = 0; i < s.operands.size(); ++i) all.reads(i + 1, s.operands[i], routine_row(s.routine).moves(s, i));
  return all.take();
}

}  // namespace

std::vector<Touch> touches_of(const KernelSpec& spec) {
  return std::visit([](const auto& s) { return touches(s); }, spec);
}

}  // namespace cupel
