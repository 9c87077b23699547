// Sets of bytes as sorted, disjoint runs; those that strided accesses touch, exactly.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace cupel {

// Bytes [begin, end).
struct ByteRun {
  int64_t begin = 0, end = 0;
  bool operator==(const ByteRun&) const = default;
};
using ByteRuns = std::vector<ByteRun>;

// `count` steps of `stride` bytes, in either direction.
struct ByteAxis {
  int64_t stride = 0, count = 1;
};

// The bytes first + Σ strideᵢ·jᵢ + [0, bytes), 0 ≤ jᵢ < countᵢ, as far as they lie in `within`. They are
// counted run by run, each taken from `left`; nullopt when that is used up. The caller has proved that no sum leaves
// int64.
std::optional<ByteRuns> runs_of(int64_t first, int64_t bytes, std::span<const ByteAxis> axes, ByteRun within,
                                int64_t& left);

// The first byte of `wanted` that `have` lacks.
std::optional<int64_t> first_missing(const ByteRuns& have, const ByteRuns& wanted);
// The first byte in both.
std::optional<int64_t> first_common(const ByteRuns& a, const ByteRuns& b);

ByteRuns united(const ByteRuns& a, const ByteRuns& b);
ByteRuns without(const ByteRuns& from, const ByteRuns& taken);

}  // namespace cupel
