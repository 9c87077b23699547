#include "driver/parts.h"

#include "assess/model_cost.h"
#include "base/file.h"
#include "driver/bind.h"
#include "driver/calibration_run.h"
#include "onnx/reader.h"
#include "reference/interpreter.h"

namespace cupel {
namespace {

// Sizes, axes, counts, conditions: what nodes take as parameters.
bool is_parameter(const Tensor& t) {
  constexpr int64_t kMostReals = 16;
  return t.rank() <= 1 && (is_integer(t.dtype()) || t.dtype() == DType::boolean || t.size() <= kMostReals);
}

// All arrays that the parts so far have given, and which of them have become constants.
class Values {
 public:
  explicit Values(std::map<std::string, Tensor> arrays) : arrays_(std::move(arrays)) {}

  const KnownValues& known() const { return known_; }
  const Tensor& at(const std::string& name) const { return arrays_.at(name); }

  void add(const std::string& name, Tensor t) {
    known_.inputs.emplace(name, TensorType{t.dtype(), to_shape(t.dims()), std::nullopt});
    arrays_.insert_or_assign(name, std::move(t));
  }
  void add_constant(const std::string& name, Tensor t) {
    known_.inputs.erase(name);
    known_.constants.insert_or_assign(name, t);
    arrays_.insert_or_assign(name, std::move(t));
  }
  // Makes constants of what the node reads: its parameters, or, where these are constants, all of it. False when
  // nothing is left.
  bool fix(const OnnxPart::Waiting& node) {
    for (const bool all : {false, true}) {
      bool fixed = false;
      for (const std::string& name : node.operands) {
        const auto found = arrays_.find(name);
        if (found == arrays_.end() || known_.constants.contains(name) || !(all || is_parameter(found->second)))
          continue;
        add_constant(name, found->second);
        fixed = true;
      }
      if (fixed) return true;
    }
    return false;
  }

 private:
  std::map<std::string, Tensor> arrays_;
  KnownValues known_;
};

// Of 8-bit floats an array does not say the format (data/npy.cpp).
std::map<std::string, Tensor> in_declared_floats(const std::vector<DeclaredInput>& declared,
                                                 std::map<std::string, Tensor> arrays) {
  for (const DeclaredInput& input : declared)
    if (const auto found = arrays.find(input.name);
        found != arrays.end() && is_byte_float(input.dtype) && is_byte_float(found->second.dtype()))
      found->second = found->second.bit_cast_to(input.dtype);
  return arrays;
}

Status run_part(OnnxPart part, const std::filesystem::path& path, bool first, EngineKind engine,
                CompileContext& context, Values& values) {
  std::vector<Tensor> inputs;
  for (const ValueId id : part.graph.inputs()) inputs.push_back(values.at(part.graph.value(id).name));
  // What becomes a constant before a part reads it has no other check.
  if (first) CUPEL_TRY(bind_inputs(part.graph, inputs));
  for (auto& [name, t] : part.constants) values.add_constant(name, std::move(t));
  if (part.graph.outputs().empty()) return {};
  const Model model = CUPEL_TRY(finish_model({.path = path}, std::move(part.graph), context));
  const bool is_short = cost_of(model.program).macs < kMacsOfACompilation;
  const EngineKind kind = !first && is_short ? EngineKind::reference : engine;
  const auto outputs = [&]() -> Result<std::vector<Tensor>> {
    const RunGraph run = CUPEL_TRY(make_engine(model.program, path.stem().string(), kind, context.threads));
    return run(model.program, inputs, {});
  }();
  if (!outputs) return std::unexpected(Error(outputs.error()).within(printable(path.string())));
  for (size_t i = 0; i < outputs->size(); ++i)
    values.add(model.program.value(model.program.outputs()[i]).name, (*outputs)[i]);
  return {};
}

}  // namespace

Result<std::vector<std::pair<std::string, Tensor>>> run_in_parts(const std::filesystem::path& path,
                                                                 const std::map<std::string, Tensor>& arrays,
                                                                 const Bindings& given, EngineKind engine,
                                                                 CompileContext& context) {
  const std::string place = printable(path.string());
  const Bytes file = CUPEL_TRY(read_model_file(path));
  const std::vector<DeclaredInput> declared = CUPEL_TRY(model_inputs(path));
  const Bindings bindings = bind_arrays(declared, arrays, given);
  Values values(in_declared_floats(declared, arrays));
  for (bool first = true;; first = false) {
    OnnxPart part = CUPEL_TRY(read_onnx_part(file, path.parent_path(), place, bindings, values.known()));
    const std::vector<OnnxPart::Waiting> deciding = std::move(part.deciding);
    const std::vector<std::string> outputs = std::move(part.outputs);
    CUPEL_TRY(run_part(std::move(part), path, first, engine, context, values));
    if (deciding.empty()) {
      std::vector<std::pair<std::string, Tensor>> given_out;
      for (const std::string& name : outputs) given_out.emplace_back(name, values.at(name));
      return given_out;
    }
    bool goes_on = false;
    for (const OnnxPart::Waiting& node : deciding) goes_on = values.fix(node) || goes_on;
    if (!goes_on) return std::unexpected(Error(deciding.front().why).within(place));
  }
}

}  // namespace cupel
