// recurrent: RNN, GRU and LSTM as ONNX defines them, in binary32. A gate's chain starts at the sum of its two biases
// and goes by fma over the inputs, then over the hidden state, both ascending; the hidden part of a GRU's hidden gate
// with linear_before_reset is a chain of its own from its own bias. Activations are those of base/scalar_math.h.
//
// Operands: x [steps,rows,inputs] or with layout 1 [rows,steps,inputs]; lengths s32[rows]; h0, c0
// [directions,rows,hidden] or with layout 1 [rows,directions,hidden]; these three may be absent. Then constants:
// weights of inputs f32[directions,inputs,gates·hidden] and of the state f32[directions,hidden,gates·hidden], both in
// panels (recurrent_panels.h; a GRU's hidden gate begins one); biases f32[directions,2,gates·hidden], of inputs and of
// the state; peepholes f32[directions,3·hidden], if any. Results: y [steps,directions,rows,hidden] (layout 1:
// [rows,steps,directions,hidden]), then the last h and c, laid out as h0.
#include "base/scalar_math.h"
#include "runtime/op_call.h"
#include "runtime/recurrent_gates.h"
#include "runtime/recurrent_panels.h"

namespace cupel {
namespace {

enum Kind { kRnn, kGru, kLstm };
enum Attribute {
  kKind,
  kReverse,
  kHidden,
  kClip,
  kHasClip,
  kInputForget,
  kLinearBeforeReset,
  kLayout,
  kPeepholes,
  kActivations
};
constexpr int64_t kGates[] = {1, 3, 4};
// Of a direction: three, each a code, alpha and beta.
constexpr int64_t kActivationInts = 9;

// One direction of one row.
class Cell {
 public:
  Cell(const OpCall& call, int64_t direction, float* scratch)
      : kind_(call.attribute(kKind)),
        hidden_(call.attribute(kHidden)),
        width_(kGates[kind_] * hidden_),
        inputs_(call.operand(0).dims[2]),
        before_reset_(call.attribute(kLinearBeforeReset) != 0),
        input_weights_(call.operand(4).as<float>() + direction * inputs_ * width_),
        state_weights_(call.operand(5).as<float>() + direction * hidden_ * width_),
        biases_(call.operand(6).as<float>() + direction * 2 * width_),
        h_(scratch),
        c_(scratch + hidden_),
        spare_(scratch + 2 * hidden_),
        all_gates_(scratch + 3 * hidden_),
        gates_of_{hidden_, call.attribute(kHasClip) != 0, call.real(kClip), call.attribute(kInputForget) != 0} {
    if (call.attribute(kPeepholes) != 0) gates_of_.peepholes = call.operand(7).as<float>() + direction * 3 * hidden_;
    for (int64_t i = 0; i < 3; ++i) {
      const int64_t at = kActivations + direction * kActivationInts + 3 * i;
      gates_of_.functions[i] = {call.attribute(at), call.real(at + 1), call.real(at + 2)};
    }
  }
  float* h() { return h_; }
  float* c() { return c_; }
  int64_t hidden() const { return hidden_; }

  // What `count` steps, kStepsTogether at most, have of their biases and inputs; then each in turn by `step`.
  void begin(const float* const* x, int64_t count) {
    const float* state_biases = biases_ + width_;
    for (int64_t i = 0; i < count; ++i) {
      float* gates = all_gates_ + i * width_;
      for (int64_t j = 0; j < joint(); ++j) gates[j] = biases_[j] + state_biases[j];
      for (int64_t j = joint(); j < width_; ++j) gates[j] = before_reset_ ? biases_[j] : biases_[j] + state_biases[j];
    }
    add_products(all_gates_, width_, x, count, input_weights_, inputs_, joint());
    if (joint() < width_)
      add_products(all_gates_ + joint(), width_, x, count, input_weights_ + inputs_ * joint(), inputs_,
                   width_ - joint());
  }

  void step(int64_t i) {
    gates_ = all_gates_ + i * width_;
    add_products(gates_, width_, &h_, 1, state_weights_, hidden_, joint());
    if (kind_ == kRnn) return rnn();
    if (kind_ == kGru) return gru(biases_ + width_);
    gates_of_.lstm(gates_, h_, c_, spare_);
  }

 private:
  // Of a GRU the hidden gate, the last, waits for the reset gate.
  int64_t joint() const { return kind_ == kGru ? 2 * hidden_ : width_; }

  void activate(int64_t which, float* x) { gates_of_.activate(which, x); }

  void rnn() {
    activate(0, gates_);
    memcpy(h_, gates_, static_cast<size_t>(hidden_) * sizeof(float));
  }

  void gru(const float* state_biases) {
    float *update = gates_, *reset = gates_ + hidden_, *next = gates_ + 2 * hidden_;
    const float* weights = state_weights_ + hidden_ * joint();
    activate(0, update);
    activate(0, reset);
    if (before_reset_) {
      memcpy(spare_, state_biases + 2 * hidden_, static_cast<size_t>(hidden_) * sizeof(float));
      add_products(spare_, hidden_, &h_, 1, weights, hidden_, hidden_);
      for (int64_t j = 0; j < hidden_; ++j) next[j] = next[j] + reset[j] * spare_[j];
    } else {
      for (int64_t j = 0; j < hidden_; ++j) spare_[j] = reset[j] * h_[j];
      add_products(next, hidden_, &spare_, 1, weights, hidden_, hidden_);
    }
    activate(1, next);
    for (int64_t j = 0; j < hidden_; ++j) h_[j] = (1.0f - update[j]) * next[j] + update[j] * h_[j];
  }

  int64_t kind_, hidden_, width_, inputs_;
  bool before_reset_;
  const float *input_weights_, *state_weights_, *biases_;
  float *h_, *c_, *spare_, *all_gates_, *gates_ = nullptr;
  Gates gates_of_;
};

// Where the parts of a row lie, in numbers.
struct Layout {
  int64_t steps, rows, directions, inputs, hidden;
  bool rows_first;
  const float* x(const OpTensor& t, int64_t step, int64_t row) const {
    return t.as<float>() + (rows_first ? row * steps + step : step * rows + row) * inputs;
  }
  float* y(const OpTensor& t, int64_t step, int64_t direction, int64_t row) const {
    const int64_t at =
        rows_first ? (row * steps + step) * directions + direction : (step * directions + direction) * rows + row;
    return t.as<float>() + at * hidden;
  }
  float* state(const OpTensor& t, int64_t direction, int64_t row) const {
    return t.as<float>() + (rows_first ? row * directions + direction : direction * rows + row) * hidden;
  }
};

Layout layout_of(const OpCall& call) {
  const OpTensor x = call.operand(0);
  const bool rows_first = call.attribute(kLayout) != 0;
  return {x.dims[rows_first ? 1 : 0], x.dims[rows_first ? 0 : 1],
          call.operand(4).dims[0],    x.dims[2],
          call.attribute(kHidden),    rows_first};
}

void start(float* to, const OpTensor& t, const Layout& at, int64_t direction, int64_t row) {
  if (t.present())
    memcpy(to, at.state(t, direction, row), static_cast<size_t>(at.hidden) * sizeof(float));
  else
    memset(to, 0, static_cast<size_t>(at.hidden) * sizeof(float));
}

void run_row(const OpCall& call, const Layout& at, int64_t direction, int64_t row, int64_t length) {
  Cell cell(call, direction, reinterpret_cast<float*>(call.scratch()));
  const OpTensor x = call.operand(0), y = call.result(0);
  const size_t bytes = static_cast<size_t>(at.hidden) * sizeof(float);
  start(cell.h(), call.operand(2), at, direction, row);
  start(cell.c(), call.operand(3), at, direction, row);
  const bool backwards = direction == 1 || call.attribute(kReverse) != 0;
  const auto step_of = [=](int64_t i) { return backwards ? length - 1 - i : i; };
  for (int64_t first = 0; first < length; first += kStepsTogether) {
    const int64_t count = length - first < kStepsTogether ? length - first : kStepsTogether;
    const float* inputs[kStepsTogether] = {};
    for (int64_t i = 0; i < count; ++i) inputs[i] = at.x(x, step_of(first + i), row);
    cell.begin(inputs, count);
    for (int64_t i = 0; i < count; ++i) {
      cell.step(i);
      memcpy(at.y(y, step_of(first + i), direction, row), cell.h(), bytes);
    }
  }
  for (int64_t step = length; step < at.steps; ++step) memset(at.y(y, step, direction, row), 0, bytes);
  if (call.results() > 1) memcpy(at.state(call.result(1), direction, row), cell.h(), bytes);
  if (call.results() > 2) memcpy(at.state(call.result(2), direction, row), cell.c(), bytes);
}

bool has_dims(const OpTensor& t, DType type, int64_t a, int64_t b, int64_t c) {
  if (!t.is(type)) return false;
  const int64_t wanted[] = {a, b, c};
  int64_t rank = 0;
  while (rank < 3 && wanted[rank] >= 0) ++rank;
  if (t.rank != rank) return false;
  for (int64_t d = 0; d < rank; ++d)
    if (t.dims[d] != wanted[d]) return false;
  return true;
}

}  // namespace

const char* check_recurrent(const OpCall& call) {
  if (call.attributes() < kActivations || call.operands() != (call.attribute(kPeepholes) != 0 ? 8 : 7))
    return "expected seven operands, and peepholes";
  const int64_t kind = call.attribute(kKind), hidden = call.attribute(kHidden);
  if (kind < kRnn || kind > kLstm || hidden < 1) return "the kind or the size of the state is unknown";
  if (call.results() > (kind == kLstm ? 3 : 2)) return "too many results";
  const OpTensor x = call.operand(0), weights = call.operand(4);
  if (!x.is(DType::f32) || x.rank != 3 || !weights.is(DType::f32) || weights.rank != 3) return "expected f32 of rank 3";
  const Layout at = layout_of(call);
  const int64_t directions = at.directions, width = kGates[kind] * hidden;
  if (directions > 2 || call.attributes() != kActivations + directions * kActivationInts)
    return "expected activations for one or two directions";
  for (int64_t i = kActivations; i < call.attributes(); i += 3)
    if (call.attribute(i) < 0 || call.attribute(i) >= kActivationCount) return "an activation is unknown";
  const bool first = at.rows_first;
  const auto state = [&](const OpTensor& t) {
    return has_dims(t, DType::f32, first ? at.rows : directions, first ? directions : at.rows, hidden);
  };
  if (!has_dims(weights, DType::f32, directions, at.inputs, width) ||
      !has_dims(call.operand(5), DType::f32, directions, hidden, width) ||
      !has_dims(call.operand(6), DType::f32, directions, 2, width) ||
      (call.attribute(kPeepholes) != 0 && !has_dims(call.operand(7), DType::f32, directions, 3 * hidden, -1)))
    return "weights, biases or peepholes have other shapes";
  if ((call.operand(1).present() && !has_dims(call.operand(1), DType::s32, at.rows, -1, -1)) ||
      (call.operand(2).present() && !state(call.operand(2))) || (call.operand(3).present() && !state(call.operand(3))))
    return "lengths or states have other shapes";
  if (!call.result(0).is(DType::f32) || call.result(0).size() != at.steps * at.rows * directions * hidden)
    return "the result has another size";
  for (int64_t i = 1; i < call.results(); ++i)
    if (!state(call.result(i))) return "a last state has another shape";
  if (call.scratch_bytes() < (3 * hidden + kStepsTogether * width) * static_cast<int64_t>(sizeof(float)))
    return "too little scratch";
  return nullptr;
}

void run_recurrent(const OpCall& call, int64_t, int64_t) {
  const Layout at = layout_of(call);
  const OpTensor lengths = call.operand(1);
  for (int64_t direction = 0; direction < at.directions; ++direction)
    for (int64_t row = 0; row < at.rows; ++row) {
      const int64_t length = lengths.present() ? lengths.as<int32_t>()[row] : at.steps;
      if (length < 0 || length > at.steps) return call.fault(0, length, at.steps);
      run_row(call, at, direction, row, length);
    }
}

}  // namespace cupel
