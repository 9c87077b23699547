#include "lower/finish.h"

#include "lower/schedule.h"

namespace cupel {

Status finish_contract(Lowering& l, NodeId id, ContractSpec spec, const Walk& walk, Draft& draft, Scalar x,
                       const Absorbed& nodes, std::array<int64_t, 3> operand_buffers) {
  const ValueId own = l.graph.node(id).outputs[0];
  x = CUPEL_TRY(l.expressions.of_nodes(draft, own, x, nodes, walk));
  const ValueId result = l.absorption.take(id, nodes, own, draft);
  // In an image the columns of a product need not lie together.
  const Placed place = CUPEL_TRY(l.facts.is_image(result) ? l.places.for_channels(result, walk.item_dim.back())
                                                          : l.places.for_result(result, true));
  spec.epilogue = draft.expr.finish(l.expressions.at_place(x, result, place));
  spec.space = walk.space;
  spec.out = l.places.access(place, walk);
  // A dimension of extent 1 has no stride of its own; the columns must be contiguous.
  spec.out.strides.back() = element_bytes(spec.out.dtype);
  spec.operands = draft.take_operands(walk.space.size());
  const auto [a, b, start] = operand_buffers;
  const ContractSchedule schedule = start_schedule(spec, l.target);
  l.finish({std::move(spec), schedule}, draft.buffers({place.layout.buffer, a, b, start}), draft.origins, result,
           place);
  return {};
}

Status finish_window(Lowering& l, NodeId id, WindowSpec spec, Draft& draft, Scalar value, Walk walk,
                     std::vector<int64_t> operand_buffers) {
  walk.whole_blocks = true;
  const ValueId own = l.graph.node(id).outputs[0];
  const Absorbed nodes = l.absorption.behind(id, own);
  spec.space = walk.space;
  value = CUPEL_TRY(l.expressions.of_nodes(draft, own, value, nodes, walk));
  const ValueId result = l.absorption.take(id, nodes, own, draft);
  const Placed place = CUPEL_TRY(l.places.for_channels(result, walk.item_dim.back()));
  spec.epilogue = draft.expr.finish(l.expressions.at_place(value, result, place));
  spec.out = l.places.access(place, walk);
  spec.out.strides.back() = element_bytes(spec.out.dtype);
  spec.operands = draft.take_operands(walk.space.size());
  operand_buffers.insert(operand_buffers.begin(), place.layout.buffer);
  const WindowSchedule schedule = start_schedule(spec);
  l.finish({std::move(spec), schedule}, draft.buffers(std::move(operand_buffers)), draft.origins, result, place);
  return {};
}

Status finish_map(Lowering& l, Draft& draft, Scalar value, ValueId result, const Walk& walk) {
  const Placed place = CUPEL_TRY(l.places.for_result(result, false));
  MapSpec spec;
  spec.space = walk.space;
  spec.value = draft.expr.finish(l.expressions.at_place(value, result, place));
  spec.out = l.places.access(place, walk);
  spec.operands = draft.take_operands(walk.space.size());
  l.finish({std::move(spec), MapSchedule{}}, draft.buffers({place.layout.buffer}), draft.origins, result, place);
  return {};
}

void add_copy(Lowering& l, const Node& node, Dims space, Access read, Access write, std::array<int64_t, 2> buffers,
              const Placed* place) {
  if (space.empty()) space = {1};
  read.strides.resize(space.size(), 0);
  write.strides.resize(space.size(), 0);
  ExprBuilder b;
  const Scalar x = b.operand(0, read.dtype);
  MapSpec spec{.space = std::move(space), .operands = {std::move(read)}, .value = b.finish(x), .out = std::move(write)};
  l.steps.add({std::move(spec), MapSchedule{}}, {buffers[0], buffers[1]}, origins_of(node),
              place ? std::optional(node.outputs[0]) : std::nullopt, place);
}

}  // namespace cupel
