#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "assess/model_cost.h"
#include "base/file.h"
#include "driver/op_support.h"
#include "lower/node_kernels.h"
#include "tools/cupel/verb.h"

namespace cupel::cli {
namespace {

struct Flags {
  std::string model, target = "host";
  bool explain = false, ops = false;
  BindingFlags bindings;
};

struct NodeRow {
  std::string name, op, result, precision, reason;
  int64_t macs, weight_bytes;
  std::string kernel, fusion;  // for people; --explain alone
};

// The kernels of a model's nodes on a target, or why there are none.
struct Kernels {
  std::string target;
  std::vector<NodeKernel> nodes;
  size_t steps = 0;
  std::optional<Error> unsupported;
  size_t unsupported_node = SIZE_MAX;  // the first node of that error, where it names one
};

Result<Kernels> kernels_of(const Graph& program, const std::string& model, const std::string& target_name) {
  Kernels kernels;
  kernels.target = target_name;
  auto target = find_emit_target(target_name);
  if (!target && target_name != "host") return std::unexpected(std::move(target).error());
  if (!target) {
    kernels.unsupported = std::move(target).error();
    return kernels;
  }
  kernels.target = target->name;
  auto lowered = lower_graph(program, model, lower_target(*target));
  if (lowered) {
    kernels.nodes = node_kernels(program, *lowered);
    kernels.steps = lowered->program.steps.size();
    return kernels;
  }
  if (lowered.error().kind == ErrorKind::internal) return std::unexpected(std::move(lowered).error());
  kernels.unsupported = std::move(lowered).error();
  for (size_t i = program.nodes().size(); i-- > 0;)
    if (kernels.unsupported->node == program.nodes()[i].name) kernels.unsupported_node = i;
  return kernels;
}

int64_t fused_nodes(const Kernels& kernels) {
  return std::count_if(kernels.nodes.begin(), kernels.nodes.end(),
                       [](const NodeKernel& k) { return k.joined.valid(); });
}

// What --explain says of a node's kernel.
void explain(NodeRow& row, size_t i, const Kernels& kernels, const Graph& program) {
  const auto name = [&](NodeId id) { return printable(program.node(id).name, 60); };
  if (kernels.unsupported) {
    row.kernel = "-";
    if (i == kernels.unsupported_node) row.fusion = "not compiled: " + kernels.unsupported->cause;
    return;
  }
  const NodeKernel& k = kernels.nodes[i];
  row.kernel = k.step.empty() ? "none" : k.step;
  if (k.joined.valid()) {
    row.fusion = "fused with " + name(k.joined);
    return;
  }
  if (k.step.empty()) row.fusion = "its result is a view of its operand";
  for (const FusionDecision& refused : k.refused)
    row.fusion +=
        fmt::format("{}not fused with {}: {}", row.fusion.empty() ? "" : "; ", name(refused.kernel), refused.reason);
}

std::string reason_of(const Model& model, const Node& node, const NodeCost& cost) {
  if (cost.precision == "INT8") return {};
  if (!model.is_quantized()) return "the model is a float model; `cupel quantize` makes it INT8";
  const auto found = model.kept_in_float.find(node.name);
  if (found != model.kept_in_float.end()) return found->second;
  if (node.op->conversion == Conversion::to_codes) return "turns numbers into codes";
  return node.op->quant_rule == QuantRule::none ? "the op has no integer meaning" : "its operands are not quantized";
}

nlohmann::ordered_json native_code_json(const Kernels& kernels, const Graph& program) {
  nlohmann::ordered_json json = {{"target", kernels.target}};
  if (!kernels.unsupported) {
    json["kernel_calls"] = kernels.steps;
    json["fused_nodes"] = fused_nodes(kernels);
    return json;
  }
  json["unsupported"] = {{"node", nullptr}, {"message", kernels.unsupported->message()}};
  if (kernels.unsupported_node < program.nodes().size())
    json["unsupported"]["node"] = printable(program.nodes()[kernels.unsupported_node].name);
  return json;
}

void add_kernel(nlohmann::ordered_json& row, const NodeKernel& kernel, const Graph& program) {
  const auto name = [&](NodeId id) { return printable(program.node(id).name); };
  row["kernel"] = kernel.step.empty() ? nlohmann::ordered_json() : nlohmann::ordered_json(kernel.step);
  row["fused_with"] = kernel.joined.valid() ? nlohmann::ordered_json(name(kernel.joined)) : nlohmann::ordered_json();
  row["not_fused_with"] = nlohmann::ordered_json::array();
  for (const FusionDecision& refused : kernel.refused)
    row["not_fused_with"].push_back({{"node", name(refused.kernel)}, {"reason", refused.reason}});
}

// The table of operators, without a model.
Result<int> list_ops(const CommonFlags& common) {
  const std::vector<OpSupport> rows = op_support();
  if (common.json != "-") print(op_support_text(rows));
  nlohmann::ordered_json json;
  json["ops"] = nlohmann::ordered_json::array();
  for (const OpSupport& row : rows)
    json["ops"].push_back({{"name", row.name},
                           {"since_opset", row.since_opset},
                           {"types", row.types},
                           {"compiled", row.compiled},
                           {"quantized", row.quantized}});
  CUPEL_TRY(write_json(common, json.dump(2) + "\n"));
  return 0;
}

Result<int> run(const Flags& flags, const CommonFlags& common) {
  if (flags.ops) return list_ops(common);
  if (flags.model.empty())
    return usage_error("cupel inspect", "MODEL is required", "`cupel inspect --help` lists its arguments");
  if (names_compiled_model(flags.model)) {
    const bool passes = !common.stop_after.empty() || !common.dump_ir.empty();
    const BindingFlags& sizes = flags.bindings;
    if (flags.explain || passes || !sizes.dims.empty() || !sizes.shapes.empty() || !sizes.values.empty())
      return usage_error(printable(flags.model), "it is compiled: it has no nodes, and its sizes are settled",
                         "leave the flags away, or name the .onnx file");
    return inspect_code(flags.model, common);
  }
  Work work(common);
  work.context().bindings = CUPEL_TRY(bindings_of(flags.bindings));
  const auto loaded = load_model(flags.model, work.context());
  if (work.finish()) return 0;
  if (!loaded) return std::unexpected(loaded.error());
  const Model& model = *loaded;
  const ModelCost cost = cost_of(model.program);
  std::vector<NodeRow> rows;
  std::optional<Kernels> kernels;
  if (flags.explain) {
    auto found = kernels_of(model.program, model.path.stem().string(), flags.target);
    if (!found) return std::unexpected(std::move(found).error().within(printable(flags.model)));
    kernels = std::move(*found);
  }
  size_t width = 4, op_width = 2, result_width = 6, kernel_width = 6;
  for (size_t i = 0; i < model.program.nodes().size(); ++i) {
    const Node& node = model.program.nodes()[i];
    const TensorType& type = model.program.type(node.outputs[0]);
    rows.push_back({printable(node.name, 60), std::string(node.op->name),
                    std::string(dtype_name(type.dtype)) + to_text(type.shape), cost.nodes[i].precision,
                    reason_of(model, node, cost.nodes[i]), cost.nodes[i].macs, cost.nodes[i].weight_bytes});
    if (kernels) explain(rows.back(), i, *kernels, model.program);
    width = std::max(width, rows.back().name.size());
    kernel_width = std::max(kernel_width, rows.back().kernel.size());
    op_width = std::max(op_width, rows.back().op.size());
    result_width = std::max(result_width, rows.back().result.size());
  }
  if (common.json != "-") {
    std::string text = fmt::format("{:<{}}  {:<{}}  {:<{}}  {:<9}  {:>13}  {:>12}{}\n", "node", width, "op", op_width,
                                   "result", result_width, "precision", "multiply-adds", "weight bytes",
                                   kernels ? fmt::format("  {:<{}}  reason", "kernel", kernel_width) : "");
    for (const NodeRow& r : rows) {
      const std::string reasons = r.reason + (r.reason.empty() || r.fusion.empty() ? "" : "; ") + r.fusion;
      std::string explained = kernels ? fmt::format("  {:<{}}  {}", r.kernel, kernel_width, reasons) : "";
      explained.erase(explained.find_last_not_of(' ') + 1);
      text += fmt::format("{:<{}}  {:<{}}  {:<{}}  {:<9}  {:>13}  {:>12}{}\n", r.name, width, r.op, op_width, r.result,
                          result_width, r.precision, r.macs, r.weight_bytes, explained);
    }
    text += fmt::format(
        "\n{}: {} nodes, {} parameters, {} multiply-adds and {} bit operations a sample, {} weight bytes, file {} "
        "bytes, opset {}\n",
        printable(flags.model), rows.size(), cost.parameters, cost.macs, cost.bit_operations, cost.weight_bytes,
        model.file_bytes, model.source.opset);
    if (kernels && kernels->unsupported)
      text += fmt::format("no native code for {}: {}\n", kernels->target, kernels->unsupported->message());
    else if (kernels)
      text += fmt::format("native code for {}: {} kernel calls, {} of {} nodes fused with another\n", kernels->target,
                          kernels->steps, fused_nodes(*kernels), rows.size());
    print(text);
  }
  nlohmann::ordered_json json;
  json["path"] = printable(flags.model, 4096);
  json["sha256"] = model.sha256;
  json["opset"] = model.source.opset;
  json["file_bytes"] = model.file_bytes;
  json["weights_bytes"] = cost.weight_bytes;
  json["parameters"] = cost.parameters;
  json["macs_per_sample"] = cost.macs;
  json["bit_operations_per_sample"] = cost.bit_operations;
  if (kernels) json["native_code"] = native_code_json(*kernels, model.program);
  json["nodes"] = nlohmann::ordered_json::array();
  for (size_t i = 0; i < rows.size(); ++i) {
    const NodeRow& r = rows[i];
    json["nodes"].push_back({{"name", r.name},
                             {"op", r.op},
                             {"result", r.result},
                             {"precision", r.precision},
                             {"macs_per_sample", r.macs},
                             {"weights_bytes", r.weight_bytes},
                             {"reason", r.reason}});
    if (kernels && !kernels->unsupported) add_kernel(json["nodes"].back(), kernels->nodes[i], model.program);
  }
  CUPEL_TRY(write_json(common, json.dump(2) + "\n"));
  return 0;
}

}  // namespace

Run setup_inspect(CLI::App& command) {
  auto flags = std::make_shared<Flags>();
  CLI::Option* model = command.add_option("MODEL", flags->model, "Model (.onnx), or what `cupel compile` wrote (.so)");
  command.add_flag("--ops", flags->ops, "List the operators that Cupel knows, and what it can do with each; no model")
      ->excludes(model);
  command.add_flag("--explain", flags->explain,
                   "Say why a node is not INT8, which kernel computes it, and why it is not fused with another");
  command.add_option("--target", flags->target, "What --explain compiles for; as for cupel compile")
      ->capture_default_str();
  add_bindings(command, flags->bindings);
  return [flags](const CommonFlags& common) { return run(*flags, common); };
}

}  // namespace cupel::cli
