// Random graphs of many nodes. Their nodes are those of the op table's samples, on values of other shapes where the op
// takes them so, else on values that are cut, filled, turned and converted to what the sample has. Every value is
// computed while the graph grows, so that no node meets data that it refuses. The same seed gives the same graph.
#pragma once

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <numeric>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "driver/network_part.h"
#include "onnx/writer.h"
#include "random_choices.h"
#include "reference/interpreter.h"
#include "reference/samples.h"

namespace cupel {

// A node as a sample has it; its graph can be written as ONNX.
inline const std::vector<samples::Sample>& written_samples() {
  static const std::vector<samples::Sample> kSamples = [] {
    std::vector<samples::Sample> list;
    for (samples::Sample& s : samples::all_samples())
      if (s.op->reference && !s.op->removed_by_simplify && s.op->conversion == Conversion::none &&
          s.graph.stage != Stage::integer && onnx_bytes(s.graph))
        list.push_back(std::move(s));
    return list;
  }();
  return kSamples;
}

// What becomes of the nodes so far: false takes back those since the last question.
using StillGood = std::function<bool(const Graph&)>;

class RandomGraphs : RandomChoices {
 public:
  explicit RandomGraphs(uint64_t seed) : RandomChoices(seed, 11) {}

  // 20 to 60 nodes, asked about after every few.
  RandomNetwork make(const StillGood& still_good) {
    state_.graph.opset = 21 + static_cast<int>(pick(0, 1)) * 2;
    state_.batch = pick(1, 3);
    if (chance(0.6)) lead_ = one_of<int64_t>({1, 2, 3, 5, 7});
    led_ = lead_ && chance(0.4);
    codes_ = chance(0.4);
    const auto wanted = static_cast<size_t>(pick(20, 60));
    input({DType::f32, random_shape(true), {}}, {});
    State good = state_;
    for (int64_t i = pick(0, 2); i > 0; --i)
      input({chance(0.3) ? random_type() : DType::f32, random_shape(false), {}}, {});
    for (int tries = 0; state_.graph.nodes().size() < wanted && tries < 80; ++tries) {
      for (int64_t i = pick(1, 3); i > 0; --i) grow();
      if (state_.graph.nodes().size() == good.graph.nodes().size()) continue;
      if (still_good(with_outputs(state_, false)))
        good = state_;
      else
        state_ = good;
    }
    return finished();
  }

 private:
  struct State {
    Graph graph;
    std::vector<Tensor> values;
    std::vector<ValueId> pool;         // computed values and inputs
    std::vector<ValueId> dequantized;  // results of dequantize nodes
    int64_t batch = 1;
    int count = 0;
    bool has_codes = false;
  };

  std::string fresh(const char* kind) { return kind + std::to_string(state_.count++); }

  // ---- Values ----

  const TensorType& type(ValueId v) const { return state_.graph.type(v); }
  const Tensor& value(ValueId v) const { return state_.values[static_cast<size_t>(v.index)]; }
  Dim batch_dim(int64_t factor = 1) const { return lead_ ? Dim(factor * *lead_) : Dim(factor, "batch"); }
  bool is_open(const Shape& shape) const { return !is_static(shape); }
  void keep(ValueId v, Tensor t) {
    state_.values.resize(state_.graph.values().size());
    state_.values[static_cast<size_t>(v.index)] = std::move(t);
  }
  DType random_type() {
    return one_of({DType::s64, DType::s32, DType::u8, DType::s8, DType::boolean, DType::f16, DType::bf16, DType::f64,
                   DType::s16, DType::u16, DType::u32, DType::u64});
  }
  // Of the first input: with the batch, and with elements.
  Shape random_shape(bool is_first) {
    Shape shape;
    for (int64_t rank = one_of<int64_t>({1, 2, 2, 3, 3, 3, 4, 4, 5}); rank > 1; --rank)
      shape.emplace_back(led_ && chance(0.4) ? *lead_
                         : chance(0.1)       ? pick(16, 70)
                                             : one_of<int64_t>({1, 2, 3, 3, 4, 5, 7, 8}));
    if (is_first || led_ || chance(0.7)) {
      shape.insert(shape.begin(), batch_dim(!led_ && chance(0.1) ? 2 : 1));
      return shape;
    }
    if (!shape.empty() && chance(0.1)) shape.back() = 0;
    if (chance(0.6)) shape.insert(shape.begin(), Dim(pick(1, 4)));
    return shape;
  }
  ValueId input(const TensorType& wanted, const samples::InputRange& range) {
    const ValueId v = state_.graph.add_input(fresh("x"), wanted);
    keep(v, samples::make_tensor(wanted, state_.batch, rng_() % 1000, range));
    state_.pool.push_back(v);
    return v;
  }
  ValueId constant(Tensor t, std::optional<QuantParams> quant = {}) {
    const ValueId v = state_.graph.add_constant(fresh("c"), t, std::move(quant));
    keep(v, std::move(t));
    return v;
  }
  ValueId integers(const std::vector<int64_t>& numbers) {
    return constant(Tensor::of<int64_t>({static_cast<int64_t>(numbers.size())}, std::span(numbers)));
  }
  // Some value of numbers, the later ones rather than the earlier ones.
  std::optional<ValueId> some_value(const std::function<bool(const TensorType&)>& fits) {
    std::vector<ValueId> fitting;
    for (ValueId v : state_.pool)
      if (!type(v).quant && fits(type(v))) fitting.push_back(v);
    if (fitting.empty()) return std::nullopt;
    const auto last = static_cast<int64_t>(fitting.size()) - 1;
    return fitting[static_cast<size_t>(std::max(pick(0, last), pick(0, last)))];
  }

  // ---- Nodes ----

  // Numbers that the nodes behind can work with.
  bool is_tame(const Tensor& t) {
    if (t.size() > 16000) return false;
    const bool wild = chance(0.02);
    for (int64_t i = 0; i < t.size() && dtype_bits(t.dtype()) >= 8; ++i)
      if (const double x = t.at(i); !wild && !(std::abs(x) < 1e4)) return false;
    return true;
  }
  // Where the same constant size leads every value.
  bool may_lead(const Shape& shape) const { return !led_ || (!shape.empty() && shape[0] == Dim(*lead_)); }
  // The node's first result; nullopt when the op does not take these operands, or gives what is not tame.
  std::optional<ValueId> node(const OpDef& op, const std::vector<ValueId>& operands, const Attributes& attributes,
                              size_t results = 1) {
    Graph trial;
    trial.opset = state_.graph.opset;
    std::vector<ValueId> inputs;
    std::vector<const Tensor*> tensors;
    for (size_t i = 0; i < operands.size(); ++i) {
      inputs.emplace_back();
      tensors.push_back(operands[i].valid() ? &value(operands[i]) : nullptr);
      if (!operands[i].valid()) continue;
      const Value& v = state_.graph.value(operands[i]);
      inputs.back() = v.constant ? trial.add_constant("c" + std::to_string(i), *v.constant, v.type.quant)
                                 : trial.add_input("x" + std::to_string(i), v.type);
    }
    const auto tried = trial.add_node(op, "n", inputs, attributes, std::vector<std::string>(results, "y"));
    if (!tried) return std::nullopt;
    for (ValueId y : trial.node(*tried).outputs)
      if (trial.type(y).shape.size() > 6 || !may_lead(trial.type(y).shape)) return std::nullopt;
    auto given = interpret_node(trial, trial.node(*tried), tensors, threads_, state_.batch);
    if (!given) return std::nullopt;
    for (const Tensor& t : *given)
      if (!is_tame(t)) return std::nullopt;
    std::vector<std::string> names;
    for (size_t i = 0; i < results; ++i) names.push_back(fresh("v"));
    const auto added = state_.graph.add_node(op, fresh("n"), operands, attributes, names);
    if (!added) return std::nullopt;
    const std::vector<ValueId> outputs = state_.graph.node(*added).outputs;
    for (size_t i = 0; i < results; ++i) {
      keep(outputs[i], std::move((*given)[i]));
      state_.pool.push_back(outputs[i]);
    }
    return outputs[0];
  }
  std::optional<ValueId> node(const char* op, const std::vector<ValueId>& operands, const Attributes& attributes = {}) {
    return node(*find_op(op), operands, attributes);
  }

  // ---- What makes a value fit ----

  // Elements behind the leading dimension, which takes its factor along; nullopt without one.
  static int64_t elements(const Shape& shape) {
    int64_t count = 1;
    for (const Dim& d : shape) count *= d.factor;
    return count;
  }
  // A node of shape arithmetic, whose elements follow from the sizes.
  std::optional<ValueId> known(const char* op, const std::vector<ValueId>& operands,
                               const Attributes& attributes = {}) {
    const auto added = state_.graph.add_node(*find_op(op), fresh("n"), operands, attributes, {fresh("s")});
    if (!added) return std::nullopt;
    const ValueId made = state_.graph.node(*added).outputs[0];
    const Value& v = state_.graph.value(made);
    if (!v.contents) return std::nullopt;
    Tensor t(v.type.dtype, *bind_shape(v.type.shape, 1));
    const Dims numbers = *bind_shape(*v.contents, state_.batch);
    std::copy(numbers.begin(), numbers.end(), t.mutable_data<int64_t>().begin());
    keep(made, std::move(t));
    return made;
  }
  // The batch of `v` from its Shape, and constants behind it.
  std::optional<ValueId> computed_target(ValueId v, const Shape& shape) {
    const auto sizes = known("Shape", {v});
    const auto first = sizes ? known("Slice", {*sizes, integers({0}), integers({1})}) : std::nullopt;
    auto lead = first;
    const int64_t factor = type(v).shape[0].factor;
    if (lead && factor > 1) lead = known("Div", {*lead, integers({factor})});
    if (lead && shape[0].factor > 1) lead = known("Mul", {*lead, integers({shape[0].factor})});
    if (!lead || shape.size() < 2) return lead;
    std::vector<int64_t> rest;
    for (size_t d = 1; d < shape.size(); ++d) rest.push_back(shape[d].factor);
    return known("Concat", {*lead, integers(rest)}, {{"axis", int64_t{0}}});
  }
  std::optional<ValueId> reshaped(ValueId v, const Shape& shape) {
    if (is_open(shape) && !type(v).shape[0].is_constant() && chance(0.15)) {
      const auto target = computed_target(v, shape);
      const auto added = target ? state_.graph.add_node(*find_op("Reshape"), fresh("n"), {v, *target}, {}, {fresh("v")})
                                : Result<NodeId>(std::unexpected(Error{}));
      if (!added) return std::nullopt;
      const ValueId made = state_.graph.node(*added).outputs[0];
      keep(made, value(v).reshaped(*bind_shape(shape, state_.batch)));
      state_.pool.push_back(made);
      return made;
    }
    std::vector<int64_t> target;
    for (const Dim& d : shape) target.push_back(d.is_constant() ? d.factor : -1);
    return node("Reshape", {v, integers(target)});
  }
  std::optional<ValueId> cast(ValueId v, DType wanted) {
    if (type(v).dtype == wanted) return v;
    static const std::map<DType, int64_t> kNumbers = {
        {DType::f32, 1},     {DType::u8, 2},   {DType::s8, 3},   {DType::u16, 4},  {DType::s16, 5},
        {DType::s32, 6},     {DType::s64, 7},  {DType::f16, 10}, {DType::f64, 11}, {DType::u32, 12},
        {DType::boolean, 9}, {DType::u64, 13}, {DType::bf16, 16}};  // ONNX's
    return kNumbers.contains(wanted) ? node("Cast", {v}, {{"to", kNumbers.at(wanted)}}) : std::nullopt;
  }
  // A value [rows, have] with `wanted` elements in each row.
  std::optional<ValueId> resized(ValueId v, int64_t have, int64_t wanted) {
    if (have < wanted && chance(0.5)) return node("Pad", {v, integers({0, 0, 0, wanted - have})});
    if (have < wanted) {
      const auto tiled = node("Tile", {v, integers({1, (wanted + have - 1) / have})});
      if (!tiled) return std::nullopt;
      return resized(*tiled, type(*tiled).shape[1].factor, wanted);
    }
    if (have == wanted) return v;
    const int64_t step = have >= 2 * wanted && chance(0.5) ? 2 : 1;
    const int64_t begin = pick(0, have - step * (wanted - 1) - 1);
    return node("Slice",
                {v, integers({begin}), integers({begin + step * (wanted - 1) + 1}), integers({1}), integers({step})});
  }
  // The elements of v, as many as there must be, under that shape.
  std::optional<ValueId> shaped(ValueId v, const Shape& shape) {
    if (type(v).shape == shape) return v;
    if (is_open(type(v).shape) != is_open(shape)) return std::nullopt;
    const int64_t have = elements(type(v).shape), wanted = elements(shape);
    if (have == 0 || wanted == 0 || !may_lead(shape)) return std::nullopt;
    if (have == wanted) return reshaped(v, shape);
    const bool by_rows = led_ || is_open(shape);
    const int64_t items = led_ ? *lead_ : 1;
    const auto rows = reshaped(v, {by_rows ? batch_dim() : Dim(1), have / items});
    const auto sized = rows ? resized(*rows, have / items, wanted / items) : std::nullopt;
    return sized ? reshaped(*sized, shape) : std::nullopt;
  }
  // The same, now and then by way of another order of dimensions.
  std::optional<ValueId> turned(ValueId v, const Shape& shape) {
    if (shape.size() < 2 || chance(0.75)) return shaped(v, shape);
    std::vector<int64_t> perm(shape.size());
    std::iota(perm.begin(), perm.end(), 0);
    std::shuffle(perm.begin() + (is_open(shape) && chance(0.9) ? 1 : 0), perm.end(), rng_);
    Shape before(shape.size());
    for (size_t d = 0; d < perm.size(); ++d) before[static_cast<size_t>(perm[d])] = shape[d];
    if (is_open(shape) && before[0].is_constant()) return shaped(v, shape);
    const auto made = shaped(v, before);
    return made ? node("Transpose", {*made}, {{"perm", perm}}) : std::nullopt;
  }
  // Converted to another type and back.
  std::optional<ValueId> converted(std::optional<ValueId> v) {
    if (!v || type(*v).dtype != DType::f32 || !chance(0.05)) return v;
    const auto other = cast(*v, chance(0.4) ? DType::f16 : random_type());
    return other ? cast(*other, DType::f32) : v;
  }
  std::optional<ValueId> fitted(const TensorType& wanted) { return converted(like(wanted)); }
  std::optional<ValueId> like(const TensorType& wanted) {
    const auto open = [&](const TensorType& t) { return is_open(t.shape) == is_open(wanted.shape); };
    auto from = some_value([&](const TensorType& t) { return t.dtype == wanted.dtype && open(t); });
    if (!from || chance(0.1)) from = some_value(open);
    if (!from) return std::nullopt;
    if (chance(0.5)) {
      const auto made = cast(*from, wanted.dtype);
      return made ? turned(*made, wanted.shape) : std::nullopt;
    }
    const auto made = turned(*from, wanted.shape);
    return made ? cast(*made, wanted.dtype) : std::nullopt;
  }

  // ---- Codes ----

  // Through codes and back, with an op between that moves them now and then.
  std::optional<ValueId> through_codes(ValueId v) {
    if (type(v).dtype != DType::f32 || value(v).size() == 0) return v;
    double largest = 1e-3;
    for (int64_t i = 0; i < value(v).size(); ++i) largest = std::max(largest, std::abs(value(v).at(i)));
    if (!std::isfinite(largest)) return v;
    const bool is_signed = chance(0.3);
    const std::vector<float> scale = {static_cast<float>(largest / (is_signed ? 120 : 200) * (chance(0.2) ? 0.5 : 1))};
    const std::vector<int64_t> zero = {is_signed ? one_of<int64_t>({0, 0, pick(-128, 127)})
                                                 : one_of<int64_t>({0, 128, pick(0, 255)})};
    const auto codes = node("QuantizeLinear", {v},
                            {{"scale", scale}, {"zero_point", zero}, {"dtype", std::string(is_signed ? "s8" : "u8")}});
    if (!codes) return v;
    state_.has_codes = true;
    const auto moved = chance(0.2) ? moved_codes(*codes) : std::nullopt;
    return dequantized(moved ? *moved : *codes, scale, zero, -1);
  }
  // By an op that ONNX allows on codes.
  std::optional<ValueId> moved_codes(ValueId codes) {
    std::vector<const samples::Sample*> fitting;
    for (const samples::Sample& s : written_samples())
      if (s.op->quant_rule == QuantRule::same && s.op->codes_since_opset > 0 &&
          s.op->codes_since_opset <= state_.graph.opset && s.graph.inputs().size() == 1)
        fitting.push_back(&s);
    if (fitting.empty()) return std::nullopt;
    const samples::Sample& sample = *fitting[static_cast<size_t>(pick(0, static_cast<int64_t>(fitting.size()) - 1))];
    std::vector<ValueId> operands;
    for (ValueId in : sample.graph.nodes()[0].inputs) {
      const auto held = in.valid() ? sample.graph.value(in).constant : std::nullopt;
      if (held && held->dtype() == DType::f32) return std::nullopt;
      operands.push_back(!in.valid() ? in : held ? constant(*held) : codes);
    }
    return node(*sample.op, operands, sample.graph.nodes()[0].attributes, sample.graph.nodes()[0].outputs.size());
  }
  std::optional<ValueId> dequantized(ValueId codes, const std::vector<float>& scale, const std::vector<int64_t>& zero,
                                     int64_t axis) {
    Attributes attributes = {{"scale", scale}, {"zero_point", zero}};
    if (axis >= 0) attributes.emplace("axis", axis);
    state_.has_codes = true;
    const auto made = node(*find_op("DequantizeLinear"), {codes}, attributes);
    if (made) state_.dequantized.push_back(*made);
    return made;
  }
  // Constant numbers within [−2, 2] as codes that a dequantize node reads, with a scale for each index of `axis` (−1:
  // one scale).
  ValueId dequantized_constant(const Tensor& numbers, int64_t axis) {
    const bool is_signed = chance(0.7);
    Tensor codes(is_signed ? DType::s8 : DType::u8, numbers.dims());
    int64_t inner = 1;
    for (int64_t d = axis + 1; axis >= 0 && d < numbers.rank(); ++d) inner *= numbers.dims()[static_cast<size_t>(d)];
    const int64_t count = axis < 0 ? 1 : numbers.dims()[static_cast<size_t>(axis)];
    std::vector<float> scale;
    std::vector<int64_t> zero;
    for (int64_t c = 0; c < count; ++c) {
      scale.push_back(0.01f + 0.001f * static_cast<float>(pick(0, 15)));
      zero.push_back(is_signed ? (chance(0.7) ? 0 : pick(-20, 20)) : pick(100, 156));
    }
    for (int64_t i = 0; i < numbers.size(); ++i) {
      const auto c = static_cast<size_t>(i / inner % count);
      const double code = std::nearbyint(numbers.at(i) / scale[c]) + static_cast<double>(zero[c]);
      codes.mutable_bytes()[static_cast<size_t>(i)] = static_cast<std::byte>(
          static_cast<int>(std::clamp(code, is_signed ? -127.0 : 0.0, is_signed ? 127.0 : 255.0)));
    }
    const ValueId held =
        constant(std::move(codes), QuantParams{scale, {zero.begin(), zero.end()}, axis < 0 ? -1 : axis});
    const auto made = dequantized(held, scale, zero, axis);
    return made ? *made : constant(numbers);
  }
  // A bias as codes of s32 with the scales of the sums, where the product's operands are dequantized.
  std::optional<ValueId> dequantized_bias(const std::vector<ValueId>& operands, const Tensor& numbers) {
    const auto producers = state_.graph.producers();
    const auto scales = [&](ValueId v) {
      const NodeId from = producers[static_cast<size_t>(v.index)];
      return from.valid() ? attr_reals(state_.graph.node(from).attributes, "scale") : std::vector<float>();
    };
    const std::vector<float> x = scales(operands[0]), w = scales(operands[1]);
    if (x.size() != 1 || w.empty() || numbers.rank() != 1) return std::nullopt;
    if (w.size() != 1 && static_cast<int64_t>(w.size()) != numbers.size()) return std::nullopt;
    Tensor codes(DType::s32, numbers.dims());
    std::vector<float> scale;
    for (float of_weights : w) scale.push_back(x[0] * of_weights);
    for (size_t i = 0; i < static_cast<size_t>(numbers.size()); ++i)
      codes.mutable_data<int32_t>()[i] = static_cast<int32_t>(
          std::clamp(numbers.at(static_cast<int64_t>(i)) / scale[w.size() == 1 ? 0 : i], -1e8, 1e8));
    const ValueId held = constant(
        std::move(codes), QuantParams{scale, std::vector<int32_t>(scale.size(), 0), scale.size() == 1 ? -1 : 0});
    return dequantized(held, scale, std::vector<int64_t>(scale.size(), 0), scale.size() == 1 ? -1 : 0);
  }
  bool is_dequantized(ValueId v) const {
    return std::find(state_.dequantized.begin(), state_.dequantized.end(), v) != state_.dequantized.end();
  }

  // ---- A node of a sample ----

  struct Draft {
    const samples::Sample* sample;
    std::vector<ValueId> operands;
    bool quantized = false;  // operands and result go through codes
    int leading = 0;         // 0: the sample's leading dimension is the batch; 1: gone; 2: a constant
    int64_t size = 1;
  };

  Shape shape_of(const Draft& draft, const Shape& sample) const {
    Shape shape = sample;
    if (shape.empty() || shape[0].is_constant()) return shape;
    if (draft.leading == 1) return {shape.begin() + 1, shape.end()};
    shape[0] = draft.leading == 2 ? Dim(shape[0].factor * draft.size) : batch_dim(shape[0].factor);
    return shape;
  }
  std::optional<ValueId> operand(const Draft& draft, size_t i) {
    const Graph& sample = draft.sample->graph;
    const ValueId in = sample.nodes()[0].inputs[i];
    const OpDef& op = *draft.sample->op;
    if (!in.valid()) return ValueId();
    if (const auto& held = sample.value(in).constant) return constant(axes(*held), sample.type(in).quant);
    TensorType wanted{sample.type(in).dtype, shape_of(draft, sample.type(in).shape), {}};
    // Operands that have the type of the first one in the sample have its type here.
    if (const ValueId first = sample.nodes()[0].inputs[0];
        i > 0 && first.valid() && sample.type(first).dtype == wanted.dtype && draft.operands[0].valid())
      wanted.dtype = type(draft.operands[0]).dtype;
    const bool index = i > 0 && wanted.dtype != DType::f32 && op.elements == Elements::moved;
    const samples::InputRange range = samples::range_for(op.name);
    const bool held = !is_open(wanted.shape) && (!may_lead(wanted.shape) || chance(i == 0 ? 0.03 : 0.6));
    if (held && draft.quantized && wanted.dtype == DType::f32 && i > 0 && i < 3) {
      const Tensor numbers = samples::make_tensor(wanted, 1, rng_() % 1000, {.low = -2, .high = 2});
      const int64_t axis = op.channel_axis != nullptr && chance(0.6)
                               ? op.channel_axis(sample.nodes()[0].attributes, numbers.rank())
                               : -1;
      if (i == 1) return dequantized_constant(numbers, axis);
      if (const auto bias = dequantized_bias(draft.operands, numbers)) return bias;
    }
    if (held) return constant(samples::make_tensor(wanted, 1, rng_() % 1000, range));
    if (index || (state_.graph.inputs().size() < 7 && chance(0.08))) return input(wanted, range);
    // Any value, which infer may refuse, or one like the first operand.
    if (i == 0 && chance(0.4)) {
      const bool of_any_type = chance(0.3);
      if (const auto any = some_value([&](const TensorType& t) { return of_any_type || t.dtype == wanted.dtype; }))
        return any;
    }
    if (i > 0 && draft.operands[0].valid() && is_elementwise(op) && chance(0.7))
      if (const auto other = beside(draft.operands[0], wanted.dtype)) return other;
    if (const auto made = fitted(wanted)) return made;
    return input(wanted, range);
  }
  // A value that broadcasts with `first`.
  std::optional<ValueId> beside(ValueId first, DType dtype) {
    const Shape shape = type(first).shape;
    if (const auto same = some_value([&](const TensorType& t) { return t.dtype == dtype && t.shape == shape; });
        same && chance(0.5))
      return same;
    Shape other(shape.begin() + (shape.empty() ? 0 : pick(0, static_cast<int64_t>(shape.size()) - 1) / 2), shape.end());
    for (Dim& d : other)
      if (chance(0.3)) d = 1;
    return fitted({dtype, other, {}});
  }
  // Constants of one or two integers may be axes: now and then others.
  Tensor axes(const Tensor& held) {
    if (held.dtype() != DType::s64 || held.size() < 1 || held.size() > 2 || chance(0.6)) return held;
    Tensor t(held.dtype(), held.dims());
    for (int64_t& axis : t.mutable_data<int64_t>()) axis = pick(-2, 3);
    return t;
  }
  Attributes attributes_of(const samples::Sample& sample) {
    Attributes attributes = sample.graph.nodes()[0].attributes;
    for (const AttributeSpec& spec : sample.op->attributes) {
      if (spec.name == "axis" && chance(0.4)) attributes.insert_or_assign("axis", pick(-2, 3));
      if (spec.name == "keepdims" && chance(0.4)) attributes.insert_or_assign("keepdims", pick(0, 1));
    }
    return attributes;
  }
  void grow() {
    const auto& all = written_samples();
    const auto any = [&] { return &all[static_cast<size_t>(pick(0, static_cast<int64_t>(all.size()) - 1))]; };
    const samples::Sample* sample = any();
    // There are many functions of one element, and few products and windows.
    if (sample->op->elements == Elements::elementwise && sample->op->max_inputs == 1 && chance(0.6)) return;
    if (const int64_t wanted = pick(codes_ ? -2 : 0, 9); wanted < 2)
      for (int tries = 0; tries < 200 && !(wanted <= 0 ? sample->op->quant_rule == QuantRule::contraction
                                                       : sample->op->elements == Elements::windowed);
           ++tries)
        sample = any();
    Draft draft{.sample = sample, .operands = {}, .quantized = codes_ && chance(0.7)};
    if (!led_ && chance(0.25)) draft.leading = lead_ || chance(0.3) ? static_cast<int>(pick(1, 2)) : 0;
    draft.size = pick(1, 4);
    const Node& form = sample->graph.nodes()[0];
    for (size_t i = 0; i < form.inputs.size(); ++i) {
      auto made = operand(draft, i);
      if (made && made->valid() && draft.quantized && i < 2 && !state_.graph.value(*made).constant &&
          !is_dequantized(*made))
        made = through_codes(*made);
      if (!made) return;
      draft.operands.push_back(*made);
    }
    auto result = node(*sample->op, draft.operands, attributes_of(*sample), form.outputs.size());
    if (result && sample->op->quant_rule == QuantRule::contraction && chance(0.5)) result = normalized(*result);
    if (result && chance(0.1)) result = gated(*result);
    if (result && draft.quantized) through_codes(*result);
  }
  // What passes fold or recognise behind a product, and behind anything.
  std::optional<ValueId> normalized(ValueId v) {
    if (type(v).dtype != DType::f32 || type(v).shape.size() < 2 || !type(v).shape[1].is_constant()) return v;
    const TensorType channels{DType::f32, {type(v).shape[1]}, {}};
    std::vector<ValueId> operands = {v};
    for (int i = 0; i < 4; ++i)
      operands.push_back(constant(samples::make_tensor(channels, 1, rng_() % 1000, {.low = 0.5f, .high = 2})));
    const auto made = node("BatchNormalization", operands, {{"epsilon", 1e-3f}});
    return made ? made : v;
  }
  std::optional<ValueId> gated(ValueId v) {
    if (type(v).dtype != DType::f32) return v;
    const auto gate = node(chance(0.5) ? "Sigmoid" : "HardSigmoid", {v});
    const auto made = gate ? node("Mul", {v, *gate}) : std::nullopt;
    return made ? made : v;
  }

  // ---- The whole ----

  // What nothing reads is an output, and so are some other values; `few`: not all of these. Nodes that no output needs
  // are left away.
  Graph with_outputs(const State& state, bool few) {
    Graph graph = state.graph;
    const auto users = graph.users();
    std::vector<ValueId> ends;
    for (ValueId v : state.pool)
      if (users[static_cast<size_t>(v.index)].empty() && !is_tied(graph, v)) ends.push_back(v);
    if (few) {
      std::shuffle(ends.begin(), ends.end(), rng_);
      while (ends.size() > 12) ends.pop_back();
      for (int64_t i = pick(0, 2); i > 0; --i)
        if (const auto v = some_value([](const TensorType&) { return true; });
            v && std::find(ends.begin(), ends.end(), *v) == ends.end())
          ends.push_back(*v);
    }
    for (ValueId v : ends) graph.add_output(v);
    return graph;
  }
  RandomNetwork finished() {
    const Graph whole = with_outputs(state_, true);
    const RandomNetwork network{whole, {}, state_.values, state_.batch, state_.has_codes};
    return NetworkPart(network, whole.outputs(), std::vector<bool>(state_.values.size(), false)).take();
  }

  ThreadPool threads_{1};
  State state_;
  std::optional<int64_t> lead_;  // the size of the batch where it is constant
  bool led_ = false;             // it leads every value
  bool codes_ = false;
};

}  // namespace cupel
