#include "driver/batches.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "base/file.h"
#include "driver/progress.h"

namespace cupel {

namespace {

std::string type_text(const TensorType& type) {
  return fmt::format("{}{}", dtype_name(type.dtype), to_text(type.shape));
}

// "ids s64[batch, 16], mask s64[batch, 16]".
std::string ports_text(const Graph& model, const std::vector<ValueId>& values) {
  std::string text;
  for (const ValueId id : values)
    text += (text.empty() ? "" : ", ") + printable(model.value(id).name) + " " + type_text(model.type(id));
  return text.empty() ? "none" : text;
}

std::string inputs_text(const Dataset& data) {
  std::string text;
  for (const DataInput& input : data.inputs()) text += (text.empty() ? "" : ", ") + printable(input.name);
  return text;
}

// What a person does about samples of another type than the model takes.
std::string type_remedy(const DataInput& given, const TensorType& wanted) {
  if (given.dtype != wanted.dtype && !given.name.empty())
    return wanted.dtype == DType::f32
               ? fmt::format("add the step to-float to [inputs.{}]", printable(given.name))
               : fmt::format("store the array as {}; integers are taken as they are", dtype_name(wanted.dtype));
  return given.name.empty() ? "correct the preprocessing steps or the layout in the data set's file"
                            : "correct the array, its preprocessing steps or its layout; sizes that the model leaves "
                              "open are those of the data set";
}

// The data set's input for one of the model's.
Result<size_t> find_input(const Graph& model, const Value& input, const Dataset& data) {
  const std::vector<DataInput>& given = data.inputs();
  if (given[0].name.empty()) {
    if (model.inputs().size() == 1) return size_t{0};
    return bad_input("input " + printable(input.name),
                     fmt::format("the model has {} inputs ({}), the data set gives one array", model.inputs().size(),
                                 ports_text(model, model.inputs())),
                     "store one array for each input in .npz files, and name them in a source by arrays = …");
  }
  const auto found = std::ranges::find(given, input.name, &DataInput::name);
  if (found == given.end())
    return bad_input("input " + printable(input.name),
                     fmt::format("the data set does not give it; it gives {}", inputs_text(data)),
                     fmt::format("say in the data set's file which array it is: [inputs.{}] with key = \"…\"",
                                 printable(input.name)));
  return static_cast<size_t>(found - given.begin());
}

// Whether the input takes a sample as it is.
Result<bool> takes_whole(const Value& input, const DataInput& given) {
  const Shape& shape = input.type.shape;
  const Shape sample = to_shape(given.dims);
  if (input.type.dtype == given.dtype) {
    if (shape == sample) return true;
    if (!shape.empty() && Shape(shape.begin() + 1, shape.end()) == sample) return false;
  }
  return bad_input("input " + printable(input.name),
                   fmt::format("the model takes {}, the data set gives {} samples of {}", type_text(input.type),
                               dtype_name(given.dtype), to_text(given.dims)),
                   type_remedy(given, input.type));
}

}  // namespace

Result<Feed> feed_for(const Graph& model, const Dataset& data, int64_t wanted) {
  if (model.inputs().empty())
    return unsupported("model", "it has no inputs that samples could be", "name a model that takes samples");
  Feed feed;
  std::optional<Dim> lead;
  for (const ValueId id : model.inputs()) {
    const Value& input = model.value(id);
    feed.inputs.push_back(CUPEL_TRY(find_input(model, input, data)));
    feed.whole.push_back(CUPEL_TRY(takes_whole(input, data.inputs()[feed.inputs.back()])));
    if (feed.whole.back()) continue;
    const Dim& dim = input.type.shape[0];
    if ((lead && *lead != dim) || (!dim.is_constant() && dim.factor != 1))
      return unsupported("input " + printable(input.name),
                         fmt::format("it holds {} rows, which are not one for each sample; the inputs are {}",
                                     to_text(Shape{dim}), ports_text(model, model.inputs())),
                         fmt::format("fix what is no sample by --value {}=…", printable(input.name)));
    lead = dim;
  }
  const bool any_whole = std::ranges::find(feed.whole, true) != feed.whole.end();
  if (any_whole && lead && lead->is_constant() && lead->factor != 1)
    return unsupported("model",
                       fmt::format("some inputs hold {} samples and others one; the inputs are {}", lead->factor,
                                   ports_text(model, model.inputs())),
                       "export the model for one sample");
  feed.fixed = any_whole || lead->is_constant();
  feed.batch = any_whole ? 1 : feed.fixed ? lead->factor : wanted;
  return feed;
}

OutputRows output_rows(const Graph& model, const Feed& feed, size_t output) {
  const Shape& shape = model.type(model.outputs()[output]).shape;
  const bool has_batch = std::ranges::find(feed.whole, false) != feed.whole.end();
  if (shape.empty() || !has_batch) return {};
  const Dim& lead = shape[0];
  if (!lead.is_constant()) return {lead.factor, lead.factor == 1};
  if (feed.fixed && lead.factor == feed.batch) return {1, true};
  return {};
}

Tensor sample_of_output(const Tensor& output, const OutputRows& rows, int64_t i) {
  if (rows.each == 0) return output;
  const Tensor part = output.rows(i * rows.each, rows.each);
  return rows.drop_lead ? part.reshaped(Dims(part.dims().begin() + 1, part.dims().end())) : part;
}

void narrow_batch(const Graph& model, bool keeps_items, Feed& feed) {
  if (feed.fixed) return;
  bool apart = keeps_items;
  for (size_t i = 0; i < model.outputs().size(); ++i) apart = apart && output_rows(model, feed, i).each > 0;
  if (!apart) feed.batch = 1;
}

namespace {
// f32 [batch, classes].
bool may_hold_scores(const TensorType& t) { return t.dtype == DType::f32 && t.shape.size() == 2; }
}  // namespace

bool has_score_output(const Graph& model) {
  return std::ranges::any_of(model.outputs(), [&](ValueId id) { return may_hold_scores(model.type(id)); });
}

Result<size_t> score_output(const Graph& model, const std::string& name) {
  const auto holds_scores = [&](ValueId id) { return may_hold_scores(model.type(id)); };
  const std::string outputs = ports_text(model, model.outputs());
  std::vector<size_t> found;
  for (size_t i = 0; i < model.outputs().size(); ++i) {
    if (!name.empty() && model.value(model.outputs()[i]).name == name) {
      if (holds_scores(model.outputs()[i])) return i;
      return unsupported("output " + printable(name),
                         fmt::format("it holds no class scores (f32 [batch, classes]); the outputs are {}", outputs),
                         "name another by --labelled-output, or output in [labels] of the data set");
    }
    if (name.empty() && holds_scores(model.outputs()[i])) found.push_back(i);
  }
  if (!name.empty())
    return bad_input("output " + printable(name), "the model has none of this name; the outputs are " + outputs,
                     "name one of them by --labelled-output, or output in [labels] of the data set");
  if (found.size() == 1) return found[0];
  return unsupported(
      "model",
      fmt::format("{} of its outputs hold class scores (f32 [batch, classes]), expected one; the "
                  "outputs are {}",
                  found.size(), outputs),
      found.empty() ? "evaluate a classifier" : "name one by --labelled-output, or output in [labels] of the data set");
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

std::vector<Tensor> inputs_of(const Feed& feed, std::span<const Tensor> samples) {
  std::vector<Tensor> inputs;
  for (size_t i = 0; i < feed.inputs.size(); ++i) {
    const Tensor& t = samples[feed.inputs[i]];
    if (feed.whole[i])
      inputs.push_back(t.reshaped(Dims(t.dims().begin() + 1, t.dims().end())));
    else
      inputs.push_back(feed.fixed && t.dims()[0] < feed.batch ? filled(t, feed.batch) : t);
  }
  return inputs;
}

Result<std::vector<Tensor>> run_batch(const Graph& model, const Feed& feed, std::span<const Tensor> samples,
                                      const RunGraph& run, const Tap& tap) {
  const std::vector<Tensor> inputs = inputs_of(feed, samples);
  const int64_t count = samples[0].dims()[0], ran = feed.fixed ? feed.batch : count;
  std::vector<Tensor> outputs = CUPEL_TRY(run(model, inputs, tap));
  for (Tensor& t : outputs)
    if (ran != count && t.rank() > 0 && t.dims()[0] == ran) t = t.rows(0, count);
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

BatchSource split_batches(const Dataset& data, std::string split, const Feed& feed) {
  return [data, split = std::move(split), feed,
          next = int64_t{0}]() mutable -> Result<std::optional<std::vector<Tensor>>> {
    const int64_t size = CUPEL_TRY(data.size(split));
    if (next >= size || stop_requested()) return std::optional<std::vector<Tensor>>();
    const int64_t count = std::min(feed.batch, size - next);
    const Samples samples = CUPEL_TRY(data.load(split, next, count));
    next += count;
    return std::optional(inputs_of(feed, samples.inputs));
  };
}

}  // namespace cupel
