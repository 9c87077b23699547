#include "kernel/evaluate_program.h"

#include <fmt/format.h>

#include <cstring>

#include "kernel/check_program.h"
#include "runtime/routines.h"

namespace cupel {

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
  int64_t items = program.fixed_batch;
  for (size_t i = 0; items == 0 && i < inputs.size(); ++i)
    if (program.inputs[i].batched) items = inputs[i].dims()[0] / program.inputs[i].type.shape[0].factor;
  if (items == 0) items = 1;
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
    if (fault.found != 0)
      return bad_input("step " + step.name,
                       fmt::format("index {} in item {} of the batch is outside [-{}, {})", fault.index, fault.item,
                                   fault.extent, fault.extent),
                       "correct the data");
    if (tap && step.result) {
      const auto buffer = static_cast<size_t>(step.result->buffer);
      const Tensor value = gather_value(*step.result, places[buffer], program.buffers[buffer].item_bytes, items);
      CUPEL_TRY(tap(step, value.reshaped(CUPEL_TRY(bind_shape(step.type.shape, items)))));
    }
  }
  return outputs;
}

}  // namespace cupel
