// --dim, --shape and --value: what a person knows of a model's inputs.
#include <fmt/format.h>

#include <charconv>

#include "base/file.h"
#include "tools/cupel/verb.h"

namespace cupel::cli {
namespace {

// NAME=TEXT; usage error for another form.
Result<std::pair<std::string, std::string>> split_word(const char* flag, const std::string& word, const char* form) {
  const auto equals = word.rfind('=');
  if (equals == std::string::npos || equals == 0 || equals + 1 == word.size())
    return usage_error(flag, fmt::format("found {}, expected {}", printable(word), form), "name it and its size");
  return std::pair(word.substr(0, equals), word.substr(equals + 1));
}

template <class T>
std::optional<T> number_of(std::string_view text) {
  T value{};
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (code != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::vector<std::string_view> parts_of(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find(separator, begin), text.size());
    parts.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return parts;
}

std::unexpected<Error> bad_word(const char* flag, std::string_view found, const char* expected) {
  return usage_error(flag, fmt::format("found {}, expected {}", printable(found, 60), expected), "correct the flag");
}

std::optional<int64_t> size_of(std::string_view text) {
  const auto size = number_of<int64_t>(text);
  return size && *size >= 0 && *size <= kMaxElements ? size : std::nullopt;
}

}  // namespace

void add_bindings(CLI::App& command, BindingFlags& flags) {
  command.add_option("--dim", flags.dims, "NAME=N: the size of a symbolic dimension of the model's inputs")
      ->allow_extra_args(false)
      ->group("Sizes");
  command.add_option("--shape", flags.shapes, "INPUT=1x3x640x640: the shape of an input; ? leaves a size open")
      ->allow_extra_args(false)
      ->group("Sizes");
  command.add_option("--value", flags.values, "INPUT=16000 or INPUT=1,2,3: an input that is a constant from then on")
      ->allow_extra_args(false)
      ->group("Sizes");
}

Result<Bindings> bindings_of(const BindingFlags& flags) {
  Bindings bindings;
  for (const std::string& word : flags.dims) {
    auto [name, text] = CUPEL_TRY(split_word("--dim", word, "NAME=N"));
    const auto size = size_of(text);
    if (!size) return bad_word("--dim", text, "a whole number of at least 0");
    bindings.dims.insert_or_assign(std::move(name), *size);
  }
  for (const std::string& word : flags.shapes) {
    auto [name, text] = CUPEL_TRY(split_word("--shape", word, "INPUT=1x3x640x640"));
    std::vector<std::optional<int64_t>> sizes;
    for (const std::string_view part : parts_of(text, 'x')) {
      sizes.push_back(size_of(part));
      if (!sizes.back() && part != "?") return bad_word("--shape", part, "a whole number of at least 0, or ?");
    }
    bindings.shapes.insert_or_assign(std::move(name), std::move(sizes));
  }
  for (const std::string& word : flags.values) {
    auto [name, text] = CUPEL_TRY(split_word("--value", word, "INPUT=NUMBER"));
    std::vector<double> numbers;
    for (const std::string_view part : parts_of(text, ',')) {
      const auto number = number_of<double>(part);
      if (!number) return bad_word("--value", part, "a number");
      numbers.push_back(*number);
    }
    bindings.numbers.insert_or_assign(std::move(name), std::move(numbers));
  }
  return bindings;
}

}  // namespace cupel::cli
