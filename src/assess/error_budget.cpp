#include "assess/error_budget.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "ops/op_table.h"
#include "reference/interpreter.h"

namespace cupel {

const std::array<BudgetPartName, kBudgetParts> kBudgetPartNames{{
    {BudgetPart::weights, "weights", "Weight rounding"},
    {BudgetPart::activations, "activations", "Activation rounding"},
    {BudgetPart::clipping, "clipping", "Clipping of inputs"},
    {BudgetPart::inherited, "inherited", "Inherited"},
    {BudgetPart::requantize_rounding, "requantize_rounding", "Rounding of the result"},
    {BudgetPart::requantize_clipping, "requantize_clipping", "Clipping of the result"},
    {BudgetPart::integer_arithmetic, "integer_arithmetic", "Integer arithmetic"},
}};

double ErrorBudget::interaction() const { return total - std::accumulate(parts.begin(), parts.end(), 0.0); }

double ErrorBudget::own() const {
  return std::accumulate(parts.begin(), parts.end(), 0.0) - part(BudgetPart::inherited);
}

double ErrorBudget::share(double power) const { return total > 0 ? power / total : std::nan(""); }

double ErrorBudget::sqnr_db() const { return sqnr_of(signal, total); }

namespace {

// f32 elements, each replaced by change(element, scale, zero point) of its channel.
template <class Change>
Tensor changed(const Tensor& t, const QuantParams& q, const Change& change) {
  Tensor out(DType::f32, t.dims());
  const auto in = t.data<float>();
  const auto made = out.mutable_data<float>();
  int64_t inner = 1, channels = 1;
  if (!q.per_tensor()) {
    channels = t.dims()[static_cast<size_t>(q.axis)];
    for (size_t d = static_cast<size_t>(q.axis) + 1; d < t.dims().size(); ++d) inner *= t.dims()[d];
  }
  for (int64_t begin = 0, c = 0; begin < t.size(); begin += inner, c = (c + 1) % channels) {
    const int64_t count = q.per_tensor() ? t.size() : inner;
    const float scale = q.scale_at(c);
    const int32_t zero = q.zero_point_at(c);
    for (int64_t i = begin; i < begin + count; ++i)
      made[static_cast<size_t>(i)] = change(in[static_cast<size_t>(i)], scale, zero);
    if (q.per_tensor()) break;
  }
  return out;
}

Tensor rounded(const Tensor& t, const TensorType& codes) {
  return changed(t, *codes.quant, [](float v, float scale, int32_t) { return std::nearbyint(v / scale) * scale; });
}

Tensor clipped(const Tensor& t, const TensorType& codes) {
  const auto low = static_cast<float>(dtype_min(codes.dtype)), high = static_cast<float>(dtype_max(codes.dtype));
  return changed(t, *codes.quant, [&](float v, float scale, int32_t zero) {
    const auto z = static_cast<float>(zero);
    return std::min(std::max(v, (low - z) * scale), (high - z) * scale);
  });
}

// Codes as the numbers they stand for; numbers as they are.
Tensor dequantized(const Tensor& t, const TensorType& type) {
  if (!type.quant) return t;
  Tensor codes(DType::f32, t.dims());
  const auto numbers = codes.mutable_data<float>();
  for (int64_t i = 0; i < t.size(); ++i) numbers[static_cast<size_t>(i)] = static_cast<float>(t.int_at(i));
  return changed(codes, *type.quant,
                 [](float code, float scale, int32_t zero) { return (code - static_cast<float>(zero)) * scale; });
}

// a + (b − c)
Tensor moved_by(const Tensor& a, const Tensor& b, const Tensor& c) {
  Tensor out(DType::f32, a.dims());
  const auto sum = out.mutable_data<float>();
  for (size_t i = 0; i < sum.size(); ++i) sum[i] = a.data<float>()[i] + (b.data<float>()[i] - c.data<float>()[i]);
  return out;
}

bool same_elements(const Tensor& a, const Tensor& b) {
  return a.dtype() == b.dtype() && a.dims() == b.dims() && std::ranges::equal(a.bytes(), b.bytes());
}

// What the quantized network gives a layer's operand.
struct Operand {
  Tensor value;           // as the layer reads it
  Tensor before_codes;    // x*: before it became codes; value itself where it never did
  ValueId codes;          // of `quantized`, of which the operand is dequantized; invalid: none
  bool constant = false;  // weights, a bias
};

}  // namespace

// One run of the three networks.
class BudgetMeter::Run {
 public:
  Run(BudgetMeter& meter, Interpretation base, Interpretation quantized, Interpretation program)
      : meter_(meter), base_(std::move(base)), quantized_(std::move(quantized)), program_(std::move(program)) {
    for (const BudgetLayer& layer : meter_.layers_) {
      for (const ValueId v : layer_operands(layer)) base_.keep(v);
      base_.keep(layer.base_result);
    }
    for (const auto& [value, partner] : meter_.partners_) program_.keep(partner);
    for (size_t i = 0; i < meter_.layers_.size(); ++i) {
      begins_[meter_.layers_[i].node].push_back(i);
      ends_[meter_.layers_[i].last].push_back(i);
    }
  }

  Status run() {
    while (!quantized_.done()) {
      const NodeId id = quantized_.next();
      if (const auto found = begins_.find(id); found != begins_.end())
        for (const size_t layer : found->second) operands_[layer] = operands_of(meter_.layers_[layer]);
      CUPEL_TRY(note_moved(id));
      const Node& node = graph().node(id);
      Tensor operand;  // step() may drop it
      if (is(node, ops::kQuantizeLinear)) operand = CUPEL_TRY(clamped(id, quantized_.value(node.inputs[0])));
      CUPEL_TRY(quantized_.step());
      for (const ValueId v : node.outputs) CUPEL_TRY(correct(node, v, operand));
      if (const auto found = ends_.find(id); found != ends_.end())
        for (const size_t layer : found->second) CUPEL_TRY(measure(layer));
      std::erase_if(before_codes_, [&](const auto& entry) { return !quantized_.holds(entry.first); });
      own_.clear();
    }
    return {};
  }

 private:
  const Graph& base_graph() const { return meter_.base_; }
  const Graph& graph() const { return meter_.quantized_; }

  // Computed operands of the base's nodes that no node of the layer computes.
  std::vector<ValueId> layer_operands(const BudgetLayer& layer) const {
    std::vector<ValueId> operands;
    for (const ValueId v : base_graph().node(layer.base).inputs)
      if (v.valid()) operands.push_back(v);
    return operands;
  }

  // Whether the value is a constant, or codes of one dequantized.
  bool is_constant(ValueId v) const {
    if (graph().value(v).constant) return true;
    const NodeId producer = meter_.producers_[static_cast<size_t>(v.index)];
    return producer.valid() && is(graph().node(producer), ops::kDequantizeLinear) &&
           graph().value(graph().node(producer).inputs[0]).constant.has_value();
  }

  std::vector<Operand> operands_of(const BudgetLayer& layer) const {
    std::vector<Operand> operands;
    for (const ValueId v : graph().node(layer.node).inputs) {
      Operand& operand = operands.emplace_back();
      if (!v.valid()) continue;
      operand.value = operand.before_codes = quantized_.value(v);
      operand.constant = is_constant(v);
      if (operand.constant) continue;
      const NodeId producer = meter_.producers_[static_cast<size_t>(v.index)];
      if (producer.valid() && is(graph().node(producer), ops::kDequantizeLinear))
        operand.codes = graph().node(producer).inputs[0];
      if (const auto found = before_codes_.find(v); found != before_codes_.end()) operand.before_codes = found->second;
    }
    return operands;
  }

  // What the results of a node that moves codes were before they became codes: the base's node on what its operand was.
  Status note_moved(NodeId id) {
    const Node& node = graph().node(id);
    if (node.inputs.empty() || !node.inputs[0].valid()) return {};
    const auto source = before_codes_.find(node.inputs[0]);
    if (source == before_codes_.end()) return {};
    if (is(node, ops::kDequantizeLinear)) {
      before_codes_.insert_or_assign(node.outputs[0], source->second);
      return {};
    }
    const auto found = meter_.counterparts_.find(id);
    if (found == meter_.counterparts_.end() || !graph().type(node.outputs[0]).quant) return {};
    const Node& base = base_graph().node(found->second);
    std::vector<const Tensor*> operands;
    for (size_t i = 0; i < base.inputs.size(); ++i) {
      const ValueId v = base.inputs[i], ours = node.inputs[i];
      if (i == 0)
        operands.push_back(&source->second);
      else if (!v.valid())
        operands.push_back(nullptr);
      else if (base_graph().value(v).constant)
        operands.push_back(&*base_graph().value(v).constant);
      else if (ours.valid())
        operands.push_back(&quantized_.value(ours));
      else
        return {};
    }
    const auto moved = CUPEL_TRY(interpret_node(base_graph(), base, operands, meter_.threads_, quantized_.symbol()));
    for (size_t i = 0; i < node.outputs.size(); ++i) before_codes_.insert_or_assign(node.outputs[i], moved[i]);
    return {};
  }

  // What the integer program gives for a value that `node` has just given is what later nodes read. `operand`: of a
  // quantize node.
  Status correct(const Node& node, ValueId v, const Tensor& operand) {
    const Tensor own = quantized_.holds(v) ? quantized_.value(v) : Tensor();
    if (const auto partner = meter_.partners_.find(v); partner != meter_.partners_.end()) {
      const NodeId producer = meter_.program_producers_[static_cast<size_t>(partner->second.index)];
      if (producer.valid()) CUPEL_TRY(program_.run_past(producer));
      if (quantized_.holds(v)) quantized_.replace(v, program_.value(partner->second));
      program_.release(partner->second);
    }
    if (!quantized_.holds(v)) return {};
    const TensorType& type = graph().type(v);
    own_.emplace(v, dequantized(own, type));
    if (is(node, ops::kQuantizeLinear))
      before_codes_.insert_or_assign(v, moved_by(operand, dequantized(quantized_.value(v), type), own_.at(v)));
    return {};
  }

  // The layer's float meaning, with its operands replaced where `instead` has an element.
  Result<Tensor> evaluate(const BudgetLayer& layer, const std::map<size_t, Tensor>& instead) const {
    const Node& node = base_graph().node(layer.base);
    std::vector<const Tensor*> operands;
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      const auto found = instead.find(i);
      operands.push_back(found != instead.end()   ? &found->second
                         : node.inputs[i].valid() ? &base_.value(node.inputs[i])
                                                  : nullptr);
    }
    Tensor result = CUPEL_TRY(interpret_node(base_graph(), node, operands, meter_.threads_, base_.symbol()))[0];
    return clamped(layer, std::move(result));
  }

  // Behind the base's clamps.
  Result<Tensor> clamped(const BudgetLayer& layer, Tensor result) const {
    for (const NodeId id : layer.base_clamps) {
      const Node& clamp = base_graph().node(id);
      std::vector<const Tensor*> operands = {&result};
      for (size_t i = 1; i < clamp.inputs.size(); ++i)
        operands.push_back(clamp.inputs[i].valid() ? &base_.value(clamp.inputs[i]) : nullptr);
      result = CUPEL_TRY(interpret_node(base_graph(), clamp, operands, meter_.threads_, base_.symbol()))[0];
    }
    return result;
  }
  // What a quantize node reads, behind the clamps that its saturation repeats.
  Result<Tensor> clamped(NodeId quantize, const Tensor& operand) const {
    const auto found = ends_.find(quantize);
    return found == ends_.end() ? operand : clamped(meter_.layers_[found->second[0]], operand);
  }

  // What each part replaces of the operands; empty: nothing, and the part is 0.
  std::map<size_t, Tensor> replaced(BudgetPart part, const BudgetLayer& layer,
                                    const std::vector<Operand>& operands) const {
    std::map<size_t, Tensor> instead;
    const Node& node = base_graph().node(layer.base);
    for (size_t i = 0; i < operands.size(); ++i) {
      if (!node.inputs[i].valid()) continue;
      const Operand& operand = operands[i];
      const Tensor& base = base_.value(node.inputs[i]);
      Tensor changed = base;
      if (part == BudgetPart::weights && operand.constant) changed = operand.value;
      if (part == BudgetPart::inherited && !operand.constant) changed = operand.before_codes;
      if (part == BudgetPart::activations && operand.codes.valid())
        changed = rounded(base, graph().type(operand.codes));
      if (part == BudgetPart::clipping && operand.codes.valid()) changed = clipped(base, graph().type(operand.codes));
      if (!same_elements(changed, base)) instead.emplace(i, std::move(changed));
    }
    return instead;
  }

  // Whether operands and constants stand beside the base's, element by element.
  bool stands_beside(const BudgetLayer& layer, const std::vector<Operand>& operands) const {
    const Node& node = base_graph().node(layer.base);
    for (size_t i = 0; i < operands.size(); ++i) {
      if (!node.inputs[i].valid()) continue;
      const Tensor& base = base_.value(node.inputs[i]);
      const Tensor& ours = operands[i].before_codes;
      if (base.dtype() != ours.dtype() || base.dims() != ours.dims()) return false;
    }
    return true;
  }

  Status measure(size_t index) {
    const BudgetLayer& layer = meter_.layers_[index];
    Sums& sums = meter_.sums_[index];
    const auto operands = operands_.extract(index);
    CUPEL_TRY(base_.run_past(layer.base_clamps.empty() ? layer.base : layer.base_clamps.back()));
    const Tensor y = base_.value(layer.base_result);
    if (!quantized_.holds(layer.result) || !stands_beside(layer, operands.mapped()) ||
        own_.at(layer.result).dims() != y.dims()) {
      sums.unusable = true;
    } else {
      const TensorType& type = graph().type(layer.result);
      const Tensor actual = dequantized(quantized_.value(layer.result), type);
      note(sums, sums.total, y, actual);
      note(sums, BudgetPart::integer_arithmetic, own_.at(layer.result), actual);
      if (type.quant) {
        note(sums, BudgetPart::requantize_rounding, y, rounded(y, type));
        note(sums, BudgetPart::requantize_clipping, y, clipped(y, type));
      }
      for (const BudgetPart part :
           {BudgetPart::weights, BudgetPart::activations, BudgetPart::clipping, BudgetPart::inherited}) {
        const auto instead = replaced(part, layer, operands.mapped());
        note(sums, part, y, instead.empty() ? y : CUPEL_TRY(evaluate(layer, instead)));
      }
    }
    for (const ValueId v : layer_operands(layer)) base_.release(v);
    base_.release(layer.base_result);
    return {};
  }

  static void note(Sums& sums, ErrorSums& part, const Tensor& reference, const Tensor& actual) {
    if (part.add(reference.data<float>(), actual.data<float>()) >= 0) sums.unusable = true;
  }
  static void note(Sums& sums, BudgetPart part, const Tensor& reference, const Tensor& actual) {
    note(sums, sums.parts[static_cast<size_t>(part)], reference, actual);
  }

  BudgetMeter& meter_;
  Interpretation base_, quantized_, program_;
  std::map<NodeId, std::vector<size_t>> begins_,
      ends_;                                         // layers by the nodes of `quantized` that they begin and end at
  std::map<size_t, std::vector<Operand>> operands_;  // of layers that have begun
  std::map<ValueId, Tensor> before_codes_;           // of values of `quantized` that are codes or made of them
  std::map<ValueId, Tensor> own_;                    // results of the last node as numbers, before they were corrected
};

BudgetMeter::BudgetMeter(const Graph& base, const Graph& quantized, const Graph& program, ThreadPool& threads)
    : base_(base),
      quantized_(quantized),
      program_(program),
      threads_(threads),
      layers_(budget_layers(base, quantized)),
      counterparts_(counterparts(base, quantized)),
      producers_(quantized.producers()),
      program_producers_(program.producers()),
      sums_(layers_.size()) {
  for (const Node& node : quantized.nodes())
    for (const ValueId v : node.outputs) {
      const auto found = program.find_value(quantized.value(v).name);
      if (found && !program.value(*found).constant && program.type(*found) == quantized.type(v))
        partners_.emplace(v, *found);
    }
}

Status BudgetMeter::add(std::span<const Tensor> base_inputs, std::span<const Tensor> quantized_inputs) {
  return Run(*this, CUPEL_TRY(Interpretation::start(base_, base_inputs, threads_)),
             CUPEL_TRY(Interpretation::start(quantized_, quantized_inputs, threads_)),
             CUPEL_TRY(Interpretation::start(program_, quantized_inputs, threads_)))
      .run();
}

std::vector<std::optional<ErrorBudget>> BudgetMeter::finish() const {
  std::vector<std::optional<ErrorBudget>> budgets;
  for (const Sums& sums : sums_) {
    auto& budget = budgets.emplace_back();
    if (sums.unusable || sums.total.elements() == 0) continue;
    const auto count = static_cast<double>(sums.total.elements());
    budget.emplace();
    budget->elements = sums.total.elements();
    budget->signal = sums.total.signal() / count;
    budget->total = sums.total.noise() / count;
    for (size_t i = 0; i < kBudgetParts; ++i) budget->parts[i] = sums.parts[i].noise() / count;
  }
  return budgets;
}

}  // namespace cupel
