#include "ir/patch.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "base/file.h"

namespace cupel {

void Patch::begin_edit() { ++edit_index_; }

ValueId Patch::next_id() {
  ++edits_;
  return {static_cast<int32_t>(graph_.values().size()) + new_values_++};
}

void Patch::remove(NodeId id) {
  removed_.emplace_back(id, edit_index_);
  ++edits_;
}

void Patch::stands_for(NodeId id) { stands_for_.emplace_back(id, edit_index_); }

ValueId Patch::add_constant(std::string name, Tensor value, std::optional<QuantParams> quant) {
  const ValueId id = next_id();
  constants_.push_back({std::move(name), std::move(value), std::move(quant), id});
  return id;
}

ValueId Patch::add(std::string_view op, std::string name, std::vector<ValueId> inputs, Attributes attributes,
                   std::optional<TensorType> declared) {
  std::string output_name = name;
  return add_named(op, std::move(name), std::move(output_name), std::move(inputs), std::move(attributes),
                   std::move(declared));
}

ValueId Patch::add_named(std::string_view op, std::string name, std::string output_name, std::vector<ValueId> inputs,
                         Attributes attributes, std::optional<TensorType> declared) {
  std::vector<TensorType> types;
  if (declared) types.push_back(std::move(*declared));
  return add_multi(op, std::move(name), {std::move(output_name)}, std::move(inputs), std::move(attributes),
                   std::move(types))[0];
}

std::vector<ValueId> Patch::add_multi(std::string_view op, std::string name, std::vector<std::string> output_names,
                                      std::vector<ValueId> inputs, Attributes attributes,
                                      std::vector<TensorType> declared) {
  std::vector<ValueId> outputs;
  for (size_t i = 0; i < output_names.size(); ++i) outputs.push_back(next_id());
  nodes_.push_back({std::string(op), std::move(name), std::move(output_names), std::move(inputs), std::move(attributes),
                    std::move(declared), outputs, edit_index_});
  return outputs;
}

void Patch::replace(ValueId old, ValueId with) {
  replacements_.emplace_back(old, with);
  ++edits_;
}

void Patch::replace_operand(NodeId user, size_t index, ValueId with) {
  operands_.push_back({user, index, with});
  ++edits_;
}

namespace {

// A node of the result before ordering, over ids of the patch (old values, then new ones).
struct Draft {
  const OpDef* op;
  std::string name;
  std::vector<ValueId> inputs;
  std::vector<ValueId> outputs;
  std::vector<std::string> output_names;
  Attributes attributes;
  std::vector<std::string> origin;
  std::vector<TensorType> declared;
};

}  // namespace

Result<Graph> apply_patch(const Patch& patch) {
  const Graph& g = patch.graph_;
  const size_t id_count = g.values().size() + static_cast<size_t>(patch.new_values_);
  std::vector<int32_t> forward(id_count, -1);
  for (const auto& [old, with] : patch.replacements_) {
    int32_t& slot = forward[static_cast<size_t>(old.index)];
    if (slot >= 0 && slot != with.index)
      return internal_error("patch", fmt::format("%{} is replaced twice", g.value(old).name));
    slot = with.index;
  }
  const auto resolve = [&](ValueId id) -> Result<ValueId> {
    size_t hops = 0;
    while (id.valid() && forward[static_cast<size_t>(id.index)] >= 0) {
      id = {forward[static_cast<size_t>(id.index)]};
      if (++hops > id_count) return internal_error("patch", "replacements make a cycle");
    }
    return id;
  };

  std::map<size_t, std::set<std::string>> origins;
  std::vector<bool> removed(g.nodes().size(), false);
  for (const auto& [id, edit] : patch.removed_) {
    removed[static_cast<size_t>(id.index)] = true;
    origins[edit].insert(g.node(id).origin.begin(), g.node(id).origin.end());
  }
  for (const auto& [id, edit] : patch.stands_for_)
    origins[edit].insert(g.node(id).origin.begin(), g.node(id).origin.end());

  std::vector<Draft> drafts;
  std::vector<int32_t> producer(id_count, -1);
  const auto add_draft = [&](Draft draft) {
    for (ValueId id : draft.outputs) producer[static_cast<size_t>(id.index)] = static_cast<int32_t>(drafts.size());
    drafts.push_back(std::move(draft));
  };
  std::vector<size_t> draft_of_node(g.nodes().size(), SIZE_MAX);
  for (size_t n = 0; n < g.nodes().size(); ++n) {
    if (removed[n]) continue;
    const Node& node = g.nodes()[n];
    Draft d{node.op, node.name, node.inputs, node.outputs, {}, node.attributes, node.origin, {}};
    for (ValueId id : node.outputs) {
      d.output_names.push_back(g.value(id).name);
      d.declared.push_back(g.type(id));
    }
    draft_of_node[n] = drafts.size();
    add_draft(std::move(d));
  }
  for (const auto& n : patch.nodes_) {
    const OpDef* op = find_op(n.op);
    if (!op) return internal_error("patch", "unknown operator " + n.op);
    const auto origin = origins.find(n.edit);
    if (origin == origins.end()) return internal_error("patch", fmt::format("new node {} stands for nothing", n.name));
    add_draft({op,
               n.name,
               n.inputs,
               n.outputs,
               n.output_names,
               n.attributes,
               {origin->second.begin(), origin->second.end()},
               n.declared});
  }
  for (Draft& d : drafts)
    for (ValueId& id : d.inputs) id = CUPEL_TRY(resolve(id));
  for (const auto& edit : patch.operands_) {
    const size_t n = draft_of_node[static_cast<size_t>(edit.user.index)];
    if (n == SIZE_MAX) return internal_error("patch", "an operand of a removed node is replaced");
    if (edit.index >= drafts[n].inputs.size())
      return internal_error("patch", fmt::format("node {} has no operand {}", drafts[n].name, edit.index));
    drafts[n].inputs[edit.index] = CUPEL_TRY(resolve(edit.with));
  }

  // Nodes that an output needs, operands first, in the old order as far as it holds: depth first on an explicit stack.
  Graph out;
  out.name = g.name;
  out.stage = g.stage;
  out.opset = g.opset;
  std::vector<ValueId> map(id_count);
  for (ValueId id : g.inputs()) map[static_cast<size_t>(id.index)] = out.add_input(g.value(id).name, g.type(id));
  std::vector<ValueId> results;
  for (ValueId id : g.outputs()) results.push_back(CUPEL_TRY(resolve(id)));
  std::vector<uint8_t> needed(drafts.size(), 0);
  std::vector<int32_t> stack;
  const auto need = [&](ValueId id) {
    if (!id.valid()) return;
    const int32_t p = producer[static_cast<size_t>(id.index)];
    if (p >= 0 && !needed[static_cast<size_t>(p)]) {
      needed[static_cast<size_t>(p)] = 1;
      stack.push_back(p);
    }
  };
  for (ValueId id : results) need(id);
  while (!stack.empty()) {
    const int32_t d = stack.back();
    stack.pop_back();
    for (ValueId id : drafts[static_cast<size_t>(d)].inputs) need(id);
  }
  std::map<int32_t, const Patch::NewConstant*> new_constants;
  for (const auto& c : patch.constants_) new_constants.emplace(c.id.index, &c);
  const auto place_operand = [&](ValueId id) -> Status {
    const auto index = static_cast<size_t>(id.index);
    if (map[index].valid()) return {};
    if (index < g.values().size() && g.value(id).constant) {
      map[index] = out.add_constant(g.value(id).name, *g.value(id).constant, g.type(id).quant);
      return {};
    }
    const auto c = new_constants.find(id.index);
    if (c == new_constants.end()) return internal_error("patch", "a value that was removed is still read");
    map[index] = out.add_constant(c->second->name, c->second->value, c->second->quant);
    return {};
  };
  std::vector<uint8_t> state(drafts.size(), 0);  // 1: operands pending, 2: placed
  for (size_t start = 0; start < drafts.size(); ++start) {
    if (!needed[start] || state[start] == 2) continue;
    stack.push_back(static_cast<int32_t>(start));
    while (!stack.empty()) {
      const auto index = static_cast<size_t>(stack.back());
      Draft& d = drafts[index];
      if (state[index] == 2) {
        stack.pop_back();
        continue;
      }
      bool ready = true;
      for (ValueId id : d.inputs) {
        if (!id.valid()) continue;
        const int32_t p = producer[static_cast<size_t>(id.index)];
        if (p < 0 || state[static_cast<size_t>(p)] == 2) continue;
        if (state[static_cast<size_t>(p)] == 1)
          return internal_error("patch", fmt::format("node {} reads its own result", d.name));
        ready = false;
        state[index] = 1;
        stack.push_back(p);
        break;
      }
      if (!ready) continue;
      std::vector<ValueId> inputs;
      for (ValueId id : d.inputs) {
        if (id.valid()) {
          const auto slot = static_cast<size_t>(id.index);
          if (producer[slot] < 0) CUPEL_TRY(place_operand(id));
          inputs.push_back(map[slot]);
        } else {
          inputs.emplace_back();
        }
      }
      const NodeId added =
          CUPEL_TRY(out.add_node(*d.op, d.name, std::move(inputs), d.attributes, d.output_names, d.origin, d.declared));
      for (size_t i = 0; i < d.outputs.size(); ++i)
        map[static_cast<size_t>(d.outputs[i].index)] = out.node(added).outputs[i];
      state[index] = 2;
      stack.pop_back();
    }
  }
  for (size_t i = 0; i < results.size(); ++i) {
    const ValueId id = results[i];
    if (producer[static_cast<size_t>(id.index)] < 0) CUPEL_TRY(place_operand(id));
    const ValueId mapped = map[static_cast<size_t>(id.index)];
    const std::string& wanted = g.value(g.outputs()[i]).name;
    if (out.value(mapped).name != wanted) {
      // A graph output keeps its name; the value must be free to take it.
      const auto is_input = [&](ValueId v) {
        return std::find(out.inputs().begin(), out.inputs().end(), v) != out.inputs().end();
      };
      const auto holder = out.find_value(wanted);
      if (is_input(mapped) || out.is_output(mapped) || (holder && (is_input(*holder) || out.is_output(*holder))))
        return internal_error("patch", fmt::format("output %{} would lose its name to %{}", printable(wanted),
                                                   printable(out.value(mapped).name)));
      if (holder) out.rename_value(*holder, wanted + "_inner");
      out.rename_value(mapped, wanted);
    }
    out.add_output(mapped);
  }
  return out;
}

}  // namespace cupel
