// MatMulNBits (com.microsoft): weights of 2, 4 or 8 bits in blocks along K, each with a scale and a zero point, which
// reading turns into numbers.
#include <fmt/format.h>

#include "onnx/spelling.h"

namespace cupel {
namespace {

const char* const kQuantizeAgain = "quantize the model again";

// Sizes of the weights of one node, and what they are made of.
struct Blocks {
  int64_t columns, depth;  // N, K
  int64_t size, count;     // of a block, in elements; blocks of one column
  int64_t bits;
  const Tensor *codes, *scales, *zeros, *groups;

  // Code i of a row of packed codes that begins at byte `row`; the first is in the low bits.
  int64_t code(const Tensor& packed, int64_t row, int64_t i) const {
    const int64_t in_byte = 8 / bits;
    const auto byte = std::to_integer<int64_t>(packed.bytes()[static_cast<size_t>(row + i / in_byte)]);
    return (byte >> (i % in_byte * bits)) & ((int64_t{1} << bits) - 1);
  }
  int64_t block_bytes() const { return size * bits / 8; }
  int64_t zeros_bytes() const { return (count * bits + 7) / 8; }
  // Of a block of a column; without zero points half of the range.
  float zero(int64_t column, int64_t block) const {
    if (!zeros) return static_cast<float>(int64_t{1} << (bits - 1));
    if (zeros->dtype() == DType::f32) return zeros->data<float>()[static_cast<size_t>(column * count + block)];
    return static_cast<float>(code(*zeros, column * zeros_bytes(), block));
  }
};

std::unexpected<Error> wrong(const char* what, const Tensor& t) {
  return bad_input("",
                   fmt::format("the {} are {}{}, which K, N, bits and block_size contradict", what,
                               dtype_name(t.dtype()), to_text(t.dims())),
                   kQuantizeAgain);
}

Status check(const Blocks& b) {
  if (b.codes->dtype() != DType::u8 || b.codes->size() / b.block_bytes() / b.count != b.columns ||
      b.codes->size() != b.columns * b.count * b.block_bytes())
    return wrong("codes", *b.codes);
  if (b.scales->dtype() != DType::f32 || b.scales->size() != b.columns * b.count) return wrong("scales", *b.scales);
  if (b.zeros) {
    const int64_t expected = b.zeros->dtype() == DType::f32 ? b.count : b.zeros_bytes();
    if ((b.zeros->dtype() != DType::f32 && b.zeros->dtype() != DType::u8) || b.zeros->size() != b.columns * expected)
      return wrong("zero points", *b.zeros);
  }
  if (!b.groups) return {};
  if (!is_integer(b.groups->dtype()) || b.groups->size() < b.depth) return wrong("group indices", *b.groups);
  for (int64_t k = 0; k < b.depth; ++k)
    if (b.groups->int_at(k) < 0 || b.groups->int_at(k) >= b.count) return wrong("group indices", *b.groups);
  return {};
}

Result<Blocks> blocks_of(const Spelling& s) {
  const auto integer = [&](const char* key, int64_t standard) { return attr_int(s.attributes(), key, standard); };
  Blocks b{.columns = integer("N", 0),
           .depth = integer("K", 0),
           .size = integer("block_size", 0),
           .count = 0,
           .bits = integer("bits", 4),
           .codes = nullptr,
           .scales = nullptr,
           .zeros = nullptr,
           .groups = nullptr};
  constexpr int64_t kMost = int64_t{1} << 31;
  if (b.columns < 1 || b.depth < 1 || b.size < 1 || b.columns > kMost || b.depth > kMost || b.size > kMost)
    return bad_input("", fmt::format("K is {}, N is {}, block_size is {}", b.depth, b.columns, b.size),
                     "correct the attributes");
  if ((b.bits != 2 && b.bits != 4 && b.bits != 8) || b.size * b.bits % 8 != 0)
    return unsupported("", fmt::format("weights of {} bits in blocks of {}", b.bits, b.size), "use 4 or 8 bits");
  if (integer("weight_prepacked", 0) != 0)
    return unsupported("", "weights in the layout of one device", "export the model without packing");
  b.count = (b.depth + b.size - 1) / b.size;
  const Tensor** const places[] = {&b.codes, &b.scales, &b.zeros, &b.groups};
  for (size_t i = 1; i <= 4; ++i) {
    if (!s.has(i)) continue;
    *places[i - 1] = s.constant_operand(i);
    if (!*places[i - 1])
      return computed_at_run_time(fmt::format("operand {} is computed at run time", i), "make it a constant");
  }
  CUPEL_TRY(check(b));
  return b;
}

// [K, N]: f32(code − zero point) · scale
Tensor weights_of(const Blocks& b) {
  Tensor weights(DType::f32, {b.depth, b.columns});
  const auto out = weights.mutable_data<float>();
  const auto scales = b.scales->data<float>();
  for (int64_t n = 0; n < b.columns; ++n)
    for (int64_t k = 0; k < b.depth; ++k) {
      const int64_t block = b.groups ? b.groups->int_at(k) : k / b.size;
      const int64_t code = b.code(*b.codes, (n * b.count + k / b.size) * b.block_bytes(), k % b.size);
      out[static_cast<size_t>(k * b.columns + n)] =
          (static_cast<float>(code) - b.zero(n, block)) * scales[static_cast<size_t>(n * b.count + block)];
    }
  return weights;
}

}  // namespace

// a × dequantized weights + bias. accuracy_level allows a runtime to round a, which this does not.
Status spell_matmul_n_bits(Spelling& s) {
  const Blocks blocks = CUPEL_TRY(blocks_of(s));
  const std::string weights = s.reals_like(s.in(0), "weights", weights_of(blocks));
  if (!s.has(5)) return s.finish("MatMul", {s.in(0), weights});
  return s.finish("Add", {CUPEL_TRY(s.add("MatMul", "product", {s.in(0), weights})), s.in(5)});
}

}  // namespace cupel
