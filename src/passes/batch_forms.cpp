#include "passes/batch_forms.h"

#include <algorithm>

#include "ops/op_table.h"

namespace cupel {
namespace {

std::vector<int64_t> batch_first(const Dims& dims) {
  std::vector<int64_t> target = {-1};
  target.insert(target.end(), dims.begin(), dims.end());
  return target;
}

}  // namespace

bool BatchForms::has_one_batch(const Graph& graph) {
  std::string symbol;
  for (const Value& v : graph.values()) {
    int symbolic = 0;
    for (const Dim& d : v.type.shape) {
      if (d.is_constant()) continue;
      if (symbol.empty()) symbol = d.symbol;
      if (++symbolic > 1 || d.symbol != symbol || d.factor < 1) return false;
    }
    if (symbolic > 0 && std::find(v.type.shape.begin(), v.type.shape.end(), Dim(0)) != v.type.shape.end()) return false;
  }
  return !symbol.empty();
}

BatchForms::BatchForms(const Graph& graph, Patch& patch)
    : graph_(graph), patch_(patch), places_(graph.values().size()), forms_(graph.values().size()) {
  for (size_t v = 0; v < places_.size(); ++v) {
    const ValueId id{static_cast<int32_t>(v)};
    const Shape& dims = shape(id);
    for (size_t d = 0; d < dims.size(); ++d)
      if (!dims[d].is_constant()) places_[v] = BatchPlace{d, dims[d].factor, dims[d].factor};
    forms_[v].original = id;
    if (leads(id)) forms_[v].item = id;
    if (places_[v] && places_[v]->at == 0) forms_[v].rows = id;
  }
}

Dims BatchForms::item_dims(ValueId v) const {
  const BatchPlace& p = *place(v);
  Dims dims;
  for (size_t d = 0; d < shape(v).size(); ++d)
    if (d != p.at || p.factor > 1) dims.push_back(shape(v)[d].factor);
  return dims;
}

size_t BatchForms::item_axis(ValueId v, size_t axis) const {
  const BatchPlace& p = *place(v);
  return p.factor > 1 || axis < p.at ? axis + 1 : axis;
}

int64_t BatchForms::stride(ValueId v) const {
  const BatchPlace& p = *place(v);
  int64_t elements = p.inner;
  for (size_t d = p.at + 1; d < shape(v).size(); ++d) elements *= shape(v)[d].factor;
  return elements;
}

ValueId BatchForms::reshape_to(ValueId x, std::vector<int64_t> target, const std::string& node,
                               const std::string& output) {
  const ValueId constant = patch_.add_constant(
      node + "_target", Tensor::of<int64_t>({static_cast<int64_t>(target.size())}, std::span<const int64_t>(target)));
  return patch_.add_named(ops::kReshape, node, output, {x, constant});
}

ValueId BatchForms::reshaped(ValueId x, const Dims& dims, const std::string& node, const std::string& output) {
  return reshape_to(x, batch_first(dims), node, output);
}

ValueId BatchForms::batch_moved(ValueId x, const std::string& node) {
  return patch_.add(ops::kTranspose, node, {x}, {{"perm", std::vector<int64_t>{1, 0, 2}}});
}

// The original order is [outer][batch][stride]; a batch of factor 1 moves without a change of shape.
ValueId BatchForms::item(ValueId v) {
  Forms& f = forms(v);
  if (f.item.valid()) return f.item;
  const BatchPlace& p = *place(v);
  if (f.rows.valid()) return f.item = reshaped(f.rows, item_dims(v), name(v) + "_items", name(v) + "_items");
  if (p.factor == 1) {
    std::vector<int64_t> perm = {static_cast<int64_t>(p.at)};
    for (size_t d = 0; d < shape(v).size(); ++d)
      if (d != p.at) perm.push_back(static_cast<int64_t>(d));
    return f.item = patch_.add(ops::kTranspose, name(v) + "_items", {f.original}, {{"perm", std::move(perm)}});
  }
  const int64_t outer = element_count(item_dims(v)) / stride(v);
  ValueId x = f.original;
  if (outer > 1)
    x = batch_moved(reshape_to(x, {outer, -1, stride(v)}, name(v) + "_split", name(v) + "_split"), name(v) + "_moved");
  return f.item = reshaped(x, item_dims(v), name(v) + "_items", name(v) + "_items");
}

ValueId BatchForms::rows(ValueId v) {
  Forms& f = forms(v);
  if (f.rows.valid()) return f.rows;
  Dims dims = static_dims(Shape(shape(v).begin() + 1, shape(v).end()));
  give_rows(v, reshaped(item(v), dims, name(v) + "_rows", name(v) + "_rows"));
  return f.rows;
}

ValueId BatchForms::original(ValueId v) {
  Forms& f = forms(v);
  if (f.original.valid()) return f.original;
  const BatchPlace& p = *place(v);
  ValueId x;
  if (p.factor == 1) {
    std::vector<int64_t> perm;
    for (size_t d = 0; d < shape(v).size(); ++d)
      perm.push_back(d == p.at ? 0 : static_cast<int64_t>(d < p.at ? d + 1 : d));
    x = patch_.add_named(ops::kTranspose, name(v), name(v), {item(v)}, {{"perm", std::move(perm)}});
  } else {
    const int64_t outer = element_count(item_dims(v)) / stride(v);
    x = together(v);
    if (outer > 1)
      x = batch_moved(reshaped(x, {outer, stride(v)}, name(v) + "_split", name(v) + "_split"), name(v) + "_moved");
    std::vector<int64_t> target;
    for (const Dim& d : shape(v)) target.push_back(d.is_constant() ? d.factor : -1);
    x = reshape_to(x, std::move(target), name(v), name(v));
  }
  // What still reads the value, an output of the graph say, reads this.
  patch_.replace(v, x);
  return f.original = x;
}

ValueId BatchForms::together(ValueId v) {
  const Forms& f = forms(v);
  return f.item.valid() ? f.item : f.rows.valid() ? f.rows : item(v);
}

void BatchForms::forget(ValueId v, int64_t inner) {
  forms(v) = {};
  if (place(v)) places_[static_cast<size_t>(v.index)]->inner = inner;
}

void BatchForms::give_item(ValueId v, ValueId form) {
  if (leads(v)) {
    patch_.replace(v, form);
    forms(v) = {form, form, form};
  } else {
    forms(v).item = form;
  }
}

void BatchForms::give_rows(ValueId v, ValueId form) {
  Forms& f = forms(v);
  f.rows = form;
  if (place(v)->inner != place(v)->factor) return;
  // With the batch outermost the rows are the original.
  if (!f.original.valid()) {
    patch_.replace(v, form);
    f.original = form;
  }
  if (leads(v)) f.item = form;
}

}  // namespace cupel
