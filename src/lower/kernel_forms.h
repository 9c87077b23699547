// The graph in the forms that lowering knows: the same numbers, told by fewer kinds of nodes.
#pragma once

#include "ir/graph.h"

namespace cupel {

// Values of the graph keep their names; where one has another shape or type, it lies otherwise in the result.
//   s8 activations per tensor    u8 codes and zero points, each 128 higher; weights stay s8. Inputs and outputs too.
//   windows of one dimension     of two, of which the first has extent 1
//   Softmax, LogSoftmax along an axis before the last    along the last of a transposed value
//   LayerNormalization of several dimensions             of one, which joins them
//   Gather by a Cast of s32 or s64 to the other          by what is cast; a number that the Cast refuses is out of
//   range
Result<Graph> kernel_forms(const Graph& graph);

}  // namespace cupel
