#include "lower/expressions.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "lower/op_lowerings.h"

namespace cupel {

bool is_read_as_number(DType type) {
  const DType stored = stored_type(type);
  return stored == DType::f32 || stored == DType::u8 || stored == DType::s8 || stored == DType::s32 ||
         stored == DType::f16;
}

Scalar Draft::add_operand(Access access, int64_t buffer) {
  const DType type = access.dtype;
  operands.push_back(std::move(access));
  operand_buffers.push_back(buffer);
  return expr.operand(static_cast<int32_t>(operands.size()) - 1, type);
}

std::vector<Access> Draft::take_operands(size_t rank) {
  for (Access& a : operands) a.strides.resize(rank, 0);  // those of tables have none
  return std::move(operands);
}

std::vector<int64_t> Draft::buffers(std::vector<int64_t> first) const {
  first.insert(first.end(), operand_buffers.begin(), operand_buffers.end());
  return first;
}

Result<Scalar> Expressions::of_node(Draft& draft, const Node& node, const std::vector<Scalar>& operands,
                                    const Walk& walk) {
  if (changes_shape(*node.op)) return operands[0];
  const TensorType& in = graph_.type(node.inputs[0]);
  if (node.op->quant_rule == QuantRule::unary && in.quant) {
    const NodeId id{static_cast<int32_t>(&node - graph_.nodes().data())};
    return through_table(draft, CUPEL_TRY(code_table(node.inputs[0], std::span(&id, 1))), in.dtype, operands[0]);
  }
  const NodeExpression expression = lowering_of(*node.op).expression;
  if (!expression) return no_compiled_form(fmt::format("{} has no compiled form yet", node.op->name));
  return expression({*this, draft, node, operands, walk});
}

Result<Scalar> Expressions::of_nodes(Draft& draft, ValueId value, Scalar x, const Absorbed& nodes, const Walk& walk) {
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
      } else if (!operand.valid() || static_cast<int>(k) >= node.op->parameters_from) {
        operands.push_back(0.0f);
      } else {
        operands.push_back(CUPEL_TRY(this->operand(draft, operand, walk)));
      }
    }
    last = node.outputs[0];
    known.insert_or_assign(last, CUPEL_TRY(of_node(draft, node, operands, walk)));
  }
  return known.at(last);
}

Access Expressions::column_access(std::span<const std::byte> bytes, DType type, size_t rank, int64_t& buffer) {
  buffer = steps_.add_constant(bytes);
  Access a{.dtype = type, .constant = true, .strides = std::vector<int64_t>(rank, 0)};
  a.strides.back() = element_bytes(type);
  return a;
}

Scalar Expressions::column_constant(Draft& draft, std::vector<float> values, size_t rank) {
  if (std::all_of(values.begin(), values.end(), [&](float v) { return std::memcmp(&v, &values[0], sizeof v) == 0; }))
    return values[0];
  values.resize(static_cast<size_t>(round_up(static_cast<int64_t>(values.size()), 16)), 0.0f);
  int64_t buffer = 0;
  Access access = column_access(std::as_bytes(std::span(values)), DType::f32, rank, buffer);
  return draft.add_operand(std::move(access), buffer);
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
  while (dims.size() > walk.dims.size() && dims[0] == 1) dims.erase(dims.begin());
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

namespace {

// Whether a constant is the same for every item whose dimensions are `item`.
bool broadcasts_to(const Dims& dims, const Dims& item) {
  for (size_t d = 0; d < dims.size(); ++d) {
    const size_t behind = dims.size() - d;
    if (dims[d] != 1 && (behind > item.size() || item[item.size() - behind] != dims[d])) return false;
  }
  return true;
}

}  // namespace

Result<Scalar> Expressions::operand(Draft& draft, ValueId value, const Walk& walk) {
  if (const auto& constant = graph_.value(value).constant) {
    const DType type = stored_type(constant->dtype());
    if (!is_read_as_number(type))
      return not_compiled("", fmt::format("a constant operand of type {}", dtype_name(type)));
    if (constant->empty()) return not_compiled("", "a constant operand without elements");
    if (constant->size() == 1 && type != DType::f16)
      return type == DType::f32 ? Scalar(constant->data<float>()[0])
                                : Scalar(static_cast<int32_t>(constant->int_at(0)));
    if (!broadcasts_to(constant->dims(), walk.dims))
      return not_compiled("", "a constant operand that varies along the batch");
    SpreadConstant spread = spread_constant(*constant, walk);
    return draft.add_operand({.dtype = type, .constant = true, .strides = std::move(spread.strides)},
                             steps_.add_constant(spread.values));
  }
  // A size that leads every value is a batch where values of one rank meet, not where one is spread over another.
  if (facts_.batch.size.is_constant() && facts_.batch.size != Dim(1) && facts_.is_batched(value) &&
      graph_.type(value).shape.size() != walk.dims.size())
    return not_compiled("", "an operand of fewer dimensions");
  const Placed place = CUPEL_TRY(places_.operand(value, walk));
  if (const DType type = place.layout.dtype; !is_read_as_number(type))
    return not_compiled("", fmt::format("an operand of type {}", dtype_name(type)));
  return draft.add_operand(places_.access(place, walk), place.layout.buffer);
}

Scalar Expressions::dimension_constant(Draft& draft, const std::vector<float>& values, int dim, const Walk& walk) {
  Dims dims(walk.dims.size(), 1);
  dims[static_cast<size_t>(dim)] = static_cast<int64_t>(values.size());
  SpreadConstant spread = spread_constant(Tensor::of<float>(dims, std::span<const float>(values)), walk);
  return draft.add_operand({.dtype = DType::f32, .constant = true, .strides = std::move(spread.strides)},
                           steps_.add_constant(spread.values));
}

Result<Scalar> Expressions::dimension_operand(Draft& draft, ValueId value, int dim, const Walk& walk) {
  const TensorType& type = graph_.type(value);
  if (type.dtype != DType::f32 || type.shape.size() != 1 || facts_.is_batched(value) || dim < 0)
    return not_compiled("", "parameters for each batch item");
  const Dims dims = CUPEL_TRY(facts_.item_dims(value));
  const bool blocks = walk.whole_blocks && walk.item_dim.back() == dim;
  const Placed place =
      CUPEL_TRY(places_.operand(value, {.space = dims, .item_dim = {0}, .dims = dims, .whole_blocks = blocks}));
  Access access = steps_.first_element(place.layout);
  for (int d : walk.item_dim) access.strides.push_back(d == dim && dims[0] != 1 ? place.layout.strides[0] : 0);
  return draft.add_operand(std::move(access), place.layout.buffer);
}

}  // namespace cupel
