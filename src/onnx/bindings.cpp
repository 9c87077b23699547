#include "onnx/bindings.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cmath>
#include <limits>
#include <type_traits>
#include <unordered_set>

#include "base/file.h"
#include "onnx/element_type.h"
#include "onnx/model.h"
#include "ops/onnx_dtype.h"

namespace cupel {
namespace {

const char* const kExportAgain = "export the model again";

// "batch", or "2*batch" as exporters and Cupel write a multiple of a symbol.
Dim named_dim(std::string_view name) {
  int64_t factor = 0;
  const auto [end, code] = std::from_chars(name.data(), name.data() + name.size(), factor);
  const auto used = static_cast<size_t>(end - name.data());
  if (code == std::errc() && factor > 0 && used + 1 < name.size() && *end == '*')
    return Dim(factor, std::string(name.substr(used + 1)));
  return Dim(1, std::string(name));
}

// Exporters write "?" and the like for what has no name.
bool is_name(std::string_view text) {
  return std::ranges::any_of(text, [](unsigned char c) { return std::isalnum(c) != 0 || c >= 0x80; }) && text != "-1";
}

Dim unnamed_dim(std::string_view input, size_t axis) {
  return Dim(1, axis == 0 ? std::string("batch") : fmt::format("dim_{}_{}", input, axis));
}

Result<Shape> declared_shape(const ValueFields& input) {
  if (!input.shape) return unsupported("", "has no shape", "export the model with the shapes of its inputs");
  if (static_cast<int64_t>(input.shape->size()) > kMaxRank)
    return unsupported("", fmt::format("has more than {} dimensions", kMaxRank), "reshape it to fewer dimensions");
  Shape shape;
  for (size_t axis = 0; axis < input.shape->size(); ++axis) {
    const DimFields& d = (*input.shape)[axis];
    if (d.value && *d.value < -1) return bad_input("", fmt::format("dimension {} is {}", axis, *d.value), kExportAgain);
    if (d.value && *d.value >= 0)
      shape.emplace_back(*d.value);
    else
      shape.push_back(!is_name(d.param) ? unnamed_dim(input.name, axis) : named_dim(d.param));
  }
  const Dims one_each = CUPEL_TRY(bind_shape(shape, 1));
  CUPEL_TRY(count_elements(one_each));
  return shape;
}

Result<DeclaredInput> declared_input(const ValueFields& input) {
  if (!input.kind) return bad_input("", "has no type", kExportAgain);
  if (!input.is_tensor())
    return unsupported("", fmt::format("is {}, expected a tensor", input.kind),
                       "export the model with plain tensors as inputs");
  const auto type = dtype_from_onnx(input.elem_type);
  if (!type)
    return unsupported("", fmt::format("has element type {}", onnx_type_name(input.elem_type)),
                       "export the model with numeric inputs");
  Shape shape = CUPEL_TRY(declared_shape(input));
  const bool unnamed = !shape.empty() && !shape[0].is_constant() && !is_name((*input.shape)[0].param);
  const DType bytes = *type == DType::u4 ? DType::u8 : *type == DType::s4 ? DType::s8 : *type;
  return DeclaredInput{std::string(input.name), bytes, std::move(shape), unnamed, *type};
}

std::string names_of(const std::vector<DeclaredInput>& inputs) {
  std::string text;
  for (const DeclaredInput& input : inputs)
    text += fmt::format("{}{} {}", text.empty() ? "" : ", ", printable(input.name), to_text(input.shape));
  return "inputs: " + (text.empty() ? "none" : text);
}

class Sizes {
 public:
  explicit Sizes(const std::vector<DeclaredInput>& inputs) : inputs_(inputs) {}

  Status add_dims(const Bindings& bindings) {
    for (const auto& [symbol, size] : bindings.dims) {
      const auto has = [&](const DeclaredInput& input) {
        return std::ranges::any_of(input.shape, [&](const Dim& d) { return d.symbol == symbol; });
      };
      if (std::ranges::none_of(inputs_, has))
        return usage_error("--dim", fmt::format("no input has a symbolic dimension {}", printable(symbol)),
                           names_of(inputs_));
      sizes_[symbol] = size;
    }
    return {};
  }

  Status add_shape(const DeclaredInput& input, const std::vector<std::optional<int64_t>>& given) {
    const std::string place = fmt::format("input {}", printable(input.name));
    std::string text;
    for (const auto& size : given) text += (text.empty() ? "" : ",") + (size ? std::to_string(*size) : "?");
    const auto contradiction = [&](const std::string& cause) {
      return usage_error(place, fmt::format("the shape [{}] {}", text, cause),
                         fmt::format("give a shape that fits {}", to_text(input.shape)));
    };
    if (given.size() != input.shape.size())
      return contradiction(fmt::format("has {} dimensions, expected {}", given.size(), input.shape.size()));
    for (size_t axis = 0; axis < given.size(); ++axis) {
      const Dim& declared = input.shape[axis];
      if (!given[axis]) continue;
      if (declared.is_constant() ? declared.factor != *given[axis] : *given[axis] % declared.factor != 0)
        return contradiction(fmt::format("is {} at dimension {}, expected {}", *given[axis], axis, to_text(declared)));
      if (declared.is_constant()) continue;
      const int64_t size = *given[axis] / declared.factor;
      const auto [known, added] = sizes_.emplace(declared.symbol, size);
      if (added || known->second == size) continue;
      if (axis == 0 && input.unnamed_lead)
        leads_[input.name] = size;
      else
        return contradiction(fmt::format("makes dimension {} {}, which is {} elsewhere", printable(declared.symbol),
                                         size, known->second));
    }
    return {};
  }

  Status bind(const DeclaredInput& input, Shape& shape) const {
    if (const auto lead = leads_.find(input.name); lead != leads_.end()) shape[0] = Dim(lead->second);
    for (Dim& d : shape)
      if (const auto known = sizes_.find(d.symbol); !d.is_constant() && known != sizes_.end())
        d = Dim(CUPEL_TRY(checked_mul(d.factor, known->second)));
    CUPEL_TRY(count_elements(CUPEL_TRY(bind_shape(shape, 1))));
    return {};
  }

 private:
  const std::vector<DeclaredInput>& inputs_;
  std::map<std::string, int64_t, std::less<>> sizes_;
  std::map<std::string, int64_t, std::less<>> leads_;  // input → what its own unnamed leading dimension is
};

Result<const DeclaredInput*> input_named(const std::vector<DeclaredInput>& inputs, const std::string& name) {
  const auto found = std::ranges::find(inputs, name, &DeclaredInput::name);
  if (found != inputs.end()) return &*found;
  return usage_error(fmt::format("input {}", printable(name)), "the model has no input of that name", names_of(inputs));
}

Status check_value(const DeclaredInput& input, const Tensor& value) {
  if (value.dtype() == input.dtype && value.rank() == static_cast<int64_t>(input.shape.size())) return {};
  return usage_error(fmt::format("input {}", printable(input.name)),
                     fmt::format("found {}{}, expected {}{}", dtype_name(value.dtype()), to_text(value.dims()),
                                 dtype_name(input.dtype), to_text(input.shape)),
                     "give a value of the input's type and shape");
}

// Numbers as a tensor of the input's type; they fill its one dimension that is not 1, or are one.
Result<Tensor> tensor_of(const DeclaredInput& input, const std::vector<double>& numbers) {
  const auto refuse = [&](const std::string& cause) {
    return usage_error(fmt::format("input {}", printable(input.name)), cause,
                       fmt::format("give numbers that fit {}{}", dtype_name(input.dtype), to_text(input.shape)));
  };
  const auto count = static_cast<int64_t>(numbers.size());
  Dims dims(input.shape.size(), 1);
  if (!dims.empty()) dims.back() = count;
  Tensor t(input.dtype, dims);
  if (t.size() != count) return refuse(fmt::format("{} numbers are given for a scalar", count));
  const auto fill = [&]<class T>(T*) -> Status {
    for (size_t i = 0; i < numbers.size(); ++i) {
      const double v = numbers[i];
      // 2^63 is the first that no signed integer holds; static_cast of it would be undefined.
      if constexpr (std::is_integral_v<T>)
        if (v != std::trunc(v) || v < static_cast<double>(std::numeric_limits<T>::min()) ||
            v > static_cast<double>(std::numeric_limits<T>::max()) || std::abs(v) >= 0x1p63)
          return refuse(fmt::format("{} is none of its numbers", v));
      t.mutable_data<T>()[i] = static_cast<T>(v);
    }
    return {};
  };
  Status status;
  switch (input.dtype) {
    case DType::f32: status = fill(static_cast<float*>(nullptr)); break;
    case DType::f64: status = fill(static_cast<double*>(nullptr)); break;
    case DType::s64: status = fill(static_cast<int64_t*>(nullptr)); break;
    case DType::s32: status = fill(static_cast<int32_t*>(nullptr)); break;
    case DType::u8: status = fill(static_cast<uint8_t*>(nullptr)); break;
    case DType::s8: status = fill(static_cast<int8_t*>(nullptr)); break;
    case DType::boolean:
      for (size_t i = 0; i < numbers.size(); ++i) t.mutable_bytes()[i] = static_cast<std::byte>(numbers[i] != 0);
      break;
    default: return refuse("numbers of this type cannot be given on the command line");
  }
  if (!status) return std::unexpected(std::move(status).error());
  return t;
}

}  // namespace

Result<std::vector<DeclaredInput>> declared_inputs(const GraphFields& graph) {
  std::unordered_set<std::string_view> initializers;
  for (const TensorFields& t : graph.initializers) initializers.insert(t.name);
  std::vector<DeclaredInput> inputs;
  for (const ValueFields& fields : graph.inputs) {
    if (initializers.contains(fields.name)) continue;
    auto input = declared_input(fields);
    if (!input)
      return std::unexpected(std::move(input).error().within(fmt::format("input {}", printable(fields.name))));
    inputs.push_back(std::move(*input));
  }
  return inputs;
}

Result<std::vector<DeclaredInput>> declared_inputs(std::span<const std::byte> file, std::string_view place) {
  const ModelFields model = CUPEL_TRY(parse_model(file, place));
  if (!model.graph) return bad_input(std::string(place), "holds no graph, so it is no ONNX model", "name an ONNX file");
  auto inputs = declared_inputs(*model.graph);
  if (!inputs) return std::unexpected(std::move(inputs).error().within(std::string(place)));
  return inputs;
}

Result<std::map<std::string, Tensor, std::less<>>> bound_values(const std::vector<DeclaredInput>& inputs,
                                                                const Bindings& bindings) {
  std::map<std::string, Tensor, std::less<>> values;
  for (const auto& [name, value] : bindings.values) {
    CUPEL_TRY(check_value(*CUPEL_TRY(input_named(inputs, name)), value));
    values.emplace(name, value);
  }
  for (const auto& [name, numbers] : bindings.numbers)
    values.emplace(name, CUPEL_TRY(tensor_of(*CUPEL_TRY(input_named(inputs, name)), numbers)));
  return values;
}

Status bind_sizes(std::vector<DeclaredInput>& inputs, const Bindings& bindings) {
  if (bindings.empty()) return {};
  Sizes sizes(inputs);
  CUPEL_TRY(sizes.add_dims(bindings));
  for (const auto& [name, shape] : bindings.shapes)
    CUPEL_TRY(sizes.add_shape(*CUPEL_TRY(input_named(inputs, name)), shape));
  for (const auto& [name, value] : CUPEL_TRY(bound_values(inputs, bindings)))
    CUPEL_TRY(sizes.add_shape(*CUPEL_TRY(input_named(inputs, name)), {value.dims().begin(), value.dims().end()}));
  std::vector<Shape> bound;
  for (const DeclaredInput& input : inputs) CUPEL_TRY(sizes.bind(input, bound.emplace_back(input.shape)));
  for (size_t i = 0; i < inputs.size(); ++i) inputs[i].shape = std::move(bound[i]);
  return {};
}

}  // namespace cupel
