// Runs one op without a graph: type inference, allocation and the reference meaning, from operands written in the test.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "ir/graph.h"
#include "runtime/floating_point.h"
#include "runtime/thread_pool.h"

namespace cupel::testing {

// One operand: its type, and its elements when it has any. A default-made one is absent.
struct Operand {
  std::optional<TensorType> type;
  std::optional<Tensor> tensor;
  bool constant = false;                     // seen by inference; integers also as contents
  std::optional<std::vector<Dim>> contents;  // known elements of a value that is no constant

  Operand() = default;
  Operand(Tensor t) : type(TensorType{t.dtype(), to_shape(t.dims()), {}}), tensor(std::move(t)) {}  // NOLINT
  // A value of that type without elements: for inference alone.
  Operand(TensorType t) : type(std::move(t)) {}  // NOLINT
};

inline Operand constant(Tensor t) {
  Operand operand(std::move(t));
  operand.constant = true;
  return operand;
}

// Codes with one scale.
inline Operand codes(Tensor t, float scale, int32_t zero_point) {
  Operand operand(std::move(t));
  operand.type->quant = QuantParams{{scale}, {zero_point}, -1};
  return operand;
}

inline TensorType codes_type(DType dtype, Shape shape, float scale, int32_t zero_point) {
  return {dtype, std::move(shape), QuantParams{{scale}, {zero_point}, -1}};
}

// The pieces an InferContext points to.
class Inference {
 public:
  Inference(const std::vector<Operand>& operands, const Attributes& attributes, const std::vector<TensorType>& declared)
      : contents_(operands.size()) {
    for (size_t i = 0; i < operands.size(); ++i) {
      const Operand& operand = operands[i];
      if (operand.contents) {
        contents_[i] = *operand.contents;
      } else if (operand.constant && is_integer(operand.tensor->dtype())) {
        contents_[i].emplace();
        for (int64_t e = 0; e < operand.tensor->size(); ++e) contents_[i]->emplace_back(operand.tensor->int_at(e));
      }
      types_.push_back(operand.type ? &*operand.type : nullptr);
      content_pointers_.push_back(contents_[i] ? &*contents_[i] : nullptr);
      constants_.push_back(operand.constant ? &*operand.tensor : nullptr);
    }
    context_ =
        std::make_unique<InferContext>(InferContext{attributes, types_, content_pointers_, constants_, declared});
  }
  const InferContext& context() const { return *context_; }
  const std::vector<const TensorType*>& types() const { return types_; }

 private:
  std::vector<std::optional<std::vector<Dim>>> contents_;
  std::vector<const TensorType*> types_;
  std::vector<const std::vector<Dim>*> content_pointers_;
  std::vector<const Tensor*> constants_;
  std::unique_ptr<InferContext> context_;
};

inline Result<std::vector<TensorType>> infer_op(const OpDef& op, const std::vector<Operand>& operands,
                                                const Attributes& attributes = {},
                                                const std::vector<TensorType>& declared = {}) {
  return infer_types(op, Inference(operands, attributes, declared).context());
}

inline Result<std::optional<std::vector<Dim>>> fold_op(const OpDef& op, const std::vector<Operand>& operands,
                                                       const Attributes& attributes = {}) {
  return op.fold_contents(Inference(operands, attributes, {}).context());
}

// All outputs. The result is the same on one, two and three threads, or the test fails.
inline Result<std::vector<Tensor>> run_op(const OpDef& op, const std::vector<Operand>& operands,
                                          const Attributes& attributes = {},
                                          const std::vector<TensorType>& declared = {}) {
  const Inference inference(operands, attributes, declared);
  const std::vector<TensorType> types = CUPEL_TRY(infer_types(op, inference.context()));
  std::vector<const Tensor*> inputs;
  for (const Operand& operand : operands) inputs.push_back(operand.tensor ? &*operand.tensor : nullptr);
  const Node node{&op, "test", {}, {}, attributes, {"test"}};
  std::vector<Tensor> first;
  for (int threads = 1; threads <= 3; ++threads) {
    ThreadPool pool(threads);
    std::vector<Tensor> outputs;
    for (const TensorType& type : types) outputs.emplace_back(type.dtype, static_dims(type.shape));
    const NetworkArithmetic arithmetic;  // as the interpreter sets it
    CUPEL_TRY(op.reference(EvalContext{node, attributes, inputs, inference.types(), types, outputs, pool}));
    if (threads == 1) {
      first = outputs;
    } else {
      EXPECT_TRUE(first == outputs) << op.name << " differs on " << threads << " threads";
    }
  }
  return first;
}

// Output 0; the test fails with the message of an error.
inline Tensor run(const OpDef& op, const std::vector<Operand>& operands, const Attributes& attributes = {},
                  const std::vector<TensorType>& declared = {}) {
  auto outputs = run_op(op, operands, attributes, declared);
  if (!outputs) {
    ADD_FAILURE() << op.name << ": " << outputs.error().message();
    return {};
  }
  return (*outputs)[0];
}

// The message of the expected error; of its kind, too.
template <class T>
std::string message_of(const Result<T>& result) {
  if (result) return "no error";
  constexpr const char* kKinds[] = {"usage", "bad input", "unsupported", "internal", "resource"};
  return std::string(kKinds[static_cast<size_t>(result.error().kind)]) + "; " + result.error().message();
}

template <class T>
std::vector<T> elements(const Tensor& t) {
  if (t.dtype() != DTypeOf<T>::value) {
    ADD_FAILURE() << "the tensor is " << dtype_name(t.dtype());
    return {};
  }
  return {t.data<T>().begin(), t.data<T>().end()};
}

// Repeatable numbers in [low, high), and codes of any value; different for each seed.
inline Tensor random_reals(Dims dims, uint32_t seed, float low = -3.0f, float high = 3.0f) {
  Tensor t(DType::f32, std::move(dims));
  uint32_t state = seed * 2654435761u + 12345u;
  for (float& x : t.mutable_data<float>()) {
    state = state * 1664525u + 1013904223u;
    x = low + (high - low) * (static_cast<float>(state >> 8) * 0x1p-24f);
  }
  return t;
}
inline Tensor random_codes(DType dtype, Dims dims, uint32_t seed) {
  Tensor t(dtype, std::move(dims));
  uint32_t state = seed * 2246822519u + 77u;
  for (std::byte& b : t.mutable_bytes()) {
    state = state * 1664525u + 1013904223u;
    b = static_cast<std::byte>(state >> 24);
  }
  return t;
}

}  // namespace cupel::testing
