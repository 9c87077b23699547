// lead_batch on random graphs: the outputs stay the same to the last bit, for any number of items; and every rule is
// met.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <random>

#include "ir/text.h"
#include "ir/verifier.h"
#include "ops/op_table.h"
#include "passes/pass.h"
#include "reference/interpreter.h"
#include "reference/samples.h"

namespace cupel {
namespace {

using Integers = std::vector<int64_t>;

// Chains of ops over values whose batch lies anywhere, alone or as a factor of a dimension.
class BatchGraph {
 public:
  explicit BatchGraph(uint64_t seed) : random_(seed) {}

  Graph make() {
    static const std::vector<Shape> kInputs = {
        {Dim(1, "batch"), 6, 4},    {3, Dim(1, "batch"), 4}, {2, 3, Dim(1, "batch")}, {Dim(6, "batch"), 4},
        {2, Dim(6, "batch"), 3, 2}, {2, Dim(1, "batch")},    {Dim(2, "batch"), 3, 5}, {4, 2, Dim(1, "batch"), 3, 2}};
    for (size_t i = 0; i <= below(2); ++i)
      values_.push_back(graph_.add_input("x", {DType::f32, kInputs[below(kInputs.size())], {}}));
    const size_t wanted = 1 + below(10);
    for (size_t attempt = 0; graph_.nodes().size() < wanted && attempt < 200; ++attempt) add_random();
    for (const Node& node : graph_.nodes())
      for (ValueId v : node.outputs)
        if (below(4) == 0 || &node == &graph_.nodes().back()) graph_.add_output(v);
    return graph_;
  }

 private:
  uint64_t below(uint64_t bound) { return random_() % bound; }
  bool flip() { return below(2) == 0; }
  int64_t any_axis(const Shape& s) {
    const auto rank = static_cast<int64_t>(s.size());
    const auto axis = static_cast<int64_t>(below(s.size()));
    return flip() ? axis : axis - rank;
  }

  ValueId integers(const Integers& values) {
    return graph_.add_constant("k", Tensor::of<int64_t>({static_cast<int64_t>(values.size())}, values));
  }
  ValueId numbers(const Dims& dims, float low = -2.0f) {
    return graph_.add_constant(
        "c", samples::make_tensor({DType::f32, to_shape(dims), {}}, 1, random_(), {.low = low, .high = 2.0f}));
  }
  bool add(std::string_view op, std::vector<ValueId> inputs, Attributes attributes = {}, size_t results = 1) {
    const std::vector<std::string> names(results, "v");
    const auto added = graph_.add_node(*find_op(op), std::string(op), std::move(inputs), std::move(attributes), names,
                                       {}, std::vector<TensorType>(results > 1 ? results : 0));
    if (!added) return false;
    for (ValueId v : graph_.node(*added).outputs) {
      const Shape& shape = graph_.type(v).shape;
      int64_t elements = 1;
      for (const Dim& d : shape) elements *= d.factor;
      if (graph_.type(v).dtype == DType::f32 && elements > 0 && elements < 2000 && !shape.empty()) values_.push_back(v);
    }
    return true;
  }

  // A constant that broadcasts to the shape without making it larger.
  ValueId broadcast_constant(const Shape& shape) {
    Dims dims;
    for (size_t d = below(shape.size() + 1); d < shape.size(); ++d)
      dims.push_back(shape[d].is_constant() && below(3) > 0 ? shape[d].factor : 1);
    return numbers(dims);
  }
  Integers permutation(size_t rank) {
    Integers perm(rank);
    for (size_t i = 0; i < rank; ++i) perm[i] = static_cast<int64_t>(i);
    std::shuffle(perm.begin(), perm.end(), random_);
    return perm;
  }
  // The elements of the shape in order, as runs of prime factors with the batch (−1) among them, joined at random.
  Integers regrouped(const Shape& shape) {
    Integers factors;
    const auto split = [&](int64_t n) {
      for (int64_t p = 2; n > 1;) {
        if (n % p == 0) {
          factors.push_back(p);
          n /= p;
        } else {
          ++p;
        }
      }
    };
    for (const Dim& d : shape) {
      if (d.is_constant()) {
        split(d.factor);
        continue;
      }
      int64_t outer = 1;
      for (int64_t candidate = 1; candidate <= d.factor; ++candidate)
        if (d.factor % candidate == 0 && flip()) outer = candidate;
      split(outer);
      factors.push_back(-1);
      split(d.factor / outer);
    }
    Integers target = {1};
    for (int64_t f : factors) {
      if (flip()) target.push_back(1);
      target.back() = f == -1 || target.back() == -1 ? -1 : target.back() * f;
    }
    return target;
  }

  void add_random() {
    const ValueId x = values_[below(3) == 0 ? below(values_.size()) : values_.size() - 1];
    const Shape shape = graph_.type(x).shape;
    const size_t rank = shape.size();
    const auto size = [&](int64_t axis) {
      return shape[static_cast<size_t>(axis < 0 ? axis + static_cast<int64_t>(rank) : axis)];
    };
    const int64_t axis = any_axis(shape);
    switch (below(26)) {
      case 0:
      case 1:
      case 2: add("Transpose", {x}, {{"perm", permutation(rank)}}); break;
      case 3:
      case 4:
      case 5: add("Reshape", {x, integers(regrouped(shape))}); break;
      case 6: add("Flatten", {x}, {{"axis", static_cast<int64_t>(below(rank + 1))}}); break;
      case 7: add("Unsqueeze", {x, integers({axis})}); break;
      case 8: add("Squeeze", {x, integers({axis})}); break;
      case 9: {  // rows times a matrix
        if (shape.back().is_constant()) add("MatMul", {x, numbers({shape.back().factor, 3})});
        break;
      }
      case 10: {  // two values with the same leading dimensions, or a stack of matrices
        if (rank < 2 || !shape.back().is_constant()) break;
        if (flip()) {
          Dims dims;
          for (size_t d = 0; d + 2 < rank; ++d) dims.push_back(shape[d].is_constant() && flip() ? shape[d].factor : 1);
          dims.push_back(shape.back().factor);
          dims.push_back(2);
          add("MatMul", {x, numbers(dims)});
          break;
        }
        Integers perm(rank);
        for (size_t i = 0; i < rank; ++i) perm[i] = static_cast<int64_t>(i);
        std::swap(perm[rank - 1], perm[rank - 2]);
        const auto turned = graph_.add_node(*find_op("Transpose"), "turn", {x}, {{"perm", perm}}, {"t"});
        if (turned)
          add("MatMul", flip() ? std::vector{x, graph_.node(*turned).outputs[0]}
                               : std::vector{graph_.node(*turned).outputs[0], x});
        break;
      }
      case 11: {
        if (rank == 3 && shape[0].is_constant() && shape[2].is_constant()) {  // steps, rows, inputs
          static constexpr std::pair<const char*, int64_t> kKinds[] = {{"RNN", 1}, {"GRU", 3}, {"LSTM", 4}};
          const auto& [op, gates] = kKinds[below(3)];
          const int64_t directions = 1 + below(2);
          add(op, {x, numbers({directions, 2 * gates, shape[2].factor}), numbers({directions, 2 * gates, 2})},
              {{"direction", std::string(directions == 2 ? "bidirectional" : "reverse")}}, 2);
          break;
        }
        if (rank != 2 || !shape[1].is_constant()) break;
        std::vector<ValueId> inputs = {x, numbers({shape[1].factor, 4})};
        if (flip()) inputs.push_back(numbers({4}));
        add("Gemm", inputs);
        break;
      }
      case 12: add(flip() ? "Add" : "Div", {x, broadcast_constant(shape)}); break;
      case 13: add(flip() ? "Mul" : "Sub", {broadcast_constant(shape), x}); break;
      case 14: add(flip() ? "Max" : "Add", {x, values_[below(values_.size())]}); break;
      case 15: add(flip() ? "Relu" : "Gelu", {x}); break;
      case 16: add(flip() ? "Softmax" : "LogSoftmax", {x}, {{"axis", axis}}); break;
      case 17: {
        Dims dims;
        for (size_t d = static_cast<size_t>(axis < 0 ? axis + static_cast<int64_t>(rank) : axis); d < rank; ++d)
          dims.push_back(shape[d].is_constant() ? shape[d].factor : 1);
        add("LayerNormalization", {x, numbers(dims), numbers(dims)}, {{"axis", axis}});
        break;
      }
      case 18: {
        static const char* const kReduce[] = {"ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin"};
        add(kReduce[below(4)], {x, integers({axis})}, {{"keepdims", static_cast<int64_t>(below(2))}});
        break;
      }
      case 19: {
        const bool whole = below(3) == 0;
        add("Slice", {x, integers({whole ? 0 : -2}), integers({INT64_MAX}), integers({axis}),
                      integers({whole ? 1 : static_cast<int64_t>(1 + below(2))})});
        break;
      }
      case 20:
        if (size(axis).factor % 2 == 0) add("Split", {x}, {{"axis", axis}}, 2);
        break;
      case 21: {
        const int64_t last = size(axis).is_constant() ? size(axis).factor - 1 : 0;
        if (size(axis).is_constant() && flip()) {  // a table looked up by computed indices, along any of its axes
          const auto found = graph_.add_node(*find_op("ArgMax"), "a", {x},
                                             {{"axis", axis}, {"keepdims", static_cast<int64_t>(below(2))}}, {"a"});
          if (!found) break;
          Dims dims = {2, 3, 2};
          dims.resize(1 + below(3));
          const size_t at = below(dims.size());
          dims[at] = size(axis).factor;
          const ValueId table = graph_.add_constant("t", samples::make_tensor({DType::f32, to_shape(dims), {}}, 1, 5));
          add("Gather", {table, graph_.node(*found).outputs[0]}, {{"axis", static_cast<int64_t>(at)}});
        } else if (flip())
          add("Gather", {x, graph_.add_constant("i", Tensor::of<int64_t>({}, Integers{last}))}, {{"axis", axis}});
        else
          add("Gather", {x, graph_.add_constant("i", Tensor::of<int64_t>({2, 1}, Integers{0, -1}))}, {{"axis", axis}});
        break;
      }
      case 22: {
        std::vector<ValueId> same;
        for (ValueId v : values_)
          if (graph_.type(v) == graph_.type(x)) same.push_back(v);
        add("Concat", {x, same[below(same.size())]}, {{"axis", axis}});
        break;
      }
      case 23: {
        Integers pads(2 * rank, 0);
        pads[below(2 * rank)] = 1;
        add("Pad", {x, integers(pads)});
        break;
      }
      case 24: {
        if (flip()) {
          Integers repeats(rank, 1);
          repeats[below(rank)] = 2;
          add("Tile", {x, integers(repeats)});
        } else {
          Integers target;
          for (const Dim& d : shape) target.push_back(d == Dim(1) ? 3 : 1);
          target.insert(target.begin(), flip() ? 1 : 2);
          add("Expand", {x, integers(target)});
        }
        break;
      }
      default: {
        if (flip()) {
          add("ArgMax", {x}, {{"axis", axis}, {"keepdims", static_cast<int64_t>(below(2))}});
          break;
        }
        const Attributes q = {{"scale", std::vector<float>{0.03125f}}, {"zero_point", Integers{120}}};
        const auto codes = graph_.add_node(*find_op("QuantizeLinear"), "q", {x}, q, {"q"});
        if (codes) add("DequantizeLinear", {graph_.node(*codes).outputs[0]}, q);
        break;
      }
    }
  }

  std::mt19937_64 random_;
  Graph graph_;
  std::vector<ValueId> values_;  // f32, of rank above 0
};

bool moved(const Shape& shape) {
  for (size_t d = 0; d < shape.size(); ++d)
    if (!shape[d].is_constant() && (d > 0 || shape[d].factor > 1)) return true;
  return false;
}

TEST(LeadBatch, ChangesNoBitOfRandomGraphs) {
  ThreadPool threads(2);
  std::map<std::string_view, int> by_rule;
  for (uint64_t seed = 0; seed < 3000; ++seed) {
    const Graph before = BatchGraph(seed).make();
    if (before.outputs().empty()) continue;
    std::vector<Remark> remarks;
    const auto after = find_pass("lead_batch")->run(before, {threads, &remarks});
    ASSERT_TRUE(after.has_value()) << seed << ": " << after.error().message() << "\n" << print_graph(before);
    const auto sound = verify_graph(*after);
    ASSERT_TRUE(sound.has_value()) << seed << ": " << sound.error().message() << "\n" << print_graph(*after);
    for (size_t i = 0; i < before.outputs().size(); ++i)
      ASSERT_EQ(before.value(before.outputs()[i]).type, after->value(after->outputs()[i]).type);
    if (remarks.empty())
      for (const Node& node : before.nodes())
        for (ValueId v : node.inputs)
          if (v.valid() && moved(before.type(v).shape)) ++by_rule[node.op->name];
    for (int64_t batch : {1, 3}) {
      std::vector<Tensor> inputs;
      for (ValueId v : before.inputs()) inputs.push_back(samples::make_tensor(before.type(v), batch, seed + 1, {}));
      const auto expected = interpret(before, inputs, threads), found = interpret(*after, inputs, threads);
      ASSERT_TRUE(expected.has_value()) << seed << ": " << expected.error().message();
      ASSERT_TRUE(found.has_value()) << seed << ": " << found.error().message();
      for (size_t i = 0; i < expected->size(); ++i) {
        ASSERT_EQ((*expected)[i].dims(), (*found)[i].dims());
        const auto a = (*expected)[i].bytes(), b = (*found)[i].bytes();
        ASSERT_TRUE(std::equal(a.begin(), a.end(), b.begin()))
            << "seed " << seed << ", batch " << batch << ", output " << i << "\n"
            << print_graph(before) << print_graph(*after);
      }
    }
  }
  for (const std::string_view op : {"Transpose",
                                    "Reshape",
                                    "Flatten",
                                    "Squeeze",
                                    "Unsqueeze",
                                    "MatMul",
                                    "Gemm",
                                    "Add",
                                    "Mul",
                                    "Sub",
                                    "Div",
                                    "Max",
                                    "Relu",
                                    "Gelu",
                                    "Softmax",
                                    "LogSoftmax",
                                    "ReduceMean",
                                    "ReduceSum",
                                    "ReduceMax",
                                    "LayerNormalization",
                                    "ReduceMin",
                                    "Slice",
                                    "Split",
                                    "Gather",
                                    "Concat",
                                    "Pad",
                                    "Tile",
                                    "Expand",
                                    "RNN",
                                    "GRU",
                                    "LSTM",
                                    "ArgMax",
                                    "QuantizeLinear",
                                    "DequantizeLinear"})
    EXPECT_GE(by_rule[op], 5) << op;
}

// Whatever the op: its row alone says that it works item by item.
TEST(LeadBatch, EveryFunctionOfOneElementMovesWithTheBatch) {
  ThreadPool threads(1);
  int functions = 0;
  for (const OpDef* op : all_ops()) {
    if (!is_elementwise(*op) || op->min_inputs != 1 || op->removed_by_simplify || op->conversion != Conversion::none)
      continue;
    Graph before;
    DType dtype = DType::f32;  // or one that it takes
    for (const DType other : {DType::boolean, DType::s32})
      if (!op->operand_types.empty() && !op->operand_types[0].allowed.has(dtype)) dtype = other;
    const ValueId x = before.add_input("x", {dtype, {7, Dim(1, "batch"), 3}, {}});
    Attributes attributes;
    for (const AttributeSpec& a : op->attributes)
      if (a.required) attributes.emplace(a.name, int64_t{1});  // Cast: to f32
    const auto added = before.add_node(*op, "f", {x}, attributes, {"f"});
    ASSERT_TRUE(added.has_value()) << op->name << ": " << added.error().message();
    const auto back = before.add_node(*find_op("Transpose"), "t", {before.node(*added).outputs[0]},
                                      {{"perm", Integers{1, 0, 2}}}, {"t"});
    before.add_output(before.node(*back).outputs[0]);
    std::vector<Remark> remarks;
    const auto after = find_pass("lead_batch")->run(before, {threads, &remarks});
    ASSERT_TRUE(after.has_value()) << op->name << ": " << after.error().message();
    EXPECT_TRUE(remarks.empty()) << op->name << ": " << remarks[0].reason;
    // The batch moves once, before the function; what stood behind keeps every item.
    ASSERT_EQ(after->nodes().size(), 3u) << print_graph(*after);
    EXPECT_EQ(after->nodes()[1].op, op) << print_graph(*after);
    EXPECT_EQ(after->nodes()[2].op, &ops::kReshape) << print_graph(*after);
    EXPECT_EQ(after->type(after->nodes()[2].inputs[0]), after->type(after->nodes()[2].outputs[0]));
    ++functions;
  }
  EXPECT_GE(functions, 20);
}

}  // namespace
}  // namespace cupel
