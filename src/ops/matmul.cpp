// MatMul: matrix product with broadcast leading dimensions, as NumPy's. Gemm: alpha · A' · B' + beta · C.
#include <fmt/format.h>

#include <algorithm>

#include "ir/graph.h"
#include "ops/contract.h"
#include "ops/op_table.h"
#include "ops/rules.h"
#include "runtime/thread_pool.h"

namespace cupel {
namespace {

using namespace ops;

int64_t channel_axis_of_matmul(const Attributes&, int64_t weight_rank) { return weight_rank - 1; }
int64_t channel_axis_of_gemm(const Attributes& attributes, int64_t) {
  return attr_int(attributes, "transB", 0) != 0 ? 0 : 1;
}

// ---- MatMul

Result<Types> infer_matmul(const InferContext& c) {
  Shape out = CUPEL_TRY(product_shape(c));
  const Shape& b = c.shape(1);
  const auto& q = c.type(1).quant;
  if (q && !q->per_tensor() && (b.size() == 1 || q->axis != static_cast<int64_t>(b.size()) - 1))
    return unsupported("", fmt::format("a second operand with parameters along axis {}", q->axis),
                       "quantize weights per tensor or along the last axis");
  return Types{CUPEL_TRY(contraction_type(c, std::move(out)))};
}

// The product as `batches` products of [rows × depth] and [depth × columns] matrices.
struct Product {
  int64_t rows, depth, columns, batches;
  std::vector<int64_t> a_offset, b_offset;  // of each product, in elements
};

Product product_of(const Dims& a_dims, const Dims& b_dims) {
  Dims a = a_dims, b = b_dims;
  if (a.size() == 1) a.insert(a.begin(), 1);
  if (b.size() == 1) b.push_back(1);
  Product p{a[a.size() - 2], a.back(), b.back(), 1, {}, {}};
  const Dims lead_a(a.begin(), a.end() - 2), lead_b(b.begin(), b.end() - 2);
  Dims lead(std::max(lead_a.size(), lead_b.size()));
  for (size_t i = 0; i < lead.size(); ++i) {
    const int64_t x = i + lead_a.size() < lead.size() ? 1 : lead_a[i + lead_a.size() - lead.size()];
    const int64_t y = i + lead_b.size() < lead.size() ? 1 : lead_b[i + lead_b.size() - lead.size()];
    lead[i] = x == 1 ? y : x;
  }
  p.batches = element_count(lead);
  const Dims sa = broadcast_strides(lead_a, lead), sb = broadcast_strides(lead_b, lead), s = strides_of(lead);
  for (int64_t i = 0; i < p.batches; ++i) {
    int64_t oa = 0, ob = 0;
    for (size_t d = 0; d < lead.size(); ++d) {
      const int64_t index = i / s[d] % lead[d];
      oa += index * sa[d];
      ob += index * sb[d];
    }
    p.a_offset.push_back(oa * p.rows * p.depth);
    p.b_offset.push_back(ob * p.depth * p.columns);
  }
  return p;
}

constexpr int64_t kRowBlock = 32;

// Calls block(product, first row, rows) over blocks of result rows, on all threads.
template <class Block>
void for_each_row_block(const Product& p, ThreadPool& threads, Block&& block) {
  const int64_t blocks = (p.rows + kRowBlock - 1) / kRowBlock;
  const int64_t work = std::max<int64_t>(1, kRowBlock * p.depth * p.columns);
  threads.parallel_for(p.batches * blocks, std::max<int64_t>(1, 65536 / work), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t first = i % blocks * kRowBlock;
      block(i / blocks, first, std::min(kRowBlock, p.rows - first));
    }
  });
}

void product_s32(const EvalContext& c, const Product& p, const std::vector<int16_t>& a, const std::vector<int16_t>& b,
                 const int32_t* bias, int64_t bias_row_step) {
  const ContractionResult result(*c.input_types[0], *c.input_types[1], c.output_types[0], p.columns);
  for_each_row_block(p, c.threads, [&](int64_t i, int64_t first, int64_t rows) {
    std::vector<int32_t> sums(static_cast<size_t>(rows * p.columns), 0);
    if (bias)
      for (int64_t r = 0; r < rows; ++r)
        std::copy_n(bias + (first + r) * bias_row_step, p.columns, sums.data() + r * p.columns);
    contract_s32(rows, p.columns, p.depth, a.data() + p.a_offset[static_cast<size_t>(i)] + first * p.depth,
                 b.data() + p.b_offset[static_cast<size_t>(i)], p.columns, sums.data(), p.columns);
    for (int64_t r = 0; r < rows; ++r)
      result.store_channels(sums.data() + r * p.columns, p.columns, c.out(), (i * p.rows + first + r) * p.columns);
  });
}

Status reference_matmul(const EvalContext& c) {
  const Product p = product_of(c.in(0).dims(), c.in(1).dims());
  if (c.out().empty()) return {};
  if (c.input_types[0]->quant) {
    product_s32(c, p, centered_codes(c.in(0), *c.input_types[0]), centered_codes(c.in(1), *c.input_types[1]), nullptr,
                0);
    return {};
  }
  const float *a = c.in(0).data<float>().data(), *b = c.in(1).data<float>().data();
  float* out = c.out().mutable_data<float>().data();
  for_each_row_block(p, c.threads, [&](int64_t i, int64_t first, int64_t rows) {
    contract_f32(rows, p.columns, p.depth, a + p.a_offset[static_cast<size_t>(i)] + first * p.depth,
                 b + p.b_offset[static_cast<size_t>(i)], p.columns, out + (i * p.rows + first) * p.columns, p.columns);
  });
  return {};
}

Cost cost_matmul(const Attributes&, std::span<const TensorType* const> inputs, std::span<const TensorType> outputs) {
  const auto out = bind_shape(outputs[0].shape, 1);
  if (!out) return {};
  return {element_count(*out) * inputs[0]->shape.back().factor, 0};
}

// ---- Gemm

struct GemmShape {
  Dim rows;
  int64_t depth, columns;
};

Result<GemmShape> gemm_shape(const InferContext& c) {
  CUPEL_TRY(expect_rank(c, 0, 2));
  CUPEL_TRY(expect_rank(c, 1, 2));
  const bool ta = attr_int(c.attributes, "transA", 0) != 0, tb = attr_int(c.attributes, "transB", 0) != 0;
  const Dim rows = c.shape(0)[ta ? 1 : 0], depth = c.shape(0)[ta ? 0 : 1], other = c.shape(1)[tb ? 1 : 0],
            columns = c.shape(1)[tb ? 0 : 1];
  if (!(depth == other))
    return bad_input("", fmt::format("shapes {} and {} do not multiply", to_text(c.shape(0)), to_text(c.shape(1))),
                     "correct the model's shapes");
  if (!depth.is_constant() || !columns.is_constant())
    return unsupported("", "a symbolic dimension other than the rows", kGiveSize);
  return GemmShape{rows, depth.factor, columns.factor};
}

Result<Types> infer_gemm(const InferContext& c) {
  const GemmShape g = CUPEL_TRY(gemm_shape(c));
  const Shape out = {g.rows, g.columns};
  const auto& q = c.type(1).quant;
  if (q && !q->per_tensor() && q->axis != channel_axis_of_gemm(c.attributes, 2))
    return unsupported("", fmt::format("weights with parameters along axis {}", q->axis),
                       "quantize weights per tensor or per output channel");
  const TensorType type = CUPEL_TRY(contraction_type(c, out));
  if (c.type(0).quant && !is_plain_product(c.attributes))
    return unsupported("", "alpha or beta other than 1 with codes", "keep this op in float");
  if (c.has(2)) {
    const auto fits = broadcast_shapes(out, c.shape(2));
    if (!fits || *fits != out)
      return bad_input("",
                       fmt::format("C has shape {}, which does not broadcast to {}", to_text(c.shape(2)), to_text(out)),
                       "correct the model's shapes");
    CUPEL_TRY(expect_dtype(c, 2, c.type(0).quant ? DType::s32 : DType::f32));
  }
  return Types{type};
}

template <class T>
std::vector<T> transposed(const T* x, int64_t rows, int64_t columns) {
  std::vector<T> out(static_cast<size_t>(rows * columns));
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t c = 0; c < columns; ++c) out[static_cast<size_t>(c * rows + r)] = x[r * columns + c];
  return out;
}

// C broadcast to [rows × columns], or empty.
template <class T>
std::vector<T> spread(const Tensor& c, int64_t rows, int64_t columns) {
  std::vector<T> out(static_cast<size_t>(rows * columns));
  const Dims strides = broadcast_strides(c.dims(), {rows, columns});
  const auto x = c.data<T>();
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t j = 0; j < columns; ++j)
      out[static_cast<size_t>(r * columns + j)] = x[static_cast<size_t>(r * strides[0] + j * strides[1])];
  return out;
}

Status reference_gemm(const EvalContext& c) {
  const bool ta = attr_int(c.attributes, "transA", 0) != 0, tb = attr_int(c.attributes, "transB", 0) != 0;
  const Dims &da = c.in(0).dims(), &db = c.in(1).dims();
  const Product p{da[ta ? 1 : 0], da[ta ? 0 : 1], db[tb ? 0 : 1], 1, {0}, {0}};
  if (c.out().empty()) return {};
  if (c.input_types[0]->quant) {
    std::vector<int16_t> a = centered_codes(c.in(0), *c.input_types[0]), b = centered_codes(c.in(1), *c.input_types[1]);
    if (ta) a = transposed(a.data(), da[0], da[1]);
    if (tb) b = transposed(b.data(), db[0], db[1]);
    const std::vector<int32_t> bias = c.has(2) ? spread<int32_t>(c.in(2), p.rows, p.columns) : std::vector<int32_t>();
    product_s32(c, p, a, b, bias.empty() ? nullptr : bias.data(), p.columns);
    return {};
  }
  const float *a = c.in(0).data<float>().data(), *b = c.in(1).data<float>().data();
  std::vector<float> at, bt;
  if (ta) a = (at = transposed(a, da[0], da[1])).data();
  if (tb) b = (bt = transposed(b, db[0], db[1])).data();
  const float alpha = attr_real(c.attributes, "alpha", 1), beta = attr_real(c.attributes, "beta", 1);
  const bool simple = alpha == 1 && beta == 1;
  const std::vector<float> bias = c.has(2) ? spread<float>(c.in(2), p.rows, p.columns) : std::vector<float>();
  float* out = c.out().mutable_data<float>().data();
  for_each_row_block(p, c.threads, [&](int64_t, int64_t first, int64_t rows) {
    float* results = out + first * p.columns;
    const float* start = bias.empty() ? nullptr : bias.data() + first * p.columns;
    if (simple && start) std::copy_n(start, rows * p.columns, results);
    contract_f32(rows, p.columns, p.depth, a + first * p.depth, b, p.columns, results, p.columns);
    if (simple) return;
    for (int64_t i = 0; i < rows * p.columns; ++i) {
      const float scaled = alpha * results[i];
      results[i] = start ? __builtin_fmaf(beta, start[i], scaled) : scaled;
    }
  });
  return {};
}

Cost cost_gemm(const Attributes& attributes, std::span<const TensorType* const> inputs,
               std::span<const TensorType> outputs) {
  const auto out = bind_shape(outputs[0].shape, 1);
  if (!out) return {};
  return {element_count(*out) * inputs[0]->shape[attr_int(attributes, "transA", 0) != 0 ? 0 : 1].factor, 0};
}

}  // namespace

namespace ops {
Result<Shape> product_shape(const InferContext& c) {
  Shape a = c.shape(0), b = c.shape(1);
  if (a.empty() || b.empty()) return bad_input("", "an operand is a scalar", "correct the model's shapes");
  const bool row = a.size() == 1, column = b.size() == 1;
  if (row) a.insert(a.begin(), Dim(1));
  if (column) b.emplace_back(1);
  if (!(a.back() == b[b.size() - 2]))
    return bad_input("", fmt::format("shapes {} and {} do not multiply", to_text(c.shape(0)), to_text(c.shape(1))),
                     "correct the model's shapes");
  if (!a.back().is_constant())
    return unsupported("", fmt::format("the summed dimension {} is symbolic", to_text(a.back())), kGiveSize);
  const Shape lead_a(a.begin(), a.end() - 2), lead_b(b.begin(), b.end() - 2);
  Shape out = CUPEL_TRY(broadcast_shapes(lead_a, lead_b));
  if (!row) out.push_back(a[a.size() - 2]);
  if (!column) out.push_back(b.back());
  return out;
}

const OpDef kMatMul{.name = "MatMul",
                    .since_opset = 1,
                    .operand_types = same_type(kFloatTypes | kWideIntegerTypes),
                    .min_inputs = 2,
                    .max_inputs = 2,
                    .quant_rule = QuantRule::contraction,
                    .channel_axis = channel_axis_of_matmul,
                    .infer = infer_matmul,
                    .reference = reference_matmul,
                    .cost = cost_matmul,
                    .samples = {
                        R"(graph "matmul_weights" stage imported opset 17 {
  input %a : f32[batch,5,7]
  input %b : f32[7,6]
  %y = MatMul(%a, %b)
  output %y
})",
                        R"(graph "matmul_broadcast" stage imported opset 17 {
  input %a : f32[2,1,3,4]
  input %b : f32[3,4,5]
  %y = MatMul(%a, %b)
  output %y
})",
                        R"(graph "matmul_vector" stage imported opset 17 {
  input %a : f32[7]
  input %b : f32[2,7,3]
  %y = MatMul(%a, %b)
  output %y
})",
                        R"(graph "matmul_codes" stage integer opset 17 {
  input %a : u8[batch,5,7] quant(scale=[0x1p-6], zero_point=[90])
  input %b : s8[7,3] quant(axis=1, scale=[0x1p-7, 0x1p-6, 0x1.4p-7], zero_point=[0, 0, 0])
  %y = MatMul(%a, %b) : u8[batch,5,3] quant(scale=[0x1p-4], zero_point=[120])
  output %y
})",
                        R"(graph "matmul_two_activations" stage integer opset 17 {
  input %a : u8[batch,2,5,7] quant(scale=[0x1p-6], zero_point=[90])
  input %b : u8[batch,2,7,4] quant(scale=[0x1p-7], zero_point=[131])
  %y = MatMul(%a, %b)
  output %y
})"}};

const OpDef kGemm{.name = "Gemm",
                  .since_opset = 1,
                  .operand_types = same_type(kFloatTypes | kWideIntegerTypes),
                  .min_inputs = 2,
                  .max_inputs = 3,
                  .attributes = {{"alpha", AttributeKind::real},
                                 {"beta", AttributeKind::real},
                                 {"transA", AttributeKind::integer},
                                 {"transB", AttributeKind::integer}},
                  .quant_rule = QuantRule::contraction,
                  .channel_axis = channel_axis_of_gemm,
                  .infer = infer_gemm,
                  .reference = reference_gemm,
                  .cost = cost_gemm,
                  .samples = {
                      R"(graph "gemm_bias" stage imported opset 17 {
  input %a : f32[batch,7]
  input %b : f32[5,7]
  input %c : f32[5]
  %y = Gemm(%a, %b, %c) {transB=1}
  output %y
})",
                      R"(graph "gemm_alpha_beta" stage imported opset 17 {
  input %a : f32[7,4]
  input %b : f32[7,5]
  input %c : f32[4,1]
  %y = Gemm(%a, %b, %c) {transA=1, alpha=0.5, beta=2.0}
  output %y
})",
                      R"(graph "gemm_codes" stage integer opset 17 {
  input %a : u8[batch,7] quant(scale=[0x1p-6], zero_point=[12])
  input %b : s8[3,7] quant(axis=0, scale=[0x1p-7, 0x1p-6, 0x1.4p-7], zero_point=[0, 0, 0])
  input %c : s32[3]
  %y = Gemm(%a, %b, %c) {transB=1} : s8[batch,3] quant(scale=[0x1p-4], zero_point=[-5])
  output %y
})"}};
}  // namespace ops
}  // namespace cupel
