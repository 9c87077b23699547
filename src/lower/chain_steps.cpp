#include "lower/chain_steps.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

namespace cupel {
namespace {

const Dims& space_of(const KernelSpec& spec) {
  return std::visit(
      [](const auto& s) -> const Dims& {
        static const Dims none;
        if constexpr (std::is_same_v<std::decay_t<decltype(s)>, ChainSpec>) {
          return none;
        } else {
          return s.space;
        }
      },
      spec);
}

int64_t floor_div(int64_t a, int64_t b) { return a / b - (a % b != 0 && (a < 0) != (b < 0)); }

// Bytes behind the access's first element that one index of the outer dimension reaches.
int64_t inner_span(const KernelSpec& spec, size_t access_index, const Access& access) {
  const Dims& space = space_of(spec);
  int64_t span = dtype_bits(access.dtype) / 8;
  // Blocks of 16 columns are computed and read whole.
  for (size_t d = 1; d < space.size(); ++d) {
    const bool columns = d + 1 == space.size() && spec.index() < 2;
    span += ((columns ? (space[d] + 15) / 16 * 16 : space[d]) - 1) * access.strides[d];
  }
  if (access_index != 1) return span;
  const auto reduce = [&](const std::vector<ReductionLoop>& loops) {
    for (const ReductionLoop& loop : loops) span += (loop.count - 1) * loop.stride;
  };
  if (const auto* contract = std::get_if<ContractSpec>(&spec)) {
    reduce(contract->loops);
    span += (contract->run + 3) * (dtype_bits(access.dtype) / 8);
  } else if (const auto* window = std::get_if<WindowSpec>(&spec)) {
    reduce(window->loops);
  }
  return span;
}

// A kernel that computes its outer dimension index by index; absent when its form cannot.
std::optional<Kernel> by_outer_index(Kernel kernel) {
  const Dims& space = space_of(kernel.spec);
  if (space.size() < 2) return std::nullopt;
  if (auto* schedule = std::get_if<ContractSchedule>(&kernel.schedule); schedule != nullptr && space.size() == 3) {
    schedule->bands = pixel_tiles(std::get<ContractSpec>(kernel.spec), *schedule);
    schedule->prefetch = 0;
    // Tiles of one row; short rows keep too few accumulators busy.
    if (schedule->tile_h != 1) return std::nullopt;
  }
  if (auto* schedule = std::get_if<WindowSchedule>(&kernel.schedule)) schedule->tile_h = 1;
  if (const auto* map = std::get_if<MapSpec>(&kernel.spec); map != nullptr && map->operands.empty())
    return std::nullopt;
  if (units_per_item(kernel) % space[0] != 0) return std::nullopt;
  return kernel;
}

// The outer indices of a writer that index o of a reader needs: [o · scale + low, o · scale + high].
struct Reach {
  int64_t scale, low, high;
};
std::optional<Reach> reach(const Access& read, int64_t read_span, const Access& write, int64_t write_span) {
  const int64_t stride = write.strides[0];
  if (stride <= 0 || write_span > stride || read.item_stride != write.item_stride || read.strides[0] <= 0 ||
      read.strides[0] % stride != 0)
    return std::nullopt;
  const int64_t from = read.offset - write.offset;
  return Reach{read.strides[0] / stride, floor_div(from, stride), floor_div(from + read_span - 1, stride)};
}

class Chainer {
 public:
  Chainer(const Graph& graph, Program& program, const LowerOptions& options, std::vector<FusionDecision>& decisions)
      : graph_(graph), producers_(graph.producers()), program_(program), options_(options), decisions_(decisions) {}

  void run() {
    std::vector<Step> steps;
    std::vector<Step>& all = program_.steps;
    for (size_t i = 0; i < all.size();) {
      const std::vector<size_t> members = candidate(i);
      if (members.size() < 2) {
        steps.push_back(std::move(all[i++]));
        continue;
      }
      std::string refusal;
      std::optional<Step> chain = joined(members, refusal);
      note(members, refusal);
      const size_t end = members.back() + 1;
      if (!chain) {
        for (; i < end; ++i) steps.push_back(std::move(all[i]));
        continue;
      }
      // What stands between the members fills halos, which may come first.
      for (; i < end; ++i)
        if (std::find(members.begin(), members.end(), i) == members.end()) steps.push_back(std::move(all[i]));
      steps.push_back(std::move(*chain));
    }
    all = std::move(steps);
    for (size_t i = 0; i < all.size(); ++i) all[i].name = fmt::format("{}_{}", i, kernel_name(all[i].kernel));
  }

 private:
  bool fills(size_t i) const {
    const auto* map = std::get_if<MapSpec>(&program_.steps[i].kernel.spec);
    return map != nullptr && map->operands.empty();
  }
  bool writes(size_t i, int64_t buffer) const { return program_.steps[i].buffers[0] == buffer; }
  bool reads(size_t i, int64_t buffer) const {
    const auto& used = program_.steps[i].buffers;
    return std::find(used.begin() + 1, used.end(), buffer) != used.end();
  }

  // Steps from `first` on that could be one chain: expand, depthwise and project convolutions; or what lies between
  // two products of one outer dimension (attention). Empty when there are none.
  std::vector<size_t> candidate(size_t first) const {
    std::vector<size_t> members;
    const auto next = [&](size_t i) {
      while (i < program_.steps.size() && fills(i)) ++i;
      return i;
    };
    const auto form = [&](size_t i) { return program_.steps[i].kernel.spec.index(); };
    if (fills(first)) return {};
    // Rows of images.
    const size_t second = next(first + 1), third = second < program_.steps.size() ? next(second + 1) : second;
    if (third < program_.steps.size() && form(first) == 0 && form(second) == 1 && form(third) == 0) {
      const auto& window = std::get<WindowSpec>(program_.steps[second].kernel.spec);
      if (window.kind == WindowKind::dot && space_of(program_.steps[first].kernel.spec).size() == 3 &&
          reads(second, program_.steps[first].buffers[0]) && reads(third, program_.steps[second].buffers[0]))
        return {first, second, third};
    }
    // Steps with one outer dimension, up to the last product, around a row.
    const Dims& space = space_of(program_.steps[first].kernel.spec);
    if (space.size() < 3 || space[0] < 2) return {};
    bool row = false;
    size_t last_product = 0;
    for (size_t i = first; i < program_.steps.size(); ++i) {
      const KernelSpec& spec = program_.steps[i].kernel.spec;
      const Dims& s = space_of(spec);
      if (s.size() < 2 || s[0] != space[0] || fills(i) || (spec.index() == 0 && s.size() < 4)) break;
      if (spec.index() == 1 || std::holds_alternative<CallSpec>(spec)) break;
      members.push_back(i);
      row = row || spec.index() == 3;
      if (row && spec.index() == 0 && s[s.size() - 2] > 1) last_product = members.size();
    }
    if (!row || last_product < 3) return {};
    members.resize(last_product);
    return members;
  }

  std::optional<Step> joined(const std::vector<size_t>& members, std::string& refusal) {
    struct Need {
      int64_t scale = 0, low = 0, high = 0;
      bool known = false;
    };
    const size_t count = members.size();
    ChainSpec chain;
    std::vector<Need> needs(count);
    for (size_t m : members) {
      auto kernel = by_outer_index(program_.steps[m].kernel);
      if (!kernel) return refuse(refusal, "a kernel of it does not work along that axis");
      chain.parts.push_back({std::move(*kernel)});
    }
    chain.steps = space_of(chain.parts.back().kernel.spec)[0];
    needs.back() = {1, 0, 0, true};
    int64_t between = 0;
    for (size_t q = count; q-- > 0;) {
      if (!needs[q].known) return refuse(refusal, "a value of it is read by nothing in it");
      const KernelSpec& reader = chain.parts[q].kernel.spec;
      const auto accesses = accesses_of(reader);
      for (size_t a = 1; a < accesses.size(); ++a) {
        const int64_t buffer = program_.steps[members[q]].buffers[a];
        for (size_t p = 0; p < count; ++p) {
          if (!writes(members[p], buffer)) continue;
          if (p >= q) return refuse(refusal, "a value of it is written later");
          const KernelSpec& writer = chain.parts[p].kernel.spec;
          const Access& out = *accesses_of(writer)[0];
          const auto r = reach(*accesses[a], inner_span(reader, a, *accesses[a]), out, inner_span(writer, 0, out));
          if (!r) return refuse(refusal, "a value of it does not lie along that axis");
          Need& need = needs[p];
          const int64_t scale = r->scale * needs[q].scale, low = r->scale * needs[q].low + r->low,
                        high = r->scale * needs[q].high + r->high;
          if (need.known && need.scale != scale) return refuse(refusal, "its parts advance at different rates");
          need = {scale, need.known ? std::min(need.low, low) : low, need.known ? std::max(need.high, high) : high,
                  true};
        }
      }
    }
    for (size_t p = 0; p + 1 < count; ++p) {
      ChainPart& part = chain.parts[p];
      const int64_t buffer = program_.steps[members[p]].buffers[0];
      for (size_t q = 0; q < count; ++q)
        if (q != p && writes(members[q], buffer) &&
            accesses_of(chain.parts[q].kernel.spec)[0]->strides[0] != accesses_of(part.kernel.spec)[0]->strides[0])
          return refuse(refusal, "two of its kernels write one buffer at different rates");
      between += program_.buffers[static_cast<size_t>(buffer)].item_bytes;
      const int64_t all = units_per_item(part.kernel), row = all / space_of(part.kernel.spec)[0];
      const Need& n = needs[p];
      part.units = std::min(n.scale * row, all);
      part.back = std::min(std::max<int64_t>(0, -n.low) * row, all);
      part.ahead = std::min(std::max<int64_t>(0, n.high - (n.scale - 1)) * row, all);
    }
    chain.parts.back().units = units_per_item(chain.parts.back().kernel) / chain.steps;
    if (between <= options_.chains_above_bytes)
      return refuse(refusal,
                    options_.chains_above_bytes == INT64_MAX
                        ? fmt::format("{} bytes pass between its kernels, and chains are made on demand", between)
                        : fmt::format("{} bytes pass between its kernels; chains are made above {}", between,
                                      options_.chains_above_bytes));
    Step step;
    std::set<std::string> origins;
    const Step& last = program_.steps[members.back()];
    const auto append = [&](size_t m) {
      const Step& member = program_.steps[m];
      step.buffers.insert(step.buffers.end(), member.buffers.begin(), member.buffers.end());
      origins.insert(member.origins.begin(), member.origins.end());
    };
    append(members.back());
    for (size_t p = 0; p + 1 < count; ++p) append(members[p]);
    step.origins.assign(origins.begin(), origins.end());
    step.result = last.result;
    step.value_name = last.value_name;
    step.type = last.type;
    step.kernel = {std::move(chain), ChainSchedule{}};
    if (Status status = check_kernel(step.kernel); !status) return refuse(refusal, status.error().cause);
    return step;
  }

  static std::nullopt_t refuse(std::string& refusal, std::string reason) {
    refusal = std::move(reason);
    return std::nullopt;
  }

  void note(const std::vector<size_t>& members, const std::string& refusal) {
    std::vector<NodeId> nodes;
    for (size_t m : members)
      if (const auto value = graph_.find_value(program_.steps[m].value_name); value && program_.steps[m].result)
        nodes.push_back(producers_[static_cast<size_t>(value->index)]);
    for (size_t i = 1; i < nodes.size(); ++i)
      if (!refusal.empty()) decisions_.push_back({nodes[i], nodes[0], false, "in one chain: " + refusal});
  }

  const Graph& graph_;
  std::vector<NodeId> producers_;
  Program& program_;
  const LowerOptions& options_;
  std::vector<FusionDecision>& decisions_;
};

}  // namespace

void chain_steps(const Graph& graph, Program& program, const LowerOptions& options,
                 std::vector<FusionDecision>& decisions) {
  Chainer(graph, program, options, decisions).run();
}

}  // namespace cupel
