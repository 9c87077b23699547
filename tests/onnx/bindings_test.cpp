// Sizes, shapes and values that a caller gives beside the file.
#include "onnx/bindings.h"

#include "model_builder.h"

namespace cupel {
namespace {

Result<Graph> bound(const ModelBuilder& m, const Bindings& bindings) {
  const std::string bytes = m.bytes();
  return read_onnx_bytes(std::as_bytes(std::span(bytes.data(), bytes.size())), ".", "model.onnx", bindings);
}
std::string text_of(const ModelBuilder& m, const Bindings& bindings) {
  const auto graph = bound(m, bindings);
  return graph ? print_graph(*graph) : graph.error().message();
}
std::string input_lines(const ModelBuilder& m, const Bindings& bindings = {}) {
  const std::string text = text_of(m, bindings);
  if (text.rfind("graph", 0) != 0) return text;
  std::string lines;
  for (size_t at = 0; (at = text.find("  input ", at)) != std::string::npos; at = text.find('\n', at))
    lines += text.substr(at + 8, text.find('\n', at) - at - 7);
  return lines;
}

ModelBuilder two_inputs() {
  ModelBuilder m;
  m.input("x", {"n", 3, "height", "width"}).input("z", {"n", 1, "height", "2*width"});
  return m.output("x").output("z");
}

TEST(Bindings, UnnamedSizes) {
  ModelBuilder m;
  m.input("x", {"?", "", 3}).input("z", {-1, "-1"}).output("x").output("z");
  EXPECT_EQ(input_lines(m), "%x : f32[batch,dim_x_1,3]\n%z : f32[batch,dim_z_1]\n");
}

TEST(Bindings, SizesHoldInEveryInput) {
  EXPECT_EQ(input_lines(two_inputs(), {.dims = {{"height", 5}}}), "%x : f32[n,3,5,width]\n%z : f32[n,1,5,2*width]\n");
  EXPECT_EQ(input_lines(two_inputs(), {.dims = {{"n", 2}}, .shapes = {{"z", {std::nullopt, std::nullopt, 4, 6}}}}),
            "%x : f32[2,3,4,3]\n%z : f32[2,1,4,6]\n");
}

TEST(Bindings, UnnamedLeadsMayDiffer) {
  ModelBuilder m;
  m.input("x", {"", 3}).input("z", {"", 3}).output("x").output("z");
  EXPECT_EQ(input_lines(m, {.shapes = {{"x", {2, std::nullopt}}}}), "%x : f32[2,3]\n%z : f32[2,3]\n");
  EXPECT_EQ(input_lines(m, {.shapes = {{"x", {2, std::nullopt}}, {"z", {5, std::nullopt}}}}),
            "%x : f32[2,3]\n%z : f32[5,3]\n");
}

TEST(Bindings, ContradictionsAreUsageErrors) {
  const auto failure = [](const Bindings& bindings) { return input_lines(two_inputs(), bindings); };
  EXPECT_EQ(failure({.dims = {{"depth", 5}}}),
            "model.onnx: --dim: no input has a symbolic dimension depth\n  inputs: x [n,3,height,width], z "
            "[n,1,height,2*width]");
  EXPECT_EQ(failure({.shapes = {{"y", {1}}}}),
            "model.onnx: input y: the model has no input of that name\n  inputs: x [n,3,height,width], z "
            "[n,1,height,2*width]");
  EXPECT_EQ(failure({.shapes = {{"x", {1, 3}}}}),
            "model.onnx: input x: the shape [1,3] has 2 dimensions, expected 4\n  give a shape that fits "
            "[n,3,height,width]");
  EXPECT_EQ(failure({.shapes = {{"x", {1, 4, 5, 5}}}}),
            "model.onnx: input x: the shape [1,4,5,5] is 4 at dimension 1, expected 3\n  give a shape that fits "
            "[n,3,height,width]");
  EXPECT_EQ(failure({.shapes = {{"z", {1, 1, 5, 7}}}}),
            "model.onnx: input z: the shape [1,1,5,7] is 7 at dimension 3, expected 2*width\n  give a shape that fits "
            "[n,1,height,2*width]");
  EXPECT_EQ(failure({.dims = {{"height", 4}}, .shapes = {{"x", {std::nullopt, std::nullopt, 5, std::nullopt}}}}),
            "model.onnx: input x: the shape [?,?,5,?] makes dimension height 5, which is 4 elsewhere\n  give a shape "
            "that fits [n,3,height,width]");
  EXPECT_EQ(bound(two_inputs(), {.dims = {{"depth", 5}}}).error().kind, ErrorKind::usage);
  EXPECT_EQ(bound(two_inputs(), {.dims = {{"height", int64_t{1} << 40}}}).error().kind, ErrorKind::resource);
}

// A shape that comes as an input says what a Reshape does.
ModelBuilder reshaped() {
  ModelBuilder m;
  m.input("x", {2, 6}).input("shape", {2}, 7).node("Reshape", {"x", "shape"}, {"y"});
  return m.output("y");
}

TEST(Bindings, ValuesAreConstants) {
  const char* const expected = R"(graph "main" stage imported opset 17 {
  input %x : f32[2,6]
  constant %shape : s64[2] = [3, 4]
  %y = Reshape(%x, %shape) : f32[3,4] @"n"
  output %y
}
)";
  EXPECT_EQ(text_of(reshaped(), {.numbers = {{"shape", {3, 4}}}}), expected);
  EXPECT_EQ(text_of(reshaped(), {.values = {{"shape", Tensor::of<int64_t>({2}, {3, 4})}}}), expected);
}

TEST(Bindings, ValuesOfOtherTypes) {
  EXPECT_EQ(text_of(reshaped(), {.values = {{"shape", Tensor::of<float>({2}, {3, 4})}}}),
            "model.onnx: input shape: found f32[2], expected s64[2]\n  give a value of the input's type and shape");
  EXPECT_EQ(text_of(reshaped(), {.numbers = {{"shape", {3.5, 4}}}}),
            "model.onnx: input shape: 3.5 is none of its numbers\n  give numbers that fit s64[2]");
  EXPECT_EQ(text_of(reshaped(), {.numbers = {{"shape", {0x1p63, 4}}}}),
            "model.onnx: input shape: 9.223372036854776e+18 is none of its numbers\n  give numbers that fit s64[2]");
  EXPECT_EQ(text_of(reshaped(), {.numbers = {{"shape", {3, 4, 1}}}}),
            "model.onnx: input shape: the shape [3] is 3 at dimension 0, expected 2\n  give a shape that fits [2]");
}

}  // namespace
}  // namespace cupel
