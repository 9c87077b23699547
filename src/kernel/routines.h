// The routines that kernels of form call run: a row for each.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kernel/byte_runs.h"
#include "kernel/kernel.h"
#include "runtime/routines.h"

namespace cupel {

struct RoutineRow {
  struct Operand {
    std::string_view name;  // as errors call it
    std::span<const DType> types;
  };
  std::string_view name;  // in kernel text
  const char* symbol;     // of the function, in the runtime that is linked into every Image
  CupelRoutine function;  // the same one
  std::span<const Operand> operands;
  std::span<const std::string_view> integers;  // their names
  std::span<const DType> results;
  // Steps that an operand is moved by beside its strides, as far as data can choose them.
  std::vector<ByteAxis> (*moves)(const CallSpec&, size_t operand);
  // What types, spaces and strides do not say; empty when the spec is sound.
  std::string (*broken)(const CallSpec&);
  // An operator's routine: operands and integers as the integers describe them.
  bool is_op = false;
};

// In the order of Routine.
std::span<const RoutineRow> routine_table();
const RoutineRow& routine_row(Routine routine);
// The op routine of that name (a row of runtime/op_routines.def); nullopt when there is none.
std::span<const DType> op_operand_types();
std::optional<Routine> op_routine(std::string_view name);

}  // namespace cupel
