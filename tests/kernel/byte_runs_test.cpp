#include "kernel/byte_runs.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <functional>
#include <set>

namespace cupel {
namespace {

constexpr ByteRun kEverywhere = {INT64_MIN / 4, INT64_MAX / 4};
constexpr int64_t kMany = 1 << 16;

std::optional<ByteRuns> runs_in(ByteRun within, int64_t first, int64_t bytes, const std::vector<ByteAxis>& axes,
                                int64_t most = kMany) {
  return runs_of(first, bytes, axes, within, most);
}

std::set<int64_t> bytes_of(const ByteRuns& runs) {
  std::set<int64_t> all;
  for (const ByteRun& run : runs)
    for (int64_t b = run.begin; b < run.end; ++b) all.insert(b);
  return all;
}

ByteRuns runs_from(const std::set<int64_t>& bytes) {
  ByteRuns runs;
  for (int64_t b : bytes)
    if (!runs.empty() && runs.back().end == b) {
      ++runs.back().end;
    } else {
      runs.push_back({b, b + 1});
    }
  return runs;
}

// Every byte by itself.
std::set<int64_t> counted(int64_t first, int64_t bytes, std::span<const ByteAxis> axes) {
  std::set<int64_t> all;
  const std::function<void(size_t, int64_t)> walk = [&](size_t axis, int64_t at) {
    if (axis == axes.size()) {
      for (int64_t b = 0; b < bytes; ++b) all.insert(at + b);
      return;
    }
    for (int64_t i = 0; i < axes[axis].count; ++i) walk(axis + 1, at + i * axes[axis].stride);
  };
  walk(0, first);
  return all;
}

RC_GTEST_PROP(ByteRuns, AreThoseOfEveryStep, ()) {
  const auto first = *rc::gen::inRange<int64_t>(-50, 50), bytes = *rc::gen::inRange<int64_t>(0, 9);
  std::vector<ByteAxis> axes(*rc::gen::inRange<size_t>(0, 5));
  for (ByteAxis& axis : axes) axis = {*rc::gen::inRange<int64_t>(-24, 24), *rc::gen::inRange<int64_t>(0, 6)};
  const std::set<int64_t> all = counted(first, bytes, axes);
  const auto runs = runs_in(kEverywhere, first, bytes, axes);
  RC_ASSERT(runs.has_value());
  RC_ASSERT(*runs == runs_from(all));
  const auto begin = *rc::gen::inRange<int64_t>(-300, 300), end = begin + *rc::gen::inRange<int64_t>(0, 200);
  const auto some = runs_in({begin, end}, first, bytes, axes);
  RC_ASSERT(some.has_value());
  RC_ASSERT(*some == runs_from(std::set<int64_t>(all.lower_bound(begin), all.lower_bound(end))));
}

RC_GTEST_PROP(ByteRuns, SetsOfBytes, ()) {
  const auto some = [] { return *rc::gen::container<std::set<int64_t>>(rc::gen::inRange<int64_t>(0, 40)); };
  const std::set<int64_t> a = some(), b = some();
  std::set<int64_t> both, either = a, rest = a;
  for (int64_t byte : b) {
    if (a.contains(byte)) both.insert(byte);
    either.insert(byte);
    rest.erase(byte);
  }
  const ByteRuns x = runs_from(a), y = runs_from(b);
  RC_ASSERT(bytes_of(united(x, y)) == either);
  RC_ASSERT(bytes_of(without(x, y)) == rest);
  RC_ASSERT(united(x, y) == runs_from(either));
  RC_ASSERT(first_common(x, y) == (both.empty() ? std::nullopt : std::optional(*both.begin())));
  RC_ASSERT(first_missing(y, x) == (rest.empty() ? std::nullopt : std::optional(*rest.begin())));
}

TEST(ByteRuns, RowsOfAnImageAreOneRun) {
  // 3 taps and 112 positions of stride 2 over pixels of 16 bytes, rows without a gap.
  const std::vector<ByteAxis> axes = {{2 * 16 * 226, 112}, {16 * 226, 3}, {2 * 16, 113}, {16, 3}};
  EXPECT_EQ(*runs_in(kEverywhere, 0, 16, axes), (ByteRuns{{0, 16 * (226 * 224 + 227)}}));
}

TEST(ByteRuns, AreNotMadeBeyondTheLimit) {
  const std::vector<ByteAxis> fine = {{4, int64_t{1} << 40}, {int64_t{1} << 43, 8}};
  EXPECT_FALSE(runs_in(kEverywhere, 0, 1, fine).has_value());
  EXPECT_EQ(runs_in(kEverywhere, 0, 4, {{4, int64_t{1} << 40}})->size(), 1u);
  // A window into them holds few.
  EXPECT_EQ(
      *runs_in({(int64_t{1} << 43) + 3, (int64_t{1} << 43) + 9}, 0, 1, fine, 2),
      (ByteRuns{{(int64_t{1} << 43) + 4, (int64_t{1} << 43) + 5}, {(int64_t{1} << 43) + 8, (int64_t{1} << 43) + 9}}));
}

}  // namespace
}  // namespace cupel
