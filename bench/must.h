// Ends a benchmark program with an error's message and exit code.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <type_traits>
#include <utility>

#include "base/result.h"

template <class T>
auto must(cupel::Result<T> result) {
  if (!result) {
    std::fprintf(stderr, "error: %s\n", result.error().message().c_str());
    std::exit(result.error().exit_code());
  }
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}
