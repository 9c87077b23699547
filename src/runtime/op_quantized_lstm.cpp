// quantized_lstm: an LSTM whose products are exact sums of bytes, as ONNX Runtime's DynamicQuantizeLSTM. x is quantized
// once, over the steps that some row has and all rows; h before each step, over all rows. Codes of numbers v: scale s =
// (max(v, 0) − min(v, 0)) / 255, 1 where that is 0; zero point z and codes are u8, the nearest integers to −min(v, 0) /
// s and, with z added, to v / s. A gate is (f32(Σ (x − zx) W) · (sx · sw) + f32(Σ (h − zh) R) · (sh · sr)) + bias; then
// the equations of ONNX's LSTM. Rows that have ended keep their state.
//
// Operands: x f32 [steps, rows, inputs]; lengths s32[rows]; h0, c0 [directions, rows, hidden]; these three may be
// absent. Then constants: W and R s8 [directions, whole inputs or hidden, whole 4·hidden] in panels (byte_panels.h), of
// which u8 has lost 128; their zero points and their columns' sums, s32 [directions, 4·hidden] each; their scales f32
// [directions, 4·hidden] each; biases f32 [directions, 4·hidden]; peepholes f32 [directions, 3·hidden], if any.
// Attributes: reverse, clip (bits), whether it clips, input_forget, whether there are peepholes; then three activations
// of each direction, each a code, alpha and beta. Results: y [steps, directions, rows, hidden], last h and c
// [directions, rows, hidden].
#include "runtime/byte_products.h"
#include "runtime/op_call.h"
#include "runtime/quantized_lstm.h"
#include "runtime/recurrent_gates.h"

namespace cupel {
namespace {

enum Operand {
  kX,
  kLengths,
  kH0,
  kC0,
  kW,
  kR,
  kWZero,
  kRZero,
  kWSums,
  kRSums,
  kWScale,
  kRScale,
  kBias,
  kPeepholes,
  kOperands
};
enum Attribute { kReverse, kClip, kHasClip, kInputForget, kHasPeepholes, kActivations };
constexpr int64_t kActivationInts = 9, kMostDepth = int64_t{1} << 15;  // sums of so many products stay in 32 bits

QuantizedLstmSizes sizes_of(const OpCall& call) {
  const OpTensor x = call.operand(kX);
  return {x.dims[0], x.dims[1], x.dims[2], call.operand(kBias).dims[0], call.operand(kBias).dims[1] / 4};
}

// Rows of codes, each filled up with zeros, with their sums.
struct Codes {
  uint8_t* codes;
  int32_t* sums;
  int64_t depth;
  float scale = 0.0f;
  int32_t zero = 0;

  const uint8_t* row(int64_t r) const { return codes + r * whole_depth(depth); }

  void quantize(const float* v, int64_t rows) {
    float least = 0.0f, greatest = 0.0f;
    for (int64_t i = 0; i < rows * depth; ++i) {
      least = v[i] < least ? v[i] : least;
      greatest = v[i] > greatest ? v[i] : greatest;
    }
    const auto nearest_byte = [](float x) {
      x = x > 0.0f ? x : 0.0f;  // NaN gives 0
      x = x < 255.0f ? x : 255.0f;
      return (x + 12582912.0f) - 12582912.0f;
    };
    const float step = (greatest - least) / 255.0f;
    const float divisor = step == 0.0f ? 1.0f : step, shift = nearest_byte((0.0f - least) / divisor);
    for (int64_t r = 0; r < rows; ++r) {
      uint8_t* to = codes + r * whole_depth(depth);
      int32_t sum = 0;
      for (int64_t k = 0; k < depth; ++k) {
        float x = v[r * depth + k] / divisor;
        x = x > -255.0f ? x : -255.0f;
        x = x < 255.0f ? x : 255.0f;
        const auto code = static_cast<int32_t>(nearest_byte(((x + 12582912.0f) - 12582912.0f) + shift));
        to[k] = static_cast<uint8_t>(code);
        sum += code;
      }
      for (int64_t k = depth; k < whole_depth(depth); ++k) to[k] = 0;
      sums[r] = sum;
    }
    scale = divisor;
    zero = static_cast<int32_t>(shift);
  }
};

// One direction's weights, and Σ (x − zx) (w − zw) = Σ x w − zx Σ w − zw (Σ x − K zx).
struct Weights {
  const int8_t* panels;
  const int32_t *zeros, *sums;
  const float* scales;
  int64_t depth, width;

  // out[i] of rows x[i].
  void multiply(const uint8_t* const* x, int64_t rows, int32_t* out) const {
    const int64_t k = whole_depth(depth), columns = whole_columns(width);
    multiply_bytes({x, panels, k, k, columns, out, columns}, rows);
  }
  float number(const int32_t* products, int64_t j, const Codes& x, int64_t row) const {
    const auto of_x = static_cast<uint32_t>(x.zero) * static_cast<uint32_t>(sums[j]);
    const auto of_w =
        static_cast<uint32_t>(zeros[j]) * static_cast<uint32_t>(x.sums[row] - static_cast<int32_t>(depth) * x.zero);
    const auto exact = static_cast<int32_t>(static_cast<uint32_t>(products[j]) - of_x - of_w);
    return static_cast<float>(exact) * (x.scale * scales[j]);
  }
};

class Direction {
 public:
  Direction(const OpCall& call, const QuantizedLstmSizes& sizes, int64_t direction)
      : call_(call), s_(sizes), direction_(direction), lengths_(call.operand(kLengths)) {
    const int64_t columns = whole_columns(s_.width());
    h_ = reinterpret_cast<float*>(call.scratch());
    c_ = h_ + s_.state();
    gates_ = c_ + s_.state();
    spare_ = gates_ + s_.width();
    from_x_ = reinterpret_cast<int32_t*>(spare_ + s_.hidden);
    from_h_ = from_x_ + s_.together() * s_.rows * columns;
    int32_t* sums = from_h_ + s_.rows * columns;
    auto* codes = reinterpret_cast<uint8_t*>(sums + (s_.steps + 1) * s_.rows);
    x_ = {codes, sums, s_.inputs};
    hs_ = {codes + s_.steps * s_.rows * whole_depth(s_.inputs), sums + s_.steps * s_.rows, s_.hidden};
    w_ = weights_of(kW, kWZero, kWSums, kWScale, s_.inputs);
    r_ = weights_of(kR, kRZero, kRSums, kRScale, s_.hidden);
    bias_ = call.operand(kBias).as<float>() + direction * s_.width();
    equations_ = {s_.hidden, call.attribute(kHasClip) != 0, call.real(kClip), call.attribute(kInputForget) != 0};
    if (call.attribute(kHasPeepholes) != 0)
      equations_.peepholes = call.operand(kPeepholes).as<float>() + direction * 3 * s_.hidden;
    for (int64_t i = 0; i < 3; ++i) {
      const int64_t at = kActivations + direction * kActivationInts + 3 * i;
      equations_.functions[i] = {call.attribute(at), call.real(at + 1), call.real(at + 2)};
    }
  }

  void run(int64_t longest) {
    start(call_.operand(kH0), h_);
    start(call_.operand(kC0), c_);
    x_.quantize(call_.operand(kX).as<float>(), longest * s_.rows);
    for (int64_t step = longest; step < s_.steps; ++step)
      memset(call_result(step, 0), 0, static_cast<size_t>(s_.state()) * sizeof(float));
    for (int64_t first = 0; first < longest; first += s_.together()) {
      const int64_t count = longest - first < s_.together() ? longest - first : s_.together();
      multiply_inputs(first, count);
      for (int64_t i = 0; i < count; ++i) advance(first + i, i);
    }
    for (int64_t i = 1; i < call_.results(); ++i)
      memcpy(call_.result(i).as<float>() + direction_ * s_.state(), i == 1 ? h_ : c_,
             static_cast<size_t>(s_.state()) * sizeof(float));
  }

 private:
  Weights weights_of(Operand panels, Operand zeros, Operand sums, Operand scales, int64_t depth) const {
    const int64_t width = s_.width();
    return {call_.operand(panels).as<int8_t>() + direction_ * whole_depth(depth) * whole_columns(width),
            call_.operand(zeros).as<int32_t>() + direction_ * width,
            call_.operand(sums).as<int32_t>() + direction_ * width,
            call_.operand(scales).as<float>() + direction_ * width,
            depth,
            width};
  }
  void start(const OpTensor& t, float* to) const {
    const size_t bytes = static_cast<size_t>(s_.state()) * sizeof(float);
    if (t.present())
      memcpy(to, t.as<float>() + direction_ * s_.state(), bytes);
    else
      memset(to, 0, bytes);
  }
  float* call_result(int64_t step, int64_t row) const {
    return call_.result(0).as<float>() + (step * s_.directions + direction_) * s_.state() + row * s_.hidden;
  }
  int64_t length(int64_t row) const { return lengths_.present() ? lengths_.as<int32_t>()[row] : s_.steps; }
  // The step that a row takes as its i-th; backwards it begins at its end. Behind its end a row has nothing.
  int64_t step_of(int64_t i, int64_t row) const {
    const bool backwards = direction_ == 1 || call_.attribute(kReverse) != 0;
    return backwards && i < length(row) ? length(row) - 1 - i : i;
  }

  // Products of the inputs of the steps [first, first + count) of all rows.
  void multiply_inputs(int64_t first, int64_t count) {
    multiply_all(w_, count * s_.rows, from_x_,
                 [&](int64_t n) { return x_.row(step_of(first + n / s_.rows, n % s_.rows) * s_.rows + n % s_.rows); });
  }
  template <class Row>
  void multiply_all(const Weights& weights, int64_t rows, int32_t* out, Row row) const {
    constexpr int64_t kMost = 16;
    const uint8_t* x[kMost];
    for (int64_t n = 0; n < rows; n += kMost) {
      const int64_t count = rows - n < kMost ? rows - n : kMost;
      for (int64_t i = 0; i < count; ++i) x[i] = row(n + i);
      weights.multiply(x, count, out + n * whole_columns(s_.width()));
    }
  }

  // The i-th step of all rows, whose inputs are the `at`-th that were multiplied.
  void advance(int64_t i, int64_t at) {
    hs_.quantize(h_, s_.rows);
    multiply_all(r_, s_.rows, from_h_, [&](int64_t row) { return hs_.row(row); });
    const int64_t columns = whole_columns(s_.width());
    const size_t bytes = static_cast<size_t>(s_.hidden) * sizeof(float);
    for (int64_t row = 0; row < s_.rows; ++row) {
      const int64_t step = step_of(i, row);
      if (i >= length(row)) {
        memset(call_result(step, row), 0, bytes);
        continue;
      }
      const int32_t *from_x = from_x_ + (at * s_.rows + row) * columns, *from_h = from_h_ + row * columns;
      for (int64_t j = 0; j < s_.width(); ++j)
        gates_[j] = (w_.number(from_x, j, x_, step * s_.rows + row) + r_.number(from_h, j, hs_, row)) + bias_[j];
      equations_.lstm(gates_, h_ + row * s_.hidden, c_ + row * s_.hidden, spare_);
      memcpy(call_result(step, row), h_ + row * s_.hidden, bytes);
    }
  }

  const OpCall& call_;
  QuantizedLstmSizes s_;
  int64_t direction_;
  OpTensor lengths_;
  float *h_, *c_, *gates_, *spare_;
  int32_t *from_x_, *from_h_;
  Codes x_, hs_;
  Weights w_, r_;
  const float* bias_;
  Gates equations_;
};

// Dimensions after the last are −1.
bool has(const OpTensor& t, DType type, int64_t a, int64_t b = -1, int64_t c = -1) {
  const int64_t wanted[] = {a, b, c};
  int64_t rank = 0;
  while (rank < 3 && wanted[rank] >= 0) ++rank;
  if (!t.is(type) || t.rank != rank) return false;
  for (int64_t d = 0; d < rank; ++d)
    if (t.dims[d] != wanted[d]) return false;
  return true;
}

}  // namespace

const char* check_quantized_lstm(const OpCall& call) {
  if (call.attributes() < kActivations ||
      call.operands() != (call.attribute(kHasPeepholes) != 0 ? kOperands : kPeepholes))
    return "expected thirteen operands, and peepholes";
  if (call.results() > 3) return "too many results";
  const OpTensor x = call.operand(kX), bias = call.operand(kBias);
  if (!x.is(DType::f32) || x.rank != 3 || !bias.is(DType::f32) || bias.rank != 2 || bias.dims[1] % 4 != 0)
    return "expected operands of rank 3, and biases";
  const QuantizedLstmSizes s = sizes_of(call);
  if (s.directions < 1 || s.directions > 2 || s.hidden < 1 || s.hidden > kMostDepth || s.inputs > kMostDepth)
    return "a size is out of range";
  if (call.attributes() != kActivations + s.directions * kActivationInts)
    return "expected activations for one or two directions";
  for (int64_t i = kActivations; i < call.attributes(); i += 3)
    if (call.attribute(i) < 0 || call.attribute(i) >= kActivationCount) return "an activation is unknown";
  const int64_t d = s.directions, width = s.width(), columns = whole_columns(width);
  if (!has(call.operand(kW), DType::s8, d, whole_depth(s.inputs), columns) ||
      !has(call.operand(kR), DType::s8, d, whole_depth(s.hidden), columns) ||
      (call.attribute(kHasPeepholes) != 0 && !has(call.operand(kPeepholes), DType::f32, d, 3 * s.hidden)))
    return "a constant has another shape";
  for (int64_t i = kWZero; i <= kBias; ++i)
    if (!has(call.operand(i), i < kWScale ? DType::s32 : DType::f32, d, width)) return "a constant has another shape";
  const OpTensor lengths = call.operand(kLengths);
  if (lengths.present() && !has(lengths, DType::s32, s.rows)) return "the lengths have another shape";
  for (const int64_t i : {kH0, kC0})
    if (call.operand(i).present() && !has(call.operand(i), DType::f32, d, s.rows, s.hidden))
      return "a state has another shape";
  if (!call.result(0).is(DType::f32) || call.result(0).size() != s.steps * d * s.state())
    return "the result has another size";
  for (int64_t i = 1; i < call.results(); ++i)
    if (!has(call.result(i), DType::f32, d, s.rows, s.hidden)) return "a last state has another shape";
  if (call.scratch_bytes() < s.scratch_bytes()) return "too little scratch";
  return nullptr;
}

void run_quantized_lstm(const OpCall& call, int64_t, int64_t) {
  const QuantizedLstmSizes s = sizes_of(call);
  const OpTensor lengths = call.operand(kLengths);
  int64_t longest = lengths.present() ? 0 : s.steps;
  for (int64_t row = 0; lengths.present() && row < s.rows; ++row) {
    const int64_t length = lengths.as<int32_t>()[row];
    if (length < 0 || length > s.steps) return call.fault(0, length, s.steps);
    longest = length > longest ? length : longest;
  }
  for (int64_t direction = 0; direction < s.directions; ++direction) Direction(call, s, direction).run(longest);
}

}  // namespace cupel
