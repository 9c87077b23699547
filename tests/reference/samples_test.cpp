// Every op's samples on the interpreter: they run, give the same bits on any number of threads, and give the same rows
// whether the batch is split or not.
#include "reference/samples.h"

#include <gtest/gtest.h>

#include <map>

#include "reference/interpreter.h"

namespace cupel {
namespace {

using samples::Sample;

// Subnormal numbers too: engines are compared on them, other programs are not.
samples::InputRange range_of(const Sample& s) {
  samples::InputRange range = samples::range_for(s.op->name);
  range.subnormal = true;
  return range;
}

std::string title(const Sample& s) { return std::string(s.op->name) + " sample " + s.graph.name; }

Result<std::vector<Tensor>> run(const Sample& s, std::span<const Tensor> inputs, int threads) {
  ThreadPool pool(threads);
  return interpret(s.graph, inputs, pool);
}

TEST(Samples, EveryOneRuns) {
  for (const Sample& s : samples::all_samples()) {
    if (!s.op->reference) continue;
    const auto inputs = samples::make_inputs(s.graph, 2, range_of(s));
    const auto outputs = run(s, inputs, 1);
    ASSERT_TRUE(outputs) << title(s) << ": " << outputs.error().message();
    ASSERT_EQ(outputs->size(), s.graph.outputs().size());
    for (size_t i = 0; i < outputs->size(); ++i) {
      const TensorType& type = s.graph.type(s.graph.outputs()[i]);
      EXPECT_EQ((*outputs)[i].dtype(), type.dtype) << title(s);
      EXPECT_EQ((*outputs)[i].dims(), bind_shape(type.shape, 2).value()) << title(s);
    }
  }
}

TEST(Samples, EmptyBatchesAreLegal) {
  for (const Sample& s : samples::all_samples()) {
    if (!s.op->reference || !samples::has_symbol(s.graph)) continue;
    const auto outputs = run(s, samples::make_inputs(s.graph, 0, range_of(s)), 2);
    EXPECT_TRUE(outputs || outputs.error().kind != ErrorKind::internal)
        << title(s) << ": " << outputs.error().message();
  }
}

// A batch large enough that the work is split among threads.
TEST(Samples, ThreadsChangeNoBit) {
  for (const Sample& s : samples::all_samples()) {
    if (!s.op->reference) continue;
    const auto inputs = samples::make_inputs(s.graph, 701, range_of(s));
    const auto one = run(s, inputs, 1);
    ASSERT_TRUE(one) << title(s) << ": " << one.error().message();
    for (int threads : {2, 3}) {
      const auto more = run(s, inputs, threads);
      ASSERT_TRUE(more) << title(s);
      for (size_t i = 0; i < one->size(); ++i)
        ASSERT_TRUE((*one)[i] == (*more)[i]) << title(s) << ", output " << i << " on " << threads << " threads";
    }
  }
}

// Index of the symbolic dimension; −1 when there is none.
int64_t symbolic_axis(const Shape& shape) {
  for (size_t i = 0; i < shape.size(); ++i)
    if (!shape[i].is_constant()) return static_cast<int64_t>(i);
  return -1;
}

// Indices [begin, begin+count) along the axis.
Tensor slice(const Tensor& t, int64_t axis, int64_t begin, int64_t count) {
  Dims dims = t.dims();
  const auto at = static_cast<size_t>(axis);
  int64_t inner = dtype_bits(t.dtype()) / 8, outer = 1;
  for (size_t i = at + 1; i < dims.size(); ++i) inner *= dims[i];
  for (size_t i = 0; i < at; ++i) outer *= dims[i];
  const int64_t length = dims[at];
  dims[at] = count;
  Tensor out(t.dtype(), dims);
  for (int64_t o = 0; o < outer; ++o)
    std::memcpy(out.mutable_bytes().data() + o * count * inner, t.bytes().data() + (o * length + begin) * inner,
                static_cast<size_t>(count * inner));
  return out;
}

// Samples whose results mix items of the batch, by graph name, with the reason.
const std::map<std::string, std::string> kMixesTheBatch = {
    {"concat_batch", "joins two batches one behind the other"},
    {"tile_batch", "repeats the whole batch"},
    {"shape", "gives the batch as a number"},
    {"size", "gives the batch as a number"},
};

TEST(Samples, ASplitBatchGivesTheSameRows) {
  std::map<std::string, std::string> unused = kMixesTheBatch;
  for (const Sample& s : samples::all_samples()) {
    if (!s.op->reference || !samples::has_symbol(s.graph)) continue;
    const auto whole_inputs = samples::make_inputs(s.graph, 4, range_of(s));
    const auto whole = run(s, whole_inputs, 1);
    ASSERT_TRUE(whole) << title(s);
    bool same = true;
    for (const auto& [begin, count] : {std::pair<int64_t, int64_t>{0, 1}, {1, 3}}) {
      std::vector<Tensor> inputs = whole_inputs;
      for (size_t i = 0; i < inputs.size(); ++i) {
        const Shape& shape = s.graph.type(s.graph.inputs()[i]).shape;
        if (const int64_t axis = symbolic_axis(shape); axis >= 0) {
          const int64_t factor = shape[static_cast<size_t>(axis)].factor;
          inputs[i] = slice(inputs[i], axis, begin * factor, count * factor);
        }
      }
      const auto part = run(s, inputs, 2);
      ASSERT_TRUE(part) << title(s) << ": " << part.error().message();
      for (size_t i = 0; i < part->size(); ++i) {
        const Shape& shape = s.graph.type(s.graph.outputs()[i]).shape;
        const int64_t axis = symbolic_axis(shape);
        const int64_t factor = axis < 0 ? 0 : shape[static_cast<size_t>(axis)].factor;
        same =
            same && (*part)[i] == (axis < 0 ? (*whole)[i] : slice((*whole)[i], axis, begin * factor, count * factor));
      }
    }
    const bool mixes = unused.erase(s.graph.name) > 0;
    EXPECT_EQ(same, !mixes) << title(s) << "\n" << print_graph(s.graph);
  }
  EXPECT_TRUE(unused.empty()) << unused.begin()->first << " is no sample";
}

}  // namespace
}  // namespace cupel
