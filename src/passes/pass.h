// Passes: pure functions from Graph to Graph, rows of pass_list.def, run and verified by run_passes.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "ir/graph.h"
#include "ir/type_text.h"
#include "runtime/thread_pool.h"

namespace cupel {

// What a pass refused to do to a node, and why, for people (`inspect --explain`, the report).
struct Remark {
  std::string node;
  std::string reason;
};

struct PassContext {
  ThreadPool& threads;
  std::vector<Remark>* remarks = nullptr;  // may be null
  // What the constants that one pass computes may take together, where the graph's own do not take more.
  int64_t most_folded_bytes = int64_t{1} << 30;
};

struct Pass {
  std::string_view name;
  std::string_view summary;  // one sentence
  Result<Graph> (*run)(const Graph&, const PassContext&);
};

// The row of that name; null when there is none.
const Pass* find_pass(std::string_view name);
std::span<const Pass> all_passes();

struct PassTime {
  std::string name;
  int64_t time_ns;
  bool changed;
};

struct PassOptions {
  std::filesystem::path dump_folder;  // empty: no dumps. Files NN-<pass>.graph, and constants.bin for all of them
  std::string stop_after;             // empty: run all
  std::vector<PassTime>* times = nullptr;
  // Kept between calls of one command, so that dumps are numbered through.
  int dump_number = 0;
  bool stopped = false;  // set once stop_after has run
};

// Runs the named passes in order; after each the graph is verified against its stage. An error of kind internal names
// the pass; the offending graph is then in the dump folder when there is one.
Result<Graph> run_passes(Graph graph, std::span<const std::string_view> names, const PassContext& context,
                         PassOptions& options);
// Writes a dump of a graph that did not come from a pass (import, calibration).
Status dump_graph(const Graph& graph, std::string_view label, PassOptions& options);
// Writes a dump of anything with a text: NN-<file>, and what its `print` adds to the constants of all dumps. Nothing
// where no dumps are asked for.
Status dump_text(const std::function<std::string(ConstantStore&)>& print, std::string_view file, PassOptions& options);

}  // namespace cupel
