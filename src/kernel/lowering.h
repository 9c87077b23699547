// The state of one lowering, shared by lower_*.cpp. Private to this folder.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "kernel/builder.h"
#include "kernel/layout.h"
#include "kernel/lower.h"
#include "kernel/packing.h"

namespace cupel {

// A value that some step has computed (or the caller gave), and where it lies.
struct Placed {
  ValueLayout layout;  // dims and strides of one batch item, in the graph's dimension order
  Halo halo;           // filled pixels around an image
  HaloFill fill = HaloFill::zero;
};

// One node that a kernel's expression absorbs, and the value it reads from the kernel.
struct Absorbed {
  NodeId node;
  ValueId through;
};

// A kernel in the making: what every form shares.
struct Draft {
  ExprBuilder expr;
  std::vector<Access> operands;
  std::vector<int64_t> operand_buffers;
  std::set<std::string> origins;
};

class Lowering {
 public:
  Lowering(const Graph& graph, std::string model, const LowerTarget& target);
  Result<Lowered> run();

 private:
  // lower.cpp
  Status place_inputs();
  Status lower_node(NodeId id);
  Status copy_outputs();
  bool taken(NodeId id) const { return taken_[static_cast<size_t>(id.index)]; }

  // Single-use elementwise nodes behind `value` whose other operands are placed already, in order. Decisions are recorded
  // for the kernel of node `anchor`. `limit`: op names that may not be absorbed.
  std::vector<Absorbed> absorbable(NodeId anchor, ValueId value);
  // Appends the absorbed nodes to the draft's expression, beginning with `x`, the anchor's own result. `space_dims`: for
  // each dimension of the space the dimension of the item it walks (−1: none).
  Result<Scalar> absorb(Draft& draft, Scalar x, const std::vector<Absorbed>& nodes, ValueId anchor_value, const std::vector<int>& space_dims);
  // The expression of one elementwise node on given operand scalars. nullopt when the op has none.
  Result<Scalar> node_expression(Draft& draft, const Node& node, std::vector<Scalar> operands);
  // A graph value as an operand of the draft, read at the result's coordinates.
  Result<Scalar> operand_scalar(Draft& draft, ValueId value, const Dims& result_dims, const std::vector<int>& space_dims);
  Scalar channel_constant(Draft& draft, const std::vector<float>& values, size_t space_rank, bool real = true);
  Scalar channel_constant_s32(Draft& draft, const std::vector<int32_t>& values, size_t space_rank);

  // Buffers and constants.
  int64_t add_buffer(std::string name, BufferPlace place, int64_t item_bytes);
  int64_t add_constant(std::span<const std::byte> bytes);
  int64_t add_constant(const Tensor& t) { return add_constant(t.bytes()); }
  Access constant_access(DType type, int64_t constant_buffer, std::vector<int64_t> strides) const;

  // A fresh place for a graph value that a kernel writes in blocks of 16 channels. Fills its halo by steps of its own.
  Result<Placed> new_place(ValueId value, bool whole_blocks);
  Result<const Placed*> place_of(ValueId value);
  // The halo that the windows reading `value` need with that fill.
  Halo halo_for(ValueId value, HaloFill fill) const;
  void fill_halo(ValueId value, const Placed& place);
  // The same value in a fresh buffer of another shape (halo, fill, contiguous rows).
  Result<Placed> copied(ValueId value, const Placed& from, const BufferShape& shape, Halo halo, HaloFill fill);

  // Steps. `result`: the value behind the absorbed nodes; it is placed by `place`.
  void add_step(Kernel kernel, std::vector<int64_t> buffers, const std::set<std::string>& origins, std::optional<ValueId> result, const Placed* place);
  void finish(NodeId anchor, const std::vector<Absorbed>& nodes, ValueId result, Placed place);

  // The forms, one file each.
  Status lower_conv(NodeId id);
  Status lower_depthwise(NodeId id);
  Status lower_gemm(NodeId id);
  Status lower_matmul(NodeId id);
  Status lower_dynamic_matmul(NodeId id);
  Status lower_window(NodeId id);
  Status lower_row(NodeId id);
  Status lower_map(NodeId id);
  Status lower_view(NodeId id);
  Status lower_concat(NodeId id);

  // Everything behind a contraction's exact sum: bias, requantization, absorbed nodes, the step itself.
  struct Contraction;
  Status finish_contraction(NodeId id, Contraction&& c);

  const Graph& graph_;
  LowerTarget target_;
  Lowered lowered_;
  std::vector<std::vector<NodeId>> users_;
  std::vector<bool> images_;
  std::vector<bool> taken_;
  std::map<ValueId, Placed> places_;
};

// Whether the op computes each element of its result from the same element of its operands alone.
bool is_elementwise(const Node& node);

}  // namespace cupel
