#include "kernel/program.h"

namespace cupel {

int64_t item_bytes(const Port& port) {
  int64_t elements = 1;
  for (size_t d = 0; d < port.type.shape.size(); ++d) {
    const Dim& dim = port.type.shape[d];
    const bool batch = port.batched && d == 0;
    elements *= batch && dim.is_constant() ? 1 : dim.factor;
  }
  return (elements * dtype_bits(port.type.dtype) + 7) / 8;
}

bool stands_still(const Program& program, const Buffer& buffer) {
  if (program.fixed_batch > 0) return false;
  if (buffer.place == BufferPlace::input) return !program.inputs[static_cast<size_t>(buffer.index)].batched;
  return buffer.place == BufferPlace::output && !program.outputs[static_cast<size_t>(buffer.index)].batched;
}

}  // namespace cupel
