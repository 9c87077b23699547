// Any bytes as an ONNX file: read, simplified, made integer and brought into the forms of kernels. Graph text of what
// comes out parses back.
#include "fuzz/findings.h"
#include "fuzz/model_steps.h"
#include "fuzz/onnx_mutator.h"
#include "ir/text.h"

namespace cupel::fuzz {
namespace {

void expect_text_parses_back(const Graph& graph) {
  ConstantStore constants;
  const std::string text = print_graph(graph, &constants);
  const auto parsed = parse_graph(text, constants);
  if (!parsed) finding("graph text does not parse: " + parsed.error().message() + "\n" + text);
  if (!(*parsed == graph)) finding("graph text parses to another graph:\n" + text);
}

void run(std::span<const uint8_t> bytes) {
  const auto model = read_model(bytes);
  if (!model) return;
  expect_text_parses_back(model->source);
  static ThreadPool threads(1);
  constexpr std::string_view kPass[] = {"kernel_forms"};
  PassOptions options;
  if (const auto fused = run_passes(model->program, kPass, {threads}, options)) {
    expect_text_parses_back(*fused);
  } else {
    expect_users(fused.error());
  }
}

}  // namespace
}  // namespace cupel::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  cupel::fuzz::run({data, size});
  return 0;
}
CUPEL_FUZZ_ONNX_MUTATIONS
