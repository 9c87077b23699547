// Comparisons in plain words. ASCII only, so that they print everywhere.
#pragma once

#include <string>
#include <vector>

#include "assess/comparison.h"

namespace cupel {

struct Names {
  std::string base;
  std::string candidate;
};

// "93.30 %" of a share in [0, 1]; as many decimals as one sample of `samples` makes visible, 2 to 4.
std::string percent_text(double share, int64_t samples);
// "0.13 points" of a share, without its sign.
std::string points_text(double share, int64_t samples);
// "10,000".
std::string grouped_text(int64_t count);
// "0.21", "0.0031", "1.2e-09": two significant digits.
std::string p_text(double p);

// Three sentences: the difference, how certain it is, and what flipped. `base_right` and `candidate_right` are counts.
std::vector<std::string> describe(const Comparison& comparison, const Names& names, int64_t base_right,
                                  int64_t candidate_right);
// One sentence about comparison.verdict, which must be present.
std::string describe_verdict(const Comparison& comparison, const Names& names);

}  // namespace cupel
