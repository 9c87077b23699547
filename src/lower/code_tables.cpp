// Functions between two values of codes as exact tables of 256 entries, filled by the reference meanings of the nodes
// between them (docs/quantization.md 3).
#include <algorithm>
#include <map>

#include "lower/expressions.h"
#include "runtime/thread_pool.h"

namespace cupel {
namespace {

bool is_byte_code(const TensorType& t) { return t.quant && t.quant->per_tensor() && dtype_bits(t.dtype) == 8; }

}  // namespace

size_t Expressions::table_length(ValueId value, const Absorbed& nodes, size_t first) const {
  if (!is_byte_code(graph_.type(value))) return 0;
  std::set<ValueId> inside = {value};
  std::set<NodeId> members;
  size_t length = 0;
  bool looks_up = false;  // a node between is a table already, or float arithmetic
  for (size_t i = first; i < nodes.size(); ++i) {
    const Node& node = graph_.node(nodes[i]);
    if (!is_elementwise(*node.op)) return length;
    for (ValueId operand : node.inputs) {
      if (!operand.valid() || inside.contains(operand)) continue;
      const auto& constant = graph_.value(operand).constant;
      if (!constant || constant->size() != 1) return length;
    }
    inside.insert(node.outputs[0]);
    members.insert(nodes[i]);
    looks_up = looks_up || node.op->quant_rule == QuantRule::unary || node.op->conversion == Conversion::to_numbers;
    const bool closed = std::all_of(inside.begin(), inside.end(), [&](ValueId v) {
      const auto& users = facts_.users_of(v);
      return v == value || v == node.outputs[0] ||
             std::all_of(users.begin(), users.end(), [&](NodeId u) { return members.contains(u); });
    });
    if (closed && is_byte_code(graph_.type(node.outputs[0])) && (looks_up || target_.byte_tables))
      length = i + 1 - first;
  }
  return length;
}

Result<Tensor> Expressions::code_table(ValueId value, std::span<const NodeId> nodes) const {
  const auto in_row = [&](ValueId id) {
    const TensorType& t = graph_.type(id);
    return TensorType{t.dtype, {1, 256}, t.quant};
  };
  std::map<ValueId, Tensor> known;
  std::map<ValueId, TensorType> types = {{value, in_row(value)}};
  Tensor& codes = known.emplace(value, Tensor(graph_.type(value).dtype, {1, 256})).first->second;
  for (int i = 0; i < 256; ++i) codes.mutable_bytes()[static_cast<size_t>(i)] = static_cast<std::byte>(i);
  ThreadPool one(1);
  ValueId last = value;
  for (NodeId id : nodes) {
    const Node& node = graph_.node(id);
    std::vector<const Tensor*> inputs;
    std::vector<const TensorType*> input_types;
    for (ValueId operand : node.inputs) {
      const auto found = known.find(operand);
      const bool inside = operand.valid() && found != known.end();
      const Tensor* constant =
          operand.valid() && graph_.value(operand).constant ? &*graph_.value(operand).constant : nullptr;
      inputs.push_back(inside ? &found->second : constant);
      input_types.push_back(inside ? &types.at(operand) : operand.valid() ? &graph_.type(operand) : nullptr);
    }
    last = node.outputs[0];
    const TensorType type = types.emplace(last, in_row(last)).first->second;
    Tensor result(type.dtype, {1, 256});
    CUPEL_TRY(node.op->reference(
        {node, node.attributes, inputs, input_types, std::span(&type, 1), std::span(&result, 1), one}));
    known.insert_or_assign(last, std::move(result));
  }
  return known.at(last);
}

Scalar Expressions::through_table(Draft& draft, const Tensor& table, DType code, Scalar x) {
  const DType out = table.dtype();
  const auto number = [](DType type, std::byte bits) {
    return type == DType::u8 ? static_cast<int32_t>(bits) : static_cast<int32_t>(static_cast<int8_t>(bits));
  };
  const auto value = [&](int i) { return number(out, table.bytes()[static_cast<size_t>(i)]); };
  int32_t low = INT32_MAX, high = INT32_MIN;
  for (int i = 0; i < 256; ++i) {
    low = std::min(low, value(i));
    high = std::max(high, value(i));
  }
  // A table that clamps is two comparisons; any other one is looked up.
  bool clamps = code == out;
  for (int i = 0; i < 256 && clamps; ++i)
    clamps = value(i) == std::clamp(number(code, static_cast<std::byte>(i)), low, high);
  if (clamps) {
    if (low > dtype_min(code)) x = select(x > Scalar(low), x, Scalar(low));
    if (high < dtype_max(code)) x = select(Scalar(high) > x, x, Scalar(high));
    return x;
  }
  draft.operands.push_back({.dtype = DType::u8, .constant = true});
  draft.operand_buffers.push_back(steps_.add_constant(table));
  const Scalar entry = draft.expr.table(static_cast<int32_t>(draft.operands.size()) - 1, x);
  return out == DType::u8 ? entry : (entry << 24) >> 24;
}

}  // namespace cupel
