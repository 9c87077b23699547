#include "lower/absorption.h"

#include <fmt/format.h>

#include <algorithm>

namespace cupel {

bool Absorption::keeps_items(const Node& node) const {
  const ValueId x = node.inputs[0], y = node.outputs[0];
  return changes_shape(*node.op) && !graph_.value(x).constant && facts_.same_items(x, y) && !facts_.is_image(x) &&
         !facts_.is_image(y);
}

std::string Absorption::refusal(const Node& node, const std::set<ValueId>& inside) {
  if (!is_elementwise(*node.op) && !keeps_items(node)) return fmt::format("{} is not elementwise", node.op->name);
  if (!facts_.same_items(node.outputs[0], *inside.begin())) return "it broadcasts the kernel's result";
  for (size_t i = 0; i < node.inputs.size(); ++i) {
    const ValueId operand = node.inputs[i];
    if (operand.valid() && inside.contains(operand) && static_cast<int>(i) >= node.op->parameters_from)
      return "its parameters are the kernel's result";
    if (operand.valid() && inside.contains(operand) && dtype_bits(stored_type(graph_.type(operand).dtype)) == 16)
      return "its operand is rounded when it is stored";
    if (!operand.valid() || inside.contains(operand) || graph_.value(operand).constant || places_.has(operand))
      continue;
    return "another operand is computed later; it joins that kernel";
  }
  Draft probe;
  std::vector<Scalar> operands;
  for (ValueId operand : node.inputs)
    operands.push_back(operand.valid() && graph_.type(operand).dtype == DType::f32 ? probe.expr.operand(0, DType::f32)
                                                                                   : probe.expr.operand(1, DType::u8));
  const auto probed = expressions_.of_node(probe, node, operands, {.space = {1}, .item_dim = {-1}});
  return probed ? std::string() : probed.error().cause;
}

// The kernel takes `joined` up to the last point at which one value alone, `result`, leaves it.
struct Absorption::Candidates {
  Absorbed joined;
  size_t accepted = 0;
  ValueId result;
  std::vector<std::pair<NodeId, std::string>> refused;
};

Absorption::Candidates Absorption::candidates(ValueId value) {
  constexpr size_t kMostNodes = 64;
  Candidates found{.result = value};
  std::set<ValueId> inside = {value};
  std::set<NodeId> members;
  std::set<NodeId> waiting;  // users of the values inside, in order
  const auto leaves = [&](ValueId v) {
    const auto& users = facts_.users_of(v);
    return graph_.is_output(v) || users.empty() ||
           !std::all_of(users.begin(), users.end(), [&](NodeId u) { return members.contains(u); });
  };
  const auto wait_for_users = [&](ValueId v) {
    for (NodeId user : facts_.users_of(v))
      if (!facts_.is_taken(user)) waiting.insert(user);
  };
  wait_for_users(value);
  while (!waiting.empty() && found.joined.size() < kMostNodes) {
    const NodeId id = *waiting.begin();
    waiting.erase(waiting.begin());
    const Node& node = graph_.node(id);
    if (std::string why = refusal(node, inside); !why.empty()) {
      if (is_elementwise(*node.op)) found.refused.emplace_back(id, std::move(why));
      continue;
    }
    found.joined.push_back(id);
    members.insert(id);
    inside.insert(node.outputs[0]);
    wait_for_users(node.outputs[0]);
    const auto leaving = std::count_if(inside.begin(), inside.end(), leaves);
    if (leaving != 1 || !leaves(node.outputs[0])) continue;
    found.accepted = found.joined.size();
    found.result = node.outputs[0];
  }
  return found;
}

void Absorption::note(NodeId anchor, const Candidates& found) {
  const auto reads_result = [&](NodeId id) {
    const auto& inputs = graph_.node(id).inputs;
    return std::find(inputs.begin(), inputs.end(), found.result) != inputs.end();
  };
  const auto decide = [&](NodeId node, bool accepted, std::string reason) {
    decisions_.push_back({.node = node, .kernel = anchor, .accepted = accepted, .reason = std::move(reason)});
  };
  for (size_t i = 0; i < found.accepted; ++i) decide(found.joined[i], true, {});
  // What could join, but has another reader beside it.
  for (size_t i = found.accepted; i < found.joined.size(); ++i)
    if (reads_result(found.joined[i]))
      decide(found.joined[i], false,
             graph_.is_output(found.result)
                 ? "the value before it is an output of the model"
                 : fmt::format("the value before it is read {} times", facts_.users_of(found.result).size()));
  for (const auto& [id, why] : found.refused)
    if (reads_result(id)) decide(id, false, why);
}

void Absorption::refuse_all(NodeId anchor, ValueId value, std::string_view reason) {
  std::set<NodeId> users;
  for (NodeId user : facts_.users_of(value))
    if (!facts_.is_taken(user) && is_elementwise(*graph_.node(user).op)) users.insert(user);
  for (NodeId user : users)
    decisions_.push_back({.node = user, .kernel = anchor, .accepted = false, .reason = std::string(reason)});
}

Absorbed Absorption::behind(NodeId anchor, ValueId value) {
  if (!fuse_) {
    refuse_all(anchor, value, "fusion is switched off");
    return {};
  }
  Candidates found = candidates(value);
  note(anchor, found);
  found.joined.resize(found.accepted);
  return std::move(found.joined);
}

ValueId Absorption::take(NodeId anchor, const Absorbed& nodes, ValueId anchor_value, Draft& draft) {
  draft.origins.merge(origins_of(graph_.node(anchor)));
  for (NodeId id : nodes) {
    facts_.taken[static_cast<size_t>(id.index)] = true;
    draft.origins.merge(origins_of(graph_.node(id)));
    anchor_value = graph_.node(id).outputs[0];
  }
  return anchor_value;
}

}  // namespace cupel
