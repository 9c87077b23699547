// Reductions, norms and their kind in the ops of the table.
#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "onnx/spelling.h"
#include "ops/onnx_dtype.h"

namespace cupel {
namespace {

// Axes as operand 1 of the parts; "" for all dimensions. Below opset 18 they are an attribute.
std::string axes_of(Spelling& s) {
  if (s.has(1)) return s.in(1);
  const auto axes = attr_ints(s.attributes(), "axes");
  return axes.empty() ? std::string() : s.list("axes", axes);
}

class Reduction {
 public:
  explicit Reduction(Spelling& s) : s_(s), axes_(axes_of(s)) {}

  // `op` over the operator's axes.
  Result<std::string> add(const std::string& op, const std::string& part, const std::string& x) {
    return s_.add(op, part, operands(x), attributes());
  }
  Status finish(const std::string& op, const std::string& x) { return s_.finish(op, operands(x), attributes()); }
  // With the dimensions of x kept.
  Result<std::string> kept(const std::string& op, const std::string& part, const std::string& x) {
    Attributes all = attributes();
    all["keepdims"] = int64_t{1};
    return s_.add(op, part, operands(x), std::move(all));
  }

 private:
  std::vector<std::string> operands(const std::string& x) const {
    return axes_.empty() ? std::vector<std::string>{x} : std::vector<std::string>{x, axes_};
  }
  Attributes attributes() const {
    Attributes chosen;
    for (const char* key : {"keepdims", "noop_with_empty_axes"})
      if (const auto found = s_.attributes().find(key); found != s_.attributes().end()) chosen.insert(*found);
    return chosen;
  }

  Spelling& s_;
  std::string axes_;
};

// log(Σ e^x) as log(Σ e^(x − m)) + m, m the greatest; a finite m, so that infinities do not meet.
Status log_sum_exp(Spelling& s, Reduction& reduction) {
  const std::string& x = s.in(0);
  const bool wide = CUPEL_TRY(s.file_type(x)) == DType::f64;
  const auto bound = [&](const char* part, int sign) {
    return wide ? s.constant(part, Tensor::scalar<double>(sign * std::numeric_limits<double>::max()))
                : s.real_like(x, part, static_cast<float>(sign) * std::numeric_limits<float>::max());
  };
  const std::string low = bound("lowest", -1), high = bound("greatest", 1);
  const auto clipped = [&](const std::string& part, const std::string& m) {
    return s.add("Clip", part, {m, low, high});
  };
  const std::string m = CUPEL_TRY(clipped("shift", CUPEL_TRY(reduction.kept("ReduceMax", "maxima", x))));
  const std::string e = CUPEL_TRY(s.add("Exp", "exp", {CUPEL_TRY(s.add("Sub", "shifted", {x, m}))}));
  const std::string log = CUPEL_TRY(s.add("Log", "log", {CUPEL_TRY(reduction.add("ReduceSum", "sum", e))}));
  return s.finish("Add", {log, CUPEL_TRY(clipped("back", CUPEL_TRY(reduction.add("ReduceMax", "max", x))))});
}

std::vector<int64_t> axes_from(size_t first, size_t rank) {
  std::vector<int64_t> axes(rank - first);
  std::iota(axes.begin(), axes.end(), static_cast<int64_t>(first));
  return axes;
}

// |x|^p
Result<std::string> power_of(Spelling& s, const std::string& x, float p) {
  if (p == 2) return s.add("Mul", "square", {x, x});
  std::string size = CUPEL_TRY(s.add("Abs", "size", {x}));
  if (p == 1) return size;
  return s.add("Pow", "power", {std::move(size), s.real_like(x, "p", p)});
}

// Σ |x|^p over the axes.
Result<std::string> sum_of_powers(Spelling& s, const std::string& x, const std::string& axes, float p, bool keep) {
  return s.add("ReduceSum", "sum", {CUPEL_TRY(power_of(s, x, p)), axes}, {{"keepdims", int64_t{keep ? 1 : 0}}});
}

// x^(1/p)
Status finish_root(Spelling& s, const std::string& x, float p) {
  if (p == 1) return s.finish("Identity", {x});
  if (p == 2) return s.finish("Sqrt", {x});
  return s.finish("Pow", {x, s.real_like(x, "root", 1.0f / p)});
}

// An integer; of opset 1 a real.
Result<float> norm_of(Spelling& s) {
  const auto p = static_cast<float>(attr_int(s.attributes(), "p", 2));
  if (!(p >= 1)) return bad_input("", "p is below 1", "correct the attribute");
  return p;
}

}  // namespace

Status spell_reduction(Spelling& s) {
  Reduction reduction(s);
  const std::string& x = s.in(0);
  if (s.op() == "ReduceLogSumExp") return log_sum_exp(s, reduction);
  if (s.op() == "ReduceLogSum") return s.finish("Log", {CUPEL_TRY(reduction.add("ReduceSum", "sum", x))});
  if (s.op() == "ReduceL1") return reduction.finish("ReduceSum", CUPEL_TRY(s.add("Abs", "size", {x})));
  const std::string square = CUPEL_TRY(s.add("Mul", "square", {x, x}));
  if (s.op() == "ReduceSumSquare") return reduction.finish("ReduceSum", square);
  return s.finish("Sqrt", {CUPEL_TRY(reduction.add("ReduceSum", "sum", square))});
}

// One Add after the other.
Status spell_sum(Spelling& s) {
  if (s.inputs().size() == 1) return s.finish("Identity", {s.in(0)});
  std::string sum = s.in(0);
  for (size_t i = 1; i + 1 < s.inputs().size(); ++i) sum = CUPEL_TRY(s.add("Add", std::to_string(i), {sum, s.in(i)}));
  return s.finish("Add", {sum, s.inputs().back()});
}

Status spell_mean(Spelling& s) {
  if (s.inputs().size() == 1) return s.finish("Identity", {s.in(0)});
  std::string sum = s.in(0);
  for (size_t i = 1; i < s.inputs().size(); ++i) sum = CUPEL_TRY(s.add("Add", std::to_string(i), {sum, s.in(i)}));
  return s.finish("Div", {sum, s.real_like(sum, "count", static_cast<float>(s.inputs().size()))});
}

// 1 at the first of the greatest elements, 0 elsewhere. Below opset 13 over everything from axis on.
Status spell_hardmax(Spelling& s) {
  const std::string& x = s.in(0);
  const Shape shape = CUPEL_TRY(s.shape(x));
  const auto rank = static_cast<int64_t>(shape.size());
  const int64_t axis = CUPEL_TRY(normalize_axis(attr_int(s.attributes(), "axis", s.opset() < 13 ? 1 : -1), rank));
  const int64_t end = s.opset() < 13 ? rank : axis + 1;
  Dims extents(static_cast<size_t>(rank), 1);
  for (auto d = static_cast<size_t>(axis); d < static_cast<size_t>(end); ++d) {
    if (!shape[d].is_constant())
      return unsupported("", "a dimension that is searched is not known", "fix the model's dimensions");
    extents[d] = shape[d].factor;
  }
  if (element_count(extents) > (int64_t{1} << 24))  // they are exact in binary32
    return unsupported("", "more than 2^24 elements are searched", "search fewer elements at once");
  Tensor numbers(DType::f32, extents);
  std::iota(numbers.mutable_data<float>().begin(), numbers.mutable_data<float>().end(), 0.0f);
  const std::string index = s.reals_like(x, "index", std::move(numbers)), none = s.real_like(x, "none", 0x1p+30f);
  std::vector<int64_t> searched(static_cast<size_t>(end - axis));
  std::iota(searched.begin(), searched.end(), axis);
  const std::string axes = s.list("axes", searched);
  const std::string greatest = CUPEL_TRY(s.add("ReduceMax", "greatest", {x, axes}));
  const std::string equal = CUPEL_TRY(s.add("Equal", "equal", {x, greatest}));
  const std::string places = CUPEL_TRY(s.add("Where", "places", {equal, index, none}));
  const std::string first = CUPEL_TRY(s.add("ReduceMin", "first", {places, axes}));
  const std::string found = CUPEL_TRY(s.add("Equal", "found", {index, first}));
  return s.finish("Cast", {found}, {{"to", onnx_dtype(CUPEL_TRY(s.file_type(x)))}});
}

// x / (Σ |x|^p)^(1/p); a row of zeros stays one.
Status spell_lp_normalization(Spelling& s) {
  const std::string& x = s.in(0);
  const float p = CUPEL_TRY(norm_of(s));
  if (p > 2) return bad_input("", "p is neither 1 nor 2", "correct the attribute");
  const std::string axis = s.list("axis", {attr_int(s.attributes(), "axis", -1)});
  const std::string sum = CUPEL_TRY(sum_of_powers(s, x, axis, p, true));
  const std::string norm = p == 1 ? sum : CUPEL_TRY(s.add("Sqrt", "norm", {sum}));
  return s.finish("Div", {x, CUPEL_TRY(s.add("Max", "divisor", {norm, s.real_like(x, "least", 0x1p-126f)}))});
}

// (Σ |x|^p)^(1/p) over windows; the sum is a convolution of each channel with ones.
Status spell_lp_pool(Spelling& s) {
  const std::string& x = s.in(0);
  const float p = CUPEL_TRY(norm_of(s));
  const Shape shape = CUPEL_TRY(s.shape(x));
  const auto kernel = attr_ints(s.attributes(), "kernel_shape");
  if (shape.size() != kernel.size() + 2)
    return bad_input("", "kernel_shape does not fit the operand's rank", "correct the attribute");
  if (!shape[1].is_constant())
    return unsupported("", "the number of channels is not known", "fix the model's dimensions");
  const auto of = [&](const char* key, int64_t fallback, size_t d) {
    const auto list = attr_ints(s.attributes(), key);
    return d < list.size() ? list[d] : fallback;
  };
  Attributes attributes = {{"group", shape[1].factor}, {"kernel_shape", kernel}};
  for (const char* key : {"strides", "dilations", "pads", "auto_pad"})
    if (const auto found = s.attributes().find(key); found != s.attributes().end()) attributes.insert(*found);
  if (attr_int(s.attributes(), "ceil_mode", 0) != 0) {
    // Zeros behind, as far as the last window reaches.
    const size_t n = kernel.size();
    std::vector<int64_t> pads(2 * n);
    for (size_t d = 0; d < n; ++d) {
      if (!shape[d + 2].is_constant())
        return unsupported("", "a spatial dimension is not known", "fix the model's dimensions");
      const int64_t before = of("pads", 0, d), after = of("pads", 0, n + d), stride = of("strides", 1, d),
                    reach = (kernel[d] - 1) * of("dilations", 1, d) + 1, extent = shape[d + 2].factor;
      if (stride < 1) return bad_input("", "a stride is below 1", "correct the attribute");
      int64_t windows = (std::max<int64_t>(0, extent + before + after - reach) + stride - 1) / stride + 1;
      if ((windows - 1) * stride >= extent + before) --windows;  // none begins in the padding behind
      pads[d] = before;
      pads[n + d] = std::max(after, (windows - 1) * stride + reach - extent - before);
    }
    attributes["pads"] = pads;
  }
  const std::string term = CUPEL_TRY(power_of(s, x, p));
  Dims dims = {shape[1].factor, 1};
  dims.insert(dims.end(), kernel.begin(), kernel.end());
  CUPEL_TRY(count_elements(dims));
  Tensor ones(DType::f32, dims);
  std::ranges::fill(ones.mutable_data<float>(), 1.0f);
  const std::string weights = s.reals_like(x, "ones", std::move(ones));
  return finish_root(s, CUPEL_TRY(s.add("Conv", "sum", {term, weights}, std::move(attributes))), p);
}

Status spell_global_lp_pool(Spelling& s) {
  const float p = CUPEL_TRY(norm_of(s));
  const size_t rank = CUPEL_TRY(s.shape(s.in(0))).size();
  if (rank < 3) return bad_input("", "the operand has no spatial dimensions", "correct the model's shapes");
  const std::string axes = s.list("axes", axes_from(2, rank));
  return finish_root(s, CUPEL_TRY(sum_of_powers(s, s.in(0), axes, p, true)), p);
}

// (x − mean) / (√(mean of (x − mean)²) + 1e-9)
Status spell_mean_variance_normalization(Spelling& s) {
  const std::string &x = s.in(0), axes = s.list("axes", attr_ints(s.attributes(), "axes", {0, 2, 3}));
  const std::string mean = CUPEL_TRY(s.add("ReduceMean", "mean", {x, axes}));
  const std::string centred = CUPEL_TRY(s.add("Sub", "centred", {x, mean}));
  const std::string square = CUPEL_TRY(s.add("Mul", "square", {centred, centred}));
  const std::string variance = CUPEL_TRY(s.add("ReduceMean", "variance", {square, axes}));
  const std::string deviation = CUPEL_TRY(s.add("Sqrt", "deviation", {variance}));
  return s.finish("Div", {centred, CUPEL_TRY(s.add("Add", "divisor", {deviation, s.real_like(x, "epsilon", 1e-9f)}))});
}

// Channels in groups as the channels of an InstanceNormalization, whose result is scaled and shifted.
Status spell_group_normalization(Spelling& s) {
  const std::string& x = s.in(0);
  const Shape shape = CUPEL_TRY(s.shape(x));
  const int64_t groups = attr_int(s.attributes(), "num_groups", 0);
  if (shape.size() < 2 || !shape[1].is_constant())
    return unsupported("", "the number of channels is not known", "fix the model's dimensions");
  const int64_t channels = shape[1].factor;
  if (groups < 1 || channels % groups != 0)
    return bad_input("", "the number of channels is no multiple of num_groups", "correct the attribute");
  Dim rest = channels / groups;
  for (size_t d = 2; d < shape.size(); ++d) rest = CUPEL_TRY(dim_mul(rest, shape[d]));
  Tensor ones(DType::f32, {groups});
  std::ranges::fill(ones.mutable_data<float>(), 1.0f);
  const std::string scale = s.reals_like(x, "ones", std::move(ones)),
                    bias = s.reals_like(x, "zeros", Tensor(DType::f32, {groups}));
  const std::string grouped = CUPEL_TRY(s.reshape("groups", x, {shape[0], groups, rest}));
  const std::string normal = CUPEL_TRY(s.add("InstanceNormalization", "normal", {grouped, scale, bias},
                                             {{"epsilon", attr_real(s.attributes(), "epsilon", 1e-5f)}}));
  const std::string back = CUPEL_TRY(s.reshape("back", normal, shape));
  // Below opset 21 there is one number for each group.
  const auto spread = [&](size_t i, const char* part) -> Result<std::string> {
    Shape along(shape.size() - 1, Dim(1));
    along[0] = channels;
    std::string numbers = s.in(i);
    if (s.opset() < 21) {
      const std::string column = CUPEL_TRY(s.reshape(std::string(part) + "_group", numbers, {groups, 1}));
      numbers = CUPEL_TRY(s.add("Expand", std::string(part) + "_groups",
                                {column, s.list(std::string(part) + "_shape", {groups, channels / groups})}));
    }
    return s.reshape(part, numbers, along);
  };
  const std::string scaled = CUPEL_TRY(s.add("Mul", "scaled", {back, CUPEL_TRY(spread(1, "scale"))}));
  return s.finish("Add", {scaled, CUPEL_TRY(spread(2, "bias"))});
}

}  // namespace cupel
