// recognise_saturate: a Cast to bytes of numbers that Clip and Round have made such integers becomes Saturate, which no
// number can fail, and which therefore compiles.
//   %c = Clip(%x, 0, 255); %r = Round(%c); %y = Cast(%r) {to=2}     ->     %y = Saturate(%r) {dtype="u8"}
#include "ir/patch.h"
#include "ops/op_table.h"
#include "passes/match.h"
#include "passes/pass.h"

namespace cupel {
namespace {

// Whether v lies in the type's range by the bounds of a Clip before or behind a Round, and is an integer.
bool is_integer_within(const Match& m, ValueId v, DType type) {
  const Node* round = m.producer(v, ops::kRound);
  const Node* clip = m.producer(round ? round->inputs[0] : v, ops::kClip);
  if (!clip || clip->inputs.size() < 3) return false;
  if (!round && !m.producer(clip->inputs[0], ops::kRound)) return false;
  const auto low = m.scalar(clip->inputs[1]), high = m.scalar(clip->inputs[2]);
  if (!low || !high || *low != std::rint(*low) || *high != std::rint(*high)) return false;
  return *low >= static_cast<double>(dtype_min(type)) && *high <= static_cast<double>(dtype_max(type)) && *low <= *high;
}

}  // namespace

Result<Graph> run_recognise_saturate(const Graph& graph, const PassContext&) {
  Patch patch(graph);
  const Match m(graph);
  for (size_t n = 0; n < graph.nodes().size(); ++n) {
    const Node& node = graph.nodes()[n];
    if (!is(node, ops::kCast)) continue;
    const ValueId x = node.inputs[0], result = node.outputs[0];
    const DType type = graph.type(result).dtype;
    if (graph.type(x).dtype != DType::f32 || (type != DType::u8 && type != DType::s8)) continue;
    if (!is_integer_within(m, x, type)) continue;
    patch.begin_edit();
    patch.remove({static_cast<int32_t>(n)});
    patch.replace(result, patch.add_named(ops::kSaturate, node.name, graph.value(result).name, {x},
                                          {{"dtype", std::string(dtype_name(type))}}));
  }
  return patch.empty() ? Result<Graph>(graph) : apply_patch(patch);
}

}  // namespace cupel
