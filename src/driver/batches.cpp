#include "driver/batches.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <memory>

#include "base/file.h"
#include "driver/progress.h"

namespace cupel {

Result<int64_t> batch_size_for(const Graph& model, const Dataset& data, int64_t wanted) {
  if (model.inputs().size() != 1)
    return unsupported("model", fmt::format("it has {} inputs; a data set gives one", model.inputs().size()),
                       "evaluate a model with one input");
  const Value& input = model.value(model.inputs()[0]);
  const Shape& shape = input.type.shape;
  Shape sample = shape.empty() ? shape : Shape(shape.begin() + 1, shape.end());
  if (shape.empty() || input.type.dtype != data.sample_dtype() || sample != to_shape(data.sample_dims()))
    return bad_input(
        "input " + printable(input.name),
        fmt::format("the model takes {}{}, the data set gives {} samples of {}", dtype_name(input.type.dtype),
                    to_text(shape), dtype_name(data.sample_dtype()), to_text(data.sample_dims())),
        "correct the preprocessing steps or the layout in the data set's file");
  return shape[0].is_constant() ? shape[0].factor : wanted;
}

Result<size_t> score_output(const Graph& model) {
  std::vector<size_t> found;
  for (size_t i = 0; i < model.outputs().size(); ++i) {
    const TensorType& t = model.type(model.outputs()[i]);
    if (t.dtype == DType::f32 && t.shape.size() == 2) found.push_back(i);
  }
  if (found.size() != 1)
    return unsupported(
        "model", fmt::format("{} of its outputs hold class scores (f32 [batch, classes]), expected one", found.size()),
        "evaluate a classifier");
  return found[0];
}

namespace {
Tensor filled(const Tensor& samples, int64_t batch) {
  Dims dims = samples.dims();
  const int64_t have = dims[0];
  dims[0] = batch;
  Tensor out(samples.dtype(), dims);
  const size_t row = samples.bytes().size() / static_cast<size_t>(have);
  for (int64_t i = 0; i < batch; ++i)
    std::memcpy(out.mutable_bytes().data() + static_cast<size_t>(i) * row,
                samples.bytes().data() + static_cast<size_t>(std::min(i, have - 1)) * row, row);
  return out;
}
}  // namespace

Result<std::vector<Tensor>> run_batch(const Graph& model, const Tensor& samples, int64_t batch, const RunGraph& run,
                                      const Tap& tap) {
  const int64_t count = samples.dims()[0];
  const bool fixed = model.type(model.inputs()[0]).shape[0].is_constant();
  const Tensor input = fixed && count < batch ? filled(samples, batch) : samples;
  std::vector<Tensor> outputs = CUPEL_TRY(run(model, std::span(&input, 1), tap));
  for (Tensor& t : outputs)
    if (t.rank() > 0 && t.dims()[0] == input.dims()[0] && input.dims()[0] != count) t = t.rows(0, count);
  return outputs;
}

std::optional<int64_t> first_nan(const Tensor& t) {
  const auto search = [](auto numbers) -> std::optional<int64_t> {
    for (size_t i = 0; i < numbers.size(); ++i)
      if (numbers[i] != numbers[i]) return static_cast<int64_t>(i);
    return std::nullopt;
  };
  if (t.dtype() == DType::f32) return search(t.data<float>());
  if (t.dtype() == DType::f64) return search(t.data<double>());
  return std::nullopt;
}

BatchSource split_batches(const Dataset& data, std::string split, int64_t batch, bool fixed) {
  return [data, split = std::move(split), batch, fixed,
          next = int64_t{0}]() mutable -> Result<std::optional<std::vector<Tensor>>> {
    const int64_t size = CUPEL_TRY(data.size(split));
    if (next >= size || stop_requested()) return std::optional<std::vector<Tensor>>();
    const int64_t count = std::min(batch, size - next);
    Samples samples = CUPEL_TRY(data.load(split, next, count));
    next += count;
    return std::optional(
        std::vector<Tensor>{fixed && count < batch ? filled(samples.input, batch) : std::move(samples.input)});
  };
}

}  // namespace cupel
