#include "kernel/evaluate_program.h"

#include <fmt/format.h>

#include <cstring>

#include "base/file.h"
#include "ir/type_text.h"
#include "kernel/check_program.h"
#include "runtime/routines.h"

namespace cupel {

namespace {

// The size of the batch that the arrays have.
int64_t items_of(const Program& program, std::span<const Tensor> inputs) {
  if (program.fixed_batch > 0) return program.fixed_batch;
  for (size_t i = 0; i < inputs.size(); ++i)
    if (program.inputs[i].batched && inputs[i].rank() > 0)
      return std::max<int64_t>(1, inputs[i].dims()[0] / program.inputs[i].type.shape[0].factor);
  return 1;
}

Status expect_types(const Program& program, std::span<const Tensor> inputs, int64_t items) {
  for (size_t i = 0; i < inputs.size(); ++i) {
    const TensorType& type = program.inputs[i].type;
    const Dims dims = CUPEL_TRY(bind_shape(type.shape, items));
    if (inputs[i].dtype() != type.dtype || inputs[i].dims() != dims)
      return bad_input("input " + printable(program.inputs[i].name),
                       fmt::format("the array is {}, expected {}",
                                   print_type({inputs[i].dtype(), to_shape(inputs[i].dims()), {}}, nullptr),
                                   print_type({type.dtype, to_shape(dims), {}}, nullptr)),
                       "give arrays of the program's types");
  }
  return {};
}

}  // namespace

Tensor gather_value(const ValueLayout& layout, const std::byte* buffer, int64_t item_bytes, int64_t items) {
  Dims dims = layout.dims;
  dims.insert(dims.begin(), items);
  Tensor out(layout.dtype, dims);
  const int64_t elem = dtype_bits(layout.dtype) / 8;
  Dims at(layout.dims.size(), 0);
  std::byte* to = out.mutable_bytes().data();
  for (int64_t n = 0; n < items; ++n) {
    for (int64_t i = 0; i < out.size() / std::max<int64_t>(items, 1); ++i, to += elem) {
      int64_t from = layout.offset + n * item_bytes;
      for (size_t d = 0; d < at.size(); ++d) from += at[d] * layout.strides[d];
      std::memcpy(to, buffer + from, static_cast<size_t>(elem));
      for (size_t d = at.size(); d > 0 && ++at[d - 1] == layout.dims[d - 1];) at[--d] = 0;
    }
  }
  return out;
}

Result<std::vector<Tensor>> evaluate_program(const Program& program, std::span<const Tensor> inputs,
                                             const StepTap& tap) {
  if (inputs.size() != program.inputs.size())
    return bad_input(
        "inputs", fmt::format("{} tensors are given, the program has {} inputs", inputs.size(), program.inputs.size()),
        "give one tensor for each input");
  CUPEL_TRY(check_program(program));
  const int64_t items = items_of(program, inputs);
  CUPEL_TRY(expect_types(program, inputs, items));
  std::vector<std::byte> arena(static_cast<size_t>(program.arena_bytes * items + 64));
  std::vector<std::byte> constants = program.constants;
  constants.resize(constants.size() + 64);
  std::vector<Tensor> outputs;
  for (const Port& port : program.outputs)
    outputs.emplace_back(port.type.dtype, CUPEL_TRY(bind_shape(port.type.shape, items)));
  CupelFault fault = {};
  std::vector<std::byte*> places;
  for (const Buffer& b : program.buffers) {
    switch (b.place) {
      case BufferPlace::input:
        places.push_back(const_cast<std::byte*>(inputs[static_cast<size_t>(b.index)].bytes().data()));
        break;
      case BufferPlace::output: places.push_back(outputs[static_cast<size_t>(b.index)].mutable_bytes().data()); break;
      case BufferPlace::arena: places.push_back(arena.data() + b.offset * items); break;
      case BufferPlace::constant: places.push_back(constants.data() + b.offset); break;
      case BufferPlace::fault: places.push_back(reinterpret_cast<std::byte*>(&fault)); break;
    }
  }
  for (const Step& step : program.steps) {
    std::vector<std::byte*> buffers;
    for (int64_t b : step.buffers) buffers.push_back(places[static_cast<size_t>(b)]);
    evaluate_kernel(step.kernel, buffers, items);
    if (fault.found != 0) return bad_input("step " + step.name, describe_fault(fault).text, "correct the data");
    if (tap && step.result) {
      const auto buffer = static_cast<size_t>(step.result->buffer);
      const Tensor value = gather_value(*step.result, places[buffer], program.buffers[buffer].item_bytes, items);
      CUPEL_TRY(tap(step, value.reshaped(CUPEL_TRY(bind_shape(step.type.shape, items)))));
    }
  }
  return outputs;
}

}  // namespace cupel
