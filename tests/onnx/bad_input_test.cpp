// Every way in which a file can be wrong, with the whole message.
#include <limits>
#include <random>

#include "model_builder.h"
#include "onnx/writer.h"

namespace cupel {
namespace {

using protozero::pbf_writer;

ModelBuilder relu_model() {
  ModelBuilder m;
  m.input("x", {"batch", 4}).constant<float>("w", {4}, {1, 2, 3, 4});
  m.node("Add", {"x", "w"}, {"s"}, {}, "add").node("Relu", {"s"}, {"y"}, {}, "relu").output("y", {"batch", 4});
  return m;
}

TEST(BadInput, MissingFile) {
  EXPECT_EQ(error_of(read_onnx("no_such_folder/model.onnx")),
            "3: no_such_folder/model.onnx: no such file\n  check the path");
}

TEST(BadInput, FilesOfOtherKinds) {
  EXPECT_EQ(error_of(read_text_bytes("")),
            "3: model.onnx: holds no graph, so it is no ONNX model\n  name an ONNX file");
  EXPECT_EQ(
      error_of(read_text_bytes("\x89PNG\r\n\x1a\n")),
      "3: model.onnx: is not a readable ONNX file: the bytes end inside a field\n  fetch or export the model again");
  EXPECT_EQ(error_of(read_text_bytes(std::string("\x0b\x0c", 2))),
            "3: model.onnx: is not a readable ONNX file: a field has an unknown wire type\n"
            "  fetch or export the model again");
  EXPECT_EQ(error_of(read_text_bytes("\x38\x01")),
            "3: model.onnx: is not a readable ONNX file: field 7 of ModelProto has the wrong wire type\n"
            "  fetch or export the model again");
}

TEST(BadInput, EveryTruncation) {
  const std::string whole = relu_model().bytes();
  ASSERT_TRUE(read_text_bytes(whole));
  for (size_t length = 0; length < whole.size(); ++length) {
    // The exact heap block of that length: a read past its end is one for the address sanitizer.
    const std::string prefix(whole.data(), length);
    const auto graph = read_text_bytes(prefix);
    ASSERT_FALSE(graph) << "prefix of " << length << " bytes";
    EXPECT_TRUE(graph.error().message().starts_with("model.onnx: ")) << graph.error().message();
  }
}

class Mutator {
 public:
  explicit Mutator(uint32_t seed) : random_(seed) {}

  // One to four edits: a byte or bit changed, bytes removed or inserted, a piece copied elsewhere.
  std::string operator()(std::string bytes) {
    for (size_t edit = 0, edits = 1 + below(4); edit < edits; ++edit) {
      const size_t at = below(bytes.size());
      switch (below(5)) {
        case 0: bytes[at] = static_cast<char>(random_()); break;
        case 1: bytes[at] = static_cast<char>(bytes[at] ^ (1 << below(8))); break;
        case 2: bytes.erase(at, 1 + below(3)); break;
        case 3: bytes.insert(at, 1 + below(3), static_cast<char>(random_())); break;
        default: bytes.insert(at, bytes.substr(below(bytes.size()), below(40)));
      }
      if (bytes.empty()) bytes = "x";
    }
    return bytes;
  }

 private:
  size_t below(size_t n) { return random_() % n; }
  std::mt19937 random_;
};

// True when the bytes are read; either way the graph is sound, or the error is not called a defect of Cupel.
bool survives(const std::string& bytes) {
  const auto graph = read_text_bytes(bytes);
  if (graph) {
    const Status status = verify_graph(*graph);
    EXPECT_TRUE(status) << status.error().message();
  } else {
    EXPECT_NE(graph.error().kind, ErrorKind::internal) << graph.error().message();
  }
  return graph.has_value();
}

TEST(BadInput, RandomMutations) {
  ModelBuilder m(12);
  m.input("x", {"batch", 2, 8}).constant("w", Tensor(DType::f32, {8, 4})).constant<float>("scale", {}, {0.5f});
  m.node("MatMul", {"x", "w"}, {"p"}, {}, "matmul").node("Softmax", {"p"}, {"s"}, {{"axis", int64_t{1}}}, "softmax");
  m.node("QuantizeLinear", {"s", "scale"}, {"q"}, {}, "q").node("DequantizeLinear", {"q", "scale"}, {"d"}, {}, "d");
  m.node("Constant", {}, {"lo"}, {{"value", Tensor::scalar(0.0f)}}, "c").node("Clip", {"d", "lo"}, {"y"}, {}, "clip");
  m.output("y", {"batch", 2, 4});
  const std::string whole = m.bytes();
  ASSERT_TRUE(read_text_bytes(whole)) << error_of(read_text_bytes(whole));
  Mutator mutate(20240607);
  int read = 0;
  for (int round = 0; round < 10000; ++round) read += survives(mutate(whole));
  EXPECT_GT(read, 100);
}

// The same for a model of every operator, so that every shape rule sees hostile attributes and shapes.
TEST(BadInput, RandomMutationsOfEveryOperator) {
  Mutator mutate(7);
  int models = 0;
  for (const OpDef* op : all_ops())
    for (const std::string_view text : op->samples) {
      const auto graph = parse_graph(text);
      ASSERT_TRUE(graph) << graph.error().message();
      const auto bytes = onnx_bytes(*graph);
      if (!bytes) continue;  // integer meanings have no ONNX form
      ++models;
      for (int round = 0; round < 100; ++round) {
        survives(mutate(*bytes));
        ASSERT_FALSE(HasFailure()) << text;
      }
    }
  EXPECT_GT(models, 60);
}

TEST(BadInput, RandomBytes) {
  std::mt19937 random(7);
  for (int round = 0; round < 2000; ++round) {
    std::string bytes(random() % 200, '\0');
    for (char& c : bytes) c = static_cast<char>(random());
    EXPECT_FALSE(read_text_bytes(bytes));
  }
}

TEST(BadInput, Opsets) {
  const auto with = [](int64_t opset) {
    ModelBuilder m(opset);
    m.input("x", {1}).output("x");
    return error_of(m);
  };
  EXPECT_EQ(with(1), "no error");
  EXPECT_EQ(with(28), "no error");
  EXPECT_EQ(with(29), "4: model.onnx: has opset 29; Cupel reads 1 to 28\n  export the model with opset 17");
  EXPECT_EQ(with(0), "3: model.onnx: names no opset of ai.onnx\n  export the model again");
  ModelBuilder two(13);
  two.model([](pbf_writer& w) {
    pbf_writer o(w, onnx_field::model::opset_import);
    o.add_string(onnx_field::opset::domain, "ai.onnx");
    o.add_int64(onnx_field::opset::version, 14);
  });
  EXPECT_EQ(error_of(two), "3: model.onnx: names opsets 13 and 14, expected one\n  export the model again");
}

TEST(BadInput, UnknownOperators) {
  ModelBuilder m;
  m.input("x", {4}).node("Frobnicate", {"x"}, {"y"}, {}, "frob\x1b[31m").output("y");
  EXPECT_EQ(error_of(m),
            "4: model.onnx: node frob\\x1b[31m (Frobnicate): Cupel does not know this operator\n"
            "  export the model with other operators, or ask for this one");
  ModelBuilder unnamed;
  unnamed.input("x", {4}).node("Relu", {"x"}, {"r"}, {}, "").node("Bernoulli", {"r"}, {"y"}, {}, "").output("y");
  EXPECT_EQ(error_of(unnamed),
            "4: model.onnx: node Bernoulli_1 (Bernoulli): Cupel does not know this operator\n"
            "  export the model with other operators, or ask for this one");
  // Operators of the op table that are not ONNX's.
  ModelBuilder own;
  own.input("x", {4}).node("Requantize", {"x"}, {"y"}).output("y");
  EXPECT_EQ(error_of(own),
            "4: model.onnx: node n (Requantize): Cupel does not know this operator\n"
            "  export the model with other operators, or ask for this one");
  ModelBuilder domain;
  domain.input("x", {4}).node("Relu", {"x"}, {"y"}, {}, "n", "ai.custom").output("y");
  EXPECT_EQ(error_of(domain),
            "4: model.onnx: node n (Relu): Cupel does not know this operator of domain ai.custom\n"
            "  export the model with operators of ai.onnx only");
  ModelBuilder early(13);
  early.input("x", {4}).node("HardSwish", {"x"}, {"y"}).output("y");
  EXPECT_EQ(error_of(early),
            "3: model.onnx: node n (HardSwish): opset 13 has no such operator; it came with opset 14\n"
            "  export the model with a newer opset");
}

TEST(BadInput, Subgraphs) {
  ModelBuilder m;
  m.input("x", {4}).output("y");
  m.node("Relu", {"x"}, {"y"}, {}, "n", "", [](pbf_writer& n) {
    pbf_writer a(n, onnx_field::node::attribute);
    a.add_string(onnx_field::attribute::name, "body");
    a.add_message(onnx_field::attribute::g, std::string());
    a.add_enum(onnx_field::attribute::type, 5);
  });
  EXPECT_EQ(error_of(m),
            "4: model.onnx: node n (Relu): attribute body holds a subgraph\n"
            "  export the model without control flow, sequences and functions");
}

TEST(BadInput, FunctionsAndTraining) {
  const auto with = [](uint32_t tag) {
    ModelBuilder m;
    m.input("x", {4}).output("x").model([&](pbf_writer& w) { w.add_message(tag, std::string()); });
    return error_of(m);
  };
  EXPECT_EQ(with(onnx_field::model::functions),
            "4: model.onnx: holds functions of its own\n  inline the functions when exporting the model");
  EXPECT_EQ(with(onnx_field::model::training), "4: model.onnx: holds training steps\n  export the model for inference");
  ModelBuilder sparse;
  sparse.input("x", {4}).output("x").graph(
      [](pbf_writer& g) { g.add_message(onnx_field::graph::sparse_initializer, std::string()); });
  EXPECT_EQ(error_of(sparse), "4: model.onnx: holds sparse initializers\n  export the model with dense constants");
}

TEST(BadInput, Cycle) {
  ModelBuilder m;
  m.input("x", {4}).node("Relu", {"x"}, {"r"}, {}, "before");
  m.node("Add", {"r", "c"}, {"a"}, {}, "first").node("Relu", {"a"}, {"b"}, {}, "second");
  m.node("Relu", {"b"}, {"c"}, {}, "third").output("c");
  EXPECT_EQ(error_of(m), "3: model.onnx: graph: nodes form a cycle: first, third, second\n  export the model again");
  ModelBuilder self;
  self.input("x", {4}).node("Add", {"x", "y"}, {"y"}).output("y");
  EXPECT_EQ(error_of(self), "3: model.onnx: graph: nodes form a cycle: n\n  export the model again");
  ModelBuilder long_cycle;
  long_cycle.input("x", {4});
  for (int i = 0; i < 100000; ++i)
    long_cycle.node("Relu", {"v" + std::to_string(i)}, {"v" + std::to_string((i + 1) % 100000)}, {},
                    "n" + std::to_string(i));
  long_cycle.output("v0");
  EXPECT_EQ(error_of(long_cycle),
            "3: model.onnx: graph: nodes form a cycle: n0, n99999, n99998, n99997, n99996, n99995, n99994, n99993, …\n"
            "  export the model again");
}

TEST(BadInput, Values) {
  ModelBuilder undefined;
  undefined.input("x", {4}).node("Add", {"x", "nowhere"}, {"y"}, {}, "sum").output("y");
  EXPECT_EQ(error_of(undefined),
            "3: model.onnx: node sum (Add): reads value nowhere, which nothing defines\n  export the model again");
  ModelBuilder twice;
  twice.input("x", {4}).node("Relu", {"x"}, {"y"}, {}, "a").node("Abs", {"x"}, {"y"}, {}, "b").output("y");
  EXPECT_EQ(error_of(twice),
            "3: model.onnx: value y: is defined twice, by node a (Relu) and by node b (Abs)\n  export the model again");
  ModelBuilder input_again;
  input_again.input("x", {4}).input("x", {4}).output("x");
  EXPECT_EQ(error_of(input_again),
            "3: model.onnx: value x: is defined twice, by an input and by an input\n  export the model again");
  ModelBuilder over_input;
  over_input.input("x", {4}).node("Relu", {"x"}, {"x"}).output("x");
  EXPECT_EQ(error_of(over_input),
            "3: model.onnx: value x: is defined twice, by an input and by node n (Relu)\n  export the model again");
  ModelBuilder constants;
  constants.constant<float>("w", {1}, {1}).constant<float>("w", {1}, {1}).output("w");
  EXPECT_EQ(
      error_of(constants),
      "3: model.onnx: value w: is defined twice, by an initializer and by an initializer\n  export the model again");
  ModelBuilder no_output;
  no_output.input("x", {4});
  EXPECT_EQ(error_of(no_output), "3: model.onnx: graph: has no outputs\n  export the model again");
  ModelBuilder missing_output;
  missing_output.input("x", {4}).output("y");
  EXPECT_EQ(error_of(missing_output), "3: model.onnx: output y: nothing defines it\n  export the model again");
}

TEST(BadInput, Inputs) {
  const auto with = [](const BuiltShape& shape, int32_t type = 1) {
    ModelBuilder m;
    m.input("x", shape, type).output("x");
    return error_of(m);
  };
  EXPECT_EQ(with({-2, 4}), "3: model.onnx: input x: dimension 0 is -2\n  export the model again");
  EXPECT_EQ(with({1, 1, 1, 1, 1, 1, 1, 1, 1}),
            "4: model.onnx: input x: has more than 8 dimensions\n  reshape it to fewer dimensions");
  EXPECT_EQ(with({int64_t{1} << 40, int64_t{1} << 40}),
            "6: model.onnx: input x: shape arithmetic: 1099511627776 * 1099511627776 exceeds 64 bits\n"
            "  use a model with smaller tensors");
  EXPECT_EQ(with({int64_t{1} << 20, int64_t{1} << 20}),
            "6: model.onnx: input x: shape [1048576,1048576]: 1099511627776 elements exceed the limit of 17179869184\n"
            "  use a model with smaller tensors");
  EXPECT_EQ(with({4}, 8), "4: model.onnx: input x: has element type string\n  export the model with numeric inputs");
  EXPECT_EQ(with({4}, 77),
            "4: model.onnx: input x: has element type number 77\n  export the model with numeric inputs");
  ModelBuilder shapeless;
  shapeless.output("x").graph([](pbf_writer& g) {
    pbf_writer v(g, onnx_field::graph::input);
    v.add_string(onnx_field::value::name, "x");
    pbf_writer t(v, onnx_field::value::type);
    pbf_writer tensor(t, onnx_field::type::tensor);
    tensor.add_enum(onnx_field::tensor_type::elem_type, 1);
  });
  EXPECT_EQ(error_of(shapeless),
            "4: model.onnx: input x: has no shape\n  export the model with the shapes of its inputs");
  ModelBuilder sequence;
  sequence.output("x").graph([](pbf_writer& g) {
    pbf_writer v(g, onnx_field::graph::input);
    v.add_string(onnx_field::value::name, "x");
    pbf_writer t(v, onnx_field::value::type);
    t.add_message(onnx_field::type::sequence, std::string());
  });
  EXPECT_EQ(
      error_of(sequence),
      "4: model.onnx: input x: is a sequence, expected a tensor\n  export the model with plain tensors as inputs");
}

TEST(BadInput, TypesAndShapes) {
  ModelBuilder shapes;
  shapes.input("x", {"batch", 4}).constant<float>("w", {3}, {1, 2, 3}).node("Add", {"x", "w"}, {"y"}, {}, "sum");
  shapes.output("y");
  const std::string mismatch = error_of(shapes);
  EXPECT_TRUE(mismatch.starts_with("3: model.onnx: node sum (Add): ")) << mismatch;
  EXPECT_NE(mismatch.find("[batch,4]"), std::string::npos) << mismatch;
  EXPECT_NE(mismatch.find("[3]"), std::string::npos) << mismatch;
  ModelBuilder type;
  type.input("x", {2}).node("Relu", {"x"}, {"y"}).output("y", {2}, 7);
  EXPECT_EQ(error_of(type), "3: model.onnx: output y: is declared as int64, but is float\n  export the model again");
  ModelBuilder shape;
  shape.input("x", {"batch", 2}).node("Relu", {"x"}, {"y"}).output("y", {"batch", 3});
  EXPECT_EQ(error_of(shape), "no error");
  ModelBuilder rank;
  rank.input("x", {"batch", 2}).node("Relu", {"x"}, {"y"}).output("y", {2});
  EXPECT_EQ(error_of(rank), "no error");
}

TEST(BadInput, Attributes) {
  const auto with = [](const Attributes& attributes, const ModelBuilder::Write& more = {}) {
    ModelBuilder m;
    m.input("x", {2}).node("LeakyRelu", {"x"}, {"y"}, attributes, "n", "", more).output("y");
    return error_of(m);
  };
  EXPECT_EQ(with({{"alpha", 0.5f}}), "no error");
  EXPECT_EQ(with({{"beta", 0.5f}}),
            "4: model.onnx: node n (LeakyRelu): attribute beta is not known for LeakyRelu\n"
            "  remove the attribute or export the model differently");
  EXPECT_EQ(with({{"alpha", int64_t{1}}}),
            "3: model.onnx: node n (LeakyRelu): attribute alpha has the wrong kind of value\n  export the model again");
  EXPECT_EQ(
      with({{"alpha", std::numeric_limits<float>::quiet_NaN()}}),
      "4: model.onnx: node n (LeakyRelu): attribute alpha holds NaN\n  export the model with numbers in attributes");
  EXPECT_EQ(with({{"alpha", 0.5f}}, [](pbf_writer& n) { ModelBuilder::attribute(n, "alpha", 1.0f); }),
            "3: model.onnx: node n (LeakyRelu): attribute alpha is given twice\n  export the model again");
  EXPECT_EQ(
      with({},
           [](pbf_writer& n) {
             pbf_writer a(n, onnx_field::node::attribute);
             a.add_string(onnx_field::attribute::name, "alpha");
           }),
      "3: model.onnx: node n (LeakyRelu): attribute alpha has no value that Cupel reads\n  export the model again");
}

TEST(BadInput, Initializers) {
  const auto with = [](int32_t type, const Dims& dims, const ModelBuilder::Write& write) {
    ModelBuilder m;
    m.initializer("w", type, dims, write).output("w");
    return error_of(m);
  };
  const auto raw = [](size_t bytes) {
    return [=](pbf_writer& t) { t.add_bytes(onnx_field::tensor::raw_data, std::string(bytes, '\0')); };
  };
  EXPECT_EQ(with(1, {2, 2}, raw(16)), "no error");
  EXPECT_EQ(with(1, {2, 2}, raw(15)),
            "3: model.onnx: initializer w: raw data has 15 bytes, expected 16 for f32[2,2]\n  export the model again");
  EXPECT_EQ(with(1, {2, 2}, {}),
            "3: model.onnx: initializer w: holds 0 values, expected 4 for f32[2,2]\n  export the model again");
  EXPECT_EQ(with(22, {3}, raw(1)),
            "3: model.onnx: initializer w: raw data has 1 bytes, expected 2 for s4[3]\n  export the model again");
  EXPECT_EQ(with(1, {-2, 2}, raw(16)),
            "3: model.onnx: initializer w: shape [-2,2]: a dimension is negative\n  correct the model's shapes");
  EXPECT_EQ(with(1, {int64_t{1} << 62, 4}, raw(16)),
            "6: model.onnx: initializer w: shape arithmetic: 4611686018427387904 * 4 exceeds 64 bits\n"
            "  use a model with smaller tensors");
  EXPECT_EQ(with(1, {int64_t{1} << 33}, raw(16)),
            "3: model.onnx: initializer w: raw data has 16 bytes, expected 34359738368 for f32[8589934592]\n"
            "  export the model again");
  EXPECT_EQ(with(1, {1, 1, 1, 1, 1, 1, 1, 1, 1}, raw(4)),
            "4: model.onnx: initializer w: shape [1,1,1,1,1,1,1,1,1]: rank 9 exceeds 8\n"
            "  reshape the tensor to fewer dimensions");
  EXPECT_EQ(with(8, {1}, {}),
            "4: model.onnx: initializer w: has element type string\n  export the model with numeric tensors");
  EXPECT_EQ(
      with(1, {1}, [](pbf_writer& t) { t.add_message(onnx_field::tensor::segment, std::string()); }),
      "4: model.onnx: initializer w: is stored in segments\n  export the model with whole tensors or external data");
  const std::vector<int32_t> codes = {1, 256};
  EXPECT_EQ(
      with(2, {2},
           [&](pbf_writer& t) { t.add_packed_int32(onnx_field::tensor::int32_data, codes.begin(), codes.end()); }),
      "3: model.onnx: initializer w: value 1 is 256, outside u8\n  export the model again");
  EXPECT_EQ(with(1, {2}, [](pbf_writer& t) { t.add_int64(onnx_field::tensor::float_data, 3); }),
            "3: model.onnx: initializer w: is malformed: field 4 of TensorProto has the wrong wire type\n  export the "
            "model again");
  ModelBuilder unnamed;
  unnamed.initializer("", 1, {1}, raw(4)).output("w");
  EXPECT_EQ(error_of(unnamed), "3: model.onnx: initializer 0: has no name\n  export the model again");
}

TEST(BadInput, NaNIsANumberButNoScale) {
  const float nan = std::numeric_limits<float>::quiet_NaN(), infinity = std::numeric_limits<float>::infinity();
  ModelBuilder m;
  m.constant<float>("w", {2, 2}, {-infinity, infinity, nan, nan}).output("w");
  EXPECT_EQ(error_of(m), "no error");
  ModelBuilder half;
  half.constant("w", Tensor::of<uint16_t>({2}, {0x3c00, 0x7e00}).bit_cast_to(DType::f16)).output("w");
  EXPECT_EQ(error_of(half), "no error");
  ModelBuilder node;
  node.node("Constant", {}, {"c"}, {{"value", Tensor::scalar(nan)}}, "c").output("c");
  EXPECT_EQ(error_of(node), "no error");
  ModelBuilder scale;
  scale.input("x", {2}).constant("s", Tensor::scalar(nan)).constant("z", Tensor::scalar(uint8_t{0}));
  scale.node("QuantizeLinear", {"x", "s", "z"}, {"q"}, {}, "q").output("q");
  EXPECT_EQ(
      error_of(scale),
      "3: model.onnx: node q (QuantizeLinear): scale 0 is nan, expected a finite normal number above 0\n  quantize "
      "the model again");
}

TEST(BadInput, ASplitNamesAllItsResults) {
  ModelBuilder m;
  m.input("x", {2, 7}).constant<int64_t>("sizes", {3}, {2, 4, 1});
  m.node("Split", {"x", "sizes"}, {"b", "c"}, {{"axis", int64_t{1}}}).output("b").output("c");
  EXPECT_EQ(error_of(m),
            "3: model.onnx: node n (Split): 2 results are named, the node has 3\n  export the model again");
}

TEST(BadInput, TooManyParts) {
  // Two bytes of file for each empty node: the cap holds before memory runs out.
  std::string nodes;
  for (int i = 0; i < 5'000'000; ++i) nodes += std::string("\x0a\x00", 2);
  std::string bytes;
  {
    pbf_writer m(bytes);
    m.add_message(onnx_field::model::graph, nodes);
  }
  EXPECT_EQ(error_of(read_text_bytes(bytes)),
            "6: model.onnx: more than 4194304 nodes, names and list elements\n  use a smaller model");
}

}  // namespace
}  // namespace cupel
