// ConvTranspose beside its definition, which scatters: every input adds its product with every tap to one output.
#include <random>

#include "spelled_operator.h"

namespace cupel {
namespace {

struct Form {
  int64_t batch = 1, groups = 1, channels = 1, outputs = 1;  // channels and outputs of a group
  Ints in, kernel, strides, dilations, pads, output_padding;
  bool bias = false;
};

Ints sizes_of(const Form& f) {
  Ints out;
  for (size_t i = 0; i < f.in.size(); ++i)
    out.push_back(f.strides[i] * (f.in[i] - 1) + f.output_padding[i] + (f.kernel[i] - 1) * f.dilations[i] + 1 -
                  f.pads[i] - f.pads[f.in.size() + i]);
  return out;
}

// Places of all elements of such a shape, in order.
std::vector<Ints> places(const Ints& shape) {
  std::vector<Ints> all = {{}};
  for (const int64_t n : shape) {
    std::vector<Ints> longer;
    for (const Ints& p : all)
      for (int64_t i = 0; i < n; ++i) {
        longer.push_back(p);
        longer.back().push_back(i);
      }
    all = std::move(longer);
  }
  return all;
}

std::vector<double> scattered(const Form& f, const Ints& out, const Tensor& x, const Tensor& w, const Tensor& b) {
  const auto image = places(f.in), taps = places(f.kernel);
  const int64_t pixels = element_count(out), ins = f.groups * f.channels, outs = f.groups * f.outputs;
  std::vector<double> y(static_cast<size_t>(f.batch * outs * pixels), 0.0);
  for (size_t e = 0; e < y.size(); ++e)
    if (f.bias) y[e] = at(b, static_cast<int64_t>(e) / pixels % outs);
  for (int64_t n = 0; n < f.batch; ++n)
    for (int64_t c = 0; c < ins; ++c)
      for (size_t p = 0; p < image.size(); ++p)
        for (size_t k = 0; k < taps.size(); ++k) {
          int64_t place = 0;
          bool inside = true;
          for (size_t i = 0; i < out.size(); ++i) {
            const int64_t o = image[p][i] * f.strides[i] + taps[k][i] * f.dilations[i] - f.pads[i];
            inside = inside && o >= 0 && o < out[i];
            place = place * out[i] + o;
          }
          for (int64_t o = 0; inside && o < f.outputs; ++o)
            y[static_cast<size_t>((n * outs + c / f.channels * f.outputs + o) * pixels + place)] +=
                at(x, (n * ins + c) * static_cast<int64_t>(image.size()) + static_cast<int64_t>(p)) *
                at(w, (c * f.outputs + o) * static_cast<int64_t>(taps.size()) + static_cast<int64_t>(k));
        }
  return y;
}

Dims with(Dims front, const Ints& spatial) {
  front.insert(front.end(), spatial.begin(), spatial.end());
  return front;
}

void expect_scattered(const Form& f, Attributes attributes, const Ints& out, uint32_t seed = 1) {
  const Tensor x = numbers(with({f.batch, f.groups * f.channels}, f.in), seed),
               w = numbers(with({f.groups * f.channels, f.outputs}, f.kernel), seed + 1),
               b = numbers({f.groups * f.outputs}, seed + 2);
  attributes.insert({{"strides", f.strides}, {"dilations", f.dilations}, {"group", f.groups}});
  std::vector<Tensor> operands = {x, w};
  if (f.bias) operands.push_back(b);
  expect_near(result({"ConvTranspose", operands, attributes, 11}), with({f.batch, f.groups * f.outputs}, out),
              scattered(f, out, x, w, b), 1e-4);
}

TEST(ConvTranspose, ScattersInAnyForm) {
  std::mt19937 random(7);
  const auto pick = [&](int64_t low, int64_t high) {
    return std::uniform_int_distribution<int64_t>(low, high)(random);
  };
  int tried = 0;
  while (tried < 150) {
    const int64_t spatial = pick(1, 3);
    Form f{.batch = pick(1, 2),
           .groups = spatial == 3 ? 1 : pick(1, 3),  // of volumes more would pass the greatest rank
           .channels = pick(1, 3),
           .outputs = pick(1, 3),
           .bias = pick(0, 1) != 0};
    for (int64_t i = 0; i < spatial; ++i) {
      f.in.push_back(pick(1, 5));
      f.kernel.push_back(pick(1, 5));
      f.strides.push_back(pick(1, 4));
      f.dilations.push_back(pick(1, 3));
      f.output_padding.push_back(pick(0, std::max(f.strides.back(), f.dilations.back()) - 1));
    }
    for (int64_t i = 0; i < 2 * spatial; ++i) f.pads.push_back(pick(0, 4));
    const Ints out = sizes_of(f);
    if (std::ranges::any_of(out, [](int64_t n) { return n < 1; })) continue;
    SCOPED_TRACE(testing::Message() << "form " << tried);
    expect_scattered(f, {{"pads", f.pads}, {"output_padding", f.output_padding}}, out, static_cast<uint32_t>(tried));
    if (HasFailure()) return;
    ++tried;
  }
}

TEST(ConvTranspose, SizesThatTheModelGives) {
  // Of 2·3 + 3 = 9 elements 6 or 8 are wanted, or more than there are.
  Form f{.in = {4}, .kernel = {3}, .strides = {2}, .dilations = {1}, .output_padding = {0}};
  for (const auto& [size, upper, before] : {std::tuple(6, true, 1), {6, false, 2}, {8, true, 0}, {12, false, 0}}) {
    f.pads = {before, 0};
    expect_scattered(f, {{"output_shape", Ints{size}}, {"auto_pad", std::string(upper ? "SAME_UPPER" : "NOTSET")}},
                     {size});
    expect_scattered(
        f, {{"output_shape", Ints{1, 1, size}}, {"auto_pad", std::string(upper ? "SAME_UPPER" : "SAME_LOWER")}},
        {size});
  }
  f.pads = {0, 1};
  expect_scattered(f, {{"auto_pad", std::string("SAME_UPPER")}}, {8});
  f.pads = {1, 0};
  expect_scattered(f, {{"auto_pad", std::string("SAME_LOWER")}}, {8});
  f.pads = {0, 0};
  expect_scattered(f, {{"auto_pad", std::string("VALID")}, {"pads", Ints{1, 1}}}, {9});
}

TEST(ConvTranspose, StrideOfOneElement) {
  // No second element is 2^30 away.
  Form f{.in = {1}, .kernel = {3}, .strides = {1 << 30}, .dilations = {1}, .pads = {0, 0}, .output_padding = {0}};
  expect_scattered(f, {}, {3});
  f.strides = {5};
  f.pads = {0, 0};
  expect_scattered(f, {{"auto_pad", std::string("SAME_UPPER")}}, {5});
}

TEST(ConvTranspose, ComputedWeights) {
  const Tensor x = numbers({1, 2, 3}, 1), w = numbers({2, 1, 2}, 2);
  const Form f{
      .channels = 2, .in = {3}, .kernel = {2}, .strides = {2}, .dilations = {1}, .pads = {0, 0}, .output_padding = {0}};
  Operator o{"ConvTranspose", {x, w}, {{"strides", f.strides}}, 11};
  o.computed = 2;
  expect_near(result(o), {1, 1, 6}, scattered(f, {6}, x, w, {}), 1e-5);
}

TEST(ConvTranspose, Refusals) {
  const auto error = [](Attributes attributes, Dims x = {1, 4, 3, 3}, Dims w = {4, 2, 3, 3}) {
    return error_of(model_of({"ConvTranspose",
                              {Tensor(DType::f32, std::move(x)), Tensor(DType::f32, std::move(w))},
                              std::move(attributes),
                              11}));
  };
  const std::string at = "3: model.onnx: node n (ConvTranspose): ";
  EXPECT_EQ(error({{"group", int64_t{3}}}),
            at + "3 groups of input [1,4,3,3] and weights [4,2,3,3]\n  correct the model's shapes");
  EXPECT_EQ(
      error({}, {1, 4, 3}),
      at + "input [1,4,3] and weights [4,2,3,3] do not fit a transposed convolution\n  correct the model's shapes");
  EXPECT_EQ(error({{"kernel_shape", Ints{3, 2}}}),
            at + "kernel_shape differs from weights [4,2,3,3]\n  correct the attribute");
  EXPECT_EQ(error({{"pads", Ints{4, 0, 4, 0}}}),
            at + "a spatial dimension of 3 elements would become -3\n  correct the attributes");
  EXPECT_EQ(error({{"strides", Ints{0, 1}}}), at + "kernel 3, stride 0, dilation 1, output_padding 0, pads 0 and 0: "
                                                   "kernel, stride and dilation must be at least "
                                                   "1, the others at least 0\n  correct the attributes");
  EXPECT_EQ(error({{"auto_pad", std::string("SAME")}}),
            at + "auto_pad is SAME, expected NOTSET, VALID, SAME_UPPER or SAME_LOWER\n  correct the attribute");
  EXPECT_EQ(error({{"strides", Ints{2}}}),
            at +
                "strides, dilations, output_padding, pads and output_shape have 1, 2, 2, 4 and 0 entries for 2 spatial "
                "dimensions\n  correct the attributes");
  EXPECT_EQ(error({{"strides", Ints{1 << 30, 1}}}).substr(0, 2), "6:");
  EXPECT_EQ(error({{"strides", Ints{1 << 28, 1}}}),
            "6: model.onnx: node n (ConvTranspose): 1 taps in 268435456 phases, more than 2^26\n  use a model with "
            "smaller windows");
}

}  // namespace
}  // namespace cupel
