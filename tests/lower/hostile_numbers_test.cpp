// Numbers that no sane model holds, in the place of every integer of every op sample: shapes, attributes, constants.
// What comes is a graph, kernels, or an error that says whose fault it is; under the sanitizers also: no overflow.
#include <gtest/gtest.h>

#include <array>
#include <cctype>
#include <string>
#include <vector>

#include "ir/text.h"
#include "ir/verifier.h"
#include "kernel/check_program.h"
#include "lower/lower.h"
#include "passes/pass.h"
#include "runtime/thread_pool.h"

namespace cupel {
namespace {

constexpr std::array<std::string_view, 12> kHostile = {"-9223372036854775808",
                                                       "-4611686018427387904",
                                                       "-2147483648",
                                                       "-1",
                                                       "0",
                                                       "65536",
                                                       "2147483647",
                                                       "2147483648",
                                                       "4294967297",
                                                       "17179869184",
                                                       "4611686018427387904",
                                                       "9223372036854775807"};

struct Number {
  size_t at, length;
};

// The integers of a text: no part of a name, of an element type or of a real number.
std::vector<Number> integers_of(std::string_view text) {
  std::vector<Number> numbers;
  const auto part_of_word = [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '.' || c == '%' || c == '"';
  };
  for (size_t i = text.find('{'); i < text.size(); ++i) {
    const bool sign = text[i] == '-';
    if (!std::isdigit(static_cast<unsigned char>(text[i])) && !sign) continue;
    size_t end = i + sign;
    while (end < text.size() && std::isdigit(static_cast<unsigned char>(text[end]))) ++end;
    const bool whole = end > i + sign && !part_of_word(text[i - 1]) && text[i - 1] != '-' &&
                       (end == text.size() || (!part_of_word(text[end]) && text[end] != '+' && text[end] != '-'));
    if (whole) numbers.push_back({i, end - i});
    while (end < text.size() && part_of_word(text[end])) ++end;
    i = std::max(i, end - 1);
  }
  return numbers;
}

void expect_blame(const Error& error, const std::string& text) {
  EXPECT_NE(error.kind, ErrorKind::internal) << error.message() << "\n" << text;
  EXPECT_NE(error.kind, ErrorKind::usage) << error.message() << "\n" << text;
  EXPECT_FALSE(error.remedy.empty()) << error.message() << "\n" << text;
}

// A sanitizer's build takes minutes to follow as many runs as other builds do.
#ifdef CUPEL_ADDRESS_SANITIZER
constexpr int64_t kMostRuns = int64_t{1} << 18;
#else
constexpr int64_t kMostRuns = int64_t{1} << 27;
#endif

class HostileNumbers : public testing::Test {
 protected:
  // What is made of the text, as far as it goes.
  void follow(const std::string& text) {
    const auto graph = parse_graph(text);
    if (!graph) return expect_blame(graph.error(), text);
    ++graphs;
    Result<Graph> current = *graph;
    if (graph->stage == Stage::imported) {
      for (const std::string_view name : {"resolve_shapes", "drop_identities", "lead_batch", "finish_simplify"}) {
        current = find_pass(name)->run(*current, {threads});
        if (!current) return expect_blame(current.error(), text);
      }
    }
    if (!verify_graph(*current)) return;  // no pass gives such a graph
    const auto lowered = lower_graph(*current, "hostile", {true, 32});
    if (!lowered) return expect_blame(lowered.error(), text);
    const Status sound = check_program(lowered->program, kMostRuns);
    // What takes too long to prove is a resource error, and no program.
    EXPECT_TRUE(sound || sound.error().kind == ErrorKind::resource) << sound.error().message() << "\n" << text;
    ++programs;
  }

  ThreadPool threads{1};
  int texts = 0, graphs = 0, programs = 0;
};

TEST_F(HostileNumbers, InEverySample) {
  for (const OpDef* op : all_ops())
    for (const std::string_view sample : op->samples)
      for (const Number& number : integers_of(sample))
        for (const std::string_view hostile : kHostile) {
          std::string text(sample);
          text.replace(number.at, number.length, hostile);
          ++texts;
          follow(text);
          ASSERT_FALSE(HasFailure());
        }
  EXPECT_GT(texts, 10000);
  EXPECT_GT(graphs, 1000);
  EXPECT_GT(programs, 300);
}

// Windows far beyond their image: what fits in 64 bits on one axis does not on two.
TEST_F(HostileNumbers, InWindowsTogether) {
  const std::array<std::string_view, 6> sizes = {"1", "3", "65536", "1048575", "2147483647", "4294967296"};
  for (const char* op :
       {"Conv(%x, %w) {", "MaxPool(%x) {kernel_shape=[3,3], ", "AveragePool(%x) {kernel_shape=[3,3], "})
    for (const std::string_view size : sizes)
      for (const std::string_view pad : sizes)
        for (const std::string_view step : sizes) {
          std::string text = "graph \"window\" stage simplified opset 17 {\n  input %x : f32[batch,1,";
          text.append(size).append(",").append(size).append("]\n");
          if (std::string_view(op).starts_with("Conv"))
            text += "  constant %w : f32[1,1,3,3] = [1, 2, 3, 4, 5, 6, 7, 8, 9]\n";
          text.append("  %y = ").append(op).append("pads=[");
          for (int i = 0; i < 4; ++i) text.append(i == 0 ? "" : ",").append(pad);
          text.append("], strides=[").append(step).append(",").append(step).append("], dilations=[").append(step);
          text.append(",").append(step).append("]}\n  output %y\n}");
          follow(text);
          ASSERT_FALSE(HasFailure());
        }
  EXPECT_GT(graphs, 50);
}

}  // namespace
}  // namespace cupel
