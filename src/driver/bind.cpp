#include "driver/bind.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/file.h"
#include "lower/lower.h"

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

// Sizes of the arrays but for the symbol `free`; arrays of so many dimensions at most, and of integers alone unless
// `reals`, are constants.
Bindings bound_to(const std::vector<DeclaredInput>& inputs, const std::map<std::string, Tensor>& arrays,
                  const Bindings& given, const std::string& free, int64_t most_value_rank, bool reals) {
  Bindings way = given;
  for (const DeclaredInput& input : inputs) {
    const auto array = arrays.find(input.name);
    if (array == arrays.end() || is_given(given, input)) continue;
    // Of 8-bit floats an array does not say the format (data/npy.cpp).
    const bool bytes = is_byte_float(array->second.dtype()) && is_byte_float(input.dtype);
    const Tensor t = bytes ? array->second.bit_cast_to(input.dtype) : array->second;
    if (t.rank() != static_cast<int64_t>(input.shape.size())) continue;  // checked with the other inputs at the run
    // Of arrays of any rank the first one is the data.
    const bool is_data = most_value_rank == kMaxRank && &input == inputs.data();
    if (t.rank() <= most_value_rank && !is_data && (reals || !is_real(t.dtype())))
      way.values.emplace(input.name, t);
    else
      way.shapes.emplace(input.name, sizes_of(input, t, free));
  }
  return way;
}

}  // namespace

Bindings bind_arrays(const std::vector<DeclaredInput>& inputs, const std::map<std::string, Tensor>& arrays,
                     const Bindings& given) {
  return bound_to(inputs, arrays, given, "", -1, false);
}

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
    ways.push_back(bound_to(inputs, arrays, given, free, most_value_rank, reals));
  };
  if (agree) add(batch, -1, false);
  add("", -1, false);
  add("", 1, false);
  add("", 1, true);
  add("", kMaxRank, true);
  return ways;
}

Bindings bind_samples(const std::vector<DeclaredInput>& inputs, const Dataset& data, const Bindings& given,
                      int64_t batch) {
  Bindings bindings = given;
  const std::string symbol = batch_symbol(inputs);
  for (const DeclaredInput& input : inputs) {
    const DataInput* given_by_data = nullptr;
    for (const DataInput& d : data.inputs())
      if (d.name.empty() || d.name == input.name) given_by_data = &d;
    if (given_by_data == nullptr || is_given(given, input)) continue;
    const Dims& sample = given_by_data->dims;
    const bool whole = input.shape.size() == sample.size();  // it takes a sample as it is
    if (!whole && input.shape.size() != sample.size() + 1) continue;
    std::vector<std::optional<int64_t>> sizes;
    const auto is_open = [&](const Dim& d) { return !d.is_constant() && !given.dims.contains(d.symbol); };
    if (!whole) {
      const Dim& lead = input.shape[0];
      sizes.push_back(batch > 0 && is_open(lead) ? std::optional(batch * lead.factor) : std::nullopt);
    }
    for (const int64_t size : sample) {
      const Dim& declared = input.shape[sizes.size()];
      const bool stays = batch == 0 && !whole && declared.symbol == symbol;
      sizes.push_back(is_open(declared) && !stays ? std::optional(size) : std::nullopt);
    }
    bindings.shapes.emplace(input.name, std::move(sizes));
  }
  return bindings;
}

std::string Model::batch_note() const {
  if (batch_fixed_by.empty()) return {};
  return fmt::format("{} runs one sample at a time, and what is written of it has a batch of one: {}",
                     printable(path.filename().string()), batch_fixed_by);
}

namespace {

bool has_open_batch(const Graph& graph) {
  return std::ranges::any_of(graph.inputs(), [&](ValueId v) { return !is_static(graph.type(v).shape); });
}

std::string cause_of(const Error& error) {
  return error.place.empty() ? error.cause : error.place + ": " + error.cause;
}

// Why the model has no compiled form; empty where it has one, or no target would give it one.
std::string lacks_compiled_form(const Model& model) {
  const auto lowered = lower_graph(model.program, model.path.stem().string(), LowerTarget{});
  return lowered || lowered.error().kind != ErrorKind::unsupported ? "" : cause_of(lowered.error());
}

}  // namespace

Result<Model> load_for_data(const std::filesystem::path& path, const Dataset& data, CompileContext& context) {
  const Bindings given = context.bindings;
  const PassOptions passes = context.passes;
  const std::vector<DeclaredInput> inputs = CUPEL_TRY(model_inputs(path));
  const auto load = [&](int64_t batch) {
    context.bindings = bind_samples(inputs, data, given, batch);
    context.passes = passes;
    auto model = load_model(path, context);
    context.bindings = given;
    return model;
  };
  auto open = load(0);
  if (batch_symbol(inputs).empty() || context.passes.stopped) return open;
  if (!open && open.error().kind != ErrorKind::unsupported) return open;
  if (open && !has_open_batch(open->program)) return open;
  std::string why = open ? lacks_compiled_form(*open) : cause_of(open.error());
  if (why.empty()) return open;
  const PassOptions after = context.passes;
  auto one = load(1);
  if (one && (!open || lacks_compiled_form(*one).empty())) {
    one->batch_fixed_by = std::move(why);
    return one;
  }
  if (!open) return open;
  context.passes = after;
  return open;
}

}  // namespace cupel
