#include "runtime/routines.h"

#include <sched.h>
#include <stdio.h>
#include <string.h>

namespace cupel {

void note_fault(CupelFault& fault, int32_t kind, int64_t unit, int64_t item, int64_t index, int64_t extent) {
  while (__atomic_exchange_n(&fault.lock, 1, __ATOMIC_ACQUIRE) != 0) sched_yield();
  if (fault.found == 0 || unit < fault.unit) {
    fault.found = kind;
    fault.unit = unit;
    fault.item = item;
    fault.index = index;
    fault.extent = extent;
  }
  __atomic_store_n(&fault.lock, 0, __ATOMIC_RELEASE);
}

FaultText describe_fault(const CupelFault& fault) {
  FaultText text;
  const auto index = static_cast<long long>(fault.index), item = static_cast<long long>(fault.item),
             extent = static_cast<long long>(fault.extent);
  if (fault.found == kCupelDividedByZero)
    snprintf(text.text, sizeof text.text, "an integer is divided by 0: element %lld of item %lld of the batch", index,
             item);
  else
    snprintf(text.text, sizeof text.text, "index %lld in item %lld of the batch is outside [-%lld, %lld)", index, item,
             extent, extent);
  return text;
}

namespace {

// Walks the units of a call: rows of its space, and where an access begins in each.
class Rows {
 public:
  Rows(const CupelCall& call, int64_t unit) : call_(call) {
    for (int64_t d = call.rank - 1; d-- > 0;) {
      at_[d] = unit % call.space[d];
      unit /= call.space[d];
    }
    item_ = unit;
  }
  int64_t item() const { return item_; }
  uint8_t* begin(const CupelAccess& access, uint8_t* buffer) const {
    int64_t offset = access.offset + item_ * access.item_stride;
    for (int64_t d = 0; d + 1 < call_.rank; ++d) offset += at_[d] * access.strides[d];
    return buffer + offset;
  }
  void next() {
    for (int64_t d = call_.rank - 1; d-- > 0;) {
      if (++at_[d] < call_.space[d]) return;
      at_[d] = 0;
    }
    ++item_;
  }

 private:
  const CupelCall& call_;
  int64_t at_[kCupelMostCallDimensions] = {};
  int64_t item_ = 0;
};

int64_t integer_at(const uint8_t* from, int64_t bytes) {
  if (bytes == 8) {
    int64_t value;
    memcpy(&value, from, sizeof value);
    return value;
  }
  int32_t value;
  memcpy(&value, from, sizeof value);
  return value;
}

template <int64_t bytes>
void copy_apart(uint8_t* to, int64_t to_stride, const uint8_t* from, int64_t from_stride, int64_t count) {
  for (int64_t i = 0; i < count; ++i) memcpy(to + i * to_stride, from + i * from_stride, bytes);
}

void copy_row(uint8_t* to, int64_t to_stride, const uint8_t* from, int64_t from_stride, int64_t count, int64_t bytes) {
  if (to_stride == bytes && from_stride == bytes) {
    memcpy(to, from, static_cast<size_t>(count * bytes));
  } else if (bytes == 1) {
    copy_apart<1>(to, to_stride, from, from_stride, count);
  } else if (bytes == 4) {
    copy_apart<4>(to, to_stride, from, from_stride, count);
  } else {
    copy_apart<8>(to, to_stride, from, from_stride, count);
  }
}

}  // namespace
}  // namespace cupel

extern "C" void cupel_call_gather(const CupelCall* call, uint8_t* const* buffers, int64_t begin, int64_t end) {
  const CupelAccess &out = call->accesses[0], &data = call->accesses[1], &indices = call->accesses[2];
  const int64_t last = call->rank - 1, columns = call->space[last];
  const int64_t out_stride = out.strides[last], data_stride = data.strides[last], index_stride = indices.strides[last];
  const int64_t extent = call->integers[0], step = call->integers[1], bytes = out.element_bytes;
  // One index for a whole row, or one for each of its elements.
  const int64_t run = index_stride == 0 ? columns : 1;
  cupel::Rows rows(*call, begin);
  for (int64_t unit = begin; unit < end; ++unit, rows.next()) {
    uint8_t* to = rows.begin(out, buffers[0]);
    const uint8_t *from = rows.begin(data, buffers[1]), *at = rows.begin(indices, buffers[2]);
    for (int64_t i = 0; i < columns; i += run) {
      const int64_t index = cupel::integer_at(at + i * index_stride, indices.element_bytes);
      if (index < -extent || index >= extent) {
        cupel::note_fault(*reinterpret_cast<CupelFault*>(buffers[3]), kCupelIndexOutside, unit, rows.item(), index,
                          extent);
        return;
      }
      cupel::copy_row(to + i * out_stride, out_stride,
                      from + i * data_stride + (index < 0 ? index + extent : index) * step, data_stride, run, bytes);
    }
  }
}
