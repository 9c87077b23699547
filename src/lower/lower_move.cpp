// Pad and Gather: pieces of the operand copied to where they lie in the result.
#include <fmt/format.h>

#include <algorithm>

#include "lower/lowering.h"
#include "ops/requantize.h"

namespace cupel {
namespace {

// `count` indices of the result from `first` on, which are the operand's source, source + step, …
struct Piece {
  int64_t first = 0, count = 0, source = 0, step = 1;
};

// What one axis of the result takes from the operand: `kept` indices from `crop` on between `before` and `after`.
std::vector<Piece> padded_axis(std::string_view mode, int64_t crop, int64_t kept, int64_t before, int64_t after) {
  std::vector<Piece> pieces = {{before, kept, crop, 1}};
  if (mode == "edge") {
    pieces.push_back({0, before, crop, 0});
    pieces.push_back({before + kept, after, crop + kept - 1, 0});
  } else if (mode == "reflect") {
    pieces.push_back({0, before, crop + before, -1});
    pieces.push_back({before + kept, after, crop + kept - 2, -1});
  } else if (mode == "wrap") {
    for (int64_t end = before; end > 0; end -= kept) {
      const int64_t count = std::min(end, kept);
      pieces.push_back({end - count, count, crop + kept - count, 1});
    }
    for (int64_t done = 0; done < after; done += kept)
      pieces.push_back({before + kept + done, std::min(after - done, kept), crop, 1});
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
      pieces.push_back({static_cast<int64_t>(i), 1, indices[i], 1});
    }
  }
  return pieces;
}

constexpr size_t kMostPieces = 256;

}  // namespace

// `dims`: of the piece; `read`, `write`: byte offsets and strides in it.
void Lowering::copy_piece(NodeId id, const Placed& from, const Placed& to, const Dims& dims, int64_t read_offset,
                          std::vector<int64_t> read, int64_t write_offset, std::vector<int64_t> write, bool last) {
  const Node& node = graph_.node(id);
  const auto item_bytes = [&](const Placed& p) {
    return lowered_.program.buffers[static_cast<size_t>(p.layout.buffer)].item_bytes;
  };
  MapSpec spec;
  spec.space = dims.empty() ? Dims{1} : dims;
  read.resize(spec.space.size(), 0);
  write.resize(spec.space.size(), 0);
  spec.operands = {{from.layout.dtype, false, read_offset, item_bytes(from), std::move(read)}};
  spec.out = {to.layout.dtype, false, write_offset, item_bytes(to), std::move(write)};
  ExprBuilder b;
  spec.value = b.finish(b.operand(0, from.layout.dtype));
  const std::set<std::string> origins(node.origin.begin(), node.origin.end());
  add_step({std::move(spec), MapSchedule{}}, {to.layout.buffer, from.layout.buffer}, origins,
           last ? std::optional(node.outputs[0]) : std::nullopt, last ? &to : nullptr);
}

Status Lowering::lower_pad(NodeId id) {
  const Node& node = graph_.node(id);
  const ValueId result = node.outputs[0];
  const TensorType& type = graph_.type(result);
  const auto integers = [&](size_t i) {
    std::vector<int64_t> values;
    for (const Dim& d : *graph_.value(node.inputs[i]).contents) values.push_back(d.factor);
    return values;
  };
  const Placed from = *CUPEL_TRY(place_of(node.inputs[0]));
  const std::vector<int64_t> pads = integers(1);
  const bool has_axes = node.inputs.size() > 3 && node.inputs[3].valid();
  const std::vector<int64_t> axes = has_axes ? integers(3) : std::vector<int64_t>();
  const std::string mode = attr_text(node.attributes, "mode", "constant");
  const size_t count = pads.size() / 2, rank = from.layout.dims.size();
  std::vector<std::vector<Piece>> along(rank);
  for (size_t d = 0; d < rank; ++d) along[d] = {{0, from.layout.dims[d], 0, 1}};
  for (size_t i = 0; i < count; ++i) {
    int64_t axis = has_axes ? axes[i] : static_cast<int64_t>(i);
    if (axis < 0) axis += static_cast<int64_t>(rank) + 1;
    const int64_t before = pads[i], after = pads[count + i];
    if (before == 0 && after == 0) continue;
    if (axis == 0) return not_compiled("", "padding of the batch");
    const auto d = static_cast<size_t>(axis) - 1;
    const int64_t crop = std::max<int64_t>(0, -before),
                  kept = from.layout.dims[d] - crop - std::max<int64_t>(0, -after);
    // Each repetition of the operand is a piece.
    if (mode == "wrap" && (std::max<int64_t>(0, before) + std::max<int64_t>(0, after)) / std::max<int64_t>(1, kept) >
                              static_cast<int64_t>(kMostPieces))
      return not_compiled("", fmt::format("padding with more than {} repetitions has no compiled form", kMostPieces));
    along[d] = padded_axis(mode, crop, kept, std::max<int64_t>(0, before), std::max<int64_t>(0, after));
  }
  const Placed place = CUPEL_TRY(new_place(result, false));
  const Walk walk = walk_of(result, place.layout.dims);
  if (mode == "constant") {
    float real = 0;
    std::optional<int32_t> code;
    if (node.inputs.size() > 2 && node.inputs[2].valid()) {
      const auto& constant = graph_.value(node.inputs[2]).constant;
      if (!constant) return not_compiled("", "padding with a value computed at run time has no compiled form yet");
      if (constant->dtype() == DType::f32) {
        real = constant->data<float>()[0];
      } else {
        code = static_cast<int32_t>(constant->int_at(0));
      }
    }
    if (type.quant && !code)
      code = ops::to_code(real * ops::inverse_scale(type.quant->scale[0]),
                          ops::CodeRange(type.dtype, type.quant->zero_point[0]));
    MapSpec fill;
    fill.space = walk.space;
    ExprBuilder b;
    fill.value = b.finish(type.dtype == DType::f32 ? Scalar(real) : Scalar(code.value_or(0)));
    fill.out = access(place, walk);
    add_step({std::move(fill), MapSchedule{}}, {place.layout.buffer}, {node.origin.begin(), node.origin.end()},
             std::nullopt, nullptr);
  }
  // Every combination of pieces.
  size_t total = 1;
  for (const auto& pieces : along) total *= std::max<size_t>(1, pieces.size());
  if (total > kMostPieces) return not_compiled("", fmt::format("padding by {} pieces has no compiled form yet", total));
  for (size_t n = 0; n < total; ++n) {
    Dims dims(rank);
    std::vector<int64_t> read(rank), write(rank);
    int64_t read_offset = from.layout.offset, write_offset = place.layout.offset;
    size_t rest = n;
    bool empty = false;
    for (size_t d = rank; d-- > 0;) {
      if (along[d].empty()) {
        empty = true;
        continue;
      }
      const Piece& p = along[d][rest % along[d].size()];
      rest /= along[d].size();
      dims[d] = p.count;
      read[d] = p.step * from.layout.strides[d];
      write[d] = place.layout.strides[d];
      read_offset += p.source * from.layout.strides[d];
      write_offset += p.first * place.layout.strides[d];
    }
    if (!empty)
      copy_piece(id, from, place, dims, read_offset, std::move(read), write_offset, std::move(write), n + 1 == total);
  }
  places_[result] = place;
  return {};
}

Status Lowering::lower_gather(NodeId id, size_t dim) {
  const Node& node = graph_.node(id);
  const ValueId result = node.outputs[0];
  const Tensor& indices = *graph_.value(node.inputs[1]).constant;
  const Placed from = *CUPEL_TRY(place_of(node.inputs[0]));
  const int64_t extent = from.layout.dims[dim];
  const size_t rank = indices.dims().size();
  const int64_t length = indices.dims().back(), lines = indices.size() / std::max<int64_t>(1, length);
  std::vector<std::vector<Piece>> pieces;
  size_t total = 0;
  for (int64_t line = 0; line < lines; ++line) {
    std::vector<int64_t> at;
    for (int64_t i = 0; i < length; ++i) {
      const int64_t index = indices.int_at(line * length + i);
      at.push_back(index < 0 ? index + extent : index);
    }
    pieces.push_back(runs(at));
    total += pieces.back().size();
  }
  if (total > kMostPieces) return lower_gather_call(id);
  const Placed place = CUPEL_TRY(new_place(result, false));
  size_t done = 0;
  for (int64_t line = 0; line < lines; ++line) {
    // Where the line lies: its index along all dimensions of the indices but the last.
    int64_t line_offset = place.layout.offset, rest = line;
    for (size_t d = rank - 1; d-- > 0; rest /= indices.dims()[d])
      line_offset += rest % indices.dims()[d] * place.layout.strides[dim + d];
    for (const Piece& p : pieces[static_cast<size_t>(line)]) {
      Dims dims = from.layout.dims;
      std::vector<int64_t> read = from.layout.strides, write;
      dims[dim] = p.count;
      read[dim] *= p.step;
      for (size_t d = 0; d < dims.size(); ++d) write.push_back(place.layout.strides[d < dim ? d : d + rank - 1]);
      const int64_t write_offset = line_offset + p.first * write[dim];
      copy_piece(id, from, place, dims, from.layout.offset + p.source * from.layout.strides[dim], std::move(read),
                 write_offset, std::move(write), ++done == total);
    }
  }
  places_[result] = place;
  return {};
}

}  // namespace cupel
