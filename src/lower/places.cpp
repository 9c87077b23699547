#include "lower/places.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "base/file.h"
#include "lower/builder.h"
#include "lower/lower.h"
#include "lower/windows.h"

namespace cupel {

std::set<std::string> GraphFacts::origins_of_users(ValueId v) const {
  std::set<std::string> origins;
  for (NodeId user : users_of(v)) origins.merge(origins_of(graph.node(user)));
  return origins;
}

bool GraphFacts::same_items(ValueId a, ValueId b) const {
  const auto x = item_dims(a), y = item_dims(b);
  return x && y &&
         std::equal(x->begin() + static_cast<int64_t>(first_walked(*x)), x->end(),
                    y->begin() + static_cast<int64_t>(first_walked(*y)), y->end());
}

Walk image_walk(const Dims& dims) {
  Walk walk{.space = {dims[2], dims[3], dims[1]}, .item_dim = {2, 3, 1}, .dims = dims};
  if (dims[0] == 1) return walk;
  walk.space.insert(walk.space.begin(), dims[0]);
  walk.item_dim.insert(walk.item_dim.begin(), 0);
  return walk;
}

Walk plain_walk(const Dims& dims) {
  Walk walk{.dims = dims};
  for (size_t d = first_walked(dims); d < dims.size(); ++d) {
    walk.space.push_back(dims[d]);
    walk.item_dim.push_back(static_cast<int>(d));
  }
  if (walk.space.empty()) {
    walk.space = {1};
    walk.item_dim = {-1};
  }
  return walk;
}

Result<Placed> Places::at(ValueId value) {
  if (const auto found = places_.find(value); found != places_.end()) return found->second;
  const std::string name = "value " + printable(graph_.value(value).name);
  const auto& constant = graph_.value(value).constant;
  if (!constant) return internal_error(name, "it is read before it is made");
  const bool has_items = facts_.batch.leads && facts_.batch.size.is_constant() && facts_.batch.size != Dim(1);
  if (dtype_bits(constant->dtype()) < 8 || has_items)
    return not_compiled(name, "a constant operand has no compiled form here");
  return constant_at(value);
}

const Placed& Places::constant_at(ValueId value) {
  auto found = constant_places_.find(value);
  if (found == constant_places_.end())
    found = constant_places_.emplace(value, constant_place(*graph_.value(value).constant)).first;
  return found->second;
}

Placed Places::constant_place(const Tensor& tensor) {
  const DType type = stored_type(tensor.dtype());
  return {.layout = {.buffer = steps_.add_constant(tensor),
                     .dtype = type,
                     .dims = tensor.dims(),
                     .strides = dense_strides(tensor.dims(), element_bytes(type))}};
}

Halo Places::halo_for(ValueId value, HaloFill fill) const {
  Halo halo;
  for (NodeId user : facts_.users_of(value)) {
    const Node& node = graph_.node(user);
    if (node.op->elements != Elements::windowed || node.inputs[0] != value || graph_.type(value).shape.size() != 4)
      continue;
    if (window_fill(node) != fill) continue;
    const Halo h = window_of(graph_, node).halo;
    halo = {std::max(halo.top, h.top), std::max(halo.left, h.left), std::max(halo.bottom, h.bottom),
            std::max(halo.right, h.right)};
  }
  return halo;
}

std::unexpected<Error> Places::too_large_padded(ValueId value) const {
  return resource_error(
      "value " + printable(graph_.value(value).name),
      fmt::format("with the padding of its readers it takes more than the {} bytes that one batch item of a buffer may",
                  kMostBufferBytes),
      "compile a smaller model, or run it with --engine reference");
}

Result<PlannedPlace> Places::planned(ValueId value, bool whole_blocks) const {
  const TensorType& type = graph_.type(value);
  const Dims dims = CUPEL_TRY(facts_.item_dims(value));
  Placed place;
  BufferShape shape;
  if (facts_.is_image(value)) {
    place.halo = halo_for(value, HaloFill::zero);
    if (place.halo.empty()) {
      place.halo = halo_for(value, HaloFill::least);
      if (!place.halo.empty()) place.fill = HaloFill::least;
    }
    const int64_t pixel = whole_blocks || dims[1] > 4 ? round_up(dims[1], 16) : dims[1];
    if (!fits_as_image(type.dtype, dims, pixel, place.halo)) return too_large_padded(value);
    shape = image_shape(type.dtype, dims, pixel, place.halo);
  } else {
    shape = matrix_shape(type.dtype, dims);
  }
  place.layout = {.dtype = stored_type(type.dtype), .dims = dims, .offset = shape.offset, .strides = shape.strides};
  return PlannedPlace{std::move(place), shape.item_bytes};
}

Result<Placed> Places::fresh(ValueId value, bool whole_blocks) {
  auto [place, item_bytes] = CUPEL_TRY(planned(value, whole_blocks));
  place.layout.buffer = steps_.add_buffer(graph_.value(value).name, BufferPlace::arena, item_bytes);
  fill_halo(value, place);
  return place;
}

// One map step for each side of the halo, writing the code or number that stands for 0 (or the least one).
void Places::fill_halo(ValueId value, const Placed& place) {
  if (place.halo.empty()) return;
  const TensorType& type = graph_.type(value);
  const ValueLayout& l = place.layout;
  const int64_t elem = element_bytes(l.dtype), row = l.strides[2], pixel = l.strides[3], channels = pixel / elem;
  const int64_t rows = l.dims[2], columns = l.dims[3], width = columns + place.halo.left + place.halo.right;
  const int64_t corner = l.offset - place.halo.top * row - place.halo.left * pixel;
  const auto fill = [&](int64_t offset, int64_t h, int64_t w) {
    if (h == 0 || w == 0) return;
    MapSpec spec;
    spec.space = {l.dims[0], h, w, channels};
    ExprBuilder b;
    if (l.dtype == DType::f32) {
      spec.value = b.finish(place.fill == HaloFill::least ? -std::numeric_limits<float>::infinity() : 0.0f);
    } else {
      const int32_t zero = type.quant ? type.quant->zero_point[0] : 0;
      spec.value = b.finish(place.fill == HaloFill::least ? static_cast<int32_t>(dtype_min(l.dtype)) : zero);
    }
    spec.out = steps_.first_element(l);
    spec.out.offset = offset;
    spec.out.strides = {l.strides[0], row, pixel, elem};
    steps_.add_unnamed({spec, MapSchedule{}}, {l.buffer}, facts_.origins_of_users(value));
  };
  fill(corner, place.halo.top, width);
  fill(l.offset - place.halo.left * pixel, rows, place.halo.left);
  fill(l.offset + columns * pixel, rows, place.halo.right);
  fill(l.offset + rows * row - place.halo.left * pixel, place.halo.bottom, width);
}

Placed Places::copied(ValueId value, const Placed& from, const BufferShape& shape, Halo halo, HaloFill fill) {
  Placed place;
  place.halo = halo;
  place.fill = fill;
  place.layout = from.layout;
  place.layout.buffer = steps_.add_buffer(graph_.value(value).name + "_copy", BufferPlace::arena, shape.item_bytes);
  place.layout.offset = shape.offset;
  place.layout.strides = shape.strides;
  fill_halo(value, place);
  MapSpec spec;
  // Images are walked pixel by pixel, channels innermost, as they lie.
  std::vector<size_t> order(from.layout.dims.size());
  for (size_t d = 0; d < order.size(); ++d) order[d] = d;
  if (facts_.is_image(value) && order.size() == 4) order = {0, 2, 3, 1};
  Access read = steps_.first_element(from.layout);
  spec.out = steps_.first_element(place.layout);
  for (size_t d : order) {
    spec.space.push_back(from.layout.dims[d]);
    read.strides.push_back(from.layout.strides[d]);
    spec.out.strides.push_back(shape.strides[d]);
  }
  if (spec.space.empty()) {
    spec.space = {1};
    read.strides = spec.out.strides = {0};
  }
  spec.operands = {std::move(read)};
  ExprBuilder b;
  spec.value = b.finish(b.operand(0, from.layout.dtype));
  std::set<std::string> origins = facts_.origins_of_users(value);
  if (origins.empty() && !graph_.nodes().empty()) origins = origins_of(graph_.nodes().back());
  steps_.add_unnamed({std::move(spec), MapSchedule{}}, {place.layout.buffer, from.layout.buffer}, origins);
  return place;
}

Result<Placed> Places::image(ValueId value, const Halo& halo, HaloFill fill) {
  const Placed have = CUPEL_TRY(at(value));
  const int64_t elem = element_bytes(have.layout.dtype);
  const bool fits = have.layout.dims.size() == 4 && have.layout.strides[1] == elem && have.halo.top >= halo.top &&
                    have.halo.left >= halo.left && have.halo.bottom >= halo.bottom && have.halo.right >= halo.right &&
                    (halo.empty() || have.fill == fill);
  // Few channels lie without gaps; more of them in whole blocks.
  if (fits && has_room(have)) return have;
  const int64_t channels = have.layout.dims[1], blocked = channels <= 4 ? channels : round_up(channels, 16);
  if (!fits_as_image(have.layout.dtype, have.layout.dims, blocked, halo)) return too_large_padded(value);
  return copied(value, have, image_shape(have.layout.dtype, have.layout.dims, blocked, halo), halo, fill);
}

Result<Placed> Places::row(ValueId value) { return row(value, CUPEL_TRY(at(value))); }

Placed Places::row(ValueId value, const Placed& have) {
  const ValueLayout& l = have.layout;
  const bool contiguous = l.dims.back() == 1 || l.strides.back() == element_bytes(l.dtype);
  const bool enough = has_room(have) || element_bytes(l.dtype) == 4 || l.dims.back() % 4 == 0;
  if (contiguous && enough) return have;
  return copied(value, have, matrix_shape(l.dtype, l.dims), {}, HaloFill::zero);
}

Placed Places::dense_copy(ValueId value, const Placed& from) {
  const int64_t elem = element_bytes(from.layout.dtype);
  const BufferShape dense{.item_bytes = round_up(element_count(from.layout.dims) * elem, 64),
                          .strides = dense_strides(from.layout.dims, elem)};
  return copied(value, from, dense, {}, HaloFill::zero);
}

Result<Placed> Places::dense(ValueId value) {
  const Placed have = CUPEL_TRY(at(value));
  const ValueLayout& l = have.layout;
  const std::vector<int64_t> strides = dense_strides(l.dims, element_bytes(l.dtype));
  bool is_dense = true;
  for (size_t d = 0; d < l.dims.size(); ++d) is_dense = is_dense && (l.dims[d] == 1 || l.strides[d] == strides[d]);
  return is_dense ? have : dense_copy(value, have);
}

Result<Placed> Places::operand(ValueId value, const Walk& walk) {
  const Placed have = CUPEL_TRY(at(value));
  const ValueLayout& l = have.layout;
  // Dimensions are aligned from the last one, as broadcasting does.
  const auto d = static_cast<int64_t>(walk.item_dim.back()) - static_cast<int64_t>(walk.dims.size() - l.dims.size());
  if (!walk.whole_blocks || walk.item_dim.back() < 0 || d < 0 || l.dims[static_cast<size_t>(d)] == 1) return have;
  const int64_t extent = l.dims[static_cast<size_t>(d)];
  if (l.strides[static_cast<size_t>(d)] == element_bytes(l.dtype) && (has_room(have) || extent % 16 == 0)) return have;
  return copied(value, have, shape_along(l.dtype, l.dims, static_cast<size_t>(d)), {}, HaloFill::zero);
}

Result<Placed> Places::shifted(ValueId value, const Placed& from) {
  const Placed place = CUPEL_TRY(fresh(value, false));
  const Walk walk = walk_of(value, place.layout.dims);
  MapSpec spec;
  spec.space = walk.space;
  spec.operands = {access(from, walk)};
  spec.out = access(place, walk);
  ExprBuilder b;
  spec.value = b.finish(b.operand(0, DType::s8) + Scalar(128));
  steps_.add_unnamed({std::move(spec), MapSchedule{}}, {place.layout.buffer, from.layout.buffer},
                     facts_.origins_of_users(value));
  return place;
}

Access Places::access(const Placed& place, const Walk& walk) const {
  Access a = steps_.first_element(place.layout);
  const size_t own = place.layout.dims.size(), all = walk.dims.size();
  for (int d : walk.item_dim) {
    // Dimensions are aligned from the last one, as broadcasting does.
    const auto own_dim = static_cast<int64_t>(d) - static_cast<int64_t>(all - own);
    const bool walks = d >= 0 && own_dim >= 0 && place.layout.dims[static_cast<size_t>(own_dim)] != 1;
    a.strides.push_back(walks ? place.layout.strides[static_cast<size_t>(own_dim)] : 0);
  }
  return a;
}

Walk Places::walk_of(ValueId value, const Dims& dims) const {
  return facts_.is_image(value) && dims.size() == 4 ? image_walk(dims) : plain_walk(dims);
}

}  // namespace cupel
