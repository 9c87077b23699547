// Conv, Gemm and MatMul as contract kernels.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "lower/lowering.h"
#include "lower/schedule.h"
#include "ops/requantize.h"

namespace cupel {
namespace {

bool all_finite(const Tensor& weights) {
  if (weights.dtype() != DType::f32) return true;
  const auto values = weights.data<float>();
  return std::all_of(values.begin(), values.end(), [](float v) { return std::isfinite(v); });
}

std::vector<float> floats(const Tensor& t, int64_t columns) {
  std::vector<float> out(static_cast<size_t>(columns));
  for (int64_t c = 0; c < columns; ++c)
    out[static_cast<size_t>(c)] = t.data<float>()[static_cast<size_t>(t.size() == 1 ? 0 : c)];
  return out;
}

}  // namespace

Lowering::CenteredWeights Lowering::centered_weights(const Tensor& rows, const TensorType& type) {
  const int64_t columns = rows.dims()[0], depth = columns == 0 ? 0 : rows.size() / columns;
  const auto centered = [&](int64_t i) {
    return rows.int_at(i) - type.quant->zero_point_at(type.quant->per_tensor() ? 0 : i / depth);
  };
  int64_t least = 0, greatest = 0;
  for (int64_t i = 0; i < rows.size(); ++i) {
    least = std::min(least, centered(i));
    greatest = std::max(greatest, centered(i));
  }
  const int64_t parts = std::max<int64_t>({1, (greatest + 126) / 127, (-least + 127) / 128});
  CenteredWeights out{Tensor(DType::s8, {columns, parts * depth}), {}};
  const auto codes = out.codes.mutable_data<int8_t>();
  for (int64_t c = 0; c < columns; ++c) {
    WeightSum& sum = out.sums.emplace_back();
    for (int64_t k = 0; k < depth; ++k) {
      int64_t rest = centered(c * depth + k);
      sum.add(rest);
      for (int64_t p = 0; p < parts; ++p) {
        const int64_t code = std::clamp<int64_t>(rest, -128, 127);
        codes[static_cast<size_t>((c * parts + p) * depth + k)] = static_cast<int8_t>(code);
        rest -= code;
      }
    }
  }
  return out;
}

Result<int64_t> Lowering::pack(const Tensor& rows, const TensorType& type, int64_t run, ContractSpec& spec,
                               std::vector<WeightSum>& sums, int64_t groups) {
  const int64_t columns = rows.dims()[0] / groups, depth = rows.dims()[1];
  if (rows.dtype() == DType::f32) {
    spec.b = {DType::f32, true, 0, 0, std::vector<int64_t>(spec.space.size(), 0)};
    spec.b_block_stride = block_bytes_f32(depth / run, run);
    std::vector<std::byte> all;
    for (int64_t g = 0; g < groups; ++g) {
      const Tensor packed = pack_weights_f32(rows.rows(g * columns, columns));
      if (g == 0 && groups > 1) spec.b.strides[0] = packed.bytes_size();
      all.insert(all.end(), packed.bytes().begin(), packed.bytes().end());
    }
    return add_constant(all);
  }
  const CenteredWeights centered = centered_weights(rows, type);
  sums.insert(sums.end(), centered.sums.begin(), centered.sums.end());
  const int64_t whole_depth = centered.codes.dims()[1];
  if (const int64_t parts = whole_depth / depth; parts > 1) {
    // One reduction after another over the same elements: the borders would be of the part's loop.
    spec.loops.insert(spec.loops.begin(), {parts, 0});
    spec.rows = spec.columns = {};
  }
  spec.b = {target_.byte_dot_product ? DType::s8 : DType::s16, true, 0, 0, std::vector<int64_t>(spec.space.size(), 0)};
  spec.b_block_stride = block_bytes_s8(whole_depth / run, run) * (target_.byte_dot_product ? 1 : 2);
  std::vector<std::byte> all;
  for (int64_t g = 0; g < groups; ++g) {
    const Tensor part = centered.codes.rows(g * columns, columns);
    const Tensor packed = target_.byte_dot_product ? pack_weights_s8(part, run) : pack_weights_s16(part, run);
    if (g == 0 && groups > 1) spec.b.strides[0] = packed.bytes_size();
    all.insert(all.end(), packed.bytes().begin(), packed.bytes().end());
  }
  return add_constant(all);
}

Lowering::SumScaling Lowering::sum_scaling(const TensorType& x, const TensorType& w, const TensorType& y,
                                           const Tensor* bias, std::span<const WeightSum> weights) {
  const int32_t zero = x.quant->zero_point[0];
  const auto most = static_cast<double>(std::max(dtype_max(x.dtype) - zero, zero - dtype_min(x.dtype)));
  SumScaling all;
  for (size_t c = 0; c < weights.size(); ++c) {
    const auto column = static_cast<int64_t>(c);
    const int64_t added = bias ? bias->int_at(bias->size() == 1 ? 0 : column) : 0;
    // Sums wrap on the way; the exact result fits, as integerize proved.
    all.starts.push_back(static_cast<int32_t>(static_cast<uint32_t>(added - zero * weights[c].sum)));
    const float sx = x.quant->scale[0], sw = w.quant->scale_at(column);
    all.multipliers.push_back(y.quant ? ops::product_ratio(sx, sw, y.quant->scale[0]) : ops::scale_product(sx, sw));
    // A conversion and a product, each rounded once.
    const double sum = most * static_cast<double>(weights[c].magnitude) + static_cast<double>(std::abs(added));
    all.reach = std::max(all.reach, sum * static_cast<double>(all.multipliers[c]) * (1 + 0x1p-20));
  }
  return all;
}

Status Lowering::finish_contraction(NodeId id, Contraction c) {
  const Node& node = graph_.node(id);
  const TensorType &tx = graph_.type(node.inputs[0]), &tw = graph_.type(node.inputs[1]),
                   &ty = graph_.type(node.outputs[0]);
  const size_t rank = c.walk.space.size();
  c.walk.whole_blocks = true;
  const bool has_bias = node.inputs.size() > 2 && node.inputs[2].valid();
  const Tensor* bias =
      has_bias && graph_.value(node.inputs[2]).constant ? &*graph_.value(node.inputs[2]).constant : nullptr;
  if (has_bias && (!bias || (bias->size() != c.columns && bias->size() != 1) ||
                   (bias->size() == c.columns && bias->dims().back() != c.columns)))
    return not_compiled("", "a bias that is not one constant for each output channel");
  Draft draft;
  const int64_t padded = round_up(c.columns, 16);
  int64_t start_buffer = 0;
  const Absorbed nodes = absorbable(id, node.outputs[0]);
  Scalar x = 0.0f;
  if (!tx.quant) {
    const std::vector<float> values = bias ? floats(*bias, c.columns) : std::vector<float>();
    std::vector<float> start(static_cast<size_t>(padded), 0.0f);
    if (!c.scales) std::copy(values.begin(), values.end(), start.begin());
    c.spec.start = column_access(std::as_bytes(std::span(start)), DType::f32, rank, start_buffer);
    x = draft.expr.accumulator(0, ScalarType::f32);
    if (c.padded) x = x + 0.0f;
    if (c.scales) {
      x = x * Scalar(attr_real(node.attributes, "alpha", 1));
      if (bias) x = fma(column_constant(draft, values, rank), Scalar(attr_real(node.attributes, "beta", 1)), x);
    }
    x = CUPEL_TRY(absorb(draft, node.outputs[0], x, nodes, c.walk));
  } else {
    SumScaling scaling = sum_scaling(tx, tw, ty, bias, c.weight_sums);
    scaling.starts.resize(static_cast<size_t>(padded), 0);
    c.spec.start = column_access(std::as_bytes(std::span(scaling.starts)), DType::s32, rank, start_buffer);
    x = to_f32(draft.expr.accumulator(0, ScalarType::s32)) * column_constant(draft, scaling.multipliers, rank);
    if (ty.quant) x = to_code_within(scaling.reach, x, ty.dtype, ty.quant->zero_point[0]);
    x = CUPEL_TRY(absorb(draft, node.outputs[0], x, nodes, c.walk));
  }
  const ValueId result = take(id, nodes, node.outputs[0], draft);
  const Placed place = CUPEL_TRY(result_place(result, true, x));
  c.spec.epilogue = draft.expr.finish(x);
  c.spec.space = c.walk.space;
  c.spec.out = access(place, c.walk);
  // A dimension of extent 1 has no stride of its own; the columns must be contiguous.
  c.spec.out.strides.back() = element_bytes(c.spec.out.dtype);
  for (Access& a : draft.operands) a.strides.resize(rank, 0);
  c.spec.operands = std::move(draft.operands);
  std::vector<int64_t> buffers = {place.layout.buffer, c.a_buffer, c.b_buffer, start_buffer};
  buffers.insert(buffers.end(), draft.operand_buffers.begin(), draft.operand_buffers.end());
  const ContractSchedule schedule = start_schedule(c.spec, target_);
  add_step({std::move(c.spec), schedule}, std::move(buffers), draft.origins, result, &place);
  places_[result] = place;
  return {};
}

Walk Lowering::image_walk(const Dims& dims) const { return {{dims[1], dims[2], dims[0]}, {1, 2, 0}, dims}; }

Status Lowering::lower_conv(NodeId id) {
  const Node& node = graph_.node(id);
  const TensorType &tx = graph_.type(node.inputs[0]), &tw = graph_.type(node.inputs[1]);
  const auto& weights = graph_.value(node.inputs[1]).constant;
  if (tx.shape.size() != 4)
    return not_compiled("", "a convolution over other than one or two dimensions has no compiled form");
  if (!weights) return not_compiled("", "weights computed at run time");
  if (attr_int(node.attributes, "group", 1) != 1) return lower_grouped_conv(id);
  const Window window = window_of(graph_, node);
  const Placed x = CUPEL_TRY(image_place(node.inputs[0], window.halo, HaloFill::zero));
  const Dims out_dims = CUPEL_TRY(item_dims(graph_, batch_, node.outputs[0]));
  const int64_t channels = x.layout.dims[0], elem = element_bytes(x.layout.dtype), pixel = x.layout.strides[2];
  Contraction c{image_walk(out_dims), {}, x.layout.buffer, 0, out_dims[0], {}};
  c.spec.space = c.walk.space;
  c.spec.a = window_access(x, window, 0);
  // Channels without gaps and a dense kernel row are one contiguous run.
  const bool whole_row = pixel == channels * elem && window.w.dilation == 1;
  c.spec.loops = window_taps(x, window);
  if (whole_row) c.spec.loops.pop_back();
  c.spec.run = whole_row ? window.w.kernel * channels : channels;
  c.padded = !window.halo.empty();
  if (all_finite(*weights)) {
    c.spec.rows = border(tx, window.h, x.layout.dims[1]);
    if (whole_row) c.spec.columns = border(tx, window.w, x.layout.dims[2]);
  }
  const Tensor ordered = permuted(*weights, {0, 2, 3, 1});
  const Tensor rows = ordered.reshaped({weights->dims()[0], ordered.size() / weights->dims()[0]});
  c.b_buffer = CUPEL_TRY(pack(rows, tw, c.spec.run, c.spec, c.weight_sums, 1));
  return finish_contraction(id, std::move(c));
}

Status Lowering::lower_gemm(NodeId id) {
  const Node& node = graph_.node(id);
  const auto& weights = graph_.value(node.inputs[1]).constant;
  if (!weights || attr_int(node.attributes, "transA", 0) != 0)
    return not_compiled("", "a Gemm with computed weights or transA has no compiled form yet");
  const Tensor rows = attr_int(node.attributes, "transB", 0) != 0 ? *weights : permuted(*weights, {1, 0});
  return lower_rows(id, rows);
}

Status Lowering::lower_matmul(NodeId id) {
  const Tensor& weights = *graph_.value(graph_.node(id).inputs[1]).constant;
  if (weights.rank() != 2) return not_compiled("", fmt::format("a constant operand of rank {}", weights.rank()));
  return lower_rows(id, permuted(weights, {1, 0}));
}

Status Lowering::lower_rows(NodeId id, const Tensor& rows) {
  const Node& node = graph_.node(id);
  const TensorType& tw = graph_.type(node.inputs[1]);
  const Placed x = CUPEL_TRY(row_place(node.inputs[0]));
  const int64_t columns = rows.dims()[0];
  Dims out = x.layout.dims;
  out.back() = columns;
  // Space {outer…, 1, rows, columns}.
  Contraction c{{{}, {}, out}, {}, x.layout.buffer, 0, columns, {}};
  c.spec.a = {x.layout.dtype,
              false,
              x.layout.offset,
              lowered_.program.buffers[static_cast<size_t>(x.layout.buffer)].item_bytes,
              {}};
  const size_t lead = out.size() - 1;  // dimensions before the columns
  for (size_t d = 0; d < lead; ++d) {
    if (d + 1 == lead) {
      c.walk.space.push_back(1);
      c.walk.item_dim.push_back(-1);
      c.spec.a.strides.push_back(0);
    }
    c.walk.space.push_back(out[d]);
    c.walk.item_dim.push_back(static_cast<int>(d));
    c.spec.a.strides.push_back(x.layout.strides[d]);
  }
  while (c.walk.space.size() < 2) {
    c.walk.space.insert(c.walk.space.begin(), 1);
    c.walk.item_dim.insert(c.walk.item_dim.begin(), -1);
    c.spec.a.strides.insert(c.spec.a.strides.begin(), 0);
  }
  c.walk.space.push_back(columns);
  c.walk.item_dim.push_back(static_cast<int>(lead));
  c.spec.a.strides.push_back(0);
  c.spec.space = c.walk.space;
  c.spec.run = rows.dims()[1];
  c.scales = attr_real(node.attributes, "alpha", 1) != 1 || attr_real(node.attributes, "beta", 1) != 1;
  c.b_buffer = CUPEL_TRY(pack(rows, tw, c.spec.run, c.spec, c.weight_sums, 1));
  return finish_contraction(id, std::move(c));
}

}  // namespace cupel
