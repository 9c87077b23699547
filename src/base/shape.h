// Shapes with checked arithmetic. A dimension is factor or factor·symbol: "3", "batch", "49*batch".
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"

namespace cupel {

// Caps that hold for every tensor a file may declare (docs/architecture.md, reliability).
inline constexpr int64_t kMaxRank = 8;
inline constexpr int64_t kMaxElements = int64_t{1} << 34;
// Symbols are below it, so that what exporters write for "to the end" (10^9 or 2^31 − 1) is behind multiples of them
// too.
inline constexpr int64_t kSymbolLimit = int64_t{1} << 27;

// What to do about a dimension, and about a parameter, that is not known before the run.
inline constexpr const char* kGiveSize = "give its size with --dim or --shape";
inline constexpr const char* kGiveParameters = "give open sizes with --dim or --shape, and parameters with --value";

struct Dim {
  int64_t factor = 0;
  std::string symbol;  // empty: a constant

  Dim() = default;
  Dim(int64_t value) : factor(value) {}  // NOLINT(google-explicit-constructor): constants read as numbers
  Dim(int64_t f, std::string s) : factor(f), symbol(std::move(s)) {
    if (factor == 0) symbol.clear();
  }
  bool is_constant() const { return symbol.empty(); }
  bool operator==(const Dim&) const = default;
};

using Shape = std::vector<Dim>;
using Dims = std::vector<int64_t>;  // a shape without symbols

// a·b, a+b on int64; nullopt-like failure as an error with kind resource, place "shape arithmetic".
Result<int64_t> checked_mul(int64_t a, int64_t b);
Result<int64_t> checked_add(int64_t a, int64_t b);

// Product; unsupported when both are symbolic. Sum; unsupported unless the symbols agree or one is 0.
Result<Dim> dim_mul(const Dim& a, const Dim& b);
Result<Dim> dim_add(const Dim& a, const Dim& b);
// a / b when it divides exactly (49*batch / 49, batch*6 / batch); an error otherwise.
Result<Dim> dim_div_exact(const Dim& a, const Dim& b);

// Product of all dimensions; 1 for a scalar.
Result<Dim> shape_elements(const Shape& shape);
// Product of constant dimensions, each ≥ 0; that of those above 0 is checked against kMaxElements, their number against
// kMaxRank; kind resource or bad_input.
Result<int64_t> count_elements(const Dims& dims);
// The same without a check, for dimensions that were checked before.
int64_t element_count(const Dims& dims);

bool is_static(const Shape& shape);
// Requires is_static.
Dims static_dims(const Shape& shape);
Shape to_shape(const Dims& dims);
// Every symbol replaced by `value`; an error when a product overflows.
Result<Dims> bind_shape(const Shape& shape, int64_t value);

// "[batch,3,28,28]"; "[]" for a scalar.
std::string to_text(const Dim& dim);
std::string to_text(const Shape& shape);
std::string to_text(const Dims& dims);

// ONNX's multidirectional broadcast of two shapes. A symbolic dimension broadcasts with 1 and with itself.
// Error (bad_input) names both shapes.
Result<Shape> broadcast_shapes(const Shape& a, const Shape& b);

// Index `axis` in [-rank, rank) made non-negative; bad_input with the node's place left empty.
Result<int64_t> normalize_axis(int64_t axis, int64_t rank);

}  // namespace cupel
