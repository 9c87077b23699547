#include "lower/op_lowerings.h"

#include <fmt/format.h>

#include <algorithm>

#include "ops/op_table.h"

namespace cupel {
namespace {

bool is_depthwise(const Graph& graph, const Node& node) {
  const Shape &x = graph.type(node.inputs[0]).shape, &w = graph.type(node.inputs[1]).shape;
  return w[1] == Dim(1) && attr_int(node.attributes, "group", 1) > 1 && x[1] == w[0];
}
bool is_grouped(const Graph&, const Node& node) { return attr_int(node.attributes, "group", 1) != 1; }
bool has_computed_operand(const Graph& graph, const Node& node) { return !graph.value(node.inputs[1]).constant; }
// Of a Gather: one number.
bool has_one_index(const Graph& graph, const Node& node) {
  return graph.type(node.inputs[1]).shape.empty() && graph.value(node.inputs[1]).contents;
}

// A Cast between binary16 and binary32, which reading and writing does.
bool converts_reals(const Graph& graph, const Node& node) {
  const auto is_real = [&](ValueId v) {
    return graph.type(v).dtype == DType::f32 || graph.type(v).dtype == DType::f16;
  };
  return is_real(node.inputs[0]) && is_real(node.outputs[0]);
}
bool keeps_type(const Graph& graph, const Node& node) {
  return graph.type(node.inputs[0]).dtype == graph.type(node.outputs[0]).dtype;
}

constexpr std::string_view kNotYet = "no kernel computes it";
const std::vector<Way> kCall = {{.lower = lower_routine, .several_rows = true}};
const std::vector<Way> kMap = {{.lower = lower_map, .several_rows = true}};

// In the order of op_table.def.
const std::vector<OpLowering>& rows() {
  static const std::vector<OpLowering> kRows = {
      {.op = &ops::kConv,
       .ways = {{.lower = lower_depthwise, .applies = is_depthwise},
                {.lower = lower_grouped_conv, .applies = is_grouped},
                {.lower = lower_conv}},
       .images = ImageRule::image},
      {.op = &ops::kGemm, .ways = {{.lower = lower_gemm, .several_rows = true}}},
      {.op = &ops::kMatMul,
       .ways = {{.lower = lower_dynamic_matmul, .applies = has_computed_operand, .several_rows = true},
                {.lower = lower_matmul, .several_rows = true}},
       .images = ImageRule::none},

      {.op = &ops::kQuantizeLinear},
      {.op = &ops::kDequantizeLinear},
      {.op = &ops::kQuantize, .ways = kMap, .expression = express_quantize},
      {.op = &ops::kDequantize, .ways = kMap, .expression = express_dequantize},
      {.op = &ops::kRequantize, .ways = kMap, .expression = express_requantize},
      {.op = &ops::kAsCodes,
       .ways = {{.lower = lower_identity, .applies = keeps_type, .several_rows = true},
                {.lower = lower_map, .several_rows = true}},
       .expression = express_as_codes},

      {.op = &ops::kAdd, .ways = kMap, .expression = express_add},
      {.op = &ops::kSub, .ways = kMap, .expression = express_sub},
      {.op = &ops::kMul, .ways = kMap, .expression = express_mul},
      {.op = &ops::kDiv, .ways = kMap, .expression = express_div},
      {.op = &ops::kPow, .gap = kNotYet},
      {.op = &ops::kMod, .gap = kNotYet},
      {.op = &ops::kMax, .ways = kMap, .expression = express_max},
      {.op = &ops::kMin, .ways = kMap, .expression = express_min},
      {.op = &ops::kEqual, .ways = kMap, .expression = express_equal},
      {.op = &ops::kGreater, .ways = kMap, .expression = express_greater},
      {.op = &ops::kLess, .ways = kMap, .expression = express_less},
      {.op = &ops::kNot, .ways = kMap, .expression = express_not},
      {.op = &ops::kAnd, .ways = kMap, .expression = express_and},
      {.op = &ops::kOr, .ways = kMap, .expression = express_or},
      {.op = &ops::kWhere, .ways = kMap, .expression = express_where},

#define CUPEL_UNARY(name, ...) {.op = &ops::k##name, .ways = kMap, .expression = express_unary},
#include "ops/unary_functions.def"
#undef CUPEL_UNARY
      {.op = &ops::kClip, .ways = kMap, .expression = express_clip},
      {.op = &ops::kGelu, .ways = kMap, .expression = express_unary},

      {.op = &ops::kMaxPool, .ways = {{.lower = lower_pool}}, .images = ImageRule::image},
      {.op = &ops::kAveragePool, .ways = {{.lower = lower_pool}}, .images = ImageRule::image},
      {.op = &ops::kGlobalAveragePool, .ways = {{.lower = lower_reduce}}, .images = ImageRule::image},
      {.op = &ops::kGlobalMaxPool, .ways = {{.lower = lower_reduce}}, .images = ImageRule::image},
      {.op = &ops::kReduceMean, .ways = {{.lower = lower_reduce}}},
      {.op = &ops::kReduceSum, .ways = {{.lower = lower_reduce}}},
      {.op = &ops::kReduceMax, .ways = {{.lower = lower_reduce}}},
      {.op = &ops::kReduceMin, .ways = {{.lower = lower_reduce}}},
      {.op = &ops::kArgMax, .ways = {{.lower = lower_arg_max}}},
      {.op = &ops::kSoftmax, .ways = {{.lower = lower_softmax, .several_rows = true}}, .images = ImageRule::none},
      {.op = &ops::kLogSoftmax, .ways = {{.lower = lower_softmax, .several_rows = true}}, .images = ImageRule::none},
      {.op = &ops::kLayerNormalization,
       .ways = {{.lower = lower_layer_normalization, .several_rows = true}},
       .images = ImageRule::none},
      {.op = &ops::kBatchNormalization, .ways = kMap, .expression = express_batch_normalization},

      {.op = &ops::kReshape, .ways = {{.lower = lower_reshape, .several_rows = true}}, .images = ImageRule::none},
      {.op = &ops::kFlatten, .ways = {{.lower = lower_reshape, .several_rows = true}}, .images = ImageRule::none},
      {.op = &ops::kSqueeze, .ways = {{.lower = lower_reshape, .several_rows = true}}, .images = ImageRule::none},
      {.op = &ops::kUnsqueeze, .ways = {{.lower = lower_reshape, .several_rows = true}}, .images = ImageRule::none},
      {.op = &ops::kTranspose, .ways = {{.lower = lower_transpose}}, .images = ImageRule::none},
      {.op = &ops::kSlice, .ways = {{.lower = lower_slice}}},
      {.op = &ops::kSplit, .ways = {{.lower = lower_split}}},
      {.op = &ops::kConcat, .ways = {{.lower = lower_concat}}},
      {.op = &ops::kGather,
       .ways = {{.lower = lower_gather_call, .applies = has_computed_operand, .several_rows = true},
                {.lower = lower_element, .applies = has_one_index},
                {.lower = lower_gather}}},
      {.op = &ops::kPad, .ways = {{.lower = lower_pad}}},
      {.op = &ops::kExpand, .ways = {{.lower = lower_repeat}}},
      {.op = &ops::kTile, .gap = kNotYet},
      {.op = &ops::kExpandBatch, .ways = {{.lower = lower_repeat}}},
      {.op = &ops::kResize, .ways = kCall, .images = ImageRule::none},
      {.op = &ops::kResizeNearest, .ways = {{.lower = lower_enlarge, .applies = repeats_elements}, kCall[0]}},

      {.op = &ops::kIdentity,
       .ways = {{.lower = lower_identity, .several_rows = true}},
       .expression = express_identity},
      {.op = &ops::kDropout},
      {.op = &ops::kCast,
       .ways = {{.lower = lower_map, .applies = converts_reals, .several_rows = true}},
       .expression = express_cast},
      {.op = &ops::kConstant},
      {.op = &ops::kConstantOfShape},
      {.op = &ops::kRange},
      {.op = &ops::kShape},
      {.op = &ops::kSize},
  };
  return kRows;
}

}  // namespace

std::span<const OpLowering> all_lowerings() { return rows(); }

const OpLowering& lowering_of(const OpDef& op) {
  return *std::find_if(rows().begin(), rows().end(), [&](const OpLowering& row) { return row.op == &op; });
}

std::unexpected<Error> no_compiled_form(std::string cause) { return not_compiled("", std::move(cause)); }

Status lower_node(Lowering& l, NodeId id) {
  const Node& node = l.graph.node(id);
  l.facts.taken[static_cast<size_t>(id.index)] = true;
  const auto& ways = lowering_of(*node.op).ways;
  const auto way =
      std::find_if(ways.begin(), ways.end(), [&](const Way& w) { return !w.applies || w.applies(l.graph, node); });
  if (way == ways.end()) return no_compiled_form(fmt::format("{} has no compiled form yet", node.op->name));
  const auto rows_of = [&](ValueId v) { return v.valid() && l.facts.has_rows(v); };
  if (!way->several_rows && (std::any_of(node.inputs.begin(), node.inputs.end(), rows_of) ||
                             std::any_of(node.outputs.begin(), node.outputs.end(), rows_of)))
    return no_compiled_form("on several rows of each batch item it has no compiled form yet");
  return way->lower(l, id);
}

}  // namespace cupel
