// Character and word error rates: edits (insertions, deletions, substitutions) that make the label of the prediction,
// over the length of the labels, both summed over all samples. Labels are integers, padded at the end by −1. The
// prediction is integers in the same way, or scores [steps, classes] that are decoded greedily (CTC): of the largest at
// each step, runs of equal ones become one, and `blank` is dropped. Words are what stands between tokens `space`.
#include <algorithm>
#include <cmath>
#include <limits>

#include "assess/metric_table.h"

namespace cupel::metrics {
namespace {

using Tokens = std::vector<int64_t>;
using Words = std::vector<Tokens>;

std::string refuses(const OutputForm& output, const OutputForm& label) {
  if (is_float(label.dtype) || without_ones(label.dims).size() > 1) return "the labels are no sequences of integers";
  const size_t rank = without_ones(output.dims).size();
  if (!is_float(output.dtype)) return rank > 1 ? "a sample is no sequence of integers" : "";
  return rank == 2 ? "" : "a sample has no scores [steps, classes]";
}

Tokens tokens_of(const Item& sequence) {
  Tokens tokens;
  for (const double x : sequence.numbers)
    if (x >= 0) tokens.push_back(static_cast<int64_t>(x));
  return tokens;
}

Tokens decoded(const OutputForm& form, const Item& item, int64_t blank) {
  if (!is_float(form.dtype)) return tokens_of(item);
  const int64_t classes = without_ones(form.dims)[1];
  const int64_t steps = static_cast<int64_t>(item.numbers.size()) / classes;
  Tokens tokens;
  int64_t last = -1;
  for (int64_t s = 0; s < steps; ++s) {
    const int64_t best = arg_max(item.numbers.data() + s * classes, classes, 1);
    if (best != last && best != blank) tokens.push_back(best);
    last = best;
  }
  return tokens;
}

Words words_of(const Tokens& tokens, int64_t space) {
  Words words;
  bool inside = false;
  for (const int64_t t : tokens) {
    if (t != space && !inside) words.emplace_back();
    if (t != space) words.back().push_back(t);
    inside = t != space;
  }
  return words;
}

// Levenshtein's distance.
template <class Sequence>
int64_t edits(const Sequence& from, const Sequence& to) {
  std::vector<int64_t> row(to.size() + 1);
  for (size_t j = 0; j < row.size(); ++j) row[j] = static_cast<int64_t>(j);
  for (size_t i = 0; i < from.size(); ++i) {
    int64_t corner = row[0];
    row[0] = static_cast<int64_t>(i) + 1;
    for (size_t j = 0; j < to.size(); ++j) {
      const int64_t replaced = corner + (from[i] == to[j] ? 0 : 1);
      corner = row[j + 1];
      row[j + 1] = std::min({replaced, row[j] + 1, corner + 1});
    }
  }
  return row.back();
}

void add(int64_t errors, size_t length, std::vector<double>& parts) {
  parts.insert(parts.end(), {static_cast<double>(errors), static_cast<double>(length)});
}

void measure_characters(const OutputForm& form, const Item& label, const Item& item, const MetricSettings& settings,
                        std::vector<double>& parts) {
  if (!all_finite(item)) return;
  const Tokens wanted = tokens_of(label);
  add(edits(decoded(form, item, static_cast<int64_t>(settings.find("blank")->second)), wanted), wanted.size(), parts);
}

void measure_words(const OutputForm& form, const Item& label, const Item& item, const MetricSettings& settings,
                   std::vector<double>& parts) {
  if (!all_finite(item)) return;
  const auto space = static_cast<int64_t>(settings.find("space")->second);
  const Words wanted = words_of(tokens_of(label), space);
  const Tokens found = decoded(form, item, static_cast<int64_t>(settings.find("blank")->second));
  add(edits(words_of(found, space), wanted), wanted.size(), parts);
}

double figure(const SampleParts& parts, std::span<const uint32_t> weights, const MetricSettings&) {
  return weighted_sum(parts, weights, 0).sum / weighted_sum(parts, weights, 1).sum;
}

}  // namespace

extern const MetricDef kCharacterError{
    .name = "cer",
    .title = "character error rate",
    .unit = "%",
    .meaning = "edits that make the label of the prediction, over the length of the labels",
    .judge = Judge::labels,
    .better = Better::lower,
    .settings = {{"blank", 0, -1, 1e9}},
    .refuses = refuses,
    .measure = measure_characters,
    .figure = figure};

extern const MetricDef kWordError{
    .name = "wer",
    .title = "word error rate",
    .unit = "%",
    .meaning = "edits of words that make the label of the prediction, over the words of the labels",
    .judge = Judge::labels,
    .better = Better::lower,
    .settings = {{"blank", 0, -1, 1e9}, {"space", std::numeric_limits<double>::quiet_NaN(), 0, 1e9}},
    .refuses = refuses,
    .measure = measure_words,
    .figure = figure};

}  // namespace cupel::metrics
