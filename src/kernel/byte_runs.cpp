#include "kernel/byte_runs.h"

#include <algorithm>

namespace cupel {
namespace {

// Whether steps of `axis` continue those of `inner`; if so, `inner` becomes one axis for both.
bool joins(ByteAxis& inner, const ByteAxis& axis) {
  if (axis.stride % inner.stride != 0 || axis.stride / inner.stride > inner.count) return false;
  inner.count += axis.stride / inner.stride * (axis.count - 1);
  return true;
}

// Few axes of growing stride for the same bytes; the first is the bytes that lie side by side.
std::vector<ByteAxis> joined(int64_t& first, int64_t bytes, std::span<const ByteAxis> axes) {
  std::vector<ByteAxis> steps;
  for (ByteAxis axis : axes) {
    if (axis.stride == 0 || axis.count <= 1) continue;
    if (axis.stride < 0) {
      first += axis.stride * (axis.count - 1);
      axis.stride = -axis.stride;
    }
    steps.push_back(axis);
  }
  std::sort(steps.begin(), steps.end(), [](const ByteAxis& a, const ByteAxis& b) { return a.stride < b.stride; });
  std::vector<ByteAxis> all = {{1, bytes}};
  for (const ByteAxis& axis : steps) {
    bool taken = false;
    for (size_t i = all.size(); i-- > 0 && !taken;) taken = joins(all[i], axis);
    if (!taken) all.push_back(axis);
  }
  return all;
}

void sort_and_join(ByteRuns& runs) {
  const auto before = [](const ByteRun& a, const ByteRun& b) { return a.begin < b.begin; };
  if (!std::is_sorted(runs.begin(), runs.end(), before)) std::sort(runs.begin(), runs.end(), before);
  size_t kept = 0;
  for (size_t i = 1; i < runs.size(); ++i) {
    if (runs[i].begin <= runs[kept].end) {
      runs[kept].end = std::max(runs[kept].end, runs[i].end);
    } else {
      runs[++kept] = runs[i];
    }
  }
  if (!runs.empty()) runs.resize(kept + 1);
}

}  // namespace

std::optional<ByteRuns> runs_of(int64_t first, int64_t bytes, std::span<const ByteAxis> axes, int64_t most) {
  if (bytes <= 0 || std::any_of(axes.begin(), axes.end(), [](const ByteAxis& axis) { return axis.count <= 0; }))
    return ByteRuns();
  const std::vector<ByteAxis> steps = joined(first, bytes, axes);
  int64_t count = 1;
  for (size_t i = 1; i < steps.size(); ++i) {
    if (steps[i].count > most / count) return std::nullopt;
    count *= steps[i].count;
  }
  ByteRuns runs = {{first, first + steps[0].count}};
  runs.reserve(static_cast<size_t>(count));
  for (size_t i = 1; i < steps.size(); ++i) {
    // Outermost last: the copies of each step follow in order where they do not overlap.
    const size_t one = runs.size();
    for (int64_t step = 1; step < steps[i].count; ++step)
      for (size_t r = 0; r < one; ++r)
        runs.push_back({runs[r].begin + step * steps[i].stride, runs[r].end + step * steps[i].stride});
  }
  sort_and_join(runs);
  return runs;
}

std::optional<int64_t> first_missing(const ByteRuns& have, const ByteRuns& wanted) {
  size_t h = 0;
  for (const ByteRun& run : wanted) {
    while (h < have.size() && have[h].end <= run.begin) ++h;
    if (h == have.size() || have[h].begin > run.begin) return run.begin;
    if (have[h].end < run.end) return have[h].end;
  }
  return std::nullopt;
}

std::optional<int64_t> first_common(const ByteRuns& a, const ByteRuns& b) {
  for (size_t i = 0, j = 0; i < a.size() && j < b.size();) {
    const int64_t begin = std::max(a[i].begin, b[j].begin);
    if (begin < std::min(a[i].end, b[j].end)) return begin;
    if (a[i].end <= b[j].end) {
      ++i;
    } else {
      ++j;
    }
  }
  return std::nullopt;
}

ByteRuns united(const ByteRuns& a, const ByteRuns& b) {
  ByteRuns all;
  all.reserve(a.size() + b.size());
  std::merge(a.begin(), a.end(), b.begin(), b.end(), std::back_inserter(all),
             [](const ByteRun& x, const ByteRun& y) { return x.begin < y.begin; });
  sort_and_join(all);
  return all;
}

ByteRuns without(const ByteRuns& from, const ByteRuns& taken) {
  ByteRuns left;
  size_t t = 0;
  for (ByteRun run : from) {
    while (t < taken.size() && taken[t].end <= run.begin) ++t;
    for (size_t i = t; i < taken.size() && taken[i].begin < run.end; ++i) {
      if (taken[i].begin > run.begin) left.push_back({run.begin, taken[i].begin});
      run.begin = taken[i].end;
      if (run.begin >= run.end) break;
    }
    if (run.begin < run.end) left.push_back(run);
  }
  return left;
}

}  // namespace cupel
