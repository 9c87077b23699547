// What a compiled model needs of the system, and shows of itself.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <cstdio>
#include <set>
#include <string>
#include <vector>

#ifdef CUPEL_SAMPLE_LIBRARY
namespace cupel {
namespace {

using testing::ElementsAre;

std::string output_of(const std::string& command) {
  std::string text;
  std::FILE* pipe = popen(command.c_str(), "r");
  if (pipe == nullptr) return text;
  char part[4096];
  for (size_t n; (n = fread(part, 1, sizeof part, pipe)) > 0;) text.append(part, n);
  EXPECT_EQ(pclose(pipe), 0) << command;
  return text;
}

std::vector<std::string> words_of(const std::string& text) {
  std::vector<std::string> words;
  for (size_t at = 0; (at = text.find_first_not_of(" \n\t[]", at)) != std::string::npos;) {
    const size_t end = std::min(text.find_first_of(" \n\t[]", at), text.size());
    words.push_back(text.substr(at, end - at));
    at = end;
  }
  return words;
}

TEST(ImageRuntime, NeedsTheCLibraryAlone) {
  for (const std::string& word : words_of(output_of("readelf -d " CUPEL_SAMPLE_LIBRARY " | grep NEEDED")))
    EXPECT_TRUE(word.find(".so") == std::string::npos || word.starts_with("libc.so")) << word;
  const std::vector<std::string> undefined = words_of(output_of("nm -D --undefined-only " CUPEL_SAMPLE_LIBRARY));
  EXPECT_THAT(undefined, testing::Contains(testing::StartsWith("pthread_create")));
  for (const std::string& name : undefined) {
    EXPECT_FALSE(name.starts_with("_Z")) << name;
    EXPECT_FALSE(name.starts_with("__cxa") && !name.starts_with("__cxa_finalize")) << name;
    EXPECT_EQ(name.find("personality"), std::string::npos) << name;
    EXPECT_EQ(name.find("__tls"), std::string::npos) << name;
    EXPECT_EQ(name.find("GLIBCXX"), std::string::npos) << name;
  }
}

TEST(ImageRuntime, ShowsTheSymbolsOfItsModelAlone) {
  std::set<std::string> shown;
  for (const std::string& word : words_of(output_of("nm -D --defined-only --format=posix " CUPEL_SAMPLE_LIBRARY)))
    if (word.size() > 1 && !std::isdigit(static_cast<unsigned char>(word[0]))) shown.insert(word);
  EXPECT_THAT(shown, ElementsAre("cupel_sample_create", "cupel_sample_error", "cupel_sample_free", "cupel_sample_image",
                                 "cupel_sample_metadata", "cupel_sample_run", "cupel_sample_select"));
}

}  // namespace
}  // namespace cupel
#endif
