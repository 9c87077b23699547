// What kernels absorb: single-use elementwise nodes behind an anchor, as scalar expressions.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "lower/lowering.h"
#include "ops/requantize.h"

namespace cupel {

bool Lowering::same_items(ValueId a, ValueId b) const {
  const auto x = item_dims(graph_, batch_, a), y = item_dims(graph_, batch_, b);
  return x && y && *x == *y;
}

bool Lowering::keeps_items(const Node& node) const {
  const ValueId x = node.inputs[0], y = node.outputs[0];
  return changes_shape(node) && !graph_.value(x).constant && same_items(x, y) &&
         !images_[static_cast<size_t>(x.index)] && !images_[static_cast<size_t>(y.index)];
}

std::string Lowering::refusal(const Node& node, const std::set<ValueId>& inside) {
  if (!is_elementwise(node) && !keeps_items(node)) return fmt::format("{} is not elementwise", node.op->name);
  if (!same_items(node.outputs[0], *inside.begin())) return "it broadcasts the kernel's result";
  for (ValueId operand : node.inputs) {
    if (!operand.valid() || inside.contains(operand) || graph_.value(operand).constant || places_.contains(operand))
      continue;
    return "another operand is computed later; it joins that kernel";
  }
  Draft probe;
  std::vector<Scalar> operands;
  for (ValueId operand : node.inputs)
    operands.push_back(operand.valid() && graph_.type(operand).dtype == DType::f32 ? probe.expr.operand(0, DType::f32)
                                                                                   : probe.expr.operand(1, DType::u8));
  const auto probed = node_expression(probe, node, operands, Walk{{1}, {-1}, {}});
  return probed ? std::string() : probed.error().cause;
}

Absorbed Lowering::absorbable(NodeId anchor, ValueId value) {
  // Nodes join in the graph's order as long as they can; the kernel takes those up to the last point at which one value
  // alone leaves it.
  constexpr size_t kMostNodes = 64;
  Absorbed joined;
  std::set<ValueId> inside = {value};
  std::set<NodeId> members;
  std::vector<std::pair<NodeId, std::string>> refused;
  const auto leaves = [&](ValueId v) {
    const auto& users = users_[static_cast<size_t>(v.index)];
    return graph_.is_output(v) || users.empty() ||
           !std::all_of(users.begin(), users.end(), [&](NodeId u) { return members.contains(u); });
  };
  std::set<NodeId> waiting;  // users of the values inside, in order
  const auto wait_for_users = [&](ValueId v) {
    for (NodeId user : users_[static_cast<size_t>(v.index)])
      if (!taken(user)) waiting.insert(user);
  };
  wait_for_users(value);
  if (!options_.fuse) {
    for (NodeId user : waiting)
      if (is_elementwise(graph_.node(user)))
        lowered_.decisions.push_back({user, anchor, false, "fusion is switched off"});
    return {};
  }
  size_t accepted = 0;
  ValueId result = value;
  while (!waiting.empty() && joined.size() < kMostNodes) {
    const NodeId id = *waiting.begin();
    waiting.erase(waiting.begin());
    const Node& node = graph_.node(id);
    if (std::string why = refusal(node, inside); !why.empty()) {
      if (is_elementwise(node)) refused.emplace_back(id, std::move(why));
      continue;
    }
    joined.push_back(id);
    members.insert(id);
    inside.insert(node.outputs[0]);
    wait_for_users(node.outputs[0]);
    const auto leaving = std::count_if(inside.begin(), inside.end(), leaves);
    if (leaving != 1 || !leaves(node.outputs[0])) continue;
    accepted = joined.size();
    result = node.outputs[0];
  }
  for (size_t i = 0; i < accepted; ++i) lowered_.decisions.push_back({joined[i], anchor, true, {}});
  // What could join, but has another reader beside it.
  for (size_t i = accepted; i < joined.size(); ++i) {
    const Node& node = graph_.node(joined[i]);
    if (std::find(node.inputs.begin(), node.inputs.end(), result) == node.inputs.end()) continue;
    lowered_.decisions.push_back(
        {joined[i], anchor, false,
         graph_.is_output(result)
             ? "the value before it is an output of the model"
             : fmt::format("the value before it is read {} times", users_[static_cast<size_t>(result.index)].size())});
  }
  for (auto& [id, why] : refused) {
    const Node& node = graph_.node(id);
    if (std::find(node.inputs.begin(), node.inputs.end(), result) != node.inputs.end())
      lowered_.decisions.push_back({id, anchor, false, std::move(why)});
  }
  joined.resize(accepted);
  return joined;
}

Result<Scalar> Lowering::absorb(Draft& draft, ValueId value, Scalar x, const Absorbed& nodes, const Walk& walk) {
  std::map<ValueId, Scalar> known = {{value, x}};
  ValueId last = value;
  for (size_t i = 0; i < nodes.size();) {
    if (const size_t length = table_length(last, nodes, i); length > 0) {
      const auto part = std::span(nodes).subspan(i, length);
      const Tensor table = CUPEL_TRY(code_table(last, part));
      const Scalar before = known.at(last);
      const DType code = graph_.type(last).dtype;
      last = graph_.node(part.back()).outputs[0];
      known.insert_or_assign(last, through_table(draft, table, code, before));
      i += length;
      continue;
    }
    const Node& node = graph_.node(nodes[i++]);
    std::vector<Scalar> operands;
    for (size_t k = 0; k < node.inputs.size(); ++k) {
      const ValueId operand = node.inputs[k];
      if (const auto inside = known.find(operand); operand.valid() && inside != known.end()) {
        operands.push_back(inside->second);
      } else if (!operand.valid() || (k > 0 && reads_constants(node))) {
        operands.push_back(0.0f);
      } else {
        operands.push_back(CUPEL_TRY(operand_scalar(draft, operand, walk)));
      }
    }
    last = node.outputs[0];
    known.insert_or_assign(last, CUPEL_TRY(node_expression(draft, node, operands, walk)));
  }
  return known.at(last);
}

ValueId Lowering::take(NodeId anchor, const Absorbed& nodes, ValueId anchor_value, Draft& draft) {
  draft.origins.insert(graph_.node(anchor).origin.begin(), graph_.node(anchor).origin.end());
  for (NodeId id : nodes) {
    taken_[static_cast<size_t>(id.index)] = true;
    const Node& node = graph_.node(id);
    draft.origins.insert(node.origin.begin(), node.origin.end());
    anchor_value = node.outputs[0];
  }
  return anchor_value;
}

Access Lowering::access(const Placed& place, const Walk& walk) const {
  Access a{place.layout.dtype,
           false,
           place.layout.offset,
           lowered_.program.buffers[static_cast<size_t>(place.layout.buffer)].item_bytes,
           {}};
  const size_t own = place.layout.dims.size(), all = walk.dims.size();
  for (int d : walk.item_dim) {
    // Dimensions are aligned from the last one, as broadcasting does.
    const auto at = static_cast<int64_t>(d) - static_cast<int64_t>(all - own);
    const bool walks = d >= 0 && at >= 0 && place.layout.dims[static_cast<size_t>(at)] != 1;
    a.strides.push_back(walks ? place.layout.strides[static_cast<size_t>(at)] : 0);
  }
  return a;
}

Access Lowering::column_access(std::span<const std::byte> bytes, DType type, size_t rank, int64_t& buffer) {
  buffer = add_constant(bytes);
  Access a{type, true, 0, 0, std::vector<int64_t>(rank, 0)};
  a.strides.back() = element_bytes(type);
  return a;
}

Scalar Lowering::column_constant(Draft& draft, std::vector<float> values, size_t rank) {
  if (std::all_of(values.begin(), values.end(), [&](float v) { return std::memcmp(&v, &values[0], sizeof v) == 0; }))
    return values[0];
  values.resize(static_cast<size_t>(round_up(static_cast<int64_t>(values.size()), 16)), 0.0f);
  int64_t buffer = 0;
  draft.operands.push_back(column_access(std::as_bytes(std::span(values)), DType::f32, rank, buffer));
  draft.operand_buffers.push_back(buffer);
  return draft.expr.operand(static_cast<int32_t>(draft.operands.size()) - 1, DType::f32);
}

namespace {

// A constant spread over the space: it varies along the dimensions where it is not broadcast; the last one is padded.
struct SpreadConstant {
  Tensor values;
  std::vector<int64_t> strides;
};
SpreadConstant spread_constant(const Tensor& t, const Walk& walk) {
  const size_t rank = walk.space.size();
  Dims dims = t.dims();
  // A constant of the value's full rank has a leading batch of 1.
  if (dims.size() == walk.dims.size() + 1) dims.erase(dims.begin());
  Dims own_strides(dims.size(), 1);
  for (size_t i = dims.size(); i-- > 1;) own_strides[i - 1] = own_strides[i] * dims[i];
  Dims extents(rank, 1);
  std::vector<int64_t> source(rank, 0), strides(rank, 0);
  for (size_t d = 0; d < rank; ++d) {
    const int64_t at = static_cast<int64_t>(walk.item_dim[d]) - static_cast<int64_t>(walk.dims.size() - dims.size());
    if (walk.item_dim[d] < 0 || at < 0 || dims[static_cast<size_t>(at)] == 1) continue;
    extents[d] = walk.space[d];
    source[d] = own_strides[static_cast<size_t>(at)];
  }
  Dims padded = extents;
  if (padded.back() > 1) padded.back() = round_up(padded.back(), 16);
  const int64_t elem = element_bytes(t.dtype());
  int64_t stride = elem;
  for (size_t d = rank; d-- > 0; stride *= padded[d]) strides[d] = extents[d] > 1 ? stride : 0;
  SpreadConstant out{Tensor(t.dtype(), padded), strides};
  std::byte* to = out.values.mutable_bytes().data();
  Dims at(rank, 0);
  for (;;) {
    int64_t from_index = 0, to_offset = 0;
    for (size_t d = 0; d < rank; ++d) {
      from_index += at[d] * source[d];
      to_offset += at[d] * strides[d];
    }
    std::memcpy(to + to_offset, t.bytes().data() + from_index * elem, static_cast<size_t>(elem));
    size_t d = rank;
    while (d > 0 && ++at[d - 1] == extents[d - 1]) at[--d] = 0;
    if (d == 0) return out;
  }
}

}  // namespace

Result<Scalar> Lowering::operand_scalar(Draft& draft, ValueId value, const Walk& walk) {
  if (const auto& constant = graph_.value(value).constant) {
    const DType type = stored_type(constant->dtype());
    if (type != DType::f32 && type != DType::u8 && type != DType::s8)
      return not_compiled("", fmt::format("a constant operand of type {}", dtype_name(type)));
    if (constant->size() == 1)
      return type == DType::f32 ? Scalar(constant->data<float>()[0])
                                : Scalar(static_cast<int32_t>(constant->int_at(0)));
    if (constant->rank() > static_cast<int64_t>(walk.dims.size()) + 1 ||
        (constant->rank() == static_cast<int64_t>(walk.dims.size()) + 1 && constant->dims()[0] != 1))
      return not_compiled("", "a constant operand that varies along the batch");
    SpreadConstant spread = spread_constant(*constant, walk);
    draft.operands.push_back({type, true, 0, 0, std::move(spread.strides)});
    draft.operand_buffers.push_back(add_constant(spread.values));
    return draft.expr.operand(static_cast<int32_t>(draft.operands.size()) - 1, type);
  }
  const Placed place = CUPEL_TRY(operand_place(value, walk));
  draft.operands.push_back(access(place, walk));
  draft.operand_buffers.push_back(place.layout.buffer);
  return draft.expr.operand(static_cast<int32_t>(draft.operands.size()) - 1, place.layout.dtype);
}

Scalar Lowering::dimension_constant(Draft& draft, const std::vector<float>& values, int dim, const Walk& walk) {
  Dims dims(walk.dims.size(), 1);
  dims[static_cast<size_t>(dim)] = static_cast<int64_t>(values.size());
  SpreadConstant spread = spread_constant(Tensor::of<float>(dims, std::span<const float>(values)), walk);
  draft.operands.push_back({DType::f32, true, 0, 0, std::move(spread.strides)});
  draft.operand_buffers.push_back(add_constant(spread.values));
  return draft.expr.operand(static_cast<int32_t>(draft.operands.size()) - 1, DType::f32);
}

bool reads_constants(const Node& node) {
  return node.op->name == "Clip" || node.op->name == "BatchNormalization" || changes_shape(node);
}
bool changes_shape(const Node& node) {
  const std::string_view op = node.op->name;
  return op == "Reshape" || op == "Flatten" || op == "Squeeze" || op == "Unsqueeze";
}

namespace {
constexpr double kMostDistance = 256;  // of an 8-bit code from its zero point, with room for roundings
}

Scalar requantized(Scalar code, const TensorType& from, const TensorType& to) {
  const float m = ops::scale_ratio(from.quant->scale[0], to.quant->scale[0]);
  return to_code_within(kMostDistance * static_cast<double>(m),
                        to_f32(code - Scalar(from.quant->zero_point[0])) * Scalar(m), to.dtype,
                        to.quant->zero_point[0]);
}

// Quantize and Dequantize with parameters for each index of an axis: docs/quantization.md 1, with operands for z, 1 / s
// and s. The zero points are whole numbers of f32, so that rounding gives them as s32.
Result<Scalar> Lowering::axis_expression(Draft& draft, const Node& node, Scalar x, const Walk& walk) {
  const bool quantize = node.op->name == "Quantize";
  const TensorType& t = graph_.type(quantize ? node.outputs[0] : node.inputs[0]);
  const QuantParams& q = *t.quant;
  const int64_t rank = static_cast<int64_t>(t.shape.size()), axis = q.axis < 0 ? q.axis + rank : q.axis;
  const int dim = item_dim(node.inputs[0], axis);
  if (node.op->name == "Requantize" || dim < 0)
    return not_compiled(
        "", dim < 0 ? "codes with parameters for each batch item" : "a Requantize of codes with parameters per axis");
  if (walk.dims.empty()) return x;  // only asked whether there is an expression
  std::vector<float> zeros, factors, low, high;
  for (size_t c = 0; c < q.scale.size(); ++c) {
    zeros.push_back(static_cast<float>(q.zero_point[c]));
    factors.push_back(quantize ? ops::inverse_scale(q.scale[c]) : q.scale[c]);
    low.push_back(static_cast<float>(dtype_min(t.dtype) - q.zero_point[c]));
    high.push_back(static_cast<float>(dtype_max(t.dtype) - q.zero_point[c]));
  }
  const auto of_axis = [&](const std::vector<float>& values) { return dimension_constant(draft, values, dim, walk); };
  const Scalar zero = round_s32(of_axis(zeros));
  if (!quantize) return to_f32(x - zero) * of_axis(factors);
  return round_s32(less(greater(x * of_axis(factors), of_axis(low)), of_axis(high))) + zero;
}

Result<Scalar> Lowering::node_expression(Draft& draft, const Node& node, const std::vector<Scalar>& operands,
                                         const Walk& walk) {
  const std::string_view op = node.op->name;
  const TensorType& out = graph_.type(node.outputs[0]);
  const TensorType& in = graph_.type(node.inputs[0]);
  const auto codes = [&](ValueId id) { return id.valid() && graph_.type(id).quant.has_value(); };
  const auto per_tensor = [&](const TensorType& t) { return t.quant->per_tensor(); };
  if (changes_shape(node)) return operands[0];
  if (op == "Cast") return operands[0];
  if (op == "AsCodes") return in.dtype == out.dtype ? operands[0] : operands[0] + Scalar(128);
  if (op == "Quantize" || op == "Dequantize" || op == "Requantize") {
    const TensorType& t = op == "Dequantize" ? in : out;
    if (dtype_bits(t.dtype) != 8) return not_compiled("", "codes of other than 8 bits");
    if (!per_tensor(t)) return axis_expression(draft, node, operands[0], walk);
    if (op == "Quantize")
      return to_code(operands[0] * Scalar(ops::inverse_scale(t.quant->scale[0])), t.dtype, t.quant->zero_point[0]);
    if (op == "Dequantize") return from_code(operands[0], t.quant->zero_point[0], t.quant->scale[0]);
    return *in.quant == *out.quant && in.dtype == out.dtype ? operands[0] : requantized(operands[0], in, out);
  }
  if (node.op->quant_rule == QuantRule::unary && codes(node.inputs[0])) {
    const NodeId id{static_cast<int32_t>(&node - graph_.nodes().data())};
    return through_table(draft, CUPEL_TRY(code_table(node.inputs[0], std::span(&id, 1))), in.dtype, operands[0]);
  }
  if (op == "Add" || op == "Mul") {
    if (!codes(node.inputs[0]) && in.dtype == DType::f32)
      return op == "Add" ? operands[0] + operands[1] : operands[0] * operands[1];
    if (codes(node.inputs[0]) && codes(node.inputs[1])) {
      const QuantParams &a = *in.quant, &b = *graph_.type(node.inputs[1]).quant, &y = *out.quant;
      const Scalar da = operands[0] - Scalar(a.zero_point[0]), db = operands[1] - Scalar(b.zero_point[0]);
      if (op == "Mul") {
        const float m = ops::product_ratio(a.scale[0], b.scale[0], y.scale[0]);
        return to_code_within(kMostDistance * kMostDistance * static_cast<double>(m), to_f32(da * db) * Scalar(m),
                              out.dtype, y.zero_point[0]);
      }
      const float ma = ops::scale_ratio(a.scale[0], y.scale[0]), mb = ops::scale_ratio(b.scale[0], y.scale[0]);
      return to_code_within(kMostDistance * (static_cast<double>(ma) + static_cast<double>(mb)),
                            fma(to_f32(db), Scalar(mb), to_f32(da) * Scalar(ma)), out.dtype, y.zero_point[0]);
    }
    return not_compiled("", "operands of mixed types");
  }
  if (op == "Where" && out.dtype == DType::f32) return select(operands[0] > Scalar(0), operands[1], operands[2]);
  if (out.dtype == DType::boolean && in.dtype == out.dtype) {
    const auto truth = [](Scalar byte) { return select(byte > Scalar(0), Scalar(1), Scalar(0)); };
    if (op == "Not") return truth(operands[0]) ^ Scalar(1);
    if (op == "And") return truth(operands[0]) & truth(operands[1]);
    if (op == "Or") return truth(operands[0]) | truth(operands[1]);
  }
  if (in.dtype != DType::f32) return not_compiled("", fmt::format("{} on {}", op, dtype_name(in.dtype)));
  const Scalar x = operands[0];
  if (out.dtype == DType::boolean) {
    const Scalar holds = op == "Equal" ? x == operands[1] : op == "Greater" ? x > operands[1] : x < operands[1];
    return select(holds, Scalar(1), Scalar(0));
  }
  if (op == "Sub") return x - operands[1];
  if (op == "Div") return x / operands[1];
  if ((op == "Max" || op == "Min") && operands.size() == 2)
    return op == "Max" ? greater(x, operands[1]) : less(x, operands[1]);
  if (op == "Clip") {
    float bounds[2] = {-std::numeric_limits<float>::infinity(), std::numeric_limits<float>::infinity()};
    for (size_t i = 1; i < node.inputs.size() && i < 3; ++i) {
      if (!node.inputs[i].valid()) continue;
      const auto& c = graph_.value(node.inputs[i]).constant;
      if (!c || c->size() != 1) return not_compiled("", "a Clip with bounds computed at run time");
      bounds[i - 1] = c->data<float>()[0];
    }
    return clip(x, bounds[0], bounds[1]);
  }
  if (op == "BatchNormalization") {
    std::vector<const float*> p;
    int64_t channels = 0;
    for (size_t i = 1; i < 5; ++i) {
      const auto& c = graph_.value(node.inputs[i]).constant;
      if (!c || c->dtype() != DType::f32)
        return not_compiled("", "a BatchNormalization with parameters computed at run time");
      p.push_back(c->data<float>().data());
      channels = c->size();
    }
    const float epsilon = attr_real(node.attributes, "epsilon", 1e-5f);
    std::vector<float> a, b;
    for (int64_t c = 0; c < channels; ++c) {
      a.push_back(p[0][c] / std::sqrt(p[3][c] + epsilon));
      b.push_back(__builtin_fmaf(-p[2][c], a.back(), p[1][c]));
    }
    if (walk.dims.empty()) return fma(x, x, x);  // only asked whether there is an expression
    const int channel = item_dim(node.inputs[0], 1);
    return fma(x, dimension_constant(draft, a, channel, walk), dimension_constant(draft, b, channel, walk));
  }
  if (const auto function = unary_expression(op, node.attributes, x)) return *function;
  return not_compiled("", fmt::format("{} has no compiled form yet", op));
}

}  // namespace cupel
