// The samples of every op as files, beside ONNX Runtime: written in several opsets, checked, loaded, run, compared with
// the reference by check_samples.py.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

#include "data/npy.h"
#include "onnx/writer.h"
#include "reference/interpreter.h"
#include "reference/samples.h"

namespace cupel {
namespace {

namespace fs = std::filesystem;

bool has_npy_form(const TensorType& t) { return format_npy(Tensor(t.dtype, {0}), "").has_value(); }

// Writes NAME.onnx with NAME.inI.npy and NAME.outI.npy, what the reference gives.
testing::AssertionResult write_sample(const fs::path& folder, const std::string& name, const Graph& graph,
                                      std::span<const Tensor> inputs, ThreadPool& threads) {
  const auto outputs = interpret(graph, inputs, threads);
  if (!outputs) return testing::AssertionFailure() << outputs.error().message();
  if (const Status written = write_onnx(graph, folder / (name + ".onnx")); !written)
    return testing::AssertionFailure() << written.error().message();
  for (size_t i = 0; i < inputs.size(); ++i)
    if (const Status s = write_npy(folder / (name + ".in" + std::to_string(i) + ".npy"), inputs[i]); !s)
      return testing::AssertionFailure() << s.error().message();
  for (size_t i = 0; i < outputs->size(); ++i)
    if (const Status s = write_npy(folder / (name + ".out" + std::to_string(i) + ".npy"), (*outputs)[i]); !s)
      return testing::AssertionFailure() << s.error().message();
  return testing::AssertionSuccess();
}

TEST(WrittenSamples, OnnxRuntimeComputesWhatTheReferenceDoes) {
  const char* python = std::getenv("CUPEL_ORACLE_PYTHON");
  if (!python) GTEST_SKIP() << "CUPEL_ORACLE_PYTHON is not set";
  std::string pattern = (fs::temp_directory_path() / "cupel_samples_XXXXXX").string();
  const fs::path folder = mkdtemp(pattern.data());
  ThreadPool threads(1);
  int number = 0, written = 0;
  for (const samples::Sample& s : samples::all_samples()) {
    if (!s.op->reference) continue;
    const auto types_are_npy = [&](const std::vector<ValueId>& ids) {
      return std::all_of(ids.begin(), ids.end(), [&](ValueId id) { return has_npy_form(s.graph.type(id)); });
    };
    ++number;
    if (!types_are_npy(s.graph.inputs()) || !types_are_npy(s.graph.outputs())) continue;
    for (const int opset : {13, 17, 21}) {
      Graph graph = s.graph;
      graph.opset = opset;
      // Of ops on codes those are written that ONNX allows on them.
      if (graph.stage == Stage::integer) graph.stage = Stage::quantized;
      if (!onnx_bytes(graph)) continue;
      const auto inputs = samples::make_inputs(graph, 2, samples::range_for(s.op->name));
      const std::string name = std::string(s.op->name) + "." + std::to_string(number) + "." + std::to_string(opset);
      EXPECT_TRUE(write_sample(folder, name, graph, inputs, threads)) << s.graph.name;
      ++written;
    }
  }
  EXPECT_GT(written, 400);
  const std::string command =
      std::string(python) + " " + CUPEL_SOURCE_DIR + "/tests/reference/check_samples.py " + folder.string();
  EXPECT_EQ(std::system(command.c_str()), 0);
  fs::remove_all(folder);
}

}  // namespace
}  // namespace cupel
