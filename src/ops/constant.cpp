// Constants made by nodes: Constant, ConstantOfShape, Range.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <type_traits>

#include "ir/graph.h"
#include "ops/known.h"
#include "ops/move.h"
#include "ops/op_table.h"
#include "ops/rules.h"

namespace cupel {
namespace {

using namespace ops;

constexpr int64_t kMaxKnown = 64;  // elements of known contents (InferContext)

// The value of whichever attribute is present; exactly one must be.
Result<Tensor> constant_value(const Attributes& attributes) {
  if (attributes.size() != 1)
    return bad_input("", fmt::format("{} values are given, expected 1", attributes.size()), "export the model again");
  const Attribute& value = attributes.begin()->second;
  if (const auto* tensor = std::get_if<Tensor>(&value)) return *tensor;
  if (const auto* number = std::get_if<int64_t>(&value)) return Tensor::scalar<int64_t>(*number);
  if (const auto* number = std::get_if<float>(&value)) return Tensor::scalar<float>(*number);
  if (const auto* list = std::get_if<std::vector<int64_t>>(&value))
    return Tensor::of<int64_t>({static_cast<int64_t>(list->size())}, *list);
  if (const auto* list = std::get_if<std::vector<float>>(&value))
    return Tensor::of<float>({static_cast<int64_t>(list->size())}, *list);
  return bad_input("", "the value is no tensor and no number", "export the model again");
}

// Elements of a small s64 or s32 tensor.
Contents elements_of(const Tensor& t) {
  if ((t.dtype() != DType::s64 && t.dtype() != DType::s32) || t.size() > kMaxKnown) return std::nullopt;
  const auto values = integers_of(t);
  return std::vector<Dim>(values.begin(), values.end());
}

Result<Types> infer_constant(const InferContext& c) {
  const Tensor value = CUPEL_TRY(constant_value(c.attributes));
  return Types{plain(value.dtype(), to_shape(value.dims()))};
}

Result<Contents> fold_constant(const InferContext& c) { return elements_of(CUPEL_TRY(constant_value(c.attributes))); }

Status reference_constant(const EvalContext& c) {
  c.out() = CUPEL_TRY(constant_value(c.attributes));
  return {};
}

// The one element that fills a ConstantOfShape; f32 0 when there is none.
Result<Tensor> fill_value(const Attributes& attributes) {
  const auto value = attributes.find("value");
  if (value == attributes.end()) return Tensor::scalar<float>(0.0f);
  const Tensor& tensor = std::get<Tensor>(value->second);
  if (tensor.size() != 1)
    return bad_input("", fmt::format("the value has {} elements, expected 1", tensor.size()), "correct the attribute");
  if (dtype_bits(tensor.dtype()) < 8)
    return unsupported("", fmt::format("a value of {}", dtype_name(tensor.dtype())), "use 8-bit elements");
  return tensor;
}

Result<Types> infer_constant_of_shape(const InferContext& c) {
  const Tensor value = CUPEL_TRY(fill_value(c.attributes));
  Shape shape = CUPEL_TRY(known_dims(c, 0, "the shape"));
  for (const Dim& d : shape)
    if (d.factor < 0)
      return bad_input("", fmt::format("the wanted shape {} holds the negative number {}", to_text(shape), to_text(d)),
                       "correct the model's shapes");
  return Types{plain(value.dtype(), std::move(shape))};
}

Result<Contents> fold_constant_of_shape(const InferContext& c) {
  const std::vector<Dim>* shape = contents_of(c, 0);
  if (shape == nullptr || !is_static(*shape)) return std::nullopt;
  const auto count = count_elements(static_dims(*shape));
  const Contents value = elements_of(CUPEL_TRY(fill_value(c.attributes)));
  if (!count || *count > kMaxKnown || !value) return std::nullopt;
  return std::vector<Dim>(static_cast<size_t>(*count), (*value)[0]);
}

Status reference_constant_of_shape(const EvalContext& c) {
  const Tensor value = CUPEL_TRY(fill_value(c.attributes));
  fill_elements(element_bytes(value.dtype()), value.bytes().data(), c.out().size(), c.out().mutable_bytes().data());
  return {};
}

// Number of elements start, start + delta, … before limit.
Result<int64_t> range_count(const Tensor& start, const Tensor& limit, const Tensor& delta) {
  for (const Tensor* t : {&start, &limit, &delta})
    if (t->size() != 1)
      return bad_input("",
                       fmt::format("start, limit and delta have {}, {} and {} elements, expected 1 each", start.size(),
                                   limit.size(), delta.size()),
                       "export the model again");
  double count = 0;
  if (is_float(start.dtype())) {
    if (!std::isfinite(start.at(0)) || !std::isfinite(limit.at(0)) || !std::isfinite(delta.at(0)))
      return bad_input(
          "", fmt::format("the range from {} to {} by {} is not finite", start.at(0), limit.at(0), delta.at(0)),
          "correct the model");
    if (delta.at(0) == 0) return bad_input("", "the range has a delta of 0", "correct the model");
    count = std::ceil((limit.at(0) - start.at(0)) / delta.at(0));
  } else {
    using Wide = __int128;
    const Wide span = Wide{limit.int_at(0)} - start.int_at(0), step = delta.int_at(0);
    if (step == 0) return bad_input("", "the range has a delta of 0", "correct the model");
    const Wide steps = span / step + (span % step != 0 && (span < 0) == (step < 0));
    count = static_cast<double>(steps);
  }
  if (count > static_cast<double>(kMaxElements))
    return resource_error("", fmt::format("a range of {} elements exceeds the limit of {}", count, kMaxElements),
                          "use a model with smaller tensors");
  return count > 0 ? static_cast<int64_t>(count) : 0;
}

Result<Types> infer_range(const InferContext& c) {
  const DType t = c.type(0).dtype;
  if (t != DType::f32 && t != DType::f64 && t != DType::s16 && t != DType::s32 && t != DType::s64)
    return unsupported("", fmt::format("a range of {}, expected f32, f64, s16, s32 or s64", dtype_name(t)),
                       "convert the operands");
  for (size_t i = 1; i < 3; ++i) CUPEL_TRY(expect_dtype(c, i, t));
  if (c.constants[0] && c.constants[1] && c.constants[2])
    return Types{plain(t, {CUPEL_TRY(range_count(*c.constants[0], *c.constants[1], *c.constants[2]))})};
  std::vector<Dim> bounds;
  for (size_t i = 0; i < 3; ++i) {
    const std::vector<Dim>* known = contents_of(c, i);
    if (known == nullptr || known->size() != 1)
      return computed_at_run_time(fmt::format("a bound of the range (operand {}) is computed at run time", i),
                                  kGiveParameters);
    bounds.push_back((*known)[0]);
  }
  if (is_static(bounds)) {
    const auto tensor = [&](size_t i) { return Tensor::scalar<int64_t>(bounds[i].factor); };
    return Types{plain(t, {CUPEL_TRY(range_count(tensor(0), tensor(1), tensor(2)))})};
  }
  // From 0 over a symbolic dimension, one by one.
  if (!(bounds[0] == Dim(0)) || !(bounds[2] == Dim(1)) || bounds[1].factor < 0)
    return unsupported(
        "", fmt::format("a range from {} to {} by {}", to_text(bounds[0]), to_text(bounds[1]), to_text(bounds[2])),
        kGiveParameters);
  return Types{plain(t, {bounds[1]})};
}

// start + i · delta of integers; it lies between start and limit, the product alone may pass 64 bits.
int64_t integer_element(int64_t start, int64_t i, int64_t delta) {
  return static_cast<int64_t>(static_cast<uint64_t>(start) + static_cast<uint64_t>(i) * static_cast<uint64_t>(delta));
}

Result<Contents> fold_range(const InferContext& c) {
  if (is_float(c.type(0).dtype) || c.type(0).dtype == DType::s16) return std::nullopt;
  std::vector<int64_t> bounds;
  for (size_t i = 0; i < 3; ++i) {
    const std::vector<Dim>* known = contents_of(c, i);
    if (known == nullptr || known->size() != 1 || !(*known)[0].is_constant()) return std::nullopt;
    bounds.push_back((*known)[0].factor);
  }
  const auto tensor = [&](size_t i) { return Tensor::scalar<int64_t>(bounds[i]); };
  const int64_t count = CUPEL_TRY(range_count(tensor(0), tensor(1), tensor(2)));
  if (count > kMaxKnown) return std::nullopt;
  std::vector<Dim> elements;
  for (int64_t i = 0; i < count; ++i) elements.emplace_back(integer_element(bounds[0], i, bounds[2]));
  return elements;
}

// Element i is start + i · delta, in the type of the range.
template <class T>
void fill_range(const EvalContext& c) {
  const T start = c.in(0).data<T>()[0], delta = c.in(2).data<T>()[0];
  const auto out = c.out().mutable_data<T>();
  for (size_t i = 0; i < out.size(); ++i) {
    if constexpr (std::is_floating_point_v<T>) {
      out[i] = start + static_cast<T>(i) * delta;
    } else {
      out[i] = static_cast<T>(integer_element(start, static_cast<int64_t>(i), delta));
    }
  }
}

Status reference_range(const EvalContext& c) {
  const int64_t count = CUPEL_TRY(range_count(c.in(0), c.in(1), c.in(2)));
  if (count != c.out().size())
    return internal_error("", fmt::format("the range has {} elements, inferred were {}", count, c.out().size()));
  switch (c.out().dtype()) {
    case DType::f32: fill_range<float>(c); break;
    case DType::f64: fill_range<double>(c); break;
    case DType::s16: fill_range<int16_t>(c); break;
    case DType::s32: fill_range<int32_t>(c); break;
    default: fill_range<int64_t>(c); break;
  }
  return {};
}

}  // namespace

namespace ops {
const OpDef kConstant{.name = "Constant",
                      .min_inputs = 0,
                      .max_inputs = 0,
                      .attributes = {{"value", AttributeKind::tensor},
                                     {"value_float", AttributeKind::real},
                                     {"value_floats", AttributeKind::reals},
                                     {"value_int", AttributeKind::integer},
                                     {"value_ints", AttributeKind::integers}},
                      .infer = infer_constant,
                      .fold_contents = fold_constant,
                      .reference = reference_constant,
                      .cost = no_cost,
                      .removed_by_simplify = true,
                      .samples = {R"(graph "constant" stage imported opset 17 {
  %y = Constant() {value=tensor f32[2,2] [0x1p+0, -0x1p-1, 0x0p+0, 0x1.8p+1]}
  output %y
})",
                                  R"(graph "constant_integers" stage imported opset 17 {
  %y = Constant() {value_ints=[3, -1, 7]}
  output %y
})",
                                  R"(graph "constant_number" stage imported opset 17 {
  %y = Constant() {value_float=0x1.4p+1}
  output %y
})"}};

const OpDef kConstantOfShape{.name = "ConstantOfShape",
                             .since_opset = 9,
                             .operand_types = {{kIndexTypes}},
                             .attributes = {{"value", AttributeKind::tensor}},
                             .infer = infer_constant_of_shape,
                             .fold_contents = fold_constant_of_shape,
                             .reference = reference_constant_of_shape,
                             .cost = no_cost,
                             .removed_by_simplify = true,
                             .samples = {R"(graph "constant_of_shape" stage imported opset 17 {
  constant %shape : s64[2] = [3, 5]
  %y = ConstantOfShape(%shape)
  output %y
})",
                                         R"(graph "constant_of_shape_value" stage imported opset 17 {
  constant %shape : s64[1] = [4]
  %y = ConstantOfShape(%shape) {value=tensor s64[1] [-1]}
  output %y
})"}};

const OpDef kRange{.name = "Range",
                   .since_opset = 11,
                   .operand_types = same_type(kFloatTypes | DType::s16 | kIndexTypes),
                   .min_inputs = 3,
                   .max_inputs = 3,
                   .infer = infer_range,
                   .fold_contents = fold_range,
                   .reference = reference_range,
                   .removed_by_simplify = true,
                   .samples = {R"(graph "range" stage imported opset 17 {
  constant %start : s64[] = [10]
  constant %limit : s64[] = [-3]
  constant %delta : s64[] = [-4]
  %y = Range(%start, %limit, %delta)
  output %y
})",
                               R"(graph "range_reals" stage imported opset 17 {
  constant %start : f32[] = [0.5]
  constant %limit : f32[] = [2.0]
  constant %delta : f32[] = [0.3]
  %y = Range(%start, %limit, %delta)
  output %y
})"}};
}  // namespace ops
}  // namespace cupel
