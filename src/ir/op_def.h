// What an operator is: one OpDef per row of ops/op_table.def, looked up by name.
#pragma once

#include <climits>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "base/tensor.h"
#include "ir/attribute.h"
#include "ir/type.h"

namespace cupel {

class Graph;
class ThreadPool;
struct Node;
namespace ops {
// An operand or a result of a routine with its dimensions.
struct RoutineTensor {
  DType dtype = DType::f32;
  Dims dims;
};
}  // namespace ops

struct AttributeSpec {
  std::string_view name;
  AttributeKind kind;
  bool required = false;
};

// What shape inference sees of a node. An absent optional operand has a null type.
struct InferContext {
  const Attributes& attributes;
  std::span<const TensorType* const> inputs;
  // Elements of operand i when they are known: a constant integer tensor of up to 64 elements, or shape arithmetic over
  // the symbolic batch. Null otherwise. Row-major.
  std::span<const std::vector<Dim>* const> contents;
  // Constant operand i as a tensor; null otherwise.
  std::span<const Tensor* const> constants;
  // The declared types of the outputs (from graph text, a patch or an earlier inference); may be empty. Only ops on
  // codes read them: the quantization of their result is a choice, not a consequence.
  std::span<const TensorType> declared;

  bool has(size_t i) const { return i < inputs.size() && inputs[i] != nullptr; }
  const TensorType& type(size_t i) const { return *inputs[i]; }
  const Shape& shape(size_t i) const { return inputs[i]->shape; }
};

// One node's evaluation. Outputs are allocated (zero-filled) with their final dimensions before the call.
struct EvalContext {
  const Node& node;
  const Attributes& attributes;
  std::span<const Tensor* const> inputs;           // null: absent
  std::span<const TensorType* const> input_types;  // with quantization; null: absent
  std::span<const TensorType> output_types;
  std::span<Tensor> outputs;
  ThreadPool& threads;

  bool has(size_t i) const { return i < inputs.size() && inputs[i] != nullptr; }
  const Tensor& in(size_t i) const { return *inputs[i]; }
  Tensor& out(size_t i = 0) const { return outputs[i]; }
};

// Work per batch item (the symbol bound to 1).
struct Cost {
  int64_t macs = 0;         // multiply-adds of contractions
  int64_t elementwise = 0;  // scalar operations other than those
};

// How the op takes part in quantization (docs/quantization.md gives each expression).
enum class QuantRule {
  none,         // float only
  contraction,  // Conv, Gemm, MatMul: exact integer sum, then requantize
  add,          // two operands with scales of their own, one result scale
  mul,          // product of two codes, one multiplier
  average,      // integer sum over a window, one multiplier
  unary,        // 256-entry table filled from the float meaning
  same,         // moves or selects codes; result has the operand's parameters (shape ops, max-pooling)
  concat,       // every operand requantized to the result's parameters
};

// How the elements of the results follow from those of the operands. Passes, selection and lowering ask for this
// instead of for names.
enum class Elements {
  combined,     // one of the result from many of the operands: matrix products, reductions, rows
  windowed,     // each from a window that slides over operand 0 behind its second dimension (attributes kernel_shape,
                // strides, dilations, pads, auto_pad)
  elementwise,  // each from the elements at the same place of the operands, which broadcast
  reshaped,     // all those of operand 0 in the same row-major order, under another shape
  moved,        // chosen and placed elsewhere, repeated or filled in; none is computed
};

// What an op does between numbers and the codes that stand for them.
enum class Conversion { none, to_codes, to_numbers, between_codes };

// A set of element types.
class DTypeSet {
 public:
  constexpr DTypeSet() = default;
  constexpr DTypeSet(DType type) : bits_(1U << static_cast<unsigned>(type)) {}  // NOLINT(google-explicit-constructor)
  constexpr DTypeSet operator|(DTypeSet other) const { return DTypeSet(bits_ | other.bits_); }
  constexpr DTypeSet operator&(DTypeSet other) const { return DTypeSet(bits_ & other.bits_); }
  constexpr bool has(DType type) const { return (bits_ >> static_cast<unsigned>(type) & 1U) != 0; }

 private:
  explicit constexpr DTypeSet(uint32_t bits) : bits_(bits) {}
  uint32_t bits_ = 0;
};
constexpr DTypeSet operator|(DType a, DType b) { return DTypeSet(a) | b; }

inline constexpr DTypeSet kFloatTypes = DType::f32 | DType::f64 | DType::f16 | DType::bf16;
inline constexpr DTypeSet kIndexTypes = DType::s32 | DType::s64;
inline constexpr DTypeSet kWideIntegerTypes = kIndexTypes | DType::u32 | DType::u64;
inline constexpr DTypeSet kByteTypes = DType::u8 | DType::s8;
inline constexpr DTypeSet kSignedTypes = kFloatTypes | kIndexTypes | DType::s8 | DType::s16;
inline constexpr DTypeSet kNumberTypes = kSignedTypes | kWideIntegerTypes | DType::u8 | DType::u16;
inline constexpr DTypeSet kAnyType =
    kNumberTypes | DType::boolean | DType::f8e4m3 | DType::f8e5m2 | DType::u4 | DType::s4;

// The element types that ONNX allows for an operand in any opset (of axes and shapes s32 too, which exporters write).
struct OperandTypes {
  DTypeSet allowed;
  int same_as = -1;  // the operand whose type it has
};
// Every operand has the type of the first.
inline std::vector<OperandTypes> same_type(DTypeSet allowed) { return {{allowed}, {kAnyType, 0}}; }

// What an op asks of its routine in the runtime (ops/routine.h), where one is its definition.
struct RoutineContext {
  const Attributes& attributes;
  // Types and dimensions of one batch item, or of the whole batch: the same function is asked in both cases.
  std::span<const std::optional<ops::RoutineTensor>> inputs, outputs;
  std::span<const Tensor* const> constants;  // constant operand i; null otherwise
};
struct RoutineUse {
  std::string_view name;               // a row of runtime/op_routines.def
  std::vector<size_t> operands;        // of the node, those that the routine sees, in its order
  std::vector<Tensor> constants = {};  // more operands
  std::vector<int64_t> attributes = {};
  int64_t units = 1, grain = 1;  // parts for threads, of a lone result without scratch; how many make one worth it
  int64_t scratch_bytes = 0;
  bool keeps_items = true;  // each item of the leading dimension is computed from that of the operands alone
};

struct OpDef {
  std::string_view name;
  // ONNX opset that introduced it; 0 for ops that ONNX has not (internal, or com.microsoft forms).
  int since_opset = 1;
  // Of operands that hold no codes; the last row holds for all operands behind it. Empty: any types. What ONNX allows
  // and Cupel has no meaning for is unsupported by `infer`.
  std::vector<OperandTypes> operand_types = {};
  int min_inputs = 1;
  int max_inputs = 1;  // −1: any number
  int min_outputs = 1;
  int max_outputs = 1;
  std::vector<AttributeSpec> attributes;
  QuantRule quant_rule = QuantRule::none;
  // ONNX opset from which the op takes 8-bit codes, u8 and s8, as its first operand; 0 when it never does. Of ops of
  // rule `same` alone: what the others compute on codes ONNX says with Q/DQ nodes around them.
  int codes_since_opset = 0;
  Elements elements = Elements::combined;
  // From this operand on they are parameters: constants or shapes that say what the op does, and that broadcast with no
  // other operand. INT_MAX: none.
  int parameters_from = INT_MAX;
  Conversion conversion = Conversion::none;
  // Of a contraction, the axis of its output channels in weights (operand 1) of that rank.
  int64_t (*channel_axis)(const Attributes&, int64_t weight_rank) = nullptr;
  // Types of all outputs, for operands of allowed types (see infer_types). Errors have an empty place: the caller names
  // the node.
  Result<std::vector<TensorType>> (*infer)(const InferContext&) = nullptr;
  // Elements of output 0 when it is integer shape arithmetic with known operands; nullopt otherwise. May be null.
  Result<std::optional<std::vector<Dim>>> (*fold_contents)(const InferContext&) = nullptr;
  // The meaning, float and integer alike (docs/quantization.md). Null: shape arithmetic that simplify removes.
  Status (*reference)(const EvalContext&) = nullptr;
  // Set where a routine of the runtime is the definition; `reference` is evaluate_routine, or shares its functions.
  Result<RoutineUse> (*routine)(const RoutineContext&) = nullptr;
  // May be null: elementwise count of output elements is assumed.
  Cost (*cost)(const Attributes&, std::span<const TensorType* const> inputs,
               std::span<const TensorType> outputs) = nullptr;
  // Name of the spelled-out form in onnx/ for opsets below since_opset; empty when there is none.
  std::string_view spelled_by = {};
  // True for ops that simplify must have removed (Shape, Size, Dropout, Constant, ConstantOfShape …).
  bool removed_by_simplify = false;
  // Graph texts of one node of this op, without types of results: every generated test runs over them (ir/text.h).
  std::vector<std::string_view> samples = {};
};

inline bool is_elementwise(const OpDef& op) { return op.elements == Elements::elementwise; }
// QuantizeLinear, DequantizeLinear: ONNX's, whose attributes hold the parameters. In an integer graph the types hold
// them.
inline bool is_linear_conversion(const OpDef& op) { return op.conversion != Conversion::none && op.since_opset > 0; }
// Reshape and its kind.
inline bool changes_shape(const OpDef& op) { return op.elements == Elements::reshaped; }
// `op.infer` after the check of `op.operand_types`: bad_input with an empty place where ONNX forbids an operand's type.
Result<std::vector<TensorType>> infer_types(const OpDef& op, const InferContext& context);

// The row of that name; null when Cupel does not know the op. Defined by ops/op_table.cpp.
const OpDef* find_op(std::string_view name);
// All rows, in table order.
std::span<const OpDef* const> all_ops();

}  // namespace cupel
