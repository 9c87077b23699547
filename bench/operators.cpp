// Single INT8 operators by Cupel and by oneDNN, interleaved in one run on one pinned thread, operands in the caches:
// median GOPS of both (a multiply-add counts as two), as shares of the measured peak, and the ratio of the medians.
//   operators [--rounds N] [name...]
// Cupel's side is what the compiler makes of a graph of one node, tiles and layout included; the step that computes the
// node is timed, without the copies of input and output around it. oneDNN has no zero points and chooses its best
// layout of nhwc and any. Results are compared first: codes may differ by one, since oneDNN rounds the bias on its own.
#include <dlfcn.h>
#include <fmt/format.h>
#include <sched.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <random>
#include <string>

#include "bench/must.h"
#include "bench/operators_onednn.h"
#include "driver/compile.h"
#include "driver/shared_library.h"
#include "kernel/evaluate_program.h"
#include "lower/lower.h"
#include "ops/op_table.h"
#include "ops/requantize.h"
#include "profile/peaks.h"
#include "profile/timing.h"
#include "runtime/image.h"

namespace {

using namespace cupel;

// ---- Cupel's side ----

constexpr float kScaleX = 0x1p-6f, kScaleY = 0x1p-2f;

OperatorContent random_content(const OperatorShape& s) {
  std::mt19937 rng(1);
  const int64_t side = s.size * s.stride, depth = s.depthwise ? s.kernel * s.kernel : s.kernel * s.kernel * s.in;
  OperatorContent c;
  c.x.resize(static_cast<size_t>(s.width > 0 ? s.width * s.in : s.in * side * side));
  c.weights.resize(static_cast<size_t>(depth * s.out));
  c.bias.resize(static_cast<size_t>(s.out));
  for (uint8_t& v : c.x) v = static_cast<uint8_t>(rng());
  for (int8_t& v : c.weights) v = static_cast<int8_t>(static_cast<int>(rng() % 255) - 127);
  for (int32_t& v : c.bias) v = static_cast<int32_t>(rng() % 2001) - 1000;
  return c;
}

// Scales of the weights that spread the results over the codes; the multipliers that follow from them.
std::vector<float> weight_scales(const OperatorShape& s, OperatorContent& content) {
  const auto depth = static_cast<double>(content.weights.size()) / static_cast<double>(s.out);
  std::vector<float> scales;
  for (int64_t c = 0; c < s.out; ++c) {
    const double spread = 40.0 + static_cast<double>(c % 7);  // codes for one standard deviation of a sum
    scales.push_back(static_cast<float>(spread / (std::sqrt(depth) * 148 * 74) * kScaleY / kScaleX));
    content.multipliers.push_back(ops::product_ratio(kScaleX, scales.back(), kScaleY));
  }
  return scales;
}

// A graph of one node, with the symbolic batch that models have.
Graph operator_graph(const OperatorShape& s, OperatorContent& content) {
  const Dim batch(1, "batch");
  Graph g;
  g.stage = Stage::integer;
  const QuantParams qx{{kScaleX}, {0}, -1}, qy{{kScaleY}, {0}, -1};
  QuantParams qw{weight_scales(s, content), std::vector<int32_t>(static_cast<size_t>(s.out), 0), s.width > 0 ? 1 : 0};
  const int64_t side = s.size * s.stride, pad = s.kernel / 2;
  const bool product = s.width > 0;
  const Shape in = product ? Shape{batch, s.width, s.in} : Shape{batch, s.in, side, side};
  const Shape out = product ? Shape{batch, s.width, s.out} : Shape{batch, s.out, s.size, s.size};
  const Dims weights = product ? Dims{s.in, s.out} : Dims{s.out, s.depthwise ? 1 : s.in, s.kernel, s.kernel};
  const ValueId x = g.add_input("x", {DType::u8, in, qx});
  const ValueId w = g.add_constant("w", Tensor::of<int8_t>(weights, std::span<const int8_t>(content.weights)), qw);
  std::vector<ValueId> inputs = {x, w};
  Attributes attributes;
  if (product) {
    std::fill(content.bias.begin(), content.bias.end(), 0);  // MatMul has none
  } else {
    inputs.push_back(g.add_constant("b", Tensor::of<int32_t>({s.out}, std::span<const int32_t>(content.bias))));
    const int64_t behind = (s.size - 1) * s.stride + s.kernel - side - pad;
    attributes = {{"pads", std::vector<int64_t>{pad, pad, behind, behind}},
                  {"strides", std::vector<int64_t>{s.stride, s.stride}},
                  {"group", s.depthwise ? s.out : int64_t{1}}};
  }
  const NodeId node = must(g.add_node(product ? ops::kMatMul : ops::kConv, s.name, inputs, attributes, {"y"}, {},
                                      {TensorType{DType::u8, out, qy}}));
  g.add_output(g.node(node).outputs[0]);
  return g;
}

class CompiledOperator {
 public:
  CompiledOperator(const OperatorShape& shape, OperatorContent& content, const EmitTarget& target)
      : program_(must(lower_graph(operator_graph(shape, content), shape.name, lower_target(target))).program) {
    for (const Buffer& b : program_.buffers) {
      auto& bytes = storage_.emplace_back(static_cast<size_t>(b.item_bytes) + 256);
      auto* at = bytes.data() + (64 - reinterpret_cast<uintptr_t>(bytes.data()) % 64) % 64;
      if (b.place == BufferPlace::constant)
        std::memcpy(at, program_.constants.data() + b.offset, static_cast<size_t>(b.item_bytes));
      if (b.place == BufferPlace::input) std::memcpy(at, content.x.data(), content.x.size());
      places_.push_back(at);
    }
  }
  std::vector<const Kernel*> kernels() const {
    std::vector<const Kernel*> all;
    for (const Step& step : program_.steps) all.push_back(&step.kernel);
    return all;
  }
  // Runs every step once and finds the one that computes the node.
  void load(const SharedLibrary& library) {
    for (const Step& step : program_.steps) {
      const auto run = reinterpret_cast<CupelKernel>(library.find(kernel_symbol(step.kernel)));
      std::vector<uint8_t*> buffers;
      for (const int64_t b : step.buffers) buffers.push_back(places_[static_cast<size_t>(b)]);
      run(buffers.data(), 0, units_per_item(step.kernel));
      if (step.result && step.value_name == "y") {
        step_ = &step;
        kernel_ = run;
        buffers_ = std::move(buffers);
      }
    }
    if (step_ == nullptr) {
      std::fprintf(stderr, "error: no step computes the operator\n");
      std::exit(5);
    }
  }
  const Step& step() const { return *step_; }
  void run() { kernel_(buffers_.data(), 0, units_per_item(step_->kernel)); }
  std::vector<uint8_t> read() const {
    const auto buffer = static_cast<size_t>(step_->result->buffer);
    const Tensor y = gather_value(*step_->result, reinterpret_cast<const std::byte*>(places_[buffer]),
                                  program_.buffers[buffer].item_bytes, 1);
    const auto* bytes = reinterpret_cast<const uint8_t*>(y.bytes().data());
    return {bytes, bytes + y.bytes().size()};
  }

 private:
  Program program_;
  std::vector<std::vector<uint8_t>> storage_;
  std::vector<uint8_t*> places_;
  const Step* step_ = nullptr;
  CupelKernel kernel_ = nullptr;
  std::vector<uint8_t*> buffers_;
};

// ---- Measurement ----

// Nanoseconds of one call, the mean of a window of at least 2 ms after one untimed call.
template <class Run>
double window_ns(const Run& run, double& estimate) {
  const auto repeats = static_cast<int64_t>(std::clamp(2e6 / estimate, 3.0, 5000.0));
  run();
  const int64_t before = thread_cpu_ns();
  for (int64_t i = 0; i < repeats; ++i) run();
  return estimate = static_cast<double>(thread_cpu_ns() - before) / static_cast<double>(repeats);
}

double quantile(std::vector<double> values, double q) {
  std::sort(values.begin(), values.end());
  const double at = q * static_cast<double>(values.size() - 1);
  const auto low = static_cast<size_t>(at);
  const size_t high = std::min(low + 1, values.size() - 1);
  return values[low] + (at - static_cast<double>(low)) * (values[high] - values[low]);
}

struct Job {
  const OperatorShape* shape;
  CompiledOperator own;
  std::vector<PeerOperator> peers;
  std::string difference;
  double own_estimate = 1e5;
  std::vector<double> peer_estimates;
  std::vector<double> own_ns;
  std::vector<std::vector<double>> peer_ns;
};

// "equal", or how many codes differ, all by one.
std::string compare(const OperatorShape& shape, const std::vector<uint8_t>& own, const std::vector<uint8_t>& peer) {
  int64_t differing = 0, greatest = 0;
  for (size_t i = 0; i < own.size() && own.size() == peer.size(); ++i) {
    const int64_t d = std::abs(int{own[i]} - int{peer[i]});
    differing += d != 0 ? 1 : 0;
    greatest = std::max(greatest, d);
  }
  if (own.size() != peer.size() || greatest > 1) {
    std::fprintf(stderr, "error: %s: the results of Cupel and oneDNN differ by %ld codes, expected at most 1\n",
                 shape.name, static_cast<long>(greatest));
    std::exit(5);
  }
  return differing == 0 ? "equal" : fmt::format("{} of {}", differing, own.size());
}

}  // namespace

int main(int argc, char** argv) {
  int rounds = 41;
  std::vector<std::string> names;
  for (int i = 1; i < argc; ++i) {
    if (std::string_view(argv[i]) == "--rounds" && i + 1 < argc)
      rounds = std::max(3, std::atoi(argv[++i]));
    else
      names.emplace_back(argv[i]);
  }
  must(pin_current_thread(sched_getcpu()));
  set_peer_threads(1);
  const EmitTarget target = must(find_emit_target("host"));
  std::vector<Job> jobs;
  std::vector<const Kernel*> kernels;
  std::vector<std::string> symbols;
  for (const OperatorShape& shape : kOperatorShapes) {
    const bool wanted = names.empty() || std::any_of(names.begin(), names.end(), [&](const std::string& n) {
                          return std::string_view(shape.name).starts_with(n);
                        });
    if (!wanted) continue;
    OperatorContent content = random_content(shape);
    CompiledOperator own(shape, content, target);
    jobs.push_back({&shape, std::move(own), peer_operators(shape, content), {}, 1e5, {}, {}, {}});
    jobs.back().peer_estimates.assign(jobs.back().peers.size(), 1e5);
    jobs.back().peer_ns.resize(jobs.back().peers.size());
  }
  std::map<std::string, const Kernel*> distinct;
  for (const Job& job : jobs)
    for (const Kernel* kernel : job.own.kernels()) distinct.emplace(kernel_symbol(*kernel), kernel);
  for (const auto& [symbol, kernel] : distinct) {
    symbols.push_back(symbol);
    kernels.push_back(kernel);
  }
  WorkerPool workers;
  const auto objects = must(build_objects(kernels, target, workers));
  const SharedLibrary library =
      must(SharedLibrary::load(must(link_objects(objects, symbols, workers)), "compiled operators"));
  for (Job& job : jobs) {
    job.own.load(library);
    for (const PeerOperator& peer : job.peers) {
      peer.run();
      job.difference = compare(*job.shape, job.own.read(), peer.read());
    }
  }
  const double peak_before = measure_peaks(true).int8_gops(Cores::one).value_or(0);
  for (int round = 0; round < rounds; ++round)
    for (Job& job : jobs) {
      const auto own = [&] { job.own_ns.push_back(window_ns([&] { job.own.run(); }, job.own_estimate)); };
      if (round % 2 == 0) own();
      for (size_t p = 0; p < job.peers.size(); ++p)
        job.peer_ns[p].push_back(window_ns(job.peers[p].run, job.peer_estimates[p]));
      if (round % 2 != 0) own();
    }
  const double peak = std::max(peak_before, measure_peaks(true).int8_gops(Cores::one).value_or(0));

  std::printf("%s and %s, one thread; peak %.0f GOPS of one core (%.0f before, the better of before and after)\n",
              target.name.c_str(), peer_version().c_str(), peak, peak_before);
  std::printf("%d rounds; ratio: median time of oneDNN / median time of Cupel [quartiles of the rounds' ratios]\n",
              rounds);
  std::printf(
      "Operations are counted with those on padding; more than 100 %% of the peak means that these were left out\n\n");
  std::printf("%-18s %11s %7s   %11s %7s  %-6s %6s  %-14s  %-22s %s\n", "operator", "Cupel GOPS", "% peak",
              "oneDNN GOPS", "% peak", "layout", "ratio", "quartiles", "codes that differ", "kernel");
  double log_all = 0, log_dense = 0;
  int all = 0, dense = 0;
  for (const Job& job : jobs) {
    size_t best = 0;
    for (size_t p = 1; p < job.peers.size(); ++p)
      if (quantile(job.peer_ns[p], 0.5) < quantile(job.peer_ns[best], 0.5)) best = p;
    const double own = quantile(job.own_ns, 0.5), peer = quantile(job.peer_ns[best], 0.5),
                 work = job.shape->operations();
    std::vector<double> ratios;
    for (size_t i = 0; i < job.own_ns.size(); ++i) ratios.push_back(job.peer_ns[best][i] / job.own_ns[i]);
    std::printf("%-18s %11.0f %6.1f%%   %11.0f %6.1f%%  %-6s %6.2f  [%.2f, %.2f]    %-22s %s\n", job.shape->name,
                work / own, 100 * work / own / peak, work / peer, 100 * work / peer / peak,
                job.peers[best].layout.c_str(), peer / own, quantile(ratios, 0.25), quantile(ratios, 0.75),
                job.difference.c_str(), kernel_name(job.own.step().kernel).c_str());
    log_all += std::log(peer / own);
    ++all;
    if (job.shape->depthwise) continue;
    log_dense += std::log(peer / own);
    ++dense;
  }
  if (all > 0) std::printf("\ngeometric mean of the ratios: %.3f", std::exp(log_all / all));
  if (dense > 0) std::printf(", without depthwise %.3f", std::exp(log_dense / dense));
  std::printf("\n");
  return 0;
}
