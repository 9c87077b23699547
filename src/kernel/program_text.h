// Program text: parse(print(p)) == p. Its constants and large tables of parameters are named by content hash and kept
// in a store, as those of graph text are (ir/text.h).
#pragma once

#include <string>
#include <string_view>

#include "ir/type_text.h"
#include "kernel/program.h"

namespace cupel {

// Adds to `store` when it is not null.
std::string print_program(const Program& program, ConstantStore* store = nullptr);

// Reads the form only: what it returns still has to pass check_program. bad_input with place "program text:LINE".
Result<Program> parse_program(std::string_view text, const ConstantStore& store = {});

}  // namespace cupel
