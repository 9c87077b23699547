// Operators that the reader takes beside those of the op table.
#pragma once

#include <string_view>
#include <vector>

#include "ir/op_def.h"

namespace cupel {

// One that is written in others while it is read. Names outside ai.onnx are "domain.name".
struct ReadOperator {
  std::string_view name;
  int since_opset = 1;
  DTypeSet types = kAnyType;  // of operand 0, those that the spelling computes
};

// All of them, in the order of their names. Operators of which the op table has some forms too are not among them.
std::vector<ReadOperator> read_operators();

}  // namespace cupel
