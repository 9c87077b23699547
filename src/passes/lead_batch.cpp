// lead_batch: values whose batch is not their leading dimension alone are held batch first, [batch] + item dims, as
// long as every op has a form that computes item by item; then compiled code works on one item after another.
//   %t = Transpose(%x) {perm=[1,0,2]} : f32[49,batch,64]; %y = MatMul(%t, %w)     ->     %y = MatMul(%x, %w) :
//   f32[batch,49,64]
// Each rule gives the node on item forms that computes the same numbers in the same order. A Gemm keeps its matrix,
// with the batch outermost in its rows. Where there is no rule, or the batch itself is sliced, reduced or joined, the
// original form is restored before the node; so it is for an output of the graph.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "ops/op_table.h"
#include "ops/rules.h"
#include "passes/batch_forms.h"
#include "passes/pass.h"

namespace cupel {
namespace {

class LeadBatch {
 public:
  LeadBatch(const Graph& graph, const PassContext& context)
      : graph_(graph), context_(context), patch_(graph), forms_(graph, patch_) {}

  Result<Graph> run() {
    for (size_t n = 0; n < graph_.nodes().size(); ++n) {
      id_ = {static_cast<int32_t>(n)};
      node_ = &graph_.nodes()[n];
      if (moves_batch() && !apply_rule()) keep();
    }
    const auto producers = graph_.producers();
    for (ValueId v : graph_.outputs()) {
      if (!forms_.place(v) || forms_.has_original(v)) continue;
      patch_.begin_edit();
      patch_.stands_for(producers[static_cast<size_t>(v.index)]);
      forms_.original(v);
    }
    return patch_.empty() ? graph_ : apply_patch(patch_);
  }

 private:
  using Rule = bool (LeadBatch::*)();

  // Whether the node reads or gives a value whose batch is not its leading dimension alone.
  bool moves_batch() const {
    const auto moved = [&](ValueId v) { return v.valid() && forms_.place(v) && !forms_.leads(v); };
    return std::any_of(node_->inputs.begin(), node_->inputs.end(), moved) ||
           std::any_of(node_->outputs.begin(), node_->outputs.end(), moved);
  }

  bool apply_rule() {
    // Ops that move or combine elements along dimensions of their own; what else there is says OpDef::elements.
    static constexpr std::pair<const OpDef*, Rule> kRules[] = {
        {&ops::kTranspose, &LeadBatch::transpose},
        {&ops::kMatMul, &LeadBatch::matmul},
        {&ops::kGemm, &LeadBatch::gemm},
        {&ops::kSoftmax, &LeadBatch::along_axis},
        {&ops::kLogSoftmax, &LeadBatch::along_axis},
        {&ops::kArgMax, &LeadBatch::along_axis},
        {&ops::kLayerNormalization, &LeadBatch::layer_normalization},
        {&ops::kReduceMean, &LeadBatch::reduce},
        {&ops::kReduceSum, &LeadBatch::reduce},
        {&ops::kReduceMax, &LeadBatch::reduce},
        {&ops::kReduceMin, &LeadBatch::reduce},
        {&ops::kSlice, &LeadBatch::slice},
        {&ops::kSplit, &LeadBatch::split},
        {&ops::kGather, &LeadBatch::gather},
        {&ops::kConcat, &LeadBatch::concat},
        {&ops::kPad, &LeadBatch::pad},
        {&ops::kTile, &LeadBatch::tile},
        {&ops::kExpand, &LeadBatch::expand},
        {&ops::kRNN, &LeadBatch::recurrent},
        {&ops::kGRU, &LeadBatch::recurrent},
        {&ops::kLSTM, &LeadBatch::recurrent},
    };
    if (changes_shape(*node_->op)) return reshape();
    if (is_elementwise(*node_->op)) return elementwise();
    const auto rule =
        std::find_if(std::begin(kRules), std::end(kRules), [&](const auto& row) { return row.first == node_->op; });
    return rule != std::end(kRules) && (this->*rule->second)();
  }

  // The node stays and reads original forms.
  void keep() {
    patch_.begin_edit();
    patch_.stands_for(id_);
    bool restored = false;
    for (ValueId v : node_->inputs) {
      if (!v.valid() || !forms_.place(v) || forms_.has_original(v)) continue;
      forms_.original(v);
      restored = true;
    }
    if (restored && context_.remarks)
      context_.remarks->push_back(
          {.node = node_->name, .reason = "it does not work item by item where the batch lies"});
  }

  // ---- what the rules share

  const Shape& shape(ValueId v) const { return graph_.type(v).shape; }
  size_t rank(ValueId v) const { return shape(v).size(); }
  ValueId in(size_t i) const { return i < node_->inputs.size() ? node_->inputs[i] : ValueId{}; }
  ValueId out() const { return node_->outputs[0]; }
  const std::string& name_of(ValueId v) const { return graph_.value(v).name; }
  bool is_static_value(ValueId v) const { return v.valid() && !forms_.place(v); }
  bool is_one_element(ValueId v) const {
    return std::all_of(shape(v).begin(), shape(v).end(), [](const Dim& d) { return d == Dim(1); });
  }
  int64_t attr(std::string_view name, int64_t fallback) const { return attr_int(node_->attributes, name, fallback); }
  static size_t axis_of(int64_t axis, size_t rank) {
    return static_cast<size_t>(axis < 0 ? axis + static_cast<int64_t>(rank) : axis);
  }

  // Elements of operand i when all are known constants.
  std::optional<std::vector<int64_t>> integers(size_t i) const {
    if (!in(i).valid() || !graph_.value(in(i)).contents) return std::nullopt;
    std::vector<int64_t> elements;
    for (const Dim& d : *graph_.value(in(i)).contents) {
      if (!d.is_constant()) return std::nullopt;
      elements.push_back(d.factor);
    }
    return elements;
  }
  ValueId integer_operand(std::string_view what, const std::vector<int64_t>& values) {
    return patch_.add_constant(
        fmt::format("{}_{}", node_->name, what),
        Tensor::of<int64_t>({static_cast<int64_t>(values.size())}, std::span<const int64_t>(values)));
  }

  // The node goes away, for what the rest of the rule adds; its results have the batch at stride `inner` of their
  // dimension.
  void claim(int64_t inner) {
    patch_.begin_edit();
    patch_.remove(id_);
    for (ValueId v : node_->outputs) forms_.forget(v, inner);
  }
  // The same op on other operands, giving the item form of the result.
  bool give(std::vector<ValueId> inputs, Attributes attributes) {
    forms_.give_item(
        out(), patch_.add_named(*node_->op, node_->name, name_of(out()), std::move(inputs), std::move(attributes)));
    return true;
  }
  // With all results.
  bool give_all(std::vector<ValueId> inputs, Attributes attributes, const std::string& symbol) {
    std::vector<std::string> names;
    std::vector<TensorType> types;
    for (ValueId v : node_->outputs) {
      names.push_back(name_of(v));
      Shape item = to_shape(forms_.item_dims(v));
      item.insert(item.begin(), Dim(1, symbol));
      types.push_back({.dtype = graph_.type(v).dtype, .shape = std::move(item), .quant = graph_.type(v).quant});
    }
    const auto results = patch_.add_multi(*node_->op, node_->name, std::move(names), std::move(inputs),
                                          std::move(attributes), std::move(types));
    for (size_t i = 0; i < results.size(); ++i) forms_.give_item(node_->outputs[i], results[i]);
    return true;
  }
  // The node as it is on the row forms of its operands.
  bool give_rows(std::vector<ValueId> inputs) {
    forms_.give_rows(out(),
                     patch_.add_named(*node_->op, node_->name, name_of(out()), std::move(inputs), node_->attributes));
    return true;
  }
  // The item form of the result has the elements of `x`, which is such a form of an operand.
  bool give_reshaped(ValueId x, bool same_shape) {
    if (same_shape && !(forms_.leads(out()) && graph_.is_output(out()))) {
      forms_.give_item(out(), x);
    } else {
      forms_.give_item(out(), forms_.reshaped(x, forms_.item_dims(out()), node_->name, name_of(out())));
    }
    return true;
  }
  Attributes with_axis(size_t axis) const {
    Attributes attributes = node_->attributes;
    attributes.insert_or_assign("axis", static_cast<int64_t>(axis));
    return attributes;
  }

  // Where the batch lies in a result of rank `rank` to which these operands broadcast; null when they disagree.
  const BatchPlace* common_place(std::span<const ValueId> operands, size_t rank_of_result) const {
    const BatchPlace* common = nullptr;
    size_t at = 0;
    for (ValueId v : operands) {
      const BatchPlace* p = v.valid() ? forms_.place(v) : nullptr;
      if (!p) continue;
      const size_t aligned = p->at + rank_of_result - rank(v);
      if (common && (aligned != at || p->factor != common->factor || p->inner != common->inner)) return nullptr;
      common = p;
      at = aligned;
    }
    return common;
  }
  // An operand that broadcasts to the item form of a result of that rank with the batch at `at`.
  ValueId spread(ValueId v, size_t at, int64_t factor, size_t rank_of_result) {
    if (!v.valid()) return v;
    const size_t missing = rank_of_result - rank(v);
    if (forms_.place(v)) {
      if (missing == 0) return forms_.item(v);
      Dims dims(missing, 1);
      for (int64_t d : forms_.item_dims(v)) dims.push_back(d);
      return forms_.reshaped(forms_.together(v), dims, name_of(v) + "_spread", name_of(v) + "_spread");
    }
    // Of a constant the dimension along the batch goes, which is 1; a leading 1 does no harm.
    if (factor > 1 || at <= missing) return v;
    Dims dims = static_dims(shape(v));
    dims.erase(dims.begin() + static_cast<int64_t>(at - missing));
    const std::string name = name_of(v) + "_item";
    if (const Value& value = graph_.value(v); value.constant && !value.type.quant)
      return patch_.add_constant(name, value.constant->reshaped(dims));
    return patch_.add(ops::kReshape, name, {v, integer_operand("item", dims)});
  }

  // ---- the rules: false, with nothing changed, where one does not hold

  bool transpose() {
    const ValueId x = in(0);
    std::vector<int64_t> perm = attr_ints(node_->attributes, "perm");
    if (perm.empty())
      for (size_t d = rank(x); d-- > 0;) perm.push_back(static_cast<int64_t>(d));
    const BatchPlace& p = *forms_.place(x);
    std::vector<int64_t> item_perm = {0};
    for (int64_t d : perm)
      if (static_cast<size_t>(d) != p.at || p.factor > 1)
        item_perm.push_back(static_cast<int64_t>(forms_.item_axis(x, static_cast<size_t>(d))));
    claim(p.inner);
    if (std::is_sorted(item_perm.begin(), item_perm.end())) return give_reshaped(forms_.item(x), true);
    return give({forms_.item(x)}, {{"perm", std::move(item_perm)}});
  }

  // The elements of an item stay together when the batch has a place in the result at the same stride.
  bool reshape() {
    const ValueId x = in(0);
    if (!forms_.place(x) || !forms_.place(out())) return false;
    int64_t right = 1;
    for (size_t d = forms_.place(out())->at + 1; d < rank(out()); ++d) right *= shape(out())[d].factor;
    const int64_t stride = forms_.stride(x);
    if (stride % right != 0 || forms_.place(out())->factor % (stride / right) != 0) return false;
    claim(stride / right);
    const ValueId from = forms_.together(x);
    return give_reshaped(from, forms_.has_item(x) && forms_.item_dims(x) == forms_.item_dims(out()));
  }

  bool elementwise() {
    if (node_->outputs.size() != 1 || !forms_.place(out())) return false;
    if (attr("axis", -1) >= 0) return along_axis();  // parameters in attributes, along one dimension
    for (size_t i = static_cast<size_t>(node_->op->parameters_from); i < node_->inputs.size(); ++i)
      if (in(i).valid() && !is_one_element(in(i))) return false;  // they lie along a dimension
    const BatchPlace* p = common_place(node_->inputs, rank(out()));
    if (!p) return false;
    bool all_rows = forms_.place(out())->at == 0, all_items = true;
    for (ValueId v : node_->inputs) {
      if (!v.valid() || !forms_.place(v)) continue;
      all_rows = all_rows && forms_.has_rows(v);
      all_items = all_items && forms_.has_item(v);
    }
    const BatchPlace place = *forms_.place(out());
    claim(p->inner);
    std::vector<ValueId> inputs;
    if (all_rows && !all_items) {
      for (ValueId v : node_->inputs) inputs.push_back(v.valid() && forms_.place(v) ? forms_.rows(v) : v);
      return give_rows(std::move(inputs));
    }
    for (ValueId v : node_->inputs) inputs.push_back(spread(v, place.at, place.factor, rank(out())));
    return give(std::move(inputs), node_->attributes);
  }

  bool matmul() {
    const ValueId a = in(0), b = in(1);
    if (rank(a) < 2 || rank(b) < 2) return false;
    const size_t all = std::max(rank(a), rank(b));
    const BatchPlace *pa = forms_.place(a), *pb = forms_.place(b);
    // A matrix of constants takes rows whatever their number.
    if (pa && !pb && rank(b) == 2) {
      if (pa->at + 1 == rank(a)) return false;
      claim(pa->inner);
      if (rank(a) == 2 && forms_.has_rows(a) && !forms_.has_item(a)) return give_rows({forms_.rows(a), b});
      return give({forms_.item(a), b}, {});
    }
    for (ValueId v : {a, b})
      if (const BatchPlace* p = forms_.place(v); p && p->at + 2 >= rank(v)) return false;
    const BatchPlace* p = common_place(node_->inputs, all);
    if (!p) return false;
    const BatchPlace place = *forms_.place(out());
    claim(p->inner);
    return give({spread(a, place.at, place.factor, all), spread(b, place.at, place.factor, all)}, {});
  }

  bool gemm() {
    const ValueId x = in(0), w = in(1), bias = in(2);
    const BatchPlace* p = forms_.place(x);
    if (!p || p->at != 0 || attr("transA", 0) != 0 || !is_static_value(w)) return false;
    if (bias.valid() && !is_static_value(bias)) return false;
    claim(p->inner);
    std::vector<ValueId> inputs = {forms_.rows(x), w};
    if (bias.valid()) inputs.push_back(bias);
    return give_rows(std::move(inputs));
  }

  // Softmax, ArgMax and what else works along one dimension, and on each of the others alone.
  bool along_axis() {
    const ValueId x = in(0);
    const int64_t standard = is(*node_, ops::kArgMax) ? 0 : -1;
    const BatchPlace* p = forms_.place(x);
    const size_t axis = axis_of(attr("axis", standard), rank(x));
    if (!p || axis == p->at) return false;
    claim(p->inner);
    return give({forms_.item(x)}, with_axis(forms_.item_axis(x, axis)));
  }

  bool layer_normalization() {
    const ValueId x = in(0);
    const size_t axis = axis_of(attr("axis", -1), rank(x));
    const BatchPlace* p = forms_.place(x);
    if (!p || axis <= p->at || node_->outputs.size() != 1) return false;
    std::vector<ValueId> inputs = node_->inputs;
    for (size_t i = 1; i < inputs.size(); ++i)
      if (inputs[i].valid() && forms_.place(inputs[i])) return false;
    claim(p->inner);
    inputs[0] = forms_.item(x);
    return give(std::move(inputs), with_axis(forms_.item_axis(x, axis)));
  }

  bool reduce() {
    const ValueId x = in(0);
    const auto axes = integers(1);
    const BatchPlace* p = forms_.place(x);
    if (!p || !axes || axes->empty()) return false;
    std::vector<int64_t> item_axes;
    for (int64_t a : *axes) {
      const size_t axis = axis_of(a, rank(x));
      if (axis == p->at) return false;
      item_axes.push_back(static_cast<int64_t>(forms_.item_axis(x, axis)));
    }
    claim(p->inner);
    return give({forms_.item(x), integer_operand("axes", item_axes)}, node_->attributes);
  }

  bool slice() {
    const ValueId x = in(0);
    const BatchPlace* p = forms_.place(x);
    if (!p || !graph_.value(in(1)).contents || !graph_.value(in(2)).contents) return false;
    const std::vector<Dim>&starts = *graph_.value(in(1)).contents, &ends = *graph_.value(in(2)).contents;
    const auto axes = integers(3), steps = integers(4);
    if ((in(3).valid() && !axes) || (in(4).valid() && !steps)) return false;
    std::vector<int64_t> first, last, along, by;
    for (size_t i = 0; i < starts.size(); ++i) {
      const size_t axis = axis_of(axes ? (*axes)[i] : static_cast<int64_t>(i), rank(x));
      const int64_t step = steps ? (*steps)[i] : 1;
      if (axis == p->at) {
        if (step != 1 || shape(out())[axis] != shape(x)[axis]) return false;
        continue;
      }
      if (!starts[i].is_constant() || !ends[i].is_constant()) return false;
      first.push_back(starts[i].factor);
      last.push_back(ends[i].factor);
      along.push_back(static_cast<int64_t>(forms_.item_axis(x, axis)));
      by.push_back(step);
    }
    claim(p->inner);
    if (along.empty()) return give_reshaped(forms_.item(x), true);
    return give({forms_.item(x), integer_operand("starts", first), integer_operand("ends", last),
                 integer_operand("axes", along), integer_operand("steps", by)},
                {});
  }

  bool split() {
    const ValueId x = in(0);
    const size_t axis = axis_of(attr("axis", 0), rank(x));
    const BatchPlace& p = *forms_.place(x);
    if (axis == p.at || (in(1).valid() && !is_static_value(in(1)))) return false;
    const std::string symbol = shape(x)[p.at].symbol;
    claim(p.inner);
    std::vector<ValueId> inputs = node_->inputs;
    inputs[0] = forms_.item(x);
    return give_all(std::move(inputs), with_axis(forms_.item_axis(x, axis)), symbol);
  }

  // With layout 1 the batch leads the sequences, the states and the results; below it, it is their last dimension but
  // one.
  bool recurrent() {
    if (attr("layout", 0) != 0) return false;
    const ValueId x = in(0);
    const BatchPlace* p = forms_.place(x);
    const auto goes = [&](ValueId v, size_t at) {
      const BatchPlace* other = forms_.place(v);
      return other && other->at == at && other->factor == 1 && shape(v)[at] == shape(x)[p->at];
    };
    if (!p || p->at != 1 || p->factor != 1) return false;
    for (const size_t i : {size_t{5}, size_t{6}})
      if (in(i).valid() && !goes(in(i), 1)) return false;
    if (in(4).valid() && !goes(in(4), 0)) return false;
    for (ValueId v : node_->outputs)
      if (!v.valid() || !goes(v, rank(v) - 2)) return false;
    const std::string symbol = shape(x)[1].symbol;
    claim(p->inner);
    std::vector<ValueId> inputs = node_->inputs;
    for (ValueId& v : inputs)
      if (v.valid() && forms_.place(v)) v = forms_.item(v);
    Attributes attributes = node_->attributes;
    attributes.insert_or_assign("layout", int64_t{1});
    return give_all(std::move(inputs), std::move(attributes), symbol);
  }

  bool gather() {
    const ValueId x = in(0), index = in(1);
    const size_t axis = axis_of(attr("axis", 0), rank(x));
    const BatchPlace *px = forms_.place(x), *pi = forms_.place(index);
    if (px && pi) return false;
    if (pi) {
      // Indices of items into a table of constants: its rows replace the indices' elements behind the batch.
      if (axis == 0) {
        claim(pi->inner);
        return give({x, forms_.item(index)}, node_->attributes);
      }
      // Of another axis, which is made the first; what was before it goes there again behind the indices.
      const auto& table = graph_.value(x).constant;
      if (!table || graph_.type(x).quant || dtype_bits(table->dtype()) < 8) return false;
      claim(pi->inner);
      const ValueId first = patch_.add_constant(graph_.value(x).name + "_turned", axis_first(*table, axis));
      const ValueId rows = patch_.add_named(ops::kGather, node_->name, name_of(out()) + "_rows",
                                            {first, forms_.item(index)}, {{"axis", int64_t{0}}});
      const auto behind = static_cast<int64_t>(forms_.item_dims(index).size()), before = static_cast<int64_t>(axis);
      std::vector<int64_t> perm = {0};
      for (int64_t d = 0; d < before; ++d) perm.push_back(1 + behind + d);
      for (int64_t d = 0; d < behind; ++d) perm.push_back(1 + d);
      for (auto d = 1 + behind + before; d < behind + static_cast<int64_t>(rank(x)); ++d) perm.push_back(d);
      forms_.give_item(out(), patch_.add_named(ops::kTranspose, node_->name, name_of(out()), {rows}, {{"perm", perm}}));
      return true;
    }
    if (axis == px->at) return false;
    claim(px->inner);
    return give({forms_.item(x), index}, with_axis(forms_.item_axis(x, axis)));
  }

  bool concat() {
    const size_t axis = axis_of(attr("axis", 0), rank(out()));
    const BatchPlace* p = common_place(node_->inputs, rank(out()));
    if (!p || axis == p->at ||
        std::any_of(node_->inputs.begin(), node_->inputs.end(), [&](ValueId v) { return is_static_value(v); }))
      return false;
    claim(p->inner);
    std::vector<ValueId> inputs;
    for (ValueId v : node_->inputs) inputs.push_back(forms_.item(v));
    return give(std::move(inputs), with_axis(forms_.item_axis(out(), axis)));
  }

  bool pad() {
    const ValueId x = in(0);
    const BatchPlace* p = forms_.place(x);
    const auto pads = integers(1), axes = integers(3);
    if (!p || !pads || (in(3).valid() && !axes)) return false;
    const size_t count = pads->size() / 2, item_rank = forms_.item_dims(x).size() + 1;
    std::vector<int64_t> item_pads(2 * item_rank, 0);
    for (size_t i = 0; i < count; ++i) {
      const size_t axis = axis_of(axes ? (*axes)[i] : static_cast<int64_t>(i), rank(x));
      const int64_t before = (*pads)[i], after = (*pads)[count + i];
      if (axis == p->at) {
        if (before != 0 || after != 0) return false;
        continue;
      }
      item_pads[forms_.item_axis(x, axis)] = before;
      item_pads[item_rank + forms_.item_axis(x, axis)] = after;
    }
    claim(p->inner);
    std::vector<ValueId> inputs = {forms_.item(x), integer_operand("pads", item_pads)};
    if (in(2).valid()) inputs.push_back(in(2));
    return give(std::move(inputs), node_->attributes);
  }

  bool tile() {
    const ValueId x = in(0);
    const BatchPlace* p = forms_.place(x);
    const auto repeats = integers(1);
    if (!p || !repeats || (*repeats)[p->at] != 1) return false;
    std::vector<int64_t> item_repeats = {1};
    for (size_t d = 0; d < repeats->size(); ++d)
      if (d != p->at || p->factor > 1) item_repeats.push_back((*repeats)[d]);
    claim(p->inner);
    return give({forms_.item(x), integer_operand("repeats", item_repeats)}, {});
  }

  bool expand() {
    const ValueId x = in(0);
    const BatchPlace* p = forms_.place(x);
    if (!p || !forms_.place(out())) return false;
    const BatchPlace place = *forms_.place(out());
    if (place.at != p->at + rank(out()) - rank(x) || place.factor != p->factor) return false;
    claim(p->inner);
    std::vector<int64_t> target = {1};
    for (int64_t d : forms_.item_dims(out())) target.push_back(d);
    return give({spread(x, place.at, place.factor, rank(out())), integer_operand("target", target)}, {});
  }

  // The same elements with dimension `axis` before all others.
  static Tensor axis_first(const Tensor& t, size_t axis) {
    Dims dims = t.dims();
    const int64_t extent = dims[axis], inner = ops::strides_of(dims)[axis],
                  outer = t.size() / std::max<int64_t>(1, extent * inner);
    dims.erase(dims.begin() + static_cast<int64_t>(axis));
    dims.insert(dims.begin(), extent);
    Tensor turned(t.dtype(), dims);
    const auto block = static_cast<size_t>(inner * dtype_bits(t.dtype()) / 8);
    for (int64_t o = 0; o < outer; ++o)
      for (int64_t i = 0; i < extent; ++i)
        std::memcpy(turned.mutable_bytes().data() + static_cast<size_t>(i * outer + o) * block,
                    t.bytes().data() + static_cast<size_t>(o * extent + i) * block, block);
    return turned;
  }

  const Graph& graph_;
  const PassContext& context_;
  Patch patch_;
  BatchForms forms_;
  NodeId id_;
  const Node* node_ = nullptr;
};

}  // namespace

Result<Graph> run_lead_batch(const Graph& graph, const PassContext& context) {
  if (!BatchForms::has_one_batch(graph)) return graph;
  return LeadBatch(graph, context).run();
}

}  // namespace cupel
