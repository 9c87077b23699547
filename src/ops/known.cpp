#include "ops/known.h"

#include <fmt/format.h>

namespace cupel::ops {

Status expect_integers(const InferContext& c, size_t i, std::string_view what, bool scalar) {
  if (!c.has(i))
    return bad_input("", fmt::format("{} (operand {}) is missing", what, i), "give every required operand");
  const TensorType& t = c.type(i);
  if (t.dtype != DType::s64 && t.dtype != DType::s32)
    return bad_input("", fmt::format("{} (operand {}) is {}, expected s64 or s32", what, i, dtype_name(t.dtype)),
                     "export the model again");
  if (t.shape.size() != 1 && !(scalar && t.shape.empty()))
    return bad_input("",
                     fmt::format("{} (operand {}) has shape {}, expected {}", what, i, to_text(t.shape),
                                 scalar ? "a scalar or one dimension" : "one dimension"),
                     "export the model again");
  return {};
}

Result<std::vector<Dim>> known_dims(const InferContext& c, size_t i, std::string_view what, bool scalar) {
  CUPEL_TRY(expect_integers(c, i, what, scalar));
  return known_elements(c, i, what);
}

Result<std::vector<Dim>> known_elements(const InferContext& c, size_t i, std::string_view what) {
  if (const std::vector<Dim>* elements = contents_of(c, i)) return *elements;
  if (const Tensor* t = i < c.constants.size() ? c.constants[i] : nullptr; t && is_integer(t->dtype())) {
    std::vector<Dim> elements;
    for (int64_t k = 0; k < t->size(); ++k) elements.emplace_back(t->int_at(k));
    return elements;
  }
  return computed_at_run_time(fmt::format("{} (operand {}) is computed at run time", what, i), kGiveParameters);
}

std::vector<int64_t> integers_of(const Tensor& t) {
  std::vector<int64_t> values(static_cast<size_t>(t.size()));
  for (int64_t i = 0; i < t.size(); ++i) values[static_cast<size_t>(i)] = t.int_at(i);
  return values;
}

Result<Contents> same_contents(const InferContext& c) {
  const std::vector<Dim>* elements = contents_of(c, 0);
  return elements ? Contents(*elements) : std::nullopt;
}

}  // namespace cupel::ops
