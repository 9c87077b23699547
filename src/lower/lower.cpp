#include "lower/lower.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <limits>

#include "base/file.h"
#include "kernel/memory_plan.h"
#include "lower/chain_steps.h"
#include "lower/kernel_forms.h"
#include "lower/lowering.h"
#include "lower/schedule.h"

namespace cupel {

bool is_elementwise(const Node& node) {
  switch (node.op->quant_rule) {
    case QuantRule::add:
    case QuantRule::mul:
    case QuantRule::unary: return true;
    default: break;
  }
  constexpr std::string_view kNames[] = {
      "Sub",   "Div",   "Max",     "Min",   "Quantize", "Dequantize", "Requantize",
      "Sqrt",  "Neg",   "Abs",     "Floor", "Ceil",     "Reciprocal", "BatchNormalization",
      "Where", "Equal", "Greater", "Less",  "Not",      "And",        "Or"};
  return std::find(std::begin(kNames), std::end(kNames), node.op->name) != std::end(kNames);
}

Lowering::Lowering(const Graph& graph, const Graph& source, std::string model, const LowerTarget& target,
                   LowerOptions options, Batch batch)
    : graph_(graph),
      source_(source),
      target_(target),
      options_(options),
      batch_(std::move(batch)),
      users_(graph.users()),
      images_(image_values(graph, batch_)),
      taken_(graph.nodes().size(), false) {
  lowered_.program.model = std::move(model);
}

Result<Lowered> Lowering::run() {
  for (const Value& v : graph_.values())
    for (const Dim& d : v.type.shape)
      if (d == Dim(0) && !v.constant)
        return not_compiled("value " + printable(v.name),
                            fmt::format("an empty tensor {} has no compiled form", to_text(v.type.shape)));
  CUPEL_TRY(place_inputs());
  for (size_t n = 0; n < graph_.nodes().size(); ++n) {
    const NodeId id{static_cast<int32_t>(n)};
    if (taken(id)) continue;
    if (Status status = lower_node(id); !status) {
      if (!status.error().node.empty()) return std::unexpected(std::move(status).error());
      const Node& node = graph_.node(id);
      return std::unexpected(std::move(status).error().at_node(node.name, node_place(node)));
    }
  }
  CUPEL_TRY(copy_outputs());
  CUPEL_TRY(check_sizes());
  chain_steps(graph_, lowered_.program, options_, lowered_.decisions);
  plan_memory(lowered_.program);
  return std::move(lowered_);
}

Status Lowering::check_sizes() const {
  for (const Buffer& buffer : lowered_.program.buffers)
    if (buffer.item_bytes > kMostBufferBytes)
      return resource_error("value " + printable(buffer.name),
                            fmt::format("it takes {} bytes for one batch item; the limit of a buffer is {} bytes",
                                        buffer.item_bytes, kMostBufferBytes),
                            "compile a smaller model, or one of smaller inputs");
  for (const Step& step : lowered_.program.steps)
    if (units_per_item(step.kernel) > kMostUnits)
      return resource_error("kernel " + step.name,
                            fmt::format("it has {} units of work for one batch item; the limit is {}",
                                        units_per_item(step.kernel), kMostUnits),
                            "compile a smaller model, or one of smaller inputs");
  for (const Step& step : lowered_.program.steps) {
    const Status status = check_kernel(step.kernel);
    if (status) continue;
    if (status.error().kind != ErrorKind::resource) return internal_error("kernel " + step.name, status.error().cause);
    return resource_error("kernel " + step.name,
                          fmt::format("for node {}: {}", printable(fmt::format("{}", fmt::join(step.origins, ", "))),
                                      status.error().cause),
                          "compile a smaller model, or run it with --engine reference");
  }
  return {};
}

Status Lowering::place_inputs() {
  if (batch_.size.is_constant()) lowered_.program.fixed_batch = batch_.size.factor;
  for (ValueId id : graph_.inputs()) {
    const Value& v = graph_.value(id);
    const Dims dims = CUPEL_TRY(item_dims(graph_, batch_, id));
    Placed place;
    place.layout = {add_buffer(v.name, BufferPlace::input, element_count(dims) * element_bytes(v.type.dtype)),
                    v.type.dtype,
                    dims,
                    0,
                    {}};
    lowered_.program.buffers.back().index = static_cast<int64_t>(lowered_.program.inputs.size());
    int64_t stride = element_bytes(v.type.dtype);
    place.layout.strides.resize(dims.size());
    for (size_t d = dims.size(); d-- > 0; stride *= dims[d]) place.layout.strides[d] = stride;
    // Codes that the caller gives as s8 are kept as u8.
    const TensorType& given = source_.type(source_.inputs()[lowered_.program.inputs.size()]);
    place.layout.dtype = stored_type(given.dtype);
    places_[id] = given.dtype == v.type.dtype ? place : CUPEL_TRY(shifted(id, place));
    lowered_.program.inputs.push_back({v.name, given, batch_.leads});
  }
  return {};
}

namespace {

// Whether the lowering of the op knows its operands by the dimensions of an item alone.
bool works_on_rows(const Node& node) {
  constexpr std::string_view kNames[] = {
      "Gemm", "MatMul", "Softmax", "LogSoftmax", "Identity", "AsCodes", "LayerNormalization", "Cast"};
  return is_elementwise(node) || changes_shape(node) ||
         std::find(std::begin(kNames), std::end(kNames), node.op->name) != std::end(kNames);
}

}  // namespace

namespace {

// A Cast between binary16 and binary32, which reading and writing does.
bool converts_reals(const Graph& graph, const Node& node) {
  const auto is_real = [&](ValueId v) {
    return graph.type(v).dtype == DType::f32 || graph.type(v).dtype == DType::f16;
  };
  return node.op->name == "Cast" && is_real(node.inputs[0]) && is_real(node.outputs[0]);
}

}  // namespace

Result<Placed> Lowering::shifted(ValueId value, const Placed& from) {
  const Placed place = CUPEL_TRY(new_place(value, false));
  const Walk walk = walk_of(value, place.layout.dims);
  MapSpec spec;
  spec.space = walk.space;
  spec.operands = {access(from, walk)};
  spec.out = access(place, walk);
  ExprBuilder b;
  spec.value = b.finish(b.operand(0, DType::s8) + Scalar(128));
  std::set<std::string> origins;
  for (NodeId user : users_[static_cast<size_t>(value.index)])
    origins.insert(graph_.node(user).origin.begin(), graph_.node(user).origin.end());
  add_step({std::move(spec), MapSchedule{}}, {place.layout.buffer, from.layout.buffer}, origins, std::nullopt, nullptr);
  return place;
}

Status Lowering::lower_node(NodeId id) {
  const Node& node = graph_.node(id);
  const std::string_view op = node.op->name;
  taken_[static_cast<size_t>(id.index)] = true;
  if (op == "Gather" && !graph_.value(node.inputs[1]).constant) return lower_gather_call(id);
  if (const auto rows = [&](ValueId v) { return v.valid() && has_rows(batch_, graph_.type(v)); };
      !works_on_rows(node) && (std::any_of(node.inputs.begin(), node.inputs.end(), rows) ||
                               std::any_of(node.outputs.begin(), node.outputs.end(), rows)))
    return not_compiled("", "on several rows of each batch item it has no compiled form yet");
  if (op == "Conv") {
    const bool depthwise = graph_.type(node.inputs[1]).shape[1] == Dim(1) &&
                           attr_int(node.attributes, "group", 1) > 1 &&
                           graph_.type(node.inputs[0]).shape[1] == graph_.type(node.inputs[1]).shape[0];
    return depthwise ? lower_depthwise(id) : lower_conv(id);
  }
  if (op == "Gemm") return lower_gemm(id);
  if (op == "MatMul") return graph_.value(node.inputs[1]).constant ? lower_matmul(id) : lower_dynamic_matmul(id);
  if (op == "MaxPool" || op == "AveragePool") return lower_pool(id);
  if (op == "GlobalAveragePool" || op == "GlobalMaxPool" || op.starts_with("Reduce")) return lower_reduce(id);
  if (op == "Softmax" || op == "LogSoftmax" || op == "LayerNormalization") return lower_row(id);
  if (op == "Pad") return lower_pad(id);
  if (op == "ArgMax") return lower_arg_max(id);
  if (changes_shape(node) || op == "Transpose" || op == "Slice" || op == "Split" || op == "Gather")
    return lower_view(id);
  if (op == "Identity" ||
      (op == "AsCodes" && graph_.type(node.inputs[0]).dtype == graph_.type(node.outputs[0]).dtype)) {
    places_[node.outputs[0]] = *CUPEL_TRY(place_of(node.inputs[0]));
    return {};
  }
  if (op == "Concat") return lower_concat(id);
  if (is_elementwise(node) || op == "AsCodes" || converts_reals(graph_, node) || op == "Expand" || op == "ExpandBatch")
    return lower_map(id);
  return not_compiled("", fmt::format("{} has no compiled form yet", op));
}

int64_t Lowering::add_buffer(std::string name, BufferPlace place, int64_t item_bytes) {
  lowered_.program.buffers.push_back({std::move(name), place, item_bytes, 0, 0});
  return static_cast<int64_t>(lowered_.program.buffers.size()) - 1;
}

int64_t Lowering::fault_buffer() {
  if (fault_buffer_ < 0) fault_buffer_ = add_buffer("fault", BufferPlace::fault, 0);
  return fault_buffer_;
}

int64_t Lowering::add_constant(std::span<const std::byte> bytes) {
  auto& block = lowered_.program.constants;
  block.resize(static_cast<size_t>(round_up(static_cast<int64_t>(block.size()), 64)));
  const int64_t buffer = add_buffer(fmt::format("constant{}", lowered_.program.buffers.size()), BufferPlace::constant,
                                    static_cast<int64_t>(bytes.size()));
  lowered_.program.buffers.back().offset = static_cast<int64_t>(block.size());
  block.insert(block.end(), bytes.begin(), bytes.end());
  return buffer;
}

Result<const Placed*> Lowering::place_of(ValueId value) {
  const auto found = places_.find(value);
  if (found == places_.end())
    return not_compiled("value " + printable(graph_.value(value).name), "a constant operand has no compiled form here");
  return &found->second;
}

namespace {

// Pads of a window op before and behind one spatial axis, as the op resolves them.
struct Pads {
  int64_t begin, end;
};
Pads pads_of(const Graph& graph, const Node& node, size_t axis) {
  const bool conv = node.op->name == "Conv";
  const auto kernel_shape = attr_ints(node.attributes, "kernel_shape");
  const int64_t kernel = conv ? graph.type(node.inputs[1]).shape[2 + axis].factor : kernel_shape[axis];
  const int64_t stride = attr_ints(node.attributes, "strides", {1, 1})[axis],
                dilation = attr_ints(node.attributes, "dilations", {1, 1})[axis];
  const int64_t in = graph.type(node.inputs[0]).shape[2 + axis].factor,
                out = graph.type(node.outputs[0]).shape[2 + axis].factor;
  const int64_t span = (kernel - 1) * dilation + 1;
  const std::string mode = attr_text(node.attributes, "auto_pad", "NOTSET");
  int64_t begin = attr_ints(node.attributes, "pads", {0, 0, 0, 0})[axis];
  if (mode == "VALID") begin = 0;
  if (mode == "SAME_UPPER" || mode == "SAME_LOWER") {
    const int64_t total = std::max<int64_t>(0, (out - 1) * stride + span - in);
    begin = mode == "SAME_UPPER" ? total / 2 : total - total / 2;
  }
  return {begin, std::max<int64_t>(0, (out - 1) * stride + span - in - begin)};
}

}  // namespace

Window window_of(const Graph& graph, const Node& node) {
  Window w;
  const bool conv = node.op->name == "Conv";
  for (size_t axis = 0; axis < 2; ++axis) {
    WindowAxis& a = axis == 0 ? w.h : w.w;
    const Pads pads = pads_of(graph, node, axis);
    a.kernel =
        conv ? graph.type(node.inputs[1]).shape[2 + axis].factor : attr_ints(node.attributes, "kernel_shape")[axis];
    a.stride = attr_ints(node.attributes, "strides", {1, 1})[axis];
    a.dilation = attr_ints(node.attributes, "dilations", {1, 1})[axis];
    a.pad = pads.begin;
    a.out = graph.type(node.outputs[0]).shape[2 + axis].factor;
    // Steps that nothing takes may be of any size.
    if (a.out == 1) a.stride = 1;
    if (a.kernel == 1) a.dilation = 1;
    (axis == 0 ? w.halo.top : w.halo.left) = pads.begin;
    (axis == 0 ? w.halo.bottom : w.halo.right) = pads.end;
  }
  return w;
}

Access Lowering::window_access(const Placed& x, const Window& window, int64_t channel_stride) const {
  const int64_t row = x.layout.strides[1], pixel = x.layout.strides[2];
  return {x.layout.dtype,
          false,
          x.layout.offset - window.h.pad * row - window.w.pad * pixel,
          lowered_.program.buffers[static_cast<size_t>(x.layout.buffer)].item_bytes,
          {window.h.stride * row, window.w.stride * pixel, channel_stride}};
}

Border Lowering::border(const TensorType& x, const WindowAxis& axis, int64_t lines) {
  // A window that stays inside has none. A zero of codes has the bits 0 in unsigned ones alone, as s8 lie 128 higher.
  const int64_t last = (axis.out - 1) * axis.stride + (axis.kernel - 1) * axis.dilation - axis.pad;
  if ((axis.pad == 0 && last < lines) || (x.quant && (x.dtype != DType::u8 || x.quant->zero_point[0] != 0))) return {};
  return {axis.kernel, axis.stride, axis.dilation, axis.pad, lines};
}

std::vector<ReductionLoop> window_taps(const Placed& x, const Window& window) {
  return {{window.h.kernel, window.h.dilation * x.layout.strides[1]},
          {window.w.kernel, window.w.dilation * x.layout.strides[2]}};
}

Halo Lowering::halo_for(ValueId value, HaloFill fill) const {
  Halo halo;
  for (NodeId user : users_[static_cast<size_t>(value.index)]) {
    const Node& node = graph_.node(user);
    const std::string_view op = node.op->name;
    if ((op != "Conv" && op != "AveragePool" && op != "MaxPool") || node.inputs[0] != value ||
        graph_.type(value).shape.size() != 4)
      continue;
    if ((op == "MaxPool") != (fill == HaloFill::least)) continue;
    const Halo h = window_of(graph_, node).halo;
    halo = {std::max(halo.top, h.top), std::max(halo.left, h.left), std::max(halo.bottom, h.bottom),
            std::max(halo.right, h.right)};
  }
  return halo;
}

std::unexpected<Error> Lowering::too_large_padded(ValueId value) const {
  return resource_error(
      "value " + printable(graph_.value(value).name),
      fmt::format("with the padding of its readers it takes more than the {} bytes that one batch item of a buffer may",
                  kMostBufferBytes),
      "compile a smaller model, or run it with --engine reference");
}

Result<Placed> Lowering::planned_place(ValueId value, bool whole_blocks, int64_t& item_bytes) const {
  const TensorType& type = graph_.type(value);
  const Dims dims = CUPEL_TRY(item_dims(graph_, batch_, value));
  Placed place;
  BufferShape shape;
  if (images_[static_cast<size_t>(value.index)]) {
    place.halo = halo_for(value, HaloFill::zero);
    if (place.halo.empty()) {
      place.halo = halo_for(value, HaloFill::least);
      if (!place.halo.empty()) place.fill = HaloFill::least;
    }
    const int64_t pixel = whole_blocks || dims[0] > 4 ? round_up(dims[0], 16) : dims[0];
    if (!fits_as_image(type.dtype, dims, pixel, place.halo)) return too_large_padded(value);
    shape = image_shape(type.dtype, dims, pixel, place.halo);
  } else {
    shape = matrix_shape(type.dtype, dims);
  }
  place.layout = {-1, stored_type(type.dtype), dims, shape.offset, shape.strides};
  item_bytes = shape.item_bytes;
  return place;
}

Result<Placed> Lowering::new_place(ValueId value, bool whole_blocks) {
  int64_t item_bytes = 0;
  Placed place = CUPEL_TRY(planned_place(value, whole_blocks, item_bytes));
  place.layout.buffer = add_buffer(graph_.value(value).name, BufferPlace::arena, item_bytes);
  fill_halo(value, place);
  return place;
}

// One map step for each side of the halo, writing the code or number that stands for 0 (or the least one).
void Lowering::fill_halo(ValueId value, const Placed& place) {
  if (place.halo.empty()) return;
  const TensorType& type = graph_.type(value);
  const ValueLayout& l = place.layout;
  const int64_t elem = element_bytes(l.dtype), row = l.strides[1], pixel = l.strides[2], channels = pixel / elem;
  const int64_t rows = l.dims[1], columns = l.dims[2], width = columns + place.halo.left + place.halo.right;
  const int64_t corner = l.offset - place.halo.top * row - place.halo.left * pixel;
  const auto fill = [&](int64_t offset, int64_t h, int64_t w) {
    if (h == 0 || w == 0) return;
    MapSpec spec;
    spec.space = {h, w, channels};
    ExprBuilder b;
    if (l.dtype == DType::f32) {
      spec.value = b.finish(place.fill == HaloFill::least ? -std::numeric_limits<float>::infinity() : 0.0f);
    } else {
      const int32_t zero = type.quant ? type.quant->zero_point[0] : 0;
      spec.value = b.finish(place.fill == HaloFill::least ? static_cast<int32_t>(dtype_min(l.dtype)) : zero);
    }
    spec.out = {
        l.dtype, false, offset, lowered_.program.buffers[static_cast<size_t>(l.buffer)].item_bytes, {row, pixel, elem}};
    const auto users = users_[static_cast<size_t>(value.index)];
    std::set<std::string> origins;
    for (NodeId user : users) origins.insert(graph_.node(user).origin.begin(), graph_.node(user).origin.end());
    add_step({spec, MapSchedule{}}, {l.buffer}, origins, std::nullopt, nullptr);
  };
  fill(corner, place.halo.top, width);
  fill(l.offset - place.halo.left * pixel, rows, place.halo.left);
  fill(l.offset + columns * pixel, rows, place.halo.right);
  fill(l.offset + rows * row - place.halo.left * pixel, place.halo.bottom, width);
}

Result<Placed> Lowering::copied(ValueId value, const Placed& from, const BufferShape& shape, Halo halo, HaloFill fill) {
  Placed place;
  place.halo = halo;
  place.fill = fill;
  place.layout = from.layout;
  place.layout.buffer = add_buffer(graph_.value(value).name + "_copy", BufferPlace::arena, shape.item_bytes);
  place.layout.offset = shape.offset;
  place.layout.strides = shape.strides;
  fill_halo(value, place);
  MapSpec spec;
  spec.space = from.layout.dims.empty() ? Dims{1} : from.layout.dims;
  const auto& buffers = lowered_.program.buffers;
  // Images are walked pixel by pixel, channels innermost, as they lie.
  std::vector<size_t> order(from.layout.dims.size());
  for (size_t d = 0; d < order.size(); ++d) order[d] = d;
  if (images_[static_cast<size_t>(value.index)] && order.size() == 3) order = {1, 2, 0};
  std::vector<int64_t> read, write;
  spec.space.clear();
  for (size_t d : order) {
    spec.space.push_back(from.layout.dims[d]);
    read.push_back(from.layout.strides[d]);
    write.push_back(shape.strides[d]);
  }
  if (spec.space.empty()) {
    spec.space = {1};
    read = write = {0};
  }
  spec.operands = {{from.layout.dtype, false, from.layout.offset,
                    buffers[static_cast<size_t>(from.layout.buffer)].item_bytes, read}};
  spec.out = {from.layout.dtype, false, shape.offset, shape.item_bytes, write};
  ExprBuilder b;
  spec.value = b.finish(b.operand(0, from.layout.dtype));
  std::set<std::string> origins;
  for (NodeId user : users_[static_cast<size_t>(value.index)])
    origins.insert(graph_.node(user).origin.begin(), graph_.node(user).origin.end());
  if (origins.empty() && !graph_.nodes().empty())
    origins.insert(graph_.nodes().back().origin.begin(), graph_.nodes().back().origin.end());
  add_step({std::move(spec), MapSchedule{}}, {place.layout.buffer, from.layout.buffer}, origins, std::nullopt, nullptr);
  return place;
}

Result<Placed> Lowering::image_place(ValueId value, const Halo& halo, HaloFill fill) {
  const Placed& have = *CUPEL_TRY(place_of(value));
  const int64_t elem = element_bytes(have.layout.dtype);
  const bool fits = have.layout.dims.size() == 3 && have.layout.strides[0] == elem && have.halo.top >= halo.top &&
                    have.halo.left >= halo.left && have.halo.bottom >= halo.bottom && have.halo.right >= halo.right &&
                    (halo.empty() || have.fill == fill);
  // Few channels lie without gaps; more of them in whole blocks.
  if (fits && has_room(have)) return have;
  const int64_t channels = have.layout.dims[0], blocked = channels <= 4 ? channels : round_up(channels, 16);
  if (!fits_as_image(have.layout.dtype, have.layout.dims, blocked, halo)) return too_large_padded(value);
  return copied(value, have, image_shape(have.layout.dtype, have.layout.dims, blocked, halo), halo, fill);
}

bool Lowering::is_tapped(ValueId value) const {
  const auto found = source_.find_value(graph_.value(value).name);
  return found && source_.type(*found).shape == graph_.type(value).shape;
}

Result<Placed> Lowering::row_place(ValueId value) {
  const Placed& have = *CUPEL_TRY(place_of(value));
  const ValueLayout& l = have.layout;
  const bool contiguous = l.dims.back() == 1 || l.strides.back() == element_bytes(l.dtype);
  const bool enough = has_room(have) || element_bytes(l.dtype) == 4 || l.dims.back() % 4 == 0;
  if (contiguous && enough) return have;
  return copied(value, have, matrix_shape(l.dtype, l.dims), {}, HaloFill::zero);
}

Result<Placed> Lowering::operand_place(ValueId value, const Walk& walk) {
  const Placed& have = *CUPEL_TRY(place_of(value));
  const ValueLayout& l = have.layout;
  // Dimensions are aligned from the last one, as broadcasting does.
  const auto d = static_cast<int64_t>(walk.item_dim.back()) - static_cast<int64_t>(walk.dims.size() - l.dims.size());
  if (!walk.whole_blocks || walk.item_dim.back() < 0 || d < 0 || l.dims[static_cast<size_t>(d)] == 1) return have;
  const int64_t extent = l.dims[static_cast<size_t>(d)];
  if (l.strides[static_cast<size_t>(d)] == element_bytes(l.dtype) && (has_room(have) || extent % 16 == 0)) return have;
  if (d + 1 == static_cast<int64_t>(l.dims.size()))
    return copied(value, have, matrix_shape(l.dtype, l.dims), {}, HaloFill::zero);
  if (d == 0 && l.dims.size() == 3)
    return copied(value, have, image_shape(l.dtype, l.dims, round_up(extent, 16), {}), {}, HaloFill::zero);
  return not_compiled("value " + printable(graph_.value(value).name),
                      "an operand that lies so has no compiled form here");
}

void Lowering::add_step(Kernel kernel, std::vector<int64_t> buffers, const std::set<std::string>& origins,
                        std::optional<ValueId> result, const Placed* place) {
  Step step;
  if (auto* map = std::get_if<MapSpec>(&kernel.spec)) {
    // Elements of 8 bytes are only copied: as two of 4.
    if (dtype_bits(map->out.dtype) == 64 && map->operands.size() == 1 && map->operands[0].dtype == map->out.dtype) {
      map->space.push_back(2);
      for (Access* a : {&map->operands[0], &map->out}) {
        a->dtype = DType::s32;
        a->strides.push_back(4);
      }
    }
    *map = in_written_order(std::move(*map));
    kernel.schedule = start_schedule(*map);
  }
  step.name = fmt::format("{}_{}", lowered_.program.steps.size(), kernel_name(kernel));
  step.kernel = std::move(kernel);
  step.buffers = std::move(buffers);
  step.origins.assign(origins.begin(), origins.end());
  if (result && !place->requantized && is_tapped(*result)) {
    step.result = place->layout;
    step.value_name = graph_.value(*result).name;
    step.type = graph_.type(*result);
  }
  lowered_.program.steps.push_back(std::move(step));
}

Status Lowering::copy_outputs() {
  for (size_t i = 0; i < graph_.outputs().size(); ++i) {
    const ValueId id = graph_.outputs()[i];
    const Value& v = graph_.value(id);
    const Placed from = *CUPEL_TRY(place_of(id));
    MapSpec spec;
    spec.space = from.layout.dims.empty() ? Dims{1} : from.layout.dims;
    std::vector<int64_t> write(spec.space.size());
    int64_t stride = element_bytes(v.type.dtype);
    for (size_t d = spec.space.size(); d-- > 0; stride *= spec.space[d]) write[d] = stride;
    const int64_t buffer = add_buffer(v.name + "_output", BufferPlace::output, stride);
    lowered_.program.buffers.back().index = static_cast<int64_t>(i);
    std::vector<int64_t> read = from.layout.strides;
    read.resize(spec.space.size(), 0);
    const TensorType& wanted = source_.type(source_.outputs()[i]);
    spec.operands = {{stored_type(v.type.dtype), false, from.layout.offset,
                      lowered_.program.buffers[static_cast<size_t>(from.layout.buffer)].item_bytes, read}};
    spec.out = {stored_type(wanted.dtype), false, 0, stride, write};
    ExprBuilder b;
    const Scalar x = b.operand(0, spec.operands[0].dtype);
    spec.value = b.finish(wanted.dtype == v.type.dtype ? x : x - Scalar(128));
    std::set<std::string> origins;
    for (const Node& node : graph_.nodes())
      if (std::find(node.outputs.begin(), node.outputs.end(), id) != node.outputs.end())
        origins.insert(node.origin.begin(), node.origin.end());
    add_step({std::move(spec), MapSchedule{}}, {buffer, from.layout.buffer}, origins, std::nullopt, nullptr);
    lowered_.program.outputs.push_back({v.name, wanted, batch_.leads});
  }
  return {};
}

Result<Lowered> lower_graph(const Graph& graph, std::string model, const LowerTarget& target, LowerOptions options) {
  const Graph forms = CUPEL_TRY(kernel_forms(graph));
  const Batch batch = batch_of(forms);
  auto first = Lowering(forms, graph, model, target, options, batch).run();
  // A constant size that leads every value need not be a batch.
  if (!first && first.error().code == ErrorCode::reference_runs_it && batch.size.is_constant() && batch.leads)
    if (auto whole = Lowering(forms, graph, model, target, options, Batch()).run()) first = std::move(whole);
  Lowered lowered = CUPEL_TRY(std::move(first));
  // Decisions are about the nodes of `graph`: those that give the same values, whose names are unique. What is said of
  // a node that only a form has is dropped.
  const auto producers = graph.producers();
  const auto same = [&](NodeId id) {
    const auto value = graph.find_value(forms.value(forms.node(id).outputs[0]).name);
    return value ? producers[static_cast<size_t>(value->index)] : NodeId{};
  };
  std::vector<FusionDecision> decisions;
  for (FusionDecision& decision : lowered.decisions) {
    const NodeId node = same(decision.node), kernel = same(decision.kernel);
    if (node.valid() && kernel.valid())
      decisions.push_back({node, kernel, decision.accepted, std::move(decision.reason)});
  }
  lowered.decisions = std::move(decisions);
  return lowered;
}

}  // namespace cupel
