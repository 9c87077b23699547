#include "data/npy.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>

namespace cupel {
namespace {

constexpr std::string_view kMagic = "\x93NUMPY";
constexpr std::string_view kRemedy = "write the file again with numpy.save";

struct TypeRow {
  std::string_view code;  // without the byte order
  DType type;
};
constexpr std::array<TypeRow, 15> kTypes = {{{"b1", DType::boolean},
                                             {"u1", DType::u8},
                                             {"i1", DType::s8},
                                             {"u2", DType::u16},
                                             {"i2", DType::s16},
                                             {"u4", DType::u32},
                                             {"i4", DType::s32},
                                             {"u8", DType::u64},
                                             {"i8", DType::s64},
                                             {"f2", DType::f16},
                                             // As NumPy writes the types of ml_dtypes. One byte is read as the first.
                                             {"V2", DType::bf16},
                                             {"V1", DType::f8e4m3},
                                             {"V1", DType::f8e5m2},
                                             {"f4", DType::f32},
                                             {"f8", DType::f64}}};

struct Header {
  std::string descr;
  bool fortran_order = false;
  Dims shape;
};

// The header is the text of a Python dictionary with exactly the keys descr, fortran_order and shape.
class HeaderParser {
 public:
  HeaderParser(std::string_view text, const std::string& place) : text_(text), place_(place) {}

  Result<Header> parse() {
    Header header;
    bool seen[3] = {};
    CUPEL_TRY(expect('{'));
    while (!accept('}')) {
      const std::string key = CUPEL_TRY(string());
      CUPEL_TRY(expect(':'));
      const int k = key == "descr" ? 0 : key == "fortran_order" ? 1 : key == "shape" ? 2 : -1;
      if (k < 0 || seen[k]) return wrong(fmt::format("an unexpected key '{}'", printable(key)));
      seen[k] = true;
      if (k == 0) {
        skip_space();
        if (at_ < text_.size() && text_[at_] == '[')
          return unsupported(place_, "holds records (a structured dtype)", "save each field as its own array");
        header.descr = CUPEL_TRY(string());
      } else if (k == 1) {
        header.fortran_order = CUPEL_TRY(boolean());
      } else {
        header.shape = CUPEL_TRY(tuple());
      }
      if (!accept(',')) {
        CUPEL_TRY(expect('}'));
        break;
      }
    }
    skip_space();
    if (at_ != text_.size()) return wrong("text after the dictionary");
    if (!seen[0] || !seen[1] || !seen[2]) return wrong("no descr, fortran_order or shape");
    return header;
  }

 private:
  std::unexpected<Error> wrong(const std::string& what) const {
    return bad_input(place_, fmt::format("has a malformed .npy header: {} at character {}", what, at_),
                     std::string(kRemedy));
  }
  void skip_space() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n' || text_[at_] == '\t' || text_[at_] == '\r'))
      ++at_;
  }
  bool accept(char c) {
    skip_space();
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  Status expect(char c) {
    if (!accept(c)) return wrong(fmt::format("no '{}'", c));
    return {};
  }
  Result<std::string> string() {
    skip_space();
    const char quote = at_ < text_.size() ? text_[at_] : '\0';
    const size_t end = quote == '\'' || quote == '"' ? text_.find(quote, at_ + 1) : std::string_view::npos;
    if (end == std::string_view::npos) return wrong("no string");
    const std::string value(text_.substr(at_ + 1, end - at_ - 1));
    at_ = end + 1;
    return value;
  }
  Result<bool> boolean() {
    skip_space();
    for (const bool value : {true, false}) {
      const std::string_view word = value ? "True" : "False";
      if (text_.substr(at_).starts_with(word)) {
        at_ += word.size();
        return value;
      }
    }
    return wrong("neither True nor False");
  }
  Result<Dims> tuple() {
    Dims dims;
    CUPEL_TRY(expect('('));
    while (!accept(')')) {
      skip_space();
      int64_t value = 0;
      const auto [stop, code] = std::from_chars(text_.data() + at_, text_.data() + text_.size(), value);
      if (code != std::errc() || value < 0) return wrong("no dimension");
      at_ = static_cast<size_t>(stop - text_.data());
      dims.push_back(value);
      if (!accept(',')) {
        CUPEL_TRY(expect(')'));
        break;
      }
    }
    return dims;
  }

  std::string_view text_;
  const std::string& place_;
  size_t at_ = 0;
};

// Column-major elements to row-major ones.
Tensor from_fortran_order(const Tensor& in) {
  const Dims& dims = in.dims();
  Tensor out(in.dtype(), dims);
  const int64_t width = dtype_bits(in.dtype()) / 8;
  Dims index(dims.size(), 0);
  for (int64_t i = 0; i < in.size(); ++i) {
    int64_t from = 0;
    for (size_t d = dims.size(); d-- > 0;) from = from * dims[d] + index[d];
    std::memcpy(out.mutable_bytes().data() + i * width, in.bytes().data() + from * width, static_cast<size_t>(width));
    for (size_t d = dims.size(); d-- > 0;) {
      if (++index[d] < dims[d]) break;
      index[d] = 0;
    }
  }
  return out;
}

}  // namespace

Result<Tensor> parse_npy(std::span<const std::byte> file, const std::string& place) try {
  const std::string_view text(reinterpret_cast<const char*>(file.data()), file.size());
  if (!text.starts_with(kMagic)) return bad_input(place, "does not start as an .npy file does", std::string(kRemedy));
  const auto byte = [&](size_t i) { return std::to_integer<size_t>(file[i]); };
  const auto ends_in_header = [&] {
    return bad_input(place, fmt::format("ends at byte {} within its .npy header", file.size()),
                     "fetch or copy the file again");
  };
  if (file.size() < 10) return ends_in_header();
  const size_t major = byte(6);
  if (major < 1 || major > 3 || byte(7) != 0)
    return unsupported(place, fmt::format("has .npy format version {}.{}", major, byte(7)),
                       "write the file in version 1.0, 2.0 or 3.0");
  const size_t fixed = major == 1 ? 10 : 12;
  if (file.size() < fixed) return ends_in_header();
  const size_t header_bytes =
      major == 1 ? byte(8) | byte(9) << 8 : byte(8) | byte(9) << 8 | byte(10) << 16 | byte(11) << 24;
  if (header_bytes > file.size() - fixed) return ends_in_header();
  const Header header = CUPEL_TRY(HeaderParser(text.substr(fixed, header_bytes), place).parse());

  const char order = header.descr.empty() ? '\0' : header.descr[0];
  const auto* row = header.descr.empty()
                        ? kTypes.end()
                        : std::ranges::find(kTypes, std::string_view(header.descr).substr(1), &TypeRow::code);
  const bool any_order = row != kTypes.end() && (dtype_bits(row->type) == 8 || row->type == DType::bf16);
  if (row == kTypes.end() || (order != '<' && order != '>' && !(order == '|' && any_order)))
    return unsupported(place, fmt::format("has dtype '{}'", printable(header.descr)),
                       "convert it to bool, an integer of 8 to 64 bits or a float");
  const auto elements = count_elements(header.shape);
  if (!elements)
    return fail(elements.error().kind, place,
                fmt::format("declares the shape {}; the limits are {} dimensions and {} elements",
                            to_text(header.shape), kMaxRank, kMaxElements),
                "store a smaller array");
  const int64_t found = static_cast<int64_t>(file.size() - fixed - header_bytes),
                expected = byte_count(row->type, *elements);
  if (found != expected)
    return bad_input(place,
                     fmt::format("its header declares {} {}, {} bytes, but {} follow", dtype_name(row->type),
                                 to_text(header.shape), expected, found),
                     "fetch or copy the file again");
  Tensor tensor(row->type, header.shape);
  std::byte* to = tensor.mutable_bytes().data();
  if (found > 0) std::memcpy(to, file.data() + fixed + header_bytes, static_cast<size_t>(found));
  const int64_t width = dtype_bits(row->type) / 8;
  if (order == '>')
    for (int64_t i = 0; i < found; i += width) std::reverse(to + i, to + i + width);
  if (row->type == DType::boolean)
    for (int64_t i = 0; i < found; ++i) to[i] = std::byte{to[i] != std::byte{0}};
  if (header.fortran_order && header.shape.size() > 1) return from_fortran_order(tensor);
  return tensor;
} catch (const std::bad_alloc&) {
  return out_of_memory(place, "does not fit into memory", "free some memory or store a smaller array");
}

Result<Tensor> read_npy(const std::filesystem::path& path) {
  const Bytes file = CUPEL_TRY(read_file(path));
  return parse_npy(file, printable(path.string()));
}

Result<Bytes> format_npy(const Tensor& tensor, const std::string& place) {
  const auto* row = std::ranges::find(kTypes, tensor.dtype(), &TypeRow::type);
  if (row == kTypes.end())
    return unsupported(place, fmt::format("the .npy format has no dtype for {}", dtype_name(tensor.dtype())),
                       "convert the array to f32 first");
  std::string shape;
  for (int64_t d : tensor.dims()) shape += fmt::format("{}, ", d);
  if (tensor.rank() > 1) shape.resize(shape.size() - 2);
  if (tensor.rank() == 1) shape.resize(shape.size() - 1);
  std::string header = fmt::format("{{'descr': '{}{}', 'fortran_order': False, 'shape': ({}), }}",
                                   dtype_bits(row->type) == 8 ? '|' : '<', row->code, shape);
  const size_t unpadded = kMagic.size() + 4 + header.size() + 1;
  header.append((64 - unpadded % 64) % 64, ' ');
  header += '\n';
  const std::string start = std::string(kMagic) + '\x01' + '\0' + static_cast<char>(header.size() & 255) +
                            static_cast<char>(header.size() >> 8) + header;
  Bytes file(start.size() + static_cast<size_t>(tensor.bytes_size()));
  std::memcpy(file.data(), start.data(), start.size());
  if (!tensor.empty()) std::memcpy(file.data() + start.size(), tensor.bytes().data(), tensor.bytes().size());
  return file;
}

Status write_npy(const std::filesystem::path& path, const Tensor& tensor) try {
  return write_file(path, CUPEL_TRY(format_npy(tensor, printable(path.string()))));
} catch (const std::bad_alloc&) {
  return out_of_memory(printable(path.string()), "the array does not fit into memory twice", "free some memory");
}

}  // namespace cupel
