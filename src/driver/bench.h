// The whole job of `cupel bench`: compiled models, timed in turns, compared, and taken apart kernel by kernel.
#pragma once

#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "assess/latency.h"
#include "driver/compile.h"
#include "driver/progress.h"
#include "profile/peaks.h"

namespace cupel {

enum class BenchClock {
  wall,  // the monotonic clock: what a caller waits
  cpu,   // CPU time of the one thread: what other programs take does not count
};

struct BenchOptions {
  int64_t batch = 1;              // where a model leaves it open
  double duration_s = 5;          // of all counted runs together; each model takes at least one run a round
  std::optional<int64_t> rounds;  // default: 10 to 40, whole cycles of schedule_cycle
  std::optional<int64_t> runs;    // counted runs of a model in a round, instead of duration_s
  BenchClock clock = BenchClock::wall;
  bool per_kernel = false;
  bool peaks = true;                                    // measured before and after the runs
  std::map<std::string, std::filesystem::path> inputs;  // .npy; inputs without a file get random numbers
  Progress progress;
};

// One kernel of a model in its turn, by the session's step timer: the monotonic clock, or with BenchClock::cpu the CPU
// time where that is less.
struct BenchKernel {
  std::string name;
  std::vector<std::string> origins;
  double median_us = 0;
  double share = 0;                      // of the sum of all kernels' medians
  int64_t multiply_adds = 0, bytes = 0;  // of a run; bytes: values and constants, each counted once
  // A multiply-add is two operations; share of the machine's peak for codes or floats. Absent without multiply-adds.
  std::optional<double> gops, peak_share;
  double gbps = 0;  // bytes / time
};

// All kernels of one form and one set of types, whatever their tiles: "contract_u8_s8_u8".
struct BenchForm {
  std::string name;
  int64_t kernels = 0;
  double sum_us = 0;  // of their medians
  double share = 0;   // of the sum over all kernels
  std::optional<double> gops;
};

struct BenchModel {
  // Of the file, with its sizes when it holds several, with a number when another has the same.
  std::string name;
  std::filesystem::path path;
  bool artifact = false;  // the file holds the code; otherwise it was compiled for this machine
  std::string target, tuned_for;
  int64_t batch = 1;
  int64_t warm_up_runs = 0;
  LatencySummary latency;             // µs
  double items_per_second = 0;        // items / Σ run times
  std::vector<double> round_medians;  // µs
  // Share of the time in which the one thread was on no CPU; absent with several threads.
  std::optional<double> waited_share;
  int64_t arena_bytes = 0, constants_bytes = 0, file_bytes = 0;
  std::vector<BenchKernel> kernels;  // in order; empty unless asked for
  std::vector<BenchForm> forms;      // of the kernels, the longest first
  double kernels_sum_us = 0;         // of the kernels' medians
  int64_t kernel_runs = 0;           // behind them
};

struct BenchResult {
  int threads = 1;
  BenchClock clock = BenchClock::wall;
  std::string placement;  // "bound to logical CPU 3"
  int64_t rounds = 0, planned_rounds = 0;
  bool interrupted = false;
  std::vector<BenchModel> models;            // as they were given; the first is the base
  std::vector<SpeedComparison> comparisons;  // of the models after the first
  Peaks peaks;                               // before the runs
  std::optional<Peaks> peaks_after;          // absent when interrupted
  std::vector<std::string> warnings;

  // The better of the two measurements, for as many cores as threads.
  std::optional<double> int8_gops() const;
  std::optional<double> fp32_gflops() const;
};

// Loads each .onnx file or artifact (recognised by its content), warms up, and runs them round by round in the order of
// round_order. One thread is bound to the CPU on which the warm-up ended, until the end. When interrupted, the result
// is that of the rounds that were complete; an error (resource) when there was none. usage for inputs that no model has
// and for models of different batches; otherwise the errors of load_model, compile_image and CompiledModel.
Result<BenchResult> bench(std::span<const std::filesystem::path> models, CompileContext& context,
                          const BenchOptions& options);

// A model whose Image is at hand, and what it runs on: in its order, as many rows as one batch has.
struct BenchSubject {
  const Model* model;
  const Bytes* image;
  std::string name;
  std::vector<Tensor> inputs;
};
// The same of such models on `threads` threads. options.inputs is not read.
Result<BenchResult> bench_images(std::span<const BenchSubject> models, int threads, const BenchOptions& options);

// Random inputs that are the same for every call: real numbers between −1 and 1, any 8-bit codes, and 0 or 1 for wider
// integers, which may be indices. `files` replaces inputs by the first rows of their arrays.
Result<std::vector<Tensor>> bench_inputs(const CupelImage& image, int64_t batch,
                                         const std::map<std::string, std::filesystem::path>& files);

// For people: a table of the models, a sentence for each comparison, and the kernels.
std::string bench_text(const BenchResult& result);
// For programs: every number of the text, and the rounds.
nlohmann::ordered_json bench_json(const BenchResult& result);

}  // namespace cupel
