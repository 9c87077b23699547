// RNN, GRU and LSTM: ONNX's definitions, carried out by routine `recurrent` (runtime/op_recurrent.cpp has the order of
// operations); ONNX Runtime's DynamicQuantizeLSTM, by routine `quantized_lstm`. Weights, biases and peepholes are
// constants, which the routine gets in panels or transposed.
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "ir/graph.h"
#include "ops/byte_panels.h"
#include "ops/op_table.h"
#include "ops/routine.h"
#include "ops/rules.h"
#include "runtime/quantized_lstm.h"
#include "runtime/recurrent_panels.h"

namespace cupel {
namespace {

using namespace ops;

struct Kind {
  int64_t number;  // as the routine counts them
  int64_t gates;
  int max_results;
  std::array<std::string_view, 3> activations;
  size_t activation_count;
};
constexpr Kind kRnnKind = {0, 1, 2, {"Tanh"}, 1};
constexpr Kind kGruKind = {1, 3, 2, {"Sigmoid", "Tanh"}, 2};
constexpr Kind kLstmKind = {2, 4, 3, {"Sigmoid", "Tanh", "Tanh"}, 3};

// In the order of the routine's codes, with ONNX's defaults.
struct ActivationRow {
  std::string_view name;
  float alpha, beta;
};
constexpr ActivationRow kActivations[] = {{"Tanh", 0, 0},
                                          {"Sigmoid", 0, 0},
                                          {"Relu", 0, 0},
                                          {"Affine", 1.0f, 0},
                                          {"LeakyRelu", 0.01f, 0},
                                          {"ThresholdedRelu", 1.0f, 0},
                                          {"ScaledTanh", 1.0f, 1.0f},
                                          {"HardSigmoid", 0.2f, 0.5f},
                                          {"Elu", 1.0f, 0},
                                          {"Softsign", 0, 0},
                                          {"Softplus", 0, 0}};

// Sizes of a node's operands.
struct Sizes {
  Dim steps, rows;
  int64_t inputs = 0, hidden = 0, directions = 1;
  bool rows_first = false;
};

Result<int64_t> directions_of(const Attributes& a) {
  const std::string direction = attr_text(a, "direction", "forward");
  if (direction == "bidirectional") return 2;
  if (direction == "forward" || direction == "reverse") return 1;
  return bad_input("", fmt::format("direction is {}", direction), "correct the attribute");
}

std::unexpected<Error> wrong_shape(const InferContext& c, size_t i, const Shape& expected) {
  if (!is_static(expected) || !is_static(c.shape(i)))
    return unsupported(
        "", fmt::format("operand {} has shape {}, expected {}", i, to_text(c.shape(i)), to_text(expected)), kGiveSize);
  return bad_input("", fmt::format("operand {} has shape {}, expected {}", i, to_text(c.shape(i)), to_text(expected)),
                   "correct the model's shapes");
}

Status expect_shape(const InferContext& c, size_t i, const Shape& expected) {
  if (!c.has(i) || c.shape(i) == expected) return {};
  return wrong_shape(c, i, expected);
}

Result<Sizes> sizes_of(const InferContext& c, const Kind& kind) {
  for (const size_t i : {size_t{0}, size_t{1}, size_t{2}}) {
    CUPEL_TRY(expect_dtype(c, i, DType::f32));
    CUPEL_TRY(expect_rank(c, i, 3));
  }
  Sizes s;
  s.rows_first = attr_int(c.attributes, "layout", 0) != 0;
  s.directions = CUPEL_TRY(directions_of(c.attributes));
  const Shape &x = c.shape(0), &w = c.shape(1), &r = c.shape(2);
  if (!x[2].is_constant() || !is_static(w) || !is_static(r))
    return unsupported("", "the number of inputs is symbolic", kGiveSize);
  s.steps = x[s.rows_first ? 1 : 0];
  s.rows = x[s.rows_first ? 0 : 1];
  s.inputs = x[2].factor;
  s.hidden = r[2].factor;
  if (s.hidden < 1 || s.inputs < 1 || s.hidden > (int64_t{1} << 24))
    return bad_input("", fmt::format("the state has {} numbers", s.hidden), "correct the model's shapes");
  const int64_t width = kind.gates * s.hidden, given = attr_int(c.attributes, "hidden_size", s.hidden);
  if (given != s.hidden)
    return bad_input("", fmt::format("hidden_size is {}, the weights have {}", given, s.hidden),
                     "correct the attribute");
  CUPEL_TRY(expect_shape(c, 1, {s.directions, width, s.inputs}));
  CUPEL_TRY(expect_shape(c, 2, {s.directions, width, s.hidden}));
  CUPEL_TRY(expect_shape(c, 3, {s.directions, 2 * width}));
  CUPEL_TRY(expect_shape(c, 4, {s.rows}));
  const Shape state = s.rows_first ? Shape{s.rows, s.directions, s.hidden} : Shape{s.directions, s.rows, s.hidden};
  CUPEL_TRY(expect_shape(c, 5, state));
  CUPEL_TRY(expect_shape(c, 6, state));
  CUPEL_TRY(expect_shape(c, 7, {s.directions, 3 * s.hidden}));
  for (const size_t i : {size_t{1}, size_t{2}, size_t{3}, size_t{7}})
    if (c.has(i) && c.constants[i] == nullptr)
      return computed_at_run_time(fmt::format("the weights (operand {}) are computed at run time", i), kGiveParameters);
  if (c.has(4) && c.type(4).dtype != DType::s32)
    return bad_input("", fmt::format("the lengths (operand 4) are {}", dtype_name(c.type(4).dtype)),
                     "correct the model");
  return s;
}

// Code, alpha and beta of each activation of each direction.
Result<std::vector<int64_t>> activations_of(const Attributes& a, const Kind& kind, int64_t directions) {
  const auto names = attr_texts(a, "activations");
  const auto alphas = attr_reals(a, "activation_alpha"), betas = attr_reals(a, "activation_beta");
  std::vector<int64_t> all;
  size_t alpha = 0, beta = 0;
  const size_t wanted = kind.activation_count * static_cast<size_t>(directions);
  if (!names.empty() && names.size() != wanted)
    return bad_input("", fmt::format("{} activations, expected {}", names.size(), wanted), "correct the attribute");
  for (size_t i = 0; i < wanted; ++i) {
    const std::string_view name = names.empty() ? kind.activations[i % kind.activation_count] : names[i];
    const auto same = [&](const ActivationRow& row) {
      return std::ranges::equal(row.name, name, [](char x, char y) { return std::tolower(x) == std::tolower(y); });
    };
    const auto row = std::ranges::find_if(kActivations, same);
    if (row == std::end(kActivations))
      return bad_input("", fmt::format("the activation {} is unknown", name), "correct the attribute");
    const bool takes_alpha = row->alpha != 0, takes_beta = row->beta != 0 || row->name == "Affine";
    all.push_back(row - std::begin(kActivations));
    all.push_back(real_attribute(takes_alpha && alpha < alphas.size() ? alphas[alpha++] : row->alpha));
    all.push_back(real_attribute(takes_beta && beta < betas.size() ? betas[beta++] : row->beta));
    // The routine has three for each direction.
    if ((i + 1) % kind.activation_count == 0)
      for (size_t more = kind.activation_count; more < 3; ++more) all.insert(all.end(), {0, 0, 0});
  }
  return all;
}

template <const Kind& kKind>
Result<Types> infer(const InferContext& c) {
  const Sizes s = CUPEL_TRY(sizes_of(c, kKind));
  CUPEL_TRY(activations_of(c.attributes, kKind, s.directions));
  const Shape y =
      s.rows_first ? Shape{s.rows, s.steps, s.directions, s.hidden} : Shape{s.steps, s.directions, s.rows, s.hidden};
  const Shape state = s.rows_first ? Shape{s.rows, s.directions, s.hidden} : Shape{s.directions, s.rows, s.hidden};
  Types types = {plain(DType::f32, y)};
  for (int i = 1; i < kKind.max_results; ++i) types.push_back(plain(DType::f32, state));
  return types;
}

// Weights [d][columns][K] as the routine has them: [d], columns below and from `apart`, panels, K, columns of a panel.
Tensor in_panels(const Tensor& t, int64_t apart) {
  const Dims& dims = t.dims();
  const int64_t width = dims[1], depth = dims[2];
  Tensor out(DType::f32, {dims[0], depth, width});
  const auto from = t.data<float>();
  float* to = out.mutable_data<float>().data();
  for (int64_t d = 0; d < dims[0]; ++d)
    for (int64_t first = 0, end = 0; first < width; first = end) {
      end = std::min(first + kPanelColumns, first < apart ? apart : width);
      for (int64_t k = 0; k < depth; ++k)
        for (int64_t j = first; j < end; ++j) *to++ = from[static_cast<size_t>((d * width + j) * depth + k)];
    }
  return out;
}

template <const Kind& kKind>
Result<RoutineUse> routine(const RoutineContext& c) {
  const Attributes& a = c.attributes;
  const Dims& r = c.inputs[2]->dims;
  const int64_t hidden = r[2], directions = r[0], width = kKind.gates * hidden;
  const bool rows_first = attr_int(a, "layout", 0) != 0;
  const auto constant = [&](size_t i) { return i < c.constants.size() ? c.constants[i] : nullptr; };
  RoutineUse use{.name = "recurrent", .operands = {0, 4, 5, 6}};
  use.attributes = {kKind.number,
                    attr_text(a, "direction", "forward") == "reverse" ? 1 : 0,
                    hidden,
                    real_attribute(attr_real(a, "clip", 0.0f)),
                    has_attr(a, "clip") ? 1 : 0,
                    attr_int(a, "input_forget", 0),
                    attr_int(a, "linear_before_reset", 0),
                    rows_first ? 1 : 0,
                    constant(7) ? 1 : 0};
  const auto activations = CUPEL_TRY(activations_of(a, kKind, directions));
  use.attributes.insert(use.attributes.end(), activations.begin(), activations.end());
  const int64_t apart = kKind.number == kGruKind.number ? 2 * hidden : width;
  use.constants = {in_panels(*constant(1), apart), in_panels(*constant(2), apart)};
  use.constants.push_back(constant(3) ? constant(3)->reshaped({directions, 2, width})
                                      : Tensor(DType::f32, {directions, 2, width}));
  if (constant(7)) use.constants.push_back(*constant(7));
  use.scratch_bytes = (3 * hidden + kStepsTogether * width) * static_cast<int64_t>(sizeof(float));
  use.keeps_items = rows_first;
  return use;
}

Cost cost(const Attributes&, std::span<const TensorType* const> inputs, std::span<const TensorType> outputs) {
  const Dims w = bind_shape(inputs[1]->shape, 1).value_or(Dims(3, 0)),
             y = bind_shape(outputs[0].shape, 1).value_or(Dims(4, 0));
  const Dims r = bind_shape(inputs[2]->shape, 1).value_or(Dims(3, 0));
  const int64_t runs = r[2] == 0 || w[0] == 0 ? 0 : element_count(y) / r[2];  // steps · rows · directions
  return {.macs = runs * w[1] * (w[2] + r[2]), .elementwise = 8 * element_count(y)};
}

std::vector<AttributeSpec> attributes(std::initializer_list<AttributeSpec> more) {
  std::vector<AttributeSpec> all = {
      {"activation_alpha", AttributeKind::reals}, {"activation_beta", AttributeKind::reals},
      {"activations", AttributeKind::texts},      {"clip", AttributeKind::real},
      {"direction", AttributeKind::text},         {"hidden_size", AttributeKind::integer},
      {"layout", AttributeKind::integer}};
  all.insert(all.end(), more);
  return all;
}

// ---- DynamicQuantizeLSTM: x, W, R, B, lengths, h0, c0, P, then scale and zero point of W and of R. W is [directions,
// inputs, 4·hidden], R [directions, hidden, 4·hidden]; their parameters are for a direction or for each column.

constexpr size_t kParameters[] = {8, 9, 10, 11};

Result<Types> infer_quantized(const InferContext& c) {
  for (const size_t i : {size_t{0}, size_t{1}, size_t{2}}) CUPEL_TRY(expect_rank(c, i, 3));
  for (const size_t i : kParameters)
    if (!c.has(i)) return bad_input("", fmt::format("operand {} is missing", i), "give every required operand");
  const Shape &x = c.shape(0), &r = c.shape(2);
  if (!is_static(x) || !is_static(r))
    return unsupported("", fmt::format("all of {} has one scale", to_text(x)), kGiveSize);
  const int64_t directions = CUPEL_TRY(directions_of(c.attributes)), hidden = r[1].factor, inputs = x[2].factor;
  constexpr int64_t kMost = int64_t{1} << 15;  // of op_quantized_lstm.cpp
  if (hidden < 1 || inputs < 1 || hidden > kMost || inputs > kMost)
    return unsupported("", fmt::format("{} inputs and a state of {}", inputs, hidden), "use a smaller network");
  if (const int64_t given = attr_int(c.attributes, "hidden_size", hidden); given != hidden)
    return bad_input("", fmt::format("hidden_size is {}, the weights have {}", given, hidden), "correct the attribute");
  const int64_t width = 4 * hidden;
  const Shape state = {directions, x[1], hidden};
  CUPEL_TRY(expect_shape(c, 1, {directions, inputs, width}));
  CUPEL_TRY(expect_shape(c, 2, {directions, hidden, width}));
  CUPEL_TRY(expect_shape(c, 3, {directions, 2 * width}));
  CUPEL_TRY(expect_shape(c, 4, {x[1]}));
  CUPEL_TRY(expect_shape(c, 5, state));
  CUPEL_TRY(expect_shape(c, 6, state));
  CUPEL_TRY(expect_shape(c, 7, {directions, 3 * hidden}));
  for (const size_t i : kParameters)
    if (c.shape(i) != Shape{directions}) CUPEL_TRY(expect_shape(c, i, {directions, width}));
  for (const size_t i : {1, 2, 3, 7, 8, 9, 10, 11})
    if (c.has(i) && c.constants[i] == nullptr)
      return computed_at_run_time(fmt::format("the weights (operand {}) are computed at run time", i), kGiveParameters);
  CUPEL_TRY(activations_of(c.attributes, kLstmKind, directions));
  return Types{plain(DType::f32, {x[0], directions, x[1], hidden}), plain(DType::f32, state), plain(DType::f32, state)};
}

Cost quantized_cost(const Attributes&, std::span<const TensorType* const> inputs, std::span<const TensorType> outputs) {
  const Dims w = bind_shape(inputs[1]->shape, 1).value_or(Dims(3, 0)), r = bind_shape(inputs[2]->shape, 1).value_or(w);
  const Dims y = bind_shape(outputs[0].shape, 1).value_or(Dims(4, 0));
  const int64_t runs = r[1] == 0 ? 0 : element_count(y) / r[1];  // steps · rows · directions
  return {.macs = runs * w[2] * (w[1] + r[1]), .elementwise = 8 * element_count(y)};
}

// Zero points [d] or [d, width] as [d, width].
Tensor zeros_of_columns(const Tensor& zeros, int64_t width) {
  return panel_zeros(zeros.dtype(), {zeros.dims()[0], width},
                     [&](int64_t i) { return zeros.int_at(zeros.rank() == 1 ? i / width : i); });
}

// [d] or [d, width] as [d, width]
Tensor spread(const Tensor& scales, int64_t width) {
  if (scales.rank() == 2) return scales;
  Tensor out(DType::f32, {scales.size(), width});
  for (int64_t i = 0; i < out.size(); ++i)
    out.mutable_data<float>()[static_cast<size_t>(i)] = scales.data<float>()[static_cast<size_t>(i / width)];
  return out;
}

Tensor sum_of_biases(const Tensor* biases, int64_t directions, int64_t width) {
  Tensor sum(DType::f32, {directions, width});
  for (int64_t i = 0; biases && i < sum.size(); ++i) {
    const auto at = static_cast<size_t>(i / width * 2 * width + i % width);
    sum.mutable_data<float>()[static_cast<size_t>(i)] =
        biases->data<float>()[at] + biases->data<float>()[at + static_cast<size_t>(width)];
  }
  return sum;
}

Result<RoutineUse> quantized_routine(const RoutineContext& c) {
  const Attributes& a = c.attributes;
  const auto constant = [&](size_t i) { return i < c.constants.size() ? c.constants[i] : nullptr; };
  const Dims &x = c.inputs[0]->dims, &r = c.inputs[2]->dims;
  const int64_t directions = r[0], hidden = r[1], width = 4 * hidden;
  RoutineUse use{.name = "quantized_lstm", .operands = {0, 4, 5, 6}};
  use.attributes = {attr_text(a, "direction", "forward") == "reverse" ? 1 : 0,
                    real_attribute(attr_real(a, "clip", 0.0f)), has_attr(a, "clip") ? 1 : 0,
                    attr_int(a, "input_forget", 0), constant(7) ? 1 : 0};
  const auto activations = CUPEL_TRY(activations_of(a, kLstmKind, directions));
  use.attributes.insert(use.attributes.end(), activations.begin(), activations.end());
  BytePanels w = in_byte_panels(*constant(1)), of_state = in_byte_panels(*constant(2));
  use.constants = {std::move(w.panels),
                   std::move(of_state.panels),
                   zeros_of_columns(*constant(9), width),
                   zeros_of_columns(*constant(11), width),
                   std::move(w.sums),
                   std::move(of_state.sums),
                   spread(*constant(8), width),
                   spread(*constant(10), width),
                   sum_of_biases(constant(3), directions, width)};
  if (constant(7)) use.constants.push_back(*constant(7));
  use.scratch_bytes = QuantizedLstmSizes{x[0], x[1], x[2], directions, hidden}.scratch_bytes();
  use.keeps_items = false;
  return use;
}

const std::vector<OperandTypes> kQuantizedTypes = {{DType::f32}, {kByteTypes},  {kByteTypes}, {DType::f32},
                                                   {DType::s32}, {DType::f32},  {DType::f32}, {DType::f32},
                                                   {DType::f32}, {kAnyType, 1}, {DType::f32}, {kAnyType, 2}};

const std::vector<OperandTypes> kOperandTypes = {{kFloatTypes}, {kAnyType, 0}, {kAnyType, 0}, {kAnyType, 0},
                                                 {DType::s32},  {kAnyType, 0}, {kAnyType, 0}, {kAnyType, 0}};

}  // namespace

namespace ops {
const OpDef kRNN{.name = "RNN",
                 .since_opset = 1,
                 .operand_types = kOperandTypes,
                 .min_inputs = 3,
                 .max_inputs = 6,
                 .max_outputs = 2,
                 .attributes = attributes({}),
                 .infer = infer<kRnnKind>,
                 .reference = evaluate_routine,
                 .routine = routine<kRnnKind>,
                 .cost = cost,
                 .samples = {R"(graph "rnn" stage imported opset 17 {
  input %x : f32[batch,3,2]
  constant %w : f32[1,2,2] = [0x1p-1, -0x1p-2, 0x1.8p-1, 0x1p-3]
  constant %r : f32[1,2,2] = [0x1p-2, 0x1p-1, -0x1p-1, 0x1.4p-1]
  constant %b : f32[1,4] = [0x1p-3, 0x1p-4, -0x1p-3, 0x1p-2]
  %y, %h = RNN(%x, %w, %r, %b) {layout=1, hidden_size=2, activations=texts ["Relu"], direction="reverse"}
  output %y
  output %h
})"}};

const OpDef kGRU{.name = "GRU",
                 .since_opset = 3,
                 .operand_types = kOperandTypes,
                 .min_inputs = 3,
                 .max_inputs = 6,
                 .max_outputs = 2,
                 .attributes = attributes({{"linear_before_reset", AttributeKind::integer}}),
                 .infer = infer<kGruKind>,
                 .reference = evaluate_routine,
                 .routine = routine<kGruKind>,
                 .cost = cost,
                 .samples = {R"(graph "gru" stage imported opset 17 {
  input %x : f32[batch,3,1]
  input %h0 : f32[batch,1,2]
  constant %w : f32[1,6,1] = [0x1p-1, -0x1p-2, 0x1.8p-1, 0x1p-3, -0x1p-1, 0x1p+0]
  constant %r : f32[1,6,2] = [0x1p-2, 0x1p-1, -0x1p-1, 0x1.4p-1, 0x1p-3, -0x1p-2, 0x1p-1, 0x1p-4, 0x1.8p-1, -0x1p-3, 0x1p-2, 0x1p-1]
  constant %b : f32[1,12] = [0x1p-3, 0x1p-4, -0x1p-3, 0x1p-2, 0x1p-3, 0x1p-4, -0x1p-3, 0x1p-2, 0x1p-3, 0x1p-4, -0x1p-3, 0x1p-2]
  %y, %h = GRU(%x, %w, %r, %b, _, %h0) {layout=1, hidden_size=2, linear_before_reset=1}
  output %y
  output %h
})",
                             R"(graph "gru_steps_first" stage imported opset 17 {
  input %x : f32[3,2,1]
  constant %w : f32[1,3,1] = [0x1p-1, -0x1p-2, 0x1.8p-1]
  constant %r : f32[1,3,1] = [0x1p-2, 0x1p-1, -0x1p-1]
  %y = GRU(%x, %w, %r) {hidden_size=1}
  output %y
})"}};

const OpDef kLSTM{.name = "LSTM",
                  .since_opset = 1,
                  .operand_types = kOperandTypes,
                  .min_inputs = 3,
                  .max_inputs = 8,
                  .max_outputs = 3,
                  .attributes = attributes({{"input_forget", AttributeKind::integer}}),
                  .infer = infer<kLstmKind>,
                  .reference = evaluate_routine,
                  .routine = routine<kLstmKind>,
                  .cost = cost,
                  .samples = {R"(graph "lstm" stage imported opset 17 {
  input %x : f32[batch,3,1]
  input %h0 : f32[batch,2,1]
  input %c0 : f32[batch,2,1]
  constant %w : f32[2,4,1] = [0x1p-1, -0x1p-2, 0x1.8p-1, 0x1p-3, -0x1p-1, 0x1p+0, 0x1p-2, 0x1p-1]
  constant %r : f32[2,4,1] = [0x1p-2, 0x1p-1, -0x1p-1, 0x1.4p-1, 0x1p-3, -0x1p-2, 0x1p-1, 0x1p-4]
  constant %b : f32[2,8] = [0x1p-3, 0x1p-4, -0x1p-3, 0x1p-2, 0x1p-3, 0x1p-4, -0x1p-3, 0x1p-2, 0x1p-3, 0x1p-4, -0x1p-3, 0x1p-2, 0x1p-3, 0x1p-4, -0x1p-3, 0x1p-2]
  constant %p : f32[2,3] = [0x1p-3, 0x1p-4, -0x1p-3, 0x1p-2, 0x1p-1, -0x1p-4]
  %y, %h, %c = LSTM(%x, %w, %r, %b, _, %h0, %c0, %p) {layout=1, hidden_size=1, direction="bidirectional", clip=0x1.8p-1}
  output %y
  output %h
  output %c
})",
                              R"(graph "lstm_steps_first" stage imported opset 17 {
  input %x : f32[3,2,1]
  constant %w : f32[1,4,1] = [0x1p-1, -0x1p-2, 0x1.8p-1, 0x1p-3]
  constant %r : f32[1,4,1] = [0x1p-2, 0x1p-1, -0x1p-1, 0x1.4p-1]
  constant %lengths : s32[2] = [3, 1]
  %y, %h = LSTM(%x, %w, %r, _, %lengths) {hidden_size=1, input_forget=1}
  output %y
  output %h
})"}};

const OpDef kDynamicQuantizeLSTM{.name = "DynamicQuantizeLSTM",
                                 .since_opset = 0,
                                 .operand_types = kQuantizedTypes,
                                 .min_inputs = 3,
                                 .max_inputs = 12,
                                 .max_outputs = 3,
                                 .attributes = attributes({{"input_forget", AttributeKind::integer}}),
                                 .infer = infer_quantized,
                                 .reference = evaluate_routine,
                                 .routine = quantized_routine,
                                 .cost = quantized_cost,
                                 .samples = {R"(graph "dynamic_quantize_lstm" stage imported opset 17 {
  input %x : f32[3,2,2]
  constant %w : s8[1,2,4] = [60, -30, 90, 127, -128, 5, 33, 80]
  constant %r : u8[1,1,4] = [60, 130, 190, 227]
  constant %lengths : s32[2] = [3, 1]
  constant %ws : f32[1] = [0x1p-6]
  constant %wz : s8[1] = [2]
  constant %rs : f32[1,4] = [0x1p-6, 0x1p-7, 0x1.8p-7, 0x1p-6]
  constant %rz : u8[1,4] = [128, 120, 130, 0]
  %y, %h, %c = DynamicQuantizeLSTM(%x, %w, %r, _, %lengths, _, _, _, %ws, %wz, %rs, %rz) {hidden_size=1}
  output %y
  output %h
  output %c
})"}};
}  // namespace ops
}  // namespace cupel
