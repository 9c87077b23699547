// integer_product: y = Σ over k of (a[…, m, k] − za) · (b[…, k, n] − zb) in 32 bits, wrapping around; leading
// dimensions broadcast, and a vector is a row (a) or a column (b) whose dimension y lacks, as NumPy's matmul.
//
// Operands: a u8 or s8; za of a's type, one or one for each m; b u8 or s8 [K, N]; zb of b's type, one or one for each
// n. za and zb may be absent, which is 0. Attribute: 1 where b holds b − zb as s16, transposed to [N, K]; there is no
// operand zb then. Result: y s32. A unit is a row of y.
#include "runtime/op_call.h"

namespace cupel {
namespace {

enum Operand { kA, kZa, kB, kZb, kOperands };

int64_t at_least_one(const OpTensor& t, int64_t from_end) { return t.rank >= from_end ? t.dims[t.rank - from_end] : 1; }

// The matrices of a call and their leading dimensions.
struct Product {
  OpTensor a, za, b, zb, y;
  bool centred;
  int64_t rows, depth, columns;  // M, K, N
  int64_t a_lead, b_lead, y_lead;

  explicit Product(const OpCall& call)
      : a(call.operand(kA)), za(call.operand(kZa)), b(call.operand(kB)), y(call.result(0)) {
    centred = call.attribute(0) != 0;
    if (!centred) zb = call.operand(kZb);
    rows = a.rank >= 2 ? a.dims[a.rank - 2] : 1;
    depth = at_least_one(a, 1);
    columns = b.rank < 2 ? 1 : centred ? b.dims[b.rank - 2] : b.dims[b.rank - 1];
    a_lead = a.rank > 2 ? a.rank - 2 : 0;
    b_lead = b.rank > 2 ? b.rank - 2 : 0;
    y_lead = a_lead > b_lead ? a_lead : b_lead;
  }
  // A leading dimension of an operand, counted from the last one; 1 where it has none.
  static int64_t lead_dim(const OpTensor& t, int64_t lead, int64_t from_last) {
    return from_last < lead ? t.dims[lead - 1 - from_last] : 1;
  }
  int64_t joint_dim(int64_t from_last) const {
    const int64_t d = lead_dim(a, a_lead, from_last);
    return d == 1 ? lead_dim(b, b_lead, from_last) : d;
  }
  int64_t matrices() const {
    int64_t count = 1;
    for (int64_t d = 0; d < y_lead; ++d) count *= joint_dim(d);
    return count;
  }
  // Which matrix of an operand product i reads.
  int64_t matrix_of(const OpTensor& t, int64_t lead, int64_t i) const {
    int64_t index = 0, stride = 1;
    for (int64_t d = 0; d < y_lead; i /= joint_dim(d), ++d) {
      const int64_t own = lead_dim(t, lead, d);
      if (own == 1) continue;
      index += i % joint_dim(d) * stride;
      stride *= own;
    }
    return index;
  }
};

int64_t byte_at(const OpTensor& t, int64_t i) { return t.is(DType::s8) ? t.as<int8_t>()[i] : t.as<uint8_t>()[i]; }

constexpr int64_t kBlock = 256;  // of k; the products of so many stay below 2^31

// out[k] = a[k] − zero
void centre(const OpTensor& t, int64_t first, int64_t count, int32_t zero, int16_t* out) {
  if (t.is(DType::s8)) {
    const int8_t* x = t.as<int8_t>() + first;
    for (int64_t k = 0; k < count; ++k) out[k] = static_cast<int16_t>(x[k] - zero);
  } else {
    const uint8_t* x = t.as<uint8_t>() + first;
    for (int64_t k = 0; k < count; ++k) out[k] = static_cast<int16_t>(x[k] - zero);
  }
}

int32_t dot(const int16_t* __restrict a, const int16_t* __restrict b, int64_t count) {
  int32_t sum = 0;
  for (int64_t k = 0; k < count; ++k) sum += static_cast<int32_t>(a[k]) * static_cast<int32_t>(b[k]);
  return sum;
}

// y[n] += Σ a[k] · (b[k][n] − zb)
template <class T>
void add_rows(const int16_t* a, int64_t count, const T* b, const OpTensor& zb, int64_t columns, uint32_t* y) {
  const int32_t one = zb.present() && zb.size() == 1 ? static_cast<int32_t>(byte_at(zb, 0)) : 0;
  const T* zeros = zb.present() && zb.size() > 1 ? zb.as<T>() : nullptr;
  for (int64_t k = 0; k < count; ++k) {
    const int32_t v = a[k];
    const T* row = b + k * columns;
    if (zeros != nullptr)
      for (int64_t n = 0; n < columns; ++n) y[n] += static_cast<uint32_t>(v * (row[n] - zeros[n]));
    else
      for (int64_t n = 0; n < columns; ++n) y[n] += static_cast<uint32_t>(v * (row[n] - one));
  }
}

void run_row(const Product& p, int64_t row) {
  const int64_t matrix = row / p.rows, m = row % p.rows;
  const int64_t first = (p.matrix_of(p.a, p.a_lead, matrix) * p.rows + m) * p.depth;
  const int64_t weights = p.matrix_of(p.b, p.b_lead, matrix) * p.depth * p.columns;
  const int64_t zero = !p.za.present() ? 0 : byte_at(p.za, p.za.size() == 1 ? 0 : m);
  uint32_t* y = p.y.as<uint32_t>() + row * p.columns;
  memset(y, 0, static_cast<size_t>(p.columns) * sizeof *y);
  for (int64_t k = 0; k < p.depth; k += kBlock) {
    const int64_t count = p.depth - k < kBlock ? p.depth - k : kBlock;
    int16_t a[kBlock];
    centre(p.a, first + k, count, static_cast<int32_t>(zero), a);
    if (p.centred) {
      const int16_t* b = p.b.as<int16_t>() + weights + k;
      for (int64_t n = 0; n < p.columns; ++n) y[n] += static_cast<uint32_t>(dot(a, b + n * p.depth, count));
    } else if (p.b.is(DType::s8)) {
      add_rows(a, count, p.b.as<int8_t>() + weights + k * p.columns, p.zb, p.columns, y);
    } else {
      add_rows(a, count, p.b.as<uint8_t>() + weights + k * p.columns, p.zb, p.columns, y);
    }
  }
}

bool is_byte(const OpTensor& t) { return t.is(DType::u8) || t.is(DType::s8); }
bool fits_zero(const OpTensor& zero, const OpTensor& of, int64_t count) {
  return !zero.present() || (zero.dtype == of.dtype && (zero.size() == 1 || zero.size() == count));
}

}  // namespace

const char* check_integer_product(const OpCall& call) {
  if (call.results() != 1 || call.attributes() != 1) return "expected one result and an attribute";
  if (call.attribute(0) != 0 && call.attribute(0) != 1) return "attribute 0 is not 0 or 1";
  if (call.operands() != kOperands - call.attribute(0)) return "expected another number of operands";
  const Product p(call);
  if (!is_byte(p.a) || p.a.rank < 1 || p.b.rank < 1 || !p.y.is(DType::s32)) return "expected bytes, and s32";
  if (p.centred ? !p.b.is(DType::s16) || p.b.rank < 2 : !is_byte(p.b)) return "operand 2 has another type";
  const int64_t depth = p.b.rank < 2 ? p.b.dims[0] : p.centred ? p.b.dims[p.b.rank - 1] : p.b.dims[p.b.rank - 2];
  if (depth != p.depth) return "the operands differ in the summed dimension";
  if (!fits_zero(p.za, p.a, p.rows) || !fits_zero(p.zb, p.b, p.columns)) return "a zero point has another shape";
  for (int64_t d = 0; d < p.y_lead; ++d) {
    const int64_t x = Product::lead_dim(p.a, p.a_lead, d), w = Product::lead_dim(p.b, p.b_lead, d);
    if (x != w && x != 1 && w != 1) return "leading dimensions do not broadcast";
  }
  const int64_t units = p.matrices() * p.rows;
  if (call.units() != units || units * p.columns != p.y.size()) return "expected a unit for each row of the result";
  return nullptr;
}

void run_integer_product(const OpCall& call, int64_t begin, int64_t end) {
  const Product p(call);
  for (int64_t row = begin; row < end; ++row) run_row(p, row);
}

}  // namespace cupel
