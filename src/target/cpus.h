// What is known of CPUs by their names and shapes code, never what it computes: which schedule is fast.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "target/machine.h"

namespace cupel {

struct CpuRow {
  std::string_view name;    // as GCC's -mtune and `--tune-for` spell it
  std::string_view brands;  // what is sold under it
  std::string_view vendor;  // CPUID's; empty: no CPU of its own
  int family;
  std::vector<std::pair<int, int>> models;  // first and last
  // Multiply-adds of 512-bit vectors that a core begins in a cycle, of floats and of codes alike.
  int wide_products_per_cycle;
};

// The first row is "generic", which stands for every CPU that is not known.
const std::vector<CpuRow>& cpu_table();
// nullptr: no row has the name.
const CpuRow* find_cpu(std::string_view name);
// The row of a machine by vendor, family and model.
const CpuRow& cpu_of(const Machine& machine);

}  // namespace cupel
