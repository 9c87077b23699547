// quantized_lstm: an LSTM whose products are exact sums of bytes, as ONNX Runtime's DynamicQuantizeLSTM. x is quantized
// once, over the steps that some row has and all rows; h before each step, over all rows. Codes of numbers v: scale s =
// (max(v, 0) − min(v, 0)) / 255, 1 where that is 0; zero point z and codes are u8, the nearest integers to −min(v, 0) /
// s and, with z added, to v / s. A gate is (f32(Σ (x − zx) W) · (sx · sw) + f32(Σ (h − zh) R) · (sh · sr)) + bias; then
// the equations of ONNX's LSTM. Rows that have ended keep their state.
//
// Operands: x f32 [steps, rows, inputs]; lengths s32[rows]; h0, c0 [directions, rows, hidden]; these three may be
// absent. Then constants: W s16 [directions, 4·hidden, inputs] and R s16 [directions, 4·hidden, hidden], without their
// zero points; their scales f32 [directions, 4·hidden] each; biases f32 [directions, 4·hidden]; peepholes f32
// [directions, 3·hidden], if any. Attributes: reverse, clip (bits), whether it clips, input_forget, whether there are
// peepholes; then three activations of each direction, each a code, alpha and beta. Results: y [steps, directions,
// rows, hidden], last h and c [directions, rows, hidden].
#include "runtime/op_call.h"
#include "runtime/recurrent_gates.h"

namespace cupel {
namespace {

enum Operand { kX, kLengths, kH0, kC0, kW, kR, kWScale, kRScale, kBias, kPeepholes, kOperands };
enum Attribute { kReverse, kClip, kHasClip, kInputForget, kHasPeepholes, kActivations };
constexpr int64_t kActivationInts = 9, kMostDepth = int64_t{1} << 15;  // sums of so many products stay in 32 bits

struct Sizes {
  int64_t steps, rows, inputs, directions, hidden;

  int64_t width() const { return 4 * hidden; }
  int64_t state() const { return rows * hidden; }
  // h and c of all rows, gates, one more row; then codes of x and of h.
  int64_t scratch_bytes() const {
    return (2 * state() + width() + hidden) * static_cast<int64_t>(sizeof(float)) +
           (steps * rows * inputs + state()) * static_cast<int64_t>(sizeof(int16_t));
  }
};

Sizes sizes_of(const OpCall& call) {
  const OpTensor x = call.operand(kX), r = call.operand(kR);
  return {x.dims[0], x.dims[1], x.dims[2], r.dims[0], r.dims[2]};
}

// out[i] = code of v[i] minus the zero point; the scale.
float quantize(const float* v, int64_t count, int16_t* out) {
  float least = 0.0f, greatest = 0.0f;
  for (int64_t i = 0; i < count; ++i) {
    least = v[i] < least ? v[i] : least;
    greatest = v[i] > greatest ? v[i] : greatest;
  }
  const auto nearest_byte = [](float x) {
    x = x > 0.0f ? x : 0.0f;  // NaN gives 0
    x = x < 255.0f ? x : 255.0f;
    return (x + 12582912.0f) - 12582912.0f;
  };
  const float step = (greatest - least) / 255.0f, scale = step == 0.0f ? 1.0f : step;
  const float zero = nearest_byte((0.0f - least) / scale);
  for (int64_t i = 0; i < count; ++i) {
    float x = v[i] / scale;
    x = x > -255.0f ? x : -255.0f;
    x = x < 255.0f ? x : 255.0f;
    out[i] = static_cast<int16_t>(nearest_byte(((x + 12582912.0f) - 12582912.0f) + zero) - zero);
  }
  return scale;
}

int32_t dot(const int16_t* __restrict a, const int16_t* __restrict b, int64_t count) {
  int32_t sum = 0;
  for (int64_t k = 0; k < count; ++k) sum += static_cast<int32_t>(a[k]) * static_cast<int32_t>(b[k]);
  return sum;
}

class Direction {
 public:
  Direction(const OpCall& call, const Sizes& sizes, int64_t direction)
      : call_(call), s_(sizes), direction_(direction), lengths_(call.operand(kLengths)) {
    h_ = reinterpret_cast<float*>(call.scratch());
    c_ = h_ + s_.state();
    gates_ = c_ + s_.state();
    spare_ = gates_ + s_.width();
    x_codes_ = reinterpret_cast<int16_t*>(spare_ + s_.hidden);
    h_codes_ = x_codes_ + s_.steps * s_.rows * s_.inputs;
    weights_ = call.operand(kW).as<int16_t>() + direction * s_.width() * s_.inputs;
    recurrence_ = call.operand(kR).as<int16_t>() + direction * s_.width() * s_.hidden;
    weight_scales_ = call.operand(kWScale).as<float>() + direction * s_.width();
    recurrence_scales_ = call.operand(kRScale).as<float>() + direction * s_.width();
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
    const float x_scale = quantize(call_.operand(kX).as<float>(), longest * s_.rows * s_.inputs, x_codes_);
    const bool backwards = direction_ == 1 || call_.attribute(kReverse) != 0;
    for (int64_t step = longest; step < s_.steps; ++step)
      memset(call_result(step, 0), 0, static_cast<size_t>(s_.state()) * sizeof(float));
    for (int64_t i = 0; i < longest; ++i) {
      const float h_scale = quantize(h_, s_.state(), h_codes_);
      for (int64_t row = 0; row < s_.rows; ++row) {
        const int64_t length = lengths_.present() ? lengths_.as<int32_t>()[row] : s_.steps;
        // Behind its end a row has nothing; backwards it begins at its end.
        if (i >= length) {
          memset(call_result(i, row), 0, static_cast<size_t>(s_.hidden) * sizeof(float));
          continue;
        }
        const int64_t step = backwards ? length - 1 - i : i;
        advance(row, step, x_scale, h_scale);
        memcpy(call_result(step, row), h_ + row * s_.hidden, static_cast<size_t>(s_.hidden) * sizeof(float));
      }
    }
    for (int64_t i = 1; i < call_.results(); ++i)
      memcpy(call_.result(i).as<float>() + direction_ * s_.state(), i == 1 ? h_ : c_,
             static_cast<size_t>(s_.state()) * sizeof(float));
  }

 private:
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
  void advance(int64_t row, int64_t step, float x_scale, float h_scale) {
    const int16_t *x = x_codes_ + (step * s_.rows + row) * s_.inputs, *h = h_codes_ + row * s_.hidden;
    for (int64_t j = 0; j < s_.width(); ++j) {
      const float from_x =
          static_cast<float>(dot(x, weights_ + j * s_.inputs, s_.inputs)) * (x_scale * weight_scales_[j]);
      const float from_h =
          static_cast<float>(dot(h, recurrence_ + j * s_.hidden, s_.hidden)) * (h_scale * recurrence_scales_[j]);
      gates_[j] = (from_x + from_h) + bias_[j];
    }
    equations_.lstm(gates_, h_ + row * s_.hidden, c_ + row * s_.hidden, spare_);
  }

  const OpCall& call_;
  Sizes s_;
  int64_t direction_;
  OpTensor lengths_;
  float *h_, *c_, *gates_, *spare_;
  int16_t *x_codes_, *h_codes_;
  const int16_t *weights_, *recurrence_;
  const float *weight_scales_, *recurrence_scales_, *bias_;
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
    return "expected nine operands, and peepholes";
  if (call.results() > 3) return "too many results";
  const OpTensor x = call.operand(kX), r = call.operand(kR);
  if (!x.is(DType::f32) || x.rank != 3 || !r.is(DType::s16) || r.rank != 3) return "expected operands of rank 3";
  const Sizes s = sizes_of(call);
  if (s.directions < 1 || s.directions > 2 || s.hidden < 1 || s.hidden > kMostDepth || s.inputs > kMostDepth)
    return "a size is out of range";
  if (call.attributes() != kActivations + s.directions * kActivationInts)
    return "expected activations for one or two directions";
  for (int64_t i = kActivations; i < call.attributes(); i += 3)
    if (call.attribute(i) < 0 || call.attribute(i) >= kActivationCount) return "an activation is unknown";
  const int64_t d = s.directions, width = s.width();
  if (!has(call.operand(kW), DType::s16, d, width, s.inputs) || !has(r, DType::s16, d, width, s.hidden) ||
      !has(call.operand(kWScale), DType::f32, d, width) || !has(call.operand(kRScale), DType::f32, d, width) ||
      !has(call.operand(kBias), DType::f32, d, width) ||
      (call.attribute(kHasPeepholes) != 0 && !has(call.operand(kPeepholes), DType::f32, d, 3 * s.hidden)))
    return "a constant has another shape";
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
  const Sizes s = sizes_of(call);
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
