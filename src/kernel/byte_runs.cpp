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

// The runs of joined axes that meet a window, in the order of the axes.
class RunsWithin {
 public:
  RunsWithin(std::span<const ByteAxis> axes, ByteRun within, int64_t& left)
      : axes_(axes), within_(within), left_(left) {
    int64_t span = 1;
    for (const ByteAxis& axis : axes) spans_.push_back(span += axis.stride * (axis.count - 1));
  }

  // False when they are too many.
  bool add(int64_t first) { return add(axes_.size() - 1, first); }
  ByteRuns take() { return std::move(runs_); }

 private:
  // Steps of axis `a` and those inside of it, from `at` on.
  bool add(size_t a, int64_t at) {
    if (a == 0) {
      const ByteRun run = {std::max(at, within_.begin), std::min(at + spans_[0], within_.end)};
      if (run.begin >= run.end) return true;
      if (left_ <= 0) return false;
      --left_;
      runs_.push_back(run);
      return true;
    }
    const ByteAxis& axis = axes_[a];
    const int64_t inner = spans_[a - 1];  // bytes from the first to the last of one step
    const int64_t behind = within_.begin - at - inner;
    const int64_t first = behind < 0 ? 0 : behind / axis.stride + 1;
    const int64_t room = within_.end - 1 - at;
    const int64_t end = room < 0 ? 0 : std::min(axis.count, room / axis.stride + 1);
    for (int64_t step = first; step < end; ++step)
      if (!add(a - 1, at + step * axis.stride)) return false;
    return true;
  }

  std::span<const ByteAxis> axes_;
  std::vector<int64_t> spans_;
  ByteRun within_;
  int64_t& left_;
  ByteRuns runs_;
};

}  // namespace

std::optional<ByteRuns> runs_of(int64_t first, int64_t bytes, std::span<const ByteAxis> axes, ByteRun within,
                                int64_t& left) {
  if (bytes <= 0 || std::ranges::any_of(axes, [](const ByteAxis& axis) { return axis.count <= 0; })) return ByteRuns();
  const std::vector<ByteAxis> steps = joined(first, bytes, axes);
  RunsWithin runs(steps, within, left);
  if (!runs.add(first)) return std::nullopt;
  ByteRuns all = runs.take();
  sort_and_join(all);
  return all;
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
