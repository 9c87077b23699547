// x86-64: AVX2 and AVX-512, with or without VNNI.
#include "emit/llvm/vector_isa.h"

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#include "llvm/IR/IntrinsicsX86.h"
#pragma GCC diagnostic pop

namespace cupel {
namespace {

using llvm::Value;
using llvm::Intrinsic::ID;

class X86Isa : public VectorIsa {
 public:
  using VectorIsa::VectorIsa;

  Value* dot_u8_s8(Builder& ir, Value* acc, Value* a, Value* b) const override {
    const ID id = by_width(acc, llvm::Intrinsic::x86_avx512_vpdpbusd_128, llvm::Intrinsic::x86_avx512_vpdpbusd_256,
                           llvm::Intrinsic::x86_avx512_vpdpbusd_512);
    return ir.CreateIntrinsic(id, {}, {acc, a, b});
  }

  Value* dot_s16(Builder& ir, Value* acc, Value* a, Value* b) const override {
    llvm::Type* words = vector_type(ir.getInt16Ty(), 2 * lanes());
    const ID id = wide() ? llvm::Intrinsic::x86_avx512_pmaddw_d_512 : llvm::Intrinsic::x86_avx2_pmadd_wd;
    Value* sum = ir.CreateIntrinsic(id, {}, {ir.CreateBitCast(a, words), ir.CreateBitCast(b, words)});
    return ir.CreateAdd(acc, sum);
  }

  Value* round_s32(Builder& ir, Value* value) const override {
    if (lane_count(value) == 4) return ir.CreateIntrinsic(llvm::Intrinsic::x86_sse2_cvtps2dq, {}, {value});
    if (lane_count(value) == 8) return ir.CreateIntrinsic(llvm::Intrinsic::x86_avx_cvt_ps2dq_256, {}, {value});
    Value* all = llvm::ConstantInt::get(ir.getInt16Ty(), 0xffff);
    Value* none = llvm::Constant::getNullValue(vector_type(ir.getInt32Ty(), 16));
    return ir.CreateIntrinsic(llvm::Intrinsic::x86_avx512_mask_cvtps2dq_512, {}, {value, none, all, by_mxcsr(ir)});
  }

  Value* greater(Builder& ir, Value* a, Value* b) const override {
    if (lane_count(a) == 16)
      return ir.CreateIntrinsic(llvm::Intrinsic::x86_avx512_max_ps_512, {}, {a, b, by_mxcsr(ir)});
    return ir.CreateIntrinsic(
        lane_count(a) == 4 ? llvm::Intrinsic::x86_sse_max_ps : llvm::Intrinsic::x86_avx_max_ps_256, {}, {a, b});
  }
  Value* less(Builder& ir, Value* a, Value* b) const override {
    if (lane_count(a) == 16)
      return ir.CreateIntrinsic(llvm::Intrinsic::x86_avx512_min_ps_512, {}, {a, b, by_mxcsr(ir)});
    return ir.CreateIntrinsic(
        lane_count(a) == 4 ? llvm::Intrinsic::x86_sse_min_ps : llvm::Intrinsic::x86_avx_min_ps_256, {}, {a, b});
  }

  Value* pack(Builder& ir, std::array<Value*, 4> parts, PackKind kind, int32_t zero_point) const override {
    // Packs work within 128 bits: dword 4·l + j of the result comes from part j. The last permutation puts them in
    // order.
    Value* packed = pack_interleaved(ir, parts, kind, zero_point);
    const int groups = lanes() / 4;
    std::vector<int> order;
    for (int j = 0; j < 4; ++j)
      for (int l = 0; l < groups; ++l) order.push_back(4 * l + j);
    Value* dwords = ir.CreateBitCast(packed, vector_type(ir.getInt32Ty(), lanes()));
    return ir.CreateBitCast(ir.CreateShuffleVector(dwords, order), packed->getType());
  }

  std::array<Value*, 4> interleave(Builder& ir, std::array<Value*, 4> bytes) const override {
    // Within 128 bits: bytes of vectors 0 and 1, and of 2 and 3, side by side, then words of these.
    llvm::Type* words = vector_type(ir.getInt16Ty(), lane_count(bytes[0]) / 2);
    llvm::Type* dwords = vector_type(ir.getInt32Ty(), lane_count(bytes[0]) / 4);
    std::array<Value*, 4> result = {};
    for (const int64_t half : {0, 1}) {
      Value* front = ir.CreateBitCast(unpack(ir, bytes[0], bytes[1], 16, half), words);
      Value* back = ir.CreateBitCast(unpack(ir, bytes[2], bytes[3], 16, half), words);
      for (const int64_t quarter : {0, 1})
        result[static_cast<size_t>(2 * half + quarter)] = ir.CreateBitCast(unpack(ir, front, back, 8, quarter), dwords);
    }
    return result;
  }
  int64_t interleaved_element(int64_t vector, int64_t lane) const override {
    return lane / 4 * 16 + vector * 4 + lane % 4;
  }

  Value* pack_interleaved(Builder& ir, std::array<Value*, 4> parts, PackKind kind, int32_t zero_point) const override {
    const bool is_signed = kind == PackKind::signed_8 || kind == PackKind::saturate_s8;
    const int64_t count = lane_count(parts[0]);
    if (kind == PackKind::low_bits)
      for (Value*& part : parts) part = ir.CreateAnd(part, splat(ir, ir.getInt32(0xff), count));
    const ID words = by_width(parts[0], llvm::Intrinsic::x86_sse2_packssdw_128, llvm::Intrinsic::x86_avx2_packssdw,
                              llvm::Intrinsic::x86_avx512_packssdw_512);
    const ID signed_bytes = by_width(parts[0], llvm::Intrinsic::x86_sse2_packsswb_128,
                                     llvm::Intrinsic::x86_avx2_packsswb, llvm::Intrinsic::x86_avx512_packsswb_512);
    const ID unsigned_bytes = by_width(parts[0], llvm::Intrinsic::x86_sse2_packuswb_128,
                                       llvm::Intrinsic::x86_avx2_packuswb, llvm::Intrinsic::x86_avx512_packuswb_512);
    std::array<Value*, 2> pairs = {};
    for (size_t i = 0; i < 2; ++i) {
      pairs[i] = ir.CreateIntrinsic(words, {}, {parts[2 * i], parts[2 * i + 1]});
      if (zero_point != 0) {
        Value* added = splat(ir, ir.getInt16(static_cast<uint16_t>(zero_point)), 2 * count);
        pairs[i] = ir.CreateBinaryIntrinsic(llvm::Intrinsic::sadd_sat, pairs[i], added);
      }
    }
    return ir.CreateIntrinsic(is_signed ? signed_bytes : unsigned_bytes, {}, {pairs[0], pairs[1]});
  }

  Value* lookup(Builder& ir, Value* table, Value* index) const override {
    Value* low = ir.CreateAnd(index, splat(ir, ir.getInt32(0xff), lanes()));
    if (permutes_bytes()) {
      llvm::Type* bytes = vector_type(ir.getInt8Ty(), 64);
      Value* found = lookup_bytes(ir, table, ir.CreateBitCast(low, bytes));
      return ir.CreateAnd(ir.CreateBitCast(found, index->getType()), splat(ir, ir.getInt32(0xff), lanes()));
    }
    // Dwords at multiples of 4, so that nothing behind the table is read.
    Value* word = ir.CreateAnd(low, splat(ir, ir.getInt32(0xfc), lanes()));
    llvm::Type* dwords = vector_type(ir.getInt32Ty(), lanes());
    Value* zero = llvm::Constant::getNullValue(dwords);
    Value* gathered = nullptr;
    if (wide()) {
      gathered = ir.CreateIntrinsic(
          llvm::Intrinsic::x86_avx512_mask_gather_dpi_512, {},
          {zero, table, word, llvm::Constant::getAllOnesValue(vector_type(ir.getInt1Ty(), 16)), ir.getInt32(1)});
    } else {
      gathered = ir.CreateIntrinsic(llvm::Intrinsic::x86_avx2_gather_d_d_256, {},
                                    {zero, table, word, llvm::Constant::getAllOnesValue(dwords), ir.getInt8(1)});
    }
    Value* shift =
        ir.CreateShl(ir.CreateAnd(low, splat(ir, ir.getInt32(3), lanes())), splat(ir, ir.getInt32(3), lanes()));
    return ir.CreateAnd(ir.CreateLShr(gathered, shift), splat(ir, ir.getInt32(0xff), lanes()));
  }

  Value* lookup_bytes(Builder& ir, Value* table, Value* index) const override {
    llvm::Type* bytes = vector_type(ir.getInt8Ty(), 4 * lanes());
    if (permutes_bytes()) {
      std::array<Value*, 4> quarter;
      for (int i = 0; i < 4; ++i)
        quarter[static_cast<size_t>(i)] =
            ir.CreateAlignedLoad(bytes, byte_address(ir, table, i * int64_t{64}), llvm::Align(1));
      const ID id = llvm::Intrinsic::x86_avx512_vpermi2var_qi_512;
      Value* low = ir.CreateIntrinsic(id, {}, {quarter[0], index, quarter[1]});
      Value* high = ir.CreateIntrinsic(id, {}, {quarter[2], index, quarter[3]});
      return ir.CreateSelect(ir.CreateICmpSLT(index, llvm::Constant::getNullValue(bytes)), high, low);
    }
    // 16 tables of 16 bytes: a byte shuffle gives 0 where bit 7 of its index is set, which the saturating sum does for
    // every index of another table.
    const ID shuffle = wide() ? llvm::Intrinsic::x86_avx512_pshuf_b_512 : llvm::Intrinsic::x86_avx2_pshuf_b;
    Value* result = nullptr;
    for (int i = 0; i < 16; ++i) {
      Value* sixteen = ir.CreateAlignedLoad(vector_type(ir.getInt8Ty(), 16), byte_address(ir, table, i * int64_t{16}),
                                            llvm::Align(1));
      std::vector<int> repeat;
      for (int k = 0; k < 4 * lanes(); ++k) repeat.push_back(k % 16);
      Value* copies = ir.CreateShuffleVector(sixteen, repeat);
      Value* own =
          i == 0 ? index : ir.CreateXor(index, splat(ir, ir.getInt8(static_cast<uint8_t>(i * 16)), 4 * lanes()));
      Value* marked =
          ir.CreateBinaryIntrinsic(llvm::Intrinsic::uadd_sat, own, splat(ir, ir.getInt8(0x70), 4 * lanes()));
      Value* found = ir.CreateIntrinsic(shuffle, {}, {copies, marked});
      result = result == nullptr ? found : ir.CreateOr(result, found);
    }
    return result;
  }

 private:
  // Rounding as MXCSR says, which is to nearest even (runtime/floating_point.h).
  static Value* by_mxcsr(Builder& ir) { return ir.getInt32(4); }
  static ID by_width(Value* dwords, ID narrow, ID half, ID whole) {
    const int64_t count = lane_count(dwords);
    return count == 4 ? narrow : count == 8 ? half : whole;
  }
  // Elements of the lower or upper half of every 128 bits (`group` elements each) of a and b in turn.
  static Value* unpack(Builder& ir, Value* a, Value* b, int64_t group, int64_t upper) {
    const int64_t count = lane_count(a);
    std::vector<int> order;
    for (int64_t first = 0; first < count; first += group)
      for (int64_t i = 0; i < group / 2; ++i) {
        order.push_back(static_cast<int>(first + upper * group / 2 + i));
        order.push_back(static_cast<int>(count + first + upper * group / 2 + i));
      }
    return ir.CreateShuffleVector(a, b, order);
  }
  bool wide() const { return lanes() == 16; }
  bool permutes_bytes() const { return wide() && target().feature_set.has(Feature::avx512vbmi); }
};

}  // namespace

std::unique_ptr<VectorIsa> make_x86_isa(const EmitTarget& target) { return std::make_unique<X86Isa>(target); }

}  // namespace cupel
