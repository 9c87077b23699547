// Runs every tests/passes/<pass>/<case>.graph: a line "pass: NAME" (or several names, run in order), the input graph, a
// line
// "---" and the exact outcome: the printed output graph, then one line "remark NODE: REASON" for each remark; or
// "error: " with the kind and the whole message. CUPEL_UPDATE_CASES=1 in the environment rewrites the outcomes; review
// the diff.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <sstream>

#include "base/file.h"
#include "ir/text.h"
#include "ir/verifier.h"
#include "passes/pass.h"

namespace cupel {
namespace {

namespace fs = std::filesystem;

fs::path cases_folder() { return fs::path(CUPEL_SOURCE_DIR) / "tests" / "passes"; }

std::vector<fs::path> case_files() {
  std::vector<fs::path> files;
  for (const auto& entry : fs::recursive_directory_iterator(cases_folder()))
    if (entry.path().extension() == ".graph") files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  return files;
}

struct Case {
  std::vector<std::string> passes;
  std::string head;  // the file up to and with the line "---"
  std::string input, expected;
};

Case read_case(const fs::path& path) {
  const Bytes bytes = read_file(path).value();
  const std::string text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  Case c;
  const size_t first_end = text.find('\n');
  const std::string first = text.substr(0, first_end);
  EXPECT_TRUE(first.starts_with("pass: ")) << path;
  std::istringstream names(first.substr(std::min<size_t>(6, first.size())));
  for (std::string name; names >> name;) c.passes.push_back(name);
  const size_t bar = text.find("\n---\n");
  EXPECT_NE(bar, std::string::npos) << path;
  if (first_end == std::string::npos || bar == std::string::npos) return c;
  c.head = text.substr(0, bar + 5);
  c.input = text.substr(first_end + 1, bar - first_end);
  c.expected = text.substr(bar + 5);
  return c;
}

std::string_view kind_name(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::usage: return "usage";
    case ErrorKind::bad_input: return "bad_input";
    case ErrorKind::unsupported: return "unsupported";
    case ErrorKind::internal: return "internal";
    case ErrorKind::resource: return "resource";
  }
  return "?";
}

std::string outcome(const Case& c) {
  auto graph = parse_graph(c.input, {}, "input");
  if (!graph) return "parse error: " + graph.error().message() + "\n";
  ThreadPool threads(2);
  std::vector<Remark> remarks;
  PassOptions options;
  const std::vector<std::string_view> names(c.passes.begin(), c.passes.end());
  const auto result = run_passes(std::move(*graph), names, {threads, &remarks}, options);
  if (!result) return "error: " + std::string(kind_name(result.error().kind)) + ": " + result.error().message() + "\n";
  std::string text = print_graph(*result);
  for (const Remark& r : remarks) text += "remark " + r.node + ": " + r.reason + "\n";
  return text;
}

class PassCase : public testing::TestWithParam<fs::path> {};

TEST_P(PassCase, GivesTheExactText) {
  const Case c = read_case(GetParam());
  ASSERT_FALSE(c.passes.empty());
  EXPECT_EQ(c.passes.back(), GetParam().parent_path().filename()) << "the folder names the pass";
  const std::string found = outcome(c);
  if (const char* update = std::getenv("CUPEL_UPDATE_CASES"); update && *update == '1') {
    ASSERT_TRUE(write_file(GetParam(), c.head + found));
    return;
  }
  EXPECT_EQ(found, c.expected);
}

std::string case_name(const testing::TestParamInfo<fs::path>& info) {
  std::string name = info.param.parent_path().filename().string() + "__" + info.param.stem().string();
  std::replace_if(name.begin(), name.end(), [](char ch) { return !std::isalnum(static_cast<unsigned char>(ch)); }, '_');
  return name;
}

INSTANTIATE_TEST_SUITE_P(Files, PassCase, testing::ValuesIn(case_files()), case_name);

TEST(PassCases, EveryPassHasAtLeastTwo) {
  std::map<std::string, int> count;
  for (const fs::path& path : case_files()) ++count[path.parent_path().filename().string()];
  for (const Pass& pass : all_passes()) EXPECT_GE(count[std::string(pass.name)], 2) << pass.name;
}

TEST(PassList, FindsRowsByName) {
  for (const Pass& pass : all_passes()) {
    EXPECT_EQ(find_pass(pass.name), &pass);
    EXPECT_FALSE(pass.summary.empty());
    EXPECT_EQ(pass.summary.back(), '.');
  }
  EXPECT_EQ(find_pass("fold"), nullptr);
}

}  // namespace
}  // namespace cupel
