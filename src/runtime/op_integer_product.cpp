// integer_product: y = Σ over k of (a[…, m, k] − za) · (b[…, k, n] − zb) in 32 bits, wrapping around; leading
// dimensions broadcast, and a vector is a row (a) or a column (b) whose dimension y lacks, as NumPy's matmul.
//
// Operands: a u8 or s8; za of a's type, one or one for each m; b u8 or s8 [K, N]; zb of b's type, one or one for each
// n. za and zb may be absent, which is 0. Attribute: −1, or N where b lies in panels [matrices, whole K, whole N]
// (byte_panels.h), of which u8 has lost 128; then operand zb is s32 [N], and the sums of columns follow, s32 [matrices,
// N]. Result: y s32. A unit is a row of y.
#include "runtime/byte_products.h"
#include "runtime/op_call.h"

namespace cupel {
namespace {

enum Operand { kA, kZa, kB, kZb, kSums };

int64_t at_least_one(const OpTensor& t, int64_t from_end) { return t.rank >= from_end ? t.dims[t.rank - from_end] : 1; }

// The matrices of a call and their leading dimensions.
struct Product {
  OpTensor a, za, b, zb, sums, y;
  bool in_panels;
  int64_t rows, depth, columns;  // M, K, N
  int64_t a_lead, b_lead, y_lead;

  explicit Product(const OpCall& call)
      : a(call.operand(kA)), za(call.operand(kZa)), b(call.operand(kB)), zb(call.operand(kZb)), y(call.result(0)) {
    in_panels = call.attribute(0) >= 0;
    if (in_panels) sums = call.operand(kSums);
    rows = a.rank >= 2 ? a.dims[a.rank - 2] : 1;
    depth = at_least_one(a, 1);
    columns = in_panels ? call.attribute(0) : b.rank < 2 ? 1 : b.dims[b.rank - 1];
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

int64_t zero_of(const Product& p, int64_t m) { return !p.za.present() ? 0 : byte_at(p.za, p.za.size() == 1 ? 0 : m); }

void run_row(const Product& p, int64_t row) {
  const int64_t matrix = row / p.rows, m = row % p.rows;
  const int64_t first = (p.matrix_of(p.a, p.a_lead, matrix) * p.rows + m) * p.depth;
  const int64_t weights = p.matrix_of(p.b, p.b_lead, matrix) * p.depth * p.columns;
  uint32_t* y = p.y.as<uint32_t>() + row * p.columns;
  memset(y, 0, static_cast<size_t>(p.columns) * sizeof *y);
  for (int64_t k = 0; k < p.depth; k += kBlock) {
    const int64_t count = p.depth - k < kBlock ? p.depth - k : kBlock;
    int16_t a[kBlock];
    centre(p.a, first + k, count, static_cast<int32_t>(zero_of(p, m)), a);
    if (p.b.is(DType::s8))
      add_rows(a, count, p.b.as<int8_t>() + weights + k * p.columns, p.zb, p.columns, y);
    else
      add_rows(a, count, p.b.as<uint8_t>() + weights + k * p.columns, p.zb, p.columns, y);
  }
}

// Up to kRows rows of one matrix of a times weights in panels, by
// Σ (a − za) (b − zb) = Σ a b − za Σ b − zb (Σ a − K za) for codes u8 of a and s8 of b.
class PanelRows {
 public:
  static constexpr int64_t kRows = 4;

  PanelRows(const Product& p, int64_t row, int64_t count)
      : p_(p), count_(count), y_(p.y.as<uint32_t>() + row * p.columns) {
    const int64_t matrix = row / p.rows, of_b = p.matrix_of(p.b, p.b_lead, matrix), m = row % p.rows;
    first_ = (p.matrix_of(p.a, p.a_lead, matrix) * p.rows + m) * p.depth;
    panels_ = p.b.as<int8_t>() + of_b * whole_depth(p.depth) * whole_columns(p.columns);
    const int32_t* sums = p.sums.as<int32_t>() + of_b * p.columns;
    for (int64_t r = 0; r < count; ++r) {
      zeros_[r] = static_cast<uint32_t>(zero_of(p, m + r) + shift());
      for (int64_t n = 0; n < p.columns; ++n) y_[r * p.columns + n] = 0u - zeros_[r] * static_cast<uint32_t>(sums[n]);
    }
  }

  void run() {
    for (int64_t k = 0; k < p_.depth; k += kDepth) add(k, p_.depth - k < kDepth ? p_.depth - k : kDepth);
    const int32_t* zb = p_.zb.as<int32_t>();
    for (int64_t r = 0; r < count_; ++r) {
      const uint32_t sum = sums_[r] - static_cast<uint32_t>(p_.depth) * zeros_[r];
      for (int64_t n = 0; n < p_.columns; ++n) y_[r * p_.columns + n] -= static_cast<uint32_t>(zb[n]) * sum;
    }
  }

 private:
  static constexpr int64_t kDepth = 1024, kColumns = 256;

  int64_t shift() const { return p_.a.is(DType::s8) ? 128 : 0; }

  // The products of rows [k, k + depth) of the weights.
  void add(int64_t k, int64_t depth) {
    uint8_t codes[kRows][kDepth];
    const uint8_t* x[kRows];
    for (int64_t r = 0; r < count_; ++r) {
      const uint8_t* a = p_.a.data + first_ + r * p_.depth + k;
      for (int64_t i = 0; i < depth; ++i) {
        codes[r][i] = static_cast<uint8_t>(a[i] + shift());
        sums_[r] += codes[r][i];
      }
      for (int64_t i = depth; i < whole_depth(depth); ++i) codes[r][i] = 0;
      x[r] = codes[r];
    }
    int32_t products[kRows * kColumns];
    const int64_t whole = whole_depth(p_.depth);
    for (int64_t n = 0; n < p_.columns; n += kColumns) {
      const int64_t columns = p_.columns - n < kColumns ? p_.columns - n : kColumns;
      multiply_bytes({x, panels_ + n * whole + k * kByteColumns, whole, whole_depth(depth), whole_columns(columns),
                      products, kColumns},
                     count_);
      for (int64_t r = 0; r < count_; ++r)
        for (int64_t j = 0; j < columns; ++j)
          y_[r * p_.columns + n + j] += static_cast<uint32_t>(products[r * kColumns + j]);
    }
  }

  const Product& p_;
  int64_t count_, first_ = 0;
  uint32_t* y_;
  const int8_t* panels_ = nullptr;
  uint32_t zeros_[kRows] = {}, sums_[kRows] = {};
};

bool is_byte(const OpTensor& t) { return t.is(DType::u8) || t.is(DType::s8); }
bool fits_zero(const OpTensor& zero, const OpTensor& of, int64_t count) {
  return !zero.present() || (zero.dtype == of.dtype && (zero.size() == 1 || zero.size() == count));
}

const char* unsound_panels(const Product& p) {
  if (!p.b.is(DType::s8) || p.b.rank < 2 || p.b.dims[p.b.rank - 2] != whole_depth(p.depth) ||
      p.b.dims[p.b.rank - 1] != whole_columns(p.columns))
    return "the panels have another shape";
  if (!p.zb.is(DType::s32) || p.zb.size() != p.columns) return "zero points have another shape";
  if (!p.sums.is(DType::s32) || p.sums.size() != p.b.elements(0, p.b.rank - 2) * p.columns)
    return "sums have another shape";
  return nullptr;
}

}  // namespace

const char* check_integer_product(const OpCall& call) {
  if (call.results() != 1 || call.attributes() != 1) return "expected one result and an attribute";
  if (call.attribute(0) < -1 || call.attribute(0) > INT32_MAX) return "attribute 0 is no number of columns";
  if (call.operands() != (call.attribute(0) < 0 ? kSums : kSums + 1)) return "expected another number of operands";
  const Product p(call);
  if (!is_byte(p.a) || p.a.rank < 1 || p.b.rank < 1 || !p.y.is(DType::s32)) return "expected bytes, and s32";
  if (!fits_zero(p.za, p.a, p.rows)) return "a zero point has another shape";
  if (p.in_panels) {
    if (const char* cause = unsound_panels(p)) return cause;
  } else {
    if (!is_byte(p.b)) return "operand 2 has another type";
    if (p.b.dims[p.b.rank < 2 ? 0 : p.b.rank - 2] != p.depth) return "the operands differ in the summed dimension";
    if (!fits_zero(p.zb, p.b, p.columns)) return "a zero point has another shape";
  }
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
  if (!p.in_panels) {
    for (int64_t row = begin; row < end; ++row) run_row(p, row);
    return;
  }
  for (int64_t row = begin, count = 0; row < end; row += count) {
    const int64_t left = p.rows - row % p.rows < end - row ? p.rows - row % p.rows : end - row;
    count = left < PanelRows::kRows ? left : PanelRows::kRows;
    PanelRows(p, row, count).run();
  }
}

}  // namespace cupel
