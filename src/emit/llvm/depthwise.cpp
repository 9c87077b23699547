// Depthwise convolutions of bytes: four taps of a channel stand side by side in one lane, so that one dot product does
// four multiply-adds. The taps of a lane are image lines (of the outer loops, kernel rows) for one step of the
// innermost loop (kernel column), so that neighbouring pixels, and the rows of a tile, share the interleaved columns of
// the image: a row has weight 0 for a line that it does not read. Results come in the order of VectorIsa::interleave,
// which its pack undoes; everything per channel is brought into that order once for each call. Where few channels leave
// a vector half empty, it holds those of neighbouring pixels, which lie side by side.
#include <algorithm>
#include <map>

#include "emit/llvm/forms.h"
#include "emit/llvm/result_store.h"

namespace cupel {
namespace {

using llvm::AllocaInst;
using llvm::Value;
using Four = std::array<Value*, 4>;

// Prepared vectors for all channels lie on the stack; those of one chunk stay within the first level cache.
constexpr int64_t kMostPreparedBytes = 96 * 1024;
// Of them, what the first level cache keeps beside the image.
constexpr int64_t kMostCachedBytes = 20 * 1024;

// Channels [first, first + channels) of count / channels neighbouring pixels are computed together.
struct Chunk {
  int64_t first, count, channels;
  int64_t lane;  // the first of `count` among the prepared ones
};

class DepthwiseEmitter {
 public:
  DepthwiseEmitter(Emitter& emitter, const WindowSpec& spec, const WindowSchedule& schedule)
      : e_(emitter), ir_(emitter.ir), spec_(spec), schedule_(schedule) {
    rank_ = spec.space.size();
    width_ = spec.space[rank_ - 2];
    room_ = (spec.space[rank_ - 1] + kBlock - 1) / kBlock * kBlock;
    const ReductionLoop one;
    const ReductionLoop& inner = spec.loops.empty() ? one : spec.loops.back();
    columns_ = inner.count;
    column_stride_ = inner.stride;
    rows_ = {0};
    for (size_t i = 0; i + 1 < spec.loops.size(); ++i) {
      std::vector<int64_t> next;
      for (int64_t offset : rows_)
        for (int64_t k = 0; k < spec.loops[i].count; ++k) next.push_back(offset + k * spec.loops[i].stride);
      rows_ = std::move(next);
    }
    for (int64_t row = 0; row < schedule.tile_h; ++row)
      for (int64_t offset : rows_) lines_.push_back(offset + row * spec.a.strides[rank_ - 3]);
    std::sort(lines_.begin(), lines_.end());
    lines_.erase(std::unique(lines_.begin(), lines_.end()), lines_.end());
    groups_ = (static_cast<int64_t>(lines_.size()) + 3) / 4;
    if (dtype_bits(spec.out.dtype) == 8) plan_ = plan_byte_result(spec.epilogue, spec.operands);
    const int64_t most = std::min(4 * e_.lanes(), 64);
    for (int64_t at = 0; at < room_;) {
      int64_t channels = most;
      while (channels > room_ - at) channels /= 2;
      int64_t together = most / channels;
      while (together > width_) together /= 2;
      chunks_.push_back({at, together * channels, channels, prepared_lanes()});
      at += channels;
    }
  }

  bool applies() const {
    if (spec_.kind != WindowKind::dot || spec_.a.dtype != DType::u8 || dtype_bits(spec_.out.dtype) != 8) return false;
    if (e_.isa().target().byte_product != ByteProduct::four_u8_s8) return false;
    if (static_cast<int64_t>(rows_.size()) * columns_ > 64 || !per_channel(spec_.weights) || !per_channel(spec_.start))
      return false;
    for (size_t i = 0; i < spec_.operands.size(); ++i)
      if (!is_table(i) && (!per_channel(spec_.operands[i]) || dtype_bits(spec_.operands[i].dtype) != 32)) return false;
    // A table may stand at the end alone, where it is looked up by bytes.
    for (int32_t i = 0; i <= plan_.value; ++i)
      if (spec_.epilogue.nodes[static_cast<size_t>(i)].op == ScalarOp::table) return false;
    return prepared_lanes() * prepared_bytes() <= kMostPreparedBytes;
  }

  void emit() {
    prepare();
    std::vector<int64_t> extents(spec_.space.begin(), spec_.space.end() - 2);
    const int64_t height = extents.back();
    extents.back() = (height + schedule_.tile_h - 1) / schedule_.tile_h;
    e_.unit_loop(extents, [&](Value* item, const std::vector<Value*>& unit) {
      std::vector<Value*> at = unit;
      at.back() = e_.tile_start(unit.back(), schedule_.tile_h, height);
      Value* a = e_.address(spec_.a, 1, item, at);
      Value* out = e_.address(spec_.out, 0, item, at);
      // Whole chunks of one size in a loop, the smaller ones at the end by themselves.
      const int64_t size = chunks_[0].channels;
      const int64_t equal =
          std::count_if(chunks_.begin(), chunks_.end(), [&](const Chunk& c) { return c.channels == size; });
      rows(a, out, prepared_, chunks_[0], equal);
      for (size_t i = static_cast<size_t>(equal); i < chunks_.size(); ++i) {
        const Chunk& chunk = chunks_[i];
        rows(byte_address(ir_, a, chunk.first), byte_address(ir_, out, chunk.first),
             byte_address(ir_, prepared_, chunk.lane * prepared_bytes()), chunk, 1);
      }
    });
  }

 private:
  // The same for every pixel and item; elements side by side, or one for all channels.
  bool per_channel(const Access& access) const {
    for (size_t d = 0; d + 1 < rank_; ++d)
      if (access.strides[d] != 0) return false;
    return access.item_stride == 0;
  }

  bool is_table(size_t operand) const { return plan_.table == static_cast<int32_t>(operand); }

  // Prepared bytes for one lane: weights, start, operands; a chunk's vectors lie one after another.
  int64_t prepared_bytes() const { return 4 * (weight_vectors() + 1 + static_cast<int64_t>(spec_.operands.size())); }
  int64_t prepared_lanes() const {
    int64_t lanes = 0;
    for (const Chunk& chunk : chunks_) lanes += chunk.count;
    return lanes;
  }
  // Groups of four lines with the weights of each row of a tile.
  int64_t weight_vectors() const { return schedule_.tile_h * columns_ * groups_; }
  int64_t weight_vector(int64_t row, int64_t column, int64_t group) const {
    return (row * columns_ + column) * groups_ + group;
  }
  // Which of its taps a row of the tile reads from a line; −1: none.
  int64_t tap_row(int64_t row, int64_t line) const {
    if (line >= static_cast<int64_t>(lines_.size())) return -1;
    const int64_t offset = lines_[static_cast<size_t>(line)] - row * spec_.a.strides[rank_ - 3];
    const auto found = std::find(rows_.begin(), rows_.end(), offset);
    return found == rows_.end() ? -1 : found - rows_.begin();
  }
  bool reads_group(int64_t row, int64_t group) const {
    for (int64_t k = 0; k < 4; ++k)
      if (tap_row(row, group * 4 + k) >= 0) return true;
    return false;
  }

  void prepare() {
    Builder top(&ir_.GetInsertBlock()->getParent()->getEntryBlock(),
                ir_.GetInsertBlock()->getParent()->getEntryBlock().begin());
    AllocaInst* space = top.CreateAlloca(
        llvm::ArrayType::get(ir_.getInt8Ty(), static_cast<uint64_t>(prepared_lanes() * prepared_bytes())));
    space->setAlignment(llvm::Align(64));
    prepared_ = space;
    Value* weights = byte_address(ir_, e_.buffer(2), spec_.weights.offset);
    for (const Chunk& chunk : chunks_) {
      int64_t at = chunk.lane * prepared_bytes();
      const auto keep = [&](Value* value) {
        ir_.CreateAlignedStore(value, byte_address(ir_, prepared_, at), llvm::Align(16));
        at += chunk.count;
      };
      llvm::Type* bytes = vector_type(ir_.getInt8Ty(), chunk.channels);
      for (int64_t row = 0; row < schedule_.tile_h; ++row)
        for (int64_t column = 0; column < columns_; ++column)
          for (int64_t group = 0; group < groups_; ++group) {
            Four taps = {};
            for (size_t k = 0; k < 4; ++k) {
              const int64_t r = tap_row(row, group * 4 + static_cast<int64_t>(k));
              const int64_t tap = r * columns_ + column;
              Value* from = byte_address(ir_, weights, tap * spec_.weights_tap_stride + chunk.first);
              taps[k] = r >= 0 ? repeated(ir_.CreateAlignedLoad(bytes, from, llvm::Align(1)), chunk.count)
                               : llvm::Constant::getNullValue(vector_type(ir_.getInt8Ty(), chunk.count));
            }
            for (Value* vector : e_.isa().interleave(ir_, taps)) keep(vector);
          }
      for (int64_t j = 0; j < 4; ++j) keep(in_order(spec_.start, 3, chunk, j));
      for (size_t i = 0; i < spec_.operands.size(); ++i) {
        if (is_table(i)) {
          at += 4 * chunk.count;
          continue;
        }
        for (int64_t j = 0; j < 4; ++j) keep(in_order(spec_.operands[i], 4 + i, chunk, j));
      }
    }
  }

  // The elements over and over, `count` of them.
  Value* repeated(Value* value, int64_t count) {
    const int64_t have = lane_count(value);
    if (have == count) return value;
    std::vector<int> order;
    for (int64_t i = 0; i < count; ++i) order.push_back(static_cast<int>(i % have));
    return ir_.CreateShuffleVector(value, order);
  }

  // Elements of vector j in the order of interleave.
  Value* in_order(const Access& access, size_t buffer, const Chunk& chunk, int64_t j) {
    llvm::Type* element = e_.element_type(access.dtype);
    Value* base = byte_address(ir_, e_.buffer(buffer), access.offset);
    const int64_t stride = access.strides[rank_ - 1];
    if (stride == 0) return splat(ir_, ir_.CreateAlignedLoad(element, base, llvm::Align(4)), chunk.count / 4);
    std::vector<Value*> pieces;
    for (int64_t lane = 0; lane < chunk.count / 4; lane += 4) {
      const int64_t channel = chunk.first + e_.isa().interleaved_element(j, lane) % chunk.channels;
      pieces.push_back(
          ir_.CreateAlignedLoad(vector_type(element, 4), byte_address(ir_, base, channel * 4), llvm::Align(4)));
    }
    return concat(ir_, pieces);
  }

  // The rows of a tile for `equal` chunks of channels, the first of which is `chunk`.
  void rows(Value* a, Value* out, Value* prepared, const Chunk& chunk, int64_t equal) {
    // Accumulators of a tile take half of the registers.
    const int64_t together = chunk.count / chunk.channels;  // pixels in a vector
    const int64_t most = std::max<int64_t>(1, e_.isa().target().vector_registers / 8 / schedule_.tile_h);
    const int64_t tile = std::min({schedule_.tile_w, width_ / together, most});
    const int64_t tiles = (width_ + tile * together - 1) / (tile * together);
    const auto one = [&](Value* index, Value* which) {
      Value* first = e_.tile_start(index, tile * together, width_);
      Value* channel = ir_.CreateMul(which, e_.constant(chunk.channels));
      pixels(byte_address(ir_, byte_address(ir_, a, channel),
                          ir_.CreateMul(first, e_.constant(spec_.a.strides[rank_ - 2]))),
             byte_address(ir_, byte_address(ir_, out, channel),
                          ir_.CreateMul(first, e_.constant(spec_.out.strides[rank_ - 2]))),
             byte_address(ir_, prepared, ir_.CreateMul(which, e_.constant(chunk.count * prepared_bytes()))),
             chunk.count, tile, together);
    };
    // Pixel by pixel, whose channels lie side by side, as long as what is prepared for all of them stays in the first
    // level cache.
    if (equal * chunk.count * prepared_bytes() <= kMostCachedBytes) {
      e_.count_loop(tiles, 1, [&](Value* index) { e_.count_loop(equal, 1, [&](Value* which) { one(index, which); }); });
    } else {
      e_.count_loop(equal, 1, [&](Value* which) { e_.count_loop(tiles, 1, [&](Value* index) { one(index, which); }); });
    }
  }

  Value* prepared_vector(Value* prepared, int64_t index, int64_t count, llvm::Type* type) {
    return ir_.CreateAlignedLoad(type, byte_address(ir_, prepared, index * count), llvm::Align(16));
  }

  // A tile of rows by `tile` vectors of `together` pixels each.
  void pixels(Value* a, Value* out, Value* prepared, int64_t count, int64_t tile, int64_t together) {
    llvm::Type* dwords = vector_type(e_.s32(), count / 4);
    const int64_t step = together * spec_.a.strides[rank_ - 2];
    const auto at = [&](int64_t row, int64_t pixel) { return static_cast<size_t>(row * tile + pixel); };
    std::vector<Four> acc(at(schedule_.tile_h, 0));
    for (size_t j = 0; j < 4; ++j) {
      Value* start = prepared_vector(prepared, weight_vectors() * 4 + static_cast<int64_t>(j), count, dwords);
      for (Four& one : acc) one[j] = start;
    }
    // Image columns by their distance from the first, each with the pixels and kernel columns that read it.
    std::map<int64_t, std::vector<std::pair<int64_t, int64_t>>> readers;
    for (int64_t pixel = 0; pixel < tile; ++pixel)
      for (int64_t column = 0; column < columns_; ++column)
        readers[pixel * step + column * column_stride_].push_back({pixel, column});
    for (const auto& [offset, uses] : readers)
      for (int64_t group = 0; group < groups_; ++group) {
        const Four image = image_column(byte_address(ir_, a, offset), group, count / together, together);
        for (int64_t row = 0; row < schedule_.tile_h; ++row) {
          if (!reads_group(row, group)) continue;
          for (const auto& [pixel, column] : uses)
            for (size_t j = 0; j < 4; ++j) {
              Value*& sum = acc[at(row, pixel)][j];
              Value* w = prepared_vector(prepared, weight_vector(row, column, group) * 4 + static_cast<int64_t>(j),
                                         count, dwords);
              sum = e_.isa().dot_u8_s8(ir_, sum, image[j], w);
            }
        }
      }
    for (int64_t row = 0; row < schedule_.tile_h; ++row)
      for (int64_t pixel = 0; pixel < tile; ++pixel)
        store(acc[at(row, pixel)], prepared,
              byte_address(ir_, out,
                           row * spec_.out.strides[rank_ - 3] + pixel * together * spec_.out.strides[rank_ - 2]),
              count, together);
  }

  void store(const Four& acc, Value* prepared, Value* to, int64_t count, int64_t together) {
    Four results = {};
    for (size_t j = 0; j < 4; ++j) {
      ExpressionSources sources;
      sources.accumulator = [&](int32_t) { return acc[j]; };
      sources.operand = [&](int32_t i) -> Value* {
        const int64_t index = (weight_vectors() + 1 + i) * 4 + static_cast<int64_t>(j);
        return prepared_vector(prepared, index, count,
                               vector_type(e_.element_type(spec_.operands[static_cast<size_t>(i)].dtype), count / 4));
      };
      results[j] = emit_byte_source(e_, spec_.epilogue, plan_, count / 4, sources);
    }
    Value* bytes = e_.isa().pack_interleaved(ir_, results, plan_.kind, plan_.zero_point);
    if (plan_.table >= 0) bytes = looked_up(bytes);
    const int64_t channels = count / together, stride = spec_.out.strides[rank_ - 2];
    if (stride == channels) {
      ir_.CreateAlignedStore(bytes, to, llvm::Align(1));
      return;
    }
    for (int64_t i = 0; i < together; ++i)
      ir_.CreateAlignedStore(slice(ir_, bytes, i * channels, channels), byte_address(ir_, to, i * stride),
                             llvm::Align(1));
  }

  Value* looked_up(Value* bytes) {
    const auto operand = static_cast<size_t>(plan_.table);
    Value* table = byte_address(ir_, e_.buffer(4 + operand), spec_.operands[operand].offset);
    const int64_t count = lane_count(bytes), all = 4 * e_.lanes();
    if (count == all) return e_.isa().lookup_bytes(ir_, table, bytes);
    return slice(ir_, e_.isa().lookup_bytes(ir_, table, repeated(bytes, all)), 0, count);
  }

  // The lines of a group at one column, for `together` pixels of some channels.
  Four image_column(Value* at, int64_t group, int64_t channels, int64_t together) {
    Four taps = {};
    for (size_t k = 0; k < 4; ++k) {
      const size_t line = static_cast<size_t>(group) * 4 + k;
      taps[k] = line < lines_.size() ? image_line(byte_address(ir_, at, lines_[line]), channels, together)
                                     : llvm::Constant::getNullValue(vector_type(ir_.getInt8Ty(), channels * together));
    }
    return e_.isa().interleave(ir_, taps);
  }

  Value* image_line(Value* at, int64_t channels, int64_t together) {
    const int64_t stride = spec_.a.strides[rank_ - 2];
    const auto load = [&](Value* from, int64_t count) {
      return ir_.CreateAlignedLoad(vector_type(ir_.getInt8Ty(), count), from, llvm::Align(1));
    };
    if (stride == channels) return load(at, channels * together);
    std::vector<Value*> pieces;
    for (int64_t i = 0; i < together; ++i) pieces.push_back(load(byte_address(ir_, at, i * stride), channels));
    return concat(ir_, pieces);
  }

  Emitter& e_;
  Builder& ir_;
  const WindowSpec& spec_;
  const WindowSchedule& schedule_;
  size_t rank_ = 0;
  int64_t width_ = 0, room_ = 0, columns_ = 1, column_stride_ = 0, groups_ = 1;
  std::vector<int64_t> rows_;   // offsets of the taps of the outer loops
  std::vector<int64_t> lines_;  // those of all rows of a tile, ascending
  std::vector<Chunk> chunks_;
  ByteResult plan_;
  Value* prepared_ = nullptr;
};

}  // namespace

bool emit_depthwise(Emitter& emitter, const WindowSpec& spec, const WindowSchedule& schedule) {
  DepthwiseEmitter depthwise(emitter, spec, schedule);
  if (!depthwise.applies()) return false;
  depthwise.emit();
  return true;
}

}  // namespace cupel
