// ai.onnx's Attention and RotaryEmbedding in the ops of the table.
#include <fmt/format.h>

#include <cmath>
#include <limits>

#include "onnx/spelling.h"

namespace cupel {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

Attributes perm(std::vector<int64_t> axes) { return {{"perm", std::move(axes)}}; }

// A dimension that has to be a number.
Result<int64_t> known(const Dim& d, std::string_view what) {
  if (d.is_constant()) return d.factor;
  return unsupported("", fmt::format("the number of {}, {}, is not known", what, to_text(d)), kGiveSize);
}

// [batch, length, heads · size] as [batch, heads, length, size]; what has four dimensions stays.
Result<std::string> split_heads(Spelling& s, size_t operand, const std::string& part, const char* attribute) {
  const std::string& x = s.in(operand);
  const Shape shape = CUPEL_TRY(s.shape(x));
  if (shape.size() == 4) return x;
  const int64_t heads = attr_int(s.attributes(), attribute, 0);
  if (shape.size() != 3 || heads < 1 || !shape[2].is_constant() || shape[2].factor % heads != 0)
    return bad_input("", fmt::format("operand {} of shape {} is not cut into {} heads", operand, to_text(shape), heads),
                     "correct the attributes");
  const std::string apart =
      CUPEL_TRY(s.reshape(part + "_heads", x, {shape[0], shape[1], heads, shape[2].factor / heads}));
  return s.add("Transpose", part, {apart}, perm({0, 2, 1, 3}));
}

// Each head of keys or values for all heads of queries that share it.
Result<std::string> repeat_heads(Spelling& s, const std::string& part, const std::string& x, int64_t queries) {
  const Shape shape = CUPEL_TRY(s.shape(x));
  const int64_t heads = CUPEL_TRY(known(shape[1], "heads"));
  if (heads == queries) return x;
  if (heads < 1 || queries % heads != 0)
    return bad_input("", fmt::format("{} heads of queries and {} of keys and values", queries, heads),
                     "correct the attributes");
  const std::string apart = CUPEL_TRY(s.reshape(part + "_apart", x, {shape[0], heads, 1, shape[2], shape[3]}));
  const std::string repeated =
      CUPEL_TRY(s.add("Expand", part + "_repeated", {apart, s.list(part + "_repeats", {1, 1, queries / heads, 1, 1})}));
  return s.reshape(part + "_shared", repeated, {shape[0], queries, shape[2], shape[3]});
}

// What is added to the scores, [queries, keys] at the right end of its shape: 0 where a query sees a key, −infinity
// where it does not, or what the model says.
class Bias {
 public:
  Bias(Spelling& s, const std::string& scores, const Shape& shape) : s_(s), scores_(scores), shape_(shape) {}

  // The name of the sum of all terms; empty where there are none.
  Result<std::string> sum() {
    queries_ = CUPEL_TRY(known(shape_[2], "queries"));
    keys_ = CUPEL_TRY(known(shape_[3], "keys"));
    if (s_.has(3)) CUPEL_TRY(add_mask());
    if (s_.has(6)) {
      lengths_ = CUPEL_TRY(s_.reshape("lengths", s_.in(6), {CUPEL_TRY(s_.shape(s_.in(6)))[0], 1, 1, 1}));
      Tensor places(DType::s64, {1, 1, 1, keys_});
      for (int64_t k = 0; k < keys_; ++k) places.mutable_data<int64_t>()[static_cast<size_t>(k)] = k;
      add(CUPEL_TRY(
          where("kept", CUPEL_TRY(s_.add("Less", "inside", {s_.constant("places", std::move(places)), lengths_})))));
    }
    CUPEL_TRY(add_window());
    std::string total;
    for (size_t i = 0; i < terms_.size(); ++i)
      total = i == 0 ? terms_[0] : CUPEL_TRY(s_.add("Add", fmt::format("bias_{}", i), {total, terms_[i]}));
    return total;
  }
  // Whether a query may see no key at all.
  bool may_hide_all() const { return s_.has(3) || s_.has(6) || attr_int(s_.attributes(), "left_window_size", -1) >= 0; }

 private:
  void add(std::string term) { terms_.push_back(std::move(term)); }

  Result<std::string> where(const std::string& part, const std::string& condition) {
    return s_.add(
        "Where", part,
        {condition, s_.real_like(scores_, part + "_seen", 0), s_.real_like(scores_, part + "_hidden", -kInfinity)});
  }

  // The operand, of numbers or of truths; keys behind its end are hidden.
  Status add_mask() {
    std::string mask = s_.in(3);
    if (CUPEL_TRY(s_.file_type(mask)) == DType::boolean) mask = CUPEL_TRY(where("mask", mask));
    const Shape shape = CUPEL_TRY(s_.shape(mask));
    if (shape.empty() || shape.size() > 4)
      return bad_input("", fmt::format("a mask of shape {}", to_text(shape)), "correct the model's shapes");
    const int64_t missing = keys_ - CUPEL_TRY(known(shape.back(), "keys of the mask"));
    if (missing > 0 && shape.back() != Dim(1)) {
      std::vector<int64_t> pads(2 * shape.size(), 0);
      pads.back() = missing;
      mask = CUPEL_TRY(
          s_.add("Pad", "whole_mask", {mask, s_.list("mask_pads", pads), s_.real_like(scores_, "no_key", -kInfinity)}));
    }
    add(mask);
    return {};
  }

  // Query i sits at place offset + i among the keys: those behind it, or too far from it, are hidden.
  Status add_window() {
    const Attributes& a = s_.attributes();
    const int64_t left = attr_int(a, "left_window_size", -1);
    int64_t right = attr_int(a, "right_window_size", -1);
    if (left < -1 || right < -1)
      return bad_input("", fmt::format("windows of {} and {} keys", left, right), "correct the attributes");
    if (attr_int(a, "is_causal", 0) != 0) right = 0;
    if (left < 0 && right < 0) return {};
    const int64_t past = s_.has(4) ? keys_ - queries_ : 0;
    if (lengths_.empty()) {
      Tensor term(DType::f32, {queries_, keys_});
      for (int64_t i = 0; i < queries_; ++i)
        for (int64_t j = 0; j < keys_; ++j)
          if ((right >= 0 && j - i - past > right) || (left >= 0 && i + past - j > left))
            term.mutable_data<float>()[static_cast<size_t>(i * keys_ + j)] = -kInfinity;
      add(s_.reals_like(scores_, "window", std::move(term)));
      return {};
    }
    // Each sequence ends where its length says: j − i + queries is compared with it.
    Tensor places(DType::s64, {1, 1, queries_, keys_});
    for (int64_t i = 0; i < queries_; ++i)
      for (int64_t j = 0; j < keys_; ++j)
        places.mutable_data<int64_t>()[static_cast<size_t>(i * keys_ + j)] = j - i + queries_;
    const std::string ahead =
        CUPEL_TRY(s_.add("Sub", "ahead", {s_.constant("ahead_places", std::move(places)), lengths_}));
    const auto bound = [&](const char* part, const char* op, int64_t limit) -> Status {
      const std::string seen =
          CUPEL_TRY(s_.add(op, std::string(part) + "_seen",
                           {ahead, s_.constant(std::string(part) + "_limit", Tensor::scalar<int64_t>(limit))}));
      add(CUPEL_TRY(where(part, seen)));
      return {};
    };
    if (right >= 0) CUPEL_TRY(bound("right", "LessOrEqual", right));
    if (left >= 0) CUPEL_TRY(bound("left", "GreaterOrEqual", -left));
    return {};
  }

  Spelling& s_;
  const std::string& scores_;
  const Shape& shape_;
  int64_t queries_ = 0, keys_ = 0;
  std::string lengths_;
  std::vector<std::string> terms_;
};

// Result 3 is one of the steps from the product to the weights.
enum Step : int64_t { product, capped, biased, weighed };

// softmax of the scores; 0 for a query that sees no key.
Result<std::string> attention_weights(Spelling& s, std::string scores) {
  const int64_t shown = s.gives(3) ? attr_int(s.attributes(), "qk_matmul_output_mode", 0) : -1;
  const auto show = [&](int64_t step, const std::string& value) {
    return shown == step ? s.give(3, "Identity", {value}) : Status{};
  };
  if (const float cap = attr_real(s.attributes(), "softcap", 0); cap > 0) {
    const std::string small = CUPEL_TRY(s.add("Div", "small", {scores, s.real_like(scores, "cap", cap)}));
    const std::string bent = CUPEL_TRY(s.add("Tanh", "bent", {small}));
    scores = CUPEL_TRY(s.add("Mul", "capped", {bent, s.real_like(scores, "cap", cap)}));
  }
  CUPEL_TRY(show(product, scores));  // the definition caps the product in place
  CUPEL_TRY(show(capped, scores));
  const Shape shape = CUPEL_TRY(s.shape(scores));
  Bias bias(s, scores, shape);
  const std::string total = CUPEL_TRY(bias.sum());
  if (!total.empty()) scores = CUPEL_TRY(s.add("Add", "masked", {scores, total}));
  CUPEL_TRY(show(biased, scores));
  std::string weights = CUPEL_TRY(s.add("Softmax", "weights", {scores}, {{"axis", int64_t{-1}}}));
  if (bias.may_hide_all() && !total.empty()) {
    const std::string most = CUPEL_TRY(s.add("ReduceMax", "most", {total, s.list("last_axis", {-1})}));
    const std::string none = CUPEL_TRY(s.add("Equal", "none", {most, s.real_like(scores, "hidden", -kInfinity)}));
    weights = CUPEL_TRY(s.add("Where", "seen_weights", {none, s.real_like(scores, "nothing", 0), weights}));
  }
  CUPEL_TRY(show(weighed, weights));
  return weights;
}

}  // namespace

// softmax(query × keyᵀ · scale + bias) × value; results 1 and 2 are keys and values behind those of the past.
Status spell_scaled_attention(Spelling& s) {
  if (s.has(4) != s.has(5)) return bad_input("", "a past has keys and values", "correct the model");
  const bool joined = CUPEL_TRY(s.shape(s.in(0))).size() == 3;
  std::string query = CUPEL_TRY(split_heads(s, 0, "query", "q_num_heads")),
              key = CUPEL_TRY(split_heads(s, 1, "key", "kv_num_heads")),
              value = CUPEL_TRY(split_heads(s, 2, "value", "kv_num_heads"));
  if (s.has(4)) {
    key = CUPEL_TRY(s.add("Concat", "all_keys", {s.in(4), key}, {{"axis", int64_t{2}}}));
    value = CUPEL_TRY(s.add("Concat", "all_values", {s.in(5), value}, {{"axis", int64_t{2}}}));
  }
  if (s.gives(1)) CUPEL_TRY(s.give(1, "Identity", {key}));
  if (s.gives(2)) CUPEL_TRY(s.give(2, "Identity", {value}));
  const Shape shape = CUPEL_TRY(s.shape(query));
  if (shape.size() != 4 || CUPEL_TRY(s.shape(key)).size() != 4 || CUPEL_TRY(s.shape(value)).size() != 4)
    return bad_input("", "queries, keys and values of different ranks", "correct the model's shapes");
  const int64_t heads = CUPEL_TRY(known(shape[1], "heads"));
  key = CUPEL_TRY(repeat_heads(s, "key", key, heads));
  value = CUPEL_TRY(repeat_heads(s, "value", value, heads));
  const auto size = static_cast<float>(CUPEL_TRY(known(shape[3], "elements of a head")));
  const float scale = attr_real(s.attributes(), "scale", 1.0f / std::sqrt(size));
  query = CUPEL_TRY(s.add("Mul", "scaled", {query, s.real_like(query, "scale", scale)}));
  const std::string turned = CUPEL_TRY(s.add("Transpose", "key_turned", {key}, perm({0, 1, 3, 2})));
  const std::string scores = CUPEL_TRY(s.add("MatMul", "product", {query, turned}));
  const std::string weights = CUPEL_TRY(attention_weights(s, scores));
  if (!joined) return s.finish("MatMul", {weights, value});
  const std::string mixed = CUPEL_TRY(s.add("MatMul", "mixed", {weights, value}));
  const std::string back = CUPEL_TRY(s.add("Transpose", "joined", {mixed}, perm({0, 2, 1, 3})));
  const Shape apart = CUPEL_TRY(s.shape(back));
  return s.finish_reshape(back, {apart[0], apart[1], CUPEL_TRY(dim_mul(apart[2], apart[3]))});
}

namespace {

// Operands of both forms: ai.onnx's (x, cosines, sines, places) and com.microsoft's (x, places, cosines, sines).
struct Rotary {
  size_t cosines = 1, sines = 2, places = 3;
  int64_t size = 0;    // of a head
  int64_t turned = 0;  // elements of a head that turn, in pairs
  bool heads_first = false;
};

// Rows of a table of angles for [batch, length, 1, pairs], or with heads first [batch, 1, length, pairs].
Result<std::string> angles(Spelling& s, const Rotary& r, const std::string& part, size_t operand) {
  std::string rows = s.in(operand);
  const Shape shape = CUPEL_TRY(s.shape(rows));
  if (s.has(r.places))
    rows = CUPEL_TRY(s.add("Gather", part + "_rows", {rows, s.in(r.places)}, {{"axis", int64_t{0}}}));
  if (CUPEL_TRY(s.shape(rows)).size() != 3)
    return unsupported("", fmt::format("angles of shape {}", to_text(shape)),
                       "give a place for each element of the batch");
  if (shape.back() != Dim(r.turned / 2))
    rows = CUPEL_TRY(
        s.add("Slice", part + "_pairs",
              {rows, s.list(part + "_from", {0}), s.list(part + "_to", {r.turned / 2}), s.list(part + "_axis", {2})}));
  return s.add("Unsqueeze", part, {rows, s.list(part + "_heads", {r.heads_first ? 1 : 2})});
}

// Elements [from, to) of the last dimension, each step-th.
Result<std::string> elements(Spelling& s, const std::string& part, const std::string& x, int64_t from, int64_t to,
                             int64_t step = 1) {
  return s.add("Slice", part,
               {x, s.list(part + "_from", {from}), s.list(part + "_to", {to}), s.list(part + "_axis", {3}),
                s.list(part + "_step", {step})});
}

// The pairs (a, b) of x turned by their angles.
Result<std::string> turned_pairs(Spelling& s, const Rotary& r, const std::string& x) {
  const bool interleaved = attr_int(s.attributes(), "interleaved", 0) != 0;
  const int64_t half = r.turned / 2;
  const std::string a = CUPEL_TRY(elements(s, "first", x, 0, interleaved ? r.turned : half, interleaved ? 2 : 1)),
                    b = CUPEL_TRY(elements(s, "second", x, interleaved ? 1 : half, r.turned, interleaved ? 2 : 1));
  const std::string cosine = CUPEL_TRY(angles(s, r, "cosine", r.cosines)),
                    sine = CUPEL_TRY(angles(s, r, "sine", r.sines));
  const auto combined = [&](const std::string& part, const char* op, const std::string& u,
                            const std::string& v) -> Result<std::string> {
    const std::string left = CUPEL_TRY(s.add("Mul", part + "_left", {a, u})),
                      right = CUPEL_TRY(s.add("Mul", part + "_right", {b, v}));
    return s.add(op, part, {left, right});
  };
  const std::string real = CUPEL_TRY(combined("real", "Sub", cosine, sine)),
                    imaginary = CUPEL_TRY(combined("imaginary", "Add", sine, cosine));
  if (!interleaved) return s.add("Concat", "turned", {real, imaginary}, {{"axis", int64_t{3}}});
  const Shape shape = CUPEL_TRY(s.shape(real));
  std::vector<std::string> columns;
  for (const auto& [part, value] : {std::pair("real_column", real), {"imaginary_column", imaginary}})
    columns.push_back(CUPEL_TRY(s.add("Unsqueeze", part, {value, s.list(std::string(part) + "_axis", {4})})));
  const std::string pairs = CUPEL_TRY(s.add("Concat", "pairs", columns, {{"axis", int64_t{4}}}));
  return s.reshape("turned", pairs, {shape[0], shape[1], shape[2], r.turned});
}

}  // namespace

// Positions written into queries and keys by turning pairs of their elements (Su et al. 2021, arXiv:2104.09864).
Status spell_rotary_embedding(Spelling& s) {
  Rotary r;
  if (s.op().starts_with("com.microsoft.")) r = {.cosines = 2, .sines = 3, .places = 1};
  const Shape given = CUPEL_TRY(s.shape(s.in(0)));
  std::string x = s.in(0);
  r.heads_first = given.size() == 4;
  if (given.size() == 3) {
    const int64_t heads = attr_int(s.attributes(), "num_heads", 0);
    if (heads < 1 || !given[2].is_constant() || given[2].factor % heads != 0)
      return unsupported("", fmt::format("shape {} is not cut into {} heads", to_text(given), heads), "give num_heads");
    x = CUPEL_TRY(s.reshape("heads", x, {given[0], given[1], heads, given[2].factor / heads}));
  } else if (given.size() != 4) {
    return bad_input("", fmt::format("operand 0 has shape {}, expected 3 or 4 dimensions", to_text(given)),
                     "correct the model's shapes");
  }
  r.size = CUPEL_TRY(known(CUPEL_TRY(s.shape(x))[3], "elements of a head"));
  const int64_t wanted = attr_int(s.attributes(), "rotary_embedding_dim", 0);
  r.turned = wanted == 0 ? r.size : wanted;
  if (r.turned < 2 || r.turned % 2 != 0 || r.turned > r.size)
    return bad_input("", fmt::format("{} of {} elements of a head are turned in pairs", r.turned, r.size),
                     "correct the attributes");
  std::string y = CUPEL_TRY(turned_pairs(s, r, x));
  if (r.turned < r.size)
    y = CUPEL_TRY(
        s.add("Concat", "whole", {y, CUPEL_TRY(elements(s, "kept", x, r.turned, r.size))}, {{"axis", int64_t{3}}}));
  return s.finish_reshape(y, given);
}

}  // namespace cupel
