// What the verbs of the command line share.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "driver/assay.h"
#include "driver/compile.h"

namespace cupel::cli {

// Flags that every verb takes.
struct CommonFlags {
  int threads = 0;         // 0: one for each core this process may use
  int64_t batch = 50;      // default: the verb's
  std::string json;        // file, or - for standard output
  std::string dump_ir;     // folder
  std::string stop_after;  // pass
  bool pass_times = false;
  bool quiet = false;
  int64_t max_memory_mb = 0;  // 0: no limit
  int64_t timeout_s = 0;      // 0: no limit
};

// A verb: adds its flags to the subcommand and gives what runs when it was chosen. The result is the exit code.
using Run = std::function<Result<int>(const CommonFlags&)>;
struct Verb {
  const char* name;
  const char* summary;
  const char* example;
  Run (*setup)(CLI::App& command);
  int64_t default_batch = 50;
};

Run setup_inspect(CLI::App& command);
Run setup_run(CLI::App& command);
Run setup_quantize(CLI::App& command);
Run setup_evaluate(CLI::App& command);
Run setup_assay(CLI::App& command);
Run setup_compile(CLI::App& command);
Run setup_doctor(CLI::App& command);
Run setup_bench(CLI::App& command);

// Checks of flags: "found 0, expected a whole number from 1 to 256".
inline constexpr int64_t kLargest = 1'000'000'000;
CLI::Validator whole_number(int64_t least, int64_t greatest);
CLI::Validator real_number(double least, double greatest);

// The pool, the passes' options and what is printed about them at the end.
class Work {
 public:
  explicit Work(const CommonFlags& flags);
  CompileContext& context() { return context_; }
  // Progress lines on standard error; nothing when quiet. A bar with the time left when standard error is a terminal,
  // otherwise nothing.
  Progress progress();
  // Ends the progress line, prints pass times when asked for. True when --stop-after ended the work early.
  bool finish();

 private:
  const CommonFlags& flags_;
  ThreadPool threads_;
  std::vector<PassTime> times_;
  CompileContext context_;
};

// Flags --dim, --shape and --value of a verb that loads models.
struct BindingFlags {
  std::vector<std::string> dims, shapes, values;
};
// `lists`: whether --dim and --shape take several sizes.
void add_bindings(CLI::App& command, BindingFlags& flags, bool lists = false);
// usage error for words of another form.
Result<Bindings> bindings_of(const BindingFlags& flags);
// The bindings of every combination of sizes where --dim names several, "seq=64,128", each with the sizes in words.
// Lists of --shape go together: the first shape of each input, the second of each, and so on. usage error for lists of
// --shape of different lengths and for sizes named twice; resource beyond kCupelMostSizes combinations.
struct SizedBindings {
  Bindings bindings;
  std::string sizes;  // "seq=64"; empty when there is one
};
Result<std::vector<SizedBindings>> all_bindings_of(const BindingFlags& flags);

// inspect of a compiled model; errors of CompiledModel::load_file.
Result<int> inspect_code(const std::filesystem::path& path, const CommonFlags& common);

// "compiled" or "reference"; usage error for anything else.
Result<EngineKind> engine_kind(const std::string& name);
// Adds --engine to a verb that runs models.
void add_engine(CLI::App& command, std::string& engine);

// --keep-float.
void add_keep_float(CLI::App& command, std::vector<std::string>& names);
// --budget-samples.
void add_budget_samples(CLI::App& command, std::optional<int64_t>& samples);

// The words of --require.
Result<std::vector<Requirement>> requirements_of(const std::vector<std::string>& words);

// Says on standard error why compiled kernels are not kept, where the cache is not usable (ObjectCache::check_folder).
void warn_of_cache();

// NAME=FILE.npy words as a map; usage error for another form or a name that is given twice.
Result<std::map<std::string, std::filesystem::path>> input_files(const std::vector<std::string>& words);

// usage error when --stop-after names no pass (or, of `compile`, stage "lower"), or the --json place cannot be written.
Status check_flags(const CommonFlags& flags, std::string_view verb);
// Writes `text` to the --json place; nothing when there is none.
Status write_json(const CommonFlags& flags, const std::string& text);
// usage error when no file can be made at `path`: what is known before the work is done. Writes nothing.
Status check_place(const std::filesystem::path& path);
void print(const std::string& text);
// "warning: TEXT" for each on standard error, at most ten; the number of the others on one line more.
void print_warnings(const std::vector<std::string>& texts);

// Date, command line, versions and machine for a report; with the machine's peaks when they are to be measured.
Provenance provenance(EngineKind engine, bool with_peaks = true);
void remember_command(int argc, char** argv);

}  // namespace cupel::cli
