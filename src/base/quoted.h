// Names in text forms (graphs, programs): any bytes between double quotes.
#pragma once

#include <expected>
#include <string>
#include <string_view>

namespace cupel {

// "…": a backslash before quote and backslash, \xNN for control characters.
std::string in_quotes(std::string_view text);

// What a quoted text at the front of `text` stands for; `text` then begins behind it. Otherwise what is wrong, and
// `text` begins where.
std::expected<std::string, std::string_view> take_quoted(std::string_view& text);

}  // namespace cupel
