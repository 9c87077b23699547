// Maps: one expression for every element, walked in vectors along the last dimension, together with the dimensions
// before it that continue it at the same distance in every access. Where a short last dimension lies without gaps in
// the result (the channels of an image), vectors run along the dimension before it and are interleaved when stored.
#include "emit/llvm/forms.h"
#include "emit/llvm/result_store.h"

namespace cupel {
namespace {

using llvm::Value;

int64_t bytes_of(DType type) { return dtype_bits(type) / 8; }

class MapEmitter {
 public:
  MapEmitter(Emitter& emitter, const MapSpec& spec, const MapSchedule& schedule)
      : e_(emitter), ir_(emitter.ir), spec_(spec) {
    rank_ = spec.space.size();
    last_ = rank_ - 1;
    if (schedule.vector_dimension == static_cast<int64_t>(rank_) - 2 && interleaves()) {
      together_ = spec.space[last_];
      --last_;
    }
    first_ = last_;
    inner_ = spec.space[last_];
    while (first_ > 0 && continues(first_ - 1)) {
      --first_;
      inner_ *= spec.space[first_];
    }
    contiguous_ = together_ == 1 && spec.out.strides[last_] == bytes_of(spec.out.dtype);
    for (const Access& access : spec.operands)
      contiguous_ = contiguous_ && (access.strides[last_] == 0 || access.strides[last_] == bytes_of(access.dtype));
  }

  void emit() {
    // Units are rows of the space's last dimension; a segment is the merged dimensions.
    const int64_t row = together_ == 1 ? spec_.space[last_] : 1, segment_units = inner_ / row;
    llvm::AllocaInst* unit = e_.variable(e_.s64(), e_.begin());
    llvm::AllocaInst* stop = e_.variable(e_.s64(), e_.constant(0));
    // Rounds: as many units as lie in one segment.
    llvm::Function* function = ir_.GetInsertBlock()->getParent();
    auto* head = llvm::BasicBlock::Create(ir_.getContext(), "segments", function);
    auto* body = llvm::BasicBlock::Create(ir_.getContext(), "segment", function);
    auto* done = llvm::BasicBlock::Create(ir_.getContext(), "done", function);
    ir_.CreateBr(head);
    ir_.SetInsertPoint(head);
    ir_.CreateCondBr(ir_.CreateICmpSLT(e_.read(unit), e_.end()), body, done);
    ir_.SetInsertPoint(body);
    Value* rest = e_.read(unit);
    Value* inside = e_.constant(0);
    if (segment_units > 1) {
      inside = ir_.CreateURem(rest, e_.constant(segment_units));
      rest = ir_.CreateUDiv(rest, e_.constant(segment_units));
    }
    std::vector<Value*> at(first_ + 1, e_.constant(0));
    for (size_t d = first_; d-- > 0;) {
      if (spec_.space[d] == 1) continue;
      at[d] = ir_.CreateURem(rest, e_.constant(spec_.space[d]));
      rest = ir_.CreateUDiv(rest, e_.constant(spec_.space[d]));
    }
    Value* units = ir_.CreateSub(e_.end(), e_.read(unit));
    Value* most = ir_.CreateSub(e_.constant(segment_units), inside);
    units = ir_.CreateSelect(ir_.CreateICmpSLT(units, most), units, most);
    e_.write(stop, ir_.CreateAdd(e_.read(unit), units));
    segment(rest, at, ir_.CreateMul(inside, e_.constant(row)),
            segment_units == 1 ? e_.constant(row) : ir_.CreateMul(units, e_.constant(row)));
    e_.write(unit, e_.read(stop));
    ir_.CreateBr(head);
    ir_.SetInsertPoint(done);
  }

 private:
  // Whether the last dimension is short and the result's elements of the last two lie side by side.
  bool interleaves() const {
    const int64_t extent = spec_.space[last_], size = bytes_of(spec_.out.dtype);
    return extent > 1 && extent <= 4 && spec_.out.strides[last_] == size &&
           spec_.out.strides[last_ - 1] == size * extent;
  }

  // Whether one step of dimension d equals all steps of the merged dimensions behind it, in every access.
  bool continues(size_t d) const {
    auto fits = [&](const Access& access) { return access.strides[d] == access.strides[last_] * inner_; };
    if (!fits(spec_.out)) return false;
    for (const Access& access : spec_.operands)
      if (!fits(access)) return false;
    return true;
  }

  // Elements [first, first + count) of the merged dimensions.
  void segment(Value* item, const std::vector<Value*>& at, Value* first, Value* count) {
    bases_.clear();
    out_ = base(spec_.out, 0, item, at, first);
    for (size_t i = 0; i < spec_.operands.size(); ++i)
      bases_.push_back(base(spec_.operands[i], i + 1, item, at, first));
    if (together_ > 1) {
      Value* blocks_end = ir_.CreateAnd(count, e_.constant(-kBlock));
      e_.range_loop(e_.constant(0), blocks_end, kBlock, [&](Value* index) { interleaved(index, kBlock); });
      e_.range_loop(blocks_end, count, 1, [&](Value* index) { interleaved(index, 1); });
      return;
    }
    const int64_t group = 4 * e_.lanes();
    Value* groups_end = ir_.CreateAnd(count, e_.constant(-group));
    e_.range_loop(e_.constant(0), groups_end, group, [&](Value* index) {
      ResultStore store(e_, spec_.value, spec_.operands, spec_.out.dtype, address(out_, spec_.out, index));
      if (of_bytes()) {
        move_bytes(index, group);
        return;
      }
      for (int64_t k = 0; k < group; k += kBlock) {
        if (contiguous_) {
          store.add(k * bytes_of(spec_.out.dtype), sources(index, k, kBlock, nullptr));
        } else {
          block(index, k, kBlock);
        }
      }
      store.finish();
    });
    e_.range_loop(groups_end, ir_.CreateAnd(count, e_.constant(-kBlock)), kBlock,
                  [&](Value* index) { block(index, 0, kBlock); });
    Value* blocks_end = ir_.CreateAnd(count, e_.constant(-kBlock));
    if (contiguous_ && e_.lanes() == kBlock) {
      e_.if_then(ir_.CreateICmpSLT(blocks_end, count), [&] { masked(blocks_end, count); });
    } else {
      e_.range_loop(blocks_end, count, 1, [&](Value* index) { block(index, 0, 1); });
    }
  }

  // `lanes` elements of the vector dimension with all of the last one.
  void interleaved(Value* index, int64_t lanes) {
    const DType type = spec_.out.dtype;
    std::vector<Value*> vectors;
    for (int64_t c = 0; c < together_; ++c) {
      ExpressionSources from = sources(index, 0, lanes, nullptr);
      from.operand = [this, index, lanes, c](int32_t i) {
        const Access& access = spec_.operands[static_cast<size_t>(i)];
        Value* start =
            byte_address(ir_, address(bases_[static_cast<size_t>(i)], access, index), c * access.strides[last_ + 1]);
        return e_.load_lanes(access.dtype, start, access.strides[last_], lanes);
      };
      Value* value = emit_expression(e_, spec_.value, lanes, from);
      vectors.push_back(e_.narrow(type, value));
    }
    Value* out = address(out_, spec_.out, index);
    const int64_t size = bytes_of(type);
    if (lanes == 1) {
      for (int64_t c = 0; c < together_; ++c)
        ir_.CreateAlignedStore(vectors[static_cast<size_t>(c)], byte_address(ir_, out, c * size), llvm::Align(1));
      return;
    }
    while (vectors.size() != 2 && vectors.size() != 4) vectors.push_back(llvm::PoisonValue::get(vectors[0]->getType()));
    Value* all = concat(ir_, vectors);
    for (int64_t first = 0; first < lanes * together_; first += lanes) {
      std::vector<int> order;
      for (int64_t i = first; i < first + lanes; ++i)
        order.push_back(static_cast<int>(i % together_ * lanes + i / together_));
      ir_.CreateAlignedStore(ir_.CreateShuffleVector(all, order), byte_address(ir_, out, first * size), llvm::Align(1));
    }
  }

  // Whether results are codes of one operand themselves, or their entries in a table.
  bool of_bytes() const {
    if (!contiguous_ || dtype_bits(spec_.out.dtype) != 8) return false;
    const ScalarNode& source =
        spec_.value.nodes[static_cast<size_t>(plan_byte_result(spec_.value, spec_.operands).value)];
    if (source.op != ScalarOp::operand) return false;
    const Access& operand = spec_.operands[static_cast<size_t>(source.index)];
    return dtype_bits(operand.dtype) == 8 && operand.strides[last_] == 1;
  }
  void move_bytes(Value* index, int64_t count) {
    const ByteResult plan = plan_byte_result(spec_.value, spec_.operands);
    const auto operand = static_cast<size_t>(spec_.value.nodes[static_cast<size_t>(plan.value)].index);
    llvm::Type* type = vector_type(ir_.getInt8Ty(), count);
    Value* bytes =
        ir_.CreateAlignedLoad(type, address(bases_[operand], spec_.operands[operand], index), llvm::Align(1));
    if (plan.table >= 0) bytes = e_.isa().lookup_bytes(ir_, bases_[static_cast<size_t>(plan.table)], bytes);
    ir_.CreateAlignedStore(bytes, address(out_, spec_.out, index), llvm::Align(1));
  }

  Value* base(const Access& access, size_t buffer, Value* item, const std::vector<Value*>& at, Value* first) {
    const std::vector<Value*> outer(at.begin(), at.begin() + static_cast<int64_t>(first_));
    Value* start = e_.address(access, buffer, item, outer);
    return address(start, access, first);
  }
  Value* address(Value* start, const Access& access, Value* index) {
    const int64_t stride = access.strides[last_];
    return stride == 0 ? start : byte_address(ir_, start, ir_.CreateMul(index, e_.constant(stride)));
  }

  ExpressionSources sources(Value* index, int64_t k, int64_t lanes, Value* mask) {
    ExpressionSources from;
    from.operand = [this, index, k, lanes, mask](int32_t i) {
      const Access& access = spec_.operands[static_cast<size_t>(i)];
      const int64_t stride = access.strides[last_];
      Value* start = byte_address(ir_, address(bases_[static_cast<size_t>(i)], access, index), k * stride);
      return mask == nullptr ? e_.load_lanes(access.dtype, start, stride, lanes)
                             : e_.load_masked(access.dtype, start, stride, mask);
    };
    from.table = [this](int32_t i) { return bases_[static_cast<size_t>(i)]; };
    return from;
  }

  void block(Value* index, int64_t k, int64_t lanes) {
    Value* value = emit_expression(e_, spec_.value, lanes, sources(index, k, lanes, nullptr));
    const int64_t stride = spec_.out.strides[last_];
    e_.store_lanes(spec_.out.dtype, value, byte_address(ir_, address(out_, spec_.out, index), k * stride), stride);
  }

  void masked(Value* index, Value* count) {
    Value* left = ir_.CreateTrunc(ir_.CreateSub(count, index), e_.s32());
    std::vector<llvm::Constant*> numbers;
    for (uint32_t i = 0; i < kBlock; ++i) numbers.push_back(ir_.getInt32(i));
    Value* mask = ir_.CreateICmpSLT(llvm::ConstantVector::get(numbers), splat(ir_, left, kBlock));
    Value* value = emit_expression(e_, spec_.value, kBlock, sources(index, 0, kBlock, mask));
    e_.store_masked(spec_.out.dtype, value, address(out_, spec_.out, index), mask);
  }

  Emitter& e_;
  Builder& ir_;
  const MapSpec& spec_;
  size_t rank_ = 0, last_ = 0, first_ = 0;
  int64_t inner_ = 1, together_ = 1;  // together_: elements of the last dimension that are interleaved
  bool contiguous_ = false;
  Value* out_ = nullptr;
  std::vector<Value*> bases_;
};

}  // namespace

void emit_map(Emitter& emitter, const MapSpec& spec, const MapSchedule& schedule) {
  MapEmitter(emitter, spec, schedule).emit();
}

}  // namespace cupel
