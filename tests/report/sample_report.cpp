#include "sample_report.h"

#include <cmath>
#include <limits>

namespace cupel {
namespace {

// Model answers whose flips are known: `right` and `wrong` stay, the others flip as named.
Tensor scores(const std::vector<int>& classes) {
  Tensor t(DType::f32, {static_cast<int64_t>(classes.size()), 10});
  for (size_t i = 0; i < classes.size(); ++i) t.mutable_data<float>()[i * 10 + static_cast<size_t>(classes[i])] = 1;
  return t;
}

}  // namespace

Report sample_report() {
  Report r;
  r.title = "fashion_resnet";
  std::vector<int> base, candidate;
  const auto push = [&](int count, int before, int after) {
    base.insert(base.end(), static_cast<size_t>(count), before);
    candidate.insert(candidate.end(), static_cast<size_t>(count), after);
  };
  push(9293, 0, 0);
  push(607, 1, 1);
  push(40, 0, 2);
  push(27, 3, 0);
  push(33, 1, 2);
  Predictions fp32("FP32"), int8("INT8");
  const std::vector<int64_t> labels(base.size(), 0);
  fp32.add(scores(base), labels).value();
  int8.add(scores(candidate), labels).value();
  AccuracyMetric metric;
  metric.models = {assess_accuracy(fp32, 1).value(), assess_accuracy(int8, 1).value()};
  metric.comparisons = {compare(fp32, int8, {.max_drop_points = 1.0}).value()};
  r.accuracy = {metric};

  ModelRow a;
  a.role = ModelRole::base;
  a.name = "FP32";
  a.path = "models/fashion_resnet.onnx";
  a.sha256 = "9f2c4e0b7d5a1c3e8f6b2d4a0c9e7f5b3d1a8c6e4f2b0d9a7c5e3f1b8d6a4c2e";
  a.file_bytes = 1'130'496;
  a.weight_bytes = 1'118'248;
  a.parameters = 279'562;
  a.macs = 20'431'872;
  a.bit_operations = 20'922'236'928;
  a.precisions = {{"FP32", 22, 20'431'872}};
  ModelRow b = a;
  b.role = ModelRole::candidate;
  b.name = "INT8";
  b.path = "assay/fashion_resnet.int8.onnx";
  b.sha256 = "1b8d6a4c2e9f2c4e0b7d5a1c3e8f6b2d4a0c9e7f5b3d1a8c6e4f2b0d9a7c5e3f";
  b.file_bytes = 309'112;
  b.weight_bytes = 284'906;
  b.bit_operations = 1'307'639'808;
  b.precisions = {{"INT8", 20, 20'431'872}, {"FP32", 2, 0}};
  r.models = {a, b};

  r.layers_samples = 256;
  for (int i = 0; i < 22; ++i) {
    LayerRow layer;
    const bool conv = i % 3 != 2;
    layer.name = i == 0 ? "/stem/conv/Conv"
                        : "/layer" + std::to_string(i / 6 + 1) + "/block" + std::to_string(i / 3) + "/" +
                              (conv ? "conv" + std::to_string(i % 3 + 1) + "/Conv" : std::string("Add"));
    layer.op = conv ? "Conv" : "Add";
    layer.precision = "INT8";
    layer.error = LayerErrorRow{.elements = 256 * 784,
                                .sqnr_db = 41.2 - 0.9 * i + 3 * std::sin(i * 1.7),
                                .cosine = 1 - 0.00004 * (i + 1),
                                .max_abs_error = 0.02 * (i + 1)};
    layer.kernel = std::to_string(i) + (conv ? "_contract_u8_s8_u8_m28n16" : "_map_u8_u8");
    layer.macs = conv ? 1'274'112 : 0;
    layer.weight_bytes = conv ? 2'304 + 1'536 * i : 0;
    if (i == 0) layer.error->sqnr_db = std::numeric_limits<double>::infinity();
    if (i == 20) {
      layer.op = "Softmax";
      layer.name = "/head/Softmax";
      layer.precision = "FP32";
      layer.reason = "Softmax has no integer form; it runs in FP32 between Dequantize and Quantize";
      layer.macs = 0;
      layer.weight_bytes = 0;
    }
    if (i == 21) {
      layer.error.reset();
      layer.kernel.clear();
      layer.op = "Reshape";
      layer.name = "/head/Reshape";
      layer.macs = layer.weight_bytes = 0;
      layer.reason = "a view: its output is its input's";
    }
    if (layer.precision == "INT8" && layer.error) {
      layer.budget = ErrorBudget{.elements = 32 * 784, .signal = 1.25, .total = 0.001 * (i + 1)};
      for (size_t part = 0; part < kBudgetParts; ++part)
        layer.budget->parts[part] = layer.budget->total * 0.03 * static_cast<double>(part + 1);
      layer.sensitivity = LayerSensitivity{{46.5 - i, -0.0012, Flips{3, 1, 2, 6}, {}},
                                           {31.25 + 0.125 * i, 0.0004, Flips{2, 3, 1, 6}, {}}};
    }
    r.layers.push_back(layer);
  }
  r.budget_samples = 32;
  r.sensitivity = Sensitivity{"search", 1000, 20, {30.75, -0.0007, Flips{4, 2, 1, 7}, {}}};

  Provenance& p = r.provenance;
  p.date = "2026-02-03T14:05:06Z";
  p.command = {"cupel", "assay", "models/fashion_resnet.onnx", "--data", "models/fashion mnist.toml", "-o", "assay"};
  p.versions = {{"cupel", "0.1.0"}, {"compiler", "GCC 12.2.0"}};
  p.machine = {{"processor", "x86-64, 2 cores, AVX2"}, {"memory", "8 GB"}, {"system", "Debian 12, Linux 6.1"}};
  p.quantization = {{"scheme", "INT8: weights symmetric per channel, activations u8 asymmetric per tensor"},
                    {"calibration", "min-max over the calibrate split"}};
  p.seeds = {{"search split", 1}};
  p.dataset = DatasetFacts{
      .name = "Fashion-MNIST",
      .path = "models/fashion mnist.toml",
      .sha256 = "4a0c9e7f5b3d1a8c6e4f2b0d9a7c5e3f1b8d6a4c2e9f2c4e0b7d5a1c3e8f6b2d",
      .classes = 10,
      .preprocessing = {"to-float", "scale 0.00392156862745098", "normalize mean=[0.2860] std=[0.3530]"},
      .layout = "NCHW",
      .splits = {
          {"calibrate", "train", 500, 500, 1, "c9e7f5b3d1a8c6e4f2b0d9a7c5e3f1b8d6a4c2e9f2c4e0b7d5a1c3e8f6b2d4a0"},
          {"report", "test", 10'000, 10'000, 0, "e4f2b0d9a7c5e3f1b8d6a4c2e9f2c4e0b7d5a1c3e8f6b2d4a0c9e7f5b3d1a8c6"}}};
  return r;
}

}  // namespace cupel
