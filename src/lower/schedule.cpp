#include "lower/schedule.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>

namespace cupel {

namespace {

// Of the products of a tile of whole rows, the share that reads no border and is computed.
double share_inside(const ContractSpec& spec, int64_t width) {
  if (!leaves_columns_out(spec)) return 1;
  int64_t taps = 0;
  for (int64_t w = 0; w < width; ++w) {
    const TapRange range = taps_inside(spec.columns, w, w);
    taps += std::max<int64_t>(0, range.limit - range.first);
  }
  return static_cast<double>(taps) / static_cast<double>(width * spec.columns.taps);
}

// What a step of the reduction costs a tile of m pixels by n blocks beside its multiply-adds, which count 1.
double step_cost(const ContractSpec& spec, const LowerTarget& target, int64_t m, int64_t n) {
  const auto accumulators = static_cast<double>(m * n);
  // Fewer than 10 accumulators do not cover a multiply-add's latency; broadcasts and loads of weights issue beside the
  // multiply-adds for the most part.
  const double common = 10.0 / std::min(accumulators, 10.0) + 0.1 * static_cast<double>(m + n) / accumulators;
  if (target.products_per_cycle < 2) {
    // Beyond 16, requantizing the results of a tile overlaps too little with the sums of the next one.
    return common + 0.05 * std::max(0.0, accumulators - 16.0) / 16.0;
  }
  // A block of weights is 64 bytes a step, so that two multiply-adds a cycle take 128 / m bytes a cycle of them. The
  // second level cache gives about 50; coming close to it costs.
  int64_t steps = (spec.run + 3) / 4, rounds = 1;
  if (spec.a.dtype == DType::f32) steps = spec.run;
  for (const ReductionLoop& loop : spec.loops) rounds *= loop.count;
  const int64_t pixels = spec.space[spec.space.size() - 3] * spec.space[spec.space.size() - 2];
  const bool first_level = pixels > m && 64 * n * steps * rounds <= 24 * 1024;  // read again by the next tile
  const double streaming = first_level ? 0.0 : std::pow(128.0 / static_cast<double>(m) / 50.0, 4);
  // Between the rounds of a short run accumulators that do not fit beside weights are moved.
  const double moves = rounds > 1 && steps < 16 ? 0.02 * std::max(0.0, accumulators - 16.0) : 0.0;
  return common + streaming + moves;
}

// Bands of pixels, so that two or four threads compute rows whose neighbours in the kernels before and behind they
// compute as well: worth it where what every thread then reads, the weights, is less than half of what no longer moves
// between them, and stays in a second level cache.
int64_t bands(const ContractSpec& spec, int64_t tiles) {
  const size_t rank = spec.space.size();
  const auto bytes = [&](const Access& access) {
    int64_t greatest = 0;
    for (size_t d = 0; d < rank; ++d) greatest = std::max(greatest, spec.space[d] * std::abs(access.strides[d]));
    return greatest;
  };
  int64_t moved = bytes(spec.a) + bytes(spec.out);
  for (const Access& operand : spec.operands)
    if (!operand.constant) moved += bytes(operand);
  const int64_t weights = (spec.space[rank - 1] + 15) / 16 * spec.b_block_stride;
  if (weights > 256 * 1024 || 2 * weights > moved || !spec.b.constant) return 1;
  for (const int64_t count : {4, 2})
    if (tiles % count == 0) return count;
  return 1;
}

}  // namespace

ContractSchedule start_schedule(const ContractSpec& spec, const LowerTarget& target) {
  const size_t rank = spec.space.size();
  const int64_t h = spec.space[rank - 3], w = spec.space[rank - 2], blocks = (spec.space[rank - 1] + 15) / 16;
  const double whole_row = share_inside(spec, w);
  ContractSchedule best;
  double best_cost = 1e300;
  for (int64_t n = 1; n <= std::min<int64_t>(blocks, 6); ++n)
    for (int64_t tw = 1; tw <= std::min<int64_t>(w, 28); ++tw)
      for (int64_t th = 1; th <= std::min<int64_t>(h, 4); ++th) {
        const int64_t m = tw * th;
        if (m * n + n + 1 > target.vector_registers + (target.products_per_cycle < 2 ? 0 : 1)) continue;
        // Work done over work needed: tiles at the ends overlap, blocks at the end are computed whole.
        const auto waste = [](int64_t extent, int64_t tile) {
          return static_cast<double>((extent + tile - 1) / tile * tile) / static_cast<double>(extent);
        };
        const double done = waste(w, tw) * waste(h, th) * waste(blocks, n) * (tw == w ? whole_row : 1.0);
        // Rows of a tile that spans several result rows cost more addresses.
        const double cost = done * step_cost(spec, target, m, n) * (1.0 + 0.01 * static_cast<double>(th - 1));
        if (cost < best_cost) {
          best_cost = cost;
          best.tile_h = th;
          best.tile_w = tw;
          best.tile_blocks = n;
        }
      }
  best.unroll = std::clamp<int64_t>((spec.run + 3) / 4, 1, target.products_per_cycle < 2 ? 4 : 8);
  best.bands = bands(spec, pixel_tiles(spec, best));
  // Few pixels leave little time to fetch the next weights, which lie beyond the second level cache; a tile fetches one
  // line of each block in a step of the unrolled loop.
  constexpr int64_t kFewPixels = 1024, kMostFetched = 512 * 1024;  // bytes that stay until they are used
  if (h * w <= kFewPixels && spec.b.constant && best.bands == 1 &&
      best.tile_blocks * spec.b_block_stride <= kMostFetched)
    best.prefetch = std::min(pixel_tiles(spec, best), best.unroll);
  return best;
}

WindowSchedule start_schedule(const WindowSpec& spec) {
  const size_t rank = spec.space.size();
  const int64_t h = spec.space[rank - 3], w = spec.space[rank - 2];
  WindowSchedule s;
  s.tile_blocks = std::clamp<int64_t>((spec.space[rank - 1] + 15) / 16, 1, 4);
  // Rows one line apart share most lines of the image; an odd row would be computed twice.
  const bool codes = spec.kind == WindowKind::dot && spec.a.dtype == DType::u8;
  const bool share =
      spec.loops.size() == 2 && spec.loops[0].count > 1 && spec.loops[0].stride == spec.a.strides[rank - 3];
  // Few channels of other windows leave registers for more pixels.
  s.tile_w = std::min<int64_t>(w, !codes && s.tile_blocks <= 2 ? 4 : 2);
  if (codes && share && (h % 2 == 0 || h > 8)) s.tile_h = 2;
  return s;
}

namespace {

template <class Spec>
Spec written_in_order(Spec spec) {
  std::vector<size_t> order;
  for (size_t d = 0; d < spec.space.size(); ++d)
    if (spec.space[d] != 1) order.push_back(d);
  if (order.empty()) order.push_back(0);
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return spec.out.strides[a] > spec.out.strides[b]; });
  const auto reorder = [&](std::vector<int64_t>& values) {
    std::vector<int64_t> reordered;
    for (size_t d : order) reordered.push_back(values[d]);
    values = std::move(reordered);
  };
  reorder(spec.space);
  reorder(spec.out.strides);
  for (Access& access : spec.operands) reorder(access.strides);
  return spec;
}

}  // namespace

MapSpec in_written_order(MapSpec spec) { return written_in_order(std::move(spec)); }
CallSpec in_written_order(CallSpec spec) { return written_in_order(std::move(spec)); }

MapSchedule start_schedule(const MapSpec& spec) {
  // The dimension along which the result is contiguous and most operands are contiguous or constant.
  MapSchedule s;
  int best = -1;
  for (size_t d = 0; d < spec.space.size(); ++d) {
    const auto along = [&](const Access& a) { return a.strides[d] == dtype_bits(a.dtype) / 8; };
    int score = along(spec.out) ? 2 : 0;
    for (const Access& a : spec.operands) score += along(a) ? 2 : a.strides[d] == 0 ? 1 : 0;
    if (spec.space[d] < 16) score -= 3;
    if (score >= best) {
      best = score;
      s.vector_dimension = static_cast<int64_t>(d);
    }
  }
  return s;
}

}  // namespace cupel
