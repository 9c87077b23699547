#include "onnx/exporter.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/file.h"
#include "onnx/downgrade.h"
#include "onnx/upgrade.h"

namespace cupel {
namespace {

bool is_quantization(const Node& node) {
  return node.op->name == "QuantizeLinear" || node.op->name == "DequantizeLinear";
}

}  // namespace

Tensor tensor_of_codes(DType type, Dims dims, const std::vector<int32_t>& codes) {
  Tensor t(type, std::move(dims));
  std::byte* bytes = t.mutable_bytes().data();
  const int bits = dtype_bits(type);
  for (size_t i = 0; i < codes.size(); ++i) {
    const auto code = static_cast<uint32_t>(codes[i]);
    if (bits == 4) {
      bytes[i / 2] |= static_cast<std::byte>((code & 15) << (i % 2 * 4));
    } else {
      for (int b = 0; b < bits / 8; ++b)
        bytes[i * static_cast<size_t>(bits / 8) + static_cast<size_t>(b)] = static_cast<std::byte>(code >> (8 * b));
    }
  }
  return t;
}

Exporter::Exporter(const Graph& graph) : graph_(graph), producers_(graph.producers()) {
  for (const Value& v : graph.values()) {
    taken_.insert(v.name);
    if (v.constant) waiting_.emplace(v.name, *v.constant);
  }
  for (const Node& node : graph.nodes()) node_names_.insert(node.name);
}

const std::vector<Dim>* Exporter::known(const Node& node, size_t operand) const {
  if (operand >= node.inputs.size() || !node.inputs[operand].valid()) return nullptr;
  const Value& v = graph_.value(node.inputs[operand]);
  return v.constant && v.contents ? &*v.contents : nullptr;
}

std::string Exporter::free_name(const std::string& wanted, std::unordered_set<std::string>& taken,
                                std::unordered_map<std::string, int>& next_suffix) {
  std::string name = wanted;
  while (!taken.insert(name).second) name = fmt::format("{}_{}", wanted, ++next_suffix[wanted]);
  return name;
}

std::string Exporter::add_constant(const std::string& wanted, Tensor tensor) {
  std::string name = fresh(wanted);
  waiting_.emplace(name, std::move(tensor));
  return name;
}

void Exporter::add(NodeDraft node) {
  for (const std::string& name : node.inputs) {
    const auto found = waiting_.find(name);
    if (found == waiting_.end()) continue;
    file_.initializers.emplace_back(name, std::move(found->second));
    waiting_.erase(found);
  }
  while (!node.inputs.empty() && node.inputs.back().empty()) node.inputs.pop_back();
  file_.nodes.push_back(std::move(node));
}

std::string Exporter::add_part(std::string op, const NodeDraft& whole, const std::string& part,
                               std::vector<std::string> inputs, Attributes attributes) {
  const std::string wanted = fmt::format("{}_{}", whole.name, part), name = fresh_node(wanted);
  std::string result = fresh(wanted);
  add({std::move(op), name, std::move(inputs), {result}, std::move(attributes)});
  return result;
}

// Scale and zero point become constants named after the value in reals: x of QuantizeLinear(x), and of the
// DequantizeLinear that reads its codes; for other codes their own name.
void Exporter::spell_quantization(const Node& node, NodeDraft& draft) {
  const bool quantize = node.op->name == "QuantizeLinear";
  const QuantParams params = params_of(node.attributes);
  const DType type = graph_.type(quantize ? node.outputs[0] : node.inputs[0]).dtype;
  ValueId named = node.inputs[0];
  if (const NodeId producer = producers_[static_cast<size_t>(named.index)];
      !quantize && producer.valid() && graph_.node(producer).op->name == "QuantizeLinear")
    named = graph_.node(producer).inputs[0];
  const std::string& base = graph_.value(named).name;

  auto& known = written_[base];
  auto found =
      std::find_if(known.begin(), known.end(), [&](const Written& w) { return w.params == params && w.type == type; });
  if (found == known.end()) {
    const Dims dims = params.per_tensor() ? Dims{} : Dims{static_cast<int64_t>(params.scale.size())};
    Tensor zero = tensor_of_codes(type, dims, params.zero_point);
    known.push_back({params, type, add_constant(base + "_scale", Tensor::of<float>(dims, std::span(params.scale))),
                     add_constant(base + "_zero_point", std::move(zero))});
    found = known.end() - 1;
  }
  draft.inputs = {draft.inputs[0], found->scale, found->zero_point};
  draft.attributes.clear();
  if (!params.per_tensor()) draft.attributes.emplace("axis", params.axis);
}

Status Exporter::export_node(const Node& node) {
  const bool first = written_nodes_.insert(node.name).second;
  NodeDraft draft{std::string(node.op->name), first ? node.name : fresh_node(node.name), {}, {}, node.attributes};
  for (const ValueId id : node.inputs) draft.inputs.push_back(id.valid() ? graph_.value(id).name : "");
  for (const ValueId id : node.outputs) draft.outputs.push_back(graph_.value(id).name);
  const bool reads_codes = std::any_of(node.inputs.begin(), node.inputs.end(),
                                       [&](ValueId id) { return id.valid() && graph_.type(id).quant.has_value(); });
  const int since = node.op->codes_since_opset;
  if (reads_codes && !is_quantization(node) && (since == 0 || since > opset()))
    return unsupported("", "ONNX has no such operator on codes", "write the graph of stage quantized or before");
  if (is_quantization(node)) {
    spell_quantization(node, draft);
  } else if (node.op->since_opset == 0 || node.op->since_opset > opset()) {
    if (!has_spelling(node.op->name))
      return unsupported("", "ONNX has no such operator", "write the graph of an earlier stage");
    CUPEL_TRY(spell_out(*this, node, draft));
  } else {
    CUPEL_TRY(downgrade(*this, node, draft));
  }
  add(std::move(draft));
  return {};
}

Result<FileDraft> Exporter::run() {
  if (graph_.stage >= Stage::integer)
    return unsupported(fmt::format("graph {}", printable(graph_.name)),
                       fmt::format("stage {} has no ONNX form", stage_name(graph_.stage)),
                       "write the graph of stage quantized or before");
  file_.opset = std::max(graph_.opset, 13);
  for (const Node& node : graph_.nodes()) file_.opset = std::max(file_.opset, least_opset(graph_, node));
  for (const Node& node : graph_.nodes())
    if (Status status = export_node(node); !status)
      return std::unexpected(std::move(status).error().at_node(node.name, node_place(node)));
  for (const ValueId id : graph_.outputs()) {
    const auto found = waiting_.find(graph_.value(id).name);
    if (found == waiting_.end()) continue;
    file_.initializers.emplace_back(found->first, std::move(found->second));
    waiting_.erase(found);
  }
  return std::move(file_);
}

}  // namespace cupel
