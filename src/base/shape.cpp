#include "base/shape.h"

#include <algorithm>

#include "base/file.h"

namespace cupel {

Result<int64_t> checked_mul(int64_t a, int64_t b) {
  int64_t r = 0;
  if (__builtin_mul_overflow(a, b, &r))
    return resource_error("shape arithmetic", std::to_string(a) + " * " + std::to_string(b) + " exceeds 64 bits",
                          "use a model with smaller tensors");
  return r;
}

Result<int64_t> checked_add(int64_t a, int64_t b) {
  int64_t r = 0;
  if (__builtin_add_overflow(a, b, &r))
    return resource_error("shape arithmetic", std::to_string(a) + " + " + std::to_string(b) + " exceeds 64 bits",
                          "use a model with smaller tensors");
  return r;
}

Result<Dim> dim_mul(const Dim& a, const Dim& b) {
  if (!a.is_constant() && !b.is_constant())
    return unsupported("shape arithmetic", to_text(a) + " * " + to_text(b) + " multiplies two symbolic dimensions",
                       kGiveSize);
  return Dim(CUPEL_TRY(checked_mul(a.factor, b.factor)), a.is_constant() ? b.symbol : a.symbol);
}

Result<Dim> dim_add(const Dim& a, const Dim& b) {
  if (a.factor == 0) return b;
  if (b.factor == 0) return a;
  if (a.symbol != b.symbol)
    return unsupported("shape arithmetic", to_text(a) + " + " + to_text(b) + " adds to a symbolic dimension",
                       kGiveSize);
  return Dim(CUPEL_TRY(checked_add(a.factor, b.factor)), a.symbol);
}

Result<Dim> dim_div_exact(const Dim& a, const Dim& b) {
  if (b.factor == 0)
    return bad_input("shape arithmetic", "division of " + to_text(a) + " by 0", "correct the model's shapes");
  const bool symbols_fit = b.is_constant() || b.symbol == a.symbol;
  // −1 apart: the quotient of the least number would trap.
  if (!symbols_fit || (b.factor != -1 && a.factor % b.factor != 0))
    return bad_input("shape arithmetic", to_text(a) + " is not a multiple of " + to_text(b),
                     "correct the model's shapes");
  return Dim(b.factor == -1 ? CUPEL_TRY(checked_mul(a.factor, -1)) : a.factor / b.factor,
             b.is_constant() ? a.symbol : std::string());
}

Result<Dim> shape_elements(const Shape& shape) {
  Dim product = 1;
  for (const Dim& d : shape) product = CUPEL_TRY(dim_mul(product, d));
  return product;
}

Result<int64_t> count_elements(const Dims& dims) {
  if (static_cast<int64_t>(dims.size()) > kMaxRank)
    return unsupported("shape " + to_text(dims),
                       "rank " + std::to_string(dims.size()) + " exceeds " + std::to_string(kMaxRank),
                       "reshape the tensor to fewer dimensions");
  // Without the zeros, so that strides stay within limits too.
  int64_t product = 1;
  for (int64_t d : dims) {
    if (d < 0) return bad_input("shape " + to_text(dims), "a dimension is negative", "correct the model's shapes");
    if (d > 0) product = CUPEL_TRY(checked_mul(product, d));
  }
  if (product > kMaxElements)
    return resource_error("shape " + to_text(dims),
                          std::to_string(product) + " elements exceed the limit of " + std::to_string(kMaxElements),
                          "use a model with smaller tensors");
  return std::ranges::find(dims, 0) != dims.end() ? 0 : product;
}

int64_t element_count(const Dims& dims) {
  int64_t product = 1;
  for (int64_t d : dims) product *= d;
  return product;
}

bool is_static(const Shape& shape) {
  return std::all_of(shape.begin(), shape.end(), [](const Dim& d) { return d.is_constant(); });
}

Dims static_dims(const Shape& shape) {
  Dims dims;
  for (const Dim& d : shape) dims.push_back(d.factor);
  return dims;
}

Shape to_shape(const Dims& dims) { return Shape(dims.begin(), dims.end()); }

Result<Dims> bind_shape(const Shape& shape, int64_t value) {
  Dims dims;
  if (value >= kSymbolLimit && !is_static(shape))
    return resource_error("", "a symbolic dimension of " + std::to_string(value) + "; it must be below 2^27",
                          "use fewer items at once");
  for (const Dim& d : shape) dims.push_back(d.is_constant() ? d.factor : CUPEL_TRY(checked_mul(d.factor, value)));
  CUPEL_TRY(count_elements(dims));
  return dims;
}

std::string to_text(const Dim& dim) {
  if (dim.is_constant()) return std::to_string(dim.factor);
  const std::string symbol = printable(dim.symbol);
  return dim.factor == 1 ? symbol : std::to_string(dim.factor) + "*" + symbol;
}

std::string to_text(const Shape& shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); ++i) text += (i ? "," : "") + to_text(shape[i]);
  return text + "]";
}

std::string to_text(const Dims& dims) {
  std::string text = "[";
  for (size_t i = 0; i < dims.size(); ++i) text += (i ? "," : "") + std::to_string(dims[i]);
  return text + "]";
}

Result<Shape> broadcast_shapes(const Shape& a, const Shape& b) {
  const size_t rank = std::max(a.size(), b.size());
  Shape out(rank);
  for (size_t i = 0; i < rank; ++i) {
    const Dim x = i + a.size() < rank ? Dim(1) : a[i + a.size() - rank];
    const Dim y = i + b.size() < rank ? Dim(1) : b[i + b.size() - rank];
    if (x == y || y == Dim(1)) {
      out[i] = x;
    } else if (x == Dim(1)) {
      out[i] = y;
    } else {
      return bad_input("", "shapes " + to_text(a) + " and " + to_text(b) + " do not broadcast",
                       "correct the model's shapes");
    }
  }
  return out;
}

Result<int64_t> normalize_axis(int64_t axis, int64_t rank) {
  if (axis < -rank || axis >= rank)
    return bad_input("", "axis " + std::to_string(axis) + " is outside a tensor of rank " + std::to_string(rank),
                     "correct the attribute");
  return axis < 0 ? axis + rank : axis;
}

}  // namespace cupel
