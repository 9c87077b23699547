// kernel_forms: the same numbers, told by fewer kinds of nodes, so that each has one lowering. Values keep their names;
// where one has another shape or type, it lies otherwise in the result.
//   s8 activations per tensor               u8 codes and zero points, each 128 higher; weights stay s8. Inputs and
//                                           outputs too, so that part of the graph is written anew, not patched
//   windows over one dimension              over two, of which the first has extent 1
//   Softmax, LogSoftmax along an axis before the last    along the last of a transposed value
//   LayerNormalization of several dimensions             of one, which joins them
//   RMSNormalization likewise
//   InstanceNormalization                   LayerNormalization of each channel, scaled and shifted behind
//   LRN                                     an AveragePool of squares along the channels, and what follows
//   Tile                                    Expand of new dimensions of extent 1
//   Pow by constant integers                by the same numbers
//   Gather by a Cast of s32 or s64 to the other          by what is cast
//   %y = MaxPool(%x) {kernel_shape=[3]} : f32[batch,4,7]     ->     %w = MaxPool(%x_flat) {kernel_shape=[1,3]} :
//   f32[batch,4,1,7]; %y = Reshape(%w)

#include <algorithm>
#include <cstdint>
#include <map>

#include "ir/patch.h"
#include "ops/op_table.h"
#include "passes/pass.h"

namespace cupel {
namespace {

// ---- s8 activations as u8 codes

bool is_s8_activation(const TensorType& t) { return t.dtype == DType::s8 && t.quant && t.quant->per_tensor(); }

TensorType shifted(TensorType t) {
  if (!is_s8_activation(t)) return t;
  t.dtype = DType::u8;
  t.quant->zero_point[0] += 128;
  return t;
}

Tensor shifted(const Tensor& codes) {
  Tensor out(DType::u8, codes.dims());
  std::transform(codes.bytes().begin(), codes.bytes().end(), out.mutable_bytes().begin(),
                 [](std::byte b) { return b ^ std::byte{0x80}; });
  return out;
}

Result<Graph> unsigned_activations(const Graph& graph) {
  if (std::none_of(graph.values().begin(), graph.values().end(),
                   [](const Value& v) { return !v.constant && is_s8_activation(v.type); }))
    return graph;
  Graph out;
  out.name = graph.name;
  out.stage = graph.stage;
  out.opset = graph.opset;
  std::map<ValueId, ValueId> values, codes;  // constants: as weights, and as activations
  for (ValueId v : graph.inputs()) values[v] = out.add_input(graph.value(v).name, shifted(graph.type(v)));
  for (const Node& node : graph.nodes()) {
    std::vector<ValueId> inputs;
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      const ValueId v = node.inputs[i];
      if (!v.valid() || !graph.value(v).constant) {
        inputs.push_back(v.valid() ? values.at(v) : v);
        continue;
      }
      const Value& c = graph.value(v);
      const bool activation = is_s8_activation(c.type) && !(node.op->quant_rule == QuantRule::contraction && i == 1);
      ValueId& known = (activation ? codes : values)[v];
      if (!known.valid())
        known = activation ? out.add_constant(c.name, shifted(*c.constant), shifted(c.type).quant)
                           : out.add_constant(c.name, *c.constant, c.type.quant);
      inputs.push_back(known);
    }
    std::vector<std::string> names;
    std::vector<TensorType> types;
    for (ValueId v : node.outputs) {
      names.push_back(graph.value(v).name);
      types.push_back(shifted(graph.type(v)));
    }
    const NodeId added = CUPEL_TRY(
        out.add_node(*node.op, node.name, std::move(inputs), node.attributes, std::move(names), node.origin, types));
    for (size_t i = 0; i < node.outputs.size(); ++i) values[node.outputs[i]] = out.node(added).outputs[i];
  }
  for (ValueId v : graph.outputs()) {
    if (!values.contains(v)) values[v] = out.add_constant(graph.value(v).name, *graph.value(v).constant);
    out.add_output(values.at(v));
  }
  return out;
}

// A constant of f32 broadcast to these dimensions.
Tensor repeated(const Tensor& t, const Dims& dims) {
  Tensor out(DType::f32, dims);
  const size_t missing = dims.size() - t.dims().size();
  Dims at(dims.size(), 0);
  for (float& v : out.mutable_data<float>()) {
    int64_t from = 0;
    for (size_t d = missing; d < dims.size(); ++d)
      from = from * t.dims()[d - missing] + (t.dims()[d - missing] == 1 ? 0 : at[d]);
    v = t.data<float>()[static_cast<size_t>(from)];
    for (size_t d = dims.size(); d > 0 && ++at[d - 1] == dims[d - 1];) at[--d] = 0;
  }
  return out;
}

// ---- forms of single nodes

class Forms {
 public:
  explicit Forms(const Graph& graph) : graph_(graph), patch_(graph) {}

  Result<Graph> run() {
    for (size_t n = 0; n < graph_.nodes().size(); ++n) {
      id_ = {static_cast<int32_t>(n)};
      node_ = &graph_.nodes()[n];
      if (node_->op->elements == Elements::windowed) {
        window();
      } else if (is(*node_, ops::kSoftmax) || is(*node_, ops::kLogSoftmax)) {
        softmax();
      } else if (is(*node_, ops::kLayerNormalization) || is(*node_, ops::kRMSNormalization)) {
        layer_normalization();
      } else if (is(*node_, ops::kInstanceNormalization)) {
        instance_normalization();
      } else if (is(*node_, ops::kLRN)) {
        lrn();
      } else if (is(*node_, ops::kTile)) {
        tile();
      } else if (is(*node_, ops::kPow)) {
        power();
      } else if (is(*node_, ops::kGather)) {
        gather();
      }
    }
    return patch_.empty() ? graph_ : apply_patch(patch_);
  }

 private:
  const Shape& shape(ValueId v) const { return graph_.type(v).shape; }
  ValueId out() const { return node_->outputs[0]; }
  std::string name(std::string_view what) const { return graph_.value(out()).name + "_" + std::string(what); }

  void claim() {
    patch_.begin_edit();
    patch_.remove(id_);
  }
  ValueId reshaped(ValueId x, const Shape& to, std::string_view what) {
    std::vector<int64_t> target;
    for (const Dim& d : to) target.push_back(d.is_constant() ? d.factor : -1);
    return patch_.add(
        ops::kReshape, name(what),
        {x, patch_.add_constant(name(what) + "_target", Tensor::of<int64_t>({static_cast<int64_t>(target.size())},
                                                                            std::span<const int64_t>(target)))});
  }
  void give(ValueId result) { patch_.replace(out(), result); }

  void window() {
    const ValueId x = node_->inputs[0];
    if (shape(x).size() != 3 || node_->outputs.size() != 1) return;
    const bool conv = is(*node_, ops::kConv);
    std::vector<ValueId> inputs = node_->inputs;
    claim();
    const auto flat = [](Shape s) {
      s.insert(s.end() - 1, Dim(1));
      return s;
    };
    inputs[0] = reshaped(x, flat(shape(x)), "flat");
    if (conv) {
      const Value& w = graph_.value(inputs[1]);
      inputs[1] = w.constant ? patch_.add_constant(w.name + "_flat",
                                                   w.constant->reshaped(static_dims(flat(w.type.shape))), w.type.quant)
                             : reshaped(inputs[1], flat(w.type.shape), "weights");
    }
    Attributes attributes = node_->attributes;
    for (std::string_view key : {"kernel_shape", "strides", "dilations"}) {
      const auto found = attributes.find(key);
      if (found != attributes.end()) found->second = std::vector<int64_t>{1, attr_ints(node_->attributes, key)[0]};
    }
    if (const auto pads = attributes.find("pads"); pads != attributes.end()) {
      const auto p = attr_ints(node_->attributes, "pads");
      pads->second = std::vector<int64_t>{0, p[0], 0, p[1]};
    }
    TensorType type = graph_.type(out());
    type.shape = flat(type.shape);
    const ValueId y = patch_.add(*node_->op, name("window"), std::move(inputs), std::move(attributes), std::move(type));
    give(reshaped(y, shape(out()), "line"));
  }

  void softmax() {
    const ValueId x = node_->inputs[0];
    const auto rank = static_cast<int64_t>(shape(x).size());
    int64_t axis = attr_int(node_->attributes, "axis", -1);
    if (axis < 0) axis += rank;
    if (axis == rank - 1 || (axis == 0 && !shape(x)[0].is_constant())) return;
    claim();
    // The two dimensions change places, there and back.
    std::vector<int64_t> perm(static_cast<size_t>(rank));
    for (size_t d = 0; d < perm.size(); ++d) perm[d] = static_cast<int64_t>(d);
    std::swap(perm[static_cast<size_t>(axis)], perm.back());
    const ValueId turned = patch_.add(ops::kTranspose, name("turned"), {x}, {{"perm", perm}});
    const ValueId y = patch_.add(*node_->op, name("row"), {turned});
    give(patch_.add(ops::kTranspose, name("back"), {y}, {{"perm", perm}}));
  }

  void layer_normalization() {
    const ValueId x = node_->inputs[0];
    const auto rank = static_cast<int64_t>(shape(x).size());
    int64_t axis = attr_int(node_->attributes, "axis", -1);
    if (axis < 0) axis += rank;
    if (axis == rank - 1 || (axis == 0 && !shape(x)[0].is_constant())) return;
    std::vector<ValueId> inputs = node_->inputs;
    const Shape tail(shape(x).begin() + axis, shape(x).end());
    if (!is_static(tail)) return;
    const int64_t joined = element_count(static_dims(tail));
    for (size_t i = 1; i < inputs.size(); ++i)
      if (inputs[i].valid() && !graph_.value(inputs[i]).constant && shape(inputs[i]) != tail) return;
    claim();
    Shape rows(shape(x).begin(), shape(x).begin() + axis);
    rows.emplace_back(joined);
    inputs[0] = reshaped(x, rows, "rows");
    for (size_t i = 1; i < inputs.size(); ++i) {
      if (!inputs[i].valid()) continue;
      const Value& v = graph_.value(inputs[i]);
      inputs[i] =
          v.constant ? patch_.add_constant(v.name + "_row", repeated(*v.constant, static_dims(tail)).reshaped({joined}))
                     : reshaped(inputs[i], {joined}, i == 1 ? "scale" : "bias");
    }
    Attributes attributes = node_->attributes;
    attributes.insert_or_assign("axis", int64_t{-1});
    give(reshaped(patch_.add(*node_->op, name("row"), std::move(inputs), std::move(attributes)), shape(out()), "back"));
  }

  ValueId number(std::string_view what, float value) {
    return patch_.add_constant(name(what), Tensor::scalar<float>(value));
  }

  void instance_normalization() {
    const std::vector<ValueId> inputs = node_->inputs;
    const Shape whole = shape(inputs[0]);
    const auto pixels = shape_elements({whole.begin() + 2, whole.end()});
    if (!pixels) return;
    claim();
    const ValueId rows = reshaped(inputs[0], {whole[0], whole[1], *pixels}, "channels");
    const ValueId one = patch_.add_constant(name("one"), Tensor::of<float>({1}, {1.0f}));
    const ValueId normal =
        patch_.add(ops::kLayerNormalization, name("normal"), {rows, one},
                   {{"axis", int64_t{-1}}, {"epsilon", attr_real(node_->attributes, "epsilon", 1e-5f)}});
    const Shape along = {whole[1], 1};
    const ValueId scaled = patch_.add(ops::kMul, name("scaled"), {normal, column(inputs[1], along, "scale")});
    const ValueId shifted = patch_.add(ops::kAdd, name("shifted"), {scaled, column(inputs[2], along, "bias")});
    give(reshaped(shifted, shape(out()), "pixels"));
  }
  ValueId column(ValueId x, const Shape& to, std::string_view what) {
    const Value& v = graph_.value(x);
    return v.constant ? patch_.add_constant(name(what), v.constant->reshaped(static_dims(to))) : reshaped(x, to, what);
  }

  void lrn() {
    const ValueId x = node_->inputs[0];
    const Shape whole = shape(x);
    const auto pixels = shape_elements({whole.begin() + 2, whole.end()});
    if (!pixels) return;
    const int64_t size = attr_int(node_->attributes, "size", 1);
    claim();
    const ValueId square = patch_.add(ops::kMul, name("square"), {x, x});
    // Pixels as the channels of an image whose lines are the channels: so they lie already.
    const Attributes turn = {{"perm", std::vector<int64_t>{0, 2, 1}}};
    const ValueId flat = reshaped(square, {whole[0], whole[1], *pixels}, "flat");
    const ValueId lines = patch_.add(ops::kTranspose, name("lines"), {flat}, turn);
    const int64_t before = (size - 1) / 2;
    const ValueId mean =
        patch_.add(ops::kAveragePool, name("mean"), {reshaped(lines, {whole[0], *pixels, whole[1], 1}, "image")},
                   {{"kernel_shape", std::vector<int64_t>{size, 1}},
                    {"pads", std::vector<int64_t>{before, 0, size - 1 - before, 0}},
                    {"count_include_pad", int64_t{1}}});
    const ValueId means = reshaped(mean, {whole[0], *pixels, whole[1]}, "means");
    const ValueId back = reshaped(patch_.add(ops::kTranspose, name("turned"), {means}, turn), whole, "back");
    const ValueId scaled =
        patch_.add(ops::kMul, name("scaled"), {number("alpha", attr_real(node_->attributes, "alpha", 1e-4f)), back});
    const ValueId base =
        patch_.add(ops::kAdd, name("base"), {number("bias", attr_real(node_->attributes, "bias", 1.0f)), scaled});
    const ValueId divisor =
        patch_.add(ops::kPow, name("divisor"), {base, number("beta", attr_real(node_->attributes, "beta", 0.75f))});
    give(patch_.add(ops::kDiv, name("quotient"), {x, divisor}));
  }

  void tile() {
    const ValueId x = node_->inputs[0];
    const auto& repeats = graph_.value(node_->inputs[1]).contents;
    const Shape whole = shape(x);
    if (!repeats || repeats->size() != whole.size() || whole.empty()) return;
    Shape apart;
    std::vector<int64_t> target;
    for (size_t d = 0; d < whole.size(); ++d) {
      if (!(*repeats)[d].is_constant()) return;
      const int64_t times = (*repeats)[d].factor;
      if (times != 1) {
        apart.emplace_back(1);
        target.push_back(times);
      }
      apart.push_back(whole[d]);
      target.push_back(1);
    }
    const bool repeats_batch = !whole[0].is_constant() && (*repeats)[0] != Dim(1);
    if (static_cast<int64_t>(apart.size()) > kMaxRank || repeats_batch) return;
    claim();
    const ValueId spread = reshaped(x, apart, "apart");
    const auto extents = Tensor::of<int64_t>({static_cast<int64_t>(target.size())}, std::span<const int64_t>(target));
    const ValueId wide =
        patch_.add(ops::kExpand, name("wide"), {spread, patch_.add_constant(name("extents"), extents)});
    give(reshaped(wide, shape(out()), "tiles"));
  }

  void power() {
    const Value& exponent = graph_.value(node_->inputs[1]);
    if (!exponent.constant || graph_.type(node_->inputs[0]).dtype != DType::f32 ||
        !is_integer(exponent.constant->dtype()))
      return;
    if (exponent.constant->dtype() == DType::u64)
      for (int64_t i = 0; i < exponent.constant->size(); ++i)
        if (exponent.constant->int_at(i) < 0) return;  // beyond s64
    Tensor numbers(DType::f32, exponent.constant->dims());
    for (int64_t i = 0; i < numbers.size(); ++i)
      numbers.mutable_data<float>()[static_cast<size_t>(i)] = static_cast<float>(exponent.constant->int_at(i));
    const ValueId x = node_->inputs[0];
    claim();
    give(patch_.add(ops::kPow, name("power"), {x, patch_.add_constant(name("exponent"), std::move(numbers))}));
  }

  // Indices are widened anyway.
  void gather() {
    const NodeId producer = producers_[static_cast<size_t>(node_->inputs[1].index)];
    if (!producer.valid() || !is(graph_.node(producer), ops::kCast)) return;
    const ValueId from = graph_.node(producer).inputs[0];
    if (graph_.type(from).dtype != DType::s32) return;  // to s64
    patch_.begin_edit();
    patch_.replace_operand(id_, 1, from);
  }

  const Graph& graph_;
  std::vector<NodeId> producers_ = graph_.producers();
  Patch patch_;
  NodeId id_;
  const Node* node_ = nullptr;
};

}  // namespace

Result<Graph> run_kernel_forms(const Graph& graph, const PassContext&) {
  const Graph codes = CUPEL_TRY(unsigned_activations(graph));
  Graph forms = CUPEL_TRY(Forms(codes).run());
  forms.stage = Stage::fused;
  return forms;
}

}  // namespace cupel
