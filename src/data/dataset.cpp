#include "data/dataset.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <new>

#include "base/file.h"
#include "base/hash.h"
#include "data/npy.h"
#include "data/splits.h"

namespace cupel {

struct Dataset::State {
  DatasetDescription description;
  std::vector<std::unique_ptr<Source>> sources;  // null: used by no split
  std::vector<Split> splits;
  std::vector<std::string> split_names;
  std::vector<std::string> class_names;
  std::vector<DataInput> inputs;
  std::vector<SampleType> types;  // of the inputs after preprocessing, images as height, width, channels
  std::vector<std::string> warnings;
  std::vector<Tensor> targets;  // for each metric, of the source of split report: [samples, …]; empty for accuracy

  Status open_sources();
  Status read_targets();
  Status check_labels();
  Status name_inputs();
  Status infer_types();
  Status lay_out_inputs();
  Result<std::vector<SampleType>> infer_from(std::vector<SampleType> types) const;
  Result<std::vector<Tensor>> preprocessed(const Source& source, int64_t index) const;
  Result<const Split*> split(std::string_view name) const;
};

Status Dataset::State::open_sources() {
  sources.resize(description.sources.size());
  for (const SplitDescription& s : description.splits)
    if (std::ranges::find(description.sources, s.source, &SourceDescription::name) == description.sources.end()) {
      std::string names;
      for (const SourceDescription& source : description.sources)
        names += (names.empty() ? "" : ", ") + printable(source.name);
      return bad_input(s.place, fmt::format("there is no source \"{}\"", printable(s.source)),
                       "the sources are " + names);
    }
  for (size_t i = 0; i < sources.size(); ++i) {
    const SourceDescription& source = description.sources[i];
    if (std::ranges::find(description.splits, source.name, &SplitDescription::source) == description.splits.end()) {
      warnings.push_back(fmt::format("source {}: used by no split", printable(source.name)));
      continue;
    }
    sources[i] = CUPEL_TRY(open_source(source));
    const auto& more = sources[i]->facts().warnings;
    warnings.insert(warnings.end(), more.begin(), more.end());
  }
  return {};
}

Status Dataset::State::check_labels() {
  class_names = description.classes;
  const SourceFacts* named = nullptr;  // the first source that names classes
  for (size_t i = 0; i < sources.size(); ++i) {
    if (!sources[i]) continue;
    const SourceFacts& facts = sources[i]->facts();
    if (facts.class_names.empty()) continue;
    if (!description.classes.empty() && facts.class_names.size() != description.classes.size())
      return bad_input(description.sources[i].place,
                       fmt::format("has {} class folders, but [labels] names {} classes", facts.class_names.size(),
                                   description.classes.size()),
                       "a label is the position of a class folder: both numbers must agree");
    if (named != nullptr && named->class_names != facts.class_names)
      return bad_input(description.sources[i].place,
                       fmt::format("its class folders differ from those of {}", named->labels_place),
                       "a label is the position of a class folder: all sources need the same folders");
    named = &facts;
    if (class_names.empty()) class_names = facts.class_names;
  }
  const auto classes = static_cast<int64_t>(class_names.size());
  for (size_t i = 0; i < sources.size(); ++i) {
    if (!sources[i]) continue;
    const SourceFacts& facts = sources[i]->facts();
    for (size_t k = 0; k < facts.labels.size(); ++k)
      if (facts.labels[k] < 0 || (classes > 0 && facts.labels[k] >= classes))
        return bad_input(facts.labels_place,
                         fmt::format("sample {} has label {}, expected {}", k, facts.labels[k],
                                     classes > 0 ? fmt::format("0 to {}", classes - 1) : "0 or more"),
                         classes > 0 ? "correct the label, or name all classes in [labels]" : "correct the label");
  }
  for (size_t i = 0; i < splits.size(); ++i)
    if (const auto first = std::ranges::find(description.metrics, "accuracy", &MetricChoice::kind);
        splits[i].name == "report" && first != description.metrics.end() &&
        sources[splits[i].source]->facts().labels.empty())
      return bad_input(description.splits[i].place,
                       fmt::format("source \"{}\" has no labels, which metric {} needs",
                                   printable(description.splits[i].source), first->kind),
                       "name the labels of the source, or remove the metric");
  return {};
}

// The arrays of labels that metrics name.
Status Dataset::State::read_targets() {
  const auto report = std::ranges::find(splits, "report", &Split::name);
  if (report == splits.end()) return {};
  const SourceDescription& source = description.sources[report->source];
  const int64_t samples = sources[report->source]->size();
  for (const MetricChoice& metric : description.metrics) {
    Tensor& target = targets.emplace_back();
    if (metric.target.empty()) continue;
    if (!source.text("targets"))
      return bad_input(source.place,
                       fmt::format("names no targets, and metric \"{}\" needs them", printable(metric.kind)),
                       "write targets = \"….npz\" into the source, a file with one array for each kind of labels");
    const std::filesystem::path file = source.path("targets");
    target = CUPEL_TRY(read_npz_array(file, metric.target));
    if (target.rank() == 0 || target.empty() || target.dims()[0] != samples)
      return bad_input(fmt::format("{}: array \"{}\"", printable(file.string()), printable(metric.target)),
                       fmt::format("is {}, expected {} labels, one per sample", to_text(target.dims()), samples),
                       "the first dimension counts the samples of the source");
  }
  return {};
}

// Gives inputs that only the sources know by name their description.
Status Dataset::State::name_inputs() {
  const std::vector<std::string>* names = nullptr;
  for (size_t i = 0; i < sources.size(); ++i) {
    if (!sources[i]) continue;
    const std::vector<std::string>& found = sources[i]->facts().input_names;
    if (names != nullptr && found != *names)
      return bad_input(description.sources[i].place, "its arrays are not those of the other sources",
                       "all sources need the same inputs; [inputs] says which arrays are meant");
    names = &found;
  }
  if (names == nullptr || names->empty() || !description.inputs[0].name.empty()) return {};
  if (!description.inputs[0].steps.empty() || description.inputs[0].layout)
    return bad_input(description.inputs[0].place, "is for samples of one array",
                     "give the steps to the inputs that need them: steps = […] in [inputs.NAME]");
  description.inputs.clear();
  for (const std::string& name : *names) description.inputs.push_back({.name = name, .place = description.place});
  return {};
}

// The types that all steps together make of `current`.
Result<std::vector<SampleType>> Dataset::State::infer_from(std::vector<SampleType> current) const {
  for (size_t i = 0; i < current.size(); ++i)
    for (const PreprocessStep& step : description.inputs[i].steps) {
      auto next = step.infer(current[i]);
      if (!next)
        return std::unexpected(
            std::move(next).error().within(fmt::format("{}: step \"{}\"", description.inputs[i].place, step.text)));
      current[i] = std::move(*next);
    }
  return current;
}

Status Dataset::State::infer_types() {
  const auto is_open = [](const SampleType& t) { return std::ranges::find(t.dims, -1) != t.dims.end(); };
  for (size_t i = 0; i < splits.size(); ++i) {
    const Source& source = *sources[splits[i].source];
    std::vector<SampleType> found = CUPEL_TRY(infer_from(source.types()));
    if (std::ranges::any_of(found, is_open)) {
      std::vector<SampleType> first = source.types();
      const std::vector<Tensor> sample = CUPEL_TRY(source.sample(splits[i].indices[0]));
      for (size_t k = 0; k < sample.size(); ++k) first[k].dims = sample[k].dims();
      found = CUPEL_TRY(infer_from(first));
    }
    if (i == 0) types = found;
    for (size_t k = 0; k < found.size(); ++k)
      if (!(found[k] == types[k]))
        return bad_input(
            description.splits[i].place,
            fmt::format("its samples{} become {}, but those of split {} become {}",
                        description.inputs[k].name.empty() ? "" : " of input " + printable(description.inputs[k].name),
                        to_text(found[k]), splits[0].name, to_text(types[k])),
            "all splits must have samples of one type and size; add a resize step");
  }
  return {};
}

Status Dataset::State::lay_out_inputs() {
  for (size_t i = 0; i < types.size(); ++i) {
    const SampleType& type = types[i];
    const InputDescription& input = description.inputs[i];
    if (!type.image && input.layout)
      return bad_input(input.place, fmt::format("layout is set, but the samples are {}", to_text(type)),
                       input.name.empty() ? "remove layout: it is for images only"
                                          : "remove layout, or set image_layout: what the file holds are images");
    const bool channels_first = type.image && input.layout.value_or(ImageLayout::nchw) == ImageLayout::nchw;
    DataInput laid_out{.name = input.name, .dtype = type.type};
    laid_out.dims = channels_first ? Dims{type.dims[2], type.dims[0], type.dims[1]} : type.dims;
    if (laid_out.dims.size() >= static_cast<size_t>(kMaxRank))
      return fail(
          ErrorKind::resource, description.place,
          fmt::format("samples {} and a batch exceed the limit of {} dimensions", to_text(laid_out.dims), kMaxRank),
          "store samples of fewer dimensions");
    for (const PreprocessStep& step : input.steps) laid_out.steps.push_back(step.text);
    if (type.image) laid_out.layout = channels_first ? "NCHW" : "NHWC";
    inputs.push_back(std::move(laid_out));
  }
  return {};
}

Result<const Split*> Dataset::State::split(std::string_view name) const {
  const auto found = std::ranges::find(splits, name, &Split::name);
  if (found != splits.end()) return &*found;
  std::string names;
  for (const std::string& n : split_names) names += (names.empty() ? "" : ", ") + n;
  return bad_input(description.place, fmt::format("has no split \"{}\"", printable(name)),
                   fmt::format("add it to [splits]; its splits are {}", names));
}

Result<std::vector<Tensor>> Dataset::State::preprocessed(const Source& source, int64_t index) const {
  std::vector<Tensor> sample = CUPEL_TRY(source.sample(index));
  for (size_t i = 0; i < sample.size(); ++i) {
    const auto place = [&] {
      const std::string& name = description.inputs[i].name;
      return source.sample_place(index) + (name.empty() ? "" : ": input " + printable(name));
    };
    for (const PreprocessStep& step : description.inputs[i].steps) {
      auto next = step.apply(std::move(sample[i]));
      if (!next)
        return std::unexpected(std::move(next).error().within(fmt::format("{}: step \"{}\"", place(), step.text)));
      sample[i] = std::move(*next);
    }
    if (sample[i].dims() != types[i].dims)
      return bad_input(
          place(),
          fmt::format("becomes {}, expected {}", to_text(SampleType{types[i].type, sample[i].dims(), types[i].image}),
                      to_text(types[i])),
          "add a resize or center-crop step that makes all images the same size");
  }
  return sample;
}

Result<Dataset> Dataset::open(const std::filesystem::path& toml) try {
  auto state = std::make_shared<State>();
  state->description = CUPEL_TRY(read_description(toml));
  CUPEL_TRY(state->open_sources());
  CUPEL_TRY(state->name_inputs());
  state->splits = CUPEL_TRY(resolve_splits(state->description, state->sources, state->warnings));
  for (const Split& split : state->splits) state->split_names.push_back(split.name);
  CUPEL_TRY(state->check_labels());
  CUPEL_TRY(state->read_targets());
  CUPEL_TRY(state->infer_types());
  CUPEL_TRY(state->lay_out_inputs());
  return Dataset(std::move(state));
} catch (const std::bad_alloc&) {
  return out_of_memory(printable(toml.string()), "the data set does not fit into memory",
                       "free some memory, or use a format that is read piece by piece (image-folder)");
}

namespace {

// Writes a sample into row `row` of `to`: images, which come as height, width, channels, in the layout of the input.
void lay_out(const Tensor& sample, const DataInput& input, int64_t row, Tensor& to) {
  const int64_t width = dtype_bits(input.dtype) / 8, bytes = sample.bytes_size();
  std::byte* out = to.mutable_bytes().data() + row * bytes;
  const std::byte* from = sample.bytes().data();
  const int64_t channels = input.layout == "NCHW" ? input.dims[0] : 1, pixels = sample.size() / channels;
  if (channels == 1) {
    std::memcpy(out, from, static_cast<size_t>(bytes));
    return;
  }
  for (int64_t c = 0; c < channels; ++c)
    for (int64_t p = 0; p < pixels; ++p)
      std::memcpy(out + (c * pixels + p) * width, from + (p * channels + c) * width, static_cast<size_t>(width));
}

// Rows of an array, in the order of `indices`.
Tensor chosen_rows(const Tensor& array, std::span<const int64_t> indices) {
  Dims dims = array.dims();
  const size_t row = array.bytes().size() / static_cast<size_t>(dims[0]);
  dims[0] = static_cast<int64_t>(indices.size());
  Tensor out(array.dtype(), dims);
  for (size_t i = 0; i < indices.size(); ++i)
    std::memcpy(out.mutable_bytes().data() + i * row, array.bytes().data() + static_cast<size_t>(indices[i]) * row,
                row);
  return out;
}

}  // namespace

Result<Samples> Dataset::load(std::string_view name, int64_t begin, int64_t count) const try {
  const Split& split = *CUPEL_TRY(state_->split(name));
  const auto size = static_cast<int64_t>(split.indices.size());
  if (begin < 0 || count < 0 || begin > size || count > size - begin)
    return internal_error(state_->description.place,
                          fmt::format("samples {} to {} + {} were asked of split {}, which has {}", begin, begin, count,
                                      split.name, size));
  const Source& source = *state_->sources[split.source];
  Samples samples;
  for (const DataInput& input : state_->inputs) {
    Dims dims = {count};
    dims.insert(dims.end(), input.dims.begin(), input.dims.end());
    if (auto elements = count_elements(dims); !elements)
      return std::unexpected(std::move(elements).error().within(state_->description.place));
    samples.inputs.emplace_back(input.dtype, dims);
  }
  for (int64_t i = 0; i < count; ++i) {
    const int64_t index = split.indices[static_cast<size_t>(begin + i)];
    const std::vector<Tensor> sample = CUPEL_TRY(state_->preprocessed(source, index));
    if (!source.facts().labels.empty()) samples.labels.push_back(source.facts().labels[static_cast<size_t>(index)]);
    for (size_t k = 0; k < sample.size(); ++k) lay_out(sample[k], state_->inputs[k], i, samples.inputs[k]);
  }
  if (split.name == "report")
    for (const Tensor& target : state_->targets)
      samples.targets.push_back(
          target.empty()
              ? Tensor()
              : chosen_rows(target,
                            std::span(split.indices).subspan(static_cast<size_t>(begin), static_cast<size_t>(count))));
  return samples;
} catch (const std::bad_alloc&) {
  return out_of_memory(state_->description.place, fmt::format("{} samples do not fit into memory", count),
                       "use a smaller batch, or free some memory");
}

Result<std::string> Dataset::content_hash() const {
  std::string text = "cupel data set 1\n";
  const auto add = [&](std::string_view kind, std::string_view value) {
    text += fmt::format("{} {}:{}\n", kind, value.size(), value);
  };
  for (const DataInput& input : state_->inputs) {
    if (!input.name.empty()) add("input", input.name);
    for (const std::string& step : input.steps) add("step", step);
    if (!input.layout.empty()) add("step", input.layout);
  }
  for (const std::string& name : state_->class_names) add("class", name);
  for (const MetricChoice& metric : state_->description.metrics)
    add("metric", fmt::format("{} {}", metric.kind, metric.top_k));
  for (const Tensor& target : state_->targets)
    if (!target.empty()) add("target", to_hex(sha256(target.bytes())));
  for (const Split& split : state_->splits) {
    const Source& source = *state_->sources[split.source];
    add("split", fmt::format("{} {}", split.name, split.indices.size()));
    for (const int64_t index : split.indices) {
      const Digest digest = CUPEL_TRY(source.content_digest(index));
      text.append(reinterpret_cast<const char*>(digest.data()), digest.size());
      text += source.facts().labels.empty() ? "\n"
                                            : fmt::format(" {}\n", source.facts().labels[static_cast<size_t>(index)]);
    }
  }
  return to_hex(sha256(text));
}

const std::string& Dataset::place() const { return state_->description.place; }
const std::vector<std::string>& Dataset::split_names() const { return state_->split_names; }
bool Dataset::has_split(std::string_view split) const { return state_->split(split).has_value(); }
Result<int64_t> Dataset::size(std::string_view split) const {
  return static_cast<int64_t>(CUPEL_TRY(state_->split(split))->indices.size());
}
Result<int64_t> Dataset::dropped(std::string_view split) const { return CUPEL_TRY(state_->split(split))->dropped; }
Result<std::string> Dataset::split_hash(std::string_view name, int64_t count) const {
  const Split& split = *CUPEL_TRY(state_->split(name));
  const Source& source = *state_->sources[split.source];
  std::string text;
  for (int64_t i = 0; i < std::min(count, static_cast<int64_t>(split.indices.size())); ++i) {
    const int64_t index = split.indices[static_cast<size_t>(i)];
    const auto& labels = source.facts().labels;
    text += fmt::format("{} {} {}\n", index, to_hex(CUPEL_TRY(source.content_digest(index))),
                        labels.empty() ? "-" : std::to_string(labels[static_cast<size_t>(index)]));
  }
  if (split.name == "report")
    for (const Tensor& target : state_->targets)
      if (!target.empty()) text += to_hex(sha256(target.bytes())) + "\n";
  return to_hex(sha256(text));
}
Result<bool> Dataset::has_labels(std::string_view split) const {
  return !state_->sources[CUPEL_TRY(state_->split(split))->source]->facts().labels.empty();
}
Result<std::vector<int64_t>> Dataset::source_indices(std::string_view split) const {
  return CUPEL_TRY(state_->split(split))->indices;
}
Result<std::string> Dataset::source_name(std::string_view split) const {
  return state_->description.sources[CUPEL_TRY(state_->split(split))->source].name;
}
const std::vector<DataInput>& Dataset::inputs() const { return state_->inputs; }
const std::optional<std::string>& Dataset::labelled_output() const { return state_->description.labelled_output; }
const std::vector<std::string>& Dataset::class_names() const { return state_->class_names; }
const std::vector<MetricChoice>& Dataset::metrics() const { return state_->description.metrics; }
const std::vector<std::string>& Dataset::warnings() const { return state_->warnings; }

}  // namespace cupel
