// Chains: for every step of an item each part computes what it still lacks, by a call of the part's own function.
#include "emit/llvm/forms.h"

namespace cupel {

using llvm::Value;

void emit_chain(Emitter& e, const ChainSpec& spec, std::span<llvm::Function* const> functions) {
  Builder& ir = e.ir;
  Value* table = ir.GetInsertBlock()->getParent()->getArg(0);
  std::vector<llvm::AllocaInst*> done;  // units of each part that are computed in the current item
  for (size_t i = 0; i < spec.parts.size(); ++i) done.push_back(e.variable(e.s64(), e.constant(0)));
  e.range_loop(e.begin(), e.end(), 1, [&](Value* index) {
    Value* step = ir.CreateURem(index, e.constant(spec.steps));
    Value* item = ir.CreateUDiv(index, e.constant(spec.steps));
    Value* is_first = ir.CreateOr(ir.CreateICmpEQ(index, e.begin()), ir.CreateICmpEQ(step, e.constant(0)));
    Value* is_last = ir.CreateICmpEQ(step, e.constant(spec.steps - 1));
    for (size_t i = 0; i < spec.parts.size(); ++i) {
      const ChainPart& part = spec.parts[i];
      const int64_t all = units_per_item(part.kernel);
      Value* units = ir.CreateMul(step, e.constant(part.units));
      Value* back =
          ir.CreateBinaryIntrinsic(llvm::Intrinsic::smax, ir.CreateSub(units, e.constant(part.back)), e.constant(0));
      Value* start = ir.CreateSelect(is_first, back, e.read(done[i]));
      Value* ahead = ir.CreateBinaryIntrinsic(
          llvm::Intrinsic::smin, ir.CreateAdd(units, e.constant(part.units + part.ahead)), e.constant(all));
      Value* stop = ir.CreateSelect(is_last, e.constant(all), ahead);
      e.if_then(ir.CreateICmpSLT(start, stop), [&] {
        Value* first = ir.CreateMul(item, e.constant(all));
        Value* buffers = byte_address(ir, table, static_cast<int64_t>(first_buffer(spec, i)) * 8);
        ir.CreateCall(functions[i], {buffers, ir.CreateAdd(first, start), ir.CreateAdd(first, stop)});
      });
      e.write(done[i], ir.CreateBinaryIntrinsic(llvm::Intrinsic::smax, start, stop));
    }
  });
}

}  // namespace cupel
