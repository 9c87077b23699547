// ONNX Runtime's operators for whole parts of transformers (domain com.microsoft), in the ops of the table, as
// exporters write them without that runtime.
#include <fmt/format.h>

#include <cmath>

#include "onnx/spelling.h"
#include "ops/onnx_dtype.h"

namespace cupel {
namespace {

const char* const kWithoutFusion = "export the model without fusion of attention";

Attributes perm(std::vector<int64_t> axes) { return {{"perm", std::move(axes)}}; }

// Queries, keys and values, [batch, heads, length, size of a head] each.
struct Heads {
  std::string query, key, value;
  int64_t count = 0, size = 0;
};

class Attention {
 public:
  Attention(Spelling& s, int64_t heads) : s_(s), heads_(heads) {}

  // [batch, length, heads · size] as [batch, heads, length, size].
  Result<std::string> split(const std::string& part, const std::string& x, int64_t& size) {
    const Shape shape = CUPEL_TRY(s_.shape(x));
    if (shape.size() != 3 || !shape[2].is_constant() || heads_ < 1 || shape[2].factor % heads_ != 0)
      return unsupported("", fmt::format("shape {} is not cut into {} heads", to_text(shape), heads_), kWithoutFusion);
    size = shape[2].factor / heads_;
    const std::string apart = CUPEL_TRY(s_.reshape(part + "_heads", x, {shape[0], shape[1], heads_, size}));
    return s_.add("Transpose", part, {apart}, perm({0, 2, 1, 3}));
  }

  // What a mask adds to the scores [batch, heads, queries, keys]: `filter` where it is 0. It has one number for each
  // key of each sequence, [batch, keys], or for each pair, [batch, queries, keys].
  Result<std::string> mask_term(const std::string& mask, float filter, const std::string& like) {
    const Shape shape = CUPEL_TRY(s_.shape(mask));
    if (shape.size() != 2 && shape.size() != 3)
      return unsupported("", fmt::format("a mask of shape {}", to_text(shape)), kWithoutFusion);
    const DType type = CUPEL_TRY(s_.file_type(like));
    const std::string numbers = CUPEL_TRY(s_.add("Cast", "mask_numbers", {mask}, {{"to", onnx_dtype(type)}}));
    const std::string one = s_.real_like(like, "one", 1);
    const std::string keeps =
        CUPEL_TRY(s_.add("Clip", "mask_keeps", {numbers, s_.real_like(like, "mask_zero", 0), one}));
    const std::string drops = CUPEL_TRY(s_.add("Sub", "mask_drops", {one, keeps}));
    const std::string term = CUPEL_TRY(s_.add("Mul", "mask_term", {drops, s_.real_like(like, "filter", filter)}));
    return s_.add("Unsqueeze", "mask",
                  {term, shape.size() == 2 ? s_.list("mask_axes", {1, 2}) : s_.list("mask_axes", {1})});
  }

  // −the greatest number for keys behind the query, [queries, keys]; the last of each belong together.
  Result<std::string> causal_term(const std::string& scores) {
    const Shape shape = CUPEL_TRY(s_.shape(scores));
    if (!shape[2].is_constant() || !shape[3].is_constant())
      return unsupported("", "a causal mask of a length that is not known", "fix the model's dimensions");
    const int64_t queries = shape[2].factor, keys = shape[3].factor;
    Tensor term(DType::f32, {queries, keys});
    for (int64_t q = 0; q < queries; ++q)
      for (int64_t k = keys - queries + q + 1; k < keys; ++k)
        if (k >= 0) term.mutable_data<float>()[static_cast<size_t>(q * keys + k)] = -0x1.fffffep+127f;
    return s_.reals_like(scores, "causal", std::move(term));
  }

  // softmax(query × keyᵀ · scale + terms) × value as [batch, length, heads · size]: the last node.
  Status finish(const Heads& heads, float scale, const std::vector<std::string>& terms, bool causal) {
    const std::string turned = CUPEL_TRY(s_.add("Transpose", "key_turned", {heads.key}, perm({0, 1, 3, 2})));
    const std::string product = CUPEL_TRY(s_.add("MatMul", "product", {heads.query, turned}));
    if (scale == 0) scale = 1.0f / std::sqrt(static_cast<float>(heads.size));
    std::string scores = CUPEL_TRY(s_.add("Mul", "scores", {product, s_.real_like(product, "scale", scale)}));
    for (size_t i = 0; i < terms.size(); ++i)
      scores = CUPEL_TRY(s_.add("Add", fmt::format("masked_{}", i), {scores, terms[i]}));
    if (causal) scores = CUPEL_TRY(s_.add("Add", "masked", {scores, CUPEL_TRY(causal_term(scores))}));
    const std::string weights = CUPEL_TRY(s_.add("Softmax", "weights", {scores}, {{"axis", int64_t{-1}}}));
    const std::string mixed = CUPEL_TRY(s_.add("MatMul", "mixed", {weights, heads.value}));
    const std::string back = CUPEL_TRY(s_.add("Transpose", "joined", {mixed}, perm({0, 2, 1, 3})));
    const Shape shape = CUPEL_TRY(s_.shape(back));
    return s_.finish_reshape(back, {shape[0], shape[1], CUPEL_TRY(dim_mul(shape[2], shape[3]))});
  }

 private:
  Spelling& s_;
  int64_t heads_;
};

// The parts of a value along its last dimension.
Result<std::vector<std::string>> parts_of(Spelling& s, const std::string& part, const std::string& x,
                                          const std::vector<int64_t>& sizes) {
  return s.add_several("Split", part, sizes.size(), {x, s.list(part + "_sizes", sizes)}, {{"axis", int64_t{-1}}});
}

Status expect_absent(const Spelling& s, std::initializer_list<std::pair<size_t, const char*>> operands) {
  for (const auto& [i, what] : operands)
    if (s.has(i)) return unsupported("", fmt::format("{} (operand {}) is given", what, i), kWithoutFusion);
  return {};
}

}  // namespace

// input × weights + bias cut into queries, keys and values.
Status spell_attention(Spelling& s) {
  CUPEL_TRY(expect_absent(s, {{4, "a past"}, {6, "the length of a past"}}));
  if (s.gives(1)) return unsupported("", "keys and values are asked for", kWithoutFusion);
  if (attr_int(s.attributes(), "do_rotary", 0) != 0) return unsupported("", "do_rotary is set", kWithoutFusion);
  const Shape weights = CUPEL_TRY(s.shape(s.in(1)));
  if (weights.size() != 2 || !weights[1].is_constant())
    return bad_input("", fmt::format("the weights have shape {}", to_text(weights)), "export the model again");
  const int64_t third = weights[1].factor / 3;
  const auto sizes = attr_ints(s.attributes(), "qkv_hidden_sizes", {third, third, third});
  if (sizes.size() != 3) return bad_input("", "qkv_hidden_sizes has not three elements", "correct the attribute");
  std::string all = CUPEL_TRY(s.add("MatMul", "projected", {s.in(0), s.in(1)}));
  if (s.has(2)) all = CUPEL_TRY(s.add("Add", "biased", {all, s.in(2)}));
  const auto parts = CUPEL_TRY(parts_of(s, "parts", all, sizes));
  Heads heads{.count = attr_int(s.attributes(), "num_heads", 0)};
  Attention attention(s, heads.count);
  int64_t value_size = 0;
  heads.value = CUPEL_TRY(attention.split("value", parts[2], value_size));
  heads.key = CUPEL_TRY(attention.split("key", parts[1], heads.size));
  heads.query = CUPEL_TRY(attention.split("query", parts[0], heads.size));
  std::vector<std::string> terms;
  if (s.has(3))
    terms.push_back(
        CUPEL_TRY(attention.mask_term(s.in(3), attr_real(s.attributes(), "mask_filter_value", -10000.0f), s.in(0))));
  if (s.has(5)) terms.push_back(s.in(5));
  return attention.finish(heads, attr_real(s.attributes(), "scale", 0), terms,
                          attr_int(s.attributes(), "unidirectional", 0) != 0);
}

// Queries, keys and values that are projected already; keys and values perhaps behind those of a past.
Status spell_multi_head_attention(Spelling& s) {
  CUPEL_TRY(expect_absent(s, {{8, "the length of a past"}, {9, "an indirection"}}));
  if (!s.has(1) || !s.has(2)) return unsupported("", "queries, keys and values in one operand", kWithoutFusion);
  std::vector<std::string> given = {s.in(0), s.in(1), s.in(2)};
  const bool split_already = CUPEL_TRY(s.shape(given[1])).size() == 4;
  if (s.has(3)) {
    std::vector<int64_t> sizes;
    for (const std::string& x : given) {
      const Shape shape = CUPEL_TRY(s.shape(x));
      if (shape.size() != 3 || !shape[2].is_constant())
        return unsupported("", fmt::format("a bias beside an operand of shape {}", to_text(shape)), kWithoutFusion);
      sizes.push_back(shape[2].factor);
    }
    const auto biases = CUPEL_TRY(parts_of(s, "biases", s.in(3), sizes));
    for (size_t i = 0; i < 3; ++i)
      given[i] = CUPEL_TRY(s.add("Add", fmt::format("biased_{}", i), {given[i], biases[i]}));
  }
  Heads heads{.count = attr_int(s.attributes(), "num_heads", 0)};
  Attention attention(s, heads.count);
  int64_t value_size = 0;
  heads.value = split_already ? given[2] : CUPEL_TRY(attention.split("value", given[2], value_size));
  heads.key = split_already ? given[1] : CUPEL_TRY(attention.split("key", given[1], heads.size));
  heads.query = CUPEL_TRY(attention.split("query", given[0], heads.size));
  const auto behind_past = [&](const char* part, size_t past, const std::string& x) -> Result<std::string> {
    if (!s.has(past)) return x;
    return s.add("Concat", part, {s.in(past), x}, {{"axis", int64_t{2}}});
  };
  heads.key = CUPEL_TRY(behind_past("all_keys", 6, heads.key));
  heads.value = CUPEL_TRY(behind_past("all_values", 7, heads.value));
  if (s.gives(1)) CUPEL_TRY(s.give(1, "Identity", {heads.key}));
  if (s.gives(2)) CUPEL_TRY(s.give(2, "Identity", {heads.value}));
  std::vector<std::string> terms;
  if (s.has(4))
    terms.push_back(
        CUPEL_TRY(attention.mask_term(s.in(4), attr_real(s.attributes(), "mask_filter_value", -10000.0f), given[0])));
  if (s.has(5)) terms.push_back(s.in(5));
  return attention.finish(heads, attr_real(s.attributes(), "scale", 0), terms,
                          attr_int(s.attributes(), "unidirectional", 0) != 0);
}

// The normalized sum of the embeddings of words, places and segments; result 1 counts the words that the mask keeps,
// result 2 is the sum.
Status spell_embed_layer_normalization(Spelling& s) {
  const std::string &ids = s.in(0), &words = s.in(2), &places = s.in(3);
  const Shape shape = CUPEL_TRY(s.shape(ids));
  if (shape.size() != 2)
    return bad_input("", fmt::format("input_ids has shape {}, expected two dimensions", to_text(shape)),
                     "correct the model's shapes");
  const Attributes rows = {{"axis", int64_t{0}}};
  std::string sum = CUPEL_TRY(s.add("Gather", "word", {words, ids}, rows));
  std::string place;
  if (s.has(8)) {
    place = CUPEL_TRY(s.add("Gather", "place", {places, s.in(8)}, rows));
  } else {
    if (!shape[1].is_constant())
      return unsupported("", "a sequence whose length is not known", "fix the model's dimensions");
    place = CUPEL_TRY(s.add("Slice", "place", {places, s.list("begin", {0}), s.list("end", {shape[1].factor})}));
  }
  sum = CUPEL_TRY(s.add("Add", "placed", {sum, place}));
  if (s.has(1) && s.has(4))
    sum = CUPEL_TRY(s.add("Add", "sum", {sum, CUPEL_TRY(s.add("Gather", "segment", {s.in(4), s.in(1)}, rows))}));
  if (s.gives(1)) {
    if (!s.has(7)) return unsupported("", "a mask index is asked for without a mask", kWithoutFusion);
    CUPEL_TRY(s.give(1, "ReduceSum", {s.in(7), s.list("mask_axis", {1})}, {{"keepdims", int64_t{0}}}));
  }
  if (s.gives(2)) CUPEL_TRY(s.give(2, "Identity", {sum}));
  return s.finish("LayerNormalization", {sum, s.in(5), s.in(6)},
                  {{"axis", int64_t{-1}}, {"epsilon", attr_real(s.attributes(), "epsilon", 1e-12f)}});
}

}  // namespace cupel
