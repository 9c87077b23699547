#include "lower/op_lowerings.h"

#include <fmt/format.h>

#include <algorithm>

#include "ops/op_table.h"
#include "runtime/thread_pool.h"

namespace cupel {
namespace {

bool is_depthwise(const Graph& graph, const Node& node) {
  const Shape &x = graph.type(node.inputs[0]).shape, &w = graph.type(node.inputs[1]).shape;
  return w[1] == Dim(1) && attr_int(node.attributes, "group", 1) > 1 && x[1] == w[0];
}
bool is_grouped(const Graph&, const Node& node) { return attr_int(node.attributes, "group", 1) != 1; }
bool has_computed_operand(const Graph& graph, const Node& node) { return !graph.value(node.inputs[1]).constant; }
// Of a product: constant weights, with a constant bias for each column where there is one.
bool has_constant_matrix(const Graph& graph, const Node& node) {
  const auto& weights = graph.value(node.inputs[1]).constant;
  if (!weights || weights->rank() != 2 || attr_int(node.attributes, "transA", 0) != 0) return false;
  if (graph.value(node.inputs[0]).constant) return false;
  if (node.inputs.size() < 3 || !node.inputs[2].valid()) return true;
  const auto& bias = graph.value(node.inputs[2]).constant;
  const Dim& columns = graph.type(node.outputs[0]).shape.back();
  return bias && (bias->size() == 1 || (Dim(bias->size()) == columns && Dim(bias->dims().back()) == columns));
}
// Of a Gather: one number.
bool has_one_index(const Graph& graph, const Node& node) {
  return graph.type(node.inputs[1]).shape.empty() && graph.value(node.inputs[1]).contents;
}

// Of an elementwise op: operands of 64 bits, or a result of 16 that is only chosen.
bool has_wide_elements(const Graph& graph, const Node& node) {
  const DType last = graph.type(node.inputs.back()).dtype, result = graph.type(node.outputs[0]).dtype;
  return dtype_bits(last) == 64 || (dtype_bits(result) == 16 && is(node, ops::kWhere));
}

// Of operand 0: codes, or elements of one of these types, of which kernels have the expression.
template <DType... kTypes>
bool has_elements(const Graph& graph, const Node& node) {
  const TensorType& type = graph.type(node.inputs[0]);
  return type.quant || ((type.dtype == kTypes) || ...);
}

// A Cast that kernels compute: between real numbers, from integers of at most 32 bits to wider types, from and to bool.
bool always_converts(const Graph& graph, const Node& node) {
  const DType from = graph.type(node.inputs[0]).dtype, to = graph.type(node.outputs[0]).dtype;
  const auto is_real = [](DType t) { return t == DType::f32 || t == DType::f16; };
  const auto is_integer = [](DType t) { return t == DType::u8 || t == DType::s8 || t == DType::s32; };
  const auto is_known = [&](DType t) { return is_real(t) || is_integer(t) || t == DType::boolean; };
  if (!is_known(from) || !is_known(to)) return false;
  return from == to || to == DType::boolean || from == DType::boolean || (is_real(from) && is_real(to)) ||
         (is_integer(from) && (to == DType::f32 || to == DType::s32));
}
bool keeps_type(const Graph& graph, const Node& node) {
  return graph.type(node.inputs[0]).dtype == graph.type(node.outputs[0]).dtype;
}

constexpr std::string_view kFormless = "kernel_forms writes it in others, but where sizes are not known";
const std::vector<Way> kCall = {{.lower = lower_routine}};
const std::vector<Way> kMap = {{.lower = lower_map}};
const std::vector<Way> kMapOrWide = {{.lower = lower_wide, .applies = has_wide_elements}, {.lower = lower_map}};
// By kernels where these are the elements, else by the op's routine.
template <DType... kTypes>
std::vector<Way> map_of() {
  return {{.lower = lower_map, .applies = has_elements<kTypes...>}, {.lower = lower_routine}};
}
template <DType... kTypes>
std::vector<Way> map_or_wide_of() {
  return {{.lower = lower_map, .applies = has_elements<kTypes...>},
          {.lower = lower_wide, .applies = has_elements<DType::s64>},
          {.lower = lower_routine}};
}
const std::vector<Way> kArithmetic = map_or_wide_of<DType::f32, DType::s32>();
const std::vector<Way> kChoice = map_or_wide_of<DType::f32>();
const std::vector<Way> kNumbers = map_of<DType::f32>();
const std::vector<Way> kComparison = map_or_wide_of<DType::f32, DType::s32, DType::u8, DType::s8, DType::boolean>();
const std::vector<Way> kReduction = {{.lower = lower_reduce, .applies = has_elements<DType::f32, DType::u8, DType::s8>},
                                     {.lower = lower_routine}};

// In the order of op_table.def.
const std::vector<OpLowering>& rows() {
  static const std::vector<OpLowering> kRows = {
      {.op = &ops::kConv,
       .ways = {{.lower = lower_depthwise, .applies = is_depthwise},
                {.lower = lower_grouped_conv, .applies = is_grouped},
                {.lower = lower_conv}},
       .images = ImageRule::image},
      {.op = &ops::kGemm, .ways = {{.lower = lower_gemm, .applies = has_constant_matrix}, {.lower = lower_product}}},
      {.op = &ops::kMatMul,
       .ways = {{.lower = lower_matmul, .applies = has_constant_matrix}, {.lower = lower_product}},
       .images = ImageRule::none},
      {.op = &ops::kMatMulInteger, .ways = kCall},
      {.op = &ops::kConvInteger, .ways = kCall},

      {.op = &ops::kQuantizeLinear},
      {.op = &ops::kDequantizeLinear},
      {.op = &ops::kQuantize, .ways = kMap, .expression = express_quantize},
      {.op = &ops::kDequantize, .ways = kMap, .expression = express_dequantize},
      {.op = &ops::kRequantize, .ways = kMap, .expression = express_requantize},
      {.op = &ops::kAsCodes,
       .ways = {{.lower = lower_identity, .applies = keeps_type}, {.lower = lower_map}},
       .expression = express_as_codes},
      {.op = &ops::kSaturate, .ways = kMap, .expression = express_saturate},

      {.op = &ops::kAdd, .ways = kArithmetic, .expression = express_add, .wide = wide_add},
      {.op = &ops::kSub, .ways = kArithmetic, .expression = express_sub, .wide = wide_sub},
      {.op = &ops::kMul, .ways = kArithmetic, .expression = express_mul, .wide = wide_mul},
      {.op = &ops::kDiv, .ways = kNumbers, .expression = express_div},
      {.op = &ops::kPow, .ways = kMap, .expression = express_pow},
      {.op = &ops::kMod, .ways = kCall},
      {.op = &ops::kMax, .ways = kChoice, .expression = express_max, .wide = wide_max},
      {.op = &ops::kMin, .ways = kChoice, .expression = express_min, .wide = wide_min},
      {.op = &ops::kEqual, .ways = kComparison, .expression = express_equal, .wide = wide_equal},
      {.op = &ops::kGreater, .ways = kComparison, .expression = express_greater, .wide = wide_greater},
      {.op = &ops::kLess, .ways = kComparison, .expression = express_less, .wide = wide_less},
      {.op = &ops::kGreaterOrEqual,
       .ways = kComparison,
       .expression = express_greater_or_equal,
       .wide = wide_greater_or_equal},
      {.op = &ops::kLessOrEqual, .ways = kComparison, .expression = express_less_or_equal, .wide = wide_less_or_equal},
      {.op = &ops::kNot, .ways = kMap, .expression = express_not},
      {.op = &ops::kAnd, .ways = kMap, .expression = express_and},
      {.op = &ops::kOr, .ways = kMap, .expression = express_or},
      {.op = &ops::kXor, .ways = kMap, .expression = express_xor},
      {.op = &ops::kWhere, .ways = kMapOrWide, .expression = express_where, .wide = wide_where},
      {.op = &ops::kBitwiseAnd, .ways = kCall},
      {.op = &ops::kBitwiseOr, .ways = kCall},
      {.op = &ops::kBitwiseXor, .ways = kCall},
      {.op = &ops::kBitwiseNot, .ways = kCall},
      {.op = &ops::kBitShift, .ways = kCall},
      {.op = &ops::kPRelu, .ways = kMap, .expression = express_prelu},

#define CUPEL_UNARY(name, ...) {.op = &ops::k##name, .ways = kNumbers, .expression = express_unary},
#include "ops/unary_functions.def"
#undef CUPEL_UNARY
      {.op = &ops::kIsNaN, .ways = kMap, .expression = express_is_nan},
      {.op = &ops::kIsInf, .ways = kMap, .expression = express_is_inf},
      {.op = &ops::kClip, .ways = kNumbers, .expression = express_clip},
      {.op = &ops::kGelu, .ways = kMap, .expression = express_unary},

      {.op = &ops::kMaxPool, .ways = {{.lower = lower_pool}}, .images = ImageRule::image},
      {.op = &ops::kAveragePool, .ways = {{.lower = lower_pool}}, .images = ImageRule::image},
      {.op = &ops::kGlobalAveragePool, .ways = {{.lower = lower_reduce}}, .images = ImageRule::image},
      {.op = &ops::kGlobalMaxPool, .ways = {{.lower = lower_reduce}}, .images = ImageRule::image},
      {.op = &ops::kReduceMean, .ways = kReduction},
      {.op = &ops::kReduceSum, .ways = kReduction},
      {.op = &ops::kReduceMax, .ways = kReduction},
      {.op = &ops::kReduceMin, .ways = kReduction},
      {.op = &ops::kReduceProd, .ways = kCall},
      {.op = &ops::kArgMax,
       .ways = {{.lower = lower_arg_max, .applies = is_searched_by_kernels}, {.lower = lower_routine}}},
      {.op = &ops::kArgMin,
       .ways = {{.lower = lower_arg_max, .applies = is_searched_by_kernels}, {.lower = lower_routine}}},
      {.op = &ops::kSoftmax, .ways = {{.lower = lower_softmax}}, .images = ImageRule::none},
      {.op = &ops::kLogSoftmax, .ways = {{.lower = lower_softmax}}, .images = ImageRule::none},
      {.op = &ops::kLayerNormalization, .ways = {{.lower = lower_layer_normalization}}, .images = ImageRule::none},
      {.op = &ops::kRMSNormalization, .ways = {{.lower = lower_rms_normalization}}, .images = ImageRule::none},
      {.op = &ops::kInstanceNormalization, .gap = kFormless},
      {.op = &ops::kLRN, .gap = kFormless},
      {.op = &ops::kBatchNormalization, .ways = kMap, .expression = express_batch_normalization},

      {.op = &ops::kRNN, .ways = kCall},
      {.op = &ops::kGRU, .ways = kCall},
      {.op = &ops::kDynamicQuantizeLSTM, .ways = kCall},
      {.op = &ops::kLSTM, .ways = kCall},

      {.op = &ops::kReshape, .ways = {{.lower = lower_reshape}}, .images = ImageRule::none},
      {.op = &ops::kFlatten, .ways = {{.lower = lower_reshape}}, .images = ImageRule::none},
      {.op = &ops::kSqueeze, .ways = {{.lower = lower_reshape}}, .images = ImageRule::none},
      {.op = &ops::kUnsqueeze, .ways = {{.lower = lower_reshape}}, .images = ImageRule::none},
      {.op = &ops::kTranspose, .ways = {{.lower = lower_transpose}}, .images = ImageRule::none},
      {.op = &ops::kSlice, .ways = {{.lower = lower_slice}}},
      {.op = &ops::kSplit, .ways = {{.lower = lower_split}}},
      {.op = &ops::kConcat, .ways = {{.lower = lower_concat}}},
      {.op = &ops::kGather,
       .ways = {{.lower = lower_gather_call, .applies = has_computed_operand},
                {.lower = lower_element, .applies = has_one_index},
                {.lower = lower_gather}}},
      {.op = &ops::kPad, .ways = {{.lower = lower_pad}}},
      {.op = &ops::kExpand, .ways = {{.lower = lower_repeat}}},
      {.op = &ops::kTile, .gap = kFormless},
      {.op = &ops::kExpandBatch, .ways = {{.lower = lower_repeat}}},
      {.op = &ops::kGatherElements, .ways = kCall},
      {.op = &ops::kGatherND, .ways = kCall},
      {.op = &ops::kScatterElements, .ways = kCall},
      {.op = &ops::kScatterND, .ways = kCall},
      {.op = &ops::kTopK, .ways = kCall},
      {.op = &ops::kGridSample, .ways = kCall},
      {.op = &ops::kRoiAlign, .ways = kCall},
      {.op = &ops::kCumSum, .ways = kCall},
      {.op = &ops::kCumProd, .ways = kCall},
      {.op = &ops::kResize, .ways = kCall, .images = ImageRule::none},
      {.op = &ops::kResizeNearest, .ways = {{.lower = lower_enlarge, .applies = repeats_elements}, kCall[0]}},

      {.op = &ops::kIdentity, .ways = {{.lower = lower_identity}}, .expression = express_identity},
      {.op = &ops::kDropout},
      {.op = &ops::kCast,
       .ways = {{.lower = lower_map, .applies = always_converts}, {.lower = lower_routine}},
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

namespace {

// Results without elements lie anywhere.
Status place_nothing(Lowering& l, const Node& node) {
  for (ValueId v : node.outputs) {
    const Dims dims = CUPEL_TRY(l.facts.item_dims(v));
    const DType type = stored_type(l.graph.type(v).dtype);
    Placed place{.layout = {.dtype = type, .dims = dims, .strides = dense_strides(dims, element_bytes(type))}};
    place.layout.buffer = l.steps.add_buffer(l.graph.value(v).name, BufferPlace::arena, 64);
    l.places.set(v, std::move(place));
  }
  return {};
}

// The results of a node whose operands are constants or have no elements are known: constants too.
Status place_known(Lowering& l, const Node& node) {
  std::vector<Tensor> nothing;
  nothing.reserve(node.inputs.size());
  std::vector<const Tensor*> inputs;
  std::vector<TensorType> types(node.inputs.size()), result_types;
  std::vector<const TensorType*> input_types;
  for (size_t i = 0; i < node.inputs.size(); ++i) {
    const ValueId v = node.inputs[i];
    inputs.push_back(nullptr);
    input_types.push_back(nullptr);
    if (!v.valid()) continue;
    types[i] = l.graph.type(v);
    types[i].shape = to_shape(CUPEL_TRY(l.facts.item_dims(v)));
    input_types[i] = &types[i];
    const auto& constant = l.graph.value(v).constant;
    if (!constant) nothing.emplace_back(types[i].dtype, static_dims(types[i].shape));
    inputs[i] = constant ? &*constant : &nothing.back();
  }
  std::vector<Tensor> results;
  for (ValueId v : node.outputs) {
    result_types.push_back(l.graph.type(v));
    result_types.back().shape = to_shape(CUPEL_TRY(l.facts.item_dims(v)));
    results.emplace_back(result_types.back().dtype, static_dims(result_types.back().shape));
  }
  ThreadPool one(1);
  CUPEL_TRY(node.op->reference({node, node.attributes, inputs, input_types, result_types, results, one}));
  for (size_t i = 0; i < node.outputs.size(); ++i) l.places.set_constant(node.outputs[i], results[i]);
  return {};
}

}  // namespace

Status lower_node(Lowering& l, NodeId id) {
  const Node& node = l.graph.node(id);
  l.facts.taken[static_cast<size_t>(id.index)] = true;
  if (std::all_of(node.outputs.begin(), node.outputs.end(), [&](ValueId v) { return l.facts.is_empty(v); }))
    return place_nothing(l, node);
  if (node.op->reference && std::all_of(node.inputs.begin(), node.inputs.end(), [&](ValueId v) {
        return !v.valid() || l.graph.value(v).constant || l.facts.is_empty(v);
      }))
    return place_known(l, node);
  const auto& ways = lowering_of(*node.op).ways;
  const auto way =
      std::find_if(ways.begin(), ways.end(), [&](const Way& w) { return !w.applies || w.applies(l.graph, node); });
  if (way == ways.end()) return no_compiled_form(fmt::format("{} has no compiled form yet", node.op->name));
  return way->lower(l, id);
}

}  // namespace cupel
