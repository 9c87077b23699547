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

ValueId Patch::add(const OpDef& op, std::string name, std::vector<ValueId> inputs, Attributes attributes,
                   std::optional<TensorType> declared) {
  std::string output_name = name;
  return add_named(op, std::move(name), std::move(output_name), std::move(inputs), std::move(attributes),
                   std::move(declared));
}

ValueId Patch::add_named(const OpDef& op, std::string name, std::string output_name, std::vector<ValueId> inputs,
                         Attributes attributes, std::optional<TensorType> declared) {
  std::vector<TensorType> types;
  if (declared) types.push_back(std::move(*declared));
  return add_multi(op, std::move(name), {std::move(output_name)}, std::move(inputs), std::move(attributes),
                   std::move(types))[0];
}

std::vector<ValueId> Patch::add_multi(const OpDef& op, std::string name, std::vector<std::string> output_names,
                                      std::vector<ValueId> inputs, Attributes attributes,
                                      std::vector<TensorType> declared) {
  std::vector<ValueId> outputs;
  for (size_t i = 0; i < output_names.size(); ++i) outputs.push_back(next_id());
  nodes_.push_back({&op, std::move(name), std::move(output_names), std::move(inputs), std::move(attributes),
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

// The patched graph in the making: drafts of its nodes over ids of the patch (old values, then new ones), then these in
// an order where operands come first.
class PatchedGraph {
 public:
  explicit PatchedGraph(const Patch& patch)
      : patch_(patch),
        g_(patch.graph_),
        id_count_(g_.values().size() + static_cast<size_t>(patch.new_values_)),
        forward_(id_count_, -1),
        producer_(id_count_, -1),
        map_(id_count_) {
    for (const auto& c : patch.constants_) new_constants_.emplace(c.id.index, &c);
  }

  Result<Graph> build() {
    CUPEL_TRY(note_replacements());
    CUPEL_TRY(draft_nodes());
    CUPEL_TRY(resolve_operands());
    std::vector<ValueId> results;
    for (ValueId id : g_.outputs()) results.push_back(CUPEL_TRY(resolve(id)));
    mark_needed(results);
    out_.name = g_.name;
    out_.stage = g_.stage;
    out_.opset = g_.opset;
    for (ValueId id : g_.inputs()) mapped(id) = out_.add_input(g_.value(id).name, g_.type(id));
    for (size_t start = 0; start < drafts_.size(); ++start) CUPEL_TRY(place_with_operands(start));
    for (size_t i = 0; i < results.size(); ++i) CUPEL_TRY(add_output(results[i], g_.value(g_.outputs()[i]).name));
    return std::move(out_);
  }

 private:
  struct Draft {
    const OpDef* op;
    std::string name;
    std::vector<ValueId> inputs;
    std::vector<ValueId> outputs;
    std::vector<std::string> output_names = {};
    Attributes attributes = {};
    std::vector<std::string> origin = {};
    std::vector<TensorType> declared = {};
    bool needed = false;
    enum { untouched, operands_pending, placed } state = untouched;
  };

  ValueId& mapped(ValueId id) { return map_[static_cast<size_t>(id.index)]; }
  // The draft that computes the value; −1: none.
  int32_t producer(ValueId id) const { return id.valid() ? producer_[static_cast<size_t>(id.index)] : -1; }
  Draft& draft(int32_t index) { return drafts_[static_cast<size_t>(index)]; }

  Status note_replacements() {
    for (const auto& [old, with] : patch_.replacements_) {
      int32_t& slot = forward_[static_cast<size_t>(old.index)];
      if (slot >= 0 && slot != with.index)
        return internal_error("patch", fmt::format("%{} is replaced twice", g_.value(old).name));
      slot = with.index;
    }
    return {};
  }

  // What stands for a value after all replacements.
  Result<ValueId> resolve(ValueId id) const {
    size_t hops = 0;
    while (id.valid() && forward_[static_cast<size_t>(id.index)] >= 0) {
      id = {forward_[static_cast<size_t>(id.index)]};
      if (++hops > id_count_) return internal_error("patch", "replacements make a cycle");
    }
    return id;
  }

  void add_draft(Draft d) {
    for (ValueId id : d.outputs) producer_[static_cast<size_t>(id.index)] = static_cast<int32_t>(drafts_.size());
    drafts_.push_back(std::move(d));
  }

  // The nodes that stay, then the new ones with the origins of their edits.
  Status draft_nodes() {
    std::map<size_t, std::set<std::string>> origins;
    std::vector<bool> removed(g_.nodes().size(), false);
    for (const auto& [id, edit] : patch_.removed_) {
      removed[static_cast<size_t>(id.index)] = true;
      origins[edit].insert(g_.node(id).origin.begin(), g_.node(id).origin.end());
    }
    for (const auto& [id, edit] : patch_.stands_for_)
      origins[edit].insert(g_.node(id).origin.begin(), g_.node(id).origin.end());
    draft_of_node_.assign(g_.nodes().size(), -1);
    for (size_t n = 0; n < g_.nodes().size(); ++n) {
      if (removed[n]) continue;
      const Node& node = g_.nodes()[n];
      Draft d{.op = node.op,
              .name = node.name,
              .inputs = node.inputs,
              .outputs = node.outputs,
              .attributes = node.attributes,
              .origin = node.origin};
      for (ValueId id : node.outputs) {
        d.output_names.push_back(g_.value(id).name);
        d.declared.push_back(g_.type(id));
      }
      draft_of_node_[n] = static_cast<int32_t>(drafts_.size());
      add_draft(std::move(d));
    }
    for (const auto& n : patch_.nodes_) {
      const auto origin = origins.find(n.edit);
      if (origin == origins.end())
        return internal_error("patch", fmt::format("new node {} stands for nothing", n.name));
      add_draft({.op = n.op,
                 .name = n.name,
                 .inputs = n.inputs,
                 .outputs = n.outputs,
                 .output_names = n.output_names,
                 .attributes = n.attributes,
                 .origin = {origin->second.begin(), origin->second.end()},
                 .declared = n.declared});
    }
    return {};
  }

  Status resolve_operands() {
    for (Draft& d : drafts_)
      for (ValueId& id : d.inputs) id = CUPEL_TRY(resolve(id));
    for (const auto& edit : patch_.operands_) {
      const int32_t n = draft_of_node_[static_cast<size_t>(edit.user.index)];
      if (n < 0) return internal_error("patch", "an operand of a removed node is replaced");
      if (edit.index >= draft(n).inputs.size())
        return internal_error("patch", fmt::format("node {} has no operand {}", draft(n).name, edit.index));
      draft(n).inputs[edit.index] = CUPEL_TRY(resolve(edit.with));
    }
    return {};
  }

  void mark_needed(const std::vector<ValueId>& results) {
    std::vector<int32_t> stack;
    const auto need = [&](ValueId id) {
      const int32_t p = producer(id);
      if (p < 0 || draft(p).needed) return;
      draft(p).needed = true;
      stack.push_back(p);
    };
    for (ValueId id : results) need(id);
    while (!stack.empty()) {
      const int32_t d = stack.back();
      stack.pop_back();
      for (ValueId id : draft(d).inputs) need(id);
    }
  }

  // A constant that no draft computes, old or new.
  Status place_constant(ValueId id) {
    if (mapped(id).valid()) return {};
    if (static_cast<size_t>(id.index) < g_.values().size() && g_.value(id).constant) {
      mapped(id) = out_.add_constant(g_.value(id).name, *g_.value(id).constant, g_.type(id).quant);
      return {};
    }
    const auto c = new_constants_.find(id.index);
    if (c == new_constants_.end()) return internal_error("patch", "a value that was removed is still read");
    mapped(id) = out_.add_constant(c->second->name, c->second->value, c->second->quant);
    return {};
  }

  Status place(Draft& d) {
    std::vector<ValueId> inputs;
    for (ValueId id : d.inputs) {
      if (id.valid() && producer(id) < 0) CUPEL_TRY(place_constant(id));
      inputs.push_back(id.valid() ? mapped(id) : ValueId{});
    }
    const NodeId added =
        CUPEL_TRY(out_.add_node(*d.op, d.name, std::move(inputs), d.attributes, d.output_names, d.origin, d.declared));
    for (size_t i = 0; i < d.outputs.size(); ++i) mapped(d.outputs[i]) = out_.node(added).outputs[i];
    d.state = Draft::placed;
    return {};
  }

  // The draft behind all that it reads, which keeps the old order as far as it holds: depth first on an explicit stack.
  Status place_with_operands(size_t start) {
    if (!drafts_[start].needed || drafts_[start].state == Draft::placed) return {};
    std::vector<int32_t> stack = {static_cast<int32_t>(start)};
    while (!stack.empty()) {
      Draft& d = draft(stack.back());
      if (d.state == Draft::placed) {
        stack.pop_back();
        continue;
      }
      int32_t missing = -1;  // the first operand that is not placed
      for (ValueId id : d.inputs)
        if (const int32_t p = producer(id); missing < 0 && p >= 0 && draft(p).state != Draft::placed) missing = p;
      if (missing < 0) {
        CUPEL_TRY(place(d));
        stack.pop_back();
        continue;
      }
      if (draft(missing).state == Draft::operands_pending)
        return internal_error("patch", fmt::format("node {} reads its own result", d.name));
      d.state = Draft::operands_pending;
      stack.push_back(missing);
    }
    return {};
  }

  // A graph output keeps its name; the value must be free to take it.
  Status add_output(ValueId id, const std::string& wanted) {
    if (producer(id) < 0) CUPEL_TRY(place_constant(id));
    const ValueId value = mapped(id);
    if (out_.value(value).name != wanted) {
      const auto is_input = [&](ValueId v) {
        return std::find(out_.inputs().begin(), out_.inputs().end(), v) != out_.inputs().end();
      };
      const auto holder = out_.find_value(wanted);
      if (is_input(value) || out_.is_output(value) || (holder && (is_input(*holder) || out_.is_output(*holder))))
        return internal_error("patch", fmt::format("output %{} would lose its name to %{}", printable(wanted),
                                                   printable(out_.value(value).name)));
      if (holder) out_.rename_value(*holder, wanted + "_inner");
      out_.rename_value(value, wanted);
    }
    out_.add_output(value);
    return {};
  }

  const Patch& patch_;
  const Graph& g_;
  size_t id_count_;
  std::vector<int32_t> forward_;   // the value that replaces a value; −1: none
  std::vector<int32_t> producer_;  // the draft that computes a value
  std::vector<ValueId> map_;       // to values of the result
  std::map<int32_t, const Patch::NewConstant*> new_constants_;
  std::vector<Draft> drafts_;
  std::vector<int32_t> draft_of_node_;
  Graph out_;
};

Result<Graph> apply_patch(const Patch& patch) { return PatchedGraph(patch).build(); }

}  // namespace cupel
