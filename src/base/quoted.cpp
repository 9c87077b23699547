#include "base/quoted.h"

#include <fmt/format.h>

#include <charconv>

namespace cupel {

std::string in_quotes(std::string_view text) {
  std::string out = "\"";
  for (char ch : text) {
    const auto c = static_cast<unsigned char>(ch);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += ch;
    } else if (c < 0x20 || c == 0x7f) {
      out += fmt::format("\\x{:02x}", c);
    } else {
      out += ch;
    }
  }
  return out + "\"";
}

std::expected<std::string, std::string_view> take_quoted(std::string_view& text) {
  if (!text.starts_with('"')) return std::unexpected("expected '\"'");
  text.remove_prefix(1);
  std::string out;
  while (!text.empty() && text[0] != '"') {
    if (text[0] != '\\') {
      out += text[0];
      text.remove_prefix(1);
      continue;
    }
    text.remove_prefix(1);
    if (text.empty()) break;
    if (text[0] == 'x') {
      unsigned code = 0;
      if (text.size() < 3 || std::from_chars(text.data() + 1, text.data() + 3, code, 16).ptr != text.data() + 3)
        return std::unexpected("expected two hexadecimal digits after \\x");
      out += static_cast<char>(code);
      text.remove_prefix(3);
    } else {
      out += text[0];
      text.remove_prefix(1);
    }
  }
  if (text.empty()) return std::unexpected("a string is not closed");
  text.remove_prefix(1);
  return out;
}

}  // namespace cupel
