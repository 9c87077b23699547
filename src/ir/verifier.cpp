#include "ir/verifier.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "base/file.h"

namespace cupel {
namespace {

class Verifier {
 public:
  explicit Verifier(const Graph& graph) : graph_(graph) {}

  Status verify() {
    CUPEL_TRY(structure());
    CUPEL_TRY(types());
    if (graph_.stage >= Stage::simplified) CUPEL_TRY(simplified());
    if (graph_.stage == Stage::quantized) CUPEL_TRY(quantized());
    if (graph_.stage >= Stage::integer) CUPEL_TRY(integer());
    if (graph_.stage == Stage::fused) CUPEL_TRY(fused());
    return {};
  }

 private:
  std::unexpected<Error> broken(const std::string& place, const std::string& rule) const {
    return internal_error(fmt::format("verifier, stage {}: {}", stage_name(graph_.stage), place), rule);
  }

  Status structure() {
    std::vector<bool> defined(graph_.values().size(), false);
    std::set<std::string_view> names;
    for (const Value& v : graph_.values())
      if (!names.insert(v.name).second) return broken("value " + printable(v.name), "the name is used twice");
    for (ValueId id : graph_.inputs()) defined[static_cast<size_t>(id.index)] = true;
    for (size_t i = 0; i < graph_.values().size(); ++i) {
      const Value& v = graph_.values()[i];
      if (!v.constant) continue;
      defined[i] = true;
      if (v.constant->dtype() != v.type.dtype || to_shape(v.constant->dims()) != v.type.shape)
        return broken("constant " + printable(v.name), "the tensor does not match its type");
    }
    for (const Node& node : graph_.nodes()) {
      for (ValueId id : node.inputs)
        if (id.valid() && !defined[static_cast<size_t>(id.index)])
          return broken(node_place(node),
                        fmt::format("operand %{} comes after its user", printable(graph_.value(id).name)));
      for (ValueId id : node.outputs) {
        if (defined[static_cast<size_t>(id.index)]) return broken(node_place(node), "a result has two producers");
        defined[static_cast<size_t>(id.index)] = true;
      }
      if (node.origin.empty()) return broken(node_place(node), "the node has no origin");
      if (!std::is_sorted(node.origin.begin(), node.origin.end()))
        return broken(node_place(node), "the origin is not sorted");
    }
    for (ValueId id : graph_.outputs())
      if (!defined[static_cast<size_t>(id.index)])
        return broken("output " + printable(graph_.value(id).name), "nothing computes it");
    return {};
  }

  Status types() {
    for (const Value& v : graph_.values())
      if (v.type.quant)
        if (Status s = check_quant_params(*v.type.quant, v.type.dtype, v.type.shape); !s)
          return broken("value " + printable(v.name), s.error().cause);
    Graph again;
    std::vector<ValueId> map(graph_.values().size());
    for (ValueId id : graph_.inputs())
      map[static_cast<size_t>(id.index)] = again.add_input(graph_.value(id).name, graph_.type(id));
    for (size_t i = 0; i < graph_.values().size(); ++i)
      if (const Value& v = graph_.values()[i]; v.constant)
        map[i] = again.add_constant(v.name, *v.constant, v.type.quant);
    for (const Node& node : graph_.nodes()) {
      std::vector<ValueId> inputs;
      std::vector<std::string> names;
      std::vector<TensorType> declared;
      for (ValueId id : node.inputs) inputs.push_back(id.valid() ? map[static_cast<size_t>(id.index)] : ValueId{});
      for (ValueId id : node.outputs) {
        names.push_back(graph_.value(id).name);
        declared.push_back(graph_.type(id));
      }
      const auto added = again.add_node(*node.op, node.name, std::move(inputs), node.attributes, std::move(names),
                                        node.origin, declared);
      if (!added) return broken(added.error().place, added.error().cause);
      for (size_t i = 0; i < node.outputs.size(); ++i) {
        const ValueId id = again.node(*added).outputs[i];
        map[static_cast<size_t>(node.outputs[i].index)] = id;
        if (!(again.type(id) == declared[i]))
          return broken(node_place(node), fmt::format("result {} is {}, inference gives {}", i, to_text(declared[i]),
                                                      to_text(again.type(id))));
      }
    }
    return {};
  }

  Status simplified() {
    std::set<std::string> symbols;
    for (const Value& v : graph_.values())
      for (size_t i = 0; i < v.type.shape.size(); ++i) {
        if (v.type.shape[i].is_constant()) continue;
        symbols.insert(v.type.shape[i].symbol);
        if (i != 0)
          return broken(
              "value " + printable(v.name),
              fmt::format("dimension {} of {} is symbolic; only the leading one may be", i, to_text(v.type.shape)));
      }
    if (symbols.size() > 1)
      return broken("graph", fmt::format("{} symbolic dimensions, expected at most one", symbols.size()));
    std::vector<bool> live(graph_.values().size(), false);
    for (ValueId id : graph_.outputs()) live[static_cast<size_t>(id.index)] = true;
    for (size_t n = graph_.nodes().size(); n-- > 0;) {
      const Node& node = graph_.nodes()[n];
      if (node.op->removed_by_simplify || !node.op->reference)
        return broken(node_place(node), "simplify must remove this op");
      if (std::none_of(node.outputs.begin(), node.outputs.end(),
                       [&](ValueId id) { return live[static_cast<size_t>(id.index)]; }))
        return broken(node_place(node), "no output needs the node");
      for (ValueId id : node.inputs)
        if (id.valid()) live[static_cast<size_t>(id.index)] = true;
    }
    return {};
  }

  Status quantized() {
    for (const Node& node : graph_.nodes())
      for (ValueId id : node.inputs)
        if (id.valid() && graph_.type(id).quant && node.op->conversion != Conversion::to_numbers &&
            node.op->quant_rule != QuantRule::same)
          return broken(node_place(node), "codes are read by an op other than DequantizeLinear and moves");
    return {};
  }

  Status integer() {
    for (const Node& node : graph_.nodes()) {
      const Conversion conversion = node.op->conversion;
      if (is_linear_conversion(*node.op)) return broken(node_place(node), "a Q/DQ node is left");
      const bool boundary = conversion == Conversion::to_numbers || conversion == Conversion::between_codes;
      for (ValueId id : node.inputs)
        if (id.valid() && graph_.type(id).quant && !boundary && node.op->quant_rule == QuantRule::none)
          return broken(node_place(node), "the op has no integer meaning");
    }
    return {};
  }

  // Forms that lowering knows (the pass kernel_forms).
  Status fused() {
    for (const Value& v : graph_.values())
      if (!v.constant && v.type.dtype == DType::s8 && v.type.quant && v.type.quant->per_tensor())
        return broken("value " + printable(v.name), "codes of activations are s8, expected u8");
    for (const Node& node : graph_.nodes())
      if (node.op->elements == Elements::windowed && graph_.type(node.inputs[0]).shape.size() == 3)
        return broken(node_place(node), "the window slides over one dimension, expected two");
    return {};
  }

  const Graph& graph_;
};

}  // namespace

Status verify_graph(const Graph& graph) { return Verifier(graph).verify(); }

}  // namespace cupel
