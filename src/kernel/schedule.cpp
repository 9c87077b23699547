#include "kernel/schedule.h"

#include <algorithm>

namespace cupel {

ContractSchedule start_schedule(const ContractSpec& spec, const LowerTarget& target) {
  const size_t rank = spec.space.size();
  const int64_t h = spec.space[rank - 3], w = spec.space[rank - 2], blocks = (spec.space[rank - 1] + 15) / 16;
  ContractSchedule best;
  double best_cost = 1e300;
  for (int64_t n = 1; n <= std::min<int64_t>(blocks, 6); ++n)
    for (int64_t tw = 1; tw <= std::min<int64_t>(w, 28); ++tw)
      for (int64_t th = 1; th <= std::min<int64_t>(h, 4); ++th) {
        const int64_t m = tw * th;
        if (m * n + n + 1 > target.vector_registers) continue;
        // Work done over work needed: tiles at the ends overlap, blocks at the end are computed whole.
        const auto waste = [](int64_t extent, int64_t tile) {
          return static_cast<double>((extent + tile - 1) / tile * tile) / static_cast<double>(extent);
        };
        const double useful = waste(w, tw) * waste(h, th) * waste(blocks, n);
        // Broadcasts and loads of weights issue beside the multiply-adds for the most part. Fewer than 10 accumulators
        // do not cover a multiply-add's latency; beyond 16, requantizing the results of a tile overlaps too little with
        // the sums of the next one.
        const double accumulators = static_cast<double>(m * n);
        const double step = 10.0 / std::min(accumulators, 10.0) + 0.1 * static_cast<double>(m + n) / accumulators +
                            0.05 * std::max(0.0, accumulators - 16.0) / 16.0;
        // Rows of a tile that spans several result rows cost more addresses.
        const double cost = useful * step * (1.0 + 0.01 * static_cast<double>(th - 1));
        if (cost < best_cost) {
          best_cost = cost;
          best.tile_h = th;
          best.tile_w = tw;
          best.tile_blocks = n;
        }
      }
  best.unroll = std::clamp<int64_t>((spec.run + 3) / 4, 1, 4);
  best.panels_outer = true;
  return best;
}

WindowSchedule start_schedule(const WindowSpec& spec) {
  const size_t rank = spec.space.size();
  WindowSchedule s;
  s.tile_blocks = std::clamp<int64_t>((spec.space[rank - 1] + 15) / 16, 1, 4);
  // Few channels leave registers for more pixels.
  s.tile_w = std::min<int64_t>(spec.space[rank - 2], s.tile_blocks <= 2 ? 4 : 2);
  return s;
}

MapSpec in_written_order(MapSpec spec) {
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
