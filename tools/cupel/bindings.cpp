// --dim, --shape and --value: what a person knows of a model's inputs.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <set>

#include "base/file.h"
#include "runtime/image.h"
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

void add_bindings(CLI::App& command, BindingFlags& flags, bool lists) {
  command
      .add_option("--dim", flags.dims,
                  lists ? "NAME=N: the size of a symbolic dimension of the model's inputs; NAME=64,128: code for each"
                        : "NAME=N: the size of a symbolic dimension of the model's inputs")
      ->allow_extra_args(false)
      ->group("Sizes");
  command
      .add_option("--shape", flags.shapes,
                  lists ? "INPUT=1x3x640x640: the shape of an input; ? leaves a size open; commas separate several"
                        : "INPUT=1x3x640x640: the shape of an input; ? leaves a size open")
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

namespace {

// A flag's words with one size each in place of lists, and the words that had lists.
struct Choice {
  std::vector<std::string> words, listed;
};

// NAME=A,B as NAME=A and NAME=B. usage error for a size that is named twice.
Result<std::vector<std::string>> listed_words(const char* flag, const std::string& word, const char* form) {
  const auto [name, text] = CUPEL_TRY(split_word(flag, word, form));
  std::vector<std::string> words;
  for (const std::string_view part : parts_of(text, ',')) {
    words.push_back(fmt::format("{}={}", name, part));
    if (std::count(words.begin(), words.end(), words.back()) > 1)
      return usage_error(flag, fmt::format("{} stands twice", printable(words.back())), "name each size once");
  }
  return words;
}

std::unexpected<Error> too_many(size_t count) {
  return resource_error("sizes",
                        fmt::format("{} combinations are more than {}, the most that one compiled model holds", count,
                                    static_cast<int>(kCupelMostSizes)),
                        "compile several models");
}

// Every combination of the lists.
Result<std::vector<Choice>> dim_choices(const std::vector<std::string>& words) {
  std::vector<Choice> choices = {{}};
  std::set<std::string> names;
  for (const std::string& word : words) {
    const auto sizes = CUPEL_TRY(listed_words("--dim", word, "NAME=N"));
    const bool again = !names.insert(word.substr(0, word.rfind('='))).second;
    if (again && (choices.size() > 1 || sizes.size() > 1))
      return usage_error("--dim", fmt::format("{} has sizes already", printable(word)), "name a dimension once");
    if (choices.size() * sizes.size() > kCupelMostSizes) return too_many(choices.size() * sizes.size());
    std::vector<Choice> longer;
    for (const Choice& choice : choices)
      for (const std::string& size : sizes) {
        Choice next = choice;
        next.words.push_back(size);
        if (sizes.size() > 1) next.listed.push_back(size);
        longer.push_back(std::move(next));
      }
    choices = std::move(longer);
  }
  return choices;
}

// The first of each list, the second of each, and so on.
Result<std::vector<Choice>> shape_choices(const std::vector<std::string>& words) {
  std::vector<Choice> choices(1);
  std::vector<std::vector<std::string>> lists;
  for (const std::string& word : words) {
    lists.push_back(CUPEL_TRY(listed_words("--shape", word, "INPUT=1x3x640x640")));
    const size_t count = lists.back().size();
    if (count > kCupelMostSizes) return too_many(count);
    if (count == 1) continue;
    if (choices.size() > 1 && choices.size() != count)
      return usage_error("--shape", fmt::format("{} shapes are listed here and {} before", count, choices.size()),
                         "list as many for each input: the first of all go together, then the second");
    choices.resize(count);
  }
  for (const std::vector<std::string>& list : lists)
    for (size_t i = 0; i < choices.size(); ++i) {
      choices[i].words.push_back(list[list.size() == 1 ? 0 : i]);
      if (list.size() > 1) choices[i].listed.push_back(choices[i].words.back());
    }
  return choices;
}

}  // namespace

Result<std::vector<SizedBindings>> all_bindings_of(const BindingFlags& flags) {
  const auto dims = CUPEL_TRY(dim_choices(flags.dims));
  const auto shapes = CUPEL_TRY(shape_choices(flags.shapes));
  if (dims.size() * shapes.size() > kCupelMostSizes) return too_many(dims.size() * shapes.size());
  std::vector<SizedBindings> all;
  for (const Choice& dim : dims)
    for (const Choice& shape : shapes) {
      std::vector<std::string> listed = dim.listed;
      listed.insert(listed.end(), shape.listed.begin(), shape.listed.end());
      all.push_back({CUPEL_TRY(bindings_of({dim.words, shape.words, flags.values})),
                     printable(fmt::format("{}", fmt::join(listed, " ")), 500)});
    }
  return all;
}

}  // namespace cupel::cli
