// MatMul of two activations: the second operand is packed at run time, then a contract kernel multiplies.
//
// Codes are u8 on both sides. With w' = w − 128 and zw' = zw − 128 (both fit s8 as the dot product wants them):
//   Σ (x − zx)(w − zw) = Σ x·w' − zw'·Σ x − zx·Σ w' + K·zx·zw'
// Σ w' comes from a product with a vector of ones and makes the start of each column; Σ x comes from a product with a
// matrix of ones and joins in the epilogue. All of it is exact in s32 (sums wrap on the way).
#include "kernel/packing.h"
#include "lower/finish.h"
#include "lower/op_lowerings.h"
#include "lower/schedule.h"
#include "ops/requantize.h"

namespace cupel {
namespace {

// Strides of an operand over the leading dimensions of a product, 0 where it broadcasts.
std::vector<int64_t> lead_strides(const ValueLayout& layout, const Dims& lead) {
  std::vector<int64_t> strides(lead.size(), 0);
  const size_t own = layout.dims.size() - 2;
  for (size_t d = 0; d < own; ++d)
    if (layout.dims[d] != 1) strides[d + lead.size() - own] = layout.strides[d];
  return strides;
}

std::vector<int64_t> joined(std::vector<int64_t> a, std::initializer_list<int64_t> b) {
  a.insert(a.end(), b);
  return a;
}

// A product x[lead…, rows, depth] · w[lead…, depth, columns] in the making.
class DynamicProduct {
 public:
  DynamicProduct(Lowering& l, NodeId id)
      : l_(l),
        id_(id),
        node_(l.graph.node(id)),
        tx_(l.graph.type(node_.inputs[0])),
        tw_(l.graph.type(node_.inputs[1])),
        ty_(l.graph.type(node_.outputs[0])),
        codes_(tx_.quant.has_value()) {}

  Status lower() {
    CUPEL_TRY(place_operands());
    pack_second();
    begin_product();
    Scalar value = draft_.expr.accumulator(0, codes_ ? ScalarType::s32 : ScalarType::f32);
    if (codes_) {
      add_column_starts();
      if (zw() != 0) value = value - row_sums() * Scalar(zw());
      const float sx = tx_.quant->scale[0], sw = tw_.quant->scale[0];
      value = to_f32(value) *
              Scalar(ty_.quant ? ops::product_ratio(sx, sw, ty_.quant->scale[0]) : ops::scale_product(sx, sw));
      if (ty_.quant) value = to_code(value, ty_.dtype, ty_.quant->zero_point[0]);
    } else {
      const std::vector<float> zeros(static_cast<size_t>(blocks_ * 16), 0.0f);
      spec_.start = l_.expressions.column_access(std::as_bytes(std::span(zeros)), DType::f32, rank(), start_);
    }
    const Absorbed nodes = l_.absorption.behind(id_, node_.outputs[0]);
    return finish_contract(l_, id_, std::move(spec_), walk_, draft_, value, nodes, {x_.layout.buffer, packed_, start_});
  }

 private:
  size_t rank() const { return walk_.space.size(); }
  int32_t zx() const { return tx_.quant->zero_point[0]; }
  int32_t zw() const { return tw_.quant->zero_point[0] - shift_; }
  // Of a buffer that holds `bytes` for each coordinate of the leading dimensions.
  std::vector<int64_t> lead_of(int64_t bytes) const {
    std::vector<int64_t> strides(lead_.size());
    for (size_t d = lead_.size(); d-- > 0; bytes *= lead_[d]) strides[d] = bytes;
    return strides;
  }
  int64_t add_buffer(const char* what, int64_t bytes) {
    return l_.steps.add_buffer(node_.name + what, BufferPlace::arena, element_count(lead_) * bytes);
  }
  void add_contract(ContractSpec spec, std::vector<int64_t> buffers) {
    const ContractSchedule schedule = start_schedule(spec, l_.target);
    l_.steps.add_unnamed({std::move(spec), schedule}, std::move(buffers), origins_of(node_));
  }

  Status place_operands() {
    x_ = CUPEL_TRY(l_.places.at(node_.inputs[0]));
    w_ = CUPEL_TRY(l_.places.at(node_.inputs[1]));
    const size_t rank_x = x_.layout.dims.size(), rank_w = w_.layout.dims.size();
    if (rank_x < 2 || rank_x != rank_w)
      return no_compiled_form("a product of activations of these ranks has no compiled form yet");
    if (codes_ && (tx_.dtype != DType::u8 || tw_.dtype != DType::u8))
      return no_compiled_form("a product of activations other than u8 codes has no compiled form yet");
    x_ = CUPEL_TRY(l_.places.row(node_.inputs[0]));
    out_ = CUPEL_TRY(l_.facts.item_dims(node_.outputs[0]));
    lead_ = Dims(out_.begin(), out_.end() - 2);
    rows_ = out_[lead_.size()];
    columns_ = out_.back();
    depth_ = x_.layout.dims.back();
    blocks_ = (columns_ + 15) / 16;
    // Without a dot product of bytes the second operand is stored as s16, which holds w − zw itself: then w' = w − zw,
    // zw' = 0.
    const bool bytes = codes_ && l_.target.byte_dot_product;
    packed_type_ = !codes_ ? DType::f32 : bytes ? DType::s8 : DType::s16;
    per_group_ = !codes_ ? 1 : bytes ? 4 : 2;
    shift_ = !codes_ ? 0 : bytes ? 128 : tw_.quant->zero_point[0];
    groups_ = codes_ ? round_up(depth_, 4) / per_group_ : depth_;
    return {};
  }

  int64_t block_bytes() const { return groups_ * 64; }

  // Part of the packed operand: `width` columns of `blocks` blocks, `height` elements of `groups` groups.
  struct PackedPiece {
    int64_t first_block = 0, blocks = 0, width = 16, first_group = 0, groups = 0, height = 1;
  };
  // Packed as [lead][blocks][groups][16][per_group]; elements behind the depth are zeros.
  void pack_second() {
    packed_ = add_buffer("_packed", blocks_ * block_bytes());
    const int64_t whole_blocks = columns_ / 16, width = columns_ % 16, whole_groups = depth_ / per_group_,
                  height = depth_ % per_group_;
    if (whole_groups < groups_)
      pack({.blocks = blocks_, .first_group = whole_groups, .groups = groups_ - whole_groups, .height = per_group_},
           true);
    for (const auto& [first, count, high] :
         {std::tuple(int64_t{0}, whole_groups, per_group_), std::tuple(whole_groups, int64_t{1}, height)}) {
      pack({.blocks = whole_blocks, .first_group = first, .groups = count, .height = high}, false);
      pack({.first_block = whole_blocks,
            .blocks = 1,
            .width = width,
            .first_group = first,
            .groups = count,
            .height = high},
           false);
    }
  }
  void pack(const PackedPiece& p, bool zeros) {
    if (p.blocks == 0 || p.width == 0 || p.groups == 0 || p.height == 0) return;
    const size_t n = lead_.size();
    const int64_t k_stride = w_.layout.strides[n], n_stride = w_.layout.strides[n + 1],
                  elem = element_bytes(packed_type_);
    MapSpec spec;
    spec.space = joined(lead_, {p.blocks, p.groups, p.width, p.height});
    spec.out = packed_access();
    spec.out.offset = p.first_block * block_bytes() + p.first_group * 64;
    spec.out.strides = joined(spec.out.strides, {block_bytes(), 64, per_group_ * elem, elem});
    ExprBuilder b;
    std::vector<int64_t> buffers = {packed_};
    if (zeros) {
      spec.value = b.finish(Scalar(0));
    } else {
      Access read = l_.steps.first_element(w_.layout);
      read.dtype = tw_.dtype;
      read.offset += p.first_block * 16 * n_stride + p.first_group * per_group_ * k_stride;
      read.strides = joined(lead_strides(w_.layout, lead_), {16 * n_stride, per_group_ * k_stride, n_stride, k_stride});
      spec.operands = {read};
      buffers.push_back(w_.layout.buffer);
      const Scalar v = b.operand(0, tw_.dtype);
      spec.value = b.finish(codes_ ? v - Scalar(shift_) : v);
    }
    l_.steps.add_unnamed({std::move(spec), MapSchedule{}}, std::move(buffers), origins_of(node_));
  }
  // With strides over the leading dimensions.
  Access packed_access() const {
    return {.dtype = packed_type_,
            .item_stride = l_.steps.item_bytes(packed_),
            .strides = lead_of(blocks_ * block_bytes())};
  }

  void begin_product() {
    walk_ = {.space = joined(lead_, {1, rows_, columns_}), .dims = out_, .whole_blocks = true};
    const auto n = static_cast<int>(lead_.size());
    for (int d = 0; d < n; ++d) walk_.item_dim.push_back(d);
    for (int d : {-1, n, n + 1}) walk_.item_dim.push_back(d);
    spec_.space = walk_.space;
    spec_.a = l_.steps.first_element(x_.layout);
    spec_.a.dtype = tx_.dtype;
    spec_.a.strides = joined(lead_strides(x_.layout, lead_), {0, x_.layout.strides[lead_.size()], 0});
    spec_.b = packed_access();
    spec_.b.strides.resize(rank(), 0);
    spec_.b_block_stride = block_bytes();
    spec_.run = depth_;
  }

  // K·zx·zw' − zx·Σ w' for each column.
  void add_column_starts() {
    start_ = add_buffer("_starts", blocks_ * 64);
    const Access starts{.dtype = DType::s32,
                        .item_stride = l_.steps.item_bytes(start_),
                        .strides = joined(lead_of(blocks_ * 64), {0, 0, 4})};
    ContractSpec sums = spec_;
    sums.space = joined(lead_, {1, 1, columns_});
    const std::vector<uint8_t> ones(static_cast<size_t>(round_up(depth_, 4)) + 4, 1);
    const int64_t ones_buffer = l_.steps.add_constant(std::as_bytes(std::span(ones)));
    sums.a = {.dtype = DType::u8, .constant = true, .strides = std::vector<int64_t>(rank(), 0)};
    const std::vector<int32_t> zeros(static_cast<size_t>(blocks_ * 16), 0);
    int64_t zeros_buffer = 0;
    sums.start = l_.expressions.column_access(std::as_bytes(std::span(zeros)), DType::s32, rank(), zeros_buffer);
    sums.out = starts;
    ExprBuilder b;
    sums.epilogue =
        b.finish(Scalar(static_cast<int32_t>(depth_) * zx() * zw()) - b.accumulator(0, ScalarType::s32) * Scalar(zx()));
    add_contract(std::move(sums), {start_, ones_buffer, packed_, zeros_buffer});
    spec_.start = starts;
  }

  // Σ x of each row, as an operand of the product's expression.
  Scalar row_sums() {
    const int64_t buffer = add_buffer("_row_sums", rows_ * 64);
    const std::vector<int64_t> sums_lead = lead_of(rows_ * 64);
    Tensor ones(DType::s8, {16, depth_});
    for (int8_t& one : ones.mutable_data<int8_t>()) one = 1;
    ContractSpec sums = spec_;
    sums.space = joined(lead_, {1, rows_, 16});
    sums.b = {.dtype = DType::s8, .constant = true, .strides = std::vector<int64_t>(rank(), 0)};
    const int64_t ones_packed = l_.steps.add_constant(pack_weights_s8(ones, depth_));
    const std::vector<int32_t> sixteen(16, 0);
    int64_t sixteen_buffer = 0;
    sums.start = l_.expressions.column_access(std::as_bytes(std::span(sixteen)), DType::s32, rank(), sixteen_buffer);
    const Access out{
        .dtype = DType::s32, .item_stride = l_.steps.item_bytes(buffer), .strides = joined(sums_lead, {0, 64, 4})};
    sums.out = out;
    ExprBuilder b;
    sums.epilogue = b.finish(b.accumulator(0, ScalarType::s32) + Scalar(0));
    add_contract(std::move(sums), {buffer, x_.layout.buffer, ones_packed, sixteen_buffer});
    Access read = out;
    read.strides.back() = 0;
    return draft_.add_operand(std::move(read), buffer);
  }

  Lowering& l_;
  NodeId id_;
  const Node& node_;
  const TensorType &tx_, &tw_, &ty_;
  bool codes_;
  Placed x_, w_;
  Dims out_, lead_;  // the result's item; its dimensions before rows and columns
  int64_t rows_ = 0, columns_ = 0, depth_ = 0, blocks_ = 0;
  DType packed_type_ = DType::f32;
  int64_t per_group_ = 1, groups_ = 0;  // elements along the depth that lie side by side; groups of them
  int32_t shift_ = 0;                   // w' = w − shift
  int64_t packed_ = -1, start_ = -1;    // buffers
  Walk walk_;
  ContractSpec spec_;
  Draft draft_;
};

}  // namespace

Status lower_dynamic_matmul(Lowering& l, NodeId id) { return DynamicProduct(l, id).lower(); }

}  // namespace cupel
