#include "driver/bench.h"

#include <algorithm>

#include "base/file.h"
#include "tools/cupel/verb.h"

namespace cupel::cli {
namespace {

struct Flags {
  std::vector<std::string> models, inputs;
  double duration_s = 5;
  std::optional<int64_t> rounds, runs;
  std::string clock = "wall";
  bool per_kernel = false;
  BindingFlags bindings;
};

Result<int> run(const Flags& flags, const CommonFlags& common) {
  if (!common.stop_after.empty())
    return usage_error("--stop-after", "bench runs whole models", "use --stop-after with inspect");
  Work work(common);
  work.context().bindings = CUPEL_TRY(bindings_of(flags.bindings));
  BenchOptions options;
  options.batch = common.batch;
  options.duration_s = flags.duration_s;
  options.rounds = flags.rounds;
  options.runs = flags.runs;
  options.clock = flags.clock == "cpu" ? BenchClock::cpu : BenchClock::wall;
  options.per_kernel = flags.per_kernel;
  options.inputs = CUPEL_TRY(input_files(flags.inputs));
  options.progress = work.progress();
  const std::vector<std::filesystem::path> models(flags.models.begin(), flags.models.end());
  if (!std::all_of(models.begin(), models.end(), names_compiled_model)) warn_of_cache();
  auto result = bench(models, work.context(), options);
  work.finish();
  if (!result) return std::unexpected(std::move(result).error());
  if (common.json != "-") print(bench_text(*result));
  if (common.json.empty()) return 0;
  nlohmann::ordered_json json;
  const Provenance origin = provenance(EngineKind::compiled, false);
  json["date"] = origin.date;
  json["command"] = nlohmann::ordered_json::array();
  for (const std::string& word : origin.command) json["command"].push_back(printable(word, 4096));
  json["versions"] = nlohmann::ordered_json::object();
  for (const Fact& fact : origin.versions) json["versions"][fact.name] = fact.value;
  json["machine"] = nlohmann::ordered_json::object();
  for (const Fact& fact : origin.machine) json["machine"][fact.name] = fact.value;
  json.update(bench_json(*result));
  CUPEL_TRY(write_json(common, json.dump(2) + "\n"));
  return 0;
}

}  // namespace

Run setup_bench(CLI::App& command) {
  auto flags = std::make_shared<Flags>();
  command.add_option("MODELS", flags->models, "Base model, then candidates (.onnx, or what `cupel compile` wrote)")
      ->required();
  command.add_option("--input", flags->inputs, "An input and its array: NAME=FILE.npy (default: random numbers)")
      ->allow_extra_args(false);
  command.add_option("--duration-s", flags->duration_s, "Seconds of counted runs, of all models together")
      ->check(real_number(0.01, 3600))
      ->capture_default_str();
  command
      .add_option("--rounds", flags->rounds, "Rounds, in each of which every model has its turn (default: 10 to 40)")
      ->check(whole_number(1, 100'000));
  command.add_option("--runs", flags->runs, "Counted runs of a model in a round, instead of --duration-s")
      ->check(whole_number(1, 1'000'000));
  command
      .add_option("--clock", flags->clock,
                  "wall: what a caller waits; cpu: CPU time of the one thread, untouched by other programs")
      ->check(CLI::IsMember({"wall", "cpu"}))
      ->capture_default_str();
  command.add_flag("--per-kernel", flags->per_kernel, "Then list the time, rate and share of the peak of each kernel");
  add_bindings(command, flags->bindings);
  return [flags](const CommonFlags& common) { return run(*flags, common); };
}

}  // namespace cupel::cli
