// Every error of the graph parser with its whole message; prefixes and mutations never crash.
#include <gtest/gtest.h>

#include <random>

#include "ir/random_graph.h"
#include "ir/text.h"
#include "ir/verifier.h"

namespace cupel {
namespace {

std::string message_of(std::string_view text) {
  const auto graph = parse_graph(text, {}, "t");
  if (graph) return "no error";
  EXPECT_EQ(graph.error().kind, ErrorKind::bad_input);
  EXPECT_EQ(graph.error().remedy, "correct the graph text");
  return graph.error().place + ": " + graph.error().cause;
}

// The error of one statement, whose first column is 1 of line 2.
std::string in_graph(const std::string& statement) {
  return message_of("graph \"g\" stage imported opset 17 {\n" + statement + "\n}");
}

TEST(ParseErrors, OfTheFrame) {
  EXPECT_EQ(message_of(""), "t:1:1: expected 'graph'");
  EXPECT_EQ(message_of("graphs"), "t:1:1: expected 'graph'");
  EXPECT_EQ(message_of("graph g"), "t:1:7: expected '\"'");
  EXPECT_EQ(message_of("graph \"g"), "t:1:9: a string is not closed");
  EXPECT_EQ(message_of("graph \"\\x4"), "t:1:9: expected two hexadecimal digits after \\x");
  EXPECT_EQ(message_of("graph \"\\x-1\" stage"), "t:1:9: expected two hexadecimal digits after \\x");
  EXPECT_EQ(message_of("graph \"g\" opset"), "t:1:11: expected 'stage'");
  EXPECT_EQ(message_of("graph \"g\" stage ."), "t:1:17: expected a stage");
  EXPECT_EQ(message_of("graph \"g\" stage ready"), "t:1:22: unknown stage ready");
  EXPECT_EQ(message_of("graph \"g\" stage imported {"), "t:1:26: expected 'opset'");
  EXPECT_EQ(message_of("graph \"g\" stage imported opset x"), "t:1:32: expected an integer");
  EXPECT_EQ(message_of("graph \"g\" stage imported opset 17"), "t:1:34: expected '{'");
  EXPECT_EQ(message_of("graph \"g\" stage imported opset 99999999999999999999 {}"), "t:1:32: expected an integer");
  EXPECT_EQ(message_of("graph \"g\" stage imported opset 4294967313 {}"), "t:1:42: the opset is out of range");
  EXPECT_EQ(message_of("graph \"g\" stage imported opset 17 {\n"), "t:2:1: the text ends inside the graph");
  EXPECT_EQ(message_of("graph \"g\" stage imported opset 17 {}\n%"), "t:2:1: text after the graph");
}

TEST(ParseErrors, OfNamesAndTypes) {
  EXPECT_EQ(in_graph("input x"), "t:2:7: expected '%'");
  EXPECT_EQ(in_graph("input %"), "t:3:1: expected a value name");
  EXPECT_EQ(in_graph("input %x f32"), "t:2:10: expected ':'");
  EXPECT_EQ(in_graph("input %x : "), "t:3:1: expected a type");
  EXPECT_EQ(in_graph("input %x : f33[1]"), "t:2:15: unknown type f33");
  EXPECT_EQ(in_graph("input %x : f32"), "t:3:1: expected '['");
  EXPECT_EQ(in_graph("input %x : f32[1"), "t:3:1: expected ','");
  EXPECT_EQ(in_graph("input %x : f32[1,]"), "t:2:18: expected a dimension");
  EXPECT_EQ(in_graph("input %x : f32[-1]"), "t:2:18: a dimension is negative");
  EXPECT_EQ(in_graph("input %x : f32[1,1,1,1,1,1,1,1,1]"), "t:2:34: rank 9 exceeds 8");
  EXPECT_EQ(in_graph("input %x : f32[99999999999999]"),
            "t:2:31: shape [99999999999999]: 99999999999999 elements exceed the limit of 17179869184");
  EXPECT_EQ(in_graph("input %x : f32[9223372036854775807,3]"),
            "t:2:38: shape arithmetic: 9223372036854775807 * 3 exceeds 64 bits");
  EXPECT_EQ(in_graph("input %x : f32[1]\ninput %x : f32[1]"), "t:3:9: %x is defined twice");
  EXPECT_EQ(in_graph("input %\"a\\x0ab\" : f32[1]\ninput %\"a\\x0ab\" : f32[1]"), "t:3:16: %a\\x0ab is defined twice");
}

TEST(ParseErrors, OfQuantization) {
  EXPECT_EQ(in_graph("input %x : u8[2] quant"), "t:3:1: expected '('");
  EXPECT_EQ(in_graph("input %x : u8[2] quant(axis=1, scale=[1], zero_point=[0])"),
            "t:2:30: the quantization axis is outside the shape");
  EXPECT_EQ(in_graph("input %x : u8[2] quant(zero_point=[0])"), "t:2:24: expected 'scale='");
  EXPECT_EQ(in_graph("input %x : u8[2] quant(scale=[1, 2], zero_point=[0])"), "t:2:36: 2 elements for f32[1]");
  EXPECT_EQ(in_graph("input %x : u8[2] quant(scale=[1])"), "t:2:33: expected ','");
  EXPECT_EQ(in_graph("input %x : u8[2] quant(scale=[1], scale=[1])"), "t:2:35: expected 'zero_point='");
  EXPECT_EQ(in_graph("input %x : u8[2] quant(scale=[1], zero_point=[256])"), "t:2:52: zero point 0 is 256, outside u8");
  EXPECT_EQ(in_graph("input %x : u8[2] quant(scale=[0], zero_point=[0])"),
            "t:2:50: scale 0 is 0, expected a finite normal number above 0");
  EXPECT_EQ(in_graph("input %x : u8[2] quant(scale=[1e-40], zero_point=[0])"),
            "t:2:54: scale 0 is 1e-40, expected a finite normal number above 0");
  EXPECT_EQ(in_graph("input %x : u8[2] quant(scale=[nan], zero_point=[0])"),
            "t:2:52: scale 0 is nan, expected a finite normal number above 0");
  EXPECT_EQ(in_graph("input %x : f32[2] quant(scale=[1], zero_point=[0])"), "t:2:51: f32 cannot hold quantized codes");
  EXPECT_EQ(in_graph("input %x : s32[2] quant(scale=[1], zero_point=[1])"),
            "t:2:51: zero point 0 is 1, expected 0 for s32");
  EXPECT_EQ(in_graph("input %x : u8[batch] quant(axis=0, scale=[1], zero_point=[0])"),
            "t:2:62: 1 scales for axis 0 of shape [batch], expected batch");
}

TEST(ParseErrors, OfConstants) {
  EXPECT_EQ(in_graph("constant %x : f32[batch] = []"), "t:2:26: a constant has a symbolic dimension");
  EXPECT_EQ(in_graph("constant %x : f32[1] [1]"), "t:2:22: expected '='");
  EXPECT_EQ(in_graph("constant %x : f32[1] = 1"), "t:2:24: expected '['");
  EXPECT_EQ(in_graph("constant %x : f32[2] = [1]"), "t:2:27: 1 elements for f32[2]");
  EXPECT_EQ(in_graph("constant %x : f32[17179869184] = []"), "t:2:36: 0 elements for f32[17179869184]");
  EXPECT_EQ(in_graph("constant %x : f32[1] = [x]"), "t:2:25: expected a number");
  EXPECT_EQ(in_graph("constant %x : f32[1] = [--1]"), "t:2:26: expected a number");
  EXPECT_EQ(in_graph("constant %x : f32[1] = [0x]"), "t:2:27: expected a number");
  EXPECT_EQ(in_graph("constant %x : f32[1] = [1e39]"), "t:2:29: the number is outside f32");
  EXPECT_EQ(in_graph("constant %x : f32[1] = [nan(0x1)]"), "t:2:33: the bits are not those of a NaN");
  EXPECT_EQ(in_graph("constant %x : f16[1] = [nan(0x10000)]"), "t:2:37: the bits of a NaN do not fit f16");
  EXPECT_EQ(in_graph("constant %x : f32[1] = [nan(0x)]"), "t:2:31: expected the bits of a NaN");
  EXPECT_EQ(in_graph("constant %x : f8e4m3[1] = [0.3]"), "t:2:31: the number is not one of f8e4m3");
  EXPECT_EQ(in_graph("constant %x : u8[1] = [256]"), "t:2:27: 256 is outside u8");
  EXPECT_EQ(in_graph("constant %x : s4[1] = [-9]"), "t:2:26: -9 is outside s4");
  EXPECT_EQ(in_graph("constant %x : bool[1] = [2]"), "t:2:27: 2 is outside bool");
  EXPECT_EQ(in_graph("constant %x : u8[1] = [1.5]"), "t:2:25: expected ','");
  EXPECT_EQ(in_graph("constant %x : u64[1] = [-1]"), "t:2:25: expected an integer");
  EXPECT_EQ(in_graph("constant %x : f32[1] = #"), "t:3:1: expected a content hash");
  EXPECT_EQ(in_graph("constant %x : f32[1] = #ab"), "t:2:27: constant #ab is not in the side file");
}

TEST(ParseErrors, OfNodesAndOutputs) {
  const std::string x = "input %x : f32[batch,2]\n";
  const auto after_x = [&](const std::string& statement) { return in_graph(x + statement); };
  EXPECT_EQ(after_x("output _"), "t:3:9: an output cannot be absent");
  EXPECT_EQ(after_x("output %y"), "t:3:10: %y is not defined before its use");
  EXPECT_EQ(after_x("%y Relu(%x)"), "t:3:4: expected '='");
  EXPECT_EQ(after_x("%y = (%x)"), "t:3:6: expected an operator");
  EXPECT_EQ(after_x("%y = Rely(%x)"), "t:3:10: unknown operator Rely");
  EXPECT_EQ(after_x("%y = Relu %x"), "t:3:11: expected '('");
  EXPECT_EQ(after_x("%y = Relu(x)"), "t:3:11: expected '%'");
  EXPECT_EQ(after_x("%y = Relu(%y)"), "t:3:13: %y is not defined before its use");
  EXPECT_EQ(after_x("%y = Add(%x %x)"), "t:3:13: expected ','");
  EXPECT_EQ(after_x("%x = Relu(%x)"), "t:3:3: %x is defined twice");
  EXPECT_EQ(after_x("%y, %y = Split(%x) {num_outputs=2}"), "t:3:7: %y is defined twice");
  EXPECT_EQ(after_x("%y = LeakyRelu(%x) {0.5}"), "t:3:22: expected '='");
  EXPECT_EQ(after_x("%y = LeakyRelu(%x) {alpha=}"), "t:3:27: expected a number");
  EXPECT_EQ(after_x("%y = LeakyRelu(%x) {alpha=1e99}"), "t:3:31: the number is outside f32");
  EXPECT_EQ(after_x("%y = LeakyRelu(%x) {alpha=[1, 2.0]}"), "t:3:35: a list mixes integers and reals");
  EXPECT_EQ(after_x("%y = LeakyRelu(%x) {alpha=[1 2]}"), "t:3:30: expected ','");
  EXPECT_EQ(after_x("%y = LeakyRelu(%x) {alpha=ints #ab}"), "t:3:35: constant #ab of s64 is not in the side file");
  EXPECT_EQ(after_x("%y = LeakyRelu(%x) {alpha=reals #ab}"), "t:3:36: constant #ab of f32 is not in the side file");
  EXPECT_EQ(after_x("%y = Constant() {value=tensor f32[b] [1]}"),
            "t:3:37: a tensor attribute has a symbolic dimension");
  EXPECT_EQ(after_x("%y = LeakyRelu(%x) {alpha=1}"),
            "t:4:1: node y (LeakyRelu): attribute alpha has the wrong kind of value");
  EXPECT_EQ(after_x("%y = LeakyRelu(%x) {beta=1}"),
            "t:4:1: node y (LeakyRelu): attribute beta is not known for LeakyRelu");
  EXPECT_EQ(after_x("%y = Cast(%x)"), "t:4:1: node y (Cast): attribute to is missing");
  EXPECT_EQ(after_x("%y = Add(%x)"), "t:4:1: node y (Add): 1 operands, expected 2");
  EXPECT_EQ(after_x("%y = Add(_, %x)"), "t:4:1: node y (Add): operand 0 is missing");
  EXPECT_EQ(after_x("%y = Clip(%x, %x, %x, %x)"), "t:4:1: node y (Clip): 4 operands, expected 1 to 3");
  EXPECT_EQ(after_x("%y = Concat() {axis=0}"), "t:4:1: node y (Concat): 0 operands, expected at least 1");
  EXPECT_EQ(after_x("%y, %z = Relu(%x)"), "t:4:1: node y (Relu): 2 results, expected 1");
  EXPECT_EQ(after_x("%y = MatMul(%x, %x) @\"a\\x1bb\""),
            "t:4:1: node a\\x1bb (MatMul): shapes [batch,2] and [batch,2] do not multiply");
  EXPECT_EQ(after_x("%y = Relu(%x) : f32[2], f32[2]"), "t:4:1: 2 types for 1 results");
  EXPECT_EQ(after_x("%y = Relu(%x) : f32[2]"), "t:4:1: %y is declared f32[2], but is f32[batch,2]");
  EXPECT_EQ(after_x("%y = Relu(%x) @y"), "t:3:16: expected '\"'");
  EXPECT_EQ(after_x("%y = Relu(%x) origin=[]"), "t:3:23: expected '\"'");
  EXPECT_EQ(after_x("%y = Relu(%x) origin=[\"a\""), "t:4:1: expected ']'");
  EXPECT_EQ(after_x("+"), "t:3:1: expected '%'");
}

std::vector<std::string> corpus() {
  std::vector<std::string> texts;
  for (const OpDef* op : all_ops())
    for (std::string_view sample : op->samples)
      if (const auto graph = parse_graph(sample)) texts.push_back(print_graph(*graph));
  for (uint64_t seed = 0; seed < 100; ++seed) texts.push_back(print_graph(testing_graphs::RandomGraph(seed).make()));
  return texts;
}

TEST(HostileText, EveryPrefixIsAnError) {
  const auto texts = corpus();
  for (size_t i = 0; i < texts.size(); i += 7) {
    const std::string_view text = texts[i];
    const size_t end = text.rfind('}');
    for (size_t size = 0; size <= end; ++size) {
      const auto graph = parse_graph(text.substr(0, size));
      ASSERT_FALSE(graph) << text.substr(0, size);
      ASSERT_EQ(graph.error().kind, ErrorKind::bad_input);
    }
  }
}

TEST(HostileText, TwentyThousandMutationsNeverCrash) {
  const auto texts = corpus();
  std::mt19937_64 random(1);
  const auto below = [&](size_t bound) { return static_cast<size_t>(random() % bound); };
  const std::vector<std::string> pieces = {"-1",     "9223372036854775807",
                                           "0",      "[",
                                           "]",      "{",
                                           "}",      "\"",
                                           "%",      "batch",
                                           "nan",    "1e308",
                                           "quant(", "#",
                                           "_",      ",",
                                           "axis=",  "\\x",
                                           "//",     "9223372036854775807*batch"};
  int parsed = 0;
  for (int round = 0; round < 20000; ++round) {
    std::string text = texts[below(texts.size())];
    for (size_t changes = 1 + below(3); changes > 0 && !text.empty(); --changes) {
      const size_t at = below(text.size());
      switch (below(5)) {
        case 0: text[at] = static_cast<char>(random()); break;
        case 1: text.erase(at, 1 + below(8)); break;
        case 2: text.insert(at, pieces[below(pieces.size())]); break;
        case 3: text.replace(at, 1, pieces[below(pieces.size())]); break;
        default: {
          const std::string& other = texts[below(texts.size())];
          text.insert(at, other, below(other.size()), 1 + below(30));
        }
      }
    }
    const auto graph = parse_graph(text);
    if (!graph) continue;
    ++parsed;
    // What parses can be printed, parsed again and verified without a crash.
    ConstantStore store;
    const auto back = parse_graph(print_graph(*graph, &store), store);
    ASSERT_TRUE(back) << text << "\n" << back.error().message();
    ASSERT_TRUE(*back == *graph) << text << "\n" << print_graph(*graph);
    (void)verify_graph(*graph);
  }
  EXPECT_GT(parsed, 500);
}

TEST(HostileText, DeepAndLongTextsAreRead) {
  EXPECT_EQ(message_of("graph \"g\" stage imported opset 17 {" + std::string(1 << 20, '[')), "t:1:36: expected '%'");
  std::string text = "graph \"g\" stage imported opset 17 {\ninput %v0 : f32[1]\n";
  for (int i = 0; i < 20000; ++i) text += "%v" + std::to_string(i + 1) + " = Relu(%v" + std::to_string(i) + ")\n";
  EXPECT_EQ(parse_graph(text + "output %v20000\n}")->nodes().size(), 20000u);
}

}  // namespace
}  // namespace cupel
