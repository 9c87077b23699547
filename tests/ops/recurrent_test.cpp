// RNN, GRU and LSTM against the chains that docs/quantization.md gives, number by number and bit by bit: states of many
// panels and a part of one, more steps than are multiplied at once.
#include <cmath>

#include "base/scalar_math.h"
#include "ops/op_table.h"
#include "run_op.h"

namespace cupel {
namespace {

using namespace cupel::testing;
using Reals = std::vector<float>;

constexpr int64_t kSteps = 37, kRows = 2, kInputs = 19;

struct Network {
  int64_t hidden, gates;
  Tensor x, w, r, b;

  Network(int64_t hidden_size, int64_t gate_count)
      : hidden(hidden_size),
        gates(gate_count),
        x(random_reals({kSteps, kRows, kInputs}, 1, -1, 1)),
        w(random_reals({1, gates * hidden, kInputs}, 2, -0.5f, 0.5f)),
        r(random_reals({1, gates * hidden, hidden}, 3, -0.2f, 0.2f)),
        b(random_reals({1, 2 * gates * hidden}, 4, -0.3f, 0.3f)) {}

  float bias(int64_t j) const { return b.data<float>()[static_cast<size_t>(j)]; }
  float state_bias(int64_t j) const { return bias(gates * hidden + j); }
  float from_x(float sum, int64_t step, int64_t row, int64_t j) const {
    for (int64_t k = 0; k < kInputs; ++k)
      sum = std::fma(x.data<float>()[static_cast<size_t>((step * kRows + row) * kInputs + k)],
                     w.data<float>()[static_cast<size_t>(j * kInputs + k)], sum);
    return sum;
  }
  float from_h(float sum, const Reals& h, int64_t j) const {
    for (int64_t k = 0; k < hidden; ++k)
      sum = std::fma(h[static_cast<size_t>(k)], r.data<float>()[static_cast<size_t>(j * hidden + k)], sum);
    return sum;
  }
  // A whole gate of one step.
  float gate(int64_t step, int64_t row, const Reals& h, int64_t j) const {
    return from_h(from_x(bias(j) + state_bias(j), step, row, j), h, j);
  }
};

template <class Step>
void expect_states(const OpDef& op, const Network& net, const Attributes& attributes, Step step) {
  const auto found = run_op(op, {net.x, constant(net.w), constant(net.r), constant(net.b)}, attributes);
  ASSERT_TRUE(found) << found.error().message();
  const auto y = (*found)[0].data<float>();
  for (int64_t row = 0; row < kRows; ++row) {
    Reals h(static_cast<size_t>(net.hidden)), c = h;
    for (int64_t s = 0; s < kSteps; ++s) {
      step(s, row, h, c);
      for (int64_t j = 0; j < net.hidden; ++j)
        ASSERT_EQ(y[static_cast<size_t>((s * kRows + row) * net.hidden + j)], h[static_cast<size_t>(j)])
            << "row " << row << ", step " << s << ", unit " << j;
    }
  }
}

class States : public ::testing::TestWithParam<int64_t> {};

TEST_P(States, OfRNN) {
  const Network net(GetParam(), 1);
  expect_states(ops::kRNN, net, {{"hidden_size", net.hidden}}, [&](int64_t s, int64_t row, Reals& h, Reals&) {
    const Reals before = h;
    for (int64_t j = 0; j < net.hidden; ++j) h[static_cast<size_t>(j)] = tanh_f32(net.gate(s, row, before, j));
  });
}

TEST_P(States, OfLSTM) {
  const Network net(GetParam(), 4);
  const int64_t n = net.hidden;
  expect_states(ops::kLSTM, net, {{"hidden_size", n}}, [&](int64_t s, int64_t row, Reals& h, Reals& c) {
    const Reals before = h;
    for (int64_t j = 0; j < n; ++j) {
      const auto gate = [&](int64_t g) { return net.gate(s, row, before, g * n + j); };  // i, o, f, c
      float& state = c[static_cast<size_t>(j)];
      state = sigmoid_f32(gate(2)) * state + sigmoid_f32(gate(0)) * tanh_f32(gate(3));
      h[static_cast<size_t>(j)] = sigmoid_f32(gate(1)) * tanh_f32(state);
    }
  });
}

TEST_P(States, OfGRU) {
  const Network net(GetParam(), 3);
  const int64_t n = net.hidden;
  for (const bool before_reset : {false, true})
    expect_states(ops::kGRU, net, {{"hidden_size", n}, {"linear_before_reset", int64_t{before_reset}}},
                  [&](int64_t s, int64_t row, Reals& h, Reals&) {
                    const Reals before = h;
                    Reals reset(before.size()), masked(before.size());
                    for (size_t j = 0; j < before.size(); ++j) {
                      reset[j] = sigmoid_f32(net.gate(s, row, before, n + static_cast<int64_t>(j)));
                      masked[j] = reset[j] * before[j];
                    }
                    for (int64_t j = 0; j < n; ++j) {
                      const int64_t g = 2 * n + j;
                      const auto at = static_cast<size_t>(j);
                      const float update = sigmoid_f32(net.gate(s, row, before, j));
                      const float next =
                          before_reset ? net.from_x(net.bias(g), s, row, g) +
                                             reset[at] * net.from_h(net.state_bias(g), before, g)
                                       : net.from_h(net.from_x(net.bias(g) + net.state_bias(g), s, row, g), masked, g);
                      h[at] = (1.0f - update) * tanh_f32(next) + update * before[at];
                    }
                  });
}

INSTANTIATE_TEST_SUITE_P(OfSizes, States, ::testing::Values(5, 16, 90));

}  // namespace
}  // namespace cupel
