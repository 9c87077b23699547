#include "assess/output_comparison.h"

#include <fmt/format.h>

#include "base/file.h"

namespace cupel {
OutputJudge::OutputJudge(std::string name, const Item& first, size_t candidates, bool by_batch)
    : name_(std::move(name)), form_(form_of(first)), by_batch_(by_batch), non_finite_(candidates + 1) {
  for (const MetricDef* metric : all_metrics())
    if (metric->judge == Judge::base && metric->refuses(form_, {}).empty())
      rows_.push_back({metric, std::vector<SampleParts>(candidates)});
}

Status OutputJudge::add(const Item& base, std::span<const Item> candidates) {
  for (const Item& item : candidates)
    if (item.tensor.dtype() != base.tensor.dtype() || item.tensor.dims() != base.tensor.dims() ||
        base.tensor.dims() != form_.dims)
      return bad_input(
          "output " + printable(name_),
          fmt::format("found {}{} for a sample, expected {}{} as of the base", dtype_name(item.tensor.dtype()),
                      to_text(item.tensor.dims()), dtype_name(base.tensor.dtype()), to_text(form_.dims)),
          "compare models whose outputs have the same types and shapes");
  ++samples_;
  non_finite_[0] += !all_finite(base);
  std::vector<double> parts;
  for (size_t c = 0; c < candidates.size(); ++c) {
    non_finite_[c + 1] += !all_finite(candidates[c]);
    for (Row& row : rows_) {
      parts.clear();
      row.metric->measure(form_, base, candidates[c], {}, parts);
      row.candidates[c].add(parts);
    }
  }
  return {};
}

OutputComparison OutputJudge::finish(const BootstrapOptions& options) const {
  OutputComparison result{name_, form_, samples_, by_batch_, non_finite_, {}, options.confidence};
  for (const Row& row : rows_)
    result.metrics.push_back({row.metric, summarize(*row.metric, row.candidates, {}, options)});
  return result;
}

}  // namespace cupel
