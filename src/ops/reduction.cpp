#include "ops/reduction.h"

#include <fmt/format.h>

#include <limits>

#include "ir/graph.h"

namespace cupel::ops {
namespace {

struct SumCodes {
  ByteCodes codes;
  [[gnu::always_inline]] int32_t operator()(int32_t sum, uint8_t byte) const { return sum + codes.centered(byte); }
};

template <class T, class F>
void select(const EvalContext& c, const std::vector<bool>& reduces, T start, F f) {
  T* out = c.out().mutable_data<T>().data();
  reduce<T>(ReductionLayout(c.in(0).dims(), reduces), c.in(0).data<T>().data(), start, f, c.threads,
            [&](int64_t at, const T* results, int64_t n) { std::copy_n(results, n, out + at); });
}

// The value that every finite one replaces: an infinity, or an end of the integers.
template <class T, bool kGreatest>
constexpr T start_of() {
  using Limits = std::numeric_limits<T>;
  if constexpr (Limits::has_infinity) {
    return kGreatest ? -Limits::infinity() : Limits::infinity();
  } else {
    return kGreatest ? Limits::lowest() : Limits::max();
  }
}

template <bool kGreatest>
Status select_any(const EvalContext& c, const std::vector<bool>& reduces) {
  const auto run = [&]<class T>() {
    if constexpr (kGreatest) {
      select<T>(c, reduces, start_of<T, true>(), GreaterOf{});
    } else {
      select<T>(c, reduces, start_of<T, false>(), LessOf{});
    }
  };
  switch (c.in(0).dtype()) {
    case DType::f32: run.template operator()<float>(); break;
    case DType::u8: run.template operator()<uint8_t>(); break;
    default: run.template operator()<int8_t>(); break;
  }
  return {};
}

}  // namespace

ReductionLayout::ReductionLayout(const Dims& dims, const std::vector<bool>& reduces) {
  int64_t stride = 1;
  bool last_is_reduced = false, first = true;
  // From the innermost dimension outwards, merging neighbours of one kind.
  for (size_t d = dims.size(); d-- > 0;) {
    if (dims[d] == 1) continue;
    Dims& extents = reduces[d] ? reduced : kept;
    Dims& strides = reduces[d] ? reduced_strides : kept_strides;
    if (!first && last_is_reduced == reduces[d]) {
      extents.front() *= dims[d];
    } else {
      extents.insert(extents.begin(), dims[d]);
      strides.insert(strides.begin(), stride);
    }
    stride *= dims[d];
    last_is_reduced = reduces[d];
    first = false;
  }
  if (!kept.empty() && kept_strides.back() == 1) {
    inner = kept.back();
    kept.pop_back();
    kept_strides.pop_back();
  }
  if (reduced.empty()) {
    reduced = {1};
    reduced_strides = {1};
  }
}

Status expect_exact_sum(int64_t codes) {
  constexpr int64_t kMost = (int64_t{1} << 31) / 256 - 1;
  if (codes > kMost)
    return unsupported("", fmt::format("a sum of {} codes could leave 32 bits; at most {} are summed", codes, kMost),
                       "keep this op in float");
  return {};
}

Status reduce_mean(const EvalContext& c, const std::vector<bool>& reduces) {
  const ReductionLayout layout(c.in(0).dims(), reduces);
  const int64_t n = layout.count();
  if (!c.input_types[0]->quant) {
    const auto divisor = static_cast<float>(n);
    float* out = c.out().mutable_data<float>().data();
    reduce<float>(layout, c.in(0).data<float>().data(), 0.0f, SumOf{}, c.threads,
                  [&](int64_t at, const float* sums, int64_t count) {
                    for (int64_t j = 0; j < count; ++j) out[at + j] = sums[j] / divisor;
                  });
    return {};
  }
  CUPEL_TRY(expect_exact_sum(n));
  const MeanOfCodes mean(*c.input_types[0], c.output_types[0]);
  const float multiplier = mean.multiplier(std::max<int64_t>(1, n));
  uint8_t* out = byte_elements(c.out());
  reduce<int32_t>(layout, byte_elements(c.in(0)), 0, SumCodes{ByteCodes(*c.input_types[0])}, c.threads,
                  [&](int64_t at, const int32_t* sums, int64_t count) {
                    for (int64_t j = 0; j < count; ++j) out[at + j] = mean.store(sums[j], multiplier);
                  });
  return {};
}

Status reduce_greatest(const EvalContext& c, const std::vector<bool>& reduces) { return select_any<true>(c, reduces); }
Status reduce_least(const EvalContext& c, const std::vector<bool>& reduces) { return select_any<false>(c, reduces); }

}  // namespace cupel::ops
