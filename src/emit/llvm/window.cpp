// Windows: every channel by itself. One unit is a row of pixels; within it groups of tile_blocks blocks of 16 channels,
// and for each of them tiles of tile_w pixels with accumulators in registers.
#include "emit/llvm/forms.h"
#include "emit/llvm/result_store.h"

namespace cupel {
namespace {

using llvm::AllocaInst;
using llvm::Value;

constexpr int64_t kMostUnrolled = 512;  // taps times accumulators without a loop

class WindowEmitter {
 public:
  WindowEmitter(Emitter& emitter, const WindowSpec& spec, const WindowSchedule& schedule)
      : e_(emitter), ir_(emitter.ir), spec_(spec), schedule_(schedule) {
    rank_ = spec.space.size();
    width_ = spec.space[rank_ - 2];
    blocks_ = (spec.space[rank_ - 1] + kBlock - 1) / kBlock;
    bytes_ = spec.kind == WindowKind::max && spec.a.dtype != DType::f32;
    part_lanes_ = bytes_ ? kBlock : e_.lanes();
    parts_ = kBlock / part_lanes_;
    llvm::Type* element = bytes_ ? ir_.getInt8Ty() : spec.a.dtype == DType::f32 ? e_.f32() : e_.s32();
    part_type_ = vector_type(element, part_lanes_);
    first_operand_ = spec.kind == WindowKind::dot ? 4 : 2;
    for (const ReductionLoop& loop : spec.loops) taps_ *= loop.count;
  }

  void emit() {
    std::vector<int64_t> extents(spec_.space.begin(), spec_.space.end() - 2);
    const int64_t height = extents.back();
    extents.back() = (height + schedule_.tile_h - 1) / schedule_.tile_h;
    const int64_t groups = (blocks_ + schedule_.tile_blocks - 1) / schedule_.tile_blocks;
    const int64_t tiles = (width_ + schedule_.tile_w - 1) / schedule_.tile_w;
    e_.unit_loop(extents, [&](Value* item, const std::vector<Value*>& at) {
      Value* first_row = e_.tile_start(at.back(), schedule_.tile_h, height);
      e_.count_loop(schedule_.tile_h, 1, [&](Value* row) {
        std::vector<Value*> line(at.begin(), at.end() - 1);
        line.push_back(ir_.CreateAdd(first_row, row));
        e_.count_loop(groups, 1, [&](Value* group) {
          Value* block = e_.tile_start(group, schedule_.tile_blocks, blocks_);
          e_.count_loop(tiles, 1, [&](Value* index) {
            std::vector<Value*> origin = line;
            origin.push_back(e_.tile_start(index, schedule_.tile_w, width_));
            origin.push_back(ir_.CreateMul(block, e_.constant(kBlock)));
            tile(item, origin);
          });
        });
      });
    });
  }

 private:
  AllocaInst*& accumulator(int64_t pixel, int64_t block, int64_t part) {
    return accumulators_[static_cast<size_t>((pixel * schedule_.tile_blocks + block) * parts_ + part)];
  }

  Value* start_value(Value* start, int64_t block, int64_t part) {
    switch (spec_.kind) {
      case WindowKind::dot: {
        const int64_t stride = spec_.start.strides[rank_ - 1];
        return ir_.CreateAlignedLoad(
            part_type_, byte_address(ir_, start, block * kBlock * stride + part * part_lanes_ * 4), llvm::Align(1));
      }
      case WindowKind::sum: return llvm::Constant::getNullValue(part_type_);
      case WindowKind::max: break;
    }
    if (spec_.a.dtype == DType::f32) return llvm::ConstantFP::getInfinity(part_type_, true);
    return splat(ir_, ir_.getInt8(spec_.a.dtype == DType::s8 ? 0x80 : 0), part_lanes_);
  }

  void tile(Value* item, const std::vector<Value*>& origin) {
    accumulators_.resize(static_cast<size_t>(schedule_.tile_w * schedule_.tile_blocks * parts_));
    Value* start = spec_.kind == WindowKind::dot ? e_.address(spec_.start, 3, item, origin) : nullptr;
    for (int64_t n = 0; n < schedule_.tile_blocks; ++n)
      for (int64_t part = 0; part < parts_; ++part) {
        Value* value = start_value(start, n, part);
        for (int64_t pixel = 0; pixel < schedule_.tile_w; ++pixel) {
          AllocaInst*& slot = accumulator(pixel, n, part);
          if (slot == nullptr) {
            slot = e_.variable(part_type_, value);
          } else {
            e_.write(slot, value);
          }
        }
      }
    Value* a = e_.address(spec_.a, 1, item, origin);
    if (spec_.kind == WindowKind::dot)
      weights_ = e_.variable(ir_.getPtrTy(), e_.address(spec_.weights, 2, item, origin));
    const int64_t work = taps_ * schedule_.tile_w * schedule_.tile_blocks * parts_;
    reduce(0, a, 0, work <= kMostUnrolled);
    results(item, origin);
  }

  void reduce(size_t level, Value* a, int64_t offset, bool unrolled) {
    if (level == spec_.loops.size()) {
      tap(byte_address(ir_, a, offset));
      return;
    }
    const ReductionLoop& loop = spec_.loops[level];
    if (unrolled || loop.count == 1) {
      for (int64_t i = 0; i < loop.count; ++i) reduce(level + 1, a, offset + i * loop.stride, unrolled);
      return;
    }
    AllocaInst* position = e_.variable(ir_.getPtrTy(), byte_address(ir_, a, offset));
    e_.count_loop(loop.count, 1, [&](Value*) {
      reduce(level + 1, e_.read(position), 0, unrolled);
      e_.write(position, byte_address(ir_, e_.read(position), loop.stride));
    });
  }

  void tap(Value* a) {
    const DType type = spec_.a.dtype;
    const int64_t size = type == DType::f32 ? 4 : 1;
    std::vector<Value*> weights;
    if (spec_.kind == WindowKind::dot) {
      Value* from = e_.read(weights_);
      for (int64_t n = 0; n < schedule_.tile_blocks; ++n)
        for (int64_t part = 0; part < parts_; ++part) {
          Value* at =
              byte_address(ir_, from, n * kBlock * spec_.weights.strides[rank_ - 1] + part * part_lanes_ * size);
          weights.push_back(load_weights(at));
        }
      e_.write(weights_, byte_address(ir_, from, spec_.weights_tap_stride));
    }
    for (int64_t pixel = 0; pixel < schedule_.tile_w; ++pixel)
      for (int64_t n = 0; n < schedule_.tile_blocks; ++n)
        for (int64_t part = 0; part < parts_; ++part) {
          const int64_t offset = pixel * spec_.a.strides[rank_ - 2] + n * kBlock * size + part * part_lanes_ * size;
          Value* at = byte_address(ir_, a, offset);
          Value* x = bytes_ ? ir_.CreateAlignedLoad(part_type_, at, llvm::Align(1))
                            : e_.load_lanes(type, at, size, part_lanes_);
          AllocaInst* slot = accumulator(pixel, n, part);
          Value* w = weights.empty() ? nullptr : weights[static_cast<size_t>(n * parts_ + part)];
          e_.write(slot, accumulate(e_.read(slot), x, w));
        }
  }

  // One product to a lane: the weight in the low byte or word of its dword.
  Value* load_weights(Value* at) {
    if (spec_.a.dtype == DType::f32) return ir_.CreateAlignedLoad(part_type_, at, llvm::Align(1));
    const bool four = e_.isa().target().byte_product == ByteProduct::four_u8_s8;
    return e_.load_lanes(four ? DType::u8 : DType::s8, at, 1, part_lanes_);
  }

  Value* accumulate(Value* acc, Value* x, Value* w) {
    switch (spec_.kind) {
      case WindowKind::dot:
        if (spec_.a.dtype == DType::f32) return ir_.CreateIntrinsic(llvm::Intrinsic::fma, {part_type_}, {x, w, acc});
        if (e_.isa().target().byte_product == ByteProduct::four_u8_s8) return e_.isa().dot_u8_s8(ir_, acc, x, w);
        return e_.isa().dot_s16(ir_, acc, x, w);
      case WindowKind::sum: return spec_.a.dtype == DType::f32 ? ir_.CreateFAdd(acc, x) : ir_.CreateAdd(acc, x);
      case WindowKind::max: break;
    }
    if (spec_.a.dtype == DType::f32) return e_.greater(x, acc);
    return ir_.CreateBinaryIntrinsic(spec_.a.dtype == DType::s8 ? llvm::Intrinsic::smax : llvm::Intrinsic::umax, x,
                                     acc);
  }

  Value* accumulated(int64_t pixel, int64_t block) {
    if (bytes_) {
      Value* codes = e_.read(accumulator(pixel, block, 0));
      llvm::Type* wide = vector_type(e_.s32(), kBlock);
      return spec_.a.dtype == DType::s8 ? ir_.CreateSExt(codes, wide) : ir_.CreateZExt(codes, wide);
    }
    std::vector<Value*> parts;
    for (int64_t part = 0; part < parts_; ++part) parts.push_back(e_.read(accumulator(pixel, block, part)));
    return concat(ir_, parts);
  }

  void results(Value* item, const std::vector<Value*>& origin) {
    std::vector<Value*> bases;
    for (size_t i = 0; i < spec_.operands.size(); ++i)
      bases.push_back(e_.address(spec_.operands[i], first_operand_ + i, item, origin));
    Value* out = e_.address(spec_.out, 0, item, origin);
    const int64_t out_stride = spec_.out.strides[rank_ - 1];
    // The greatest codes themselves.
    const bool moved =
        bytes_ && dtype_bits(spec_.out.dtype) == 8 && spec_.epilogue.nodes.back().op == ScalarOp::accumulator;
    ResultStore store(e_, spec_.epilogue, spec_.operands, spec_.out.dtype, out);
    std::vector<Value*> kept(spec_.operands.size() * static_cast<size_t>(schedule_.tile_blocks), nullptr);
    for (int64_t pixel = 0; pixel < schedule_.tile_w; ++pixel)
      for (int64_t n = 0; n < schedule_.tile_blocks; ++n) {
        const int64_t offset = pixel * spec_.out.strides[rank_ - 2] + n * kBlock * out_stride;
        if (moved) {
          ir_.CreateAlignedStore(e_.read(accumulator(pixel, n, 0)), byte_address(ir_, out, offset), llvm::Align(1));
          continue;
        }
        ExpressionSources sources;
        sources.accumulator = [&](int32_t) { return accumulated(pixel, n); };
        sources.table = [&](int32_t index) { return bases[static_cast<size_t>(index)]; };
        sources.operand = [&](int32_t index) {
          const Access& access = spec_.operands[static_cast<size_t>(index)];
          Value*& slot =
              kept[static_cast<size_t>(index) * static_cast<size_t>(schedule_.tile_blocks) + static_cast<size_t>(n)];
          if (access.strides[rank_ - 2] == 0 && slot != nullptr) return slot;
          const int64_t stride = access.strides[rank_ - 1];
          Value* from = byte_address(ir_, bases[static_cast<size_t>(index)],
                                     pixel * access.strides[rank_ - 2] + n * kBlock * stride);
          slot = e_.load_lanes(access.dtype, from, stride, kBlock);
          return slot;
        };
        store.add(offset, sources);
      }
    store.finish();
  }

  Emitter& e_;
  Builder& ir_;
  const WindowSpec& spec_;
  const WindowSchedule& schedule_;
  size_t rank_ = 0, first_operand_ = 2;
  int64_t width_ = 0, blocks_ = 0, parts_ = 1, part_lanes_ = 16, taps_ = 1;
  bool bytes_ = false;
  llvm::Type* part_type_ = nullptr;
  std::vector<AllocaInst*> accumulators_;
  AllocaInst* weights_ = nullptr;
};

}  // namespace

void emit_window(Emitter& emitter, const WindowSpec& spec, const WindowSchedule& schedule) {
  if (!emit_depthwise(emitter, spec, schedule)) WindowEmitter(emitter, spec, schedule).emit();
}

}  // namespace cupel
