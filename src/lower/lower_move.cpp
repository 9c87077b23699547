// Pad and Gather: pieces of the operand copied to where they lie in the result.
#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>

#include "lower/finish.h"
#include "lower/op_lowerings.h"
#include "ops/requantize.h"

namespace cupel {
namespace {

// `count` indices of the result from `first` on, which are the operand's source, source + step, …
struct Piece {
  int64_t first = 0, count = 0, source = 0, step = 1;
};

// What one axis of the result takes from the operand: `kept` indices from `crop` on between `before` and `after`.
std::vector<Piece> padded_axis(std::string_view mode, int64_t crop, int64_t kept, int64_t before, int64_t after) {
  std::vector<Piece> pieces = {{.first = before, .count = kept, .source = crop}};
  if (mode == "edge") {
    pieces.push_back({.first = 0, .count = before, .source = crop, .step = 0});
    pieces.push_back({.first = before + kept, .count = after, .source = crop + kept - 1, .step = 0});
  } else if (mode == "reflect") {
    pieces.push_back({.first = 0, .count = before, .source = crop + before, .step = -1});
    pieces.push_back({.first = before + kept, .count = after, .source = crop + kept - 2, .step = -1});
  } else if (mode == "wrap") {
    for (int64_t end = before; end > 0; end -= kept) {
      const int64_t count = std::min(end, kept);
      pieces.push_back({.first = end - count, .count = count, .source = crop + kept - count});
    }
    for (int64_t done = 0; done < after; done += kept)
      pieces.push_back({.first = before + kept + done, .count = std::min(after - done, kept), .source = crop});
  }
  std::erase_if(pieces, [](const Piece& p) { return p.count == 0; });
  return pieces;
}

// Indices as runs of equal steps, in order.
std::vector<Piece> runs(const std::vector<int64_t>& indices) {
  std::vector<Piece> pieces;
  for (size_t i = 0; i < indices.size(); ++i) {
    Piece* last = pieces.empty() ? nullptr : &pieces.back();
    const int64_t step = last ? indices[i] - indices[i - 1] : 0;
    if (last && (last->count == 1 || step == last->step)) {
      last->step = step;
      ++last->count;
    } else {
      pieces.push_back({.first = static_cast<int64_t>(i), .count = 1, .source = indices[i]});
    }
  }
  return pieces;
}

constexpr size_t kMostPieces = 256;

// Which piece each dimension takes, one after another.
struct PieceCopy {
  Dims dims;
  Access read, write;
};

// The copy of one piece of each dimension, which lie at `from` and `to`; nullopt where there is none of some dimension.
std::optional<PieceCopy> piece_copy(const Steps& steps, const Placed& from, const Placed& to,
                                    const std::vector<std::vector<Piece>>& along, size_t combination) {
  PieceCopy copy{
      .dims = Dims(along.size()), .read = steps.first_element(from.layout), .write = steps.first_element(to.layout)};
  copy.read.strides.resize(along.size());
  copy.write.strides = to.layout.strides;
  for (size_t d = along.size(); d-- > 0;) {
    if (along[d].empty()) return std::nullopt;
    const Piece& p = along[d][combination % along[d].size()];
    combination /= along[d].size();
    copy.dims[d] = p.count;
    copy.read.strides[d] = p.step * from.layout.strides[d];
    copy.read.offset += p.source * from.layout.strides[d];
    copy.write.offset += p.first * to.layout.strides[d];
  }
  return copy;
}

std::vector<int64_t> integers_of(const Graph& graph, ValueId v) {
  std::vector<int64_t> values;
  for (const Dim& d : *graph.value(v).contents) values.push_back(d.factor);
  return values;
}

// Along each dimension, what a Pad takes from its operand.
Result<std::vector<std::vector<Piece>>> padded_dimensions(const GraphFacts& facts, const Node& node, const Dims& dims) {
  const Graph& graph = facts.graph;
  const std::vector<int64_t> pads = integers_of(graph, node.inputs[1]);
  const bool has_axes = node.inputs.size() > 3 && node.inputs[3].valid();
  const std::vector<int64_t> axes = has_axes ? integers_of(graph, node.inputs[3]) : std::vector<int64_t>();
  const std::string mode = attr_text(node.attributes, "mode", "constant");
  std::vector<std::vector<Piece>> along(dims.size());
  for (size_t d = 0; d < dims.size(); ++d) along[d] = {{.count = dims[d]}};
  const size_t count = pads.size() / 2;
  for (size_t i = 0; i < count; ++i) {
    int64_t axis = has_axes ? axes[i] : static_cast<int64_t>(i);
    if (axis < 0) axis += static_cast<int64_t>(dims.size());
    const int64_t before = pads[i], after = pads[count + i];
    if (before == 0 && after == 0) continue;
    if (facts.is_batch(node.inputs[0], axis)) return no_compiled_form("padding of the batch");
    const auto d = static_cast<size_t>(axis);
    const int64_t crop = std::max<int64_t>(0, -before), kept = dims[d] - crop - std::max<int64_t>(0, -after);
    // Each repetition of the operand is a piece.
    if (mode == "wrap" && (std::max<int64_t>(0, before) + std::max<int64_t>(0, after)) / std::max<int64_t>(1, kept) >
                              static_cast<int64_t>(kMostPieces))
      return no_compiled_form(fmt::format("padding with more than {} repetitions has no compiled form", kMostPieces));
    along[d] = padded_axis(mode, crop, kept, std::max<int64_t>(0, before), std::max<int64_t>(0, after));
  }
  return along;
}

// The element that a Pad adds, as it lies in memory.
Result<uint64_t> padding_bits(const Graph& graph, const Node& node) {
  const TensorType& type = graph.type(node.outputs[0]);
  const bool given = node.inputs.size() > 2 && node.inputs[2].valid();
  const auto& constant = given ? graph.value(node.inputs[2]).constant : std::nullopt;
  if (given && !constant) return no_compiled_form("padding with a value computed at run time has no compiled form yet");
  if (type.quant && (!given || constant->dtype() == DType::f32)) {
    const float real = given ? constant->data<float>()[0] : 0.0f;
    const int32_t code = ops::to_code(real * ops::inverse_scale(type.quant->scale[0]),
                                      ops::CodeRange(type.dtype, type.quant->zero_point[0]));
    return static_cast<uint64_t>(code);
  }
  uint64_t bits = 0;
  if (given) std::memcpy(&bits, constant->bytes().data(), constant->bytes().size());
  return bits;
}

// What a Pad writes everywhere before the pieces of its operand: elements of 16 and 64 bits as two of half their width.
Status fill_place(Lowering& l, const Node& node, const Placed& place) {
  const uint64_t bits = CUPEL_TRY(padding_bits(l.graph, node));
  const DType type = place.layout.dtype;
  const int width = dtype_bits(type), parts = is_read_as_number(type) || width == 32 ? 1 : 2;
  const Walk walk = l.places.walk_of(node.outputs[0], place.layout.dims);
  for (int part = 0; part < parts; ++part) {
    MapSpec fill;
    fill.space = walk.space;
    fill.out = l.places.access(place, walk);
    fill.out.dtype = parts == 1 ? type == DType::u32 ? DType::s32 : type : width == 64 ? DType::s32 : DType::u8;
    fill.out.offset += part * width / 16;
    ExprBuilder b;
    const auto word = static_cast<uint32_t>(bits >> (part * width / 2));
    fill.value = b.finish(type == DType::f32   ? Scalar(std::bit_cast<float>(word))
                          : type == DType::f16 ? Scalar(f16_to_f32(static_cast<uint16_t>(word)))
                          : type == DType::s8  ? Scalar(static_cast<int32_t>(static_cast<int8_t>(word)))
                          : type == DType::u8 || fill.out.dtype == DType::u8 ? Scalar(word & 255u)
                                                                             : Scalar(word));
    l.steps.add_unnamed({std::move(fill), MapSchedule{}}, {place.layout.buffer}, origins_of(node));
  }
  return {};
}

}  // namespace

Status lower_pad(Lowering& l, NodeId id) {
  const Node& node = l.graph.node(id);
  const Placed from = CUPEL_TRY(l.places.at(node.inputs[0]));
  const auto along = CUPEL_TRY(padded_dimensions(l.facts, node, from.layout.dims));
  const Placed place = CUPEL_TRY(l.places.fresh(node.outputs[0], false));
  if (attr_text(node.attributes, "mode", "constant") == "constant") CUPEL_TRY(fill_place(l, node, place));
  size_t total = 1;
  for (const auto& pieces : along) total *= std::max<size_t>(1, pieces.size());
  if (total > kMostPieces) return no_compiled_form(fmt::format("padding by {} pieces has no compiled form yet", total));
  for (size_t n = 0; n < total; ++n)
    if (auto copy = piece_copy(l.steps, from, place, along, n))
      add_copy(l, node, std::move(copy->dims), std::move(copy->read), std::move(copy->write),
               {place.layout.buffer, from.layout.buffer}, n + 1 == total ? &place : nullptr);
  l.places.set(node.outputs[0], place);
  return {};
}

namespace {

// The dimension that a Gather by constant indices looks along.
Result<size_t> gathered_dim(const GraphFacts& facts, const Node& node) {
  int64_t axis = attr_int(node.attributes, "axis", 0);
  if (axis < 0) axis += static_cast<int64_t>(facts.graph.type(node.inputs[0]).shape.size());
  if (facts.is_batch(node.inputs[0], axis)) return no_compiled_form("a Gather from the batch has no compiled form");
  return static_cast<size_t>(axis);
}

// Each line of the indices, which are counted from behind where they are negative, as runs.
std::vector<std::vector<Piece>> lines_of(const Tensor& indices, int64_t extent) {
  const int64_t length = indices.dims().back(), lines = indices.size() / std::max<int64_t>(1, length);
  std::vector<std::vector<Piece>> pieces;
  for (int64_t line = 0; line < lines; ++line) {
    std::vector<int64_t> at;
    for (int64_t i = 0; i < length; ++i) {
      const int64_t index = indices.int_at(line * length + i);
      at.push_back(index < 0 ? index + extent : index);
    }
    pieces.push_back(runs(at));
  }
  return pieces;
}

}  // namespace

Status lower_element(Lowering& l, NodeId id) {
  const Node& node = l.graph.node(id);
  Placed view{.layout = CUPEL_TRY(l.places.at(node.inputs[0])).layout};
  const size_t dim = CUPEL_TRY(gathered_dim(l.facts, node));
  const int64_t index = (*l.graph.value(node.inputs[1]).contents)[0].factor, extent = view.layout.dims[dim],
                at = index < 0 ? index + extent : index;
  if (at < 0 || at >= extent)
    return bad_input(
        "",
        fmt::format("index {} is outside dimension {} of {}", index, dim, to_text(l.graph.type(node.inputs[0]).shape)),
        "correct the model");
  view.layout.offset += at * view.layout.strides[dim];
  view.layout.dims.erase(view.layout.dims.begin() + static_cast<int64_t>(dim));
  view.layout.strides.erase(view.layout.strides.begin() + static_cast<int64_t>(dim));
  l.places.set(node.outputs[0], view);
  return {};
}

Status lower_gather(Lowering& l, NodeId id) {
  const Node& node = l.graph.node(id);
  const Tensor& indices = *l.graph.value(node.inputs[1]).constant;
  const Placed from = CUPEL_TRY(l.places.at(node.inputs[0]));
  const size_t dim = CUPEL_TRY(gathered_dim(l.facts, node)), rank = indices.dims().size();
  const auto lines = lines_of(indices, from.layout.dims[dim]);
  size_t total = 0;
  for (const auto& pieces : lines) total += pieces.size();
  if (total > kMostPieces) return lower_gather_call(l, id);
  const Placed place = CUPEL_TRY(l.places.fresh(node.outputs[0], false));
  size_t done = 0;
  for (size_t line = 0; line < lines.size(); ++line) {
    // Where the line lies: its index along all dimensions of the indices but the last.
    int64_t line_offset = 0, rest = static_cast<int64_t>(line);
    for (size_t d = rank - 1; d-- > 0; rest /= indices.dims()[d])
      line_offset += rest % indices.dims()[d] * place.layout.strides[dim + d];
    for (const Piece& p : lines[line]) {
      Dims dims = from.layout.dims;
      dims[dim] = p.count;
      Access read = l.steps.first_element(from.layout), write = l.steps.first_element(place.layout);
      read.offset += p.source * from.layout.strides[dim];
      read.strides = from.layout.strides;
      read.strides[dim] *= p.step;
      for (size_t d = 0; d < dims.size(); ++d)
        write.strides.push_back(place.layout.strides[d < dim ? d : d + rank - 1]);
      write.offset += line_offset + p.first * write.strides[dim];
      add_copy(l, node, std::move(dims), std::move(read), std::move(write), {place.layout.buffer, from.layout.buffer},
               ++done == total ? &place : nullptr);
    }
  }
  l.places.set(node.outputs[0], place);
  return {};
}

}  // namespace cupel
