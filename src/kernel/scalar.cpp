#include "kernel/scalar.h"

#include <fmt/format.h>

#include <bit>

namespace cupel {
namespace {

// Types of an op's arguments and, after the colon, of its result: f (f32), s (s32), t (any, all alike), ? (its
// source's).
struct OpRow {
  ScalarOp op;
  std::string_view name;
  std::string_view types;
};

constexpr std::array kOps = {
    OpRow{ScalarOp::operand, "operand", ":?"},
    OpRow{ScalarOp::accumulator, "accumulator", ":?"},
    OpRow{ScalarOp::constant_f32, "constant_f32", ":f"},
    OpRow{ScalarOp::constant_s32, "constant_s32", ":s"},
    OpRow{ScalarOp::add, "add", "ff:f"},
    OpRow{ScalarOp::sub, "sub", "ff:f"},
    OpRow{ScalarOp::mul, "mul", "ff:f"},
    OpRow{ScalarOp::div, "div", "ff:f"},
    OpRow{ScalarOp::fma, "fma", "fff:f"},
    OpRow{ScalarOp::sqrt, "sqrt", "f:f"},
    OpRow{ScalarOp::neg, "neg", "f:f"},
    OpRow{ScalarOp::abs, "abs", "f:f"},
    OpRow{ScalarOp::floor, "floor", "f:f"},
    OpRow{ScalarOp::ceil, "ceil", "f:f"},
    OpRow{ScalarOp::greater, "greater", "ff:f"},
    OpRow{ScalarOp::less, "less", "ff:f"},
    OpRow{ScalarOp::add_s32, "add_s32", "ss:s"},
    OpRow{ScalarOp::sub_s32, "sub_s32", "ss:s"},
    OpRow{ScalarOp::mul_s32, "mul_s32", "ss:s"},
    OpRow{ScalarOp::and_s32, "and_s32", "ss:s"},
    OpRow{ScalarOp::or_s32, "or_s32", "ss:s"},
    OpRow{ScalarOp::xor_s32, "xor_s32", "ss:s"},
    OpRow{ScalarOp::shift_left, "shift_left", "ss:s"},
    OpRow{ScalarOp::shift_right, "shift_right", "ss:s"},
    OpRow{ScalarOp::shift_right_signed, "shift_right_signed", "ss:s"},
    OpRow{ScalarOp::is_greater, "is_greater", "ff:s"},
    OpRow{ScalarOp::is_less, "is_less", "ff:s"},
    OpRow{ScalarOp::is_equal, "is_equal", "ff:s"},
    OpRow{ScalarOp::is_greater_s32, "is_greater_s32", "ss:s"},
    OpRow{ScalarOp::is_equal_s32, "is_equal_s32", "ss:s"},
    OpRow{ScalarOp::select, "select", "stt:t"},
    OpRow{ScalarOp::to_f32, "to_f32", "s:f"},
    OpRow{ScalarOp::round_s32, "round_s32", "f:s"},
    OpRow{ScalarOp::truncate_s32, "truncate_s32", "f:s"},
    OpRow{ScalarOp::bits_s32, "bits_s32", "f:s"},
    OpRow{ScalarOp::bits_f32, "bits_f32", "s:f"},
    OpRow{ScalarOp::saturate_u8, "saturate_u8", "fs:s"},
    OpRow{ScalarOp::saturate_s8, "saturate_s8", "fs:s"},
    OpRow{ScalarOp::saturate_near_u8, "saturate_near_u8", "fs:s"},
    OpRow{ScalarOp::saturate_near_s8, "saturate_near_s8", "fs:s"},
    OpRow{ScalarOp::table, "table", "s:s"},
};

constexpr bool rows_follow_the_enum() {
  for (size_t i = 0; i < kOps.size(); ++i)
    if (static_cast<size_t>(kOps[i].op) != i) return false;
  return kOps.size() == static_cast<size_t>(ScalarOp::table) + 1;
}
static_assert(rows_follow_the_enum());

const OpRow& row_of(ScalarOp op) { return kOps[static_cast<size_t>(op)]; }

bool is_shift(ScalarOp op) {
  return op == ScalarOp::shift_left || op == ScalarOp::shift_right || op == ScalarOp::shift_right_signed;
}

class TypeCheck {
 public:
  TypeCheck(const ScalarExpr& expr, const ScalarScope& scope) : expr_(expr), scope_(scope) {}

  Result<std::vector<ScalarType>> run() {
    const size_t count = expr_.nodes.size();
    if (count == 0) return error("the expression is empty, expected at least one node");
    if (count > kMaxScalarNodes)
      return error(fmt::format("the expression has {} nodes, expected at most {}", count, kMaxScalarNodes));
    types_.reserve(count);
    for (at_ = 0; at_ < count; ++at_) types_.push_back(CUPEL_TRY(node(expr_.nodes[at_])));
    return std::move(types_);
  }

 private:
  static std::unexpected<Error> error(std::string cause) {
    return bad_input("", std::move(cause), "correct the expression");
  }
  std::unexpected<Error> node_error(const ScalarNode& node, const std::string& cause) const {
    return error(fmt::format("%{} {}: {}", at_, row_of(node.op).name, cause));
  }

  Result<ScalarType> node(const ScalarNode& n) {
    if (static_cast<size_t>(n.op) >= kOps.size())
      return error(fmt::format("%{}: unknown operation {}", at_, static_cast<int>(n.op)));
    const std::string_view types = row_of(n.op).types;
    const int count = argument_count(n.op);
    std::optional<ScalarType> any;
    for (int i = 0; i < 3; ++i) {
      const int32_t argument = n.arguments[static_cast<size_t>(i)];
      if (i >= count) {
        if (argument != -1) return node_error(n, fmt::format("found more than {} arguments", count));
        continue;
      }
      if (argument < 0 || static_cast<size_t>(argument) >= at_)
        return node_error(n, fmt::format("argument {} is %{}, expected an earlier node", i, argument));
      const ScalarType found = types_[static_cast<size_t>(argument)];
      const char want = types[static_cast<size_t>(i)];
      const ScalarType expected = want == 'f' ? ScalarType::f32 : want == 's' ? ScalarType::s32 : any.value_or(found);
      if (want == 't') any = expected;
      if (found != expected)
        return node_error(
            n, fmt::format("argument {} is {}, expected {}", i, scalar_type_name(found), scalar_type_name(expected)));
    }
    CUPEL_TRY(fields(n));
    return types.back() == '?' ? source(n)
                               : Result<ScalarType>(scalar_result_type(n.op, any.value_or(ScalarType::s32)));
  }

  // What is no argument: unused fields at their defaults, shift amounts, tables.
  Status fields(const ScalarNode& n) const {
    const bool indexed = n.op == ScalarOp::operand || n.op == ScalarOp::accumulator || n.op == ScalarOp::table ||
                         n.op == ScalarOp::constant_s32;
    if (!indexed && n.index != 0) return node_error(n, fmt::format("index is {}, expected 0", n.index));
    if (n.op != ScalarOp::constant_f32 && std::bit_cast<uint32_t>(n.value) != 0)
      return node_error(n, "found a constant, expected none");
    if (is_shift(n.op)) CUPEL_TRY(constant_argument(n, 0, 31));
    if (const auto codes = saturated_type(n.op)) CUPEL_TRY(constant_argument(n, dtype_min(*codes), dtype_max(*codes)));
    if (n.op == ScalarOp::table) {
      if (n.index < 0 || static_cast<size_t>(n.index) >= scope_.operands.size())
        return node_error(n,
                          fmt::format("operand {} does not exist, found {} operands", n.index, scope_.operands.size()));
      if (scope_.operands[static_cast<size_t>(n.index)] != DType::u8)
        return node_error(n, fmt::format("operand {} is {}, expected u8", n.index,
                                         dtype_name(scope_.operands[static_cast<size_t>(n.index)])));
    }
    return {};
  }

  // Argument 1 is a constant in a range.
  Status constant_argument(const ScalarNode& n, int64_t least, int64_t greatest) const {
    const ScalarNode& constant = expr_.nodes[static_cast<size_t>(n.arguments[1])];
    if (constant.op == ScalarOp::constant_s32 && constant.index >= least && constant.index <= greatest) return {};
    return node_error(n, fmt::format("argument 1 is no constant_s32 of {} to {}", least, greatest));
  }

  Result<ScalarType> source(const ScalarNode& n) const {
    const auto index = static_cast<size_t>(n.index);
    if (n.op == ScalarOp::operand) {
      if (n.index < 0 || index >= scope_.operands.size())
        return node_error(n,
                          fmt::format("operand {} does not exist, found {} operands", n.index, scope_.operands.size()));
      return scalar_type_of(scope_.operands[index]);
    }
    if (n.index < 0 || index >= scope_.accumulators.size())
      return node_error(n, fmt::format("accumulator {} does not exist here, found {} accumulators", n.index,
                                       scope_.accumulators.size()));
    return scope_.accumulators[index];
  }

  const ScalarExpr& expr_;
  const ScalarScope& scope_;
  std::vector<ScalarType> types_;
  size_t at_ = 0;
};

}  // namespace

bool ScalarNode::operator==(const ScalarNode& other) const {
  return op == other.op && arguments == other.arguments && index == other.index &&
         std::bit_cast<uint32_t>(value) == std::bit_cast<uint32_t>(other.value);
}

int argument_count(ScalarOp op) { return static_cast<int>(row_of(op).types.size()) - 2; }
std::string_view scalar_op_name(ScalarOp op) { return row_of(op).name; }

std::optional<ScalarOp> scalar_op_from_name(std::string_view name) {
  for (const OpRow& row : kOps)
    if (row.name == name) return row.op;
  return std::nullopt;
}

std::optional<DType> saturated_type(ScalarOp op) {
  if (op == ScalarOp::saturate_u8 || op == ScalarOp::saturate_near_u8) return DType::u8;
  if (op == ScalarOp::saturate_s8 || op == ScalarOp::saturate_near_s8) return DType::s8;
  return std::nullopt;
}

std::string_view scalar_type_name(ScalarType type) { return type == ScalarType::f32 ? "f32" : "s32"; }
ScalarType scalar_type_of(DType type) { return is_float(type) ? ScalarType::f32 : ScalarType::s32; }

ScalarType scalar_result_type(ScalarOp op, ScalarType alike) {
  const char type = row_of(op).types.back();
  return type == 'f' ? ScalarType::f32 : type == 's' ? ScalarType::s32 : alike;
}

Result<std::vector<ScalarType>> scalar_types(const ScalarExpr& expr, const ScalarScope& scope) {
  return TypeCheck(expr, scope).run();
}

}  // namespace cupel
