// Nodes as scalar expressions of kernels, and what these read: values, constants, tables.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "lower/builder.h"
#include "lower/lower.h"
#include "lower/places.h"

namespace cupel {

// Elementwise nodes that a kernel's expression takes in, in the order of the graph. They read the kernel's own result,
// each other, constants and values placed before; the result of the last one alone is read by anything else.
using Absorbed = std::vector<NodeId>;

// A kernel in the making: what every form shares.
struct Draft {
  ExprBuilder expr;
  std::vector<Access> operands;
  std::vector<int64_t> operand_buffers;
  std::set<std::string> origins;

  // The next operand, as a source of the expression.
  Scalar add_operand(Access access, int64_t buffer);
  // The operands of a kernel with a space of that rank.
  std::vector<Access> take_operands(size_t rank);
  // The kernel's buffers: `first`, then those of the operands.
  std::vector<int64_t> buffers(std::vector<int64_t> first) const;
};

// Whether a kernel's expressions read elements of that type; others are moved as bytes alone.
bool is_read_as_number(DType type);

// The requantization of a code of type `from` to one of type `to`, both of 8 bits per tensor.
Scalar requantized(Scalar code, const TensorType& from, const TensorType& to);

class Expressions {
 public:
  const GraphFacts& facts() const { return facts_; }
  Expressions(const GraphFacts& facts, Places& places, Steps& steps, const LowerTarget& target)
      : facts_(facts), graph_(facts.graph), places_(places), steps_(steps), target_(target) {}

  // The expression of one elementwise node on given operand scalars; unsupported when the op has none.
  Result<Scalar> of_node(Draft& draft, const Node& node, const std::vector<Scalar>& operands, const Walk& walk);
  // Appends the nodes to the draft's expression, in which `value` is `x`. Nodes between two values of codes become one
  // table where nothing else enters between them.
  Result<Scalar> of_nodes(Draft& draft, ValueId value, Scalar x, const Absorbed& nodes, const Walk& walk);
  // What is written where `value`, which is `x`, has that place.
  Scalar at_place(Scalar x, ValueId value, const Placed& place) const {
    return place.requantized ? requantized(x, graph_.type(value), *place.requantized) : x;
  }

  // A graph value as an operand of the draft, read at the result's coordinates.
  Result<Scalar> operand(Draft& draft, ValueId value, const Walk& walk);
  // A constant of one number for each index of item dimension `dim`, at the result's coordinates.
  Scalar dimension_constant(Draft& draft, const std::vector<float>& values, int dim, const Walk& walk);
  // The same for numbers of f32 that a value of one dimension holds.
  Result<Scalar> dimension_operand(Draft& draft, ValueId value, int dim, const Walk& walk);
  // One number for each index of the last dimension of the space, padded to whole blocks of 16.
  Scalar column_constant(Draft& draft, std::vector<float> values, size_t rank);
  // An access to such numbers, and their buffer.
  Access column_access(std::span<const std::byte> bytes, DType type, size_t rank, int64_t& buffer);

  const Graph& graph() const { return graph_; }

 private:
  // How many of `nodes`, from `first` on, are a function of the codes of `value` alone that gives codes again and is
  // worth a table; 0 when none are.
  size_t table_length(ValueId value, const Absorbed& nodes, size_t first) const;
  // The result of these nodes for all 256 codes of `value`, by their reference meanings, in the order of the code's
  // bit pattern; and the draft's expression that looks it up (or clamps, where the table does nothing else).
  Result<Tensor> code_table(ValueId value, std::span<const NodeId> nodes) const;
  Scalar through_table(Draft& draft, const Tensor& table, DType code, Scalar x);

  const GraphFacts& facts_;
  const Graph& graph_;
  Places& places_;
  Steps& steps_;
  LowerTarget target_;
};

}  // namespace cupel
