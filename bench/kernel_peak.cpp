// Speed of compiled kernels on operands that lie in the caches, in GOPS (a multiply-add counts as two) and as a share
// of the peak that is measured beside them: kernel_peak [--target T] [--tile H,W,BLOCKS,UNROLL]... [name...] One
// thread, timed by its CPU time; the best of many short windows, all kernels in turn.
#include <dlfcn.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "bench/must.h"
#include "bench/operator_shapes.h"
#include "emit/image_builder.h"
#include "kernel/packing.h"
#include "lower/builder.h"
#include "profile/peaks.h"
#include "runtime/image.h"

namespace {

using namespace cupel;

struct Job {
  std::string label;
  Kernel kernel;
  double operations = 0;
  std::vector<std::vector<uint8_t>> storage;
  std::vector<uint8_t*> buffers;
  CupelKernel run = nullptr;
  double best_ns = 1e30;
};

int64_t now_ns() {
  timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return int64_t{t.tv_sec} * 1'000'000'000 + t.tv_nsec;
}

ScalarExpr requantize() {
  ExprBuilder b;
  return b.finish(to_code(to_f32(b.accumulator(0, ScalarType::s32)) * b.operand(0, DType::f32), DType::u8, 0));
}

uint8_t* storage(Job& job, int64_t bytes, std::mt19937& rng) {
  auto& block = job.storage.emplace_back(static_cast<size_t>(bytes) + 256);
  for (uint8_t& byte : block) byte = static_cast<uint8_t>(rng() & 63);
  auto at = reinterpret_cast<uintptr_t>(block.data());
  return block.data() + (64 - at % 64) % 64;
}

Job make_job(const OperatorShape& shape, const EmitTarget& target, std::vector<int64_t> tile) {
  std::mt19937 rng(1);
  Job job;
  job.operations = shape.operations();
  const int64_t width = shape.result_width(), height = shape.size;
  const int64_t in_width = (width - 1) * shape.stride + shape.kernel,
                in_height = (height - 1) * shape.stride + shape.kernel;
  const int64_t room = (shape.out + 15) / 16 * 16;
  const bool wide = target.byte_product == ByteProduct::two_s16;
  const Access a = {.dtype = DType::u8,
                    .strides = {shape.stride * in_width * shape.in, shape.stride * shape.in, shape.depthwise ? 1 : 0}};
  const Access per_channel = {.dtype = DType::s32, .constant = true, .strides = {0, 0, 4}};
  Access scale = per_channel;
  scale.dtype = DType::f32;
  const Access out = {.dtype = DType::u8, .strides = {width * room, room, 1}};
  int64_t weight_bytes = 0;
  if (shape.depthwise) {
    WindowSpec s;
    s.space = {height, width, shape.out};
    s.a = a;
    s.start = per_channel;
    s.weights = {.dtype = DType::s8, .constant = true, .strides = {0, 0, 1}};
    s.weights_tap_stride = room;
    s.loops = {{shape.kernel, in_width * shape.in}, {shape.kernel, shape.in}};
    s.operands = {scale};
    s.epilogue = requantize();
    s.out = out;
    weight_bytes = room * shape.kernel * shape.kernel;
    job.kernel = {s, WindowSchedule{std::min(tile[0], height), tile[1], std::min(tile[2], room / 16)}};
  } else {
    ContractSpec s;
    s.space = {height, width, shape.out};
    s.a = a;
    s.run = shape.kernel * shape.in;
    if (shape.kernel > 1) s.loops = {{shape.kernel, in_width * shape.in}};
    s.b = {.dtype = wide ? DType::s16 : DType::s8, .constant = true, .strides = {0, 0, 0}};
    s.b_block_stride = wide ? block_bytes_s16(shape.kernel, s.run) : block_bytes_s8(shape.kernel, s.run);
    s.start = per_channel;
    s.operands = {scale};
    s.epilogue = requantize();
    s.out = out;
    weight_bytes = s.b_block_stride * room / 16;
    job.kernel = {s, ContractSchedule{std::min(tile[0], height), std::min(tile[1], width), std::min(tile[2], room / 16),
                                      tile[3], true, 0}};
  }
  job.label = fmt::format("{} {}x{}x{} U{}", shape.name, tile[0], tile[1], tile[2], tile[3]);
  job.buffers = {storage(job, height * width * room + 64, rng), storage(job, in_height * in_width * shape.in + 64, rng),
                 storage(job, weight_bytes, rng), storage(job, room * 4, rng), storage(job, room * 4, rng)};
  for (int64_t i = 0; i < room; ++i) {
    const float value = 0.001f;
    std::memcpy(job.buffers[4] + i * 4, &value, 4);
  }
  return job;
}

}  // namespace

int main(int argc, char** argv) {
  std::string target_name = "host";
  std::vector<std::vector<int64_t>> tiles;
  std::vector<std::string> names;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    if (argument == "--target" && i + 1 < argc) {
      target_name = argv[++i];
    } else if (argument == "--tile" && i + 1 < argc) {
      std::vector<int64_t> tile(4, 1);
      if (std::sscanf(argv[++i], "%ld,%ld,%ld,%ld", &tile[0], &tile[1], &tile[2], &tile[3]) != 4) return 2;
      tiles.push_back(tile);
    } else {
      names.push_back(argument);
    }
  }
  if (tiles.empty()) tiles = {{1, 7, 4, 4}, {1, 14, 2, 4}, {1, 6, 4, 4}, {2, 7, 2, 4}, {1, 8, 2, 4}, {1, 7, 2, 4}};
  const EmitTarget target = must(find_emit_target(target_name));
  WorkerPool pool;
  std::vector<Job> jobs;
  for (const OperatorShape& shape : kOperatorShapes) {
    const bool wanted = names.empty() || std::any_of(names.begin(), names.end(), [&](const std::string& n) {
                          return std::string(shape.name).starts_with(n);
                        });
    if (!wanted) continue;
    for (const auto& tile : tiles) jobs.push_back(make_job(shape, target, tile));
  }
  std::vector<const Kernel*> kernels;
  std::vector<std::string> symbols;
  for (const Job& job : jobs) {
    if (auto sound = check_kernel(job.kernel); !sound)
      std::fprintf(stderr, "%s: %s\n", job.label.c_str(), sound.error().message().c_str());
    const std::string symbol = kernel_symbol(job.kernel);
    if (std::find(symbols.begin(), symbols.end(), symbol) == symbols.end()) {
      symbols.push_back(symbol);
      kernels.push_back(&job.kernel);
    }
  }
  const auto started = std::chrono::steady_clock::now();
  const auto objects = must(build_objects(kernels, target, pool, {.cache_folder = {}}));
  const double build_ms = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - started).count();
  const Bytes library = must(link_objects(objects, symbols, pool));
  if (const char* path = std::getenv("CUPEL_DUMP")) must(write_file(path, library));
  const int file = memfd_create("kernels", 0);
  if (write(file, library.data(), library.size()) != static_cast<ssize_t>(library.size())) return 6;
  void* handle = dlopen(fmt::format("/proc/self/fd/{}", file).c_str(), RTLD_NOW);
  if (handle == nullptr) return 5;
  for (Job& job : jobs) job.run = reinterpret_cast<CupelKernel>(dlsym(handle, kernel_symbol(job.kernel).c_str()));
  const Peaks peaks = measure_peaks(true);
  const double peak = peaks.int8_gops(Cores::one).value_or(0);
  for (int round = 0; round < 12; ++round)
    for (Job& job : jobs) {
      const int64_t units = units_per_item(job.kernel);
      const int64_t estimate = job.best_ns < 1e29 ? static_cast<int64_t>(job.best_ns) : 100'000;
      const int64_t repeats = std::clamp<int64_t>(3'000'000 / estimate, 3, 2000);
      job.run(job.buffers.data(), 0, units);
      const int64_t before = now_ns();
      for (int64_t i = 0; i < repeats; ++i) job.run(job.buffers.data(), 0, units);
      job.best_ns = std::min(job.best_ns, static_cast<double>(now_ns() - before) / static_cast<double>(repeats));
    }
  std::printf("%s, peak %.0f GOPS (vpdpbusd, one core), %.1f ms a kernel to compile on %d workers\n",
              target.name.c_str(), peak, build_ms / static_cast<double>(kernels.size()), pool.size());
  for (const Job& job : jobs)
    std::printf("%-36s %8.1f us %6.0f GOPS %5.1f %%\n", job.label.c_str(), job.best_ns / 1000,
                job.operations / job.best_ns, 100 * job.operations / job.best_ns / peak);
  return 0;
}
