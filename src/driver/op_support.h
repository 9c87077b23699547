// What Cupel can do with each operator: the table of `cupel inspect --ops` and docs/ops.md, told by the tables of ops,
// spellings and lowerings themselves.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "base/tensor.h"
#include "ir/graph.h"

namespace cupel {

struct OpSupport {
  std::string name;       // "domain.name" outside ai.onnx
  int since_opset = 1;    // ONNX's
  std::string types;      // of operand 0: those of the op's samples, or that its spelling computes
  std::string compiled;   // how compiled code computes it, and how many of its samples have no compiled form yet
  std::string quantized;  // what becomes of it between codes
};

// One row for each operator that the reader takes, in the order of the op table; then those that are written in others.
std::vector<OpSupport> op_support();

// The graph with its inputs without a symbolic batch, behind the first, as constants: weights and parameters as models
// have them. `inputs`: a tensor for each input.
Result<Graph> with_constant_operands(const Graph& graph, std::span<const Tensor> inputs);

// A table in Markdown, one line for each operator.
std::string op_support_text(const std::vector<OpSupport>& rows);

}  // namespace cupel
