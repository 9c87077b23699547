#include "driver/bench.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sched.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <set>

#include "profile/timing.h"

namespace cupel {
namespace {

constexpr double kWarmUpNs = 0.2e9;
constexpr int64_t kLeastWarmUpRuns = 3;
constexpr int64_t kFewestRounds = 10, kMostRounds = 40;
constexpr int64_t kRunsOfARound = 4;  // as many rounds as leave each model so many runs, within the bounds above
constexpr int64_t kMostSamples = int64_t{1} << 24;  // of a model
constexpr double kKernelPassNs = 1e9;
constexpr int64_t kLeastKernelRuns = 20, kMostKernelRuns = 5000;
constexpr double kPeakTolerance = 0.03;    // by which the two measurements of the peak may differ
constexpr double kWaitedTolerance = 0.02;  // share of the time that other programs may take

// The calling thread's CPUs, given back at the end.
class Affinity {
 public:
  Affinity() { known_ = sched_getaffinity(0, sizeof before_, &before_) == 0; }
  ~Affinity() {
    if (known_) sched_setaffinity(0, sizeof before_, &before_);
  }
  Affinity(const Affinity&) = delete;
  Affinity& operator=(const Affinity&) = delete;

 private:
  cpu_set_t before_;
  bool known_ = false;
};

struct Subject {
  CompiledModel code;
  ImageRun run;
  BenchModel facts;
  double run_ns = 1;                // estimate of one run
  std::vector<double> samples;      // µs, of complete rounds
  int64_t cpu_ns = 0, wall_ns = 0;  // of complete rounds
};

// Samples of one model's turn.
struct Turn {
  std::vector<double> samples;
  int64_t cpu_ns = 0, wall_ns = 0;
  bool complete = false;
};

Result<CompiledModel> open_code(const std::filesystem::path& path, CompileContext& context, BenchModel& facts) {
  facts.path = path;
  facts.artifact = names_compiled_model(path);
  if (facts.artifact) {
    std::error_code ignored;
    facts.file_bytes = static_cast<int64_t>(std::filesystem::file_size(path, ignored));
    return CompiledModel::load_file(path, context.threads.size());
  }
  const Model model = CUPEL_TRY(load_model(path, context));
  facts.file_bytes = model.file_bytes;
  if (context.passes.stopped) return internal_error(path.string(), "a pass stopped the work");
  auto code = compile_for_host(model.program, path.stem().string(), context.threads.size());
  if (!code) return std::unexpected(std::move(code).error().within(printable(path.string())));
  return code;
}

// Of a model, in one of its sizes.
Result<Subject> subject_of(CompiledModel code, const CupelImage& image, BenchModel facts, int64_t batch,
                           const std::function<Result<std::vector<Tensor>>(const CupelImage&, int64_t)>& inputs_of) {
  const std::string place = printable(facts.path.string());
  facts.target = image.target;
  facts.tuned_for = image.tuned_for;
  facts.batch = image.fixed_batch > 0 ? image.fixed_batch : batch;
  facts.constants_bytes = image.constants_bytes;
  auto inputs = inputs_of(image, facts.batch);
  if (!inputs) return std::unexpected(std::move(inputs).error().within(place));
  auto run = code.bind(std::move(*inputs));
  if (!run) return std::unexpected(std::move(run).error().within(place));
  if (&run->image() != &image)
    return bad_input(place, "the arrays have other sizes than " + sizes_text(image), "give arrays of its sizes");
  return Subject{std::move(code), std::move(*run), std::move(facts)};
}

// Whether an Image of several has the sizes that a person named.
bool is_asked_for(const CupelImage& image, const Bindings& asked) {
  for (const auto& [name, size] : asked.dims)
    if (!fmt::format(" {} ", image.sizes).contains(fmt::format(" {}={} ", name, size))) return false;
  for (const auto& [name, sizes] : asked.shapes) {
    const CupelPort* port = std::find_if(image.inputs, image.inputs + image.input_count,
                                         [&](const CupelPort& p) { return p.name == name; });
    if (port == image.inputs + image.input_count || sizes.size() != static_cast<size_t>(port->rank)) return false;
    for (size_t d = 0; d < sizes.size(); ++d)
      if (sizes[d] && *sizes[d] != port->dims[d]) return false;
  }
  return true;
}

// One subject for each of the model's sizes that is asked for and that the arrays fit.
Status open_subjects(const std::filesystem::path& path, CompileContext& context, const BenchOptions& options,
                     std::vector<Subject>& subjects) {
  const auto inputs = [&](const CupelImage& image, int64_t batch) {
    return bench_inputs(image, batch, options.inputs);
  };
  BenchModel facts;
  CompiledModel code = CUPEL_TRY(open_code(path, context, facts));
  facts.name = printable(path.stem().string(), 60);
  const size_t count = code.sizes().size();
  if (count == 1) {
    if (facts.artifact && !context.bindings.empty())
      return usage_error(printable(path.string()), "the sizes of native code are settled",
                         "leave --dim, --shape and --value away");
    subjects.push_back(CUPEL_TRY(subject_of(std::move(code), code.image(), std::move(facts), options.batch, inputs)));
    return {};
  }
  std::string held;
  std::optional<Error> last;
  const size_t before = subjects.size();
  for (size_t i = 0; i < count; ++i) {
    const CupelImage& first = *code.sizes()[i];
    held += (held.empty() ? "" : "; ") + sizes_text(first);
    if (!is_asked_for(first, context.bindings)) continue;
    CompiledModel own = CUPEL_TRY(open_code(path, context, facts));
    BenchModel of_sizes = facts;
    of_sizes.name = fmt::format("{} {}", facts.name, printable(first.sizes, 60));
    const CupelImage& image = *own.sizes()[i];
    auto subject = subject_of(std::move(own), image, std::move(of_sizes), options.batch, inputs);
    if (subject)
      subjects.push_back(std::move(*subject));
    else
      last = std::move(subject).error();
  }
  if (subjects.size() > before) return {};
  if (last) return std::unexpected(std::move(*last));
  return usage_error(printable(path.string()), "it does not hold the sizes of --dim or --shape", "it holds " + held);
}

Result<std::vector<Subject>> open_all(std::span<const std::filesystem::path> models, CompileContext& context,
                                      const BenchOptions& options) {
  std::vector<Subject> subjects;
  std::map<std::string, int> named;
  std::set<std::string> inputs;
  for (const auto& path : models) {
    size_t next = subjects.size();
    CUPEL_TRY(open_subjects(path, context, options, subjects));
    for (; next < subjects.size(); ++next) {
      BenchModel& facts = subjects[next].facts;
      if (const int n = ++named[facts.name]; n > 1) facts.name += fmt::format(" ({})", n);
      const CupelImage& image = subjects[next].code.image();
      for (int32_t i = 0; i < image.input_count; ++i) inputs.insert(printable(image.inputs[i].name));
      if (facts.batch != subjects[0].facts.batch)
        return usage_error(printable(path.string()),
                           fmt::format("its batch is {}, that of {} is {}", facts.batch, subjects[0].facts.name,
                                       subjects[0].facts.batch),
                           "give --batch for models that leave it open, or measure them one by one");
    }
  }
  for (const auto& [name, file] : options.inputs)
    if (!inputs.contains(printable(name)))
      return usage_error("--input", fmt::format("no model has an input {}", printable(name)),
                         fmt::format("its inputs: {}", fmt::join(inputs, ", ")));
  return subjects;
}

int64_t read_clock(BenchClock clock) { return clock == BenchClock::cpu ? thread_cpu_ns() : now_ns(); }

std::unexpected<Error> interrupted() {
  return resource_error("bench", "interrupted before the first round was complete",
                        "run the command again, with a shorter --duration-s or a larger --timeout");
}

Status warm_up(Subject& subject) {
  const int64_t begin = now_ns();
  int64_t runs = 0;
  std::vector<int64_t> times;
  while (runs < kLeastWarmUpRuns || static_cast<double>(now_ns() - begin) < kWarmUpNs) {
    if (stop_requested()) return interrupted();
    const int64_t start = now_ns();
    CUPEL_TRY(subject.run.run());
    times.push_back(now_ns() - start);
    ++runs;
  }
  std::nth_element(times.begin(), times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2), times.end());
  subject.run_ns = static_cast<double>(std::max<int64_t>(times[times.size() / 2], 1));
  subject.facts.warm_up_runs = runs;
  return {};
}

int64_t planned_rounds(const std::vector<Subject>& subjects, const BenchOptions& options) {
  if (options.rounds) return *options.rounds;
  double slowest_ns = 0;
  for (const Subject& s : subjects) slowest_ns = std::max(slowest_ns, s.run_ns);
  const double of_a_round_ns = slowest_ns * static_cast<double>(kRunsOfARound) * static_cast<double>(subjects.size());
  const double fitting = options.duration_s * 1e9 / of_a_round_ns;
  const int64_t cycle = schedule_cycle(subjects.size());
  const int64_t rounds = std::clamp(static_cast<int64_t>(std::min(fitting, 1e6)), kFewestRounds, kMostRounds);
  return (rounds + cycle - 1) / cycle * cycle;
}

Result<Turn> take_turn(Subject& subject, const BenchOptions& options, double turn_ns, int64_t most, bool warm) {
  Turn turn;
  if (!warm) {
    CUPEL_TRY(subject.run.run());  // others' values are in the caches
    ++subject.facts.warm_up_runs;
  }
  const int64_t cpu = thread_cpu_ns(), begin = now_ns();
  do {
    if (stop_requested()) return turn;
    const int64_t start = read_clock(options.clock);
    CUPEL_TRY(subject.run.run());
    turn.samples.push_back(1e-3 * static_cast<double>(read_clock(options.clock) - start));
    if (options.runs && static_cast<int64_t>(turn.samples.size()) == *options.runs) break;
  } while (static_cast<int64_t>(turn.samples.size()) < most &&
           (options.runs || static_cast<double>(now_ns() - begin) < turn_ns));
  turn.wall_ns = now_ns() - begin;
  turn.cpu_ns = thread_cpu_ns() - cpu;
  turn.complete = true;
  return turn;
}

double median_of(std::vector<double> samples) {
  const auto middle = samples.begin() + static_cast<std::ptrdiff_t>(samples.size() / 2);
  std::nth_element(samples.begin(), middle, samples.end());
  if (samples.size() % 2 == 1) return *middle;
  return (*middle + *std::max_element(samples.begin(), middle)) / 2;
}

Status run_rounds(std::vector<Subject>& subjects, const BenchOptions& options, BenchResult& result) {
  const double turn_ns =
      options.duration_s * 1e9 / static_cast<double>(result.planned_rounds * static_cast<int64_t>(subjects.size()));
  const int64_t most = std::max<int64_t>(kMostSamples / result.planned_rounds, 1);
  for (int64_t round = 0; round < result.planned_rounds; ++round) {
    std::vector<Turn> turns(subjects.size());
    for (size_t i : round_order(subjects.size(), round)) {
      turns[i] = CUPEL_TRY(take_turn(subjects[i], options, turn_ns, most, subjects.size() == 1 && round > 0));
      if (turns[i].complete) continue;
      result.interrupted = true;
      return round > 0 ? Status() : interrupted();
    }
    for (size_t i = 0; i < subjects.size(); ++i) {
      Subject& s = subjects[i];
      s.facts.round_medians.push_back(median_of(turns[i].samples));
      s.samples.insert(s.samples.end(), turns[i].samples.begin(), turns[i].samples.end());
      s.cpu_ns += turns[i].cpu_ns;
      s.wall_ns += turns[i].wall_ns;
    }
    ++result.rounds;
    if (options.progress) options.progress("bench", result.rounds, result.planned_rounds);
  }
  return {};
}

// "contract_u8_s8_s32" of "17_contract_u8_s8_s32_m14n32": without number and tile.
std::string form_of(const std::string& kernel) {
  const size_t begin = kernel.find_first_not_of("0123456789_"), last = kernel.rfind('_');
  if (begin == std::string::npos) return kernel;
  const bool tiled = last != std::string::npos && last > begin && last + 2 < kernel.size() &&
                     (kernel[last + 1] == 'm' || kernel[last + 1] == 'w') && std::isdigit(kernel[last + 2]) != 0;
  return kernel.substr(begin, tiled ? last - begin : std::string::npos);
}

void sum_up(BenchModel& facts) {
  std::map<std::string, std::pair<BenchForm, double>> forms;
  for (BenchKernel& kernel : facts.kernels) facts.kernels_sum_us += kernel.median_us;
  const double sum_us = std::max(facts.kernels_sum_us, 1e-3);
  for (BenchKernel& kernel : facts.kernels) {
    kernel.share = kernel.median_us / sum_us;
    auto& [form, multiply_adds] = forms[form_of(kernel.name)];
    ++form.kernels;
    form.sum_us += kernel.median_us;
    form.share += kernel.share;
    multiply_adds += static_cast<double>(kernel.multiply_adds);
  }
  for (auto& [name, entry] : forms) {
    auto& [form, multiply_adds] = entry;
    form.name = name;
    if (multiply_adds > 0) form.gops = 2e-3 * multiply_adds / std::max(form.sum_us, 1e-3);
    facts.forms.push_back(std::move(form));
  }
  std::stable_sort(facts.forms.begin(), facts.forms.end(),
                   [](const BenchForm& a, const BenchForm& b) { return a.sum_us > b.sum_us; });
}

// Runs with the step timer on, and fills in what each kernel takes.
Status time_kernels(Subject& subject, BenchResult& result) {
  const CupelImage& image = subject.run.image();
  std::vector<std::vector<double>> times(static_cast<size_t>(image.step_count));
  int64_t cpu_before = 0;  // CPU time at the end of the step before
  subject.code.set_timer([&](const CupelImageStep& step, int64_t time_ns) {
    if (result.clock == BenchClock::cpu) {
      // Where nothing interrupts a step the step's own time is the smaller and finer one.
      time_ns = std::min(time_ns, thread_cpu_ns() - cpu_before);
      cpu_before = thread_cpu_ns();
    }
    times[static_cast<size_t>(&step - image.steps)].push_back(1e-3 * static_cast<double>(time_ns));
  });
  const int64_t begin = now_ns();
  int64_t runs = 0;
  Status status = subject.run.run();  // not counted
  for (auto& t : times) t.clear();
  while (status && runs < kMostKernelRuns && !stop_requested() &&
         (runs < kLeastKernelRuns || static_cast<double>(now_ns() - begin) < kKernelPassNs)) {
    cpu_before = thread_cpu_ns();
    status = subject.run.run();
    ++runs;
  }
  subject.code.set_timer({});
  CUPEL_TRY(status);
  if (runs == 0) return {};
  for (size_t i = 0; i < times.size(); ++i) {
    const CupelImageStep& step = image.steps[i];
    BenchKernel kernel;
    kernel.name = step.name;
    for (std::string_view rest = step.origins; !rest.empty();) {
      const size_t end = std::min(rest.find('\n'), rest.size());
      kernel.origins.emplace_back(rest.substr(0, end));
      rest.remove_prefix(std::min(end + 1, rest.size()));
    }
    kernel.median_us = median_of(times[i]);
    kernel.multiply_adds = step.multiply_adds * subject.facts.batch;
    kernel.bytes = step.item_bytes * subject.facts.batch + step.constant_bytes;
    const double ns = std::max(kernel.median_us, 1e-3) * 1e3;
    kernel.gbps = static_cast<double>(kernel.bytes) / ns;
    if (kernel.multiply_adds > 0) {
      kernel.gops = 2 * static_cast<double>(kernel.multiply_adds) / ns;
      const auto peak = step.accumulator == kCupelS32 ? result.int8_gops() : result.fp32_gflops();
      if (peak) kernel.peak_share = *kernel.gops / *peak;
    }
    subject.facts.kernels.push_back(std::move(kernel));
  }
  sum_up(subject.facts);
  subject.facts.kernel_runs = runs;
  return {};
}

// One thread stays on the CPU that it is on.
std::string place_threads(int threads) {
  if (threads > 1) return fmt::format("{} threads, placed by the system", threads);
  const int cpu = sched_getcpu();
  const Status bound = pin_current_thread(cpu);
  return bound ? fmt::format("1 thread, bound to logical CPU {}", cpu)
               : fmt::format("1 thread, placed by the system ({})", bound.error().cause);
}

void add_warnings(BenchResult& result) {
  if (result.interrupted)
    result.warnings.push_back(
        fmt::format("interrupted: {} of {} rounds are complete and counted", result.rounds, result.planned_rounds));
  for (const BenchModel& m : result.models) {
    if (m.waited_share && *m.waited_share > kWaitedTolerance && result.clock == BenchClock::wall)
      result.warnings.push_back(
          fmt::format("{}: the thread was off its CPU for {:.0f} % of the time: other programs run here; --clock cpu "
                      "does not count that",
                      m.name, 100 * *m.waited_share));
    if (m.latency.p99.coverage < kDefaultConfidence)
      result.warnings.push_back(
          fmt::format("{}: {} runs are too few for a 95 % interval of p99, which may lie beyond the slowest run",
                      m.name, m.latency.runs));
  }
  if (!result.comparisons.empty() && result.comparisons[0].coverage < kDefaultConfidence)
    result.warnings.push_back(
        fmt::format("{} rounds are too few for a 95 % interval of the ratio, at least 6 are needed", result.rounds));
  const auto before = result.peaks.int8_gops(Cores::one);
  const auto after = result.peaks_after ? result.peaks_after->int8_gops(Cores::one) : std::nullopt;
  if (before && after && std::abs(*after - *before) > kPeakTolerance * std::max(*before, *after))
    result.warnings.push_back(
        fmt::format("the machine changed its speed: the INT8 peak was {} before the runs and {} after them",
                    rate_text(before, "GOPS"), rate_text(after, "GOPS")));
}

// What `threads` threads can reach of a limit.
std::optional<double> for_threads(const Peaks& peaks, int threads, std::optional<double> (Peaks::*rate)(Cores) const) {
  if (threads >= peaks.threads && threads > 1) return (peaks.*rate)(Cores::all);
  const auto one = (peaks.*rate)(Cores::one);
  return one ? std::optional(*one * threads) : std::nullopt;
}

std::optional<double> better(const BenchResult& result, std::optional<double> (Peaks::*rate)(Cores) const) {
  auto best = for_threads(result.peaks, result.threads, rate);
  if (result.peaks_after) {
    const auto after = for_threads(*result.peaks_after, result.threads, rate);
    if (after && (!best || *after > *best)) best = after;
  }
  return best;
}

}  // namespace

std::optional<double> BenchResult::int8_gops() const { return better(*this, &Peaks::int8_gops); }
std::optional<double> BenchResult::fp32_gflops() const { return better(*this, &Peaks::fp32_gflops); }

namespace {

Result<BenchResult> measure(std::vector<Subject> subjects, int threads, const BenchOptions& options) {
  BenchResult result;
  result.threads = threads;
  result.clock = options.clock;
  const Affinity affinity;

  // warm up; the peak is that of the CPU that one thread is bound to
  for (Subject& subject : subjects) CUPEL_TRY(warm_up(subject));
  result.placement = place_threads(result.threads);
  if (options.peaks) result.peaks = measure_peaks(true);

  // run in turns
  result.planned_rounds = planned_rounds(subjects, options);
  CUPEL_TRY(run_rounds(subjects, options, result));
  if (options.peaks && !stop_requested()) result.peaks_after = measure_peaks(true);

  // assess
  for (Subject& subject : subjects) {
    BenchModel& facts = subject.facts;
    double sum_us = 0;
    for (double sample : subject.samples) sum_us += sample;
    facts.latency = CUPEL_TRY(summarize_latency(std::move(subject.samples)));
    facts.items_per_second = 1e6 * static_cast<double>(facts.batch * facts.latency.runs) / std::max(sum_us, 1e-3);
    facts.arena_bytes = subject.code.arena_bytes();
    if (result.threads == 1 && subject.wall_ns > 0)
      facts.waited_share =
          std::max(0.0, 1 - static_cast<double>(subject.cpu_ns) / static_cast<double>(subject.wall_ns));
    if (options.per_kernel) CUPEL_TRY(time_kernels(subject, result));
    result.models.push_back(std::move(facts));
  }
  const auto rounds_of = [](const BenchModel& m) { return TimedRounds{m.round_medians, m.latency.median.interval}; };
  for (size_t i = 1; i < result.models.size(); ++i)
    result.comparisons.push_back(CUPEL_TRY(compare_speed(rounds_of(result.models[0]), rounds_of(result.models[i]))));
  add_warnings(result);
  return result;
}

}  // namespace

Result<BenchResult> bench(std::span<const std::filesystem::path> models, CompileContext& context,
                          const BenchOptions& options) {
  const int threads = context.threads.size();
  if (options.clock == BenchClock::cpu && threads > 1)
    return usage_error("--clock", fmt::format("cpu is the time of one thread, and there are {}", threads),
                       "add --threads 1, or use --clock wall");
  return measure(CUPEL_TRY(open_all(models, context, options)), threads, options);
}

Result<BenchResult> bench_images(std::span<const BenchSubject> models, int threads, const BenchOptions& options) {
  std::vector<Subject> subjects;
  for (const BenchSubject& given : models) {
    const std::filesystem::path& path = given.model->path;
    BenchModel facts{.name = given.name, .path = path};
    facts.file_bytes = given.model->file_bytes;
    auto code = CompiledModel::load(*given.image, path.stem().string(), threads);
    if (!code) return std::unexpected(std::move(code).error().within(printable(path.string())));
    const CupelImage& image = code->image();
    subjects.push_back(
        CUPEL_TRY(subject_of(std::move(*code), image, std::move(facts), options.batch,
                             [&](const CupelImage&, int64_t) -> Result<std::vector<Tensor>> { return given.inputs; })));
  }
  return measure(std::move(subjects), threads, options);
}

}  // namespace cupel
