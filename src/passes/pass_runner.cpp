#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>

#include "base/file.h"
#include "ir/text.h"
#include "ir/verifier.h"
#include "passes/pass.h"
#include "runtime/floating_point.h"

namespace cupel {

#define CUPEL_PASS(name, summary) Result<Graph> run_##name(const Graph&, const PassContext&);
#include "passes/pass_list.def"
#undef CUPEL_PASS

namespace {
constexpr auto kPasses = std::to_array<Pass>({
#define CUPEL_PASS(name, summary) {#name, summary, run_##name},
#include "passes/pass_list.def"
#undef CUPEL_PASS
});
}  // namespace

std::span<const Pass> all_passes() { return kPasses; }

const Pass* find_pass(std::string_view name) {
  const auto row = std::find_if(kPasses.begin(), kPasses.end(), [&](const Pass& p) { return p.name == name; });
  return row == kPasses.end() ? nullptr : &*row;
}

Status dump_graph(const Graph& graph, std::string_view label, PassOptions& options) {
  return dump_text([&](ConstantStore& store) { return print_graph(graph, &store); }, fmt::format("{}.graph", label),
                   options);
}

Status dump_text(const std::function<std::string(ConstantStore&)>& print, std::string_view file, PassOptions& options) {
  if (options.dump_folder.empty()) return {};
  CUPEL_TRY(make_folder(options.dump_folder));
  const auto side_file = options.dump_folder / "constants.bin";
  ConstantStore store;
  if (options.dump_number > 0) {
    const Bytes old = CUPEL_TRY(read_file(side_file));
    store = CUPEL_TRY(parse_constants({reinterpret_cast<const char*>(old.data()), old.size()}, side_file.string()));
  }
  const size_t before = store.size();
  const std::string text = print(store);
  CUPEL_TRY(write_file(options.dump_folder / fmt::format("{:02}-{}", options.dump_number, file), text));
  if (options.dump_number == 0 || store.size() != before) CUPEL_TRY(write_file(side_file, print_constants(store)));
  ++options.dump_number;
  return {};
}

Result<Graph> run_passes(Graph graph, std::span<const std::string_view> names, const PassContext& context,
                         PassOptions& options) {
  for (std::string_view name : names) {
    if (options.stopped) break;
    const Pass* pass = find_pass(name);
    if (!pass) return internal_error(fmt::format("pass {}", name), "no such pass");
    const auto start = std::chrono::steady_clock::now();
    auto result = [&] {
      const NetworkArithmetic arithmetic;
      return pass->run(graph, context);
    }();
    if (!result) return std::unexpected(std::move(result).error());
    if (options.times) {
      const auto elapsed =
          std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now() - start).count();
      options.times->push_back({.name = std::string(name), .time_ns = elapsed, .changed = !(*result == graph)});
    }
    graph = std::move(*result);
    CUPEL_TRY(dump_graph(graph, name, options));
    if (Status status = verify_graph(graph); !status)
      return std::unexpected(std::move(status).error().within(fmt::format("after pass {}", name)));
    if (options.stop_after == name) options.stopped = true;
  }
  return graph;
}

}  // namespace cupel
