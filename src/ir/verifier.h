// Checks a graph against the rules of every graph and the contract of its stage.
#pragma once

#include "ir/graph.h"

namespace cupel {

// Every stage: operands come before their users, names are unique, arity and attributes fit the OpDef, types equal what
// inference gives, quantization parameters are valid, every node has a sorted origin, constants match their types.
// simplified: at most one symbol, only in leading dimensions; no op marked removed_by_simplify; every node reachable.
// quantized: simplified, and codes are read only by DequantizeLinear and ops that move codes.
// integer: no QuantizeLinear or DequantizeLinear; every op that reads codes has an integer meaning.
// fused: integer, and only forms that lowering knows: codes of activations are u8, windows slide over two dimensions or
// more.
// Errors have kind internal (a pass broke the contract) and name stage, node and rule.
Status verify_graph(const Graph& graph);

}  // namespace cupel
