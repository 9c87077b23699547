// DynamicQuantizeLSTM against the same rule in double: codes of all of x once, of h of all rows before each step.
#include <algorithm>
#include <cmath>

#include "ops/op_table.h"
#include "run_op.h"

namespace cupel {
namespace {

using namespace cupel::testing;
using ops::kDynamicQuantizeLSTM;
using Reals = std::vector<double>;

constexpr int64_t kSteps = 5, kRows = 3, kInputs = 4, kHidden = 6, kWidth = 4 * kHidden;

// The numbers that the codes of all of v stand for.
Reals rounded(const Reals& v) {
  double least = 0, greatest = 0;
  for (const double x : v) least = std::min(least, x), greatest = std::max(greatest, x);
  const double scale = greatest == least ? 1 : (greatest - least) / 255;
  const double zero = std::nearbyint(-least / scale);
  Reals out;
  for (const double x : v) out.push_back((std::clamp(std::nearbyint(x / scale) + zero, 0.0, 255.0) - zero) * scale);
  return out;
}

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

struct Weights {
  Tensor w, r, b, ws, wz, rs, rz;
};

Weights weights_of(int64_t directions, bool listed) {
  const Dims parameters = listed ? Dims{directions, kWidth} : Dims{directions};
  Weights v{random_codes(DType::s8, {directions, kInputs, kWidth}, 1),
            random_codes(DType::u8, {directions, kHidden, kWidth}, 2),
            random_reals({directions, 2 * kWidth}, 3, -0.2f, 0.2f),
            random_reals(parameters, 4, 0.005f, 0.01f),
            random_codes(DType::s8, parameters, 5),
            random_reals(parameters, 6, 0.005f, 0.01f),
            random_codes(DType::u8, parameters, 7)};
  for (int8_t& z : v.wz.mutable_data<int8_t>()) z = static_cast<int8_t>(z / 8);
  for (uint8_t& z : v.rz.mutable_data<uint8_t>()) z = static_cast<uint8_t>(112 + z / 8);
  return v;
}

// The number that weight [d, k, j] stands for.
double weight(const Tensor& t, const Tensor& scale, const Tensor& zero, int64_t d, int64_t k, int64_t j) {
  const int64_t p = scale.rank() == 1 ? d : d * kWidth + j;
  return static_cast<double>(t.int_at((d * t.dims()[1] + k) * kWidth + j) - zero.int_at(p)) * scale.at(p);
}

struct States {
  Reals y, h, c;
};

States expected(const Tensor& x, const Weights& v, const std::vector<int64_t>& lengths, int64_t directions,
                bool reverse) {
  States run{Reals(static_cast<size_t>(kSteps * directions * kRows * kHidden)), {}, {}};
  Reals numbers;
  const int64_t longest = *std::ranges::max_element(lengths);
  for (int64_t i = 0; i < longest * kRows * kInputs; ++i) numbers.push_back(x.at(i));
  numbers = rounded(numbers);
  for (int64_t d = 0; d < directions; ++d) {
    Reals h(kRows * kHidden), c(kRows * kHidden);
    for (int64_t i = 0; i < longest; ++i) {
      const Reals seen = rounded(h);
      for (int64_t row = 0; row < kRows; ++row) {
        const int64_t length = lengths[static_cast<size_t>(row)];
        if (i >= length) continue;
        const int64_t step = d == 1 || reverse ? length - 1 - i : i;
        Reals gates;
        for (int64_t j = 0; j < kWidth; ++j) {
          double sum = v.b.at(d * 2 * kWidth + j) + v.b.at(d * 2 * kWidth + kWidth + j);
          for (int64_t k = 0; k < kInputs; ++k)
            sum += numbers[static_cast<size_t>((step * kRows + row) * kInputs + k)] * weight(v.w, v.ws, v.wz, d, k, j);
          for (int64_t k = 0; k < kHidden; ++k)
            sum += seen[static_cast<size_t>(row * kHidden + k)] * weight(v.r, v.rs, v.rz, d, k, j);
          gates.push_back(sum);
        }
        for (int64_t j = 0; j < kHidden; ++j) {
          const auto gate = [&](int64_t g) { return gates[static_cast<size_t>(g * kHidden + j)]; };
          const auto at = static_cast<size_t>(row * kHidden + j);
          c[at] = sigmoid(gate(2)) * c[at] + sigmoid(gate(0)) * std::tanh(gate(3));
          h[at] = sigmoid(gate(1)) * std::tanh(c[at]);
          run.y[static_cast<size_t>(((step * directions + d) * kRows + row) * kHidden + j)] = h[at];
        }
      }
    }
    run.h.insert(run.h.end(), h.begin(), h.end());
    run.c.insert(run.c.end(), c.begin(), c.end());
  }
  return run;
}

void expect_near(const Tensor& found, const Reals& wanted) {
  ASSERT_EQ(found.size(), static_cast<int64_t>(wanted.size()));
  for (int64_t i = 0; i < found.size(); ++i) ASSERT_NEAR(found.at(i), wanted[static_cast<size_t>(i)], 1e-5) << i;
}

TEST(DynamicQuantizeLSTM, DirectionsLengthsAndParameters) {
  const Tensor x = random_reals({kSteps, kRows, kInputs}, 8, -1, 2);
  const std::vector<int64_t> all = {kSteps, kSteps, kSteps}, some = {2, 4, 0};
  for (const char* const direction : {"forward", "reverse", "bidirectional"})
    for (const bool listed : {false, true})
      for (const bool whole : {true, false}) {
        const std::vector<int64_t>& lengths = whole ? all : some;
        const int64_t directions = std::string_view(direction) == "bidirectional" ? 2 : 1;
        const Weights v = weights_of(directions, listed);
        const Tensor given = Tensor::of<int32_t>({3}, {2, 4, 0});
        const auto found =
            run_op(kDynamicQuantizeLSTM,
                   {x, constant(v.w), constant(v.r), constant(v.b), whole ? Operand() : Operand(given), Operand(),
                    Operand(), Operand(), constant(v.ws), constant(v.wz), constant(v.rs), constant(v.rz)},
                   {{"direction", std::string(direction)}, {"hidden_size", kHidden}});
        ASSERT_TRUE(found) << found.error().message();
        const States wanted = expected(x, v, lengths, directions, std::string_view(direction) == "reverse");
        expect_near((*found)[0], wanted.y);
        expect_near((*found)[1], wanted.h);
        expect_near((*found)[2], wanted.c);
      }
}

TEST(DynamicQuantizeLSTM, NoRows) {
  const Weights v = weights_of(1, false);
  const auto found =
      run_op(kDynamicQuantizeLSTM,
             {Tensor(DType::f32, {kSteps, 0, kInputs}), constant(v.w), constant(v.r), constant(v.b), Operand(),
              Operand(), Operand(), Operand(), constant(v.ws), constant(v.wz), constant(v.rs), constant(v.rz)},
             {{"hidden_size", kHidden}});
  ASSERT_TRUE(found) << found.error().message();
  EXPECT_EQ((*found)[0].dims(), (Dims{kSteps, 1, 0, kHidden}));
}

TEST(DynamicQuantizeLSTM, Refusals) {
  const Weights v = weights_of(1, false);
  const auto error = [&](const Operand& x, const Operand& zero) {
    return message_of(infer_op(kDynamicQuantizeLSTM,
                               {x, constant(v.w), constant(v.r), constant(v.b), Operand(), Operand(), Operand(),
                                Operand(), constant(v.ws), constant(v.wz), constant(v.rs), zero},
                               {{"hidden_size", kHidden}}));
  };
  const Operand x = TensorType{DType::f32, {kSteps, kRows, kInputs}, {}};
  EXPECT_EQ(error(x, constant(v.rz)), "no error");
  const std::string open = error(TensorType{DType::f32, {kSteps, Dim(1, "batch"), kInputs}, {}}, constant(v.rz));
  EXPECT_TRUE(open.starts_with("unsupported; all of [5,batch,4] has one scale")) << open;
  EXPECT_EQ(error(x, constant(Tensor(DType::u8, {1, 3}))),
            "bad input; operand 11 has shape [1,3], expected [1,24]\n  correct the model's shapes");
  EXPECT_EQ(error(x, Operand(TensorType{DType::u8, {1}, {}})),
            "unsupported; the weights (operand 11) are computed at run time\n  " + std::string(kGiveParameters));
}

}  // namespace
}  // namespace cupel
