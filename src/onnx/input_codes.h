// Graph inputs that hold codes. Private to src/onnx.
#pragma once

#include "ir/graph.h"

namespace cupel {

// ONNX says at a dequantize node what codes stand for; in a Graph their type says it. Gives each input of 8-bit
// integers the parameters of the dequantize nodes that read it, at once or (parameters per tensor) behind ops that only
// move elements, where these agree and nothing else reads it. Other inputs stay what they are.
Graph with_input_codes(Graph graph);

}  // namespace cupel
