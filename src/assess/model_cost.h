// What a graph costs to store and to run, node by node and in all.
#pragma once

#include <string>
#include <vector>

#include "ir/graph.h"

namespace cupel {

struct NodeCost {
  std::string precision;       // "INT8" when the node computes on codes, "FP32" otherwise
  int64_t macs = 0;            // per batch item
  int64_t bit_operations = 0;  // macs · bits of the first operand · bits of the second
  int64_t weight_bytes = 0;  // constants it reads, with the parameters of quantized ones (counted at the first reader)
};

struct ModelCost {
  std::vector<NodeCost> nodes;  // in step with Graph::nodes
  int64_t macs = 0, bit_operations = 0, weight_bytes = 0;
  int64_t parameters = 0;  // elements of constants that are numbers or codes
};

ModelCost cost_of(const Graph& graph);

}  // namespace cupel
