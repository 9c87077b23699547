#include "driver/layer_errors.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "assess/layer_error.h"
#include "assess/layer_match.h"
#include "assess/model_cost.h"
#include "base/file.h"
#include "driver/batches.h"

namespace cupel {
namespace {

// A tap's tensor as numbers: codes are dequantized; other integers and booleans are what they are.
Tensor as_numbers(const Tensor& t, const TensorType& type) {
  if (t.dtype() == DType::f32) return t;
  Tensor out(DType::f32, t.dims());
  auto numbers = out.mutable_data<float>();
  if (!type.quant) {
    for (int64_t i = 0; i < t.size(); ++i) numbers[static_cast<size_t>(i)] = static_cast<float>(t.at(i));
    return out;
  }
  const QuantParams& q = *type.quant;
  for (int64_t i = 0; i < t.size(); ++i)
    numbers[static_cast<size_t>(i)] = static_cast<float>(t.int_at(i) - q.zero_point[0]) * q.scale[0];
  return out;
}

// The kernels of an Image that leave a value of the graph.
std::vector<TapPoint> tap_points(const CupelImage& image) {
  std::vector<TapPoint> taps;
  for (int32_t i = 0; i < image.step_count; ++i) {
    const CupelImageStep& step = image.steps[i];
    if (step.result.value_name == nullptr) continue;
    taps.push_back({step.name, step.result.value_name, step.origins});
  }
  return taps;
}

bool all_finite(const Tensor& t) {
  return std::ranges::all_of(t.data<float>(), [](float x) { return std::isfinite(x); });
}

// Errors of every matched node on the first `count` samples; gives how many were used. A node whose value is
// NaN or infinite in a batch of either model joins `not_finite`.
Result<int64_t> measure_layers(const LayerInput& input, std::span<const LayerMatch> matches, int64_t batch,
                               int64_t count, const Progress& progress, LayerErrors& errors,
                               std::set<std::string>& not_finite) {
  // Taps see whole batches: both models run as many samples at once.
  Feed base_feed = input.base_feed, candidate_feed = input.candidate_feed;
  base_feed.batch = candidate_feed.batch = batch;
  base_feed.fixed = candidate_feed.fixed = base_feed.fixed || candidate_feed.fixed;
  const Graph &base = input.base.program, &candidate = input.candidate.program;
  std::map<ValueId, std::string> key_of;  // candidate value → key
  std::map<ValueId, ValueId> wanted;      // base value → candidate value
  for (const LayerMatch& m : matches) {
    if (!m.base_value) continue;
    key_of[m.value] = std::to_string(m.node.index);
    wanted[*m.base_value] = m.value;
  }
  int64_t done = 0;
  for (int64_t begin = 0; begin < count && !stop_requested(); begin += batch) {
    const Samples samples = CUPEL_TRY(input.data.load("report", begin, std::min(batch, count - begin)));
    std::map<ValueId, Tensor> expected;  // by candidate value
    const Tap keep = [&](ValueId id, const Tensor& t) -> Status {
      if (const auto w = wanted.find(id); w != wanted.end()) expected[w->second] = as_numbers(t, base.type(id));
      return {};
    };
    const Tap compare = [&](ValueId id, const Tensor& t) -> Status {
      const auto key = key_of.find(id);
      if (key == key_of.end()) return {};
      const auto reference = expected.find(id);
      if (reference == expected.end())
        return internal_error("value " + printable(candidate.value(id).name), "the base model did not show its own");
      const Tensor actual = as_numbers(t, candidate.type(id));
      if (!all_finite(reference->second) || !all_finite(actual)) {
        not_finite.insert(key->second);
        return {};
      }
      return errors.add(key->second, reference->second.reshaped(actual.dims()), actual);
    };
    CUPEL_TRY(run_batch(base, base_feed, samples.inputs, input.base_engine.run, keep));
    CUPEL_TRY(run_batch(candidate, candidate_feed, samples.inputs, input.candidate_engine.run, compare));
    done = std::min(begin + batch, count);
    if (progress) progress("layer errors", done, count);
  }
  return done;
}

// The names that both models know; the node's own where there is none (quantize nodes of the candidate have names too).
std::string shared_names(const Node& node, const std::set<std::string_view>& base_names) {
  std::string text;
  for (const std::string& name : node.origin)
    if (base_names.contains(name)) text += (text.empty() ? "" : " + ") + name;
  return text.empty() ? node.name : text;
}

std::string reason_of(const Model& model, const Node& node) {
  const auto found = model.kept_in_float.find(node.name);
  if (found != model.kept_in_float.end()) return found->second;
  if (node.op->quant_rule == QuantRule::none) return "the op has no integer meaning";
  return "its operands are not quantized";
}

std::vector<LayerRow> layer_rows(const Model& base, const Model& candidate, std::span<const LayerMatch> matches,
                                 const LayerErrors& errors, const std::set<std::string>& not_finite) {
  const ModelCost cost = cost_of(candidate.program);
  std::set<std::string_view> base_names;
  for (const Node& node : base.program.nodes()) base_names.insert(node.origin.begin(), node.origin.end());
  std::vector<LayerRow> rows;
  for (const LayerMatch& m : matches) {
    const Node& node = candidate.program.node(m.node);
    const NodeCost& c = cost.nodes[static_cast<size_t>(m.node.index)];
    LayerRow row;
    row.name = shared_names(node, base_names);
    row.op = node.op->name;
    row.precision = c.precision;
    row.macs = c.macs;
    row.weight_bytes = c.weight_bytes;
    row.kernel = m.kernel;
    const std::string key = std::to_string(m.node.index);
    const bool finite = !not_finite.contains(key);
    if (const ErrorSums* e = errors.find(key); e != nullptr && finite)
      row.error = LayerErrorRow{e->elements(), e->sqnr_db(), e->cosine(), e->max_abs_error()};
    if (c.precision != "INT8") row.reason = reason_of(candidate, node);
    for (const std::string& reason : {m.reason, std::string(finite ? "" : "its values hold NaN or infinity")})
      if (!reason.empty()) row.reason += (row.reason.empty() ? "" : "; ") + reason;
    rows.push_back(std::move(row));
  }
  return rows;
}

}  // namespace

Status compare_layers(const LayerInput& input, int64_t count, const Progress& progress, Report& report) {
  auto matches = match_layers(input.base.program, input.candidate.program);
  if (input.base_engine.compiled && input.candidate_engine.compiled)
    cut_at_taps(input.base.program, input.candidate.program, tap_points(input.base_engine.compiled->image()),
                tap_points(input.candidate_engine.compiled->image()), matches);
  LayerErrors errors;
  std::set<std::string> not_finite;
  const Feed &base = input.base_feed, &candidate = input.candidate_feed;
  if (base.fixed && candidate.fixed && base.batch != candidate.batch) {
    report.warnings.push_back(
        {Severity::deviation, fmt::format("The errors of single nodes were not measured: the models have batches of {} "
                                          "and {} samples.",
                                          base.batch, candidate.batch)});
    count = 0;
  }
  const int64_t batch = base.fixed        ? base.batch
                        : candidate.fixed ? candidate.batch
                                          : std::min(base.batch, candidate.batch);
  report.layers_samples = CUPEL_TRY(measure_layers(input, matches, batch, count, progress, errors, not_finite));
  if (report.layers_samples < count)
    report.warnings.push_back(
        {Severity::deviation,
         fmt::format("The errors of single nodes come from {} of the {} samples asked for: the run was interrupted.",
                     report.layers_samples, count)});
  report.layers = layer_rows(input.base, input.candidate, matches, errors, not_finite);
  return {};
}

std::vector<std::optional<size_t>> rows_of(const Graph& program, std::span<const Node* const> nodes) {
  std::map<std::pair<std::string_view, const OpDef*>, std::vector<size_t>> places;
  size_t row = 0;
  for (const Node& node : program.nodes())  // as match_layers has them
    if (node.op->conversion == Conversion::none) places[{node.name, node.op}].push_back(row++);
  std::map<std::pair<std::string_view, const OpDef*>, size_t> taken;
  std::vector<std::optional<size_t>> rows;
  for (const Node* node : nodes) {
    const auto found = places.find({node->name, node->op});
    const size_t k = taken[{node->name, node->op}]++;
    rows.push_back(found != places.end() && k < found->second.size() ? std::optional(found->second[k]) : std::nullopt);
  }
  return rows;
}

}  // namespace cupel
