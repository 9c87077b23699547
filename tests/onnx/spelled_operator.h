// A model of one operator that reading spells out, and what it computes.
#pragma once

#include <cmath>

#include "model_builder.h"
#include "reference/interpreter.h"
#include "runtime/thread_pool.h"

namespace cupel {

using Ints = std::vector<int64_t>;

inline Tensor numbers(Dims dims, uint32_t seed, float low = -2, float high = 3) {
  Tensor t(DType::f32, std::move(dims));
  uint32_t state = seed * 2654435761u + 12345u;
  for (float& x : t.mutable_data<float>()) {
    state = state * 1664525u + 1013904223u;
    x = low + (high - low) * (static_cast<float>(state >> 8) * 0x1p-24f);
  }
  return t;
}
inline double at(const Tensor& t, int64_t i) { return t.at(i); }

struct Operator {
  std::string op;
  std::vector<Tensor> inputs;  // the first is computed, the others are constants
  Attributes attributes = {};
  int64_t opset = 20;
  std::string domain = "";
  size_t computed = 1;  // operands that are inputs of the model
  std::vector<std::string> outputs = {"y"};
};

inline ModelBuilder model_of(const Operator& o) {
  ModelBuilder m(o.opset);
  std::vector<std::string> names;
  for (size_t i = 0; i < o.inputs.size(); ++i) {
    names.push_back(o.inputs[i].rank() == 1 && o.inputs[i].empty() ? "" : "x" + std::to_string(i));
    if (names.back().empty()) continue;
    if (i < o.computed) {
      BuiltShape shape;
      for (const int64_t d : o.inputs[i].dims()) shape.emplace_back(d);
      m.input(names.back(), shape, static_cast<int32_t>(onnx_dtype(o.inputs[i].dtype())));
    } else {
      m.constant(names.back(), o.inputs[i]);
    }
  }
  m.node(o.op, names, o.outputs, o.attributes, "n", o.domain);
  for (const std::string& output : o.outputs)
    if (!output.empty()) m.output(output);
  return m;
}

inline std::vector<Tensor> results(const Operator& o) {
  const auto graph = read(model_of(o));
  if (!graph) {
    ADD_FAILURE() << o.op << ": " << graph.error().message();
    return {};
  }
  const Status status = verify_graph(*graph);
  EXPECT_TRUE(status) << status.error().message();
  for (const Node& node : graph->nodes()) EXPECT_EQ(node.origin, std::vector<std::string>{"n"});
  std::vector<Tensor> inputs;
  for (size_t i = 0; i < o.computed; ++i)
    if (!(o.inputs[i].rank() == 1 && o.inputs[i].empty())) inputs.push_back(o.inputs[i]);
  ThreadPool threads(1);
  auto found = interpret(*graph, inputs, threads);
  if (!found) {
    ADD_FAILURE() << o.op << ": " << found.error().message();
    return {};
  }
  return std::move(*found);
}
inline Tensor result(const Operator& o) {
  auto all = results(o);
  return all.empty() ? Tensor() : all[0];
}

inline void expect_near(const Tensor& t, const Dims& dims, const std::vector<double>& expected,
                        double tolerance = 1e-5) {
  ASSERT_EQ(t.dims(), dims);
  ASSERT_EQ(t.size(), static_cast<int64_t>(expected.size()));
  for (int64_t i = 0; i < t.size(); ++i)
    ASSERT_NEAR(t.at(i), expected[static_cast<size_t>(i)], tolerance * std::fmax(1, std::fabs(t.at(i)))) << i;
}

}  // namespace cupel
