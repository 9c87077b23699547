// Scalar expressions written as C++ arithmetic:
//   ExprBuilder b;
//   Scalar v = to_f32(b.accumulator(0, ScalarType::s32)) * b.operand(0, DType::f32);
//   spec.epilogue = b.finish(to_code(relu(v), DType::u8, zero_point));
// Every operator and function is exactly the operation that docs/quantization.md names; `a * m + z` is a product,
// rounded, and a sum, rounded. Equal operations on equal arguments become one node; operations on constants alone are
// computed.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string_view>
#include <vector>

#include "base/dtype.h"
#include "ir/attribute.h"
#include "kernel/scalar.h"

namespace cupel {

class ExprBuilder;

// A node of a builder's expression, or a constant that belongs to none yet. Both sides of an operator have one type:
// write 2.0f beside f32 and 2 beside s32. A mix is found by scalar_types, not here.
class Scalar {
 public:
  Scalar(float value)
      : bits_(__builtin_bit_cast(uint32_t, value)), type_(ScalarType::f32) {}  // NOLINT: constants read as numbers
  Scalar(int32_t value) : bits_(static_cast<uint32_t>(value)), type_(ScalarType::s32) {}  // NOLINT
  Scalar(uint32_t bits) : bits_(bits), type_(ScalarType::s32) {}                          // NOLINT

  ScalarType type() const { return type_; }
  bool is_constant() const { return builder_ == nullptr; }
  // Of a constant: its bit pattern.
  uint32_t constant_bits() const { return bits_; }

  // f32 or wrapping s32; / is f32 alone, & | ^ << >> are s32 alone, >> signed.
  friend Scalar operator+(Scalar a, Scalar b);
  friend Scalar operator-(Scalar a, Scalar b);
  friend Scalar operator*(Scalar a, Scalar b);
  friend Scalar operator/(Scalar a, Scalar b);
  friend Scalar operator-(Scalar a);
  friend Scalar operator&(Scalar a, Scalar b);
  friend Scalar operator|(Scalar a, Scalar b);
  friend Scalar operator^(Scalar a, Scalar b);
  friend Scalar operator<<(Scalar a, int count);
  friend Scalar operator>>(Scalar a, int count);
  // Masks. NaN: false.
  friend Scalar operator>(Scalar a, Scalar b);
  friend Scalar operator<(Scalar a, Scalar b);
  friend Scalar operator==(Scalar a, Scalar b);
  friend Scalar select(Scalar mask, Scalar a, Scalar b);

  friend Scalar fma(Scalar a, Scalar b, Scalar c);
  friend Scalar sqrt(Scalar x);
  friend Scalar abs(Scalar x);
  friend Scalar floor(Scalar x);
  friend Scalar ceil(Scalar x);
  friend Scalar greater(Scalar a, Scalar b);  // a > b ? a : b
  friend Scalar less(Scalar a, Scalar b);     // a < b ? a : b
  friend Scalar to_f32(Scalar x);
  friend Scalar round_s32(Scalar x);
  friend Scalar truncate_s32(Scalar x);
  friend Scalar bits_s32(Scalar x);
  friend Scalar bits_f32(Scalar x);

  // docs/quantization.md 1, for code types of 8 bits; from_code: f32(q − z) · s.
  friend Scalar to_code(Scalar v, DType type, int32_t zero_point);
  friend Scalar to_code_near(Scalar v, DType type, int32_t zero_point);  // v is no NaN and |v| < 2^22
  friend Scalar from_code(Scalar code, int32_t zero_point, float scale);

  // docs/quantization.md 4: the bits of ops/unary.cpp and base/scalar_math.h. Others by unary_expression.
  friend Scalar relu(Scalar x);
  friend Scalar clip(Scalar x, float low, float high);
  friend Scalar exp(Scalar x);
  friend Scalar log(Scalar x);
  friend Scalar power(Scalar x, Scalar y);

  // What base/scalar_math.h asks of a number.
  friend Scalar bits_of(Scalar x);
  friend Scalar from_bits(Scalar bits);
  friend Scalar fused(Scalar a, Scalar b, Scalar c);
  friend Scalar shift_signed(Scalar bits, int count);
  friend Scalar number_of(Scalar bits);
  friend Scalar exceeds_signed(Scalar a, Scalar b);
  friend Scalar at_least(Scalar a, Scalar b);
  friend Scalar either(Scalar a, Scalar b);  // masks
  friend Scalar both(Scalar a, Scalar b);
  friend Scalar select_bits(Scalar mask, Scalar a, Scalar b);
  friend Scalar magnitude(Scalar x);

 private:
  friend class ExprBuilder;
  Scalar(ExprBuilder* builder, int32_t node, ScalarType type) : builder_(builder), node_(node), type_(type) {}
  static Scalar apply(ScalarOp op, ScalarType type, Scalar a, Scalar b = 0, Scalar c = 0);

  ExprBuilder* builder_ = nullptr;
  int32_t node_ = -1;
  uint32_t bits_ = 0;
  ScalarType type_;
};

// The function that op `name` computes of one real number, the bits of its reference; nullopt when the op is no row of
// ops/unary_functions.def.
std::optional<Scalar> unary_expression(std::string_view name, const Attributes& attributes, Scalar x);

// to_code(v, …) for a v of which is known that it is no NaN and that |v| ≤ `reach`: near where that is below 2^22.
Scalar to_code_within(double reach, Scalar v, DType type, int32_t zero_point);

// What the sources of an expression become when it is appended to another one.
struct ScalarSources {
  std::vector<Scalar> operands;      // value of operand i
  std::vector<Scalar> accumulators;  // value of accumulator i
  std::vector<int32_t> tables;       // the operand number that stands for table operand i
};

// Handles point at their builder: it stays where it is and outlives them.
class ExprBuilder {
 public:
  ExprBuilder() = default;
  ExprBuilder(const ExprBuilder&) = delete;
  ExprBuilder& operator=(const ExprBuilder&) = delete;

  Scalar operand(int32_t index, DType dtype);
  Scalar accumulator(int32_t index, ScalarType type);
  // Entry `code` of the 256-byte operand `index`.
  Scalar table(int32_t index, Scalar code);
  // The nodes of `expr` (not empty) on other sources.
  Scalar append(const ScalarExpr& expr, const ScalarSources& sources);

  // The expression whose value is `result`, without the nodes that it does not need.
  ScalarExpr finish(Scalar result);

 private:
  friend class Scalar;
  int32_t node_of(Scalar value);
  int32_t add(const ScalarNode& node);

  struct Before {
    bool operator()(const ScalarNode& a, const ScalarNode& b) const;
  };
  std::vector<ScalarNode> nodes_;
  std::map<ScalarNode, int32_t, Before> places_;
};

}  // namespace cupel
