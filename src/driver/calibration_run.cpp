#include "driver/calibration_run.h"

#include <algorithm>
#include <memory>
#include <set>
#include <unordered_map>

#include "assess/model_cost.h"
#include "emit/emit_target.h"
#include "reference/interpreter.h"

namespace cupel {
namespace {

constexpr int64_t kObservedBytes = int64_t{8} << 20;

// `model` with the values that have to leave a kernel as further outputs: `copied` of them as tensors, the others where
// they lie.
Graph with_outputs(const Graph& model, std::span<const ValueId> copied, std::span<const ValueId> tapped) {
  Graph graph = model;
  for (const ValueId id : copied) graph.add_output(id);
  for (const ValueId id : tapped) graph.add_output(id);
  return graph;
}

// The values of which a step of the Program has all elements, one sample behind the other.
std::set<std::string_view> shown_by_steps(const Program& program, const Graph& graph) {
  std::set<std::string_view> shown;
  const Shape& lead = graph.type(graph.inputs()[0]).shape;
  if (program.fixed_batch > 0 && (lead.empty() || lead[0] != Dim(program.fixed_batch))) return shown;
  for (const Step& step : program.steps) {
    if (!step.result || step.type.dtype != DType::f32 || step.type.shape.empty()) continue;
    const Shape& shape = step.type.shape;
    const auto whole = bind_shape(shape, 1);
    const int64_t items = is_static(shape) ? program.fixed_batch : 1;
    const bool by_samples = is_static(shape) ? items > 0 && shape[0].factor % items == 0 : !shape[0].is_constant();
    if (whole && by_samples && element_count(*whole) == items * element_count(step.result->dims))
      shown.insert(step.value_name);
  }
  return shown;
}

// A model compiled for calibration.
struct ObservedModel {
  Graph graph;  // with further outputs
  CompiledModel code;
  size_t outputs = 0;  // that are tensors
  std::unordered_map<std::string_view, ValueId> tapped;

  Status run(std::span<const Tensor> inputs, const Observe& observe);
};

Status ObservedModel::run(std::span<const Tensor> inputs, const Observe& observe) {
  CUPEL_TRY(bind_inputs(graph, inputs));
  const int64_t samples = samples_of(graph, inputs);
  const auto show = [&](ValueId id, const Tensor& t) -> Status {
    return t.dtype() == DType::f32 ? observe(id, elements_of(t, samples)) : Status();
  };
  for (size_t i = 0; i < inputs.size(); ++i) CUPEL_TRY(show(graph.inputs()[i], inputs[i]));
  const auto view = [&](const CupelImageResult& r, const uint8_t* buffer, int64_t batch) -> Status {
    const auto found = tapped.find(r.value_name);
    if (found == tapped.end()) return {};
    constexpr auto kBytes = static_cast<int64_t>(sizeof(float));
    std::vector<int64_t> strides(r.strides, r.strides + r.rank);
    for (int64_t& s : strides) s /= kBytes;
    return observe(found->second, {reinterpret_cast<const float*>(buffer + r.offset), batch, r.item_stride / kBytes,
                                   std::span(r.dims, static_cast<size_t>(r.rank)), strides});
  };
  const std::vector<Tensor> tensors = CUPEL_TRY(code.run_viewed(inputs, view));
  std::set<ValueId> seen;
  for (size_t i = 0; i < outputs; ++i)
    if (seen.insert(graph.outputs()[i]).second) CUPEL_TRY(show(graph.outputs()[i], tensors[i]));
  return {};
}

Result<std::shared_ptr<ObservedModel>> compile_observed(const Graph& model, std::span<const ValueId> values,
                                                        CompileContext& context) {
  std::vector<ValueId> copied, tapped;
  for (const ValueId id : values) {
    const auto is_one_of = [&](const std::vector<ValueId>& ids) { return std::ranges::find(ids, id) != ids.end(); };
    if (!model.value(id).constant && !is_one_of(model.inputs()) && !is_one_of(model.outputs())) tapped.push_back(id);
  }
  const EmitTarget host = CUPEL_TRY(find_emit_target("host"));
  const auto lower = [&](const Graph& graph) {
    PassOptions silent;
    return lower_model(graph, "calibration", host, {.tapped_outputs = tapped.size()}, silent);
  };
  Graph graph = with_outputs(model, copied, tapped);
  Program program = CUPEL_TRY(lower(graph));
  // Views have no step of their own.
  const std::set<std::string_view> shown = shown_by_steps(program, graph);
  std::erase_if(tapped, [&](ValueId id) {
    if (shown.contains(model.value(id).name)) return false;
    copied.push_back(id);
    return true;
  });
  if (!copied.empty()) {
    graph = with_outputs(model, copied, tapped);
    program = CUPEL_TRY(lower(graph));
  }
  WorkerPool workers;
  const Bytes image = CUPEL_TRY(build_image(program, host, workers));
  auto code = CUPEL_TRY(CompiledModel::load(image, "calibration", context.threads.size()));
  auto observed = std::make_shared<ObservedModel>(
      ObservedModel{std::move(graph), std::move(code), model.outputs().size() + copied.size(), {}});
  for (const ValueId id : tapped) observed->tapped.emplace(observed->graph.value(id).name, id);
  return observed;
}

// The interpreter, which shows what compiled code would.
ObservedRun interpreted(const Graph& model, std::span<const ValueId> values, ThreadPool& threads) {
  std::set<ValueId> shown(values.begin(), values.end());
  shown.insert(model.inputs().begin(), model.inputs().end());
  shown.insert(model.outputs().begin(), model.outputs().end());
  const ObservedRun all = observed(model, interpreter(threads));
  return [shown, all](std::span<const Tensor> inputs, const Observe& observe) {
    return all(inputs, [&](ValueId id, const ElementRuns& elements) {
      return shown.contains(id) ? observe(id, elements) : Status();
    });
  };
}

}  // namespace

int64_t calibration_batch(const Graph& model, std::span<const ValueId> values, int64_t wanted) {
  int64_t bytes = 0;  // of one sample
  for (const ValueId id : values)
    if (const auto dims = bind_shape(model.type(id).shape, 1))
      bytes += byte_count(model.type(id).dtype, element_count(*dims));
  return std::clamp<int64_t>(kObservedBytes / std::max<int64_t>(bytes, 1), 1, wanted);
}

Result<ObservedRun> calibration_run(const Graph& model, std::span<const ValueId> values, int64_t samples,
                                    CompileContext& context) {
  ObservedRun run = interpreted(model, values, context.threads);
  if (samples > kMacsOfACompilation / std::max<int64_t>(cost_of(model).macs, 1)) {
    auto compiled = compile_observed(model, values, context);
    if (compiled)
      run = [code = *compiled](std::span<const Tensor> inputs, const Observe& observe) {
        return code->run(inputs, observe);
      };
    else if (compiled.error().kind != ErrorKind::unsupported)
      return std::unexpected(std::move(compiled).error());
  }
  return [run, all = observed(model, interpreter(context.threads))](std::span<const Tensor> inputs,
                                                                    const Observe& observe) {
    Status status = run(inputs, observe);
    if (status || status.error().kind != ErrorKind::bad_input) return status;
    Status again = all(inputs, observe);
    return again ? status : again;
  };
}

}  // namespace cupel
