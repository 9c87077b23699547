// Random layers, lowered and compiled for every target this machine runs, with one and two threads, against the
// interpreter: pads, groups, strides, odd channels, fused functions and residuals as lowering makes them. Inputs and
// outputs end where the memory does.
#include "driver/random_layers.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "base/same_bytes.h"
#include "cupel/cupel.h"
#include "driver/compile.h"
#include "driver/shared_library.h"
#include "emit/image_builder.h"
#include "emit/target_names.h"
#include "ir/text.h"
#include "ir/verifier.h"
#include "lower/lower.h"
#include "reference/interpreter.h"

namespace cupel {
namespace {

int layer_count() {
  const char* count = std::getenv("CUPEL_RANDOM_LAYERS");  // more than the usual, for long runs
  return count == nullptr ? 48 : std::max(1, std::atoi(count));
}
// 12: fewer images to link; 1 shows each layer that differs.
size_t layers_of_a_graph() {
  const char* count = std::getenv("CUPEL_LAYERS_OF_A_GRAPH");
  return count == nullptr ? 12 : static_cast<size_t>(std::max(1, std::atoi(count)));
}

Graph empty_graph() {
  Graph graph;
  graph.stage = Stage::integer;
  return graph;
}

std::vector<Tensor> random_inputs(const Graph& graph, int64_t batch, uint64_t seed) {
  std::mt19937_64 rng(seed);
  std::vector<Tensor> inputs;
  for (ValueId id : graph.inputs()) {
    Tensor t(graph.type(id).dtype, *bind_shape(graph.type(id).shape, batch));
    const uint64_t extreme = rng() % 8;  // all codes the least or the greatest
    if (t.dtype() == DType::f32)
      for (float& v : t.mutable_data<float>()) {
        v = static_cast<float>(static_cast<int>(rng() % 4001) - 2000) * 0.002f;
        if (rng() % 8 == 0) v = std::bit_cast<float>(static_cast<uint32_t>(rng()) & 0x807fffffu);  // subnormal
      }
    else
      for (std::byte& b : t.mutable_bytes()) b = static_cast<std::byte>(extreme == 0 ? 255 : extreme == 1 ? 0 : rng());
    inputs.push_back(std::move(t));
  }
  return inputs;
}

// Bytes that end where the memory does: reading or writing behind them is a fault.
class GuardedBytes {
 public:
  explicit GuardedBytes(size_t size) {
    const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE)), room = (size + page - 1) / page * page;
    pages_ = mmap(nullptr, room + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    length_ = room + page;
    if (pages_ == MAP_FAILED || mprotect(static_cast<std::byte*>(pages_) + room, page, PROT_NONE) != 0) std::abort();
    data_ = static_cast<std::byte*>(pages_) + room - size;
  }
  GuardedBytes(GuardedBytes&& other) noexcept
      : pages_(std::exchange(other.pages_, nullptr)), length_(other.length_), data_(other.data_) {}
  ~GuardedBytes() {
    if (pages_ != nullptr) munmap(pages_, length_);
  }
  std::byte* data() { return data_; }

 private:
  void* pages_;
  size_t length_;
  std::byte* data_;
};

// What the library of model "layers" makes of the inputs, through its C interface.
std::vector<Tensor> run_library(const SharedLibrary& library, const Graph& graph, const std::vector<Tensor>& inputs,
                                int threads) {
  using Create = int (*)(int threads, CupelSession** session);
  using Run = int (*)(CupelSession*, int64_t batch, const void* const* inputs, void* const* outputs);
  using Free = void (*)(CupelSession*);
  const auto create = reinterpret_cast<Create>(library.find("cupel_layers_create"));
  const auto run = reinterpret_cast<Run>(library.find("cupel_layers_run"));
  const auto free = reinterpret_cast<Free>(library.find("cupel_layers_free"));
  std::vector<GuardedBytes> memory;
  std::vector<const void*> sources;
  std::vector<void*> targets;
  for (const Tensor& t : inputs) {
    GuardedBytes& bytes = memory.emplace_back(t.bytes().size());
    std::memcpy(bytes.data(), t.bytes().data(), t.bytes().size());
    sources.push_back(bytes.data());
  }
  std::vector<Tensor> outputs;
  for (ValueId id : graph.outputs()) {
    const Tensor& t =
        outputs.emplace_back(graph.type(id).dtype, *bind_shape(graph.type(id).shape, inputs[0].dims()[0]));
    targets.push_back(memory.emplace_back(t.bytes().size()).data());
  }
  CupelSession* session = nullptr;
  EXPECT_EQ(create(threads, &session), kCupelOk);
  EXPECT_EQ(run(session, inputs[0].dims()[0], sources.data(), targets.data()), kCupelOk);
  free(session);
  for (size_t i = 0; i < outputs.size(); ++i)
    std::memcpy(outputs[i].mutable_bytes().data(), targets[i], outputs[i].bytes().size());
  return outputs;
}

void expect_equal(const Graph& graph, const EmitTarget& target, const LowerOptions& options, WorkerPool& workers) {
  ThreadPool threads(2);
  const auto image = compile_image(graph, "layers", target, workers, {.lower = options, .build = {.cache_folder = {}}});
  ASSERT_TRUE(image) << target.name << ": " << image.error().message() << "\n" << print_graph(graph);
  const std::vector<Tensor> inputs = random_inputs(graph, 2, 7);
  const auto expected = interpret(graph, inputs, threads);
  ASSERT_TRUE(expected) << expected.error().message();
  const auto library = SharedLibrary::load(*image, "layers");
  ASSERT_TRUE(library) << library.error().message();
  for (const int thread_count : {1, 2}) {
    const std::vector<Tensor> outputs = run_library(*library, graph, inputs, thread_count);
    ASSERT_EQ(outputs.size(), expected->size());
    for (size_t i = 0; i < outputs.size(); ++i)
      EXPECT_TRUE(same_bytes(outputs[i], (*expected)[i]))
          << target.name << ", " << thread_count << " threads, output " << graph.value(graph.outputs()[i]).name;
  }
}

class RandomLayers : public testing::TestWithParam<std::string> {};

TEST_P(RandomLayers, EqualTheInterpreter) {
  const EmitTarget target = *find_emit_target(GetParam());
  WorkerPool workers({.program = CUPEL_EMIT_PROGRAM});
  // Ways to lower that change no bit: as always, without fusion.
  const LowerOptions ways[] = {{}, {}, {}, {.fuse = false}};
  size_t way = 0;
  int compiled = 0, without = 0;
  Graph graph = empty_graph();
  for (int seed = 0; seed < layer_count(); ++seed) {
    Graph alone = empty_graph();
    const Status made = RandomLayer(alone, static_cast<uint64_t>(seed)).add();
    ASSERT_TRUE(made) << made.error().message() << "\nseed " << seed;
    const auto sound = verify_graph(alone);
    ASSERT_TRUE(sound) << sound.error().message();
    const auto lowered = lower_graph(alone, "layer", lower_target(target));
    if (!lowered) {
      ASSERT_EQ(lowered.error().kind, ErrorKind::unsupported) << lowered.error().message();
      ++without;
    } else {
      ASSERT_TRUE(RandomLayer(graph, static_cast<uint64_t>(seed)).add());
      ++compiled;
    }
    if (graph.outputs().size() < layers_of_a_graph() && seed + 1 < layer_count()) continue;
    if (!graph.outputs().empty()) expect_equal(graph, target, ways[way++ % std::size(ways)], workers);
    graph = empty_graph();
  }
  std::printf("layers: %s: %d compiled, %d without a compiled form yet\n", target.name.c_str(), compiled, without);
  EXPECT_GT(compiled, 2 * without);  // a lowering that is lost shows here
}

INSTANTIATE_TEST_SUITE_P(Targets, RandomLayers, testing::ValuesIn(target_names()), test_name);

}  // namespace
}  // namespace cupel
