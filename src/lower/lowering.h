// The state of one lowering, shared by lower_*.cpp. Private to this folder.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "kernel/packing.h"
#include "lower/builder.h"
#include "lower/layout.h"
#include "lower/lower.h"

namespace cupel {

// A value that some step has computed (or the caller gave), and where it lies.
struct Placed {
  ValueLayout layout;  // dims and strides of one batch item, in the graph's dimension order
  Halo halo;           // filled pixels around an image
  HaloFill fill = HaloFill::zero;
  // It lies in the result of the Concat that alone reads it, as codes of that result.
  bool requantized = false;
};

// The type of a value's elements in memory: booleans are bytes of 0 and 1.
inline DType stored_type(DType type) { return type == DType::boolean ? DType::u8 : type; }

// Elementwise nodes that a kernel's expression takes in, in the order of the graph. They read the kernel's own result,
// each other, constants and values placed before; the result of the last one alone is read by anything else.
using Absorbed = std::vector<NodeId>;

// How a kernel's space walks the items of a graph value: its extents, and for each dimension of the space the dimension
// of the result's item (−1: none). `dims`: the result's item.
struct Walk {
  Dims space;
  std::vector<int> item_dim;
  Dims dims;
  bool whole_blocks = false;  // of 16 along the last dimension, whose operands have room for them
};

// One spatial axis of a window, and both with the halo they need.
struct WindowAxis {
  int64_t kernel = 1, stride = 1, dilation = 1, pad = 0, out = 1;
};
struct Window {
  WindowAxis h, w;
  Halo halo;
};
// Of a Conv, MaxPool or AveragePool over two spatial dimensions.
Window window_of(const Graph& graph, const Node& node);
// Its taps over a placed image, rows first.
std::vector<ReductionLoop> window_taps(const Placed& x, const Window& window);
// The requantization of a code of type `from` to one of type `to`, both of 8 bits per tensor.
Scalar requantized(Scalar code, const TensorType& from, const TensorType& to);

// A kernel in the making: what every form shares.
struct Draft {
  ExprBuilder expr;
  std::vector<Access> operands;
  std::vector<int64_t> operand_buffers;
  std::set<std::string> origins;
};

class Lowering {
 public:
  // `graph`: the kernel_forms of `source`, which has the inputs, the outputs and the values that taps see.
  Lowering(const Graph& graph, const Graph& source, std::string model, const LowerTarget& target, LowerOptions options,
           Batch batch);
  Result<Lowered> run();

 private:
  // lower.cpp
  Status place_inputs();
  Status lower_node(NodeId id);
  Status copy_outputs();
  // Sizes that code can be made for, before any is.
  Status check_sizes() const;
  bool taken(NodeId id) const { return taken_[static_cast<size_t>(id.index)]; }

  // The elementwise nodes behind `value` that the kernel of node `anchor` takes in. Decisions are recorded for it.
  Absorbed absorbable(NodeId anchor, ValueId value);
  // Whether items of both values have the same dimensions; whether a node changes the shape and leaves those of the
  // items alone (f·batch rows become batch and f rows).
  bool same_items(ValueId a, ValueId b) const;
  bool keeps_items(const Node& node) const;
  // Why a node does not join a kernel whose expression knows the values `inside`, all of one shape; empty when it can.
  std::string refusal(const Node& node, const std::set<ValueId>& inside);
  // Appends the absorbed nodes to the draft's expression, in which `value` is `x`. Nodes between two values of codes
  // become one table where nothing else enters between them.
  Result<Scalar> absorb(Draft& draft, ValueId value, Scalar x, const Absorbed& nodes, const Walk& walk);
  // lower_table.cpp: how many of `nodes`, from `first` on, are a function of the codes of `value` alone that gives
  // codes again and is worth a table; 0 when none are.
  size_t table_length(ValueId value, const Absorbed& nodes, size_t first) const;
  // The result of these nodes for all 256 codes of `value`, by their reference meanings, in the order of the code's
  // bit pattern; and the draft's expression that looks it up (or clamps, where the table does nothing else).
  Result<Tensor> code_table(ValueId value, std::span<const NodeId> nodes) const;
  Scalar through_table(Draft& draft, const Tensor& table, DType code, Scalar x);
  // The expression of one elementwise node on given operand scalars; unsupported when the op has none.
  Result<Scalar> node_expression(Draft& draft, const Node& node, const std::vector<Scalar>& operands, const Walk& walk);
  Result<Scalar> axis_expression(Draft& draft, const Node& node, Scalar x, const Walk& walk);
  // A graph value as an operand of the draft, read at the result's coordinates.
  Result<Scalar> operand_scalar(Draft& draft, ValueId value, const Walk& walk);
  // One number for each index of the last dimension of the space, padded with `padding` to whole blocks of 16.
  // A constant of one number for each index of item dimension `dim`, at the result's coordinates.
  // Dimension `axis` of the value among those of its item; −1 for the batch.
  int item_dim(ValueId value, int64_t axis) const {
    return static_cast<int>(axis) - (has_rows(batch_, graph_.type(value)) ? 0 : 1);
  }
  Scalar dimension_constant(Draft& draft, const std::vector<float>& values, int dim, const Walk& walk);
  Scalar column_constant(Draft& draft, std::vector<float> values, size_t rank);
  Access column_access(std::span<const std::byte> bytes, DType type, size_t rank, int64_t& buffer);

  // Buffers and constants.
  int64_t fault_buffer();
  int64_t add_buffer(std::string name, BufferPlace place, int64_t item_bytes);
  int64_t add_constant(std::span<const std::byte> bytes);
  int64_t add_constant(const Tensor& t) { return add_constant(t.bytes()); }

  // A fresh place for a graph value; whole_blocks: its kernel writes the last dimension of its space in blocks of 16.
  // Fills its halo by steps of its own.
  Result<Placed> new_place(ValueId value, bool whole_blocks);
  std::unexpected<Error> too_large_padded(ValueId value) const;
  // The same before it has a buffer (index −1), and that buffer's size.
  Result<Placed> planned_place(ValueId value, bool whole_blocks, int64_t& item_bytes) const;
  // The place for a kernel's result, in the result of a Concat where it can lie there: then `x` becomes its code.
  Result<Placed> result_place(ValueId value, bool whole_blocks, Scalar& x);
  // The same with whole blocks of 16 along dimension `dim` of the item (−1: one element), which lies contiguously.
  Result<Placed> channels_place(ValueId value, int dim, Scalar& x);
  // lower_concat.cpp: the Concat in whose result `value` can be written at once, and which of its operands it is.
  struct Home {
    NodeId concat;
    size_t operand;
  };
  std::optional<Home> concat_home(ValueId value, bool whole_blocks) const;
  // The slice of a place of the Concat's result for one of its operands.
  Result<Placed> concat_slice(NodeId concat, size_t operand);
  Result<const Placed*> place_of(ValueId value);
  // The halo that the windows reading `value` need with that fill.
  Halo halo_for(ValueId value, HaloFill fill) const;
  void fill_halo(ValueId value, const Placed& place);
  // `value` as an image with at least this halo, copied when it does not lie so.
  Result<Placed> image_place(ValueId value, const Halo& halo, HaloFill fill);
  // What a window reads of an image: the first tap of each position of a space {h, w, channels}.
  Access window_access(const Placed& x, const Window& window, int64_t channel_stride) const;
  // Where its taps along one axis read zeros of the halo only.
  static Border border(const TensorType& x, const WindowAxis& axis, int64_t lines);
  // Whether bytes behind the elements of `place` may be read. The caller's own memory has none.
  bool has_room(const Placed& place) const {
    return lowered_.program.buffers[static_cast<size_t>(place.layout.buffer)].place != BufferPlace::input;
  }
  // `value` with contiguous elements along its last dimension, copied when it does not lie so, or has no room for the
  // up to 3 bytes that a contraction of codes reads behind a row.
  Result<Placed> row_place(ValueId value);
  // `value` as an operand of a kernel that walks so: copied when its elements along the walk's last dimension are not
  // contiguous where it computes whole blocks, or have no room for them.
  Result<Placed> operand_place(ValueId value, const Walk& walk);
  // Byte access of a place over a walk's space.
  Access access(const Placed& place, const Walk& walk) const;
  Walk image_walk(const Dims& dims) const;              // space {h, w, channels} of an item [C,H,W]
  Walk walk_of(ValueId value, const Dims& dims) const;  // images as above, others as they are
  // The same value in a fresh buffer of another shape (halo, fill, contiguous rows).
  Result<Placed> copied(ValueId value, const Placed& from, const BufferShape& shape, Halo halo, HaloFill fill);

  // Steps; maps get their schedule here. `result`: the value behind the absorbed nodes; it is placed by `place`.
  void add_step(Kernel kernel, std::vector<int64_t> buffers, const std::set<std::string>& origins,
                std::optional<ValueId> result, const Placed* place);
  // Whether the source graph has the value in this shape.
  bool is_tapped(ValueId value) const;
  // The u8 codes, each 128 higher, of an s8 value.
  Result<Placed> shifted(ValueId value, const Placed& from);
  // Marks the absorbed nodes, adds their origins, and gives the value behind them.
  ValueId take(NodeId anchor, const Absorbed& nodes, ValueId anchor_value, Draft& draft);

  // The forms, one file each.
  Status lower_conv(NodeId id);
  Status lower_depthwise(NodeId id);
  Status lower_grouped_conv(NodeId id);
  Status lower_gemm(NodeId id);
  Status lower_matmul(NodeId id);
  // Rows of the first operand times a constant matrix, given as [columns][K].
  Status lower_rows(NodeId id, const Tensor& rows);
  Status lower_dynamic_matmul(NodeId id);
  Status lower_pool(NodeId id);
  Status lower_reduce(NodeId id);
  Status lower_arg_max(NodeId id);
  Status lower_row(NodeId id);
  Status lower_map(NodeId id);
  Status lower_view(NodeId id);
  // The result of a Reshape written from the operand's elements; `write`: its strides over the operand's dimensions.
  Status copy_reshaped(NodeId id, const Placed& from, const std::vector<int64_t>& write);
  Status lower_concat(NodeId id);
  Status lower_pad(NodeId id);
  // Constant indices along dimension `dim` of the item.
  Status lower_gather(NodeId id, size_t dim);
  // A Gather by any indices, as a call of the runtime.
  Status lower_gather_call(NodeId id);
  void copy_piece(NodeId id, const Placed& from, const Placed& to, const Dims& dims, int64_t read_offset,
                  std::vector<int64_t> read, int64_t write_offset, std::vector<int64_t> write, bool last);

  // Over the weights of one column, as distances from their zero point: their sum, and that of their magnitudes.
  struct WeightSum {
    int64_t sum = 0, magnitude = 0;
    void add(int64_t weight) {
      sum += weight;
      magnitude += weight < 0 ? -weight : weight;
    }
  };
  // Weights as they are multiplied, [columns][K]: codes minus their zero point, the sums of them by column. Where some
  // distance passes 8 bits each row is several rows of K behind each other, whose sum it is: [columns][parts·K].
  struct CenteredWeights {
    Tensor codes;  // s8
    std::vector<WeightSum> sums;
  };
  static CenteredWeights centered_weights(const Tensor& rows, const TensorType& type);
  // What becomes of the integer sums of a contraction of codes, column by column: `starts` of the accumulators (bias,
  // less what the operand's zero point adds), `multipliers` of the sums, and a bound of |sum · multiplier| over all
  // columns.
  struct SumScaling {
    std::vector<int32_t> starts;
    std::vector<float> multipliers;
    double reach = 0;
  };
  // Types of operand, weights and result (numbers or codes); the bias, or null, has one element for each column or one.
  static SumScaling sum_scaling(const TensorType& x, const TensorType& w, const TensorType& y, const Tensor* bias,
                                std::span<const WeightSum> weights);
  // A contraction whose operands are laid out: what is left is bias, requantization, absorbed nodes and the step
  // itself.
  struct Contraction {
    Walk walk;
    ContractSpec spec;
    int64_t a_buffer, b_buffer;
    int64_t columns;
    std::vector<WeightSum> weight_sums;  // per column; codes only
    bool padded = false;                 // a convolution of which some window reads padding
    bool scales = false;                 // a Gemm with alpha or beta other than 1
  };
  Status finish_contraction(NodeId id, Contraction c);
  // Packed weights of a constant operand [columns][steps·run]; gives the buffer. Weights that are several parts add the
  // outermost loop over them, which reads the same elements of the other operand again.
  Result<int64_t> pack(const Tensor& rows, const TensorType& type, int64_t run, ContractSpec& spec,
                       std::vector<WeightSum>& sums, int64_t groups);
  Status finish_window(NodeId id, WindowSpec spec, Draft& draft, Scalar value, Walk walk, std::vector<int64_t> buffers);
  Status finish_map(Draft& draft, Scalar value, ValueId result, const Walk& walk);

  const Graph& graph_;
  const Graph& source_;
  LowerTarget target_;
  LowerOptions options_;
  Batch batch_;
  Lowered lowered_;
  std::vector<std::vector<NodeId>> users_;
  std::vector<bool> images_;
  std::vector<bool> taken_;
  int64_t fault_buffer_ = -1;  // made by the first call
  std::map<ValueId, Placed> places_;
  std::map<ValueId, Placed> concat_places_;  // results of Concats of which some operand lies in its slice
};

// Whether the op computes each element of its result from the same element of its operands alone.
bool is_elementwise(const Node& node);
// Whether operands behind the first are constants that its expression takes in (Clip, BatchNormalization).
bool reads_constants(const Node& node);
// Reshape, Flatten, Squeeze, Unsqueeze.
bool changes_shape(const Node& node);

}  // namespace cupel
