#include "ir/op_def.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>

namespace cupel {
namespace {

std::string names_of(DTypeSet types) {
  std::string names;
  for (auto t = DType::f32; t <= DType::s4; t = static_cast<DType>(static_cast<int>(t) + 1))
    if (types.has(t)) names += (names.empty() ? "" : ", ") + std::string(dtype_name(t));
  return names;
}

}  // namespace

Result<std::vector<TensorType>> infer_types(const OpDef& op, const InferContext& context) {
  for (size_t i = 0; i < context.inputs.size() && !op.operand_types.empty(); ++i) {
    if (!context.has(i) || context.type(i).quant) continue;
    const OperandTypes& rule = op.operand_types[std::min(i, op.operand_types.size() - 1)];
    const DType type = context.type(i).dtype;
    if (!rule.allowed.has(type))
      return bad_input("", fmt::format("operand {} is {}, ONNX allows {}", i, dtype_name(type), names_of(rule.allowed)),
                       "convert the operand");
    const auto other = static_cast<size_t>(rule.same_as);
    if (rule.same_as < 0 || !context.has(other) || context.type(other).quant) continue;
    if (type != context.type(other).dtype)
      return bad_input("",
                       fmt::format("operand {} is {}, operand {} is {}", i, dtype_name(type), other,
                                   dtype_name(context.type(other).dtype)),
                       "convert the operand");
  }
  return op.infer(context);
}

}  // namespace cupel
