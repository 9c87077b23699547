// What every fuzz target takes for a finding beside crashes, sanitizer reports, memory and time.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "base/result.h"

namespace cupel::fuzz {

// Ends the process as libFuzzer expects it of a failed property.
[[noreturn]] inline void finding(std::string_view what) {
  std::fprintf(stderr, "finding: %.*s\n", static_cast<int>(what.size()), what.data());
  std::abort();
}

// An input may be wrong, unsupported or too large; it is never Cupel's own defect, and no error is without cause and
// remedy.
inline void expect_users(const Error& error) {
  if (error.kind == ErrorKind::internal || error.kind == ErrorKind::usage || error.cause.empty() ||
      error.remedy.empty())
    finding(error.message());
}

}  // namespace cupel::fuzz
