// MatMul of two activations: the second operand is packed at run time, then a contract kernel multiplies.
//
// Codes are u8 on both sides. With w' = w − 128 and zw' = zw − 128 (both fit s8 as the dot product wants them):
//   Σ (x − zx)(w − zw) = Σ x·w' − zw'·Σ x − zx·Σ w' + K·zx·zw'
// Σ w' comes from a product with a vector of ones and makes the start of each column; Σ x comes from a product with a
// matrix of ones and joins in the epilogue. All of it is exact in s32 (sums wrap on the way).
#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "lower/lowering.h"
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

Dims joined(Dims a, std::initializer_list<int64_t> b) {
  a.insert(a.end(), b);
  return a;
}

}  // namespace

Status Lowering::lower_dynamic_matmul(NodeId id) {
  const Node& node = graph_.node(id);
  const TensorType &tx = graph_.type(node.inputs[0]), &tw = graph_.type(node.inputs[1]),
                   &ty = graph_.type(node.outputs[0]);
  const bool codes = tx.quant.has_value();
  Placed x = *CUPEL_TRY(place_of(node.inputs[0]));
  const Placed w = *CUPEL_TRY(place_of(node.inputs[1]));
  if (x.layout.dims.size() < 2 || w.layout.dims.size() < 2 || x.layout.dims.size() != w.layout.dims.size())
    return not_compiled("", "a product of activations of these ranks has no compiled form yet");
  if (codes && (tx.dtype != DType::u8 || tw.dtype != DType::u8))
    return not_compiled("", "a product of activations other than u8 codes has no compiled form yet");
  // Without a dot product of bytes the second operand is stored as s16, which holds w − zw itself: then w' = w − zw,
  // zw' = 0.
  const bool bytes = codes && target_.byte_dot_product;
  x = CUPEL_TRY(row_place(node.inputs[0]));
  const Dims out = CUPEL_TRY(item_dims(graph_, batch_, node.outputs[0]));
  const size_t lead_rank = out.size() - 2;
  const Dims lead(out.begin(), out.end() - 2);
  const int64_t rows = out[lead_rank], columns = out[lead_rank + 1], depth = x.layout.dims.back();
  const int64_t blocks = (columns + 15) / 16, per_group = !codes ? 1 : bytes ? 4 : 2;
  const int64_t groups = codes ? round_up(depth, 4) / per_group : depth;
  const int64_t block_bytes = groups * 64, packed_bytes = blocks * block_bytes;
  const auto buffer_bytes = [&](int64_t b) { return lowered_.program.buffers[static_cast<size_t>(b)].item_bytes; };
  const std::set<std::string> origins(node.origin.begin(), node.origin.end());

  // Pack: [lead][blocks][groups][16][per_group].
  const int64_t packed = add_buffer(node.name + "_packed", BufferPlace::arena, element_count(lead) * packed_bytes);
  const std::vector<int64_t> w_lead = lead_strides(w.layout, lead);
  std::vector<int64_t> packed_lead(lead_rank);
  int64_t stride = packed_bytes;
  for (size_t d = lead_rank; d-- > 0; stride *= lead[d]) packed_lead[d] = stride;
  const int64_t k_stride = w.layout.strides[lead_rank], n_stride = w.layout.strides[lead_rank + 1];
  const DType packed_type = !codes ? DType::f32 : bytes ? DType::s8 : DType::s16;
  const int32_t shift = !codes ? 0 : bytes ? 128 : tw.quant->zero_point[0];
  const auto pack_piece = [&](int64_t first_block, int64_t piece_blocks, int64_t width, int64_t first_group,
                              int64_t piece_groups, int64_t height, bool zero) {
    if (piece_blocks == 0 || width == 0 || piece_groups == 0 || height == 0) return;
    MapSpec spec;
    spec.space = joined(lead, {piece_blocks, piece_groups, width, height});
    spec.out = {packed_type, false, first_block * block_bytes + first_group * 64, buffer_bytes(packed), packed_lead};
    for (int64_t s : {block_bytes, int64_t{64}, per_group * element_bytes(packed_type), element_bytes(packed_type)})
      spec.out.strides.push_back(s);
    ExprBuilder b;
    std::vector<int64_t> buffers = {packed};
    if (zero) {
      spec.value = b.finish(Scalar(0));
    } else {
      Access read{tw.dtype, false, w.layout.offset + first_block * 16 * n_stride + first_group * per_group * k_stride,
                  buffer_bytes(w.layout.buffer), w_lead};
      for (int64_t s : {16 * n_stride, per_group * k_stride, n_stride, k_stride}) read.strides.push_back(s);
      spec.operands = {read};
      buffers.push_back(w.layout.buffer);
      const Scalar v = b.operand(0, tw.dtype);
      spec.value = b.finish(codes ? v - Scalar(shift) : v);
    }
    add_step({std::move(spec), MapSchedule{}}, std::move(buffers), origins, std::nullopt, nullptr);
  };
  const int64_t whole_blocks = columns / 16, width = columns % 16, whole_groups = depth / per_group,
                height = depth % per_group;
  if (whole_groups < groups) pack_piece(0, blocks, 16, whole_groups, groups - whole_groups, per_group, true);
  pack_piece(0, whole_blocks, 16, 0, whole_groups, per_group, false);
  pack_piece(whole_blocks, 1, width, 0, whole_groups, per_group, false);
  pack_piece(0, whole_blocks, 16, whole_groups, 1, height, false);
  pack_piece(whole_blocks, 1, width, whole_groups, 1, height, false);

  ContractSpec spec;
  Walk walk{joined(lead, {1, rows, columns}), {}, out, true};
  for (size_t d = 0; d < lead_rank; ++d) walk.item_dim.push_back(static_cast<int>(d));
  for (int d : {-1, static_cast<int>(lead_rank), static_cast<int>(lead_rank) + 1}) walk.item_dim.push_back(d);
  const size_t rank = walk.space.size();
  spec.space = walk.space;
  spec.a = {tx.dtype, false, x.layout.offset, buffer_bytes(x.layout.buffer), lead_strides(x.layout, lead)};
  for (int64_t s : {int64_t{0}, x.layout.strides[lead_rank], int64_t{0}}) spec.a.strides.push_back(s);
  spec.b = {packed_type, false, 0, buffer_bytes(packed), packed_lead};
  spec.b.strides.resize(rank, 0);
  spec.b_block_stride = block_bytes;
  spec.run = depth;

  Draft draft;
  int64_t start = 0;
  Scalar value = draft.expr.accumulator(0, codes ? ScalarType::s32 : ScalarType::f32);
  if (!codes) {
    const std::vector<float> zeros(static_cast<size_t>(blocks * 16), 0.0f);
    spec.start = column_access(std::as_bytes(std::span(zeros)), DType::f32, rank, start);
  } else {
    const int32_t zx = tx.quant->zero_point[0], zw = tw.quant->zero_point[0] - shift;
    // Column starts.
    start = add_buffer(node.name + "_starts", BufferPlace::arena, element_count(lead) * blocks * 64);
    std::vector<int64_t> start_lead(lead_rank);
    stride = blocks * 64;
    for (size_t d = lead_rank; d-- > 0; stride *= lead[d]) start_lead[d] = stride;
    const auto with_tail = [&](std::vector<int64_t> s, std::initializer_list<int64_t> tail) {
      s.insert(s.end(), tail);
      return s;
    };
    ContractSpec sums = spec;
    sums.space = joined(lead, {1, 1, columns});
    const std::vector<uint8_t> ones(static_cast<size_t>(round_up(depth, 4)) + 4, 1);
    const int64_t ones_buffer = add_constant(std::as_bytes(std::span(ones)));
    sums.a = {DType::u8, true, 0, 0, std::vector<int64_t>(rank, 0)};
    const std::vector<int32_t> zeros(static_cast<size_t>(blocks * 16), 0);
    int64_t zeros_buffer = 0;
    sums.start = column_access(std::as_bytes(std::span(zeros)), DType::s32, rank, zeros_buffer);
    sums.out = {DType::s32, false, 0, buffer_bytes(start), with_tail(start_lead, {0, 0, 4})};
    ExprBuilder b;
    sums.epilogue =
        b.finish(Scalar(static_cast<int32_t>(depth) * zx * zw) - b.accumulator(0, ScalarType::s32) * Scalar(zx));
    const ContractSchedule sums_schedule = start_schedule(sums, target_);
    add_step({std::move(sums), sums_schedule}, {start, ones_buffer, packed, zeros_buffer}, origins, std::nullopt,
             nullptr);
    spec.start = {DType::s32, false, 0, buffer_bytes(start), with_tail(start_lead, {0, 0, 4})};
    // Row sums.
    if (zw != 0) {
      const int64_t row_sums = add_buffer(node.name + "_row_sums", BufferPlace::arena, element_count(lead) * rows * 64);
      std::vector<int64_t> sums_lead(lead_rank);
      stride = rows * 64;
      for (size_t d = lead_rank; d-- > 0; stride *= lead[d]) sums_lead[d] = stride;
      Tensor ones_matrix(DType::s8, {16, depth});
      for (int8_t& one : ones_matrix.mutable_data<int8_t>()) one = 1;
      ContractSpec row_spec = spec;
      row_spec.space = joined(lead, {1, rows, 16});
      row_spec.b = {DType::s8, true, 0, 0, std::vector<int64_t>(rank, 0)};
      const int64_t ones_packed = add_constant(pack_weights_s8(ones_matrix, depth));
      row_spec.start = {DType::s32, true, 0, 0, with_tail(std::vector<int64_t>(lead_rank, 0), {0, 0, 4})};
      const std::vector<int32_t> sixteen(16, 0);
      const int64_t sixteen_buffer = add_constant(std::as_bytes(std::span(sixteen)));
      row_spec.out = {DType::s32, false, 0, buffer_bytes(row_sums), with_tail(sums_lead, {0, 64, 4})};
      ExprBuilder r;
      row_spec.epilogue = r.finish(r.accumulator(0, ScalarType::s32) + Scalar(0));
      const ContractSchedule row_schedule = start_schedule(row_spec, target_);
      add_step({std::move(row_spec), row_schedule}, {row_sums, x.layout.buffer, ones_packed, sixteen_buffer}, origins,
               std::nullopt, nullptr);
      draft.operands.push_back({DType::s32, false, 0, buffer_bytes(row_sums), with_tail(sums_lead, {0, 64, 0})});
      draft.operand_buffers.push_back(row_sums);
      value = value - draft.expr.operand(0, DType::s32) * Scalar(zw);
    }
    const float sx = tx.quant->scale[0], sw = tw.quant->scale[0];
    value =
        to_f32(value) * Scalar(ty.quant ? ops::product_ratio(sx, sw, ty.quant->scale[0]) : ops::scale_product(sx, sw));
    if (ty.quant) value = to_code(value, ty.dtype, ty.quant->zero_point[0]);
  }
  const Absorbed nodes = absorbable(id, node.outputs[0]);
  value = CUPEL_TRY(absorb(draft, node.outputs[0], value, nodes, walk));
  const ValueId result = take(id, nodes, node.outputs[0], draft);
  const Placed place = CUPEL_TRY(result_place(result, true, value));
  spec.epilogue = draft.expr.finish(value);
  spec.out = access(place, walk);
  spec.out.strides.back() = element_bytes(spec.out.dtype);
  for (Access& a : draft.operands) a.strides.resize(rank, 0);
  spec.operands = std::move(draft.operands);
  std::vector<int64_t> buffers = {place.layout.buffer, x.layout.buffer, packed, start};
  buffers.insert(buffers.end(), draft.operand_buffers.begin(), draft.operand_buffers.end());
  const ContractSchedule schedule = start_schedule(spec, target_);
  add_step({std::move(spec), schedule}, std::move(buffers), draft.origins, result, &place);
  places_[result] = place;
  return {};
}

}  // namespace cupel
