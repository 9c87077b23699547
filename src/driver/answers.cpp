#include "driver/answers.h"

#include <fmt/format.h>

#include <algorithm>

#include "assess/sentences.h"
#include "base/file.h"
#include "driver/run_array.h"
#include "reference/interpreter.h"

namespace cupel {
namespace {

Result<Engine> engine_for(const Model& model, EngineKind kind, ThreadPool& threads) {
  if (kind == EngineKind::reference) return Engine{interpreter(threads), nullptr};
  auto code = CUPEL_TRY(compile_for_host(model.program, model.path.stem().string(), threads.size()));
  const auto loaded = std::make_shared<CompiledModel>(std::move(code));
  return Engine{compiled(*loaded), loaded};
}

// The output of `model` that stands for one of the base: that of its name, else the one at its place.
std::optional<size_t> counterpart(const Graph& base, size_t output, const Graph& model) {
  const std::string& name = base.value(base.outputs()[output]).name;
  for (size_t i = 0; i < model.outputs().size(); ++i)
    if (model.value(model.outputs()[i]).name == name) return i;
  if (base.outputs().size() != model.outputs().size()) return std::nullopt;
  return output;
}

}  // namespace

Result<Respondent> respondent(const Model& model, std::string name, const Dataset& data, CompileContext& context,
                              EngineKind kind, int64_t wanted) {
  Respondent r{&model, std::move(name), {}, {}};
  auto feed = feed_for(model.program, data, wanted);
  if (!feed) return std::unexpected(std::move(feed).error().within(r.place()));
  r.feed = std::move(*feed);
  auto engine = engine_for(model, kind, context.threads);
  if (!engine) return std::unexpected(std::move(engine).error().within(r.place()));
  r.engine = std::move(*engine);
  // Compiled code of an open batch takes one item at a time.
  narrow_batch(model.program, r.feed.fixed || kind == EngineKind::compiled || keeps_items(model.program), r.feed);
  return r;
}

Status ask(const Respondent& r, const Samples& samples, const SeeRun& see) {
  const int64_t count = samples.inputs[0].dims()[0];
  for (int64_t at = 0; at < count; at += r.feed.batch) {
    const int64_t part = std::min(r.feed.batch, count - at);
    std::vector<Tensor> rows;
    for (const Tensor& t : samples.inputs) rows.push_back(t.rows(at, part));
    auto results = run_batch(r.model->program, r.feed, rows, r.engine.run, {});
    if (!results) return std::unexpected(std::move(results).error().within(r.place()));
    Status seen = see(at, part, *results);
    if (!seen) return std::unexpected(std::move(seen).error().within(r.place()));
  }
  return {};
}

OutputComparer::OutputComparer(std::span<const Respondent> models) {
  for (const Respondent& r : models) {
    names_.push_back(r.name);
    batches_.push_back(r.feed.batch);
  }
  for (size_t i = 0; i < models[0].model->program.outputs().size(); ++i) match(models, i);
}

void OutputComparer::match(std::span<const Respondent> models, size_t base_output) {
  const Graph& base = models[0].model->program;
  const TensorType& type = base.type(base.outputs()[base_output]);
  Output out{base.value(base.outputs()[base_output]).name,   {}, false, {}, {},
             std::vector<std::vector<Tensor>>(models.size())};
  if (dtype_bits(type.dtype) < 8) out.left_out = fmt::format("it holds {}", dtype_name(type.dtype));
  for (const Respondent& r : models) {
    const Graph& model = r.model->program;
    const auto found = counterpart(base, base_output, model);
    if (!found) {
      out.left_out = fmt::format("{} has no such output", r.name);
    } else if (const DType other = model.type(model.outputs()[*found]).dtype; other != type.dtype) {
      out.left_out = fmt::format("it holds {}, that of {} {}", dtype_name(type.dtype), r.name, dtype_name(other));
    }
    if (!out.left_out.empty()) break;
    out.index.push_back(*found);
    out.rows.push_back(output_rows(model, r.feed, *found));
    out.by_batch = out.by_batch || (out.rows.back().each == 0 && r.feed.batch > 1);
  }
  if (out.by_batch && std::ranges::adjacent_find(batches_, std::ranges::not_equal_to()) != batches_.end())
    out.left_out = "it belongs to a whole batch, and the models have batches of different sizes";
  outputs_.push_back(std::move(out));
}

void OutputComparer::see(size_t model, int64_t count, const std::vector<Tensor>& outputs) {
  for (Output& out : outputs_) {
    if (!out.left_out.empty()) continue;
    const Tensor& t = outputs[out.index[model]];
    if (out.by_batch) {
      if (count == batches_[model]) out.seen[model].push_back(t);
      continue;
    }
    for (int64_t i = 0; i < count; ++i) out.seen[model].push_back(sample_of_output(t, out.rows[model], i));
  }
}

Status OutputComparer::compare() {
  for (Output& out : outputs_) {
    if (!out.left_out.empty()) continue;
    for (size_t i = 0; i < out.seen[0].size(); ++i) {
      const Item base = item_of(out.seen[0][i]);
      std::vector<Item> candidates;
      for (size_t m = 1; m < names_.size(); ++m) candidates.push_back(item_of(out.seen[m][i]));
      if (!out.judge) out.judge.emplace(out.name, base, candidates.size(), out.by_batch);
      CUPEL_TRY(out.judge->add(base, candidates));
    }
    for (auto& seen : out.seen) seen.clear();
  }
  return {};
}

void OutputComparer::finish(const BootstrapOptions& options, std::vector<OutputComparison>& comparisons,
                            std::vector<std::string>& cautions) const {
  for (const Output& out : outputs_) {
    const std::string place = "Output " + printable(out.name);
    if (!out.left_out.empty()) cautions.push_back(fmt::format("{} was not compared: {}.", place, out.left_out));
    if (!out.judge) continue;
    const OutputComparison& c = comparisons.emplace_back(out.judge->finish(options));
    for (size_t m = 1; m < names_.size(); ++m)
      if (c.non_finite[m] > 0 || c.non_finite[0] > 0)
        cautions.push_back(
            fmt::format("{} holds NaN or infinity in {} of {} samples by {} and in {} by {}; samples in which one of "
                        "them has a number "
                        "there and the other none are left out of what is computed from numbers.",
                        place, grouped_text(c.non_finite[0]), grouped_text(c.samples), names_[0],
                        grouped_text(c.non_finite[m]), names_[m]));
  }
}

}  // namespace cupel
