#include "assess/output_comparison.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "assess/requirement.h"

namespace cupel {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

Item row(std::vector<float> values) {
  return item_of(Tensor::of<float>({static_cast<int64_t>(values.size())}, std::span<const float>(values)));
}
Item ids(std::vector<int64_t> values) {
  return item_of(Tensor::of<int64_t>({static_cast<int64_t>(values.size())}, std::span<const int64_t>(values)));
}

const MetricValue& value_of(const OutputComparison& c, std::string_view name) {
  for (const OutputMetric& m : c.metrics)
    if (m.metric->name == name) return m.result.models[0];
  throw std::runtime_error("no metric " + std::string(name));
}

std::vector<std::string> names_of(const OutputComparison& c) {
  std::vector<std::string> names;
  for (const OutputMetric& m : c.metrics) names.emplace_back(m.metric->name);
  return names;
}

OutputComparison compared(const std::vector<Item>& base, const std::vector<Item>& candidate) {
  OutputJudge judge("y", base[0], 1, false);
  for (size_t i = 0; i < base.size(); ++i) EXPECT_TRUE(judge.add(base[i], std::span(&candidate[i], 1)));
  return judge.finish();
}

TEST(FormOf, ScoresAndProbabilities) {
  EXPECT_EQ(form_of(row({3, -1, 7})).scores, Scores::scores);
  EXPECT_EQ(form_of(row({0.25f, 0.25f, 0.5f})).scores, Scores::probabilities);
  EXPECT_EQ(form_of(row({std::log(0.25f), std::log(0.75f)})).scores, Scores::log_probabilities);
  EXPECT_EQ(form_of(row({1})).scores, Scores::none);
  EXPECT_EQ(form_of(ids({1, 2})).scores, Scores::none);
}

TEST(FormOf, AxesOfSeveralDimensions) {
  const auto form = [](Dims dims, std::vector<float> values) {
    return form_of(item_of(Tensor::of<float>(std::move(dims), std::span<const float>(values))));
  };
  EXPECT_EQ(form({2, 2}, {1, 2, 3, 4}).scores, Scores::none);
  EXPECT_EQ(form({2, 2}, {0.1f, 0.9f, 0.3f, 0.7f}).axis, 1);
  EXPECT_EQ(form({2, 2}, {0.1f, 0.2f, 0.9f, 0.8f}).axis, 0);
  const OutputForm map = form({2, 1, 2}, {0.1f, 0.2f, 0.9f, 0.8f});
  EXPECT_EQ(map.axis, 0);
  EXPECT_EQ(map.positions(), 2);
  EXPECT_EQ(map.class_stride(), 2);
  const OutputForm padded = form({1, 3, 1}, {1, 2, 3});
  EXPECT_EQ(padded.scores, Scores::scores);
  EXPECT_EQ(padded.classes(), 3);
  EXPECT_EQ(padded.positions(), 1);
}

TEST(OutputJudge, FiguresByHand) {
  // Differences 1 and −2 of elements 3, 4 and 0, 5: Σx² = 50, Σ(x−y)² = 5.
  const OutputComparison c = compared({row({3, 4}), row({0, 5})}, {row({2, 4}), row({0, 7})});
  EXPECT_EQ(names_of(c), (std::vector<std::string>{"agreement", "sqnr", "cosine", "kl", "largest_error"}));
  EXPECT_DOUBLE_EQ(value_of(c, "sqnr").value, 10);
  EXPECT_DOUBLE_EQ(value_of(c, "largest_error").value, 2.0 / 5);
  EXPECT_DOUBLE_EQ(value_of(c, "cosine").value, (22 / (5 * std::sqrt(20.0)) + 1) / 2);
  EXPECT_DOUBLE_EQ(value_of(c, "agreement").value, 1);
  EXPECT_EQ(value_of(c, "agreement").interval_method, "Wilson score");
  EXPECT_FALSE(value_of(c, "sqnr").interval) << "two samples are too few";
  // softmax(3, 4) = (q, 1 − q) with q = 1 / (1 + e); of (2, 4) with 1 / (1 + e²); and so on.
  const auto kl = [](double d, double e) {
    const double p = 1 / (1 + std::exp(d)), q = 1 / (1 + std::exp(e));
    return p * std::log(p / q) + (1 - p) * std::log((1 - p) / (1 - q));
  };
  EXPECT_NEAR(value_of(c, "kl").value, (kl(1, 2) + kl(5, 7)) / 2, 1e-12);
}

TEST(OutputJudge, EqualOutputsAreIdentical) {
  const OutputComparison c = compared({row({3, 4}), row({0, 5})}, {row({3, 4}), row({0, 5})});
  EXPECT_EQ(value_of(c, "sqnr").value, std::numeric_limits<double>::infinity());
  EXPECT_EQ(metric_text(*find_metric("sqnr"), value_of(c, "sqnr")), "identical");
  EXPECT_EQ(value_of(c, "kl").value, 0);
  EXPECT_EQ(value_of(c, "largest_error").value, 0);
}

TEST(OutputJudge, PositionsOfProbabilities) {
  const auto item = [](std::vector<float> v) { return item_of(Tensor::of<float>({2, 2}, std::span<const float>(v))); };
  const OutputComparison c = compared({item({0.1f, 0.9f, 0.3f, 0.7f})}, {item({0.1f, 0.9f, 0.6f, 0.4f})});
  EXPECT_DOUBLE_EQ(value_of(c, "agreement").value, 0.5);
  const double p = 0.3f, q = 0.6f;
  EXPECT_NEAR(value_of(c, "kl").value, (p * std::log(p / q) + (1 - p) * std::log((1 - p) / (1 - q))) / 2, 1e-6);
}

TEST(OutputJudge, ClassesThatBecameImpossibleCostALot) {
  const OutputComparison c = compared({row({0.5f, 0.5f})}, {row({1, 0})});
  EXPECT_NEAR(value_of(c, "kl").value, 0.5 * std::log(0.5) + 0.5 * std::log(0.5 / 1e-9), 1e-9);
}

TEST(OutputJudge, IntegersAreEqualOrNot) {
  const OutputComparison c = compared({ids({1, 2, 3, 4}), ids({5, 6, 7, 8})}, {ids({1, 2, 3, 9}), ids({5, 6, 7, 8})});
  EXPECT_EQ(names_of(c), (std::vector<std::string>{"equal"}));
  EXPECT_DOUBLE_EQ(value_of(c, "equal").value, 7.0 / 8);
  // Beyond 2^53 too.
  const int64_t large = (int64_t{1} << 53) + 1;
  EXPECT_EQ(value_of(compared({ids({large})}, {ids({large - 1})}), "equal").value, 0);
}

TEST(OutputJudge, NanAndInfinityAreSaidAndNotAveraged) {
  const OutputComparison c =
      compared({row({3, 4}), row({1, kInfinity}), row({1, 2})}, {row({2, 4}), row({1, kInfinity}), row({1, kNan})});
  EXPECT_EQ(c.non_finite, (std::vector<int64_t>{1, 2}));
  const MetricValue& sqnr = value_of(c, "sqnr");
  EXPECT_EQ(sqnr.samples, 2);
  EXPECT_EQ(sqnr.left_out, 1) << "NaN where the base has a number";
  EXPECT_DOUBLE_EQ(sqnr.value, 10 * std::log10((9 + 16 + 1) / 1.0)) << "the same infinity is left out of the sums";
  EXPECT_EQ(value_of(c, "agreement").samples, 3);
  EXPECT_EQ(value_of(c, "kl").left_out, 2);
}

TEST(OutputJudge, SeveralCandidatesAreComparedWithTheFirst) {
  OutputJudge judge("y", row({1, 0}), 2, false);
  for (int i = 0; i < 40; ++i) {
    const Item both[] = {row({0, static_cast<float>(i % 2 == 0)}), row({1, 0})};
    ASSERT_TRUE(judge.add(row({1, 0}), both));
  }
  const OutputComparison c = judge.finish();
  const MetricResult& agreement = c.metrics[0].result;
  EXPECT_DOUBLE_EQ(agreement.models[0].value, 0.5);
  EXPECT_DOUBLE_EQ(agreement.models[1].value, 1);
  EXPECT_DOUBLE_EQ(agreement.differences[0].value, 0.5);
  EXPECT_GT(agreement.differences[0].interval->lower, 0.3);
  EXPECT_LT(agreement.differences[0].interval->upper, 0.7);
}

TEST(OutputJudge, OtherShapesAreAnError) {
  OutputJudge judge("y\n", row({1, 0}), 1, false);
  const Item longer = row({1, 0, 2});
  const Status status = judge.add(row({1, 0}), std::span(&longer, 1));
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().message(),
            "output y\\x0a: found f32[3] for a sample, expected f32[2] as of the base\n"
            "  compare models whose outputs have the same types and shapes");
}

TEST(MetricText, SaysWhatANumberIs) {
  EXPECT_EQ(metric_text(*find_metric("agreement"), 0.982, 1000), "98.20 %");
  EXPECT_EQ(metric_text(*find_metric("sqnr"), 34.94, 1000), "34.9 dB");
  EXPECT_EQ(metric_text(*find_metric("cosine"), 0.99984, 1000), "0.999840");
  EXPECT_EQ(metric_text(*find_metric("cosine"), std::nan(""), 0), "no value");
  EXPECT_EQ(metric_text(*find_metric("kl"), 0.00123456, 1000), "0.001235 nats");
  EXPECT_EQ(metric_text(*find_metric("sqnr"), {.value = 34.94, .interval = Interval{34.1, 35.6}}),
            "34.9 dB [34.1, 35.6]");
}

TEST(Requirement, Forms) {
  const Requirement r = parse_requirement("agreement>=98").value();
  EXPECT_EQ(r.metric->name, "agreement");
  EXPECT_TRUE(r.at_least);
  EXPECT_DOUBLE_EQ(r.limit, 0.98);
  EXPECT_FALSE(parse_requirement("kl<=0.01").value().at_least);
  for (const char* wrong : {"", "sqnr", "sqnr>30", "sqnr>=", "sqnr>=x", "sqnr>=30dB", "none>=3", ">=3", "sqnr>=nan"})
    EXPECT_EQ(parse_requirement(wrong).error().kind, ErrorKind::usage) << wrong;
}

TEST(Requirement, RestsOnTheInterval) {
  const Requirement r = parse_requirement("sqnr>=30").value();
  const auto kind = [&](double lower, double upper) {
    return judge(r, {.value = (lower + upper) / 2, .interval = Interval{lower, upper}});
  };
  EXPECT_EQ(kind(31, 33), VerdictKind::within);
  EXPECT_EQ(kind(29, 33), VerdictKind::undecided);
  EXPECT_EQ(kind(27, 29), VerdictKind::missed);
  EXPECT_EQ(judge(r, {.value = 40}), VerdictKind::undecided) << "too few samples for an interval";
  const Requirement least = parse_requirement("largest_error<=5").value();
  EXPECT_EQ(judge(least, {.value = 0.04}), VerdictKind::within) << "a largest value has no interval";
  EXPECT_EQ(judge(least, {.value = 0.06}), VerdictKind::missed);
  EXPECT_EQ(judge(least, {.value = std::nan("")}), VerdictKind::undecided);
}

}  // namespace
}  // namespace cupel
