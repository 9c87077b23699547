// Program: kernels in order over buffers with planned places; what emit turns into an Image.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/tensor.h"
#include "ir/type.h"
#include "kernel/kernel.h"

namespace cupel {

// fault: the one place of a run where calls note what they cannot compute with.
enum class BufferPlace : uint8_t { input, output, arena, constant, fault };

struct Buffer {
  std::string name;
  BufferPlace place = BufferPlace::arena;
  int64_t item_bytes = 0;  // of one batch item; constants: all bytes
  int64_t index = 0;       // which input or output
  int64_t offset = 0;      // arena: bytes for one batch item, to be multiplied by their number; constant: in the block
  bool operator==(const Buffer&) const = default;
};

// How a value of the graph lies in its buffer: element i at offset + Σ strides[d]·i[d] bytes, dimension order of the
// graph without the leading batch.
struct ValueLayout {
  int64_t buffer = -1;
  DType dtype = DType::f32;
  Dims dims;
  int64_t offset = 0;
  std::vector<int64_t> strides;
  bool operator==(const ValueLayout&) const = default;
};

struct Step {
  Kernel kernel;
  std::string name;                  // kernel_name, with a number when several steps share one kernel
  std::vector<int64_t> buffers;      // in the order of accesses_of
  std::vector<std::string> origins;  // of the graph nodes it computes, sorted
  // The value its result is, for taps; a fill or a copy has none.
  std::optional<ValueLayout> result;
  std::string value_name;  // of the graph, for taps
  TensorType type;         // of that value, with the batch and its quantization
  bool operator==(const Step&) const = default;
};

// A named input or output of the Image: row-major in the graph's dimension order, leading batch where `batched`.
struct Port {
  std::string name;
  TensorType type;
  bool batched = true;
  bool operator==(const Port&) const = default;
};

// Bytes of one batch item of a port.
int64_t item_bytes(const Port& port);

struct Program {
  std::string model;
  std::vector<Port> inputs, outputs;
  std::vector<Buffer> buffers;
  std::vector<std::byte> constants;  // packed in the order of execution, each 64-byte aligned
  int64_t arena_bytes = 0;           // for one batch item
  std::vector<Step> steps;
  // The batch size the model fixes; 0 when it is symbolic.
  int64_t fixed_batch = 0;
  bool operator==(const Program&) const = default;
};

// Whether a buffer is a port of the caller that every item of a run shares: reads of it, and writes, which are then of
// the same bytes in every item, do not move from one item to the next.
bool stands_still(const Program& program, const Buffer& buffer);

}  // namespace cupel
