#include "driver/calibration_run.h"

#include <algorithm>
#include <memory>
#include <set>

#include "assess/model_cost.h"
#include "reference/interpreter.h"

namespace cupel {
namespace {

// What the interpreter computes in about the time that compiling a network takes.
constexpr int64_t kMacsOfACompilation = 4'000'000'000;
constexpr int64_t kObservedBytes = int64_t{8} << 20;

// `model` with the values that compiled code has to give as outputs, its own first.
struct TappedModel {
  Graph graph;
  std::vector<ValueId> outputs;  // the same values as in the model
};

TappedModel tapped(const Graph& model, std::span<const ValueId> values) {
  TappedModel t{model, model.outputs()};
  const auto is_computed = [&](ValueId id) {
    return !model.value(id).constant && std::ranges::find(model.inputs(), id) == model.inputs().end();
  };
  for (const ValueId id : values) {
    if (!is_computed(id) || std::ranges::find(t.outputs, id) != t.outputs.end()) continue;
    t.graph.add_output(id);
    t.outputs.push_back(id);
  }
  return t;
}

// Compiled code; the tap sees inputs, then outputs in order of computation.
Result<RunGraph> compiled_run(const Graph& model, std::span<const ValueId> values, CompileContext& context) {
  auto t = std::make_shared<TappedModel>(tapped(model, values));
  RunGraph engine = CUPEL_TRY(make_engine(t->graph, "calibration", EngineKind::compiled, context.threads));
  std::vector<size_t> order;
  for (size_t i = 0; i < t->outputs.size(); ++i) order.push_back(i);
  std::ranges::sort(order, {}, [&](size_t i) { return t->outputs[i]; });
  return [t, order, engine, own = model.outputs().size()](const Graph&, std::span<const Tensor> inputs,
                                                          const Tap& tap) -> Result<std::vector<Tensor>> {
    std::vector<Tensor> outputs = CUPEL_TRY(engine(t->graph, inputs, {}));
    if (tap) {
      for (size_t i = 0; i < inputs.size(); ++i) CUPEL_TRY(tap(t->graph.inputs()[i], inputs[i]));
      for (size_t k = 0; k < order.size(); ++k)
        if (k == 0 || t->outputs[order[k]] != t->outputs[order[k - 1]])
          CUPEL_TRY(tap(t->outputs[order[k]], outputs[order[k]]));
    }
    outputs.resize(own);
    return outputs;
  };
}

// The interpreter, for a tap that sees what compiled code would show it.
RunGraph interpreted_run(const Graph& model, std::span<const ValueId> values, ThreadPool& threads) {
  std::set<ValueId> seen(values.begin(), values.end());
  seen.insert(model.inputs().begin(), model.inputs().end());
  seen.insert(model.outputs().begin(), model.outputs().end());
  return [seen, &threads](const Graph& graph, std::span<const Tensor> inputs, const Tap& tap) {
    return interpret(graph, inputs, threads, [&](ValueId id, const Tensor& t) -> Status {
      return tap && seen.contains(id) ? tap(id, t) : Status();
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

Result<RunGraph> calibration_run(const Graph& model, std::span<const ValueId> values, int64_t samples,
                                 CompileContext& context) {
  const auto choose = [&]() -> Result<RunGraph> {
    const int64_t macs = std::max<int64_t>(cost_of(model).macs, 1);
    if (samples <= kMacsOfACompilation / macs) return interpreted_run(model, values, context.threads);
    auto run = compiled_run(model, values, context);
    if (!run && run.error().code == ErrorCode::reference_runs_it)
      return interpreted_run(model, values, context.threads);
    return run;
  };
  RunGraph run = CUPEL_TRY(choose());
  return [run = std::move(run), &threads = context.threads](const Graph& graph, std::span<const Tensor> inputs,
                                                            const Tap& tap) {
    auto outputs = run(graph, inputs, tap);
    if (outputs || !tap || outputs.error().kind != ErrorKind::bad_input) return outputs;
    auto again = interpret(graph, inputs, threads, tap);
    return again ? outputs : again;
  };
}

}  // namespace cupel
