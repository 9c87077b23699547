#include "driver/run_array.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "base/file.h"
#include "lower/lower.h"

namespace cupel {
namespace {

// Rows [begin, begin+count) of t, filled up to `size` rows by repeating the last.
Tensor chunk_of(const Tensor& t, int64_t begin, int64_t count, int64_t size) {
  const Tensor part = t.rows(begin, count);
  if (count == size) return part;
  Dims dims = t.dims();
  dims[0] = size;
  Tensor out(t.dtype(), dims);
  const size_t row = part.bytes().size() / static_cast<size_t>(count);
  for (int64_t i = 0; i < size; ++i)
    std::memcpy(out.mutable_bytes().data() + static_cast<size_t>(i) * row,
                part.bytes().data() + static_cast<size_t>(std::min(i, count - 1)) * row, row);
  return out;
}

// An array of 8-bit floats does not say of which format (data/npy.cpp); the model does.
std::vector<Tensor> typed(const ArrayModel& model, std::span<const Tensor> arrays) {
  std::vector<Tensor> inputs(arrays.begin(), arrays.end());
  for (size_t i = 0; i < std::min(inputs.size(), model.inputs.size()); ++i)
    if (is_byte_float(inputs[i].dtype()) && is_byte_float(model.inputs[i].dtype))
      inputs[i] = inputs[i].bit_cast_to(model.inputs[i].dtype);
  return inputs;
}

}  // namespace

bool keeps_items(const Graph& graph) {
  // A Program of an open batch sees one item at a time.
  const auto lowered = lower_graph(graph, "items", LowerTarget{});
  return lowered && lowered->program.fixed_batch == 0;
}

ArrayModel array_model(const Graph& graph, RunGraph run) {
  ArrayModel model;
  for (ValueId id : graph.inputs())
    model.inputs.push_back({graph.value(id).name, graph.type(id).shape, graph.type(id).dtype});
  for (ValueId id : graph.outputs())
    model.outputs.push_back({graph.value(id).name, graph.type(id).shape, graph.type(id).dtype});
  model.run = [&graph, run = std::move(run)](std::span<const Tensor> inputs) { return run(graph, inputs, {}); };
  model.keeps_items = [&graph] { return cupel::keeps_items(graph); };
  return model;
}

ArrayModel array_model(std::shared_ptr<CompiledModel> compiled, const CupelImage& image) {
  ArrayModel model;
  const auto port_of = [&](const CupelPort& port) -> ArrayModel::Port {
    return {port.name, port_shape(port, image.fixed_batch), static_cast<DType>(port.dtype)};
  };
  for (int32_t i = 0; i < image.input_count; ++i) model.inputs.push_back(port_of(image.inputs[i]));
  for (int32_t i = 0; i < image.output_count; ++i) model.outputs.push_back(port_of(image.outputs[i]));
  model.run = [compiled = std::move(compiled)](std::span<const Tensor> inputs) { return compiled->run(inputs); };
  model.keeps_items = [] { return true; };
  return model;
}

Result<std::vector<Tensor>> run_array(const ArrayModel& model, std::span<const Tensor> arrays, int64_t batch,
                                      const Progress& progress) {
  const std::vector<Tensor> inputs = typed(model, arrays);
  // Rows of a chunk, and how many array rows one unit of the batch takes in each input.
  int64_t rows = -1, fixed = -1;
  bool batched = !model.inputs.empty();
  for (const ArrayModel::Port& port : model.inputs) batched = batched && !port.shape.empty();
  for (size_t i = 0; batched && i < model.inputs.size(); ++i) {
    const ArrayModel::Port& port = model.inputs[i];
    const Dim& lead = port.shape[0];
    if (inputs[i].rank() == 0 || dtype_bits(inputs[i].dtype()) < 8)
      return bad_input("input " + printable(port.name),
                       fmt::format("found a scalar or packed array, expected {}", to_text(port.shape)),
                       "give one row for each sample");
    if (!lead.is_constant() && lead.factor != 1) batched = false;
    if (lead.is_constant()) {
      if (fixed >= 0 && fixed != lead.factor) batched = false;
      fixed = lead.factor;
    }
    if (rows >= 0 && rows != inputs[i].dims()[0]) batched = false;
    rows = inputs[i].dims()[0];
  }
  // Outputs that do not begin with the batch are of all rows together.
  for (const ArrayModel::Port& port : model.outputs)
    batched = batched && !port.shape.empty() && (fixed > 0 || !port.shape[0].is_constant());
  const int64_t size = fixed > 0 ? fixed : std::min(batch, rows);
  if (!batched || rows <= 0 || (fixed < 0 && rows <= batch) || rows == fixed) return model.run(inputs);
  if (fixed < 0 && !model.keeps_items()) return model.run(inputs);

  std::vector<Tensor> results;
  for (int64_t begin = 0; begin < rows; begin += size) {
    if (stop_requested())
      return fail(ErrorKind::resource, "run", "interrupted before it was complete", "run the command again");
    const int64_t count = std::min(size, rows - begin);
    std::vector<Tensor> chunk;
    for (const Tensor& t : inputs) chunk.push_back(chunk_of(t, begin, count, fixed > 0 ? size : count));
    const std::vector<Tensor> outputs = CUPEL_TRY(model.run(chunk));
    for (size_t i = 0; i < outputs.size(); ++i) {
      const Tensor& out = outputs[i];
      if (out.rank() == 0 || out.dims()[0] != chunk[0].dims()[0])
        return unsupported(
            "output " + printable(model.outputs[i].name),
            fmt::format("it has shape {}, without a leading batch, and the array has {} rows for batches of {}",
                        to_text(out.dims()), rows, size),
            "give one batch only");
      if (begin == 0) {
        Dims dims = out.dims();
        dims[0] = rows;
        results.emplace_back(out.dtype(), dims);
      }
      const size_t row = out.bytes().size() / static_cast<size_t>(out.dims()[0]);
      std::memcpy(results[i].mutable_bytes().data() + static_cast<size_t>(begin) * row, out.bytes().data(),
                  static_cast<size_t>(count) * row);
    }
    if (progress) progress("run", begin + count, rows);
  }
  return results;
}

}  // namespace cupel
