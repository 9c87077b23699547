// The targets that compiled code is tested for: all that this machine runs, and what "host" means on it.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <string>
#include <vector>

#include "emit/emit_target.h"

namespace cupel {

inline std::vector<std::string> target_names() {
  std::vector<std::string> names;
  for (const EmitTarget& target : runnable_emit_targets()) names.push_back(target.name);
  if (auto host = find_emit_target("host"); host && std::find(names.begin(), names.end(), host->name) == names.end())
    names.push_back(host->name);
  return names;
}
// A target's name as part of a test's.
inline std::string test_name(const testing::TestParamInfo<std::string>& row) {
  std::string name = row.param;
  for (char& c : name)
    if (!std::isalnum(static_cast<unsigned char>(c))) c = '_';
  return name;
}

}  // namespace cupel
