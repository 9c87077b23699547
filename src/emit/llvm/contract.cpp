// Implicit matrix products: tiles of tile_h × tile_w pixels by tile_blocks blocks of 16 columns, accumulators in
// registers. Every step of the reduction loads the weights of its columns and broadcasts one dword of each pixel.
#include "emit/llvm/forms.h"
#include "emit/llvm/result_store.h"

namespace cupel {
namespace {

using llvm::AllocaInst;
using llvm::Value;

int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

class ContractEmitter {
 public:
  ContractEmitter(Emitter& emitter, const ContractSpec& spec, const ContractSchedule& schedule)
      : e_(emitter), ir_(emitter.ir), spec_(spec), schedule_(schedule) {
    rank_ = spec.space.size();
    height_ = spec.space[rank_ - 3];
    width_ = spec.space[rank_ - 2];
    blocks_ = ceil_div(spec.space[rank_ - 1], kBlock);
    parts_ = kBlock / e_.lanes();
    real_ = spec.a.dtype == DType::f32;
    // Elements of `a` that one step of the reduction covers, and the bytes of weights it takes for one block.
    step_elements_ = real_ ? 1 : 4;
    step_bytes_ = kBlock * (real_ ? 4 : spec.b.dtype == DType::s16 ? 8 : 4);
    steps_ = ceil_div(spec.run, step_elements_);
    for (int64_t pixel = 0; pixel < pixels(); ++pixel) every_pixel_.push_back(pixel);
  }

  void emit() {
    const int64_t columns = ceil_div(width_, schedule_.tile_w), panels = ceil_div(blocks_, schedule_.tile_blocks);
    const int64_t in_band = pixel_tiles(spec_, schedule_) / schedule_.bands;
    std::vector<int64_t> extents(spec_.space.begin(), spec_.space.end() - 3);
    const size_t outer = extents.size();
    extents.insert(extents.end(), {schedule_.bands, panels, in_band});
    e_.unit_loop(extents, [&](Value* item, const std::vector<Value*>& at) {
      Value* panel = at[outer + 1];
      Value* pixel_tile = at[outer + 2];
      if (schedule_.bands > 1) pixel_tile = ir_.CreateAdd(ir_.CreateMul(at[outer], e_.constant(in_band)), pixel_tile);
      Value* row = ir_.CreateUDiv(pixel_tile, e_.constant(columns));
      Value* column = ir_.CreateURem(pixel_tile, e_.constant(columns));
      std::vector<Value*> origin(at.begin(), at.begin() + static_cast<int64_t>(outer));
      origin.push_back(e_.tile_start(row, schedule_.tile_h, height_));
      origin.push_back(e_.tile_start(column, schedule_.tile_w, width_));
      Value* block = e_.tile_start(panel, schedule_.tile_blocks, blocks_);
      origin.push_back(ir_.CreateMul(block, e_.constant(kBlock)));
      // Lines of the next panel that this tile fetches.
      fetched_ = nullptr;
      if (schedule_.prefetch > 0) {
        Value* turn = ir_.CreateURem(pixel_tile, e_.constant(schedule_.prefetch));
        fetched_ = ir_.CreateMul(turn, e_.constant(64));
      }
      tile(item, origin, block);
    });
  }

 private:
  int64_t pixels() const { return schedule_.tile_h * schedule_.tile_w; }
  int64_t pixel_offset(const Access& access, int64_t pixel) const {
    return pixel / schedule_.tile_w * access.strides[rank_ - 3] + pixel % schedule_.tile_w * access.strides[rank_ - 2];
  }
  AllocaInst*& accumulator(int64_t pixel, int64_t block, int64_t part) {
    return accumulators_[static_cast<size_t>((pixel * schedule_.tile_blocks + block) * parts_ + part)];
  }

  void tile(Value* item, const std::vector<Value*>& origin, Value* block) {
    llvm::Type* element = real_ ? e_.f32() : e_.s32();
    llvm::Type* part_type = vector_type(element, e_.lanes());
    accumulators_.resize(static_cast<size_t>(pixels() * schedule_.tile_blocks * parts_));
    Value* start = e_.address(spec_.start, 3, item, origin);
    for (int64_t n = 0; n < schedule_.tile_blocks; ++n) {
      for (int64_t part = 0; part < parts_; ++part) {
        Value* from = byte_address(ir_, start, n * kBlock * spec_.start.strides[rank_ - 1] + part * e_.lanes() * 4);
        Value* value = ir_.CreateAlignedLoad(part_type, from, llvm::Align(4));
        for (int64_t pixel = 0; pixel < pixels(); ++pixel) {
          AllocaInst*& slot = accumulator(pixel, n, part);
          if (slot == nullptr) {
            slot = e_.variable(part_type, value);
          } else {
            e_.write(slot, value);
          }
        }
      }
    }
    Value* a = e_.address(spec_.a, 1, item, origin);
    std::vector<Value*> before_pixels(origin.begin(), origin.end() - 3);
    Value* b = e_.address(spec_.b, 2, item, before_pixels);
    b = byte_address(ir_, b, ir_.CreateMul(block, e_.constant(spec_.b_block_stride)));
    weights_ = e_.variable(ir_.getPtrTy(), b);
    if (spec_.rows.known()) {
      reduce_inside(origin[rank_ - 3], a);
    } else {
      reduce(0, a);
    }
    results(item, origin);
  }

  void reduce(size_t level, Value* a) {
    if (level == spec_.loops.size()) {
      run(a);
      return;
    }
    const ReductionLoop& loop = spec_.loops[level];
    if (loop.count == 1) {
      reduce(level + 1, a);
      return;
    }
    AllocaInst* position = e_.variable(ir_.getPtrTy(), a);
    e_.count_loop(loop.count, 1, [&](Value*) {
      reduce(level + 1, e_.read(position));
      e_.write(position, byte_address(ir_, e_.read(position), loop.stride));
    });
  }

  // The outermost loop without the taps that read the border alone in all rows of the tile, from `row` on.
  void reduce_inside(Value* row, Value* a) {
    const Border& border = spec_.rows;
    const auto quotient_up = [&](Value* x) {  // of max(x, 0) and the dilation
      Value* zero = e_.constant(0);
      x = ir_.CreateSelect(ir_.CreateICmpSGT(x, zero), x, zero);
      if (border.dilation == 1) return x;
      return ir_.CreateUDiv(ir_.CreateAdd(x, e_.constant(border.dilation - 1)), e_.constant(border.dilation));
    };
    Value* line = ir_.CreateMul(row, e_.constant(border.stride));
    Value* first =
        quotient_up(ir_.CreateSub(e_.constant(border.before - (schedule_.tile_h - 1) * border.stride), line));
    Value* limit = quotient_up(ir_.CreateSub(e_.constant(border.lines + border.before), line));
    Value* all = e_.constant(border.taps);
    limit = ir_.CreateSelect(ir_.CreateICmpSLT(limit, all), limit, all);
    int64_t tap_bytes = steps_ * step_bytes_;
    for (size_t i = 1; i < spec_.loops.size(); ++i) tap_bytes *= spec_.loops[i].count;
    e_.write(weights_, byte_address(ir_, e_.read(weights_), ir_.CreateMul(first, e_.constant(tap_bytes))));
    const int64_t stride = spec_.loops[0].stride;
    AllocaInst* position = e_.variable(ir_.getPtrTy(), byte_address(ir_, a, ir_.CreateMul(first, e_.constant(stride))));
    e_.range_loop(first, limit, 1, [&](Value*) {
      reduce(1, e_.read(position));
      e_.write(position, byte_address(ir_, e_.read(position), stride));
    });
  }

  // Tiles of whole rows know which of their pixels read the border at each tap of a row.
  void run(Value* a) {
    const Border& border = spec_.columns;
    const int64_t part = spec_.run / border.taps;
    if (schedule_.tile_w != width_ || !leaves_columns_out(spec_)) {
      run_part(a, steps_, every_pixel_);
      return;
    }
    const auto inside = [&](int64_t tap) {
      std::vector<int64_t> kept;
      for (int64_t pixel : every_pixel_) {
        const int64_t column = pixel % schedule_.tile_w;
        const TapRange range = taps_inside(border, column, column);
        if (tap >= range.first && tap < range.limit) kept.push_back(pixel);
      }
      return kept;
    };
    for (int64_t tap = 0, next = 0; tap < border.taps; tap = next) {
      const std::vector<int64_t> kept = inside(tap);
      for (next = tap + 1; next < border.taps && inside(next) == kept;) ++next;
      run_part(byte_address(ir_, a, tap * part * a_bytes()), (next - tap) * part / step_elements_, kept);
    }
  }

  // `count` steps of the reduction for some of the tile's pixels.
  void run_part(Value* a, int64_t count, const std::vector<int64_t>& pixels_inside) {
    const int64_t per_step = pixels() * schedule_.tile_blocks * parts_;
    const int64_t most = std::max<int64_t>(1, 2048 / per_step);
    const int64_t unroll = std::min({schedule_.unroll, count, most});
    const int64_t whole = count / unroll, left = count % unroll;
    AllocaInst* position = e_.variable(ir_.getPtrTy(), a);
    e_.count_loop(whole, 1, [&](Value*) {
      steps(e_.read(position), unroll, pixels_inside);
      e_.write(position, byte_address(ir_, e_.read(position), unroll * step_elements_ * a_bytes()));
    });
    if (left > 0) steps(e_.read(position), left, pixels_inside);
  }

  int64_t a_bytes() const { return real_ ? 4 : 1; }

  void steps(Value* a, int64_t count, const std::vector<int64_t>& pixels_inside) {
    Value* weights = e_.read(weights_);
    if (fetched_ != nullptr) prefetch(weights, count);
    for (int64_t step = 0; step < count; ++step) {
      if (real_) {
        step_f32(byte_address(ir_, a, step * 4), weights, step, pixels_inside);
      } else if (spec_.b.dtype == DType::s16) {
        step_s16(byte_address(ir_, a, step * 4), weights, step, pixels_inside);
      } else {
        step_s8(byte_address(ir_, a, step * 4), weights, step, pixels_inside);
      }
    }
    e_.write(weights_, byte_address(ir_, weights, count * step_bytes_));
  }

  // One line in every `prefetch` lines of the next panel's weights, to the second level cache.
  void prefetch(Value* weights, int64_t count) {
    const int64_t lines = std::max<int64_t>(1, count * step_bytes_ / 64 / schedule_.prefetch);
    for (int64_t n = 0; n < schedule_.tile_blocks; ++n)
      for (int64_t line = 0; line < lines; ++line) {
        const int64_t distance = (schedule_.tile_blocks + n) * spec_.b_block_stride + line * schedule_.prefetch * 64;
        Value* address = byte_address(ir_, byte_address(ir_, weights, fetched_), distance);
        ir_.CreateIntrinsic(llvm::Intrinsic::prefetch, {ir_.getPtrTy()},
                            {address, ir_.getInt32(0), ir_.getInt32(2), ir_.getInt32(1)});
      }
  }

  Value* weight(Value* weights, int64_t step, int64_t block, int64_t offset, llvm::Type* type) {
    return ir_.CreateAlignedLoad(
        type, byte_address(ir_, weights, block * spec_.b_block_stride + step * step_bytes_ + offset), llvm::Align(4));
  }

  void step_s8(Value* a, Value* weights, int64_t step, const std::vector<int64_t>& pixels_inside) {
    llvm::Type* part_type = vector_type(e_.s32(), e_.lanes());
    std::vector<Value*> w;
    for (int64_t n = 0; n < schedule_.tile_blocks; ++n)
      for (int64_t part = 0; part < parts_; ++part)
        w.push_back(weight(weights, step, n, part * e_.lanes() * 4, part_type));
    for (int64_t pixel : pixels_inside) {
      Value* four = e_.load_lanes(DType::s32, byte_address(ir_, a, pixel_offset(spec_.a, pixel)), 0, e_.lanes());
      for (int64_t n = 0; n < schedule_.tile_blocks; ++n)
        for (int64_t part = 0; part < parts_; ++part) {
          AllocaInst* acc = accumulator(pixel, n, part);
          e_.write(acc, e_.isa().dot_u8_s8(ir_, e_.read(acc), four, w[static_cast<size_t>(n * parts_ + part)]));
        }
    }
  }

  // Two pairs of s16 in a step of four elements.
  void step_s16(Value* a, Value* weights, int64_t step, const std::vector<int64_t>& pixels_inside) {
    llvm::Type* part_type = vector_type(e_.s32(), e_.lanes());
    llvm::Type* bytes = vector_type(ir_.getInt8Ty(), 4 * e_.lanes());
    for (int64_t pair = 0; pair < 2; ++pair) {
      std::vector<int> spread;
      for (int i = 0; i < 4 * e_.lanes(); ++i)
        spread.push_back(i % 2 == 0 ? i / 4 * 4 + static_cast<int>(pair) * 2 + i / 2 % 2 : 4 * e_.lanes());
      std::vector<Value*> w;
      for (int64_t n = 0; n < schedule_.tile_blocks; ++n)
        for (int64_t part = 0; part < parts_; ++part)
          w.push_back(weight(weights, step, n, pair * kBlock * 4 + part * e_.lanes() * 4, part_type));
      for (int64_t pixel : pixels_inside) {
        Value* four = e_.load_lanes(DType::s32, byte_address(ir_, a, pixel_offset(spec_.a, pixel)), 0, e_.lanes());
        Value* two =
            ir_.CreateShuffleVector(ir_.CreateBitCast(four, bytes), llvm::Constant::getNullValue(bytes), spread);
        two = ir_.CreateBitCast(two, part_type);
        for (int64_t n = 0; n < schedule_.tile_blocks; ++n)
          for (int64_t part = 0; part < parts_; ++part) {
            AllocaInst* acc = accumulator(pixel, n, part);
            e_.write(acc, e_.isa().dot_s16(ir_, e_.read(acc), two, w[static_cast<size_t>(n * parts_ + part)]));
          }
      }
    }
  }

  void step_f32(Value* a, Value* weights, int64_t step, const std::vector<int64_t>& pixels_inside) {
    llvm::Type* part_type = vector_type(e_.f32(), e_.lanes());
    std::vector<Value*> w;
    for (int64_t n = 0; n < schedule_.tile_blocks; ++n)
      for (int64_t part = 0; part < parts_; ++part)
        w.push_back(weight(weights, step, n, part * e_.lanes() * 4, part_type));
    for (int64_t pixel : pixels_inside) {
      Value* one = e_.load_lanes(DType::f32, byte_address(ir_, a, pixel_offset(spec_.a, pixel)), 0, e_.lanes());
      for (int64_t n = 0; n < schedule_.tile_blocks; ++n)
        for (int64_t part = 0; part < parts_; ++part) {
          AllocaInst* acc = accumulator(pixel, n, part);
          Value* sum = ir_.CreateIntrinsic(llvm::Intrinsic::fma, {part_type},
                                           {one, w[static_cast<size_t>(n * parts_ + part)], e_.read(acc)});
          e_.write(acc, sum);
        }
    }
  }

  void results(Value* item, const std::vector<Value*>& origin) {
    const size_t first_operand = 4;
    std::vector<Value*> bases;
    for (size_t i = 0; i < spec_.operands.size(); ++i)
      bases.push_back(e_.address(spec_.operands[i], first_operand + i, item, origin));
    ResultStore store(e_, spec_.epilogue, spec_.operands, spec_.out.dtype, e_.address(spec_.out, 0, item, origin));
    // Operands that no pixel changes are loaded once for each block.
    std::vector<Value*> kept(spec_.operands.size() * static_cast<size_t>(schedule_.tile_blocks), nullptr);
    for (int64_t pixel = 0; pixel < pixels(); ++pixel) {
      for (int64_t n = 0; n < schedule_.tile_blocks; ++n) {
        ExpressionSources sources;
        sources.accumulator = [&](int32_t) {
          std::vector<Value*> parts;
          for (int64_t part = 0; part < parts_; ++part) parts.push_back(e_.read(accumulator(pixel, n, part)));
          return concat(ir_, parts);
        };
        sources.table = [&](int32_t index) { return bases[static_cast<size_t>(index)]; };
        sources.operand = [&](int32_t index) {
          const Access& access = spec_.operands[static_cast<size_t>(index)];
          const bool same = access.strides[rank_ - 3] == 0 && access.strides[rank_ - 2] == 0;
          Value*& slot =
              kept[static_cast<size_t>(index) * static_cast<size_t>(schedule_.tile_blocks) + static_cast<size_t>(n)];
          if (same && slot != nullptr) return slot;
          const int64_t stride = access.strides[rank_ - 1];
          Value* from =
              byte_address(ir_, bases[static_cast<size_t>(index)], pixel_offset(access, pixel) + n * kBlock * stride);
          slot = e_.load_lanes(access.dtype, from, stride, kBlock);
          return slot;
        };
        store.add(pixel_offset(spec_.out, pixel) + n * kBlock * spec_.out.strides[rank_ - 1], sources);
      }
    }
    store.finish();
  }

  Emitter& e_;
  Builder& ir_;
  const ContractSpec& spec_;
  const ContractSchedule& schedule_;
  size_t rank_ = 0;
  int64_t height_ = 0, width_ = 0, blocks_ = 0, parts_ = 1, step_elements_ = 4, step_bytes_ = 64, steps_ = 0;
  bool real_ = false;
  std::vector<int64_t> every_pixel_;
  std::vector<AllocaInst*> accumulators_;
  AllocaInst* weights_ = nullptr;
  Value* fetched_ = nullptr;
};

}  // namespace

void emit_contract(Emitter& emitter, const ContractSpec& spec, const ContractSchedule& schedule) {
  ContractEmitter(emitter, spec, schedule).emit();
}

}  // namespace cupel
