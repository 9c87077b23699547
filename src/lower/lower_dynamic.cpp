// Products whose second operand is no constant matrix: it is packed at run time, then a contract kernel multiplies.
// MatMul of any ranks, and Gemm of numbers. A product with a vector behind it is that of the vector with the turned
// matrix: both sum the same products in the same order.
//
// Codes are u8 on both sides; those of constants of other than two dimensions may be s8, and have a scale and zero
// point for each column. With w' = w − 128 and zw' = zw − 128 (both fit s8 as the dot product wants them; codes of s8
// stay):
//   Σ (x − zx)(w − zw) = Σ x·w' − zw'·Σ x − zx·Σ w' + K·zx·zw'
// Σ w' comes from a product with a vector of ones and makes the start of each column; Σ x comes from a product with a
// matrix of ones and joins in the epilogue. All of it is exact in s32 (sums wrap on the way).
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "kernel/packing.h"
#include "lower/contraction.h"
#include "lower/finish.h"
#include "lower/op_lowerings.h"
#include "lower/schedule.h"
#include "ops/contract.h"
#include "ops/requantize.h"

namespace cupel {
namespace {

// Strides of an operand over the leading dimensions of a product, 0 where it broadcasts; those are aligned from the
// last.
std::vector<int64_t> lead_strides(const ValueLayout& layout, const Dims& lead) {
  std::vector<int64_t> strides(lead.size(), 0);
  const size_t own = layout.dims.size() - 2;
  for (size_t d = 0; d < std::min(own, lead.size()); ++d)
    if (layout.dims[own - 1 - d] != 1) strides[lead.size() - 1 - d] = layout.strides[own - 1 - d];
  return strides;
}

std::vector<int64_t> joined(std::vector<int64_t> a, std::initializer_list<int64_t> b) {
  a.insert(a.end(), b);
  return a;
}

// A vector as the one row of a matrix.
void as_matrix(ValueLayout& layout) {
  layout.dims.insert(layout.dims.begin(), 1);
  layout.strides.insert(layout.strides.begin(), 0);
}

// The last two dimensions change places where `turns`.
void turn_matrix(ValueLayout& layout, bool turns) {
  const size_t n = layout.dims.size();
  if (!turns) return;
  std::swap(layout.dims[n - 2], layout.dims[n - 1]);
  std::swap(layout.strides[n - 2], layout.strides[n - 1]);
}

// A product x[lead…, rows, depth] · w[lead…, depth, columns] in the making.
class DynamicProduct {
 public:
  DynamicProduct(Lowering& l, NodeId id)
      : l_(l),
        id_(id),
        node_(l.graph.node(id)),
        turned_round_(l.graph.type(node_.inputs[1]).shape.size() == 1),
        first_operand_(node_.inputs[turned_round_ ? 1 : 0]),
        second_operand_(node_.inputs[turned_round_ ? 0 : 1]),
        tx_(l.graph.type(first_operand_)),
        tw_(l.graph.type(second_operand_)),
        ty_(l.graph.type(node_.outputs[0])),
        codes_(tx_.quant.has_value()) {}

  static constexpr int64_t kMostColumnBlocks = int64_t{1} << 22;

  Status lower() {
    CUPEL_TRY(place_operands());
    pack_second();
    // Of all columns there are constants beside the operands.
    if (blocks_ > kMostColumnBlocks)
      return resource_error("", fmt::format("a product of {} columns, more than 2^26", blocks_ * 16),
                            "use a smaller model");
    begin_product();
    if (starts_by_row()) return lower_with_starts();
    Scalar value = draft_.expr.accumulator(0, codes_ ? ScalarType::s32 : ScalarType::f32);
    if (codes_) {
      add_column_starts();
      const std::vector<int32_t> zeros = column_zeros();
      if (std::ranges::any_of(zeros, [](int32_t z) { return z != 0; }))
        value = value - row_sums() * by_column(draft_, zeros);
      std::vector<float> ratios;
      for (int64_t c = 0; c < columns_; ++c) {
        const float sx = tx_.quant->scale[0], sw = tw_.quant->scale_at(c);
        ratios.push_back(ty_.quant ? ops::product_ratio(sx, sw, ty_.quant->scale[0]) : ops::scale_product(sx, sw));
      }
      value = to_f32(value) * l_.expressions.column_constant(draft_, std::move(ratios), rank());
      if (ty_.quant) value = to_code(value, ty_.dtype, ty_.quant->zero_point[0]);
    } else {
      const std::vector<float> zeros(static_cast<size_t>(blocks_ * 16), 0.0f);
      spec_.start = l_.expressions.column_access(std::as_bytes(std::span(zeros)), DType::f32, rank(), start_);
      if (!ops::is_plain_product(node_.attributes)) value = CUPEL_TRY(scaled(value));
    }
    return finish(value);
  }

 private:
  Status finish(Scalar value) {
    const Absorbed nodes = l_.absorption.behind(id_, node_.outputs[0]);
    return finish_contract(l_, id_, std::move(spec_), walk_, draft_, value, nodes, {x_.layout.buffer, packed_, start_});
  }

  // ---- Gemm: alpha · x · w + beta · C

  bool starts_by_row() const { return has_operand(node_, 2) && ops::is_plain_product(node_.attributes); }

  Result<Scalar> scaled(Scalar sum) {
    const Scalar product = sum * Scalar(attr_real(node_.attributes, "alpha", 1));
    if (!has_operand(node_, 2)) return product;
    const Scalar c = CUPEL_TRY(l_.expressions.operand(draft_, node_.inputs[2], walk_));
    return fma(c, Scalar(attr_real(node_.attributes, "beta", 1)), product);
  }

  // Each sum begins with its element of C, which lies in whole blocks of columns. Starts stand still along h and w: the
  // rows are a dimension before them.
  Status lower_with_starts() {
    start_ = add_buffer("_starts", rows_ * blocks_ * 64);
    Draft draft;
    Walk all = plain_walk({rows_, columns_});
    if (all.space.size() == 1) all = {.space = {1, columns_}, .item_dim = {0, 1}, .dims = {rows_, columns_}};
    const Scalar c = CUPEL_TRY(l_.expressions.operand(draft, node_.inputs[2], all));
    MapSpec spread{.space = all.space, .value = draft.expr.finish(c)};
    spread.operands = draft.take_operands(2);
    spread.out = {.dtype = DType::f32, .item_stride = l_.steps.item_bytes(start_), .strides = {blocks_ * 64, 4}};
    l_.steps.add_unnamed({std::move(spread), MapSchedule{}}, draft.buffers({start_}), origins_of(node_));
    walk_.space = {rows_, 1, 1, columns_};
    walk_.item_dim = {0, -1, -1, 1};
    spec_.space = walk_.space;
    spec_.a.strides = {x_.layout.strides[0], 0, 0, 0};
    spec_.b.strides.assign(4, 0);
    spec_.start = {.dtype = DType::f32, .item_stride = l_.steps.item_bytes(start_), .strides = {blocks_ * 64, 0, 0, 4}};
    return finish(draft_.expr.accumulator(0, ScalarType::f32));
  }

  size_t rank() const { return walk_.space.size(); }
  // Whether w' is w − zw itself.
  bool centred() const { return packed_type_ == DType::s16; }
  int32_t zx() const { return tx_.quant->zero_point[0]; }
  // zw' of each column.
  std::vector<int32_t> column_zeros() const {
    std::vector<int32_t> zeros;
    for (int64_t c = 0; c < columns_; ++c) zeros.push_back(centred() ? 0 : tw_.quant->zero_point_at(c) - shift_);
    return zeros;
  }
  // Integers of the columns.
  Scalar by_column(Draft& draft, std::vector<int32_t> values) const {
    if (std::ranges::all_of(values, [&](int32_t v) { return v == values[0]; })) return Scalar(values[0]);
    values.resize(static_cast<size_t>(blocks_ * 16), 0);
    int64_t buffer = 0;
    Access access = l_.expressions.column_access(std::as_bytes(std::span(values)), DType::s32, rank(), buffer);
    return draft.add_operand(std::move(access), buffer);
  }
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

  // The result's item as [lead…, rows, columns]; what the operands lack of it counts 1.
  Status place_operands() {
    x_ = CUPEL_TRY(l_.places.at(first_operand_));
    w_ = CUPEL_TRY(l_.places.at(second_operand_));
    if (!codes_ && tx_.dtype != DType::f32)
      return no_compiled_form(fmt::format("{} of {} has no compiled form yet", node_.op->name, dtype_name(tx_.dtype)));
    if (codes_ && has_operand(node_, 2)) return no_compiled_form("a Gemm of two activations that adds a third");
    if (codes_ && (tx_.dtype != DType::u8 || dtype_bits(tw_.dtype) != 8 || !has_parameters_of_columns()))
      return no_compiled_form("a product of activations other than u8 codes has no compiled form yet");
    out_ = CUPEL_TRY(l_.facts.item_dims(node_.outputs[0]));
    is_row_ = x_.layout.dims.size() == 1;
    is_column_ = w_.layout.dims.size() == 1;
    CUPEL_TRY(expect_leading_batch());
    if (is_row_) as_matrix(x_.layout);
    if (is_column_) as_matrix(w_.layout);
    turn_matrix(x_.layout, attr_int(node_.attributes, "transA", 0) != 0);
    turn_matrix(w_.layout, turned_round_ || attr_int(node_.attributes, "transB", 0) != 0);
    x_ = l_.places.row(first_operand_, x_);
    const size_t before = out_.size() - (is_row_ ? 0 : 1) - (is_column_ ? 0 : 1);
    first_ = before > 0 ? first_walked(out_) : 0;
    lead_ = Dims(out_.begin() + static_cast<int64_t>(first_), out_.begin() + static_cast<int64_t>(before));
    rows_ = x_.layout.dims[x_.layout.dims.size() - 2];
    columns_ = w_.layout.dims.back();
    depth_ = x_.layout.dims.back();
    blocks_ = (columns_ + 15) / 16;
    // Without a dot product of bytes the second operand is stored as s16, which holds w − zw itself: then w' = w − zw,
    // zw' = 0.
    const bool bytes = codes_ && l_.target.byte_dot_product;
    packed_type_ = !codes_ ? DType::f32 : bytes ? DType::s8 : DType::s16;
    per_group_ = !codes_ ? 1 : bytes ? 4 : 2;
    if (bytes && tw_.dtype == DType::u8) shift_ = 128;
    if (centred() && tw_.quant->per_tensor()) shift_ = tw_.quant->zero_point[0];
    groups_ = codes_ ? round_up(depth_, 4) / per_group_ : depth_;
    return {};
  }

  // Whether scales and zero points are those of whole operands, or of the columns of the second one.
  bool has_parameters_of_columns() const {
    if (!tx_.quant->per_tensor()) return false;
    const auto rank = static_cast<int64_t>(tw_.shape.size());
    return tw_.quant->per_tensor() ||
           (!turned_round_ && rank >= 2 && tw_.quant->axis == rank - 1 && attr_int(node_.attributes, "transB", 0) == 0);
  }
  // A batch leads the operands that have it as it leads the result, before rows and depth; or it is the rows.
  Status expect_leading_batch() const {
    const ValueId x = node_.inputs[0], w = node_.inputs[1];
    const auto is_vector = [&](ValueId v) { return l_.graph.type(v).shape.size() == 1; };
    const size_t row = is_vector(x) ? 1 : 0, column = is_vector(w) ? 1 : 0;
    const bool is_matrix = out_.size() + row + column == 2,
               turned = row == 1 || attr_int(node_.attributes, "transA", 0) != 0;
    // `lacking`: dimensions of the operand that the result lacks.
    const auto leads = [&](ValueId v, size_t lacking) {
      const size_t own = l_.graph.type(v).shape.size();
      return !l_.facts.is_batched(v) || (own > 2 && own == out_.size() + lacking);
    };
    const bool good =
        is_matrix ? !l_.facts.is_batched(w) && !(l_.facts.is_batched(x) && turned) : leads(x, column) && leads(w, row);
    if (good) return {};
    return no_compiled_form("a product along the batch");
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
    const size_t n = w_.layout.strides.size();
    const int64_t k_stride = w_.layout.strides[n - 2], n_stride = w_.layout.strides[n - 1],
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
      Scalar v = b.operand(0, tw_.dtype);
      if (centred() && !tw_.quant->per_tensor()) {
        v = v - b.operand(1, DType::s32);
        spec.operands.push_back(column_zero_points(p, buffers));
      } else if (codes_) {
        v = v - Scalar(shift_);
      }
      spec.value = b.finish(v);
    }
    l_.steps.add_unnamed({std::move(spec), MapSchedule{}}, std::move(buffers), origins_of(node_));
  }
  // Over the space of a packed piece.
  Access column_zero_points(const PackedPiece& p, std::vector<int64_t>& buffers) const {
    std::vector<int32_t> zeros(static_cast<size_t>(blocks_ * 16), 0);
    for (int64_t c = 0; c < columns_; ++c) zeros[static_cast<size_t>(c)] = tw_.quant->zero_point_at(c);
    int64_t buffer = 0;
    Access access = l_.expressions.column_access(std::as_bytes(std::span(zeros)), DType::s32, 1, buffer);
    access.offset = p.first_block * 64;
    access.strides = joined(std::vector<int64_t>(lead_.size(), 0), {64, 0, 4, 0});
    buffers.push_back(buffer);
    return access;
  }
  // With strides over the leading dimensions.
  Access packed_access() const {
    return {.dtype = packed_type_,
            .item_stride = l_.steps.item_bytes(packed_),
            .strides = lead_of(blocks_ * block_bytes())};
  }

  void begin_product() {
    walk_ = {.space = joined(lead_, {1, rows_, columns_}), .dims = out_, .whole_blocks = true};
    const auto n = static_cast<int>(lead_.size() + first_);
    for (int d = static_cast<int>(first_); d < n; ++d) walk_.item_dim.push_back(d);
    for (int d : {-1, is_row_ ? -1 : n, is_column_ ? -1 : n + (is_row_ ? 0 : 1)}) walk_.item_dim.push_back(d);
    spec_.space = walk_.space;
    spec_.a = l_.steps.first_element(x_.layout);
    spec_.a.dtype = tx_.dtype;
    spec_.a.strides = joined(lead_strides(x_.layout, lead_), {0, x_.layout.strides[x_.layout.strides.size() - 2], 0});
    spec_.b = packed_access();
    spec_.b.strides.resize(rank(), 0);
    spec_.b_block_stride = block_bytes();
    spec_.run = depth_;
  }

  // K·zx·zw' − zx·Σ w' for each column, which wraps around as sums do.
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
    std::vector<int32_t> corners = column_zeros();
    for (int32_t& z : corners)
      z = static_cast<int32_t>(static_cast<uint32_t>(depth_ * zx()) * static_cast<uint32_t>(z));
    Draft draft;
    const Scalar corner = by_column(draft, std::move(corners));
    sums.epilogue = draft.expr.finish(corner - draft.expr.accumulator(0, ScalarType::s32) * Scalar(zx()));
    sums.operands = draft.take_operands(rank());
    add_contract(std::move(sums), draft.buffers({start_, ones_buffer, packed_, zeros_buffer}));
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
  bool turned_round_;  // the operands have changed places
  ValueId first_operand_, second_operand_;
  const TensorType &tx_, &tw_, &ty_;
  bool codes_;
  Placed x_, w_;
  bool is_row_ = false, is_column_ = false;  // an operand of one dimension, whose other one the result lacks
  Dims out_, lead_;                          // the result's item; its dimensions before rows and columns,
  size_t first_ = 0;                         // from this one on
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

Status lower_product(Lowering& l, NodeId id) { return DynamicProduct(l, id).lower(); }

}  // namespace cupel
