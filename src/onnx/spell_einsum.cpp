// Einsum as matrix products: operands meet one after the other, each time over the labels that nobody needs any more.
#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "base/file.h"
#include "onnx/spelling.h"

namespace cupel {
namespace {

// One label for each dimension; those of an ellipsis are digits, from the last one on.
using Labels = std::string;

struct Term {
  std::string value;
  Labels labels;
};

std::unexpected<Error> wrong(const std::string& equation, const std::string& why) {
  return bad_input("", fmt::format("equation \"{}\": {}", printable(equation), why), "correct the equation");
}

// The labels of one term with dots written out for so many dimensions.
Result<Labels> with_ellipsis(const std::string& equation, std::string_view term, int64_t dotted) {
  Labels labels;
  for (size_t i = 0; i < term.size(); ++i) {
    if (term[i] == ' ') continue;
    if (term.substr(i, 3) == "...") {
      if (dotted > 9) return unsupported("", "an ellipsis of more than nine dimensions", "write the labels out");
      for (int64_t d = dotted; d-- > 0;) labels += static_cast<char>('0' + d);
      i += 2;
    } else if ((term[i] >= 'a' && term[i] <= 'z') || (term[i] >= 'A' && term[i] <= 'Z')) {
      labels += term[i];
    } else {
      return wrong(equation, fmt::format("character {} is no label", i));
    }
  }
  return labels;
}

class Einsum {
 public:
  explicit Einsum(Spelling& s) : s_(s), equation_(attr_text(s.attributes(), "equation", "")) {}

  Status run() {
    CUPEL_TRY(read());
    for (Term& term : terms_) CUPEL_TRY(take_diagonals(term));
    Term all = terms_[0];
    for (size_t i = 1; i < terms_.size(); ++i) {
      Labels needed = result_;
      for (size_t later = i + 1; later < terms_.size(); ++later) needed += terms_[later].labels;
      all = CUPEL_TRY(product(all, terms_[i], needed));
    }
    all = CUPEL_TRY(summed(all, result_));
    std::vector<int64_t> perm;
    for (const char label : result_) {
      if (!all.labels.contains(label)) return wrong(equation_, "a label of the result has no operand");
      perm.push_back(static_cast<int64_t>(all.labels.find(label)));
    }
    if (std::ranges::is_sorted(perm)) return s_.finish("Identity", {all.value});
    return s_.finish("Transpose", {all.value}, {{"perm", perm}});
  }

 private:
  std::string fresh(std::string_view what) { return fmt::format("{}_{}", what, ++steps_); }

  Status read() {
    const size_t arrow = equation_.find("->");
    std::vector<std::string> texts(1);
    for (const char c : equation_.substr(0, arrow)) {
      if (c == ',') {
        texts.emplace_back();
      } else {
        texts.back() += c;
      }
    }
    if (texts.size() != s_.inputs().size())
      return wrong(equation_, fmt::format("{} terms for {} operands", texts.size(), s_.inputs().size()));
    int64_t widest = 0;
    for (size_t i = 0; i < texts.size(); ++i) {
      const auto rank = static_cast<int64_t>(CUPEL_TRY(s_.shape(s_.in(i))).size());
      const auto named = std::ranges::count_if(texts[i], [](char c) { return c != '.' && c != ' '; });
      const bool dots = texts[i].find("...") != std::string::npos;
      if (dots ? rank < named : rank != named)
        return wrong(equation_, fmt::format("term {} has {} labels, operand {} has rank {}", i, named, i, rank));
      terms_.push_back({s_.in(i), CUPEL_TRY(with_ellipsis(equation_, texts[i], rank - named))});
      if (dots) widest = std::max(widest, rank - named);
    }
    if (arrow != std::string::npos) {
      result_ = CUPEL_TRY(with_ellipsis(equation_, std::string_view(equation_).substr(arrow + 2), widest));
      for (size_t i = 0; i < result_.size(); ++i)
        if (result_.find(result_[i], i + 1) != std::string::npos) return wrong(equation_, "the result repeats a label");
      return {};
    }
    // The ellipsis, then labels that occur once, in the order of the alphabet.
    for (int64_t d = widest; d-- > 0;) result_ += static_cast<char>('0' + d);
    Labels every;
    for (const Term& term : terms_) every += term.labels;
    std::ranges::sort(every);
    for (const char c : every)
      if (c > '9' && std::ranges::count(every, c) == 1) result_ += c;
    return {};
  }

  // A label that a term repeats stands for the diagonal of these dimensions.
  Status take_diagonals(Term& term) {
    for (size_t i = 0; i < term.labels.size(); ++i) {
      const size_t j = term.labels.find(term.labels[i], i + 1);
      if (j == std::string::npos) continue;
      // The two at the end, joined; every (n + 1)-th element.
      std::vector<int64_t> perm;
      Labels labels;
      for (size_t d = 0; d < term.labels.size(); ++d)
        if (d != i && d != j) {
          perm.push_back(static_cast<int64_t>(d));
          labels += term.labels[d];
        }
      labels += term.labels[i];
      perm.push_back(static_cast<int64_t>(i));
      perm.push_back(static_cast<int64_t>(j));
      const std::string turned = CUPEL_TRY(s_.add("Transpose", fresh("square"), {term.value}, {{"perm", perm}}));
      Shape shape = CUPEL_TRY(s_.shape(turned));
      const Dim n = shape.back();
      if (!n.is_constant() || shape[shape.size() - 2] != n)
        return wrong(equation_, "a diagonal of dimensions that differ or are not known");
      shape.pop_back();
      shape.back() = CUPEL_TRY(checked_mul(n.factor, n.factor));
      const std::string flat = CUPEL_TRY(s_.reshape(fresh("flat"), turned, shape));
      const std::string part = fresh("diagonal");
      term.value = CUPEL_TRY(s_.add("Slice", part,
                                    {flat, s_.list(part + "_begin", {0}), s_.list(part + "_end", {shape.back().factor}),
                                     s_.list(part + "_axis", {-1}), s_.list(part + "_step", {n.factor + 1})}));
      term.labels = labels;
      i = static_cast<size_t>(-1);  // once more from the first label
    }
    return {};
  }

  // Summed over the labels that are not needed.
  Result<Term> summed(const Term& term, const Labels& needed) {
    std::vector<int64_t> axes;
    Labels labels;
    for (size_t d = 0; d < term.labels.size(); ++d) {
      if (needed.contains(term.labels[d])) {
        labels += term.labels[d];
      } else {
        axes.push_back(static_cast<int64_t>(d));
      }
    }
    if (axes.empty()) return term;
    const std::string part = fresh("sum");
    return Term{
        CUPEL_TRY(s_.add("ReduceSum", part, {term.value, s_.list(part + "_axes", axes)}, {{"keepdims", int64_t{0}}})),
        labels};
  }

  // The term with its labels in that order.
  Result<std::string> ordered(const Term& term, const Labels& order) {
    if (order == term.labels) return term.value;
    std::vector<int64_t> perm;
    for (const char label : order) perm.push_back(static_cast<int64_t>(term.labels.find(label)));
    return s_.add("Transpose", fresh("ordered"), {term.value}, {{"perm", perm}});
  }

  Result<Shape> dims_of(const Term& term, const Labels& labels) {
    const Shape shape = CUPEL_TRY(s_.shape(term.value));
    Shape dims;
    for (const char label : labels) dims.push_back(shape[term.labels.find(label)]);
    return dims;
  }

  Result<Term> product(const Term& first, const Term& second, const Labels& needed) {
    const Term a = CUPEL_TRY(summed(first, needed + second.labels)),
               b = CUPEL_TRY(summed(second, needed + first.labels));
    Labels batch, left, right, inner;
    for (const char label : a.labels)
      (!b.labels.contains(label) ? left : needed.contains(label) ? batch : inner) += label;
    for (const char label : b.labels)
      if (!a.labels.contains(label)) right += label;
    if (inner.empty()) return outer(a, b, batch + left + right);
    const Shape batch_dims = CUPEL_TRY(dims_of(a, batch)), left_dims = CUPEL_TRY(dims_of(a, left)),
                right_dims = CUPEL_TRY(dims_of(b, right)), inner_dims = CUPEL_TRY(dims_of(a, inner));
    if (batch_dims != CUPEL_TRY(dims_of(b, batch)) || inner_dims != CUPEL_TRY(dims_of(b, inner)))
      return wrong(equation_, "a label stands for dimensions that differ");
    const auto joined = [&](const Shape& first_dims, const Shape& second_dims) -> Result<Shape> {
      Shape shape = batch_dims;
      shape.push_back(CUPEL_TRY(shape_elements(first_dims)));
      shape.push_back(CUPEL_TRY(shape_elements(second_dims)));
      return shape;
    };
    const std::string x = CUPEL_TRY(s_.reshape(fresh("left"), CUPEL_TRY(ordered(a, batch + left + inner)),
                                               CUPEL_TRY(joined(left_dims, inner_dims))));
    const std::string y = CUPEL_TRY(s_.reshape(fresh("right"), CUPEL_TRY(ordered(b, batch + inner + right)),
                                               CUPEL_TRY(joined(inner_dims, right_dims))));
    const std::string z = CUPEL_TRY(matrix_product(x, y));
    Shape shape = batch_dims;
    shape.insert(shape.end(), left_dims.begin(), left_dims.end());
    shape.insert(shape.end(), right_dims.begin(), right_dims.end());
    return Term{CUPEL_TRY(s_.reshape(fresh("apart"), z, shape)), batch + left + right};
  }

  // [batch, left, inner] × [batch, inner, right]; of elements that MatMul does not compute as a sum of products.
  Result<std::string> matrix_product(const std::string& x, const std::string& y) {
    const DType type = CUPEL_TRY(s_.file_type(x));
    if (type != DType::f64 && !is_integer(type)) return s_.add("MatMul", fresh("product"), {x, y});
    const std::string part = fresh("product");
    const std::string a = CUPEL_TRY(s_.add("Unsqueeze", part + "_rows", {x, s_.list(part + "_last", {-1})})),
                      b = CUPEL_TRY(s_.add("Unsqueeze", part + "_columns", {y, s_.list(part + "_third", {-3})}));
    const std::string all = CUPEL_TRY(s_.add("Mul", part + "_of_each", {a, b}));
    return s_.add("ReduceSum", part, {all, s_.list(part + "_inner", {-2})}, {{"keepdims", int64_t{0}}});
  }

  // Nothing is summed: the product of elements that broadcast.
  Result<Term> outer(const Term& a, const Term& b, const Labels& labels) {
    const auto spread = [&](const Term& term) -> Result<std::string> {
      Labels own;
      for (const char label : labels)
        if (term.labels.contains(label)) own += label;
      const std::string x = CUPEL_TRY(ordered(term, own));
      std::vector<int64_t> axes;
      for (size_t d = 0; d < labels.size(); ++d)
        if (!own.contains(labels[d])) axes.push_back(static_cast<int64_t>(d));
      if (axes.empty()) return x;
      const std::string part = fresh("spread");
      return s_.add("Unsqueeze", part, {x, s_.list(part + "_axes", axes)});
    };
    const std::string x = CUPEL_TRY(spread(a)), y = CUPEL_TRY(spread(b));
    return Term{CUPEL_TRY(s_.add("Mul", fresh("product"), {x, y})), labels};
  }

  Spelling& s_;
  std::string equation_;
  std::vector<Term> terms_;
  Labels result_;
  int steps_ = 0;
};

}  // namespace

Status spell_einsum(Spelling& s) { return Einsum(s).run(); }

}  // namespace cupel
