#include "driver/bind.h"

#include "base/file.h"

namespace cupel {
namespace {

std::vector<std::optional<int64_t>> sizes_of(const DeclaredInput& input, const Tensor& array, const std::string& free) {
  std::vector<std::optional<int64_t>> sizes;
  for (size_t axis = 0; axis < input.shape.size(); ++axis) {
    const Dim& d = input.shape[axis];
    if (d.is_constant() || d.symbol == free)
      sizes.emplace_back();
    else
      sizes.emplace_back(array.dims()[axis]);
  }
  return sizes;
}

bool is_given(const Bindings& given, const DeclaredInput& input) {
  return given.values.contains(input.name) || given.numbers.contains(input.name) || given.shapes.contains(input.name);
}

bool is_real(DType type) {
  return type == DType::f32 || type == DType::f64 || type == DType::f16 || type == DType::bf16;
}

}  // namespace

Result<std::vector<DeclaredInput>> model_inputs(const std::filesystem::path& path) {
  if (path.extension() == ".graph") return std::vector<DeclaredInput>();
  return declared_inputs(CUPEL_TRY(read_model_file(path)), printable(path.string()));
}

std::string batch_symbol(const std::vector<DeclaredInput>& inputs) {
  for (const DeclaredInput& input : inputs)
    if (!input.shape.empty() && !input.shape[0].is_constant()) return input.shape[0].symbol;
  return {};
}

std::vector<Bindings> ways_to_bind(const std::vector<DeclaredInput>& inputs,
                                   const std::map<std::string, Tensor>& arrays, const Bindings& given) {
  // An unnamed leading dimension is the batch where its array has as many rows as the first one's.
  const std::string batch = batch_symbol(inputs);
  std::optional<int64_t> rows;
  bool agree = true;
  for (const DeclaredInput& input : inputs) {
    const auto array = arrays.find(input.name);
    if (array == arrays.end() || array->second.rank() != static_cast<int64_t>(input.shape.size())) continue;
    for (size_t axis = 0; axis < input.shape.size(); ++axis) {
      const Dim& d = input.shape[axis];
      if (d.is_constant() || d.symbol != batch) continue;
      const int64_t size = array->second.dims()[axis] / d.factor;
      agree = agree && (!rows || *rows == size);
      rows = size;
    }
  }
  std::vector<Bindings> ways;
  const auto add = [&](const std::string& free, int64_t most_value_rank, bool reals) {
    Bindings way = given;
    for (const DeclaredInput& input : inputs) {
      const auto array = arrays.find(input.name);
      if (array == arrays.end() || is_given(given, input)) continue;
      const Tensor& t = array->second;
      if (t.rank() != static_cast<int64_t>(input.shape.size())) continue;  // checked with the other inputs at the run
      // Of arrays of any rank the first one is the data.
      const bool is_data = most_value_rank == kMaxRank && &input == inputs.data();
      if (t.rank() <= most_value_rank && !is_data && (reals || !is_real(t.dtype())))
        way.values.emplace(input.name, t);
      else
        way.shapes.emplace(input.name, sizes_of(input, t, free));
    }
    ways.push_back(std::move(way));
  };
  if (agree) add(batch, -1, false);
  add("", -1, false);
  add("", 1, false);
  add("", 1, true);
  add("", kMaxRank, true);
  return ways;
}

Bindings bind_samples(const std::vector<DeclaredInput>& inputs, const Dataset& data, const Bindings& given) {
  Bindings bindings = given;
  const std::string batch = batch_symbol(inputs);
  for (const DeclaredInput& input : inputs) {
    const DataInput* given_by_data = nullptr;
    for (const DataInput& d : data.inputs())
      if (d.name.empty() || d.name == input.name) given_by_data = &d;
    if (given_by_data == nullptr || is_given(given, input)) continue;
    const Dims& sample = given_by_data->dims;
    const bool whole = input.shape.size() == sample.size();  // it takes a sample as it is
    if (!whole && input.shape.size() != sample.size() + 1) continue;
    std::vector<std::optional<int64_t>> sizes;
    if (!whole) sizes.emplace_back();
    for (const int64_t size : sample) {
      const Dim& declared = input.shape[sizes.size()];
      const bool open =
          !declared.is_constant() && (whole || declared.symbol != batch) && !given.dims.contains(declared.symbol);
      sizes.push_back(open ? std::optional(size) : std::nullopt);
    }
    bindings.shapes.emplace(input.name, std::move(sizes));
  }
  return bindings;
}

Result<Model> load_for_data(const std::filesystem::path& path, const Dataset& data, CompileContext& context) {
  const Bindings given = context.bindings;
  context.bindings = bind_samples(CUPEL_TRY(model_inputs(path)), data, given);
  auto model = load_model(path, context);
  context.bindings = given;
  return model;
}

}  // namespace cupel
