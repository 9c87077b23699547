#include <fmt/format.h>
#include <sched.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstring>
#include <ctime>

#include "base/file.h"
#include "driver/compile.h"
#include "emit/object_cache.h"
#include "profile/peaks.h"
#include "target/machine.h"
#include "tools/cupel/verb.h"

namespace cupel::cli {
namespace {

std::vector<std::string> g_command;

int usable_cores() {
  cpu_set_t set;
  return sched_getaffinity(0, sizeof set, &set) == 0 ? std::max(1, CPU_COUNT(&set)) : 1;
}

// One line on the terminal: what is done, how much of it, and the time left.
class ProgressLine {
 public:
  void show(std::string_view work, int64_t done, int64_t total) {
    const auto now = std::chrono::steady_clock::now();
    if (work != work_) {
      if (!work_.empty()) std::fputc('\n', stderr);
      work_ = work;
      start_ = now;
      begun_at_ = done;
      last_ = {};
    }
    if (done < total && now - last_ < std::chrono::milliseconds(100)) return;
    last_ = now;
    const double elapsed = std::chrono::duration<double>(now - start_).count();
    const auto progressed = static_cast<double>(done - begun_at_);
    const double left = progressed > 0 ? elapsed / progressed * static_cast<double>(total - done) : 0;
    std::string line = fmt::format("\r{} {}/{}", work, done, total);
    if (done < total && progressed > 0) line += fmt::format(", {:.0f} s left", left);
    std::fputs((line + "\x1b[K").c_str(), stderr);
    std::fflush(stderr);
  }
  void end() {
    if (!work_.empty()) std::fputc('\n', stderr);
    work_.clear();
  }

 private:
  std::string work_;
  int64_t begun_at_ = 0;
  std::chrono::steady_clock::time_point start_, last_;
};

ProgressLine g_line;

// The whole of `text` as a number; false when it is none.
template <class T>
bool parse_number(const std::string& text, T& value) {
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
  return code == std::errc() && end == text.data() + text.size();
}

template <class T>
CLI::Validator number_from(T least, T greatest, const char* kind) {
  const std::string expected = greatest == static_cast<T>(kLargest)
                                   ? fmt::format("{} of at least {}", kind, least)
                                   : fmt::format("{} from {} to {}", kind, least, greatest);
  // The comparison is written so that NaN fails.
  const auto check = [=](std::string& text) {
    T value{};
    return parse_number(text, value) && value >= least && value <= greatest
               ? std::string()
               : fmt::format("found {}, expected {}", printable(text, 40), expected);
  };
  return CLI::Validator(check, "");
}

}  // namespace

CLI::Validator whole_number(int64_t least, int64_t greatest) {
  return number_from<int64_t>(least, greatest, "a whole number");
}
CLI::Validator real_number(double least, double greatest) { return number_from<double>(least, greatest, "a number"); }

Work::Work(const CommonFlags& flags)
    : flags_(flags), threads_(flags.threads > 0 ? flags.threads : usable_cores()), context_{threads_, {}} {
  context_.passes.dump_folder = flags.dump_ir;
  context_.passes.stop_after = flags.stop_after;
  context_.passes.times = &times_;
}

Progress Work::progress() {
  if (flags_.quiet || isatty(STDERR_FILENO) == 0) return {};
  return [](std::string_view work, int64_t done, int64_t total) { g_line.show(work, done, total); };
}

bool Work::finish() {
  g_line.end();
  if (flags_.pass_times)
    for (const PassTime& t : times_)
      std::fputs(fmt::format("pass {:<24} {:>9.3f} ms{}\n", t.name, static_cast<double>(t.time_ns) * 1e-6,
                             t.changed ? "" : "  (unchanged)")
                     .c_str(),
                 stderr);
  if (context_.passes.stopped) std::fputs(fmt::format("stopped after pass {}\n", flags_.stop_after).c_str(), stderr);
  return context_.passes.stopped;
}

void warn_of_cache() {
  const Status status = ObjectCache::check_folder(ObjectCache::default_folder());
  if (!status) print_warnings({status.error().message()});
}

Result<std::vector<Requirement>> requirements_of(const std::vector<std::string>& words) {
  std::vector<Requirement> requirements;
  for (const std::string& word : words) requirements.push_back(CUPEL_TRY(parse_requirement(word)));
  return requirements;
}

Result<std::map<std::string, std::filesystem::path>> input_files(const std::vector<std::string>& words) {
  std::map<std::string, std::filesystem::path> files;
  for (const std::string& word : words) {
    const auto equals = word.find('=');
    if (equals == std::string::npos || equals == 0)
      return usage_error("--input", fmt::format("found {}, expected NAME=FILE.npy", printable(word)),
                         "name the input and its file");
    if (!files.emplace(word.substr(0, equals), word.substr(equals + 1)).second)
      return usage_error("--input", fmt::format("{} is given twice", printable(word.substr(0, equals))),
                         "give each input once");
  }
  return files;
}

Status check_flags(const CommonFlags& flags, std::string_view verb) {
  if (!flags.json.empty() && flags.json != "-") CUPEL_TRY(check_place(flags.json));
  if (flags.stop_after.empty() || find_pass(flags.stop_after)) return {};
  if (flags.stop_after == kLowerStage) {
    if (verb == "compile") return {};
    return usage_error("--stop-after", fmt::format("{} lowers no model by itself", verb), "use it with compile");
  }
  std::string names;
  for (const Pass& pass : all_passes()) names += (names.empty() ? "" : ", ") + std::string(pass.name);
  return usage_error("--stop-after", fmt::format("there is no pass {}", printable(flags.stop_after)),
                     "passes: " + names + ", " + std::string(kLowerStage));
}

Status write_json(const CommonFlags& flags, const std::string& text) {
  if (flags.json.empty()) return {};
  if (flags.json != "-") return write_file(flags.json, text);
  print(text);
  return {};
}

Status check_place(const std::filesystem::path& path) {
  std::error_code error;
  if (std::filesystem::is_directory(path, error))
    return usage_error(printable(path.string()), "is a folder", "name a file");
  if (std::filesystem::exists(path, error) && !std::filesystem::is_regular_file(path, error))
    return {};  // a device or a pipe
  const std::filesystem::path folder = path.parent_path().empty() ? "." : path.parent_path();
  if (access(folder.c_str(), W_OK | X_OK) == 0 && std::filesystem::is_directory(folder, error)) return {};
  const int reason =
      std::filesystem::exists(folder, error) && !std::filesystem::is_directory(folder, error) ? ENOTDIR : errno;
  return usage_error(printable(path.string()), fmt::format("cannot be written: {}", std::strerror(reason)),
                     "choose a place you can write to");
}

void print(const std::string& text) { std::fwrite(text.data(), 1, text.size(), stdout); }

void print_warnings(const std::vector<std::string>& texts) {
  constexpr size_t kShown = 10;
  g_line.end();
  for (size_t i = 0; i < std::min(texts.size(), kShown); ++i)
    std::fputs(fmt::format("warning: {}\n", texts[i]).c_str(), stderr);
  if (texts.size() > kShown)
    std::fputs(fmt::format("warning: {} more of this kind; --json has all\n", texts.size() - kShown).c_str(), stderr);
}

void remember_command(int argc, char** argv) { g_command.assign(argv, argv + argc); }

Result<EngineKind> engine_kind(const std::string& name) {
  if (name == "reference") return EngineKind::reference;
  if (name == "compiled") return EngineKind::compiled;
  return usage_error("--engine", fmt::format("found {}, expected compiled or reference", printable(name)),
                     "leave the flag out, or use --engine reference for the interpreter");
}

void add_engine(CLI::App& command, std::string& engine) {
  command
      .add_option("--engine", engine,
                  "compiled: native code for this machine; reference: the interpreter. Both give the same bits")
      ->default_str("compiled");
}

void add_keep_float(CLI::App& command, std::vector<std::string>& names) {
  command.add_option("--keep-float", names, "A node that stays in float, by its name; may be given several times")
      ->allow_extra_args(false);
}

void add_budget_samples(CLI::App& command, std::optional<int64_t>& samples) {
  command
      .add_option(
          "--budget-samples", samples,
          "Samples behind the error budgets of layers; 0 for none (default: up to 32, fewer for large networks)")
      ->check(whole_number(0, kLargest));
}

namespace {
std::string engine_text(EngineKind engine) {
  if (engine == EngineKind::reference) return "reference interpreter";
  const auto host = find_emit_target("host");
  return "compiled for " + (host ? host->name : std::string("this machine"));
}
}  // namespace

Provenance provenance(EngineKind engine, bool with_peaks) {
  Provenance p;
  char date[32];
  const std::time_t now = std::time(nullptr);
  std::tm utc{};
  gmtime_r(&now, &utc);
  std::strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%SZ", &utc);
  p.date = date;
  p.command = g_command;
  p.versions = {{"cupel", CUPEL_VERSION}, {"engine", engine_text(engine)}, {"compiler", __VERSION__}};
  const Machine machine = host_machine();
  for (auto& [name, value] : machine_facts(machine)) p.machine.push_back({std::move(name), std::move(value)});
  if (!with_peaks) return p;
  for (auto& [name, value] : peak_facts(measure_peaks(true, machine)))
    p.machine.push_back({std::move(name), std::move(value)});
  return p;
}

}  // namespace cupel::cli
