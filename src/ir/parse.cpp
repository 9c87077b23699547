#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <charconv>
#include <cmath>
#include <cstring>

#include "base/file.h"
#include "base/hash.h"
#include "base/quoted.h"
#include "ir/text.h"

namespace cupel {
namespace {

class Parser {
 public:
  Parser(std::string_view text, const ConstantStore& store, std::string_view name)
      : text_(text), store_(store), name_(name) {}

  Result<Graph> parse() {
    CUPEL_TRY(expect("graph"));
    graph_.name = CUPEL_TRY(string());
    CUPEL_TRY(expect("stage"));
    const std::string stage = CUPEL_TRY(word("a stage"));
    const auto found = stage_from_name(stage);
    if (!found) return error(fmt::format("unknown stage {}", stage));
    graph_.stage = *found;
    CUPEL_TRY(expect("opset"));
    const int64_t opset = CUPEL_TRY(integer());
    if (opset < 0 || opset > INT32_MAX) return error("the opset is out of range");
    graph_.opset = static_cast<int>(opset);
    CUPEL_TRY(expect("{"));
    while (!accept("}")) {
      if (at_end()) return error("the text ends inside the graph");
      CUPEL_TRY(statement());
    }
    if (!at_end()) return error("text after the graph");
    return std::move(graph_);
  }

  Result<TensorType> parse_type() {
    TensorType found = CUPEL_TRY(type());
    if (!at_end()) return error("text after the type");
    return found;
  }

  // A tensor's elements: a list, or a hash into the store.
  Result<Tensor> elements(DType type, const Dims& dims) {
    const int64_t count = CUPEL_TRY(located(count_elements(dims)));
    if (accept("#")) {
      const std::string hash = CUPEL_TRY(word("a content hash"));
      const auto found = store_.find(hash);
      if (found == store_.end()) return error(fmt::format("constant #{} is not in the side file", printable(hash)));
      if (found->second.dtype() != type || found->second.dims() != dims)
        return error(fmt::format("constant #{} is {}{}, expected {}{}", hash, dtype_name(found->second.dtype()),
                                 to_text(found->second.dims()), dtype_name(type), to_text(dims)));
      return found->second;
    }
    CUPEL_TRY(expect("["));
    std::vector<uint64_t> bits;
    while (!accept("]")) {
      if (!bits.empty()) CUPEL_TRY(expect(","));
      bits.push_back(CUPEL_TRY(element_bits(type)));
    }
    if (static_cast<int64_t>(bits.size()) != count)
      return error(fmt::format("{} elements for {}{}", bits.size(), dtype_name(type), to_text(dims)));
    Tensor t(type, dims);
    std::byte* out = t.mutable_bytes().data();
    const auto width = static_cast<size_t>(dtype_bits(type) / 8);
    for (size_t i = 0; i < bits.size(); ++i) {
      if (width == 0) {
        out[i / 2] |= static_cast<std::byte>((bits[i] & 15) << (i % 2 * 4));
      } else {
        std::memcpy(out + i * width, &bits[i], width);
      }
    }
    return t;
  }

 private:
  std::unexpected<Error> error(std::string cause) const {
    const auto before = text_.substr(0, std::min(at_, text_.size()));
    const auto line = 1 + std::count(before.begin(), before.end(), '\n');
    const auto newline = before.rfind('\n');
    const size_t column = 1 + before.size() - (newline == std::string_view::npos ? 0 : newline + 1);
    return bad_input(fmt::format("{}:{}:{}", name_, line, column), std::move(cause), "correct the graph text");
  }
  template <class T>
  Result<T> located(Result<T> result) const {
    if (!result)
      return error(result.error().place.empty() ? result.error().cause
                                                : result.error().place + ": " + result.error().cause);
    return result;
  }

  void skip() {
    while (at_ < text_.size()) {
      if (std::isspace(static_cast<unsigned char>(text_[at_]))) {
        ++at_;
      } else if (text_.substr(at_, 2) == "//") {
        while (at_ < text_.size() && text_[at_] != '\n') ++at_;
      } else {
        return;
      }
    }
  }
  bool at_end() {
    skip();
    return at_ >= text_.size();
  }
  static bool word_char(char c) {
    return std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '.' || c == '/' || c == ':' || c == '-';
  }
  // A literal; words must end there.
  bool accept(std::string_view token) {
    skip();
    if (text_.substr(at_, token.size()) != token) return false;
    const bool is_word = std::isalpha(static_cast<unsigned char>(token.back()));
    if (is_word && at_ + token.size() < text_.size() && word_char(text_[at_ + token.size()])) return false;
    at_ += token.size();
    return true;
  }
  Status expect(std::string_view token) {
    if (accept(token)) return {};
    return error(fmt::format("expected '{}'", token));
  }
  // Letters, digits and _ only when `simple`; the characters of plain value names otherwise.
  Result<std::string> word(std::string_view what, bool simple = true) {
    skip();
    const size_t begin = at_;
    while (at_ < text_.size() && word_char(text_[at_]) &&
           (!simple || std::isalnum(static_cast<unsigned char>(text_[at_])) || text_[at_] == '_'))
      ++at_;
    if (at_ == begin) return error(fmt::format("expected {}", what));
    return std::string(text_.substr(begin, at_ - begin));
  }
  Result<std::string> string() {
    skip();
    std::string_view rest = text_.substr(at_);
    auto found = take_quoted(rest);
    at_ = text_.size() - rest.size();
    if (!found) return error(std::string(found.error()));
    return std::move(*found);
  }
  Result<int64_t> integer() {
    skip();
    int64_t value = 0;
    const auto [end, code] = std::from_chars(text_.data() + at_, text_.data() + text_.size(), value);
    if (code != std::errc()) return error("expected an integer");
    at_ = static_cast<size_t>(end - text_.data());
    return value;
  }
  // Decimal or hexadecimal (0x1.8p+3), inf, nan.
  Result<double> real() {
    skip();
    const bool negative = at_ < text_.size() && text_[at_] == '-';
    if (negative) ++at_;
    const bool hexadecimal = text_.substr(at_, 2) == "0x";
    if (hexadecimal) at_ += 2;
    double value = 0;
    const bool sign_again = at_ < text_.size() && text_[at_] == '-';
    const auto [end, code] = std::from_chars(text_.data() + at_, text_.data() + text_.size(), value,
                                             hexadecimal ? std::chars_format::hex : std::chars_format::general);
    if (code != std::errc() || sign_again) return error("expected a number");
    at_ = static_cast<size_t>(end - text_.data());
    return negative ? -value : value;
  }
  // Whether the number at the cursor is written as a real (dot, exponent, hexadecimal, inf, nan).
  bool looks_real() {
    skip();
    size_t i = at_;
    if (i < text_.size() && text_[i] == '-') ++i;
    const size_t begin = i;
    while (i < text_.size() && (std::isalnum(static_cast<unsigned char>(text_[i])) || text_[i] == '.')) {
      if (!std::isdigit(static_cast<unsigned char>(text_[i]))) return true;
      ++i;
    }
    return i == begin;
  }

  // Bits of one element of that type.
  Result<uint64_t> element_bits(DType type) {
    if (is_float(type)) return real_bits(type);
    skip();
    if (type == DType::u64) {
      uint64_t value = 0;
      const auto [end, code] = std::from_chars(text_.data() + at_, text_.data() + text_.size(), value);
      if (code != std::errc()) return error("expected an integer");
      at_ = static_cast<size_t>(end - text_.data());
      return value;
    }
    const int64_t value = CUPEL_TRY(integer());
    if (type != DType::s64 && (value < dtype_min(type) || value > dtype_max(type)))
      return error(fmt::format("{} is outside {}", value, dtype_name(type)));
    return static_cast<uint64_t>(value);
  }
  Result<uint64_t> real_bits(DType type) {
    skip();
    if (constexpr std::string_view opening = "nan(0x"; text_.substr(at_, opening.size()) == opening) {
      at_ += opening.size();
      uint64_t bits = 0;
      const auto [end, code] = std::from_chars(text_.data() + at_, text_.data() + text_.size(), bits, 16);
      if (code != std::errc()) return error("expected the bits of a NaN");
      at_ = static_cast<size_t>(end - text_.data());
      CUPEL_TRY(expect(")"));
      const int width = dtype_bits(type);
      if (width < 64 && bits >> width != 0)
        return error(fmt::format("the bits of a NaN do not fit {}", dtype_name(type)));
      Tensor one(type, {});
      std::memcpy(one.mutable_bytes().data(), &bits, static_cast<size_t>(width / 8));
      if (!std::isnan(one.at(0))) return error("the bits are not those of a NaN");
      return bits;
    }
    const double value = CUPEL_TRY(real());
    const auto as_float = static_cast<float>(value);
    if (type == DType::f64) return std::bit_cast<uint64_t>(value);
    if (std::isfinite(value) && !std::isfinite(as_float))
      return error(fmt::format("the number is outside {}", dtype_name(type)));
    switch (type) {
      case DType::f32: return std::bit_cast<uint32_t>(as_float);
      case DType::f16: return f32_to_f16(as_float);
      case DType::bf16: return f32_to_bf16(as_float);
      default: break;
    }
    for (uint32_t code = 0; code < 256; ++code) {
      const auto byte = static_cast<uint8_t>(code);
      const float real_value = type == DType::f8e4m3 ? f8e4m3_to_f32(byte) : f8e5m2_to_f32(byte);
      if (std::bit_cast<uint32_t>(real_value) == std::bit_cast<uint32_t>(as_float) ||
          (std::isnan(real_value) && std::isnan(as_float)))
        return code;
    }
    return error(fmt::format("the number is not one of {}", dtype_name(type)));
  }
  Result<float> real_attribute() {
    return std::bit_cast<float>(static_cast<uint32_t>(CUPEL_TRY(real_bits(DType::f32))));
  }

  Result<std::string> new_name() {
    CUPEL_TRY(expect("%"));
    const std::string name =
        at_ < text_.size() && text_[at_] == '"' ? CUPEL_TRY(string()) : CUPEL_TRY(word("a value name", false));
    if (graph_.find_value(name)) return error(fmt::format("%{} is defined twice", printable(name)));
    return name;
  }
  Result<ValueId> operand() {
    skip();
    if (at_ < text_.size() && text_[at_] == '_') {
      ++at_;
      return ValueId{};
    }
    CUPEL_TRY(expect("%"));
    const std::string name =
        at_ < text_.size() && text_[at_] == '"' ? CUPEL_TRY(string()) : CUPEL_TRY(word("a value name", false));
    const auto id = graph_.find_value(name);
    if (!id) return error(fmt::format("%{} is not defined before its use", printable(name)));
    return *id;
  }

  Result<DType> dtype() {
    const std::string name = CUPEL_TRY(word("a type"));
    const auto found = dtype_from_name(name);
    if (!found) return error(fmt::format("unknown type {}", name));
    return *found;
  }
  Result<Shape> shape() {
    CUPEL_TRY(expect("["));
    Shape shape;
    while (!accept("]")) {
      if (!shape.empty()) CUPEL_TRY(expect(","));
      skip();
      int64_t factor = 1;
      const bool number =
          at_ < text_.size() && (std::isdigit(static_cast<unsigned char>(text_[at_])) || text_[at_] == '-');
      if (number) {
        factor = CUPEL_TRY(integer());
        if (factor < 0) return error("a dimension is negative");
        if (!accept("*")) {
          shape.emplace_back(factor);
          continue;
        }
      }
      skip();
      std::string symbol =
          at_ < text_.size() && text_[at_] == '"' ? CUPEL_TRY(string()) : CUPEL_TRY(word("a dimension", false));
      shape.emplace_back(factor, std::move(symbol));
    }
    if (static_cast<int64_t>(shape.size()) > kMaxRank)
      return error(fmt::format("rank {} exceeds {}", shape.size(), kMaxRank));
    return shape;
  }
  Result<TensorType> type() {
    TensorType t;
    t.dtype = CUPEL_TRY(dtype());
    t.shape = CUPEL_TRY(shape());
    CUPEL_TRY(located(bind_shape(t.shape, 1)));
    if (!accept("quant")) return t;
    CUPEL_TRY(expect("("));
    QuantParams q;
    if (accept("axis=")) {
      q.axis = CUPEL_TRY(integer());
      if (q.axis < 0 || q.axis >= static_cast<int64_t>(t.shape.size()))
        return error("the quantization axis is outside the shape");
      CUPEL_TRY(expect(","));
    }
    const int64_t count = q.axis < 0 ? 1 : t.shape[static_cast<size_t>(q.axis)].factor;
    CUPEL_TRY(expect("scale="));
    const Tensor scale = CUPEL_TRY(elements(DType::f32, {count}));
    CUPEL_TRY(expect(","));
    CUPEL_TRY(expect("zero_point="));
    const Tensor zero = CUPEL_TRY(elements(DType::s32, {count}));
    CUPEL_TRY(expect(")"));
    q.scale.assign(scale.data<float>().begin(), scale.data<float>().end());
    q.zero_point.assign(zero.data<int32_t>().begin(), zero.data<int32_t>().end());
    CUPEL_TRY(located(wrap(check_quant_params(q, t.dtype, t.shape))));
    t.quant = std::move(q);
    return t;
  }
  static Result<int> wrap(Status status) {
    if (!status) return std::unexpected(std::move(status).error());
    return 0;
  }

  Result<Attribute> attribute() {
    skip();
    if (at_ < text_.size() && text_[at_] == '"') return Attribute(CUPEL_TRY(string()));
    if (accept("tensor")) {
      const DType t = CUPEL_TRY(dtype());
      const Shape s = CUPEL_TRY(shape());
      if (!is_static(s)) return error("a tensor attribute has a symbolic dimension");
      return Attribute(CUPEL_TRY(elements(t, static_dims(s))));
    }
    if (accept("texts")) {
      CUPEL_TRY(expect("["));
      std::vector<std::string> texts;
      while (!accept("]")) {
        if (!texts.empty()) CUPEL_TRY(expect(","));
        skip();
        texts.push_back(CUPEL_TRY(string()));
      }
      return Attribute(std::move(texts));
    }
    if (accept("ints")) return Attribute(CUPEL_TRY(stored<int64_t>()));
    const bool reals = accept("reals");
    if (reals) {
      skip();
      if (at_ < text_.size() && text_[at_] == '#') return Attribute(CUPEL_TRY(stored<float>()));
    }
    if (!accept("[")) return looks_real() ? Attribute(CUPEL_TRY(real_attribute())) : Attribute(CUPEL_TRY(integer()));
    std::vector<float> real_list;
    std::vector<int64_t> integer_list;
    bool real_seen = reals;
    while (!accept("]")) {
      if (!(real_list.empty() && integer_list.empty())) CUPEL_TRY(expect(","));
      real_seen = real_seen || looks_real();
      if (real_seen) {
        real_list.push_back(CUPEL_TRY(real_attribute()));
      } else {
        integer_list.push_back(CUPEL_TRY(integer()));
      }
    }
    if (!real_seen) return Attribute(std::move(integer_list));
    if (!integer_list.empty()) return error("a list mixes integers and reals");
    return Attribute(std::move(real_list));
  }
  template <class T>
  Result<std::vector<T>> stored() {
    CUPEL_TRY(expect("#"));
    const std::string hash = CUPEL_TRY(word("a content hash"));
    const auto found = store_.find(hash);
    if (found == store_.end() || found->second.dtype() != DTypeOf<T>::value)
      return error(
          fmt::format("constant #{} of {} is not in the side file", printable(hash), dtype_name(DTypeOf<T>::value)));
    const auto values = found->second.template data<T>();
    return std::vector<T>(values.begin(), values.end());
  }

  Status statement() {
    if (accept("input")) {
      std::string name = CUPEL_TRY(new_name());
      CUPEL_TRY(expect(":"));
      graph_.add_input(std::move(name), CUPEL_TRY(type()));
      return {};
    }
    if (accept("constant")) {
      std::string name = CUPEL_TRY(new_name());
      CUPEL_TRY(expect(":"));
      TensorType t = CUPEL_TRY(type());
      if (!is_static(t.shape)) return error("a constant has a symbolic dimension");
      CUPEL_TRY(expect("="));
      graph_.add_constant(std::move(name), CUPEL_TRY(elements(t.dtype, static_dims(t.shape))), std::move(t.quant));
      return {};
    }
    if (accept("output")) {
      const ValueId id = CUPEL_TRY(operand());
      if (!id.valid()) return error("an output cannot be absent");
      graph_.add_output(id);
      return {};
    }
    return node();
  }

  Status node() {
    std::vector<std::string> results;
    do {
      results.push_back(CUPEL_TRY(new_name()));
      if (std::count(results.begin(), results.end(), results.back()) > 1)
        return error(fmt::format("%{} is defined twice", printable(results.back())));
    } while (accept(","));
    CUPEL_TRY(expect("="));
    const std::string op_name = CUPEL_TRY(word("an operator"));
    const OpDef* op = find_op(op_name);
    if (!op) return error(fmt::format("unknown operator {}", op_name));
    CUPEL_TRY(expect("("));
    std::vector<ValueId> inputs;
    while (!accept(")")) {
      if (!inputs.empty()) CUPEL_TRY(expect(","));
      inputs.push_back(CUPEL_TRY(operand()));
    }
    Attributes attributes;
    if (accept("{")) {
      while (!accept("}")) {
        if (!attributes.empty()) CUPEL_TRY(expect(","));
        std::string key = CUPEL_TRY(word("an attribute name"));
        CUPEL_TRY(expect("="));
        attributes.insert_or_assign(std::move(key), CUPEL_TRY(attribute()));
      }
    }
    std::vector<TensorType> declared;
    if (accept(":")) {
      do declared.push_back(CUPEL_TRY(type()));
      while (accept(","));
      if (declared.size() != results.size())
        return error(fmt::format("{} types for {} results", declared.size(), results.size()));
    }
    std::string node_name = results[0];
    if (accept("@")) node_name = CUPEL_TRY(string());
    std::vector<std::string> origin;
    if (accept("origin=")) {
      CUPEL_TRY(expect("["));
      do origin.push_back(CUPEL_TRY(string()));
      while (accept(","));
      CUPEL_TRY(expect("]"));
    }
    const auto added = located(graph_.add_node(*op, std::move(node_name), std::move(inputs), std::move(attributes),
                                               results, std::move(origin), declared));
    if (!added) return std::unexpected(added.error());
    for (size_t i = 0; i < declared.size(); ++i) {
      const TensorType& inferred = graph_.type(graph_.node(*added).outputs[i]);
      if (!(inferred == declared[i]))
        return error(fmt::format("%{} is declared {}, but is {}", printable(results[i]), to_text(declared[i]),
                                 to_text(inferred)));
    }
    return {};
  }

  std::string_view text_;
  const ConstantStore& store_;
  std::string_view name_;
  size_t at_ = 0;
  Graph graph_;
};

}  // namespace

Result<Graph> parse_graph(std::string_view text, const ConstantStore& store, std::string_view name) {
  return Parser(text, store, name).parse();
}

Result<TensorType> parse_type(std::string_view text, const ConstantStore& store, std::string_view name) {
  return Parser(text, store, name).parse_type();
}

Result<ConstantStore> parse_constants(std::string_view bytes, std::string_view name) {
  const std::string place(name), remedy = "write the dump again";
  const std::string_view head = "cupel constants 1\n";
  if (!bytes.starts_with(head)) return bad_input(place, "does not begin with 'cupel constants 1'", remedy);
  bytes.remove_prefix(head.size());
  ConstantStore store;
  while (!bytes.empty()) {
    const auto line_end = bytes.find('\n');
    if (line_end == std::string_view::npos) return bad_input(place, "ends inside an entry", remedy);
    const std::string_view line = bytes.substr(0, line_end);
    bytes.remove_prefix(line_end + 1);
    const auto first = line.find(' '), bracket = line.find('['), close = line.find("] "), npos = std::string_view::npos;
    if (first == npos || bracket == npos || close == npos || bracket < first || close < bracket)
      return bad_input(place, "an entry is malformed", remedy);
    const auto type = dtype_from_name(line.substr(first + 1, bracket - first - 1));
    Dims dims;
    std::string_view list = line.substr(bracket + 1, close - bracket - 1);
    while (!list.empty()) {
      int64_t d = 0;
      const auto [end, code] = std::from_chars(list.data(), list.data() + list.size(), d);
      if (code != std::errc()) return bad_input(place, "an entry is malformed", remedy);
      dims.push_back(d);
      list.remove_prefix(static_cast<size_t>(end - list.data()));
      if (list.empty()) break;
      if (list.front() != ',' || list.size() == 1) return bad_input(place, "an entry is malformed", remedy);
      list.remove_prefix(1);
    }
    if (!type) return bad_input(place, "an entry is malformed", remedy);
    const auto counted = count_elements(dims);
    if (!counted) return std::unexpected(Error(counted.error()).within(place));
    const int64_t count = *counted;
    const int64_t size = byte_count(*type, count);
    if (size + 1 > static_cast<int64_t>(bytes.size())) return bad_input(place, "ends inside an entry", remedy);
    if (bytes[static_cast<size_t>(size)] != '\n') return bad_input(place, "an entry is malformed", remedy);
    Tensor t(*type, dims);
    std::memcpy(t.mutable_bytes().data(), bytes.data(), static_cast<size_t>(size));
    bytes.remove_prefix(static_cast<size_t>(size) + 1);
    const std::string hash(line.substr(0, first));
    if (content_hash(t) != hash)
      return bad_input(place, fmt::format("constant #{} does not match its hash", printable(hash)), remedy);
    store.emplace(hash, std::move(t));
  }
  return store;
}

}  // namespace cupel
