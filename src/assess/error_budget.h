// What the error at the result of each quantized layer is made of.
//
// For a layer with the float meaning f (a node and the clamps behind it) let x be the operands and w the constants it
// has in the float network, y = f(x, w) its value there, and y* what the integer program gives for it, codes as the
// numbers they stand for. P(d) is the mean of d² over elements and samples: noise power. With
//   ŵ      the constants that the quantized file holds, dequantized
//   r(v)   s · rne(v / s), the nearest multiple of the scale s of the codes of v, as if codes had no end
//   c(v)   v brought into [s · (lo − z), s · (hi − z)], what codes reach, without rounding
//   x*     what the integer network gives for the operands before they become codes: the float meaning of the layer
//          that computes them, clamps included, on the codes which that layer reads, plus that layer's own integer
//          arithmetic; operands that stay numbers as they are
//   Q      a quantize and a dequantize node; the identity where the layer's result stays a number
// the parts are
//   weights              P(f(x, ŵ) − y)
//   activations          P(f(r(x), w) − y)
//   clipping             P(f(c(x), w) − y)
//   inherited            P(f(x*, w) − y)
//   requantize_rounding  P(r(y) − y)
//   requantize_clipping  P(c(y) − y)
//   integer_arithmetic   P(y* − Q(f(q, ŵ))), q the codes that the integer program reads, dequantized
// and the total is P(y* − y). The interaction is what is left, total − Σ parts: the correlation of the parts, and that
// f is not linear. It may be negative. Every part is measured by itself, one ingredient replaced at a time.
#pragma once

#include <array>
#include <map>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "assess/budget_layer.h"
#include "assess/layer_error.h"
#include "runtime/thread_pool.h"

namespace cupel {

enum class BudgetPart {
  weights,
  activations,
  clipping,
  inherited,
  requantize_rounding,
  requantize_clipping,
  integer_arithmetic,
};
struct BudgetPartName {
  BudgetPart part;
  std::string_view name;   // in JSON
  std::string_view title;  // for people
};
inline constexpr size_t kBudgetParts = 7;
// In the order of the enumeration.
extern const std::array<BudgetPartName, kBudgetParts> kBudgetPartNames;

// Noise powers, in the square of the value's unit.
struct ErrorBudget {
  int64_t elements = 0;
  double signal = 0;  // P(y)
  double total = 0;
  std::array<double, kBudgetParts> parts{};

  double part(BudgetPart which) const { return parts[static_cast<size_t>(which)]; }
  double interaction() const;
  // What the layer adds: the parts but the inherited one.
  double own() const;
  // Of the total; NaN without noise.
  double share(double power) const;
  // As of ErrorSums.
  double sqnr_db() const;
};

// Streaming: three networks advance side by side, node by node, and what a layer needs is kept until it is measured, so
// that memory does not grow with the number of samples. The interpreter computes everything.
class BudgetMeter {
 public:
  // `base`: the float network. `quantized`: the same with Q/DQ nodes. `program`: the integer form of that. Where
  // `program` has no value of the name that one of `quantized` has, integer arithmetic counts as exact there. All must
  // outlive the meter.
  BudgetMeter(const Graph& base, const Graph& quantized, const Graph& program, ThreadPool& threads);

  const std::vector<BudgetLayer>& layers() const { return layers_; }
  // Inputs of one run, in the order of each graph's.
  Status add(std::span<const Tensor> base_inputs, std::span<const Tensor> quantized_inputs);
  // In step with layers(). nullopt: a value was NaN or infinite, or an operand has other dimensions in `base`.
  std::vector<std::optional<ErrorBudget>> finish() const;

 private:
  class Run;
  struct Sums {
    std::array<ErrorSums, kBudgetParts> parts;
    ErrorSums total;
    bool unusable = false;
  };

  const Graph &base_, &quantized_, &program_;
  ThreadPool& threads_;
  std::vector<BudgetLayer> layers_;
  std::map<NodeId, NodeId> counterparts_;
  std::vector<NodeId> producers_, program_producers_;
  std::map<ValueId, ValueId> partners_;  // values of `quantized` → those of `program`
  std::vector<Sums> sums_;               // in step with layers_
};

}  // namespace cupel
