// Ops that move, choose or make elements, in the ops of the table.
#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "base/file.h"
#include "onnx/spelling.h"
#include "ops/onnx_dtype.h"

namespace cupel {
namespace {

Result<int64_t> only_integer(const Spelling& s, size_t i, std::string_view what) {
  const auto values = CUPEL_TRY(s.integers(i, what));
  if (values.size() == 1) return values[0];
  return bad_input("", fmt::format("{} (operand {}) has {} elements, expected one", what, i, values.size()),
                   "export the model again");
}

// One number, whole or not.
Result<int64_t> only_number(const Spelling& s, size_t i, std::string_view what) {
  const Tensor* t = s.constant_operand(i);
  if (!t || t->size() != 1 || !is_float(t->dtype()) || dtype_bits(t->dtype()) < 32) return only_integer(s, i, what);
  return static_cast<int64_t>(std::clamp(t->at(0), -0x1p40, 0x1p40));
}

Attributes cast_to(DType type) { return {{"to", onnx_dtype(type)}}; }

// Channels, height and width behind a batch, and the block size.
struct Blocks {
  Dim batch;
  int64_t channels, height, width, size;
};
Result<Blocks> blocks_of(const Spelling& s) {
  const Shape x = CUPEL_TRY(s.shape(s.in(0)));
  if (x.size() != 4)
    return bad_input("", fmt::format("operand 0 has shape {}, expected 4 dimensions", to_text(x)),
                     "correct the model's shapes");
  if (!is_static({x.begin() + 1, x.end()}))
    return unsupported("", fmt::format("shape {} has dimensions that are not known", to_text(x)),
                       "fix the model's dimensions");
  const int64_t size = attr_int(s.attributes(), "blocksize", 0);
  if (size < 1 || size > kMaxElements)
    return bad_input("", fmt::format("blocksize is {}, expected at least 1", size), "correct the attribute");
  return Blocks{x[0], x[1].factor, x[2].factor, x[3].factor, size};
}

}  // namespace

Status spell_cast_like(Spelling& s) {
  Attributes attributes = cast_to(CUPEL_TRY(s.file_type(s.in(1))));
  attributes["saturate"] = attr_int(s.attributes(), "saturate", 1);
  return s.finish("Cast", {s.in(0)}, attributes);
}

// The elements on and above (upper) or below the k-th diagonal of the last two dimensions; 0 elsewhere.
Status spell_trilu(Spelling& s) {
  const std::string& x = s.in(0);
  const Shape shape = CUPEL_TRY(s.shape(x));
  if (shape.size() < 2)
    return bad_input("", fmt::format("operand 0 has shape {}, expected two dimensions or more", to_text(shape)),
                     "correct the model's shapes");
  const Dim &rows = shape[shape.size() - 2], &columns = shape.back();
  if (!rows.is_constant() || !columns.is_constant())
    return unsupported("", fmt::format("shape {} has dimensions that are not known", to_text(shape)),
                       "fix the model's dimensions");
  const int64_t k = s.has(1) ? CUPEL_TRY(only_integer(s, 1, "the diagonal")) : 0;
  const bool upper = attr_int(s.attributes(), "upper", 1) != 0;
  Tensor keeps(DType::boolean, {rows.factor, columns.factor});
  auto* mask = reinterpret_cast<uint8_t*>(keeps.mutable_bytes().data());
  for (int64_t i = 0; i < rows.factor; ++i)
    for (int64_t j = 0; j < columns.factor; ++j) *mask++ = upper ? j - i >= k : j - i <= k;
  const DType type = CUPEL_TRY(s.file_type(x));
  const bool narrow = is_float(type) && dtype_bits(type) < 32;
  const std::string zero =
      narrow || type == DType::f32 ? s.real_like(x, "zero", 0.0f) : s.constant("zero", Tensor(type, {}));
  return s.finish("Where", {s.constant("mask", std::move(keeps)), x, zero});
}

// Each axis cut or padded with zeros around its middle.
Status spell_center_crop_pad(Spelling& s) {
  const Shape shape = CUPEL_TRY(s.shape(s.in(0)));
  const auto rank = static_cast<int64_t>(shape.size());
  const auto wanted = CUPEL_TRY(s.integers(1, "the shape"));
  std::vector<int64_t> all(shape.size());
  std::iota(all.begin(), all.end(), int64_t{0});
  const auto axes = attr_ints(s.attributes(), "axes", all);
  if (wanted.size() != axes.size())
    return bad_input("", fmt::format("{} sizes for {} axes", wanted.size(), axes.size()), "export the model again");
  std::vector<int64_t> starts, ends, cut, pads(2 * axes.size(), 0);
  bool padded = false;
  for (size_t i = 0; i < axes.size(); ++i) {
    const int64_t axis = CUPEL_TRY(normalize_axis(axes[i], rank));
    const Dim& d = shape[static_cast<size_t>(axis)];
    if (!d.is_constant())
      return unsupported("", fmt::format("dimension {} is not known", to_text(d)), "fix the model's dimensions");
    if (wanted[i] < 0) return bad_input("", fmt::format("a size is {}", wanted[i]), "export the model again");
    if (wanted[i] < d.factor) {
      cut.push_back(axis);
      starts.push_back((d.factor - wanted[i]) / 2);
      ends.push_back(starts.back() + wanted[i]);
    } else {
      pads[i] = (wanted[i] - d.factor) / 2;
      pads[axes.size() + i] = wanted[i] - d.factor - pads[i];
      padded = padded || wanted[i] > d.factor;
    }
  }
  std::string x = s.in(0);
  if (!cut.empty()) {
    std::vector<std::string> inputs = {x, s.list("starts", starts), s.list("ends", ends), s.list("cut", cut)};
    if (!padded) return s.finish("Slice", std::move(inputs));
    x = CUPEL_TRY(s.add("Slice", "cropped", std::move(inputs)));
  }
  if (!padded) return s.finish("Identity", {x});
  return s.finish("Pad", {x, s.list("pads", pads), "", s.list("padded", axes)});
}

// Blocks of channels become blocks of pixels.
Status spell_depth_to_space(Spelling& s) {
  const Blocks b = CUPEL_TRY(blocks_of(s));
  const std::string mode = attr_text(s.attributes(), "mode", "DCR");
  if (mode != "DCR" && mode != "CRD")
    return bad_input("", fmt::format("mode is \"{}\", expected \"DCR\" or \"CRD\"", printable(mode)),
                     "correct the attribute");
  if (b.channels % (b.size * b.size) != 0)
    return bad_input("", fmt::format("{} channels are no multiple of blocksize²", b.channels), "correct the attribute");
  const int64_t depth = b.channels / (b.size * b.size);
  const bool depth_first = mode == "CRD";
  const Shape apart = depth_first ? Shape{b.batch, depth, b.size, b.size, b.height, b.width}
                                  : Shape{b.batch, b.size, b.size, depth, b.height, b.width};
  const std::vector<int64_t> perm =
      depth_first ? std::vector<int64_t>{0, 1, 4, 2, 5, 3} : std::vector<int64_t>{0, 3, 4, 1, 5, 2};
  const std::string blocks = CUPEL_TRY(s.reshape("blocks", s.in(0), apart));
  const std::string pixels = CUPEL_TRY(s.add("Transpose", "pixels", {blocks}, {{"perm", perm}}));
  return s.finish_reshape(pixels, {b.batch, depth, b.height * b.size, b.width * b.size});
}

// Blocks of pixels become blocks of channels.
Status spell_space_to_depth(Spelling& s) {
  const Blocks b = CUPEL_TRY(blocks_of(s));
  if (b.height % b.size != 0 || b.width % b.size != 0)
    return bad_input("", fmt::format("{} × {} pixels are no multiple of blocksize", b.height, b.width),
                     "correct the attribute");
  const int64_t rows = b.height / b.size, columns = b.width / b.size;
  const std::string pixels =
      CUPEL_TRY(s.reshape("pixels", s.in(0), {b.batch, b.channels, rows, b.size, columns, b.size}));
  const std::string blocks =
      CUPEL_TRY(s.add("Transpose", "blocks", {pixels}, {{"perm", std::vector<int64_t>{0, 3, 5, 1, 2, 4}}}));
  return s.finish_reshape(blocks, {b.batch, b.channels * b.size * b.size, rows, columns});
}

Status spell_eye_like(Spelling& s) {
  const Dims dims = CUPEL_TRY(s.dims(s.in(0)));
  if (dims.size() != 2)
    return bad_input("", fmt::format("operand 0 has shape {}, expected two dimensions", to_text(dims)),
                     "correct the model's shapes");
  const int64_t k = attr_int(s.attributes(), "k", 0);
  Tensor eye(DType::f32, dims);
  for (int64_t i = 0; i < dims[0]; ++i)
    if (k > -dims[0] && k < dims[1] && i + k >= 0 && i + k < dims[1])
      eye.mutable_data<float>()[static_cast<size_t>(i * dims[1] + i + k)] = 1;
  const int64_t type = attr_int(s.attributes(), "dtype", onnx_dtype(CUPEL_TRY(s.file_type(s.in(0)))));
  return s.finish("Cast", {s.constant("eye", std::move(eye))}, {{"to", type}});
}

// values[1] where the index along the new axis is that of the operand, values[0] elsewhere. Negative indices count from
// the end; others beyond the depth are nowhere.
Status spell_one_hot(Spelling& s) {
  const Shape shape = CUPEL_TRY(s.shape(s.in(0)));
  const int64_t depth = CUPEL_TRY(only_number(s, 1, "the depth"));
  if (depth < 1 || depth > kMaxElements)
    return bad_input("", fmt::format("the depth is {}", depth), "export the model again");
  const auto rank = static_cast<int64_t>(shape.size()) + 1;
  const int64_t axis = CUPEL_TRY(normalize_axis(attr_int(s.attributes(), "axis", -1), rank));
  Dims along(static_cast<size_t>(rank - axis), 1);
  along[0] = depth;
  Tensor range(DType::s64, along);
  std::iota(range.mutable_data<int64_t>().begin(), range.mutable_data<int64_t>().end(), int64_t{0});
  const std::string index = CUPEL_TRY(s.add("Cast", "index", {s.in(0)}, cast_to(DType::s64)));
  const std::string negative =
      CUPEL_TRY(s.add("Less", "negative", {index, s.constant("zero", Tensor::scalar<int64_t>(0))}));
  const std::string from_end =
      CUPEL_TRY(s.add("Add", "from_end", {index, s.constant("depth", Tensor::scalar<int64_t>(depth))}));
  const std::string place = CUPEL_TRY(s.add("Where", "place", {negative, from_end, index}));
  const std::string column = CUPEL_TRY(s.add("Unsqueeze", "column", {place, s.list("axis", {axis})}));
  const std::string hot = CUPEL_TRY(s.add("Equal", "hot", {column, s.constant("range", std::move(range))}));
  const auto value = [&](const char* part, int64_t i) {
    return s.add("Gather", part, {s.in(2), s.constant(std::string(part) + "_index", Tensor::scalar<int64_t>(i))});
  };
  const std::string off = CUPEL_TRY(value("off", 0));
  return s.finish("Where", {hot, CUPEL_TRY(value("on", 1)), off});
}

// The first lens[b] steps of each sequence in reverse, as a Gather of (step, sequence) pairs.
Status spell_reverse_sequence(Spelling& s) {
  const std::string& x = s.in(0);
  const Dims dims = CUPEL_TRY(s.dims(x));
  const int64_t time_axis = attr_int(s.attributes(), "time_axis", 0),
                batch_axis = attr_int(s.attributes(), "batch_axis", 1);
  if (dims.size() < 2 || time_axis < 0 || time_axis > 1 || batch_axis != 1 - time_axis)
    return bad_input("", "time_axis and batch_axis are not 0 and 1", "correct the attributes");
  const bool time_first = time_axis == 0;
  const int64_t steps = dims[static_cast<size_t>(time_axis)], sequences = dims[static_cast<size_t>(batch_axis)];
  const auto counted = [&](const char* part, int64_t n, Dims shape, int64_t factor) {
    Tensor t(DType::s64, std::move(shape));
    for (int64_t i = 0; i < n; ++i) t.mutable_data<int64_t>()[static_cast<size_t>(i)] = i * factor;
    return s.constant(part, std::move(t));
  };
  const auto along = [](int64_t n, bool first) { return first ? Dims{n, 1} : Dims{1, n}; };
  const std::string step = counted("step", steps, along(steps, time_first), 1),
                    sequence = counted("sequence", sequences, along(sequences, !time_first), time_first ? 1 : steps);
  const std::string lens = CUPEL_TRY(s.reshape("lens", s.in(1), to_shape(along(sequences, !time_first))));
  const std::string last = CUPEL_TRY(s.add("Sub", "last", {lens, s.constant("one", Tensor::scalar<int64_t>(1))}));
  const std::string inside = CUPEL_TRY(s.add("Less", "inside", {step, lens}));
  const std::string back = CUPEL_TRY(s.add("Sub", "back", {last, step}));
  std::string from = CUPEL_TRY(s.add("Where", "from", {inside, back, step}));
  if (time_first)
    from = CUPEL_TRY(s.add("Mul", "row", {from, s.constant("row_length", Tensor::scalar<int64_t>(sequences))}));
  const std::string index =
      CUPEL_TRY(s.reshape("index", CUPEL_TRY(s.add("Add", "place", {from, sequence})), {steps * sequences}));
  Shape flat = to_shape(dims);
  flat.erase(flat.begin());
  flat[0] = steps * sequences;
  const std::string rows = CUPEL_TRY(s.reshape("rows", x, flat));
  return s.finish_reshape(CUPEL_TRY(s.add("Gather", "reversed", {rows, index}, {{"axis", int64_t{0}}})),
                          to_shape(dims));
}

// Points of a regular grid in [−1, 1], (x, y, 1) or (x, y, z, 1), transformed by theta.
Status spell_affine_grid(Spelling& s) {
  const auto size = CUPEL_TRY(s.integers(1, "the size"));
  if (size.size() != 4 && size.size() != 5)
    return bad_input("", fmt::format("the size has {} elements, expected 4 or 5", size.size()),
                     "export the model again");
  CUPEL_TRY(count_elements(size));
  const bool align = attr_int(s.attributes(), "align_corners", 0) != 0;
  const size_t spatial = size.size() - 2;
  const Dims extents(size.begin() + 2, size.end());
  const int64_t points = element_count(extents);
  Tensor base(DType::f32, {points, static_cast<int64_t>(spatial) + 1});
  float* out = base.mutable_data<float>().data();
  for (int64_t point = 0; point < points; ++point) {
    int64_t rest = point;
    for (size_t axis = 0; axis < spatial; ++axis) {  // x is the last dimension
      const int64_t n = extents[spatial - 1 - axis], i = rest % n;
      rest /= n;
      const double place = align ? (n == 1 ? 0.0 : 2.0 * static_cast<double>(i) / static_cast<double>(n - 1) - 1.0)
                                 : (2.0 * static_cast<double>(i) + 1.0) / static_cast<double>(n) - 1.0;
      *out++ = static_cast<float>(place);
    }
    *out++ = 1;
  }
  const std::string turned =
      CUPEL_TRY(s.add("Transpose", "turned", {s.in(0)}, {{"perm", std::vector<int64_t>{0, 2, 1}}}));
  const std::string grid =
      CUPEL_TRY(s.add("MatMul", "points", {s.reals_like(s.in(0), "base", std::move(base)), turned}));
  Shape to = {size[0]};
  for (int64_t n : extents) to.emplace_back(n);
  to.emplace_back(static_cast<int64_t>(spatial));
  return s.finish_reshape(grid, to);
}

// The condition decides how many elements there are, so it is a constant. Elements that it is too short for are left
// out.
Status spell_compress(Spelling& s) {
  const Tensor* condition = s.constant_operand(1);
  if (!condition)
    return computed_at_run_time("the condition (operand 1), which decides the shape, is computed at run time",
                                "make it a constant");
  if (condition->dtype() != DType::boolean || condition->rank() != 1)
    return bad_input("",
                     fmt::format("the condition is {}{}, expected a list of bool", dtype_name(condition->dtype()),
                                 to_text(condition->dims())),
                     "correct the condition");
  std::string x = s.in(0);
  const bool of_all = !s.attributes().contains("axis");
  const Shape shape = CUPEL_TRY(s.shape(x));
  if (of_all) x = CUPEL_TRY(s.reshape("all", x, {CUPEL_TRY(shape_elements(shape))}));
  const int64_t axis =
      of_all ? 0 : CUPEL_TRY(normalize_axis(attr_int(s.attributes(), "axis", 0), static_cast<int64_t>(shape.size())));
  const Dim extent = CUPEL_TRY(s.shape(x))[static_cast<size_t>(axis)];
  std::vector<int64_t> chosen;
  for (int64_t i = 0; i < condition->size(); ++i) {
    if (condition->bytes()[static_cast<size_t>(i)] == std::byte{0}) continue;
    if (extent.is_constant() && i >= extent.factor)
      return bad_input("", fmt::format("the condition chooses index {} of {}", i, extent.factor),
                       "correct the condition");
    chosen.push_back(i);
  }
  return s.finish("Gather", {x, s.list("chosen", chosen)}, {{"axis", axis}});
}

}  // namespace cupel
