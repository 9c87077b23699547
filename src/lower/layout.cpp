#include "lower/layout.h"

#include <fmt/format.h>

#include <numeric>

#include "base/file.h"
#include "lower/lower.h"
#include "lower/op_lowerings.h"

namespace cupel {

Batch batch_of(const Graph& graph) {
  for (ValueId id : graph.inputs())
    if (const Shape& shape = graph.type(id).shape; !shape.empty() && !shape[0].is_constant())
      return {Dim(1, shape[0].symbol), true};
  const Dim* lead = nullptr;
  for (const Value& v : graph.values()) {
    if (v.constant) continue;
    if (v.type.shape.empty() || !v.type.shape[0].is_constant() || (lead && v.type.shape[0] != *lead)) return {};
    lead = &v.type.shape[0];
  }
  // Nothing is no batch: a batch of size 0 is one of any size to a Program.
  return lead && lead->factor > 0 ? Batch{*lead, true} : Batch{};
}

bool is_batched(const Graph& graph, const Batch& batch, ValueId value) {
  const Value& v = graph.value(value);
  if (!batch.leads || v.constant || v.type.shape.empty()) return false;
  return batch.size.is_constant() ? v.type.shape[0] == batch.size : v.type.shape[0].symbol == batch.size.symbol;
}

Result<Dims> item_dims(const Graph& graph, const Batch& batch, ValueId value) {
  Shape shape = graph.type(value).shape;
  if (is_batched(graph, batch, value)) shape[0] = shape[0].is_constant() ? 1 : shape[0].factor;
  if (is_static(shape)) return static_dims(shape);
  return unsupported("value " + printable(graph.value(value).name),
                     fmt::format("shape {} has a symbol that is no leading batch", to_text(graph.type(value).shape)),
                     "export the model with the batch as its leading dimension and constant sizes behind it");
}

std::vector<bool> image_values(const Graph& graph) {
  std::vector<int32_t> parent(graph.values().size());
  std::iota(parent.begin(), parent.end(), 0);
  const auto find = [&](int32_t v) {
    while (parent[static_cast<size_t>(v)] != v)
      v = parent[static_cast<size_t>(v)] = parent[static_cast<size_t>(parent[static_cast<size_t>(v)])];
    return v;
  };
  std::vector<bool> marked(graph.values().size(), false);
  const auto is_rank4 = [&](ValueId id) {
    return id.valid() && !graph.value(id).constant && graph.type(id).shape.size() == 4;
  };
  for (const Node& node : graph.nodes()) {
    const ImageRule rule = lowering_of(*node.op).images;
    if (rule == ImageRule::image) {
      if (is_rank4(node.inputs[0])) marked[static_cast<size_t>(node.inputs[0].index)] = true;
      if (is_rank4(node.outputs[0])) marked[static_cast<size_t>(node.outputs[0].index)] = true;
      continue;
    }
    if (rule == ImageRule::none) continue;
    ValueId first;
    const auto join = [&](ValueId id) {
      if (!is_rank4(id)) return;
      if (first.valid()) parent[static_cast<size_t>(find(id.index))] = find(first.index);
      first = id;
    };
    for (ValueId id : node.inputs) join(id);
    for (ValueId id : node.outputs) join(id);
  }
  std::vector<bool> class_marked(graph.values().size(), false);
  for (size_t v = 0; v < marked.size(); ++v)
    if (marked[v]) class_marked[static_cast<size_t>(find(static_cast<int32_t>(v)))] = true;
  std::vector<bool> images(graph.values().size(), false);
  for (size_t v = 0; v < images.size(); ++v)
    images[v] = is_rank4({static_cast<int32_t>(v)}) && class_marked[static_cast<size_t>(find(static_cast<int32_t>(v)))];
  return images;
}

BufferShape image_shape(DType type, const Dims& dims, int64_t pixel, const Halo& halo) {
  const int64_t pixel_bytes = pixel * element_bytes(type);
  const int64_t row_bytes = (dims[3] + halo.left + halo.right) * pixel_bytes;
  const int64_t image_bytes = round_up((dims[2] + halo.top + halo.bottom) * row_bytes, 64);
  BufferShape s;
  s.strides = {image_bytes, element_bytes(type), row_bytes, pixel_bytes};
  s.offset = halo.top * row_bytes + halo.left * pixel_bytes;
  s.item_bytes = dims[0] * image_bytes;
  return s;
}

bool fits_as_image(DType type, const Dims& dims, int64_t pixel, const Halo& halo) {
  int64_t bytes = pixel * element_bytes(type);
  for (const int64_t lines : {dims[2] + halo.top + halo.bottom, dims[3] + halo.left + halo.right, dims[0]})
    if (__builtin_mul_overflow(bytes, lines, &bytes)) return false;
  return bytes <= kMostBufferBytes;
}

BufferShape matrix_shape(DType type, const Dims& dims) {
  if (dims.empty()) return {.item_bytes = 64};
  return shape_along(type, dims, dims.size() - 1);
}

BufferShape shape_along(DType type, const Dims& dims, size_t dim) {
  BufferShape s;
  s.strides.resize(dims.size());
  s.strides[dim] = element_bytes(type);
  int64_t stride = round_up(dims[dim], 16) * element_bytes(type);
  for (size_t d = dims.size(); d-- > 0;) {
    if (d == dim) continue;
    s.strides[d] = stride;
    stride *= dims[d];
  }
  s.item_bytes = round_up(std::max<int64_t>(stride, 1), 64);
  return s;
}

std::vector<int64_t> dense_strides(const Dims& dims, int64_t element_bytes) {
  std::vector<int64_t> strides(dims.size());
  int64_t stride = element_bytes;
  for (size_t d = dims.size(); d-- > 0; stride *= dims[d]) strides[d] = stride;
  return strides;
}

std::optional<std::vector<int64_t>> reshaped_strides(const Dims& dims, const std::vector<int64_t>& strides,
                                                     const Dims& result) {
  // Dimensions of extent 1 have no stride; the others are matched group by group with equal products.
  Dims from;
  std::vector<int64_t> from_strides;
  for (size_t d = 0; d < dims.size(); ++d) {
    if (dims[d] == 1) continue;
    from.push_back(dims[d]);
    from_strides.push_back(strides[d]);
  }
  std::vector<int64_t> out(result.size(), 0);
  size_t i = 0, j = 0;
  while (i < from.size() || j < result.size()) {
    while (j < result.size() && result[j] == 1) ++j;
    if (i >= from.size() && j >= result.size()) break;
    if (i >= from.size() || j >= result.size()) return std::nullopt;
    size_t i_end = i + 1, j_end = j + 1;
    int64_t a = from[i], b = result[j];
    while (a != b) {
      if (a < b) {
        if (i_end >= from.size()) return std::nullopt;
        a *= from[i_end++];
      } else {
        if (j_end >= result.size()) return std::nullopt;
        b *= result[j_end++];
      }
    }
    for (size_t k = i; k + 1 < i_end; ++k)
      if (from_strides[k] != from_strides[k + 1] * from[k + 1]) return std::nullopt;
    int64_t stride = from_strides[i_end - 1];
    for (size_t k = j_end; k-- > j;) {
      out[k] = stride;
      stride *= result[k];
    }
    i = i_end;
    j = j_end;
  }
  return out;
}

}  // namespace cupel
