// Conv, Gemm and MatMul as contract kernels.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "lower/contraction.h"
#include "lower/finish.h"
#include "lower/op_lowerings.h"
#include "lower/schedule.h"
#include "lower/windows.h"
#include "ops/contract.h"
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

CenteredWeights centered_weights(const Tensor& rows, const TensorType& type) {
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
  CenteredWeights out{.codes = Tensor(DType::s8, {columns, parts * depth})};
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

int64_t pack_weights(Lowering& l, const Tensor& rows, const TensorType& type, int64_t run, ContractSpec& spec,
                     std::vector<WeightSum>& sums, int64_t groups) {
  const int64_t columns = rows.dims()[0] / groups, depth = rows.dims()[1];
  const bool bytes = l.target.byte_dot_product;
  spec.b = {.constant = true, .strides = std::vector<int64_t>(spec.space.size(), 0)};
  std::vector<std::byte> all;
  const auto add_group = [&](int64_t g, const Tensor& packed) {
    if (g == 0 && groups > 1) spec.b.strides[spec.space.size() - 4] = packed.bytes_size();
    all.insert(all.end(), packed.bytes().begin(), packed.bytes().end());
  };
  if (rows.dtype() == DType::f32) {
    spec.b.dtype = DType::f32;
    spec.b_block_stride = block_bytes_f32(depth / run, run);
    for (int64_t g = 0; g < groups; ++g) add_group(g, pack_weights_f32(rows.rows(g * columns, columns)));
    return l.steps.add_constant(all);
  }
  const CenteredWeights centered = centered_weights(rows, type);
  sums.insert(sums.end(), centered.sums.begin(), centered.sums.end());
  const int64_t whole_depth = centered.codes.dims()[1];
  if (const int64_t parts = whole_depth / depth; parts > 1) {
    // One reduction after another over the same elements: the borders would be of the part's loop.
    spec.loops.insert(spec.loops.begin(), {.count = parts, .stride = 0});
    spec.rows = spec.columns = {};
  }
  spec.b.dtype = bytes ? DType::s8 : DType::s16;
  spec.b_block_stride = block_bytes_s8(whole_depth / run, run) * (bytes ? 1 : 2);
  for (int64_t g = 0; g < groups; ++g) {
    const Tensor part = centered.codes.rows(g * columns, columns);
    add_group(g, bytes ? pack_weights_s8(part, run) : pack_weights_s16(part, run));
  }
  return l.steps.add_constant(all);
}

SumScaling sum_scaling(const TensorType& x, const TensorType& w, const TensorType& y, const Tensor* bias,
                       std::span<const WeightSum> weights) {
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

Status finish_contraction(Lowering& l, NodeId id, Contraction c) {
  const Node& node = l.graph.node(id);
  const TensorType &tx = l.graph.type(node.inputs[0]), &tw = l.graph.type(node.inputs[1]),
                   &ty = l.graph.type(node.outputs[0]);
  const size_t rank = c.walk.space.size();
  c.walk.whole_blocks = true;
  const Tensor* bias = constant_operand(l.graph, node, 2);
  const Absorbed nodes = l.absorption.behind(id, node.outputs[0]);
  Draft draft;
  const auto padded = static_cast<size_t>(round_up(c.columns, 16));
  int64_t start_buffer = 0;
  Scalar x = 0.0f;
  if (has_operand(node, 2) && !bias) {
    if (tx.quant) return no_compiled_form("a bias of codes that is computed at run time");
    start_buffer = CUPEL_TRY(computed_starts(l, node, c.spec.start, rank, 1));
    x = draft.expr.accumulator(0, ScalarType::f32);
    if (c.padded) x = x + 0.0f;
  } else if (!tx.quant) {
    const std::vector<float> values = bias ? floats(*bias, c.columns) : std::vector<float>();
    std::vector<float> start = c.scales ? std::vector<float>() : values;
    start.resize(padded, 0.0f);
    c.spec.start = l.expressions.column_access(std::as_bytes(std::span(start)), DType::f32, rank, start_buffer);
    x = draft.expr.accumulator(0, ScalarType::f32);
    if (c.padded) x = x + 0.0f;
    if (c.scales) {
      x = x * Scalar(attr_real(node.attributes, "alpha", 1));
      if (bias)
        x = fma(l.expressions.column_constant(draft, values, rank), Scalar(attr_real(node.attributes, "beta", 1)), x);
    }
  } else {
    SumScaling scaling = sum_scaling(tx, tw, ty, bias, c.weight_sums);
    scaling.starts.resize(padded, 0);
    c.spec.start =
        l.expressions.column_access(std::as_bytes(std::span(scaling.starts)), DType::s32, rank, start_buffer);
    x = to_f32(draft.expr.accumulator(0, ScalarType::s32)) *
        l.expressions.column_constant(draft, scaling.multipliers, rank);
    if (ty.quant) x = to_code_within(scaling.reach, x, ty.dtype, ty.quant->zero_point[0]);
  }
  return finish_contract(l, id, std::move(c.spec), c.walk, draft, x, nodes, {c.a_buffer, c.b_buffer, start_buffer});
}

Status expect_convolution(const Graph& graph, const Node& node) {
  if (graph.type(node.inputs[0]).shape.size() != 4)
    return no_compiled_form("a convolution over other than one or two dimensions has no compiled form");
  return {};
}

Tensor rows_of_weights(const Tensor& weights) {
  const Tensor ordered = permuted(weights, {0, 2, 3, 1});
  return ordered.reshaped({weights.dims()[0], ordered.size() / weights.dims()[0]});
}

Status lower_conv(Lowering& l, NodeId id) {
  const Node& node = l.graph.node(id);
  CUPEL_TRY(expect_convolution(l.graph, node));
  const TensorType &tx = l.graph.type(node.inputs[0]), &tw = l.graph.type(node.inputs[1]);
  const Tensor* weights = constant_operand(l.graph, node, 1);
  const Window window = window_of(l.graph, node);
  const Placed x = CUPEL_TRY(l.places.image(node.inputs[0], window.halo, HaloFill::zero));
  const Dims out_dims = CUPEL_TRY(l.facts.item_dims(node.outputs[0]));
  const int64_t channels = x.layout.dims[1], elem = element_bytes(x.layout.dtype), pixel = x.layout.strides[3];
  Contraction c{.walk = image_walk(out_dims),
                .a_buffer = x.layout.buffer,
                .columns = out_dims[1],
                .padded = !window.halo.empty()};
  c.spec.space = c.walk.space;
  c.spec.a = window_access(l.steps, x, window, 0);
  // Channels without gaps and a dense kernel row are one contiguous run.
  const bool whole_row = pixel == channels * elem && window.w.dilation == 1;
  c.spec.loops = window_taps(x, window);
  if (whole_row) c.spec.loops.pop_back();
  c.spec.run = whole_row ? window.w.kernel * channels : channels;
  if (weights && all_finite(*weights)) {
    c.spec.rows = border_of(tx, window.h);
    if (whole_row) c.spec.columns = border_of(tx, window.w);
  }
  c.b_buffer = weights ? pack_weights(l, rows_of_weights(*weights), tw, c.spec.run, c.spec, c.weight_sums, 1)
                       : CUPEL_TRY(pack_computed_weights(l, node, c.spec, 1));
  return finish_contraction(l, id, std::move(c));
}

namespace {

// Rows of the first operand times a constant matrix, given as [columns][K].
Status lower_rows(Lowering& l, NodeId id, const Tensor& rows) {
  const Node& node = l.graph.node(id);
  const TensorType& tw = l.graph.type(node.inputs[1]);
  const Placed x = CUPEL_TRY(l.places.row(node.inputs[0]));
  const int64_t columns = rows.dims()[0];
  Dims out = x.layout.dims;
  out.back() = columns;
  // Space {outer…, 1, rows, columns}.
  Contraction c{.walk = {.dims = out}, .a_buffer = x.layout.buffer, .columns = columns};
  Walk& walk = c.walk;
  c.spec.a = l.steps.first_element(x.layout);
  std::vector<int64_t>& strides = c.spec.a.strides;
  const size_t lead = out.size() - 1;  // dimensions before the columns
  for (size_t d = first_walked(out); d < lead; ++d) {
    if (d + 1 == lead) {
      walk.space.push_back(1);
      walk.item_dim.push_back(-1);
      strides.push_back(0);
    }
    walk.space.push_back(out[d]);
    walk.item_dim.push_back(static_cast<int>(d));
    strides.push_back(x.layout.strides[d]);
  }
  while (walk.space.size() < 2) {
    walk.space.insert(walk.space.begin(), 1);
    walk.item_dim.insert(walk.item_dim.begin(), -1);
    strides.insert(strides.begin(), 0);
  }
  walk.space.push_back(columns);
  walk.item_dim.push_back(static_cast<int>(lead));
  strides.push_back(0);
  c.spec.space = walk.space;
  c.spec.run = rows.dims()[1];
  c.scales = !ops::is_plain_product(node.attributes);
  c.b_buffer = pack_weights(l, rows, tw, c.spec.run, c.spec, c.weight_sums, 1);
  return finish_contraction(l, id, std::move(c));
}

}  // namespace

Status lower_gemm(Lowering& l, NodeId id) {
  const Node& node = l.graph.node(id);
  const Tensor& weights = *l.graph.value(node.inputs[1]).constant;
  return lower_rows(l, id, attr_int(node.attributes, "transB", 0) != 0 ? weights : permuted(weights, {1, 0}));
}

Status lower_matmul(Lowering& l, NodeId id) {
  return lower_rows(l, id, permuted(*l.graph.value(l.graph.node(id).inputs[1]).constant, {1, 0}));
}

}  // namespace cupel
