// recognise_gelu: x·½·(1 + erf(x/√2)), in any association, and its tanh approximation
// x·½·(1 + tanh(√(2/π)·(x + 0.044715·x³))) become one Gelu node: one table or one epilogue instead of five passes.
//   %d = Div(%x, 1.4142); %e = Erf(%d); %a = Add(%e, 1); %m = Mul(%x, %a); %y = Mul(%m, 0.5)     ->     %y = Gelu(%x)
#include <numbers>
#include <set>

#include "ir/patch.h"
#include "ops/op_table.h"
#include "passes/match.h"
#include "passes/pass.h"

namespace cupel {
namespace {

struct Found {
  ValueId x;
  NodeId last;
  std::set<NodeId> nodes;
};

class GeluMatch {
 public:
  explicit GeluMatch(const Graph& graph) : m_(graph) {}

  // `bell` is the Erf or Tanh node whose operand is a function of x; the rest of the pattern follows from it.
  std::optional<Found> around(NodeId bell, ValueId x, std::set<NodeId> nodes) const {
    const Graph& g = m_.graph();
    nodes.insert(bell);
    const ValueId e = g.node(bell).outputs[0];
    const Node* add = m_.only_user(e, ops::kAdd);
    if (!add || m_.beside_scalar(*add, 1.0) != e) return std::nullopt;
    nodes.insert(m_.only_user(e));
    const ValueId sum = add->outputs[0];
    const Node* product = m_.only_user(sum, ops::kMul);
    if (!product) return std::nullopt;
    const NodeId product_id = m_.only_user(sum);
    nodes.insert(product_id);
    const ValueId partner = Match::other(*product, sum);
    const ValueId result = product->outputs[0];
    if (partner == x || m_.is_scalar(partner, 0.5)) {  // (x·sum)·½ or (sum·½)·x
      const Node* last = m_.only_user(result, ops::kMul);
      if (!last) return std::nullopt;
      const ValueId rest = Match::other(*last, result);
      if (partner == x ? !m_.is_scalar(rest, 0.5) : rest != x) return std::nullopt;
      nodes.insert(m_.only_user(result));
      return Found{x, m_.only_user(result), std::move(nodes)};
    }
    const Node* half = m_.producer(partner, ops::kMul);  // (x·½)·sum
    if (!half || m_.beside_scalar(*half, 0.5) != x || !m_.only_user(partner).valid()) return std::nullopt;
    nodes.insert(m_.producer_id(partner));
    return Found{x, product_id, std::move(nodes)};
  }

  std::optional<Found> erf_form(NodeId id) const {
    const ValueId operand = m_.graph().node(id).inputs[0];
    if (!m_.only_user(operand).valid()) return std::nullopt;
    ValueId x;
    if (const Node* div = m_.producer(operand, ops::kDiv); div && m_.is_scalar(div->inputs[1], std::numbers::sqrt2))
      x = div->inputs[0];
    if (const Node* mul = m_.producer(operand, ops::kMul); mul && !x.valid())
      x = m_.beside_scalar(*mul, std::numbers::sqrt2 / 2);
    if (!x.valid()) return std::nullopt;
    return around(id, x, {m_.producer_id(operand)});
  }

  std::optional<Found> tanh_form(NodeId id) const {
    std::set<NodeId> nodes;
    const auto step = [&](ValueId v, const OpDef& op) -> const Node* {
      const Node* node = m_.producer(v, op);
      if (!node || !m_.only_user(v).valid()) return nullptr;
      nodes.insert(m_.producer_id(v));
      return node;
    };
    const Node* outer = step(m_.graph().node(id).inputs[0], ops::kMul);
    if (!outer) return std::nullopt;
    const ValueId inner = m_.beside_scalar(*outer, std::sqrt(2 / std::numbers::pi));
    const Node* add = inner.valid() ? step(inner, ops::kAdd) : nullptr;
    if (!add) return std::nullopt;
    for (size_t side = 0; side < 2; ++side) {
      const ValueId x = add->inputs[side];
      const auto saved = nodes;
      const Node* scaled = step(add->inputs[1 - side], ops::kMul);
      const ValueId cube = scaled ? m_.beside_scalar(*scaled, 0.044715) : ValueId{};
      if (cube.valid()) {
        if (const Node* pow = step(cube, ops::kPow); pow && pow->inputs[0] == x && m_.is_scalar(pow->inputs[1], 3.0))
          return around(id, x, nodes);
        if (const Node* mul = step(cube, ops::kMul)) {
          const ValueId square = Match::other(*mul, x);
          const Node* squared = square.valid() ? step(square, ops::kMul) : nullptr;
          if (squared && squared->inputs[0] == x && squared->inputs[1] == x) return around(id, x, nodes);
        }
      }
      nodes = saved;
    }
    return std::nullopt;
  }

 private:
  Match m_;
};

}  // namespace

Result<Graph> run_recognise_gelu(const Graph& graph, const PassContext&) {
  Patch patch(graph);
  const GeluMatch match(graph);
  for (size_t n = 0; n < graph.nodes().size(); ++n) {
    const NodeId id{static_cast<int32_t>(n)};
    const bool erf = is(graph.node(id), ops::kErf), tanh = is(graph.node(id), ops::kTanh);
    const auto found = erf ? match.erf_form(id) : tanh ? match.tanh_form(id) : std::nullopt;
    if (!found) continue;
    const Node& last = graph.node(found->last);
    const ValueId result = last.outputs[0];
    if (graph.type(result) != graph.type(found->x)) continue;  // a constant of higher rank adds dimensions
    patch.begin_edit();
    for (NodeId node : found->nodes) patch.remove(node);
    Attributes attributes;
    if (tanh) attributes.emplace("approximate", std::string("tanh"));
    patch.replace(result,
                  patch.add_named(ops::kGelu, last.name, graph.value(result).name, {found->x}, std::move(attributes)));
  }
  return patch.empty() ? Result<Graph>(graph) : apply_patch(patch);
}

}  // namespace cupel
