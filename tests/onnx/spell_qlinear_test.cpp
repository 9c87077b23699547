// Operators on codes: the codes that they give, worked out in double and integers. Scales are powers of two, so that
// every number here is exact.
#include <cmath>
#include <functional>

#include "spelled_operator.h"

namespace cupel {
namespace {

const std::string kMicrosoft = "com.microsoft";

template <class T>
Tensor codes(Dims dims, uint32_t seed) {
  Tensor t(DTypeOf<T>::value, std::move(dims));
  uint32_t state = seed * 2654435761u + 99u;
  for (T& x : t.mutable_data<T>()) {
    state = state * 1664525u + 1013904223u;
    x = static_cast<T>(state >> 24);
  }
  return t;
}
template <class T>
Tensor one(T value) {
  return Tensor::scalar<T>(value);
}

// The code of a number: half way cases to the even multiple of the scale.
int64_t code_of(double number, double scale, int64_t zero, DType type) {
  const double rounded = std::nearbyint(number / scale);
  const double low = static_cast<double>(dtype_min(type) - zero), high = static_cast<double>(dtype_max(type) - zero);
  return static_cast<int64_t>(std::fmin(std::fmax(rounded, low), high)) + zero;
}

void expect_codes(const Tensor& y, DType type, const Dims& dims, double scale, int64_t zero,
                  const std::function<double(int64_t)>& number) {
  ASSERT_EQ(y.dtype(), type);
  ASSERT_EQ(y.dims(), dims);
  for (int64_t i = 0; i < y.size(); ++i) ASSERT_EQ(y.int_at(i), code_of(number(i), scale, zero, type)) << i;
}

TEST(SpellQlinear, ConvWithAZeroPointOfWeights) {
  const Tensor x = codes<uint8_t>({1, 2, 4, 5}, 1), w = codes<uint8_t>({3, 2, 2, 3}, 2);
  const Tensor b = Tensor::of<int32_t>({3}, {100, -3000, 77777});
  const Tensor y =
      result({"QLinearConv",
              {x, one(0.125f), one(uint8_t{120}), w, one(0.25f), one(uint8_t{131}), one(16.0f), one(uint8_t{100}), b},
              {{"strides", Ints{1, 2}}, {"pads", Ints{1, 0, 0, 0}}},
              17});
  expect_codes(y, DType::u8, {1, 3, 4, 2}, 16, 100, [&](int64_t i) {
    const int64_t c = i / 8, row = i % 8 / 2, column = i % 2 * 2;
    int64_t sum = b.int_at(c);
    for (int64_t k = 0; k < 2; ++k)
      for (int64_t v = 0; v < 2; ++v)
        for (int64_t h = 0; h < 3; ++h) {
          const int64_t r = row + v - 1;
          if (r < 0) continue;
          sum += (x.int_at((k * 4 + r) * 5 + column + h) - 120) * (w.int_at(((c * 2 + k) * 2 + v) * 3 + h) - 131);
        }
    return static_cast<double>(sum) * 0.125 * 0.25;
  });
}

TEST(SpellQlinear, ConvWithScalesOfChannelsAndChannelsLast) {
  // One zero point for all channels of weights, images [1, 2, 2, 3] with channels last.
  const Tensor x = codes<int8_t>({1, 2, 2, 3}, 3), w = codes<int8_t>({2, 3, 1, 1}, 4);
  const Tensor scales = Tensor::of<float>({2}, {0.5f, 0.0625f});
  const Tensor y = result({"QLinearConv",
                           {x, one(0.25f), one(int8_t{-7}), w, scales, one(int8_t{0}), one(8.0f), one(int8_t{5})},
                           {{"channels_last", int64_t{1}}},
                           17,
                           kMicrosoft});
  expect_codes(y, DType::s8, {1, 2, 2, 2}, 8, 5, [&](int64_t i) {
    int64_t sum = 0;
    for (int64_t k = 0; k < 3; ++k) sum += (x.int_at(i / 2 * 3 + k) + 7) * w.int_at(i % 2 * 3 + k);
    return static_cast<double>(sum) * 0.25 * scales.at(i % 2);
  });
}

TEST(SpellQlinear, Products) {
  const Tensor a = codes<uint8_t>({2, 3, 4}, 5), b = codes<int8_t>({4, 2}, 6);
  const Tensor scales = Tensor::of<float>({2}, {0.5f, 0.125f}), zeros = Tensor::of<int8_t>({2}, {3, -9});
  const auto sum = [&](int64_t row, int64_t column, int64_t rows_b) {
    int64_t total = 0;
    for (int64_t k = 0; k < 4; ++k) {
      const int64_t at = rows_b == 4 ? k * 2 + column : column * 4 + k;
      total += (a.int_at(row * 4 + k) - 11) * (b.int_at(at) - zeros.int_at(column));
    }
    return total;
  };
  const std::vector<Tensor> operands = {a,      one(0.25f), one(uint8_t{11}), b,
                                        scales, zeros,      one(32.0f),       one(uint8_t{128})};
  const auto product = [&](int64_t i) { return static_cast<double>(sum(i / 2, i % 2, 4)) * 0.25 * scales.at(i % 2); };
  expect_codes(result({"QLinearMatMul", operands, {}, 10}), DType::u8, {2, 3, 2}, 32, 128, product);
  // The same lists as [1, 2].
  std::vector<Tensor> wide = operands;
  wide[4] = scales.reshaped({1, 2});
  wide[5] = zeros.reshaped({1, 2});
  expect_codes(result({"QLinearMatMul", wide, {}, 21}), DType::u8, {2, 3, 2}, 32, 128, product);
  // Gemm: alpha, a bias whose scale is the product of all three, a transposed b; codes, and numbers.
  const Tensor c = Tensor::of<int32_t>({2}, {500, -40});
  std::vector<Tensor> gemm = {a.reshaped({6, 4}), one(0.25f), one(uint8_t{11}), b.reshaped({2, 4}), scales, zeros, c};
  const Attributes attributes = {{"alpha", 0.5f}, {"transB", int64_t{1}}};
  const auto number = [&](int64_t i) {
    return static_cast<double>(sum(i / 2, i % 2, 2) + c.int_at(i % 2)) * 0.5 * 0.25 * scales.at(i % 2);
  };
  const Tensor real = result({"QGemm", gemm, attributes, 17, kMicrosoft});
  ASSERT_EQ(real.dims(), (Dims{6, 2}));
  for (int64_t i = 0; i < 12; ++i) EXPECT_EQ(real.at(i), number(i)) << i;
  gemm.insert(gemm.end(), {one(16.0f), one(uint8_t{3})});
  expect_codes(result({"QGemm", gemm, attributes, 17, kMicrosoft}), DType::u8, {6, 2}, 16, 3, number);
  gemm[6] = c.reshaped({1, 2});
  expect_codes(result({"QGemm", gemm, attributes, 17, kMicrosoft}), DType::u8, {6, 2}, 16, 3, number);
}

TEST(SpellQlinear, AddAndMulWithoutZeroPoints) {
  const Tensor a = codes<int8_t>({2, 3}, 7), b = codes<int8_t>({3}, 8), none(DType::f32, {0});
  const std::vector<Tensor> operands = {a, one(0.5f), none, b, one(0.25f), none, one(1.0f)};
  const auto number = [](const Tensor& t, int64_t i, double s) { return static_cast<double>(t.int_at(i)) * s; };
  expect_codes(result({"QLinearAdd", operands, {}, 17, kMicrosoft}), DType::s8, {2, 3}, 1, 0,
               [&](int64_t i) { return number(a, i, 0.5) + number(b, i % 3, 0.25); });
  std::vector<Tensor> with_zero = operands;
  with_zero[2] = one(int8_t{-100});
  with_zero.push_back(one(int8_t{17}));
  with_zero[6] = one(64.0f);
  expect_codes(result({"QLinearMul", with_zero, {}, 17, kMicrosoft}), DType::s8, {2, 3}, 64, 17,
               [&](int64_t i) { return (number(a, i, 0.5) + 50.0) * number(b, i % 3, 0.25); });
}

TEST(SpellQlinear, FunctionsOfOneOperand) {
  const Tensor x = codes<uint8_t>({3, 5}, 9);
  const auto number = [&](int64_t i) { return static_cast<double>(x.int_at(i) - 128) / 16; };
  const std::vector<Tensor> operands = {x, one(0.0625f), one(uint8_t{128}), one(0.00390625f), one(uint8_t{0})};
  expect_codes(result({"QLinearSigmoid", operands, {}, 17, kMicrosoft}), DType::u8, {3, 5}, 0.00390625, 0,
               [&](int64_t i) { return 1 / (1 + std::exp(-number(i))); });
  std::vector<Tensor> leaky = operands;
  leaky[3] = one(0.125f);
  leaky[4] = one(uint8_t{40});
  expect_codes(result({"QLinearLeakyRelu", leaky, {{"alpha", 0.25f}}, 17, kMicrosoft}), DType::u8, {3, 5}, 0.125, 40,
               [&](int64_t i) { return number(i) < 0 ? number(i) / 4 : number(i); });
  // Below opset 13 all behind the axis is one row.
  for (const int64_t opset : {12, 13}) {
    const Tensor y = result({"QLinearSoftmax", operands, {{"axis", int64_t{0}}, {"opset", opset}}, 17, kMicrosoft});
    expect_codes(y, DType::u8, {3, 5}, 0.00390625, 0, [&](int64_t i) {
      double sum = 0;
      for (int64_t k = opset < 13 ? 0 : i % 5; k < 15; k += opset < 13 ? 1 : 5) sum += std::exp(number(k));
      return std::exp(number(i)) / sum;
    });
  }
}

TEST(SpellQlinear, Pools) {
  const Tensor x = codes<int8_t>({1, 4, 2, 3}, 10);  // as [batch, height, width, channels] below
  const std::vector<Tensor> operands = {x, one(0.5f), one(int8_t{4}), one(0.75f), one(int8_t{-3})};
  const auto sum = [&](int64_t channel, int64_t first, int64_t count) {
    int64_t total = 0;
    for (int64_t i = first; i < first + count; ++i) total += x.int_at(i * 3 + channel) - 4;
    return static_cast<double>(total) * 0.5;
  };
  expect_codes(result({"QLinearAveragePool",
                       operands,
                       {{"kernel_shape", Ints{2, 2}}, {"strides", Ints{2, 1}}, {"channels_last", int64_t{1}}},
                       17,
                       kMicrosoft}),
               DType::s8, {1, 2, 1, 3}, 0.75, -3, [&](int64_t i) { return sum(i % 3, i / 3 * 4, 4) / 4; });
  expect_codes(result({"QLinearGlobalAveragePool", operands, {{"channels_last", int64_t{1}}}, 17, kMicrosoft}),
               DType::s8, {1, 1, 1, 3}, 0.75, -3, [&](int64_t i) { return sum(i, 0, 8) / 8; });
}

TEST(SpellQlinear, Moves) {
  const Tensor a = codes<uint8_t>({2, 2}, 11), b = codes<uint8_t>({2, 1}, 12);
  const Tensor y = result({"QLinearConcat",
                           {one(0.5f), one(uint8_t{9}), a, one(0.25f), one(uint8_t{3}), b, one(1.0f), one(uint8_t{60})},
                           {{"axis", int64_t{-1}}},
                           17,
                           kMicrosoft,
                           0});
  expect_codes(y, DType::u8, {2, 3}, 0.5, 9, [&](int64_t i) {
    const int64_t row = i / 3, column = i % 3;
    return column < 2 ? static_cast<double>(a.int_at(row * 2 + column) - 3) * 0.25
                      : static_cast<double>(b.int_at(row) - 60);
  });
  Tensor choice(DType::boolean, {2, 1});
  choice.mutable_bytes()[0] = std::byte{1};
  expect_codes(
      result({"QLinearWhere",
              {choice, a, one(0.25f), one(uint8_t{3}), b, one(1.0f), one(uint8_t{60}), one(2.0f), one(uint8_t{7})},
              {},
              17,
              kMicrosoft}),
      DType::u8, {2, 2}, 2, 7, [&](int64_t i) {
        return i < 2 ? static_cast<double>(a.int_at(i) - 3) * 0.25 : static_cast<double>(b.int_at(1) - 60);
      });
}

TEST(SpellQlinear, Refusals) {
  const Tensor x = codes<uint8_t>({2}, 1), none(DType::f32, {0});
  EXPECT_EQ(error_of(model_of({"QLinearAdd", {x, one(1.0f), none, x, one(1.0f)}, {}, 17, kMicrosoft})),
            "3: model.onnx: node n (QLinearAdd): operand 6 is missing\n  give every required operand");
  EXPECT_EQ(
      error_of(model_of({"QLinearConv",
                         {x, one(1.0f), one(uint8_t{0}), x, one(1.0f), one(uint8_t{0}), one(1.0f), one(uint8_t{0})},
                         {{"channels_last", int64_t{1}}}})),
      "4: model.onnx: node n (QLinearConv): attribute channels_last is not known for QLinearConv\n"
      "  remove the attribute or export the model differently");
  EXPECT_EQ(error_of(model_of(
                {"QLinearMatMul",
                 {one(1.0f), one(1.0f), one(uint8_t{0}), x, one(1.0f), one(uint8_t{0}), one(1.0f), one(uint8_t{0})}})),
            "3: model.onnx: node n (QLinearMatMul): operand 0 is f32, which ONNX forbids\n  convert the operand");
}

// ---- weights by blocks

TEST(SpellBlocks, FourBitsWithZeroPoints) {
  // K = 6 in blocks of 4: the second block of a column holds two weights and two codes of no use.
  const Tensor x = Tensor::of<float>({1, 6}, {1, 2, 3, 4, 5, 6});
  const Tensor w = Tensor::of<uint8_t>({2, 2, 2}, {0x10, 0x32, 0x54, 0xff, 0x98, 0xba, 0xdc, 0xff});
  const Tensor scales = Tensor::of<float>({4}, {0.5f, 2.0f, 0.25f, 1.0f});
  const Attributes sizes = {{"K", int64_t{6}}, {"N", int64_t{2}}, {"block_size", int64_t{4}}, {"bits", int64_t{4}}};
  // Column 0: (0 1 2 3 − 1) / 2 and (4 5 − 2) · 2; column 1: (8 9 10 11 − 3) / 4 and 12 13 − 15.
  const Tensor zeros = Tensor::of<uint8_t>({2}, {0x21, 0xf3});
  const double first = 0.5 * (-1 + 0 + 3 + 8) + 2.0 * (2 * 5 + 3 * 6);
  const double second = 0.25 * (5 + 12 + 21 + 32) + (-3 * 5 + -2 * 6);
  const Tensor y = result({"MatMulNBits", {x, w, scales, zeros}, sizes, 17, kMicrosoft});
  ASSERT_EQ(y.dims(), (Dims{1, 2}));
  EXPECT_EQ(y.at(0), first);
  EXPECT_EQ(y.at(1), second);
  // Zero points that are numbers, and a bias; without any it is 8.
  const Tensor reals = Tensor::of<float>({4}, {1, 2, 3, 15}), none(DType::f32, {0});
  const Tensor z =
      result({"MatMulNBits", {x, w, scales, reals, none, Tensor::of<float>({2}, {10, -10})}, sizes, 17, kMicrosoft});
  EXPECT_EQ(z.at(0), first + 10);
  EXPECT_EQ(z.at(1), second - 10);
  const Tensor middle = result({"MatMulNBits", {x, w, scales}, sizes, 17, kMicrosoft});
  EXPECT_EQ(middle.at(1), 0.25 * (0 + 2 + 6 + 12) + (4 * 5 + 5 * 6));
  // Which scale a weight has, for each k.
  const Tensor groups = Tensor::of<int32_t>({6}, {1, 1, 1, 1, 0, 0});
  const Tensor g = result({"MatMulNBits", {x, w, scales, none, groups}, sizes, 17, kMicrosoft});
  EXPECT_EQ(g.at(1), 1.0 * (0 + 2 + 6 + 12) + 0.25 * (4 * 5 + 5 * 6));
}

TEST(SpellBlocks, Refusals) {
  const Tensor x = Tensor(DType::f32, {1, 6}), scales(DType::f32, {4});
  const auto error = [&](const Tensor& w, int64_t depth, int64_t bits, int64_t size) {
    return error_of(model_of({"MatMulNBits",
                              {x, w, scales},
                              {{"K", depth}, {"N", int64_t{2}}, {"block_size", size}, {"bits", bits}},
                              17,
                              kMicrosoft}));
  };
  const std::string place = "model.onnx: node n (MatMulNBits): ";
  EXPECT_EQ(error(Tensor(DType::u8, {2, 2, 2}), 6, 4, 4), "no error");
  EXPECT_EQ(error(Tensor(DType::u8, {2, 2, 3}), 6, 4, 4),
            "3: " + place +
                "the codes are u8[2,2,3], which K, N, bits and block_size contradict\n  quantize the model again");
  EXPECT_EQ(error(Tensor(DType::u8, {2, 2, 2}), 10, 4, 4),
            "3: " + place +
                "the codes are u8[2,2,2], which K, N, bits and block_size contradict\n  quantize the model again");
  EXPECT_EQ(error(Tensor(DType::u8, {2, 2, 2}), 6, 3, 4),
            "4: " + place + "weights of 3 bits in blocks of 4\n  use 4 or 8 bits");
  EXPECT_EQ(error(Tensor(DType::u8, {2, 2, 2}), 0, 4, 4),
            "3: " + place + "K is 0, N is 2, block_size is 4\n  correct the attributes");
}

// What dequantize nodes make of constants that no code type of 8 bits holds.
TEST(Dequantized, ConstantsByBlocksAndOf16And4Bits) {
  const auto numbers = [](const Tensor& codes, const Tensor& scale, const Tensor& zero, const Attributes& attributes) {
    ModelBuilder m(21);
    m.constant("w", codes).constant("s", scale).constant("z", zero);
    m.node("DequantizeLinear", {"w", "s", "z"}, {"y"}, attributes).output("y");
    const auto graph = read(m);
    ThreadPool threads(1);
    auto found = graph ? interpret(*graph, {}, threads) : std::unexpected(graph.error());
    return found ? found->at(0) : Tensor();
  };
  const Tensor blocked =
      numbers(Tensor::of<uint8_t>({2, 3}, {1, 2, 3, 4, 5, 6}), Tensor::of<float>({2, 2}, {1, 2, 4, 8}),
              Tensor::of<uint8_t>({2, 2}, {0, 1, 2, 3}), {{"axis", int64_t{1}}, {"block_size", int64_t{2}}});
  EXPECT_EQ(std::vector<float>(blocked.data<float>().begin(), blocked.data<float>().end()),
            (std::vector<float>{1, 2, 4, 8, 12, 24}));
  const Tensor wide = numbers(Tensor::of<int16_t>({3}, {-32768, 0, 32767}), one(0.5f), one(int16_t{-1}), {});
  EXPECT_EQ(std::vector<float>(wide.data<float>().begin(), wide.data<float>().end()),
            (std::vector<float>{-16383.5f, 0.5f, 16384}));
  Tensor nibbles(DType::s4, {3});
  nibbles.mutable_bytes()[0] = std::byte{0x7f};  // −1, 7
  nibbles.mutable_bytes()[1] = std::byte{0x08};  // −8
  Tensor zero(DType::s4, {});
  zero.mutable_bytes()[0] = std::byte{0x0e};  // −2
  const Tensor narrow = numbers(nibbles, one(2.0f), zero, {});
  EXPECT_EQ(std::vector<float>(narrow.data<float>().begin(), narrow.data<float>().end()),
            (std::vector<float>{2, 18, -12}));
  // A scale below the least normal number counts as that.
  const Tensor least = numbers(Tensor::of<int8_t>({1}, {3}), one(1e-44f), one(int8_t{1}), {});
  EXPECT_EQ(least.at(0), 0x1p-125);
}

// ---- what is quantized at run time

TEST(SpellDynamic, QuantizeLinear) {
  const Tensor x = Tensor::of<float>({2, 3}, {-1, 0.5f, 3, 4.1f, -0.2f, 0});
  Operator o{"DynamicQuantizeLinear", {x}, {}, 11};
  o.outputs = {"y", "scale", "zero"};
  const auto all = results(o);
  ASSERT_EQ(all.size(), 3U);
  const double scale = 5.1 / 255;
  EXPECT_NEAR(all[1].at(0), scale, 1e-8);
  EXPECT_EQ(all[2].int_at(0), 50);
  expect_codes(all[0], DType::u8, {2, 3}, scale, 50, [&](int64_t i) { return x.at(i); });
  // Numbers of one sign reach to 0; nothing but 0 has scale 1.
  Operator positive{"DynamicQuantizeLinear", {Tensor::of<float>({2}, {2, 5.1f})}, {}, 11};
  positive.outputs = o.outputs;
  EXPECT_EQ(results(positive)[2].int_at(0), 0);
  EXPECT_EQ(results(positive)[0].int_at(0), 100);
  Operator zeros{"DynamicQuantizeLinear", {Tensor(DType::f32, {2})}, {}, 11};
  zeros.outputs = o.outputs;
  EXPECT_EQ(results(zeros)[1].at(0), 1.0);
  EXPECT_EQ(results(zeros)[0].int_at(0), 0);
  // One scale for all rows of a batch of any size is none.
  ModelBuilder open;
  open.input("x", {"batch", int64_t{3}}).node("DynamicQuantizeLinear", {"x"}, {"q"}).output("q");
  EXPECT_EQ(error_of(open), "4: model.onnx: node n (DynamicQuantizeLinear): all of [batch,3] has one scale\n  " +
                                std::string(kGiveSize));
}

TEST(SpellDynamic, ProductsToNumbers) {
  const Tensor a = codes<uint8_t>({2, 4}, 21), b = codes<int8_t>({4, 2}, 22);
  const Tensor scales = Tensor::of<float>({2}, {0.5f, 0.125f}), bias = Tensor::of<float>({2}, {-1, 4});
  const Tensor none(DType::f32, {0}), zb = Tensor::of<int8_t>({2}, {3, -9});
  const auto sum = [&](int64_t i, int64_t za) {
    int64_t total = 0;
    for (int64_t k = 0; k < 4; ++k)
      total += (a.int_at(i / 2 * 4 + k) - za) * (b.int_at(k * 2 + i % 2) - zb.int_at(i % 2));
    return static_cast<double>(total);
  };
  const Tensor y =
      result({"MatMulIntegerToFloat", {a, b, one(0.25f), scales, one(uint8_t{7}), zb, bias}, {}, 17, kMicrosoft});
  for (int64_t i = 0; i < 4; ++i) EXPECT_EQ(y.at(i), sum(i, 7) * 0.25 * scales.at(i % 2) + bias.at(i % 2)) << i;
  const Tensor plain = result({"MatMulIntegerToFloat", {a, b, one(0.25f), scales, none, zb}, {}, 17, kMicrosoft});
  for (int64_t i = 0; i < 4; ++i) EXPECT_EQ(plain.at(i), sum(i, 0) * 0.25 * scales.at(i % 2)) << i;
  // Numbers from −51 to 204 have scale 1 and zero point 51.
  const Tensor x = Tensor::of<float>({2, 4}, {-51, 0.4f, 7, 204, -3.6f, 10, 11, 12});
  const double rounded[] = {-51, 0, 7, 204, -4, 10, 11, 12};
  const Tensor z = result({"DynamicQuantizeMatMul", {x, b, scales, zb, bias}, {}, 17, kMicrosoft});
  for (int64_t i = 0; i < 4; ++i) {
    double total = 0;
    for (int64_t k = 0; k < 4; ++k)
      total += rounded[i / 2 * 4 + k] * static_cast<double>(b.int_at(k * 2 + i % 2) - zb.int_at(i % 2));
    EXPECT_EQ(z.at(i), total * scales.at(i % 2) + bias.at(i % 2)) << i;
  }
}

TEST(SpellDynamic, ComputedParametersAndOtherWidths) {
  const auto quantized = [](const Tensor& scale, const Tensor& zero, const Attributes& attributes, bool back) {
    ModelBuilder m(21);
    m.input("x", {int64_t{2}, int64_t{3}}).input("s", {int64_t{2}}).constant("z", zero).constant("c", scale);
    const std::string s = scale.empty() ? "s" : "c";
    m.node("QuantizeLinear", {"x", s, "z"}, {"q"}, attributes, "quantize");
    if (back) m.node("DequantizeLinear", {"q", s, "z"}, {"y"}, attributes, "dequantize");
    m.output(back ? "y" : "q");
    const auto graph = read(m);
    EXPECT_TRUE(graph) << graph.error().message();
    ThreadPool threads(1);
    const Tensor x = Tensor::of<float>({2, 3}, {-1000, 0.75f, 7, 100000, -0.25f, 1.25f});
    const std::vector<Tensor> inputs = {x, Tensor::of<float>({2}, {0.5f, 0.25f})};
    auto found = interpret(*graph, inputs, threads);
    EXPECT_TRUE(found) << found.error().message();
    return found->at(0);
  };
  // Scales that are an input, for the rows.
  const Tensor none(DType::f32, {0}), rows = Tensor::of<uint8_t>({2}, {1, 128});
  EXPECT_EQ(quantized(none, rows, {{"axis", int64_t{0}}}, false),
            Tensor::of<uint8_t>({2, 3}, {0, 3, 15, 255, 127, 133}));
  EXPECT_EQ(quantized(none, rows, {{"axis", int64_t{0}}}, true),
            Tensor::of<float>({2, 3}, {-0.5f, 1, 7, 31.75f, -0.25f, 1.25f}));
  EXPECT_EQ(quantized(one(0.5f), one(int16_t{-2}), {}, false),
            Tensor::of<int16_t>({2, 3}, {-2002, 0, 12, 32767, -2, 0}));
  // Blocks of two columns, the last of which is half a block.
  const Tensor blocks = Tensor::of<float>({2, 2}, {0.5f, 2, 0.25f, 0.125f}),
               zeros = Tensor::of<uint8_t>({2, 2}, {0, 1, 2, 3});
  EXPECT_EQ(quantized(blocks, zeros, {{"axis", int64_t{1}}, {"block_size", int64_t{2}}}, false),
            Tensor::of<uint8_t>({2, 3}, {0, 2, 5, 255, 1, 13}));
  // 4 bits, whose zero point is 1.
  Tensor nibble(DType::u4, {});
  nibble.mutable_bytes()[0] = std::byte{1};
  EXPECT_EQ(quantized(one(0.5f), nibble, {}, true), Tensor::of<float>({2, 3}, {-0.5f, 1, 7, 7, 0, 1}));
}

}  // namespace
}  // namespace cupel
