#include "assess/comparison.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "assess/sentences.h"

namespace cupel {
namespace {

using Labels = std::vector<int64_t>;

// One row per sample: the class named gets 1, the others 0, of 4 classes.
Tensor one_hot(const std::vector<int>& classes) {
  Tensor scores(DType::f32, {static_cast<int64_t>(classes.size()), 4});
  for (size_t i = 0; i < classes.size(); ++i) scores.mutable_data<float>()[i * 4 + static_cast<size_t>(classes[i])] = 1;
  return scores;
}

Predictions answers(const std::string& name, const std::vector<int>& classes, const Labels& labels) {
  Predictions predictions(name);
  EXPECT_TRUE(predictions.add(one_hot(classes), labels));
  return predictions;
}

// `same` samples right in both, then the flips asked for.
struct Pair {
  Predictions base{"FP32"};
  Predictions candidate{"INT8"};
};
Pair pair_with(int right, int wrong, int lost, int gained, int other_wrong) {
  std::vector<int> base, candidate;
  auto push = [&](int count, int b, int c) {
    for (int i = 0; i < count; ++i) {
      base.push_back(b);
      candidate.push_back(c);
    }
  };
  push(right, 0, 0);
  push(wrong, 1, 1);
  push(lost, 0, 2);
  push(gained, 3, 0);
  push(other_wrong, 1, 2);
  const Labels labels(base.size(), 0);
  return {answers("FP32", base, labels), answers("INT8", candidate, labels)};
}

TEST(Predictions, TiesGoToTheLowestClass) {
  Predictions p("m");
  const Tensor scores = Tensor::of<float>({3, 3}, {1, 2, 2, 5, 5, 5, -1, -1, -2});
  ASSERT_TRUE(p.add(scores, Labels{2, 2, 0}));
  EXPECT_EQ(std::vector(p.predicted().begin(), p.predicted().end()), (std::vector<int32_t>{1, 0, 0}));
  EXPECT_EQ(std::vector(p.label_ranks().begin(), p.label_ranks().end()), (std::vector<int32_t>{1, 2, 0}));
}

TEST(Predictions, EveryTypeOrdersAlike) {
  const Labels labels = {2, 0};
  Predictions f32("m"), u8("m"), s64("m"), f64("m");
  ASSERT_TRUE(f32.add(Tensor::of<float>({2, 3}, {1, 200, 3, 7, 7, 0}), labels));
  ASSERT_TRUE(u8.add(Tensor::of<uint8_t>({2, 3}, {1, 200, 3, 7, 7, 0}), labels));
  ASSERT_TRUE(s64.add(Tensor::of<int64_t>({2, 3}, {1, 200, 3, 7, 7, 0}), labels));
  ASSERT_TRUE(f64.add(Tensor::of<double>({2, 3}, {1, 200, 3, 7, 7, 0}), labels));
  for (const Predictions* p : {&u8, &s64, &f64})
    for (size_t i = 0; i < 2; ++i) {
      EXPECT_EQ(p->predicted()[i], f32.predicted()[i]);
      EXPECT_EQ(p->label_ranks()[i], f32.label_ranks()[i]);
    }
  EXPECT_EQ(f32.predicted()[0], 1);
}

TEST(Predictions, BatchesAddUp) {
  const std::vector<int> classes = {0, 1, 2, 3, 1, 1, 2};
  const Labels labels = {0, 1, 2, 2, 0, 1, 3};
  const Predictions whole = answers("m", classes, labels);
  Predictions parts("m");
  for (int64_t begin : {0, 3, 6}) {
    const int64_t count = begin == 6 ? 1 : 3;
    ASSERT_TRUE(parts.add(one_hot(classes).rows(begin, count),
                          std::span(labels).subspan(static_cast<size_t>(begin), static_cast<size_t>(count))));
  }
  EXPECT_EQ(assess_accuracy(parts, 1)->right, assess_accuracy(whole, 1)->right);
  EXPECT_EQ(assess_accuracy(parts, 1)->right, 4);
  EXPECT_EQ(assess_accuracy(parts, 4)->right, 7);
}

TEST(Predictions, InfinityIsAnOrdinaryScore) {
  Predictions p("m");
  const float inf = std::numeric_limits<float>::infinity();
  ASSERT_TRUE(p.add(Tensor::of<float>({1, 3}, {-inf, 0, -inf}), Labels{2}));
  EXPECT_EQ(p.predicted()[0], 1);
  EXPECT_EQ(p.label_ranks()[0], 2);
}

TEST(Predictions, NamesTheSampleWithNan) {
  Predictions p("INT8");
  ASSERT_TRUE(p.add(one_hot({0, 1}), Labels{0, 1}));
  Tensor scores = one_hot({0, 1, 2});
  scores.mutable_data<float>()[4 + 3] = NAN;
  const Status status = p.add(scores, Labels{0, 1, 2});
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().kind, ErrorKind::bad_input);
  EXPECT_EQ(status.error().message(),
            "INT8: sample 3: found NaN as the score of class 3, expected a number\n"
            "  look for the first node with NaN in its output, or for a broken sample");
  EXPECT_EQ(p.samples(), 2) << "nothing of the batch may stay";
}

TEST(Predictions, RefusesWhatDoesNotFit) {
  Predictions p("INT8");
  EXPECT_EQ(p.add(one_hot({0}), Labels{4}).error().message(),
            "INT8: sample 0: found label 4, expected 0 to 3\n"
            "  check the data set's labels, or give a model with as many outputs as there are classes");
  EXPECT_EQ(p.add(one_hot({0}), Labels{-1}).error().message(),
            "INT8: sample 0: found label -1, expected 0 to 3\n"
            "  check the data set's labels, or give a model with as many outputs as there are classes");
  EXPECT_EQ(p.add(one_hot({0, 1}), Labels{1}).error().message(),
            "INT8: found 1 labels for 2 samples, expected one for each\n  check the data set's labels");
  EXPECT_EQ(p.add(Tensor(DType::f32, {2, 3, 4}), Labels{0, 0}).error().message(),
            "INT8: found scores of shape [2,3,4], expected [samples,classes]\n"
            "  name the output that holds one score per class");
  EXPECT_EQ(p.add(Tensor(DType::s4, {2, 4}), Labels{0, 0}).error().message(),
            "INT8: found scores of type s4\n  give scores of a type of at least 8 bits");
  ASSERT_TRUE(p.add(one_hot({0}), Labels{0}));
  EXPECT_EQ(p.add(Tensor(DType::f32, {1, 5}), Labels{0}).error().message(),
            "INT8: found 5 classes, expected 4 as in the batches before\n  check the model's output shape");
}

TEST(Accuracy, CountsTheTopK) {
  Predictions p("m");
  ASSERT_TRUE(p.add(Tensor::of<float>({2, 4}, {4, 3, 2, 1, 1, 2, 3, 4}), Labels{1, 1}));
  EXPECT_EQ(assess_accuracy(p, 1)->right, 0);
  EXPECT_EQ(assess_accuracy(p, 2)->right, 1);
  EXPECT_EQ(assess_accuracy(p, 3)->right, 2);
  const Accuracy accuracy = *assess_accuracy(p, 2);
  EXPECT_EQ(accuracy.samples, 2);
  EXPECT_EQ(accuracy.value, 0.5);
  EXPECT_EQ(accuracy.interval, *wilson_interval(1, 2));
}

TEST(Accuracy, RefusesTopKBeyondTheClasses) {
  const Predictions p = answers("m", {0}, {0});
  const auto accuracy = assess_accuracy(p, 5);
  ASSERT_FALSE(accuracy);
  EXPECT_EQ(accuracy.error().kind, ErrorKind::usage);
  EXPECT_EQ(accuracy.error().message(),
            "top_k: found 5, expected 1 to 4, the number of classes\n"
            "  choose a smaller top_k in the data set's [[metric]]");
  EXPECT_FALSE(assess_accuracy(p, 0));
  EXPECT_EQ(assess_accuracy(Predictions("m"), 1).error().message(),
            "m: found no sample to evaluate, expected at least one\n  give a report split with samples");
}

TEST(Compare, CountsFlipsByKind) {
  const auto [base, candidate] = pair_with(80, 5, 7, 3, 2);
  const Comparison c = *compare(base, candidate);
  EXPECT_EQ(c.samples, 97);
  EXPECT_EQ(c.flips.right_to_wrong, 7);
  EXPECT_EQ(c.flips.wrong_to_right, 3);
  EXPECT_EQ(c.flips.wrong_to_other_wrong, 2);
  EXPECT_EQ(c.flips.changed_predictions, 12);
  EXPECT_DOUBLE_EQ(c.difference, -4.0 / 97);
  EXPECT_EQ(c.interval, *tango_interval({97, 7, 3}));
  EXPECT_EQ(c.mcnemar_p, *mcnemar_exact_p({97, 7, 3}));
  EXPECT_FALSE(c.verdict);
}

TEST(Compare, TopKJudgesByRank) {
  // The label 0 stays among the first two although another class takes first place.
  Predictions base("FP32"), candidate("INT8");
  ASSERT_TRUE(base.add(Tensor::of<float>({2, 3}, {3, 2, 1, 1, 2, 3}), Labels{0, 0}));
  ASSERT_TRUE(candidate.add(Tensor::of<float>({2, 3}, {2, 3, 1, 1, 3, 2}), Labels{0, 0}));
  const Comparison top1 = *compare(base, candidate);
  EXPECT_EQ(top1.flips.right_to_wrong, 1);
  EXPECT_EQ(top1.flips.wrong_to_other_wrong, 1);
  const Comparison top2 = *compare(base, candidate, {.top_k = 2, .max_drop_points = {}});
  EXPECT_EQ(top2.flips.right_to_wrong, 0);
  EXPECT_EQ(top2.flips.wrong_to_other_wrong, 1);
  EXPECT_EQ(top2.flips.changed_predictions, 2);
}

TEST(Compare, VerdictWithin) {
  const auto [base, candidate] = pair_with(9300, 600, 40, 27, 33);
  const Comparison c = *compare(base, candidate, {.max_drop_points = 1.0});
  ASSERT_TRUE(c.verdict);
  EXPECT_EQ(c.verdict->kind, VerdictKind::within);
  EXPECT_EQ(
      c.verdict->sentence,
      "INT8 may lose at most 1 point of top-1 accuracy; even the unfavourable end of the interval, a loss of 0.30 "
      "points, stays inside.");
  ASSERT_EQ(c.sentences.size(), 3u);
  EXPECT_EQ(c.sentences[0], "INT8 loses 0.13 points of top-1 accuracy: 93.27 % instead of 93.40 % of 10,000 samples.");
  EXPECT_EQ(
      c.sentences[1],
      "With 95 % confidence the true difference lies between a loss of 0.30 points and a gain of 0.03 points; it may "
      "be chance (exact McNemar p = 0.14).");
  EXPECT_EQ(
      c.sentences[2],
      "100 predictions changed; judged by top-1 accuracy: 40 from right to wrong, 27 from wrong to right, 33 from "
      "wrong to another wrong class.");
}

TEST(Compare, VerdictMissed) {
  const auto [base, candidate] = pair_with(9000, 600, 360, 40, 0);
  const Comparison c = *compare(base, candidate, {.max_drop_points = 1.0});
  EXPECT_EQ(c.verdict->kind, VerdictKind::missed);
  EXPECT_EQ(c.verdict->sentence,
            "INT8 may lose at most 1 point of top-1 accuracy; even the favourable end of the interval, a loss of 2.83 "
            "points, "
            "is beyond that.");
  EXPECT_NE(c.sentences[1].find("it is more than chance explains"), std::string::npos);
}

TEST(Compare, VerdictUndecided) {
  const auto [base, candidate] = pair_with(9300, 600, 60, 40, 0);
  const Comparison c = *compare(base, candidate, {.max_drop_points = 0.3});
  EXPECT_EQ(c.verdict->kind, VerdictKind::undecided);
  EXPECT_EQ(
      c.verdict->sentence,
      "INT8 may lose at most 0.3 points of top-1 accuracy; the measured difference, a loss of 0.20 points, is inside, "
      "but the interval reaches across that limit, so 10,000 samples cannot decide. More samples would narrow it.");
}

TEST(Compare, VerdictAtTheEdgeIsUndecided) {
  const auto [base, candidate] = pair_with(9300, 600, 60, 40, 0);
  const Interval interval = compare(base, candidate)->interval;
  // −max_drop / 100 equal to an end of the interval, or a hair beyond it on either side.
  auto kind = [&](double limit) { return compare(base, candidate, {.max_drop_points = -limit * 100})->verdict->kind; };
  EXPECT_EQ(kind(interval.lower + 1e-9), VerdictKind::undecided);
  EXPECT_EQ(kind(interval.lower - 1e-9), VerdictKind::within);
  const auto [worse, worst] = pair_with(9000, 600, 360, 40, 0);
  const Interval loss = compare(worse, worst)->interval;
  auto loss_kind = [&, &b = worse, &w = worst](double limit) {
    return compare(b, w, {.max_drop_points = -limit * 100})->verdict->kind;
  };
  EXPECT_EQ(loss_kind(loss.upper - 1e-9), VerdictKind::undecided);
  EXPECT_EQ(loss_kind(loss.upper + 1e-9), VerdictKind::missed);
}

TEST(Compare, EqualModels) {
  const auto [base, candidate] = pair_with(50, 10, 0, 0, 0);
  const Comparison c = *compare(base, candidate, {.max_drop_points = 0.0});
  EXPECT_EQ(c.difference, 0);
  EXPECT_EQ(c.mcnemar_p, 1);
  EXPECT_EQ(c.verdict->kind, VerdictKind::undecided);
  EXPECT_EQ(c.sentences[0], "INT8 has the same top-1 accuracy as FP32: 83.33 % of 60 samples.");
  EXPECT_EQ(c.sentences[2], "No prediction changed.");
}

TEST(Compare, RefusesDifferentSamples) {
  const Predictions base = answers("FP32", {0, 1}, {0, 1});
  EXPECT_EQ(compare(base, answers("INT8", {0}, {0})).error().message(),
            "INT8: found 1 samples, expected the 2 of FP32\n"
            "  compare the models on the same samples in the same order");
  EXPECT_EQ(compare(base, answers("INT8", {0, 1}, {0, 2})).error().message(),
            "INT8: found label 2 at sample 1, expected 1 as for FP32\n"
            "  compare the models on the same samples in the same order");
  Predictions other("INT8");
  ASSERT_TRUE(other.add(Tensor(DType::f32, {2, 3}), Labels{0, 1}));
  EXPECT_EQ(compare(base, other).error().message(),
            "INT8: found 3 classes, expected the 4 of FP32\n  compare models that tell the same classes apart");
  EXPECT_EQ(compare(base, base, {.max_drop_points = -1.0}).error().message(),
            "--max-drop: found -1, expected 0 to 100 points\n"
            "  give the largest loss of accuracy you accept, in percentage points");
  EXPECT_FALSE(compare(base, base, {.max_drop_points = std::nan("")}));
  EXPECT_FALSE(compare(base, base, {.top_k = 5, .max_drop_points = {}}));
}

TEST(Sentences, Numbers) {
  EXPECT_EQ(grouped_text(0), "0");
  EXPECT_EQ(grouped_text(999), "999");
  EXPECT_EQ(grouped_text(1000), "1,000");
  EXPECT_EQ(grouped_text(-123456), "-123,456");
  EXPECT_EQ(grouped_text(1234567890123), "1,234,567,890,123");
  EXPECT_EQ(p_text(1), "1");
  EXPECT_EQ(p_text(0.21), "0.21");
  EXPECT_EQ(p_text(0.00312), "0.0031");
  EXPECT_EQ(p_text(1.23e-9), "1.2e-09");
  EXPECT_EQ(percent_text(0.93334, 10'000), "93.33 %");
  EXPECT_EQ(percent_text(0.93334, 50'000), "93.334 %");
}

}  // namespace
}  // namespace cupel
