#include "lower/lower.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "base/file.h"
#include "kernel/memory_plan.h"
#include "lower/op_lowerings.h"
#include "passes/pass.h"
#include "runtime/floating_point.h"

namespace cupel {
namespace {

// Q/DQ nodes are told as ops on codes first (pass integerize).
Status refuse_linear_conversions(const Graph& graph) {
  for (const Node& node : graph.nodes())
    if (is_linear_conversion(*node.op))
      return not_compiled(node_place(node), fmt::format("{} has no compiled form yet", node.op->name));
  return {};
}

// Kernels address bytes.
Status refuse_tensors(const Graph& graph) {
  for (const Value& v : graph.values())
    if (!v.constant && dtype_bits(v.type.dtype) < 8)
      return not_compiled("value " + printable(v.name),
                          fmt::format("elements of type {} have no compiled form", dtype_name(v.type.dtype)));
  return {};
}

// Sizes that code can be made for, before any is.
Status check_sizes(const Program& program) {
  for (const Buffer& buffer : program.buffers)
    if (buffer.item_bytes > kMostBufferBytes)
      return resource_error("value " + printable(buffer.name),
                            fmt::format("it takes {} bytes for one batch item; the limit of a buffer is {} bytes",
                                        buffer.item_bytes, kMostBufferBytes),
                            "compile a smaller model, or one of smaller inputs");
  for (const Step& step : program.steps)
    if (units_per_item(step.kernel) > kMostUnits)
      return resource_error("kernel " + step.name,
                            fmt::format("it has {} units of work for one batch item; the limit is {}",
                                        units_per_item(step.kernel), kMostUnits),
                            "compile a smaller model, or one of smaller inputs");
  for (const Step& step : program.steps) {
    // A call says itself what it takes.
    const bool is_call = std::holds_alternative<CallSpec>(step.kernel.spec);
    for (const Access* access : accesses_of(step.kernel.spec))
      if (!is_call && !is_computed(access->dtype))
        return not_compiled(
            "kernel " + step.name,
            fmt::format("for node {}: elements of type {} have no compiled form",
                        printable(fmt::format("{}", fmt::join(step.origins, ", "))), dtype_name(access->dtype)));
    const Status status = check_kernel(step.kernel);
    if (status) continue;
    if (status.error().kind != ErrorKind::resource) return internal_error("kernel " + step.name, status.error().cause);
    return resource_error("kernel " + step.name,
                          fmt::format("for node {}: {}", printable(fmt::format("{}", fmt::join(step.origins, ", "))),
                                      status.error().cause),
                          "compile a smaller model, or run it with --engine reference");
  }
  return {};
}

Status place_inputs(Lowering& l) {
  if (const Dim& size = l.facts.batch.size; size.is_constant()) l.steps.fix_batch(size.factor);
  for (size_t i = 0; i < l.graph.inputs().size(); ++i) {
    const ValueId id = l.graph.inputs()[i];
    const Value& v = l.graph.value(id);
    const Dims dims = CUPEL_TRY(l.facts.item_dims(id));
    // Codes that the caller gives as s8 are kept as u8.
    const TensorType& given = l.source.type(l.source.inputs()[i]);
    const int64_t elem = element_bytes(v.type.dtype);
    Placed place;
    place.layout = {.buffer = l.steps.add_input({.name = v.name, .type = given, .batched = l.facts.is_batched(id)},
                                                element_count(dims) * elem),
                    .dtype = stored_type(given.dtype),
                    .dims = dims,
                    .strides = dense_strides(dims, elem)};
    l.places.set(id, given.dtype == v.type.dtype ? place : CUPEL_TRY(l.places.shifted(id, place)));
  }
  return {};
}

std::set<std::string> origins_of_producer(const Graph& graph, ValueId v) {
  for (const Node& node : graph.nodes())
    if (std::find(node.outputs.begin(), node.outputs.end(), v) != node.outputs.end()) return origins_of(node);
  return {};
}

Status copy_outputs(Lowering& l, size_t count) {
  for (size_t i = 0; i < count; ++i) {
    const ValueId id = l.graph.outputs()[i];
    const Value& v = l.graph.value(id);
    const ValueLayout from = CUPEL_TRY(l.places.at(id)).layout;
    const TensorType& wanted = l.source.type(l.source.outputs()[i]);
    const int64_t elem = element_bytes(v.type.dtype);
    ValueLayout to{.dtype = stored_type(wanted.dtype), .dims = from.dims, .strides = dense_strides(from.dims, elem)};
    // What is empty for every item lies like a constant, and has a batch all the same.
    const bool batched = !is_static(wanted.shape) || l.facts.is_batched(id);
    to.buffer =
        l.steps.add_output({.name = v.name, .type = wanted, .batched = batched}, element_count(from.dims) * elem);
    MapSpec spec;
    spec.space = from.dims.empty() ? Dims{1} : from.dims;
    Access read = l.steps.first_element(from);
    read.dtype = stored_type(v.type.dtype);
    read.strides = from.strides;
    read.strides.resize(spec.space.size(), 0);
    spec.operands = {std::move(read)};
    spec.out = l.steps.first_element(to);
    spec.out.strides = to.strides;
    spec.out.strides.resize(spec.space.size(), elem);
    ExprBuilder b;
    const Scalar x = b.operand(0, stored_type(v.type.dtype));
    spec.value = b.finish(wanted.dtype == v.type.dtype ? x : x - Scalar(128));
    l.steps.add_unnamed({std::move(spec), MapSchedule{}}, {to.buffer, from.buffer}, origins_of_producer(l.graph, id));
  }
  return {};
}

Status lower_nodes(Lowering& l) {
  for (size_t n = 0; n < l.graph.nodes().size(); ++n) {
    const NodeId id{static_cast<int32_t>(n)};
    if (l.facts.is_taken(id)) continue;
    if (Status status = lower_node(l, id); !status) {
      if (!status.error().node.empty()) return std::unexpected(std::move(status).error());
      const Node& node = l.graph.node(id);
      return std::unexpected(std::move(status).error().at_node(node.name, node_place(node)));
    }
  }
  return {};
}

// Decisions are about the nodes of `source`: those that give the same values, whose names are unique. What is said of a
// node that only a form has is dropped.
std::vector<FusionDecision> decisions_about(const Graph& source, const Graph& forms,
                                            std::vector<FusionDecision> decisions) {
  const auto producers = source.producers();
  const auto same = [&](NodeId id) {
    const auto value = source.find_value(forms.value(forms.node(id).outputs[0]).name);
    return value ? producers[static_cast<size_t>(value->index)] : NodeId{};
  };
  std::vector<FusionDecision> kept;
  for (FusionDecision& decision : decisions) {
    decision.node = same(decision.node);
    decision.kernel = same(decision.kernel);
    if (decision.node.valid() && decision.kernel.valid()) kept.push_back(std::move(decision));
  }
  return kept;
}

// What a run repeats is `batch`.
Result<Lowered> lower_items(const Graph& graph, const Graph& forms, const std::string& model, const LowerTarget& target,
                            const LowerOptions& options, const Batch& batch) {
  Lowering l(forms, graph, model, target, options, batch);
  CUPEL_TRY(place_inputs(l));
  CUPEL_TRY(lower_nodes(l));
  CUPEL_TRY(copy_outputs(l, graph.outputs().size() - options.tapped_outputs));
  CUPEL_TRY(check_sizes(l.steps.program()));
  Lowered lowered{.program = l.steps.take(), .decisions = decisions_about(graph, forms, l.absorption.take_decisions())};
  plan_memory(lowered.program);
  return lowered;
}

}  // namespace

Result<Lowered> lower_graph(const Graph& graph, std::string model, const LowerTarget& target, LowerOptions options,
                            PassOptions* passes) {
  const NetworkArithmetic arithmetic;  // of tables of codes and multipliers
  CUPEL_TRY(refuse_linear_conversions(graph));
  constexpr std::string_view kForms[] = {"kernel_forms"};
  ThreadPool one(1);
  PassOptions silent;
  const Graph forms = CUPEL_TRY(run_passes(graph, kForms, {one}, passes ? *passes : silent));
  if (passes && passes->stopped) return Lowered();
  CUPEL_TRY(refuse_tensors(forms));
  const Batch batch = batch_of(forms);
  auto lowered = lower_items(graph, forms, model, target, options, batch);
  // A constant size that leads every value need not be a batch; what is refused then too is refused for its own reason.
  if (!lowered && lowered.error().code == ErrorCode::reference_runs_it && batch.size.is_constant() && batch.leads)
    return lower_items(graph, forms, model, target, options, Batch());
  return lowered;
}

}  // namespace cupel
