// IsNaN, IsInf: what kind of number an element is.
#include <fmt/format.h>

#include <bit>

#include "base/scalar_math.h"
#include "ir/graph.h"
#include "ops/elementwise.h"
#include "ops/op_table.h"
#include "ops/rules.h"

namespace cupel {
namespace {

using namespace ops;

Result<Types> infer_classes(const InferContext& c) {
  CUPEL_TRY(expect_dtype(c, 0, DType::f32));
  return Types{plain(DType::boolean, c.shape(0))};
}

template <class F>
void classify(const EvalContext& c, F f) {
  const float* x = c.in(0).data<float>().data();
  uint8_t* out = byte_elements(c.out());
  c.threads.parallel_for(c.in(0).size(), kPartOperations, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) out[i] = f(std::bit_cast<uint32_t>(x[i]));
  });
}

Status reference_is_nan(const EvalContext& c) {
  classify(c, [](uint32_t bits) { return (bits & ~scalar::kSignBit) > scalar::kInfinityBits; });
  return {};
}

Status reference_is_inf(const EvalContext& c) {
  const bool positive = attr_int(c.attributes, "detect_positive", 1) != 0,
             negative = attr_int(c.attributes, "detect_negative", 1) != 0;
  classify(c, [=](uint32_t bits) {
    return (positive && bits == scalar::kInfinityBits) ||
           (negative && bits == (scalar::kInfinityBits | scalar::kSignBit));
  });
  return {};
}

}  // namespace

namespace ops {

const OpDef kIsNaN{.name = "IsNaN",
                   .since_opset = 9,
                   .operand_types = {{kFloatTypes | DType::f8e4m3 | DType::f8e5m2}},
                   .elements = Elements::elementwise,
                   .infer = infer_classes,
                   .reference = reference_is_nan,
                   .samples = {R"(graph "is_nan" stage imported opset 17 {
  input %x : f32[batch,3,7]
  %y = IsNaN(%x)
  output %y
})"}};

const OpDef kIsInf{
    .name = "IsInf",
    .since_opset = 10,
    .operand_types = {{kFloatTypes | DType::f8e4m3 | DType::f8e5m2}},
    .attributes = {{"detect_negative", AttributeKind::integer}, {"detect_positive", AttributeKind::integer}},
    .elements = Elements::elementwise,
    .infer = infer_classes,
    .reference = reference_is_inf,
    .samples = {R"(graph "is_inf" stage imported opset 17 {
  input %x : f32[batch,3,7]
  %y = IsInf(%x)
  output %y
})",
                R"(graph "is_inf_negative" stage imported opset 17 {
  input %x : f32[batch,9]
  %y = IsInf(%x) {detect_positive=0}
  output %y
})"}};

}  // namespace ops
}  // namespace cupel
