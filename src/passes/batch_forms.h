// The forms in which a pass may hold a value with a batch, and the way from one to another. Private to lead_batch.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "ir/patch.h"

namespace cupel {

// Where the batch lies in a value: its one symbolic dimension `at` is factor·batch and counts
// [factor / inner][batch][inner], outermost first. Which `inner` a value has is a choice: every one that divides factor
// only orders the elements in another way.
struct BatchPlace {
  size_t at = 0;
  int64_t factor = 1, inner = 1;
  bool operator==(const BatchPlace&) const = default;
};

// Forms of a value, each made on demand and kept:
//   original: as the graph has it
//   item:     [batch] + item dims, the value's dims without the batch (factor·batch keeps factor, batch alone goes)
//   rows:     only for a leading factor·batch: the original shape with the batch outermost in that dimension
// A value whose leading dimension is the batch alone has but one form.
class BatchForms {
 public:
  // Requires has_one_batch(graph).
  BatchForms(const Graph& graph, Patch& patch);

  // Whether one symbol occurs, in no value twice, and every value that has it is sure to have elements.
  static bool has_one_batch(const Graph& graph);

  // Null for a value without a batch.
  const BatchPlace* place(ValueId v) const {
    const auto& p = places_[static_cast<size_t>(v.index)];
    return p ? &*p : nullptr;
  }
  bool leads(ValueId v) const { return place(v) && place(v)->at == 0 && place(v)->factor == 1; }
  const Shape& shape(ValueId v) const { return graph_.type(v).shape; }
  Dims item_dims(ValueId v) const;
  // Dimension `axis` of the value in its item form. Requires that it does not go.
  size_t item_axis(ValueId v, size_t axis) const;
  // Elements from one batch item to the next in the original order: inner · product of the dimensions to the right.
  int64_t stride(ValueId v) const;

  // The forms; nodes that make one are added to the current edit.
  ValueId original(ValueId v);
  ValueId item(ValueId v);
  ValueId rows(ValueId v);  // requires a leading factor·batch
  // A form with the elements of one batch item together: what there is already, else the item form.
  ValueId together(ValueId v);
  bool has_item(ValueId v) const { return forms_[static_cast<size_t>(v.index)].item.valid(); }
  bool has_rows(ValueId v) const { return forms_[static_cast<size_t>(v.index)].rows.valid(); }
  bool has_original(ValueId v) const { return forms_[static_cast<size_t>(v.index)].original.valid(); }

  // The node that computes v goes away: v has no form until one is given.
  void forget(ValueId v, int64_t inner);
  void give_item(ValueId v, ValueId form);
  void give_rows(ValueId v, ValueId form);

  // %x under the dimensions [-1] + dims.
  ValueId reshaped(ValueId x, const Dims& dims, const std::string& node, const std::string& output);

 private:
  struct Forms {
    ValueId original, item, rows;
  };
  Forms& forms(ValueId v) { return forms_[static_cast<size_t>(v.index)]; }
  const std::string& name(ValueId v) const { return graph_.value(v).name; }
  ValueId reshape_to(ValueId x, std::vector<int64_t> target, const std::string& node, const std::string& output);
  // [outer, batch, stride] and back.
  ValueId batch_moved(ValueId x, const std::string& node);

  const Graph& graph_;
  Patch& patch_;
  std::vector<std::optional<BatchPlace>> places_;
  std::vector<Forms> forms_;
};

}  // namespace cupel
