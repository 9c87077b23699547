// Operators whose results have a size that the values of their operands decide: what they give is computed here, once
// the operands are constants.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "onnx/spelling.h"

namespace cupel {
namespace {

const char* const kCorrect = "correct the model";

Result<const Tensor*> decided(const Spelling& s, size_t i, std::string_view what) {
  if (const Tensor* t = s.constant_operand(i)) return t;
  return computed_at_run_time(fmt::format("{} (operand {}), which decides the shape, is computed at run time", what, i),
                              "make it a constant");
}

Status finish_with(Spelling& s, Tensor result) {
  return s.finish("Identity", {s.constant("result", std::move(result))});
}

Tensor list_of(const std::vector<int64_t>& values) {
  return Tensor::of<int64_t>({static_cast<int64_t>(values.size())}, std::span<const int64_t>(values));
}

bool is_nonzero(const Tensor& t, int64_t i) { return is_float(t.dtype()) ? t.at(i) != 0 : t.int_at(i) != 0; }

}  // namespace

// [rank, count]: the indices of the elements that are not 0, in their order.
Status spell_non_zero(Spelling& s) {
  const Tensor& x = *CUPEL_TRY(decided(s, 0, "the tensor"));
  std::vector<int64_t> found;
  for (int64_t i = 0; i < x.size(); ++i)
    if (is_nonzero(x, i)) found.push_back(i);
  const auto count = static_cast<int64_t>(found.size());
  Tensor indices(DType::s64, {x.rank(), count});
  auto* out = indices.mutable_data<int64_t>().data();
  int64_t below = x.size();
  for (int64_t axis = 0; axis < x.rank(); ++axis) {
    const int64_t extent = x.dims()[static_cast<size_t>(axis)];
    below /= std::max<int64_t>(extent, 1);
    for (const int64_t i : found) *out++ = i / below % extent;
  }
  return finish_with(s, std::move(indices));
}

namespace {

struct Box {
  float top, left, bottom, right;
  float area() const { return (bottom - top) * (right - left); }
};

// Corners in any order (y, x, y, x), or center and size (x, y, width, height).
Box box_of(const float* p, bool centered) {
  if (centered) {
    const float w = p[2] / 2, h = p[3] / 2;
    return {p[1] - h, p[0] - w, p[1] + h, p[0] + w};
  }
  return {std::min(p[0], p[2]), std::min(p[1], p[3]), std::max(p[0], p[2]), std::max(p[1], p[3])};
}

// Whether they share more than that part of their union.
bool overlap(const Box& a, const Box& b, float threshold) {
  const float height = std::min(a.bottom, b.bottom) - std::max(a.top, b.top);
  const float width = std::min(a.right, b.right) - std::max(a.left, b.left);
  if (!(height > 0) || !(width > 0) || !(a.area() > 0) || !(b.area() > 0)) return false;
  const float shared = height * width;
  return shared / (a.area() + b.area() - shared) > threshold;
}

struct Suppression {
  int64_t most = 0;
  float threshold = 0;
  std::optional<float> least_score = {};
  bool centered = false;
};

Result<Suppression> suppression_of(const Spelling& s) {
  Suppression how{.centered = attr_int(s.attributes(), "center_point_box", 0) != 0};
  for (size_t i = 2; i < 5; ++i) {
    if (!s.has(i)) continue;
    const Tensor& t = *CUPEL_TRY(decided(s, i, i == 2 ? "the number of boxes" : "a threshold"));
    if (t.size() != 1 || t.dtype() != (i == 2 ? DType::s64 : DType::f32))
      return bad_input("",
                       fmt::format("operand {} is {}{}, expected one {}", i, dtype_name(t.dtype()), to_text(t.dims()),
                                   i == 2 ? "s64" : "f32"),
                       kCorrect);
    if (i == 2) how.most = t.int_at(0);
    if (i == 3) how.threshold = static_cast<float>(t.at(0));
    if (i == 4) how.least_score = static_cast<float>(t.at(0));
  }
  if (!(how.threshold >= 0 && how.threshold <= 1))
    return bad_input("", fmt::format("the threshold of the overlap is {}, expected 0 to 1", how.threshold), kCorrect);
  return how;
}

// The boxes of one class that stay, by falling score; of equal ones the first.
std::vector<int64_t> kept_boxes(std::span<const Box> boxes, std::span<const float> scores, const Suppression& how) {
  std::vector<int64_t> order;
  for (size_t i = 0; i < scores.size(); ++i)
    if (how.least_score ? scores[i] > *how.least_score : !std::isnan(scores[i]))
      order.push_back(static_cast<int64_t>(i));
  std::ranges::stable_sort(
      order, [&](int64_t a, int64_t b) { return scores[static_cast<size_t>(a)] > scores[static_cast<size_t>(b)]; });
  std::vector<int64_t> kept;
  for (const int64_t i : order) {
    if (static_cast<int64_t>(kept.size()) >= how.most) break;
    const auto hides = [&](int64_t k) {
      return overlap(boxes[static_cast<size_t>(i)], boxes[static_cast<size_t>(k)], how.threshold);
    };
    if (std::ranges::none_of(kept, hides)) kept.push_back(i);
  }
  return kept;
}

}  // namespace

// Boxes [batch, n, 4], scores [batch, classes, n] -> [count, 3]: batch, class and box of those that stay.
Status spell_non_max_suppression(Spelling& s) {
  const Suppression how = CUPEL_TRY(suppression_of(s));
  const Tensor &boxes = *CUPEL_TRY(decided(s, 0, "the boxes")), &scores = *CUPEL_TRY(decided(s, 1, "the scores"));
  for (const Tensor* t : {&boxes, &scores})
    if (t->dtype() != DType::f32 || t->rank() != 3)
      return bad_input(
          "", fmt::format("{}{}, expected f32 of three dimensions", dtype_name(t->dtype()), to_text(t->dims())),
          kCorrect);
  const int64_t batch = boxes.dims()[0], n = boxes.dims()[1], classes = scores.dims()[1];
  if (boxes.dims()[2] != 4 || scores.dims()[0] != batch || scores.dims()[2] != n)
    return bad_input(
        "", fmt::format("boxes {} and scores {} do not fit", to_text(boxes.dims()), to_text(scores.dims())), kCorrect);
  const auto extent = static_cast<size_t>(n);
  std::vector<int64_t> rows;
  std::vector<Box> corners(extent);
  for (int64_t b = 0; b < batch; ++b) {
    for (size_t i = 0; i < extent; ++i)
      corners[i] = box_of(boxes.data<float>().data() + (static_cast<size_t>(b) * extent + i) * 4, how.centered);
    for (int64_t c = 0; c < classes; ++c) {
      const auto of_class = scores.data<float>().subspan(static_cast<size_t>(b * classes + c) * extent, extent);
      for (const int64_t i : kept_boxes(corners, of_class, how)) rows.insert(rows.end(), {b, c, i});
    }
  }
  return finish_with(s,
                     Tensor::of<int64_t>({static_cast<int64_t>(rows.size()) / 3, 3}, std::span<const int64_t>(rows)));
}

namespace {

// Slices of a tensor along an axis, and how their elements compare: −1, 0, 1. A NaN is greater than all, and equal to
// none.
struct Slices {
  const Tensor& x;
  int64_t outer, extent, inner;

  int64_t element(int64_t slice, int64_t k) const { return (k / inner * extent + slice) * inner + k % inner; }
  int compare(int64_t a, int64_t b) const {
    for (int64_t k = 0; k < outer * inner; ++k) {
      const int64_t i = element(a, k), j = element(b, k);
      const int order = is_float(x.dtype()) ? compare_numbers(x.at(i), x.at(j)) : compare_integers(i, j);
      if (order != 0) return order;
    }
    return 0;
  }
  static int compare_numbers(double p, double q) {
    if (std::isnan(p) || std::isnan(q)) return std::isnan(p) ? 1 : -1;
    return p < q ? -1 : p > q ? 1 : 0;
  }
  int compare_integers(int64_t i, int64_t j) const {
    const int64_t p = x.int_at(i), q = x.int_at(j);
    if (x.dtype() == DType::u64) return static_cast<uint64_t>(p) < static_cast<uint64_t>(q) ? -1 : p != q;
    return p < q ? -1 : p > q ? 1 : 0;
  }
};

// The first slice of each kind, in the order of the result; which of these each slice is; how often each occurs.
struct Distinct {
  std::vector<int64_t> first, kind, count;
};

Distinct distinct(const Slices& slices, bool sorted) {
  const auto n = static_cast<size_t>(slices.extent);
  std::vector<int64_t> order(n);
  std::iota(order.begin(), order.end(), 0);
  std::ranges::stable_sort(order, [&](int64_t a, int64_t b) {
    const bool nan_a = slices.compare(a, a) != 0, nan_b = slices.compare(b, b) != 0;
    if (nan_a || nan_b) return !nan_a && nan_b;
    return slices.compare(a, b) < 0;
  });
  std::vector<std::vector<int64_t>> groups;
  for (const int64_t i : order) {
    if (groups.empty() || slices.compare(groups.back().front(), i) != 0) groups.emplace_back();
    groups.back().push_back(i);
  }
  if (!sorted) std::ranges::sort(groups, {}, [](const std::vector<int64_t>& g) { return g.front(); });
  Distinct d{{}, std::vector<int64_t>(n), {}};
  for (const auto& group : groups) {
    for (const int64_t i : group) d.kind[static_cast<size_t>(i)] = static_cast<int64_t>(d.first.size());
    d.first.push_back(group.front());
    d.count.push_back(static_cast<int64_t>(group.size()));
  }
  return d;
}

}  // namespace

// Y, and for each slice of Y its first index in X; for each slice of X its index in Y; how often each occurs.
Status spell_unique(Spelling& s) {
  const Tensor& given = *CUPEL_TRY(decided(s, 0, "the tensor"));
  const bool flat = !s.attributes().contains("axis");
  const Tensor x = flat ? given.reshaped({given.size()}) : given;
  const auto axis =
      static_cast<size_t>(flat ? 0 : CUPEL_TRY(normalize_axis(attr_int(s.attributes(), "axis", 0), x.rank())));
  Slices slices{x, 1, x.dims()[axis], 1};
  for (size_t i = 0; i < x.dims().size(); ++i) (i < axis ? slices.outer : slices.inner) *= i == axis ? 1 : x.dims()[i];
  const Distinct d = distinct(slices, attr_int(s.attributes(), "sorted", 1) != 0);
  const std::vector<int64_t>* lists[] = {&d.first, &d.kind, &d.count};
  for (size_t i = 1; i < 4; ++i)
    if (s.gives(i)) CUPEL_TRY(s.give(i, "Identity", {s.constant(fmt::format("list{}", i), list_of(*lists[i - 1]))}));
  const std::string whole = flat ? CUPEL_TRY(s.reshape("all", s.in(0), {x.size()})) : s.in(0);
  return s.finish("Gather", {whole, s.list("first", d.first)}, {{"axis", static_cast<int64_t>(axis)}});
}

}  // namespace cupel
