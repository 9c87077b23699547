// Rows: reductions along the last dimension, then a value for every element. Elements are taken 64 at a time in four
// vectors of 16 lanes, so that lane j of vector q is partial sum 16·q + j (docs/quantization.md 4, sum64).
#include "emit/llvm/forms.h"
#include "emit/llvm/result_store.h"

namespace cupel {
namespace {

using llvm::AllocaInst;
using llvm::Value;

constexpr int64_t kPartials = 64;

class RowEmitter {
 public:
  RowEmitter(Emitter& emitter, const RowSpec& spec) : e_(emitter), ir_(emitter.ir), spec_(spec) {
    last_ = spec.space.size() - 1;
    length_ = spec.space[last_];
  }

  void emit() {
    const std::vector<int64_t> extents(spec_.space.begin(), spec_.space.end() - 1);
    e_.unit_loop(extents, [&](Value* item, const std::vector<Value*>& at) {
      bases_.clear();
      for (size_t i = 0; i < spec_.operands.size(); ++i)
        bases_.push_back(e_.address(spec_.operands[i], i + 1, item, at));
      reduced_.clear();
      for (const RowStep& step : spec_.steps) {
        Value* value = step.kind == RowReduction::greatest ? greatest(step) : sum(step);
        reduced_.push_back(value);
        if (!step.finish.nodes.empty())
          reduced_.back() = emit_expression(e_, step.finish, 1, sources(nullptr, 0, 1, 1));
      }
      values(e_.address(spec_.out, 0, item, at));
    });
  }

 private:
  // Sources at elements index + k … of the row; `valid` lanes are read, the others are 0.
  ExpressionSources sources(Value* index, int64_t k, int64_t lanes, int64_t valid) {
    ExpressionSources from;
    from.operand = [this, index, k, lanes, valid](int32_t i) {
      const Access& access = spec_.operands[static_cast<size_t>(i)];
      const int64_t stride = access.strides[last_];
      Value* start = bases_[static_cast<size_t>(i)];
      if (stride != 0)
        start = byte_address(ir_, start, ir_.CreateMul(ir_.CreateAdd(index, e_.constant(k)), e_.constant(stride)));
      return stride == 0 ? e_.load_lanes(access.dtype, start, 0, lanes)
                         : e_.load_first(access.dtype, start, stride, lanes, valid);
    };
    from.accumulator = [this, lanes](int32_t i) { return splat(ir_, reduced_[static_cast<size_t>(i)], lanes); };
    from.table = [this](int32_t i) { return bases_[static_cast<size_t>(i)]; };
    return from;
  }

  // body(index, k, vector, valid) for every 16 elements of the row, 64 at a time.
  void walk(const std::function<void(Value* index, int64_t k, int64_t vector, int64_t valid)>& body) {
    const int64_t whole = length_ / kPartials, left = length_ % kPartials;
    if (whole > 0)
      e_.count_loop(whole * kPartials, kPartials, [&](Value* index) {
        for (int64_t q = 0; q < 4; ++q) body(index, q * kBlock, q, kBlock);
      });
    for (int64_t q = 0; q * kBlock < left; ++q)
      body(e_.constant(whole * kPartials), q * kBlock, q, std::min(kBlock, left - q * kBlock));
  }

  // Lanes from `valid` on become `other`.
  Value* keep_first(Value* value, int64_t valid, Value* other) {
    if (valid == kBlock) return value;
    std::vector<int> mask;
    for (int64_t i = 0; i < kBlock; ++i) mask.push_back(static_cast<int>(i < valid ? i : kBlock + i));
    return ir_.CreateShuffleVector(value, other, mask);
  }

  std::array<AllocaInst*, 4> partials(Value* start) {
    std::array<AllocaInst*, 4> all = {};
    for (AllocaInst*& one : all) one = e_.variable(start->getType(), start);
    return all;
  }

  Value* sum(const RowStep& step) {
    llvm::Type* type = vector_type(e_.f32(), kBlock);
    Value* zero = llvm::Constant::getNullValue(type);
    const std::array<AllocaInst*, 4> partial = partials(zero);
    walk([&](Value* index, int64_t k, int64_t q, int64_t valid) {
      // Adding +0 changes no partial sum: none is ever −0.
      Value* x = keep_first(emit_expression(e_, step.value, kBlock, sources(index, k, kBlock, valid)), valid, zero);
      AllocaInst* slot = partial[static_cast<size_t>(q)];
      Value* next = step.kind == RowReduction::squares64
                        ? ir_.CreateIntrinsic(llvm::Intrinsic::fma, {type}, {x, x, e_.read(slot)})
                        : ir_.CreateFAdd(e_.read(slot), x);
      e_.write(slot, next);
    });
    Value* low = ir_.CreateFAdd(e_.read(partial[0]), e_.read(partial[2]));
    Value* high = ir_.CreateFAdd(e_.read(partial[1]), e_.read(partial[3]));
    Value* all = ir_.CreateFAdd(low, high);
    for (int64_t half = kBlock / 2; half >= 1; half /= 2)
      all = ir_.CreateFAdd(slice(ir_, all, 0, half), slice(ir_, all, half, half));
    return all;
  }

  Value* greatest(const RowStep& step) {
    llvm::Type* type = vector_type(e_.f32(), kBlock);
    Value* least = llvm::ConstantFP::getInfinity(type, true);
    const std::array<AllocaInst*, 4> partial = partials(least);
    walk([&](Value* index, int64_t k, int64_t q, int64_t valid) {
      Value* x = keep_first(emit_expression(e_, step.value, kBlock, sources(index, k, kBlock, valid)), valid, least);
      AllocaInst* slot = partial[static_cast<size_t>(q)];
      e_.write(slot, e_.greater(x, e_.read(slot)));
    });
    auto larger = [&](Value* m, Value* x) { return e_.greater(x, m); };
    Value* all =
        larger(larger(e_.read(partial[0]), e_.read(partial[1])), larger(e_.read(partial[2]), e_.read(partial[3])));
    for (int64_t half = kBlock / 2; half >= 1; half /= 2)
      all = larger(slice(ir_, all, 0, half), slice(ir_, all, half, half));
    // Which of two zeros comes first decides the sign: a greatest value of zero is looked for in order.
    AllocaInst* result = e_.variable(e_.f32(), all);
    e_.if_then(ir_.CreateFCmpOEQ(all, llvm::ConstantFP::get(e_.f32(), 0.0)), [&] {
      e_.write(result, llvm::ConstantFP::getInfinity(e_.f32(), true));
      e_.range_loop(e_.constant(0), e_.constant(length_), 1, [&](Value* index) {
        e_.write(result, larger(e_.read(result), emit_expression(e_, step.value, 1, sources(index, 0, 1, 1))));
      });
    });
    return e_.read(result);
  }

  void values(Value* out) {
    const DType type = spec_.out.dtype;
    const int64_t stride = spec_.out.strides[last_], size = dtype_bits(type) / 8;
    const int64_t whole = length_ / kPartials, left = length_ % kPartials;
    auto at = [&](Value* index, int64_t k) {
      return byte_address(ir_, out, ir_.CreateMul(ir_.CreateAdd(index, e_.constant(k)), e_.constant(stride)));
    };
    if (whole > 0)
      e_.count_loop(whole * kPartials, kPartials, [&](Value* index) {
        if (stride == size) {
          ResultStore store(e_, spec_.value, spec_.operands, type, at(index, 0));
          for (int64_t q = 0; q < 4; ++q) store.add(q * kBlock * size, sources(index, q * kBlock, kBlock, kBlock));
          store.finish();
          return;
        }
        for (int64_t q = 0; q < 4; ++q)
          e_.store_lanes(type, emit_expression(e_, spec_.value, kBlock, sources(index, q * kBlock, kBlock, kBlock)),
                         at(index, q * kBlock), stride);
      });
    Value* index = e_.constant(whole * kPartials);
    for (int64_t k = 0; k < left; k += kBlock) {
      const int64_t valid = std::min(kBlock, left - k);
      Value* value = emit_expression(e_, spec_.value, kBlock, sources(index, k, kBlock, valid));
      // Powers of two from the front.
      for (int64_t from = 0, width = kBlock; width > 0; width /= 2)
        if (valid - from >= width) {
          e_.store_lanes(type, slice(ir_, value, from, width), at(index, k + from), stride);
          from += width;
        }
    }
  }

  Emitter& e_;
  Builder& ir_;
  const RowSpec& spec_;
  size_t last_ = 0;
  int64_t length_ = 0;
  std::vector<Value*> bases_, reduced_;
};

}  // namespace

void emit_row(Emitter& emitter, const RowSpec& spec) { RowEmitter(emitter, spec).emit(); }

}  // namespace cupel
