// The command line: cupel VERB [MODEL...] [flags]. Exit codes: docs/architecture.md 4.
#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <new>
#include <system_error>

#include "base/file.h"
#include "tools/cupel/verb.h"

namespace cupel::cli {
namespace {

constexpr Verb kVerbs[] = {
    {"assay", "Quantize a float model, run both on the report split, and say what it cost and gained.",
     "cupel assay models/fashion_resnet.onnx --data models/fashion_mnist.toml -o assay", setup_assay},
    {"inspect", "Ops, shapes, parameters, multiply-adds, bytes and precision of every node.",
     "cupel inspect models/fashion_resnet.onnx", setup_inspect},
    {"run", "Run a model on whole arrays.", "cupel run models/fashion_resnet.onnx --input image=images.npy -o results",
     setup_run},
    {"quantize", "Calibrate and quantize; write an ONNX model with quantize and dequantize nodes.",
     "cupel quantize models/fashion_resnet.onnx --data models/fashion_mnist.toml -o resnet.int8.onnx", setup_quantize},
    {"evaluate", "Compare models on a data set: accuracy, flips, significance, size and operations.",
     "cupel evaluate models/fashion_resnet.onnx resnet.int8.onnx --data models/fashion_mnist.toml", setup_evaluate},
    {"compile", "Native code ahead of time: a shared library with a C interface, and its header.",
     "cupel compile models/fashion_resnet.onnx -o resnet.so --target host", setup_compile},
    {"bench", "Latency and throughput of compiled models, side by side in turns; time and rate of each kernel.",
     "cupel bench models/fashion_resnet.onnx resnet.int8.onnx --threads 1 --per-kernel", setup_bench, 1},
    {"doctor", "What this machine offers, and what is missing.", "cupel doctor", setup_doctor},
};

constexpr unsigned kGraceSeconds = 5;  // from --timeout to the end of work that does not stop by itself

volatile std::sig_atomic_t g_signal = 0;
volatile std::sig_atomic_t g_timed_out = 0;

void on_stop(int signal) {
  if (g_signal != 0) _exit(128 + signal);  // the second one does not wait
  g_signal = signal;
  request_stop();
}

constexpr char kTimeoutText[] =
    "error: --timeout: the time limit was reached before the work was complete\n  raise --timeout, or use a subset of "
    "the samples\n";

// Work stops as after Ctrl-C; what does not stop soon is ended.
void on_timeout(int) {
  if (g_timed_out != 0) {
    (void)!write(STDERR_FILENO, kTimeoutText, sizeof kTimeoutText - 1);
    _exit(6);
  }
  g_timed_out = 1;
  request_stop();
  alarm(kGraceSeconds);
}

void apply_limits(const CommonFlags& flags) {
  if (flags.max_memory_mb > 0) {
    const rlimit limit{static_cast<rlim_t>(flags.max_memory_mb) << 20, static_cast<rlim_t>(flags.max_memory_mb) << 20};
    setrlimit(RLIMIT_AS, &limit);
  }
  if (flags.timeout_s > 0) {
    std::signal(SIGALRM, on_timeout);
    alarm(static_cast<unsigned>(flags.timeout_s));
  }
}

int report_error(Error error, const CommonFlags& flags) {
  const bool memory =
      error.kind == ErrorKind::resource && (error.cause.find("memory") != std::string::npos || error.place == "memory");
  if (memory && flags.max_memory_mb > 0 && error.remedy.find("--max-memory") == std::string::npos)
    error.remedy += fmt::format("; --max-memory is {} MB", flags.max_memory_mb);
  std::fputs(fmt::format("error: {}\n", error.message()).c_str(), stderr);
  return error.exit_code();
}

void add_common(CLI::App& command, CommonFlags& flags, int64_t default_batch) {
  command.add_option("--threads", flags.threads, "Threads to use (default: one for each core)")
      ->check(whole_number(1, 256))
      ->group("Common");
  command.add_option("--batch", flags.batch, "Samples run at once, where the model leaves it open")
      ->check(whole_number(1, 65536))
      ->default_str(std::to_string(default_batch))
      ->group("Common");
  command.add_option("--json", flags.json, "Also write the result as JSON to FILE, or - for standard output")
      ->group("Common");
  command.add_option("--dump-ir", flags.dump_ir, "Write the graph after every pass into this folder")->group("Common");
  command.add_option("--stop-after", flags.stop_after, "Stop after this pass")->group("Common");
  command.add_flag("--pass-times", flags.pass_times, "Print what each pass took")->group("Common");
  command.add_flag("--quiet", flags.quiet, "No progress on standard error")->group("Common");
  command.add_option("--max-memory", flags.max_memory_mb, "Limit of memory in MB; over it is exit 6")
      ->check(whole_number(1, kLargest))
      ->group("Common");
  command.add_option("--timeout", flags.timeout_s, "Limit of time in seconds; over it is exit 6")
      ->check(whole_number(1, kLargest))
      ->group("Common");
}

// What CLI11 says, as an error of ours.
Error usage_of(const CLI::App& app, const CLI::ParseError& error, int argc, char** argv) {
  std::string verbs;
  for (const Verb& verb : kVerbs) verbs += (verbs.empty() ? "" : ", ") + std::string(verb.name);
  const auto chosen = app.get_subcommands();
  if (chosen.empty()) {
    // The first word that is no flag was meant as a verb.
    for (int i = 1; i < argc; ++i)
      if (argv[i][0] != '-')
        return {ErrorKind::usage, "cupel " + printable(argv[i]), "there is no such verb", "verbs: " + verbs};
    if (argc < 2) return {ErrorKind::usage, "cupel", "no verb is given", "verbs: " + verbs};
    return {ErrorKind::usage, "cupel", printable(error.what(), 500), "verbs: " + verbs};
  }
  const std::string name = "cupel " + chosen.front()->get_name();
  return {ErrorKind::usage, name, printable(error.what(), 500), fmt::format("`{} --help` lists its arguments", name)};
}

// Everything printed has reached standard output.
Status flush_output() {
  if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0) return {};
  const int error = errno;
  const std::string cause = fmt::format("cannot be written: {}", std::strerror(error));
  if (error == ENOSPC || error == EDQUOT || error == EFBIG)
    return resource_error("standard output", cause, "free some space or choose another place");
  return usage_error("standard output", cause, "choose a place you can write to");
}

int finish(const Result<int>& result, const CommonFlags& flags) {
  const Status flushed = flush_output();
  if (g_timed_out != 0) {
    std::fputs(kTimeoutText, stderr);
    return 6;
  }
  if (!result) report_error(result.error(), flags);
  if (g_signal != 0) return 128 + g_signal;
  if (!result) return result.error().exit_code();
  return flushed ? *result : report_error(flushed.error(), flags);
}

int run_main(int argc, char** argv) {
  remember_command(argc, argv);
  CLI::App app{"Cupel quantizes neural networks and measures exactly what that cost and what it gained."};
  app.name("cupel");
  app.set_version_flag("--version", std::string("cupel ") + CUPEL_VERSION);
  app.require_subcommand(1);
  CommonFlags flags;
  std::vector<std::pair<CLI::App*, Run>> runs;
  for (const Verb& verb : kVerbs) {
    CLI::App* command = app.add_subcommand(verb.name, verb.summary);
    command->footer(fmt::format("Example:\n  {}", verb.example));
    Run run = verb.setup(*command);
    add_common(*command, flags, verb.default_batch);
    runs.emplace_back(command, std::move(run));
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) {
      app.exit(error);
      return finish(0, flags);
    }
    return report_error(usage_of(app, error, argc, argv), flags);
  }
  std::signal(SIGXFSZ, SIG_IGN);  // a write beyond the limit of file sizes then fails with EFBIG
  std::signal(SIGINT, on_stop);
  std::signal(SIGTERM, on_stop);
  apply_limits(flags);
  if (Status status = check_flags(flags, app.get_subcommands().front()->get_name()); !status)
    return report_error(status.error(), flags);
  for (size_t i = 0; i < runs.size(); ++i) {
    const auto& [command, run] = runs[i];
    if (!command->parsed()) continue;
    if (command->count("--batch") == 0) flags.batch = kVerbs[i].default_batch;
    return finish(run(flags), flags);
  }
  return 2;
}

}  // namespace
}  // namespace cupel::cli

int main(int argc, char** argv) {
  try {
    return cupel::cli::run_main(argc, argv);
  } catch (const std::bad_alloc&) {
    std::fputs(
        "error: memory: the limit was reached (--max-memory, or what the machine has)\n  use a smaller --batch, or "
        "raise the limit\n",
        stderr);
    return 6;
  } catch (const std::system_error& e) {
    // A thread could not be started, or memory not be mapped.
    std::fprintf(stderr, "error: %s\n  raise the limit of memory (--max-memory) or of processes\n", e.what());
    return 6;
  } catch (const std::exception& e) {
    std::fprintf(stderr, "error: %s\n  this is a defect of Cupel; please report it with the model\n", e.what());
    return 5;
  }
}
