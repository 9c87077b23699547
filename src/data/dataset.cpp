#include "data/dataset.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <new>

#include "base/file.h"
#include "base/hash.h"
#include "data/splits.h"

namespace cupel {

struct Dataset::State {
  DatasetDescription description;
  std::vector<std::unique_ptr<Source>> sources;  // null: used by no split
  std::vector<Split> splits;
  std::vector<std::string> split_names;
  SampleType type;   // after preprocessing, images as height, width, channels
  Dims sample_dims;  // in the layout of the model's input
  bool channels_first = false;
  std::vector<std::string> class_names;
  std::vector<std::string> preprocessing;
  std::vector<std::string> warnings;

  Status open_sources();
  Status check_labels();
  Status infer_type();
  Result<SampleType> infer_from(SampleType type) const;
  Result<Tensor> preprocessed(const Source& source, int64_t index) const;
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
    if (splits[i].name == "report" && !description.metrics.empty() && sources[splits[i].source]->facts().labels.empty())
      return bad_input(description.splits[i].place,
                       fmt::format("source \"{}\" has no labels, which metric {} needs",
                                   printable(description.splits[i].source), description.metrics[0].kind),
                       "name the labels of the source, or remove the metric");
  return {};
}

// The type that all steps together make of `current`.
Result<SampleType> Dataset::State::infer_from(SampleType current) const {
  for (const PreprocessStep& step : description.steps) {
    auto next = step.infer(current);
    if (!next)
      return std::unexpected(
          std::move(next).error().within(fmt::format("{}: step \"{}\"", description.steps_place, step.text)));
    current = std::move(*next);
  }
  return current;
}

Status Dataset::State::infer_type() {
  for (size_t i = 0; i < splits.size(); ++i) {
    const Source& source = *sources[splits[i].source];
    SampleType found = CUPEL_TRY(infer_from(source.type()));
    if (std::ranges::find(found.dims, -1) != found.dims.end()) {
      SampleType first = source.type();
      first.dims = CUPEL_TRY(source.sample(splits[i].indices[0])).dims();
      found = CUPEL_TRY(infer_from(first));
    }
    if (i > 0 && !(found == type))
      return bad_input(description.splits[i].place,
                       fmt::format("its samples become {}, but those of split {} become {}", to_text(found),
                                   splits[0].name, to_text(type)),
                       "all splits must have samples of one type and size; add a resize step");
    type = std::move(found);
  }
  if (!type.image && description.layout)
    return bad_input(description.steps_place, fmt::format("layout is set, but the samples are {}", to_text(type)),
                     "remove layout: it is for images only");
  channels_first = type.image && description.layout.value_or(ImageLayout::nchw) == ImageLayout::nchw;
  sample_dims = channels_first ? Dims{type.dims[2], type.dims[0], type.dims[1]} : type.dims;
  if (sample_dims.size() >= static_cast<size_t>(kMaxRank))
    return fail(ErrorKind::resource, description.place,
                fmt::format("samples {} and a batch exceed the limit of {} dimensions", to_text(sample_dims), kMaxRank),
                "store samples of fewer dimensions");
  for (const PreprocessStep& step : description.steps) preprocessing.push_back(step.text);
  if (type.image) preprocessing.push_back(channels_first ? "NCHW" : "NHWC");
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

Result<Tensor> Dataset::State::preprocessed(const Source& source, int64_t index) const {
  Tensor sample = CUPEL_TRY(source.sample(index));
  for (const PreprocessStep& step : description.steps) {
    auto next = step.apply(std::move(sample));
    if (!next)
      return std::unexpected(
          std::move(next).error().within(fmt::format("{}: step \"{}\"", source.sample_place(index), step.text)));
    sample = std::move(*next);
  }
  if (sample.dims() != type.dims)
    return bad_input(source.sample_place(index),
                     fmt::format("becomes {}, expected {}", to_text(SampleType{type.type, sample.dims(), type.image}),
                                 to_text(type)),
                     "add a resize or center-crop step that makes all images the same size");
  return sample;
}

Result<Dataset> Dataset::open(const std::filesystem::path& toml) try {
  auto state = std::make_shared<State>();
  state->description = CUPEL_TRY(read_description(toml));
  CUPEL_TRY(state->open_sources());
  state->splits = CUPEL_TRY(resolve_splits(state->description, state->sources, state->warnings));
  for (const Split& split : state->splits) state->split_names.push_back(split.name);
  CUPEL_TRY(state->check_labels());
  CUPEL_TRY(state->infer_type());
  return Dataset(std::move(state));
} catch (const std::bad_alloc&) {
  return out_of_memory(printable(toml.string()), "the data set does not fit into memory",
                       "free some memory, or use a format that is read piece by piece (image-folder)");
}

Result<Samples> Dataset::load(std::string_view name, int64_t begin, int64_t count) const try {
  const Split& split = *CUPEL_TRY(state_->split(name));
  const auto size = static_cast<int64_t>(split.indices.size());
  if (begin < 0 || count < 0 || begin > size || count > size - begin)
    return internal_error(state_->description.place,
                          fmt::format("samples {} to {} + {} were asked of split {}, which has {}", begin, begin, count,
                                      split.name, size));
  const Source& source = *state_->sources[split.source];
  Dims dims = {count};
  dims.insert(dims.end(), state_->sample_dims.begin(), state_->sample_dims.end());
  if (auto elements = count_elements(dims); !elements)
    return std::unexpected(std::move(elements).error().within(state_->description.place));
  Samples samples{Tensor(state_->type.type, dims), {}};
  const int64_t width = dtype_bits(state_->type.type) / 8,
                sample_bytes = byte_count(state_->type.type, element_count(state_->sample_dims));
  std::byte* to = samples.input.mutable_bytes().data();
  for (int64_t i = 0; i < count; ++i, to += sample_bytes) {
    const int64_t index = split.indices[static_cast<size_t>(begin + i)];
    const Tensor sample = CUPEL_TRY(state_->preprocessed(source, index));
    if (!source.facts().labels.empty()) samples.labels.push_back(source.facts().labels[static_cast<size_t>(index)]);
    const std::byte* from = sample.bytes().data();
    const int64_t channels = state_->channels_first ? state_->sample_dims[0] : 1, pixels = sample.size() / channels;
    if (channels == 1) {
      std::memcpy(to, from, static_cast<size_t>(sample_bytes));
    } else {
      for (int64_t c = 0; c < channels; ++c)
        for (int64_t p = 0; p < pixels; ++p)
          std::memcpy(to + (c * pixels + p) * width, from + (p * channels + c) * width, static_cast<size_t>(width));
    }
  }
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
  for (const std::string& step : state_->preprocessing) add("step", step);
  for (const std::string& name : state_->class_names) add("class", name);
  for (const MetricChoice& metric : state_->description.metrics)
    add("metric", fmt::format("{} {}", metric.kind, metric.top_k));
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
DType Dataset::sample_dtype() const { return state_->type.type; }
const Dims& Dataset::sample_dims() const { return state_->sample_dims; }
const std::vector<std::string>& Dataset::class_names() const { return state_->class_names; }
const std::vector<MetricChoice>& Dataset::metrics() const { return state_->description.metrics; }
const std::vector<std::string>& Dataset::preprocessing() const { return state_->preprocessing; }
const std::vector<std::string>& Dataset::warnings() const { return state_->warnings; }

}  // namespace cupel
