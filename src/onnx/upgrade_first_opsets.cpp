// Operators as opsets 1 to 6 have them: operands that broadcast by an attribute, names of types, shapes as attributes.
#include <fmt/format.h>

#include <algorithm>

#include "base/file.h"
#include "onnx/spelling.h"
#include "onnx/upgrade.h"
#include "ops/onnx_dtype.h"

namespace cupel {
namespace {

const char* const kExportAgain = "export the model again";

Result<int64_t> taken_int(NodeDraft& node, std::string_view name, int64_t fallback) {
  const auto found = node.attributes.find(name);
  if (found == node.attributes.end()) return fallback;
  const auto* value = std::get_if<int64_t>(&found->second);
  if (!value) return bad_input("", fmt::format("attribute {} is not an integer", name), kExportAgain);
  const int64_t result = *value;
  node.attributes.erase(found);
  return result;
}

// Dimensions of extent 1 behind those of operand 1, so that its last one lies at dimension `last` of operand 0.
Status align(Importer& importer, NodeDraft& node, int64_t behind) {
  if (behind <= 0) return {};
  const auto rank = static_cast<int64_t>(CUPEL_TRY(importer.shape_of(node.inputs[1])).size());
  std::vector<int64_t> axes;
  for (int64_t d = rank; d < rank + behind; ++d) axes.push_back(d);
  const std::string list =
      importer.add_constant(node.name + "_axes", Tensor::of<int64_t>({behind}, std::span<const int64_t>(axes)));
  node.inputs[1] = CUPEL_TRY(importer.add_part("Unsqueeze", node, "aligned", {node.inputs[1], list}));
  return {};
}

// Operand 1 lies along dimensions of operand 0 from `axis` on, or along the last ones.
Status align_broadcast(Importer& importer, NodeDraft& node) {
  const int64_t broadcast = CUPEL_TRY(taken_int(node, "broadcast", 0));
  const bool given = node.attributes.contains("axis");
  int64_t axis = CUPEL_TRY(taken_int(node, "axis", 0));
  if (node.inputs.size() != 2 || broadcast == 0 || !given) return {};
  const auto rank = static_cast<int64_t>(CUPEL_TRY(importer.shape_of(node.inputs[0])).size());
  const auto own = static_cast<int64_t>(CUPEL_TRY(importer.shape_of(node.inputs[1])).size());
  axis = CUPEL_TRY(normalize_axis(axis, rank));
  if (axis + own > rank)
    return bad_input("", fmt::format("operand 1 of rank {} does not fit behind axis {} of rank {}", own, axis, rank),
                     kExportAgain);
  return align(importer, node, rank - axis - own);
}

// One slope, or one for each channel.
Status align_slope(Importer& importer, NodeDraft& node) {
  if (node.inputs.size() != 2) return {};
  const auto rank = static_cast<int64_t>(CUPEL_TRY(importer.shape_of(node.inputs[0])).size());
  const Shape slope = CUPEL_TRY(importer.shape_of(node.inputs[1]));
  return slope.size() == 1 && slope[0] != Dim(1) ? align(importer, node, rank - 2) : Status{};
}

// The element type by its name.
Status name_type(Importer&, NodeDraft& node) {
  const auto found = node.attributes.find("to");
  const auto* name = found == node.attributes.end() ? nullptr : std::get_if<std::string>(&found->second);
  if (!name) return {};
  constexpr std::pair<std::string_view, DType> kNames[] = {
      {"FLOAT", DType::f32},   {"UINT8", DType::u8},   {"INT8", DType::s8},    {"UINT16", DType::u16},
      {"INT16", DType::s16},   {"INT32", DType::s32},  {"INT64", DType::s64},  {"BOOL", DType::boolean},
      {"FLOAT16", DType::f16}, {"DOUBLE", DType::f64}, {"UINT32", DType::u32}, {"UINT64", DType::u64}};
  const auto* type = std::ranges::find(kNames, std::string_view(*name), &std::pair<std::string_view, DType>::first);
  if (type == std::end(kNames))
    return unsupported("", fmt::format("a cast to \"{}\"", printable(*name)), "convert to another type");
  found->second = onnx_dtype(type->second);
  return {};
}

Status move_shape(Importer& importer, NodeDraft& node) {
  const auto found = node.attributes.find("shape");
  if (found == node.attributes.end()) return {};
  const auto* shape = std::get_if<std::vector<int64_t>>(&found->second);
  if (!shape || node.inputs.size() != 1)
    return bad_input("", "attribute shape is no list of integers, or is given as operand 1 too", kExportAgain);
  node.inputs.push_back(importer.add_constant(
      node.name + "_shape",
      Tensor::of<int64_t>({static_cast<int64_t>(shape->size())}, std::span<const int64_t>(*shape))));
  node.attributes.erase(found);
  return {};
}

Status rename_pads(Importer&, NodeDraft& node) {
  if (auto found = node.attributes.extract("paddings"); !found.empty()) {
    found.key() = "pads";
    node.attributes.insert(std::move(found));
  }
  return {};
}

Status default_axis_1(Importer&, NodeDraft& node) {
  node.attributes.emplace("axis", int64_t{1});
  return {};
}

Status drop_broadcast(Importer&, NodeDraft& node) {
  CUPEL_TRY(taken_int(node, "broadcast", 0));
  return {};
}

// Operands: what is repeated, how often, along which axis.
Status repeat_axis(Importer& importer, NodeDraft& node) {
  if (node.inputs.size() != 3) return {};
  const Tensor *times = importer.constant(node.inputs[1]), *axis = importer.constant(node.inputs[2]);
  if (!times || !axis || times->size() != 1 || axis->size() != 1)
    return computed_at_run_time("repeats or axis are computed at run time", "export the model with a newer opset");
  const auto rank = static_cast<int64_t>(CUPEL_TRY(importer.shape_of(node.inputs[0])).size());
  std::vector<int64_t> repeats(static_cast<size_t>(rank), 1);
  repeats[static_cast<size_t>(CUPEL_TRY(normalize_axis(static_cast<int64_t>(axis->at(0)), rank)))] =
      static_cast<int64_t>(times->at(0));
  node.inputs = {node.inputs[0], importer.add_constant(node.name + "_repeats",
                                                       Tensor::of<int64_t>({rank}, std::span<const int64_t>(repeats)))};
  return {};
}

// Which form an inference has.
Status expect_inference(Importer&, NodeDraft& node) {
  const int64_t test = CUPEL_TRY(taken_int(node, "is_test", 0));
  const bool alone = std::ranges::all_of(node.outputs.begin() + std::min<std::ptrdiff_t>(1, std::ssize(node.outputs)),
                                         node.outputs.end(), [](const std::string& name) { return name.empty(); });
  if (test != 0 || (node.op == "Dropout" && alone)) return {};
  return unsupported("", "is_test is not 1", "export the model for inference");
}

Status first_selu(Importer&, NodeDraft& node) {
  node.attributes.emplace("alpha", 1.6732f);
  node.attributes.emplace("gamma", 1.0507f);
  return {};
}

// A norm that is a real number.
Status round_norm(Importer&, NodeDraft& node) {
  const auto found = node.attributes.find("p");
  if (found == node.attributes.end()) return {};
  if (const auto* p = std::get_if<float>(&found->second)) {
    if (*p != static_cast<float>(static_cast<int64_t>(*p)))
      return unsupported("", fmt::format("p is {}", *p), "use a whole number");
    found->second = static_cast<int64_t>(*p);
  }
  return {};
}

struct Row {
  std::string_view op;
  int below_opset;
  Status (*run)(Importer&, NodeDraft&);
};

constexpr Row kRows[] = {
    {"Add", 7, align_broadcast},      {"And", 7, align_broadcast},     {"BatchNormalization", 7, expect_inference},
    {"Cast", 6, name_type},           {"Concat", 4, default_axis_1},   {"Div", 7, align_broadcast},
    {"Dropout", 7, expect_inference}, {"Equal", 7, align_broadcast},   {"Gemm", 7, drop_broadcast},
    {"GlobalLpPool", 2, round_norm},  {"Greater", 7, align_broadcast}, {"Less", 7, align_broadcast},
    {"LpPool", 2, round_norm},        {"Mul", 7, align_broadcast},     {"Or", 7, align_broadcast},
    {"PRelu", 7, align_slope},        {"Pad", 2, rename_pads},         {"Pow", 7, align_broadcast},
    {"Reshape", 5, move_shape},       {"Selu", 6, first_selu},         {"Sub", 7, align_broadcast},
    {"Tile", 6, repeat_axis},         {"Xor", 7, align_broadcast},
};

}  // namespace

Status upgrade_first_opsets(Importer& importer, NodeDraft& node) {
  if (importer.opset() < 6) node.attributes.erase("consumed_inputs");  // which may be overwritten
  for (const Row& row : kRows)
    if (row.op == node.op && importer.opset() < row.below_opset) CUPEL_TRY(row.run(importer, node));
  return {};
}

}  // namespace cupel
