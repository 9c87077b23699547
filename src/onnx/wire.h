// Walks the fields of one protocol buffer message; every access checks the wire type and the size first.
#pragma once

#include <cstdint>
#include <exception>
#include <protozero/pbf_reader.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace cupel {

// What is wrong with the bytes. Thrown by Fields (as protozero throws its own) and caught where the bytes come in.
class WireError : public std::exception {
 public:
  explicit WireError(std::string cause, bool limit = false) : cause_(std::move(cause)), limit_(limit) {}
  const char* what() const noexcept override { return cause_.c_str(); }
  bool limit() const { return limit_; }  // a cap was passed, nothing is malformed

 private:
  std::string cause_;
  bool limit_;
};

// Parts that a file may still declare: messages, strings and list elements that take memory beyond the file's own
// bytes.
struct WireBudget {
  int64_t parts = int64_t{1} << 22;
};

class Fields {
 public:
  Fields(std::string_view bytes, const char* message, WireBudget* budget)
      : reader_(bytes.data(), bytes.size()), message_(message), budget_(budget) {}

  bool next() { return reader_.next(); }
  uint32_t tag() const { return reader_.tag(); }
  void skip() { reader_.skip(); }

  int64_t integer() {
    expect(protozero::pbf_wire_type::varint);
    return reader_.get_int64();
  }
  float real() {
    expect(protozero::pbf_wire_type::fixed32);
    return reader_.get_float();
  }
  // Valid as long as the file's bytes.
  std::string_view bytes() {
    expect(protozero::pbf_wire_type::length_delimited);
    const auto view = reader_.get_view();
    return {view.data(), view.size()};
  }
  std::string_view part() {
    charge();
    return bytes();
  }
  Fields message(const char* name) { return {part(), name, budget_}; }
  WireBudget* budget() const { return budget_; }

  // Repeated numbers, packed or one by one. at(v) is called for each.
  template <class At>
  void each_integer(At&& at) {
    if (!reader_.has_wire_type(protozero::pbf_wire_type::length_delimited)) return at(integer());
    for (const int64_t v : reader_.get_packed_int64()) at(v);
  }
  template <class At>
  void each_real(At&& at) {
    if (!reader_.has_wire_type(protozero::pbf_wire_type::length_delimited)) return at(real());
    for (const float v : reader_.get_packed_float()) at(v);
  }
  template <class At>
  void each_double(At&& at) {
    if (reader_.has_wire_type(protozero::pbf_wire_type::length_delimited)) {
      for (const double v : reader_.get_packed_double()) at(v);
      return;
    }
    expect(protozero::pbf_wire_type::fixed64);
    at(reader_.get_double());
  }
  void charge() {
    if (budget_ && --budget_->parts < 0) throw WireError("more than 4194304 nodes, names and list elements", true);
  }

 private:
  void expect(protozero::pbf_wire_type type) const {
    if (!reader_.has_wire_type(type))
      throw WireError("field " + std::to_string(reader_.tag()) + " of " + message_ + " has the wrong wire type");
  }

  protozero::pbf_reader reader_;
  const char* message_;
  WireBudget* budget_;
};

// The exception being handled, in words.
std::string wire_error_text(const std::exception& error);

}  // namespace cupel
