#include "kernel/text_lines.h"

#include <fmt/format.h>

#include "base/file.h"
#include "base/quoted.h"

namespace cupel {

TextLines::TextLines(std::string_view text, std::string_view what) : text_(text), what_(what) { next_line(); }

std::unexpected<Error> TextLines::error(std::string cause) const {
  return bad_input(fmt::format("{}:{}", what_, line_), std::move(cause), fmt::format("correct the {}", what_));
}

std::unexpected<Error> TextLines::unexpected_word(std::string_view expected) {
  const std::string_view word = peek();
  const std::string found = at_end_        ? "the end of the text"
                            : word.empty() ? "the end of the line"
                                           : printable(word, 60);
  return error(fmt::format("found {}, expected {}", found, expected));
}

void TextLines::next_line() {
  do {
    if (text_.empty()) {
      at_end_ = true;
      rest_ = {};
      return;
    }
    const size_t newline = text_.find('\n');
    rest_ = text_.substr(0, newline);
    text_ = newline == std::string_view::npos ? std::string_view() : text_.substr(newline + 1);
    ++line_;
  } while (rest_.find_first_not_of(" \t\r") == std::string_view::npos);
}

std::string_view TextLines::peek() {
  const size_t begin = rest_.find_first_not_of(" \t\r");
  if (begin == std::string_view::npos) return {};
  rest_ = rest_.substr(begin);
  return rest_.substr(0, rest_.find_first_of(" \t\r"));
}

std::string_view TextLines::word() {
  const std::string_view found = peek();
  rest_ = rest_.substr(found.size());
  return found;
}

Status TextLines::keyword(std::string_view key) {
  if (peek() != key) return unexpected_word(key);
  word();
  return {};
}

Status TextLines::end_line() {
  if (!peek().empty()) return unexpected_word("the end of the line");
  next_line();
  return {};
}

std::string_view TextLines::rest_of_line() {
  const std::string_view found = peek().empty() ? std::string_view() : rest_;
  next_line();
  return found;
}

Result<std::string> TextLines::quoted_text() {
  peek();
  std::string_view rest = rest_;
  auto found = take_quoted(rest);
  if (!found) return error(std::string(found.error()));
  rest_ = rest;
  return std::move(*found);
}

Result<int64_t> TextLines::field_line(std::string_view key) {
  const int64_t value = CUPEL_TRY(field(key));
  CUPEL_TRY(end_line());
  return value;
}

Result<std::vector<int64_t>> TextLines::numbers(std::string_view key) {
  CUPEL_TRY(keyword(key));
  std::vector<int64_t> values;
  while (!peek().empty()) values.push_back(CUPEL_TRY(integer<int64_t>()));
  CUPEL_TRY(end_line());
  return values;
}

}  // namespace cupel
