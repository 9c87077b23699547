#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "assess/model_cost.h"
#include "base/file.h"
#include "tools/cupel/verb.h"

namespace cupel::cli {
namespace {

struct Flags {
  std::string model;
  bool explain = false;
};

struct NodeRow {
  std::string name, op, result, precision, reason;
  int64_t macs, weight_bytes;
};

std::string reason_of(const Model& model, const Node& node, const NodeCost& cost) {
  if (cost.precision == "INT8") return {};
  if (!model.is_quantized()) return "the model is a float model; `cupel quantize` makes it INT8";
  const auto found = model.kept_in_float.find(node.name);
  if (found != model.kept_in_float.end()) return found->second;
  if (node.op->name == "Quantize") return "turns numbers into codes";
  return node.op->quant_rule == QuantRule::none ? "the op has no integer meaning" : "its operands are not quantized";
}

Result<int> run(const Flags& flags, const CommonFlags& common) {
  Work work(common);
  const auto loaded = load_model(flags.model, work.context());
  if (work.finish()) return 0;
  if (!loaded) return std::unexpected(loaded.error());
  const Model& model = *loaded;
  const ModelCost cost = cost_of(model.program);
  std::vector<NodeRow> rows;
  size_t width = 4, op_width = 2, result_width = 6;
  for (size_t i = 0; i < model.program.nodes().size(); ++i) {
    const Node& node = model.program.nodes()[i];
    const TensorType& type = model.program.type(node.outputs[0]);
    rows.push_back({printable(node.name, 60), std::string(node.op->name),
                    std::string(dtype_name(type.dtype)) + to_text(type.shape), cost.nodes[i].precision,
                    reason_of(model, node, cost.nodes[i]), cost.nodes[i].macs, cost.nodes[i].weight_bytes});
    width = std::max(width, rows.back().name.size());
    op_width = std::max(op_width, rows.back().op.size());
    result_width = std::max(result_width, rows.back().result.size());
  }
  if (common.json != "-") {
    std::string text =
        fmt::format("{:<{}}  {:<{}}  {:<{}}  {:<9}  {:>13}  {:>12}{}\n", "node", width, "op", op_width, "result",
                    result_width, "precision", "multiply-adds", "weight bytes", flags.explain ? "  reason" : "");
    for (const NodeRow& r : rows)
      text += fmt::format("{:<{}}  {:<{}}  {:<{}}  {:<9}  {:>13}  {:>12}{}\n", r.name, width, r.op, op_width, r.result,
                          result_width, r.precision, r.macs, r.weight_bytes,
                          flags.explain && !r.reason.empty() ? "  " + r.reason : "");
    text += fmt::format(
        "\n{}: {} nodes, {} parameters, {} multiply-adds and {} bit operations a sample, {} weight bytes, file {} "
        "bytes, opset {}\n",
        printable(flags.model), rows.size(), cost.parameters, cost.macs, cost.bit_operations, cost.weight_bytes,
        model.file_bytes, model.source.opset);
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
  json["nodes"] = nlohmann::ordered_json::array();
  for (const NodeRow& r : rows)
    json["nodes"].push_back({{"name", r.name},
                             {"op", r.op},
                             {"result", r.result},
                             {"precision", r.precision},
                             {"macs_per_sample", r.macs},
                             {"weights_bytes", r.weight_bytes},
                             {"reason", r.reason}});
  CUPEL_TRY(write_json(common, json.dump(2) + "\n"));
  return 0;
}

}  // namespace

Run setup_inspect(CLI::App& command) {
  auto flags = std::make_shared<Flags>();
  command.add_option("MODEL", flags->model, "Model (.onnx)")->required();
  command.add_flag("--explain", flags->explain, "Say why a node is not INT8");
  return [flags](const CommonFlags& common) { return run(*flags, common); };
}

}  // namespace cupel::cli
