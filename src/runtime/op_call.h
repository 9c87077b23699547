// What a routine that is the definition of an operator sees: whole tensors of one batch item, dense and row-major. The
// reference interpreter and compiled code call the same function (docs/adding.md, An operator that is a routine).
#pragma once

#include <string.h>

#include "base/dtype.h"
#include "runtime/routines.h"

namespace cupel {

inline constexpr int64_t kMostOpRank = 8;

// Integers of a call of an op routine: a header, a block for each result, then for each operand, then the attributes.
struct OpDescription {
  enum Header { results, operands, attributes, scratch_bytes, units, header_size };
  // dtype: number of a DType, −1 for an operand that is absent. offset: of a result, in bytes, in the one buffer that
  // holds all results; behind them lies the scratch.
  enum Tensor { dtype, rank, offset, dims, tensor_size = dims + kMostOpRank };
};

inline int64_t op_element_bytes(int64_t dtype) {
  switch (static_cast<DType>(dtype)) {
    case DType::f64:
    case DType::u64:
    case DType::s64: return 8;
    case DType::f32:
    case DType::u32:
    case DType::s32: return 4;
    case DType::f16:
    case DType::bf16:
    case DType::u16:
    case DType::s16: return 2;
    default: return 1;
  }
}

struct OpTensor {
  int64_t dtype = -1, rank = 0;
  const int64_t* dims = nullptr;
  uint8_t* data = nullptr;

  bool present() const { return dtype >= 0; }
  bool is(DType type) const { return dtype == static_cast<int64_t>(type); }
  int64_t element_bytes() const { return op_element_bytes(dtype); }
  // Elements of the dimensions from `first` to before `limit`.
  int64_t elements(int64_t first, int64_t limit) const {
    int64_t count = 1;
    for (int64_t d = first; d < limit; ++d) count *= dims[d];
    return count;
  }
  int64_t size() const { return elements(0, rank); }
  template <class T>
  T* as() const {
    return reinterpret_cast<T*>(data);
  }
};

class OpCall {
 public:
  explicit OpCall(const int64_t* integers) : integers_(integers) {}
  // Of batch item `item`; buffers: results, the operands that are present, the fault.
  OpCall(const CupelCall& call, uint8_t* const* buffers, int64_t item)
      : integers_(call.integers), call_(&call), buffers_(buffers), item_(item) {}

  int64_t results() const { return integers_[OpDescription::results]; }
  int64_t operands() const { return integers_[OpDescription::operands]; }
  int64_t attributes() const { return integers_[OpDescription::attributes]; }
  // Parts of an item that threads share: of a lone result's elements, in order, equally many each.
  int64_t units() const { return integers_[OpDescription::units]; }
  int64_t scratch_bytes() const { return integers_[OpDescription::scratch_bytes]; }
  int64_t item() const { return item_; }

  OpTensor result(int64_t i) const {
    OpTensor t = tensor(i);
    if (buffers_ != nullptr) t.data = place(0) + block(i)[OpDescription::offset];
    return t;
  }
  OpTensor operand(int64_t i) const {
    OpTensor t = tensor(results() + i);
    if (buffers_ == nullptr || !t.present()) return t;
    int64_t access = 1;
    for (int64_t k = 0; k < i; ++k) access += tensor(results() + k).present() ? 1 : 0;
    t.data = place(access);
    return t;
  }
  // Bytes of all results, each on a boundary of 64; the scratch begins there.
  int64_t result_bytes() const {
    int64_t end = 0;
    for (int64_t i = 0; i < results(); ++i) {
      const OpTensor t = tensor(i);
      const int64_t last = block(i)[OpDescription::offset] + t.size() * t.element_bytes();
      end = last > end ? last : end;
    }
    return end;
  }
  uint8_t* scratch() const { return place(0) + (result_bytes() + 63) / 64 * 64; }

  int64_t attribute(int64_t i) const {
    return integers_[OpDescription::header_size + (results() + operands()) * OpDescription::tensor_size + i];
  }
  // An attribute that holds the bits of a binary32.
  float real(int64_t i) const {
    const auto bits = static_cast<uint32_t>(attribute(i));
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
  }
  // An index of the data that is none of [−extent, extent).
  void fault(int64_t unit, int64_t index, int64_t extent) const { note(kCupelIndexOutside, unit, index, extent); }
  // An integer of the item that is divided by 0.
  void divided_by_zero(int64_t unit, int64_t element) const { note(kCupelDividedByZero, unit, element, 0); }

 private:
  void note(int32_t kind, int64_t unit, int64_t index, int64_t extent) const {
    int64_t accesses = 1;
    for (int64_t k = 0; k < operands(); ++k) accesses += tensor(results() + k).present() ? 1 : 0;
    note_fault(*reinterpret_cast<CupelFault*>(buffers_[accesses]), kind, item_ * units() + unit, item_, index, extent);
  }
  const int64_t* block(int64_t i) const {
    return integers_ + OpDescription::header_size + i * OpDescription::tensor_size;
  }
  OpTensor tensor(int64_t i) const {
    const int64_t* b = block(i);
    return {b[OpDescription::dtype], b[OpDescription::rank], b + OpDescription::dims, nullptr};
  }
  uint8_t* place(int64_t access) const {
    const CupelAccess& a = call_->accesses[access];
    return buffers_[access] + a.offset + item_ * a.item_stride;
  }

  const int64_t* integers_;
  const CupelCall* call_ = nullptr;
  uint8_t* const* buffers_ = nullptr;
  int64_t item_ = 0;
};

// Calls body(call, unit_begin, unit_end) for each batch item that units [begin, end) touch.
template <class Body>
void for_items(const CupelCall& call, uint8_t* const* buffers, int64_t begin, int64_t end, Body body) {
  const int64_t units = OpCall(call.integers).units();
  while (begin < end) {
    const int64_t item = begin / units, first = begin % units;
    const int64_t last = end - item * units < units ? end - item * units : units;
    body(OpCall(call, buffers, item), first, last);
    begin = item * units + last;
  }
}

// Whether all indices of a table lie in [least, limit). They are constants of a Program, which may come from a dump.
inline bool indices_within(const OpTensor& table, int64_t least, int64_t limit) {
  for (int64_t i = 0; i < table.size(); ++i)
    if (table.as<int32_t>()[i] < least || table.as<int32_t>()[i] >= limit) return false;
  return true;
}

// A row of op_routines.def: `check` gives what makes a description unsound beyond what holds for all (null: nothing);
// after it `run` touches no byte outside its tensors.
#define CUPEL_OP_ROUTINE(name)                  \
  const char* check_##name(const OpCall& call); \
  void run_##name(const OpCall& call, int64_t begin, int64_t end);
#include "runtime/op_routines.def"
#undef CUPEL_OP_ROUTINE

}  // namespace cupel
