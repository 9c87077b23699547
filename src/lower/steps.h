// The program in the making: its buffers, its constants, its steps.
#pragma once

#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "base/tensor.h"
#include "ir/graph.h"
#include "kernel/program.h"
#include "lower/layout.h"

namespace cupel {

// A value that some step has computed (or the caller gave), and where it lies.
struct Placed {
  ValueLayout layout = {};  // dims and strides of one batch item, in the graph's dimension order
  Halo halo = {};           // filled pixels around an image
  HaloFill fill = HaloFill::zero;
  // Set where it lies in the result of the Concat that alone reads it, as codes of this type.
  std::optional<TensorType> requantized = {};
};

// Whether kernels compute with elements of that type in memory; s16 is only written.
inline bool is_computed(DType type) {
  return type == DType::u8 || type == DType::s8 || type == DType::s16 || type == DType::s32 || type == DType::f16 ||
         type == DType::f32;
}
// The type of a value's elements in memory: booleans are bytes of 0 and 1, floats of 8 bits are bytes.
inline DType stored_type(DType type) { return type == DType::boolean || is_byte_float(type) ? DType::u8 : type; }

class Steps {
 public:
  // `graph`: what is lowered; `source` has the values that taps see. Both outlive the steps.
  Steps(const Graph& graph, const Graph& source, Batch batch, std::string model);

  int64_t add_buffer(std::string name, BufferPlace place, int64_t item_bytes);
  int64_t add_constant(std::span<const std::byte> bytes);
  int64_t add_constant(const Tensor& t) { return add_constant(t.bytes()); }
  // The one that calls note their faults in.
  int64_t fault_buffer();
  const Buffer& buffer(int64_t index) const { return program_.buffers[static_cast<size_t>(index)]; }
  int64_t item_bytes(int64_t index) const { return buffer(index).item_bytes; }
  // The bytes from one item to the next of a value, at its first element; strides are for the caller to add.
  Access first_element(const ValueLayout& layout) const;

  // Maps get their schedule here. A kernel over nothing is left out. `result`: the value that the step computes, which
  // lies at `place`; without one the step has no tap.
  void add(Kernel kernel, std::vector<int64_t> buffers, const std::set<std::string>& origins,
           std::optional<ValueId> result, const Placed* place);
  void add_unnamed(Kernel kernel, std::vector<int64_t> buffers, const std::set<std::string>& origins) {
    add(std::move(kernel), std::move(buffers), origins, std::nullopt, nullptr);
  }

  // A port of the program, and its buffer.
  int64_t add_input(Port port, int64_t item_bytes);
  int64_t add_output(Port port, int64_t item_bytes);
  void fix_batch(int64_t batch) { program_.fixed_batch = batch; }

  const Program& program() const { return program_; }
  Program take() { return std::move(program_); }

 private:
  // How the value lies, for its tap: without a leading dimension of 1. nullopt where the source graph has no such value
  // in this shape, and where the value is the same for every item of a batch.
  std::optional<ValueLayout> tapped(ValueId value, const ValueLayout& layout) const;

  const Graph& graph_;
  const Graph& source_;
  const Batch batch_;
  Program program_;
  int64_t fault_buffer_ = -1;  // made by the first call
};

inline std::set<std::string> origins_of(const Node& node) { return {node.origin.begin(), node.origin.end()}; }

}  // namespace cupel
