// Mean average precision as COCO defines it (pycocotools, iouType bbox, areas of all sizes, 100 detections of a class
// in a sample): detections [n, 6] of x1, y1, x2, y2, score, class against boxes [m, 5] of x1, y1, x2, y2, class. Rows
// of a class below 0 are padding. At each of the IoU thresholds 0.5, 0.55, … 0.95 a sample's detections of a class, the
// highest score first, take the box of the largest IoU that is left; precision, made falling from the right, is read at
// 101 recalls; the mean over them, the thresholds and the classes of which there is a box.
#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <map>

#include "assess/metric_table.h"

namespace cupel::metrics {
namespace {

constexpr size_t kThresholds = 10;
constexpr size_t kRecalls = 101;
constexpr size_t kMostDetections = 100;
// A part is one detection or the boxes of one class: class, score, thresholds at which it took a box (bits), boxes.
constexpr size_t kPart = 4;

std::string refuses(const OutputForm& output, const OutputForm& label) {
  if (output.dims.size() != 2 || output.dims[1] != 6 || !is_float(output.dtype))
    return "a sample is no [n, 6] of x1, y1, x2, y2, score and class";
  return label.dims.size() == 2 && label.dims[1] == 5 ? "" : "a label is no [m, 5] of x1, y1, x2, y2 and class";
}

double threshold(size_t t) { return 0.5 + 0.05 * static_cast<double>(t); }

double intersection_over_union(const double* a, const double* b) {
  const double width = std::min(a[2], b[2]) - std::max(a[0], b[0]);
  const double height = std::min(a[3], b[3]) - std::max(a[1], b[1]);
  if (width <= 0 || height <= 0) return 0;
  const double both = width * height;
  return both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both);
}

using Rows = std::map<double, std::vector<const double*>>;  // by class

Rows rows_of(const Item& item, size_t width, size_t class_column) {
  Rows rows;
  for (size_t at = 0; at + width <= item.numbers.size(); at += width) {
    const double* row = item.numbers.data() + at;
    if (row[class_column] >= 0) rows[row[class_column]].push_back(row);
  }
  return rows;
}

// Bits of the thresholds at which each detection takes a box.
std::vector<unsigned> matches(const std::vector<const double*>& detections, const std::vector<const double*>& boxes) {
  std::vector<unsigned> bits(detections.size());
  for (size_t t = 0; t < kThresholds; ++t) {
    std::vector<bool> taken(boxes.size());
    for (size_t d = 0; d < detections.size(); ++d) {
      double best = std::min(threshold(t), 1 - 1e-10);
      size_t found = boxes.size();
      for (size_t b = 0; b < boxes.size(); ++b) {
        if (taken[b]) continue;
        const double overlap = intersection_over_union(detections[d], boxes[b]);
        if (overlap >= best) best = overlap, found = b;
      }
      if (found == boxes.size()) continue;
      taken[found] = true;
      bits[d] |= 1u << t;
    }
  }
  return bits;
}

void measure(const OutputForm&, const Item& label, const Item& item, const MetricSettings&,
             std::vector<double>& parts) {
  if (!all_finite(item) || !all_finite(label)) return;
  const Rows boxes = rows_of(label, 5, 4);
  Rows detections = rows_of(item, 6, 5);
  for (const auto& [name, rows] : boxes) parts.insert(parts.end(), {name, 0, 0, static_cast<double>(rows.size())});
  for (auto& [name, rows] : detections) {
    std::ranges::stable_sort(rows, std::ranges::greater(), [](const double* row) { return row[4]; });
    if (rows.size() > kMostDetections) rows.resize(kMostDetections);
    const auto found = boxes.find(name);
    const std::vector<unsigned> bits =
        matches(rows, found == boxes.end() ? std::vector<const double*>() : found->second);
    for (size_t d = 0; d < rows.size(); ++d)
      parts.insert(parts.end(), {name, rows[d][4], static_cast<double>(bits[d]), 0});
  }
  if (parts.empty()) parts.insert(parts.end(), {-1, 0, 0, 0});  // neither boxes nor detections: a sample all the same
}

struct Detection {
  double score, weight;
  unsigned bits;
};

// Of detections with falling scores.
double average_precision(const std::vector<Detection>& detections, double boxes, size_t t) {
  std::vector<double> precision, recall;
  double right = 0, all = 0;
  for (const Detection& d : detections) {
    all += d.weight;
    if (d.bits >> t & 1u) right += d.weight;
    precision.push_back(right / all);
    recall.push_back(right / boxes);
  }
  for (size_t i = precision.size(); i-- > 1;) precision[i - 1] = std::max(precision[i - 1], precision[i]);
  double sum = 0;
  size_t at = 0;
  for (size_t r = 0; r < kRecalls; ++r) {
    const double wanted = static_cast<double>(r) * 0.01;
    while (at < recall.size() && recall[at] < wanted) ++at;
    if (at < recall.size()) sum += precision[at];
  }
  return sum / kRecalls;
}

double figure(const SampleParts& parts, std::span<const uint32_t> weights, const MetricSettings&) {
  struct Class {
    double boxes = 0;
    std::vector<Detection> detections = {};
  };
  std::map<double, Class> classes;
  for (int64_t i = 0; i < parts.samples(); ++i) {
    const double weight = weights[static_cast<size_t>(i)];
    if (weight == 0) continue;
    const auto row = parts[i];
    for (size_t k = 0; k + kPart <= row.size(); k += kPart) {
      Class& c = classes[row[k]];
      c.boxes += weight * row[k + 3];
      if (row[k + 3] == 0 && row[k] >= 0)
        c.detections.push_back({row[k + 1], weight, static_cast<unsigned>(row[k + 2])});
    }
  }
  double total = 0, counted = 0;
  for (auto& [name, c] : classes) {
    if (c.boxes == 0) continue;
    std::ranges::stable_sort(c.detections, std::ranges::greater(), &Detection::score);
    for (size_t t = 0; t < kThresholds; ++t) total += average_precision(c.detections, c.boxes, t) / kThresholds;
    counted += 1;
  }
  return counted > 0 ? total / counted : std::numeric_limits<double>::quiet_NaN();
}

}  // namespace

extern const MetricDef kMeanAveragePrecision{
    .name = "map",
    .title = "mAP",
    .unit = "%",
    .meaning = "average precision over IoU thresholds from 0.5 to 0.95, the mean over classes (COCO)",
    .judge = Judge::labels,
    .refuses = refuses,
    .measure = measure,
    .figure = figure};

}  // namespace cupel::metrics
