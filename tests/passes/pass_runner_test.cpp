// The runner: order, verification, dumps, stopping and times; and that passes keep the meaning of every op's samples.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <sstream>

#include "base/file.h"
#include "ir/verifier.h"
#include "passes/pass.h"
#include "quant/network.h"
#include "reference/interpreter.h"

namespace cupel {
namespace {

namespace fs = std::filesystem;

class PassRunner : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "cupel_passes_XXXXXX").string();
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
  }
  void TearDown() override { fs::remove_all(folder_); }
  std::vector<std::string> files() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(folder_)) names.push_back(entry.path().filename());
    std::sort(names.begin(), names.end());
    return names;
  }
  std::string text(const std::string& name) const {
    std::ifstream file(folder_ / name, std::ios::binary);
    std::ostringstream content;
    content << file.rdbuf();
    return content.str();
  }
  Result<Graph> run(const Graph& g, std::vector<std::string_view> names, PassOptions& options) {
    return run_passes(g, names, {threads_}, options);
  }

  fs::path folder_;
  ThreadPool threads_{1};
};

// Few bytes of file may stand for many in memory: folding ends where its results take more than is allowed for all of
// them, or than the file's own constants.
TEST_F(PassRunner, FoldingHasALimitForTheWholeModel) {
  const Graph g = networks::network(
      "constant %one : f32[1] = [2]\nconstant %shape : s64[1] = [1000]\ninput %x : f32[batch,1000]\n"
      "%a = Expand(%one, %shape)\n%b = Sqrt(%a)\n%c = Exp(%b)\n%y = Add(%x, %c)\noutput %y",
      Stage::imported);
  const auto nodes_after = [&](int64_t most) {
    const auto folded = find_pass("fold_constants")->run(g, {.threads = threads_, .most_folded_bytes = most});
    EXPECT_TRUE(folded.has_value()) << folded.error().message();
    return folded ? folded->nodes().size() : 0;
  };
  EXPECT_EQ(nodes_after(12000), 1u);
  EXPECT_EQ(nodes_after(11999), 2u);
  EXPECT_EQ(nodes_after(4000), 3u);
  EXPECT_EQ(nodes_after(0), 4u);
}

TEST_F(PassRunner, DumpsAreNumberedThroughAndComeBack) {
  const Graph g = networks::network(
      "input %x : f32[batch,5]\nweights %w [5,5] 1\n%t = Transpose(%w)\n%i = Identity(%x)\n%y = MatMul(%i, %t)\noutput "
      "%y",
      Stage::imported);
  PassOptions options;
  options.dump_folder = folder_ / "deep";
  folder_ /= "deep";
  std::vector<PassTime> times;
  options.times = &times;
  ASSERT_TRUE(dump_graph(g, "import", options));
  const auto first = run(g, {"fold_constants", "drop_identities"}, options);
  ASSERT_TRUE(first) << first.error().message();
  const auto second = run(*first, {"finish_simplify"}, options);
  ASSERT_TRUE(second);
  EXPECT_EQ(files(), (std::vector<std::string>{"00-import.graph", "01-fold_constants.graph", "02-drop_identities.graph",
                                               "03-finish_simplify.graph", "constants.bin"}));
  const auto store = parse_constants(text("constants.bin"));
  ASSERT_TRUE(store);
  EXPECT_EQ(store->size(), 2u) << "the weights and their transpose";
  EXPECT_TRUE(parse_graph(text("00-import.graph"), *store).value() == g);
  EXPECT_TRUE(parse_graph(text("03-finish_simplify.graph"), *store).value() == *second);
  ASSERT_EQ(times.size(), 3u);
  EXPECT_EQ(times[0].name, "fold_constants");
  EXPECT_TRUE(times[0].changed && times[1].changed && times[2].changed);
  EXPECT_GE(times[0].time_ns, 0);
  const auto again = run(*second, {"fold_constants"}, options);
  EXPECT_TRUE(*again == *second);
  EXPECT_FALSE(times.back().changed);
}

TEST_F(PassRunner, StopsAfterAPass) {
  const Graph g =
      networks::network("input %x : f32[batch,5]\n%i = Identity(%x)\n%y = Relu(%i)\noutput %y", Stage::imported);
  PassOptions options;
  options.stop_after = "drop_identities";
  const auto out = run(g, {"drop_identities", "finish_simplify"}, options);
  EXPECT_TRUE(options.stopped);
  EXPECT_EQ(out->stage, Stage::imported);
  EXPECT_EQ(out->nodes().size(), 1u);
  EXPECT_EQ(run(*out, {"finish_simplify"}, options)->stage, Stage::imported) << "stopped for good";
}

TEST_F(PassRunner, ErrorsNameThePass) {
  PassOptions options;
  options.dump_folder = folder_;
  const Graph g = networks::network("input %x : f32[batch,5]\n%y = Relu(%x)\noutput %y", Stage::imported);
  const auto unknown = run(g, {"fold"}, options);
  ASSERT_FALSE(unknown);
  EXPECT_EQ(unknown.error().message(),
            "pass fold: no such pass\n  this is a defect of Cupel; please report it with the model");
  // A graph that breaks the contract of its stage before the pass breaks it after, and is in the dump folder.
  Graph broken = networks::network("input %x : f32[batch,5]\n%s = Shape(%x)\noutput %s", Stage::imported);
  broken.stage = Stage::simplified;
  const auto out = run(broken, {"recognise_gelu"}, options);
  ASSERT_FALSE(out);
  EXPECT_EQ(out.error().message(),
            "after pass recognise_gelu: verifier, stage simplified: node s (Shape): simplify must remove this op\n  "
            "this is a defect of Cupel; please report it with the model");
  EXPECT_EQ(files(), (std::vector<std::string>{"00-recognise_gelu.graph", "constants.bin"}));
  options.dump_folder = folder_ / "00-recognise_gelu.graph";
  const auto unwritable = run(g, {"recognise_gelu"}, options);
  ASSERT_FALSE(unwritable);
  EXPECT_EQ(unwritable.error().kind, ErrorKind::usage);
}

// kernel_forms holds s8 codes as u8, 128 higher: the same tensor in the type that a graph gives a value.
Tensor in_type(const Tensor& t, DType type) {
  if (t.dtype() == type) return t;
  Tensor moved(type, t.dims());
  for (size_t i = 0; i < t.bytes().size(); ++i) moved.mutable_bytes()[i] = t.bytes()[i] ^ std::byte{0x80};
  return moved;
}

bool is_simplified(Graph graph) {
  if (graph.stage == Stage::imported) graph.stage = Stage::simplified;
  return verify_graph(graph).has_value();
}

// Passes on every op's samples: the result is verified and gives the same numbers.
TEST(PassesKeepTheMeaning, OfEverySample) {
  ThreadPool threads(2);
  for (const auto& s : samples::all_samples()) {
    if (!s.op->reference) continue;
    const auto inputs = samples::make_inputs(s.graph, 3, samples::range_for(s.op->name));
    const auto expected = interpret(s.graph, inputs, threads);
    ASSERT_TRUE(expected);
    for (const Pass& pass : all_passes()) {
      if (pass.name == "finish_simplify" || pass.name == "integerize") continue;
      // It takes simplified graphs without Q/DQ nodes.
      if (pass.name == "kernel_forms" && (is_linear_conversion(*s.op) || !is_simplified(s.graph))) continue;
      PassOptions options;
      const std::string_view names[] = {pass.name};
      const auto out = run_passes(s.graph, names, {threads}, options);
      if (!out && out.error().kind == ErrorKind::unsupported) continue;
      ASSERT_TRUE(out) << pass.name << " on " << s.graph.name << ": " << out.error().message();
      ASSERT_EQ(out->inputs().size(), s.graph.inputs().size());
      ASSERT_EQ(out->outputs().size(), s.graph.outputs().size());
      for (size_t i = 0; i < out->outputs().size(); ++i)
        ASSERT_EQ(out->value(out->outputs()[i]).name, s.graph.value(s.graph.outputs()[i]).name);
      std::vector<Tensor> given;
      for (size_t i = 0; i < inputs.size(); ++i) given.push_back(in_type(inputs[i], out->type(out->inputs()[i]).dtype));
      const auto found = interpret(*out, given, threads);
      ASSERT_TRUE(found) << found.error().message();
      for (size_t i = 0; i < found->size(); ++i)
        ASSERT_TRUE(in_type((*found)[i], (*expected)[i].dtype()) == (*expected)[i])
            << pass.name << " on " << s.graph.name;
    }
  }
}

// The float network and its simplified form differ by rounding alone.
TEST(PassesKeepTheMeaning, OfWhatTheyRecognise) {
  ThreadPool threads(2);
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"fold_batch_norm",
       "input %x : f32[batch,3,5,5]\nweights %w [4,3,3,3] 1\nweights %b [4] 1\nweights %g [4] 2\nweights %s [4] "
       "1\nweights %m [4] 1\nconstant %v : f32[4] = [0.5, 1.0, 2.0, 0.1]\n"
       "%c = Conv(%x, %w, %b)\n%y = BatchNormalization(%c, %g, %s, %m, %v)\noutput %y"},
      {"recognise_gelu",
       "input %x : f32[batch,3]\nconstant %r : f32[] = [0x1.6a09e6p+0]\nconstant %one : f32[] = [1.0]\nconstant %half "
       ": f32[] = [0.5]\n"
       "%d = Div(%x, %r)\n%e = Erf(%d)\n%a = Add(%e, %one)\n%m = Mul(%x, %a)\n%y = Mul(%m, %half)\noutput %y"},
      {"recognise_layer_norm",
       "input %x : f32[batch,3,8]\nconstant %axes : s64[1] = [-1]\nconstant %two : f32[] = [2.0]\nconstant %epsilon : "
       "f32[] = [0x1p-17]\nweights %w [8] 1\nweights %b [8] 1\n"
       "%m = ReduceMean(%x, %axes)\n%d = Sub(%x, %m)\n%q = Pow(%d, %two)\n%v = ReduceMean(%q, %axes)\n%e = Add(%v, "
       "%epsilon)\n%r = Sqrt(%e)\n%n = Div(%d, %r)\n"
       "%s = Mul(%n, %w)\n%y = Add(%s, %b)\noutput %y"},
      {"recognise_activations", "input %x : f32[batch,9]\n%s = Sigmoid(%x)\n%y = Mul(%x, %s)\noutput %y"},
      {"recognise_activations",
       "input %x : f32[batch,9]\n%s = HardSigmoid(%x) {alpha=0x1.555556p-3, beta=0.5}\n%y = Mul(%x, %s)\noutput %y"}};
  for (const auto& [name, body] : cases) {
    const Graph g = networks::network(body, Stage::imported);
    PassOptions options;
    const std::string_view names[] = {name};
    const auto out = run_passes(g, names, {threads}, options);
    ASSERT_TRUE(out) << out.error().message();
    ASSERT_LT(out->nodes().size(), g.nodes().size()) << name;
    const auto inputs = samples::make_inputs(g, 20);
    const Tensor a = interpret(g, inputs, threads).value()[0], b = interpret(*out, inputs, threads).value()[0];
    for (int64_t i = 0; i < a.size(); ++i) ASSERT_NEAR(a.at(i), b.at(i), 2e-5 * (1 + std::abs(a.at(i)))) << name;
  }
}

}  // namespace
}  // namespace cupel
