// The words of a text form, line by line. Indentation and empty lines are free.
#pragma once

#include <charconv>
#include <string>
#include <string_view>
#include <vector>

#include "kernel/kernel.h"

namespace cupel {

// Reads on demand; every failure is bad_input at "<what>:LINE". The text outlives the reader.
class TextLines {
 public:
  TextLines(std::string_view text, std::string_view what);

  bool at_end() const { return at_end_; }
  std::unexpected<Error> error(std::string cause) const;
  std::unexpected<Error> unexpected_word(std::string_view expected);

  // The next word of the line, empty at its end.
  std::string_view peek();
  std::string_view word();
  Status keyword(std::string_view key);
  // Nothing is left of the line; the next one that is not empty becomes the current one.
  Status end_line();
  // What is left of the line, which ends there.
  std::string_view rest_of_line();
  // A text between double quotes (base/quoted.h).
  Result<std::string> quoted_text();

  template <size_t n>
  Result<size_t> one_of(const std::string_view (&names)[n], std::string_view what) {
    const std::string_view found = peek();
    for (size_t i = 0; i < n; ++i)
      if (names[i] == found) {
        word();
        return i;
      }
    return unexpected_word(what);
  }
  template <class T>
  Result<T> integer() {
    const std::string_view found = peek();
    T value{};
    const auto [end, code] = std::from_chars(found.data(), found.data() + found.size(), value);
    if (found.empty() || code != std::errc{} || end != found.data() + found.size())
      return unexpected_word(sizeof(T) == 4 ? "an integer of 32 bits" : "an integer of 64 bits");
    word();
    return value;
  }
  // "KEY 7"; the same alone on its line.
  template <class T = int64_t>
  Result<T> field(std::string_view key) {
    CUPEL_TRY(keyword(key));
    return integer<T>();
  }
  Result<int64_t> field_line(std::string_view key);
  // "KEY 1 2 3" to the end of the line.
  Result<std::vector<int64_t>> numbers(std::string_view key);

 private:
  void next_line();

  std::string_view text_, rest_, what_;
  int64_t line_ = 0;
  bool at_end_ = false;
};

// The kernel that begins in the current line (kernel_text.cpp).
Result<Kernel> take_kernel(TextLines& lines);

}  // namespace cupel
