// Any bytes as an ONNX file, lowered to a Program: every access lies inside its buffer, and the Program computes the
// same bits as the interpreter or both refuse the data.
#include <cmath>
#include <cstring>

#include "fuzz/findings.h"
#include "fuzz/model_steps.h"
#include "fuzz/onnx_mutator.h"
#include "ir/text.h"
#include "kernel/check_program.h"
#include "kernel/evaluate_program.h"
#include "lower/lower.h"
#include "reference/interpreter.h"
#include "reference/samples.h"

namespace cupel::fuzz {
namespace {

bool same(const Tensor& a, const Tensor& b) {
  if (a.dtype() != b.dtype() || a.dims() != b.dims()) return false;
  if (a.dtype() != DType::f32) return a == b;
  for (size_t i = 0; i < static_cast<size_t>(a.size()); ++i) {
    const float x = a.data<float>()[i], y = b.data<float>()[i];
    if (std::memcmp(&x, &y, sizeof x) != 0 && !(std::isnan(x) && std::isnan(y))) return false;
  }
  return true;
}

void expect_equal_runs(const Graph& graph, const Program& program, uint64_t seed) {
  static ThreadPool threads(1);
  const auto inputs = samples::make_inputs(graph, 2, {.least = -3, .greatest = 3}, seed);
  const auto expected = interpret(graph, inputs, threads);
  const auto actual = evaluate_program(program, inputs);
  if (!expected) expect_users(expected.error());
  if (!actual) expect_users(actual.error());
  if (expected.has_value() != actual.has_value())
    finding((expected ? "lowered code alone refuses the data: " + actual.error().message()
                      : "the interpreter alone refuses the data: " + expected.error().message()) +
            "\n" + print_graph(graph));
  if (!expected) return;
  for (size_t i = 0; i < expected->size(); ++i)
    if (!same((*expected)[i], (*actual)[i])) finding("lowered code computes something else:\n" + print_graph(graph));
}

// What has more takes a sanitizer's build minutes to follow.
constexpr int64_t kMostRuns = int64_t{1} << 20;

void run(std::span<const uint8_t> bytes) {
  const auto model = read_model(bytes);
  if (!model) return;
  // Two machines: with byte products and without.
  for (const LowerTarget& target : {LowerTarget{}, LowerTarget{.byte_dot_product = false, .vector_registers = 8}}) {
    const auto lowered = lower_graph(model->program, "fuzzed", target);
    if (!lowered) {
      expect_users(lowered.error());
      continue;
    }
    const Status sound = check_program(lowered->program, kMostRuns);
    if (!sound) expect_users(sound.error());
    if (!sound || !is_small(model->program)) continue;
    for (const uint64_t seed : {0, 1}) expect_equal_runs(model->program, lowered->program, seed);
  }
}

}  // namespace
}  // namespace cupel::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  cupel::fuzz::run({data, size});
  return 0;
}
CUPEL_FUZZ_ONNX_MUTATIONS
