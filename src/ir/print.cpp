#include <fmt/format.h>

#include <cmath>
#include <cstring>
#include <set>

#include "base/hash.h"
#include "base/quoted.h"
#include "ir/text.h"

namespace cupel {
namespace {

constexpr int64_t kMaxInlineElements = 16;

bool plain_name(std::string_view name) {
  if (name.empty() || name == "_" || name.starts_with("//")) return false;  // "//" opens a comment
  for (char c : name)
    if (!(std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '.' || c == '/' || c == ':' || c == '-'))
      return false;
  return true;
}

std::string value_name(const Graph& graph, ValueId id) {
  if (!id.valid()) return "_";
  const std::string& name = graph.value(id).name;
  return "%" + (plain_name(name) ? name : in_quotes(name));
}

// Bits of element i, which has at most 64.
uint64_t bits_of(const Tensor& t, int64_t i) {
  const auto width = static_cast<size_t>(dtype_bits(t.dtype()) / 8);
  uint64_t bits = 0;
  std::memcpy(&bits, t.bytes().data() + static_cast<size_t>(i) * width, width);
  return bits;
}

// A NaN keeps its bits: "nan(0x7fc00000)".
std::string element_text(const Tensor& t, int64_t i) {
  if (t.dtype() == DType::u64) return std::to_string(static_cast<uint64_t>(t.int_at(i)));
  if (!is_float(t.dtype())) return std::to_string(t.int_at(i));
  const double v = t.at(i);
  if (std::isnan(v)) return fmt::format("nan({:#x})", bits_of(t, i));
  if (std::isinf(v)) return v < 0 ? "-inf" : "inf";
  return fmt::format("{:a}", v);
}

class TypePrinter {
 public:
  explicit TypePrinter(ConstantStore* store) : store_(store) {}

  std::string kept(Tensor tensor) {
    const std::string hash = content_hash(tensor);
    if (store_) store_->emplace(hash, std::move(tensor));
    return "#" + hash;
  }

  std::string elements(const Tensor& t) {
    if (t.size() > kMaxInlineElements) return kept(t);
    std::string text = "[";
    for (int64_t i = 0; i < t.size(); ++i) {
      if (i) text += ", ";
      text += element_text(t, i);
    }
    return text + "]";
  }

  std::string type(const TensorType& t) {
    std::string text = std::string(dtype_name(t.dtype)) + shape(t.shape);
    if (!t.quant) return text;
    const QuantParams& q = *t.quant;
    const auto count = static_cast<int64_t>(q.scale.size());
    text += " quant(";
    if (!q.per_tensor()) text += fmt::format("axis={}, ", q.axis);
    return text + "scale=" + elements(Tensor::of<float>({count}, q.scale)) +
           ", zero_point=" + elements(Tensor::of<int32_t>({count}, q.zero_point)) + ")";
  }

  static std::string shape(const Shape& s) {
    std::string text = "[";
    for (size_t i = 0; i < s.size(); ++i) {
      if (i) text += ",";
      if (s[i].is_constant()) {
        text += std::to_string(s[i].factor);
      } else {
        if (s[i].factor != 1) text += std::to_string(s[i].factor) + "*";
        text += plain_name(s[i].symbol) && !std::isdigit(static_cast<unsigned char>(s[i].symbol[0])) &&
                        s[i].symbol[0] != '-'
                    ? s[i].symbol
                    : in_quotes(s[i].symbol);
      }
    }
    return text + "]";
  }

 private:
  ConstantStore* store_;
};

class Printer : TypePrinter {
 public:
  Printer(const Graph& graph, ConstantStore* store) : TypePrinter(store), graph_(graph) {}

  std::string print() {
    out_ =
        fmt::format("graph {} stage {} opset {} {{\n", in_quotes(graph_.name), stage_name(graph_.stage), graph_.opset);
    for (ValueId id : graph_.inputs())
      out_ += fmt::format("  input {} : {}\n", value_name(graph_, id), type(graph_.type(id)));
    std::set<ValueId> printed;
    for (const Node& node : graph_.nodes()) {
      for (ValueId id : node.inputs) constant(id, printed);
      line(node);
    }
    for (ValueId id : graph_.outputs()) constant(id, printed);
    for (ValueId id : graph_.outputs()) out_ += fmt::format("  output {}\n", value_name(graph_, id));
    return out_ + "}\n";
  }

 private:
  std::string attribute(const Attribute& a) {
    struct Visitor {
      Printer& p;
      std::string operator()(int64_t v) const { return std::to_string(v); }
      std::string operator()(float v) const { return element_text(Tensor::scalar(v), 0); }
      std::string operator()(const std::string& v) const { return in_quotes(v); }
      std::string operator()(const std::vector<int64_t>& v) const {
        const auto n = static_cast<int64_t>(v.size());
        if (n > kMaxInlineElements) return "ints " + p.kept(Tensor::of<int64_t>({n}, v));
        return fmt::format("[{}]", fmt::join(v, ", "));
      }
      std::string operator()(const std::vector<float>& v) const {
        const auto n = static_cast<int64_t>(v.size());
        return "reals " + p.elements(Tensor::of<float>({n}, v));
      }
      std::string operator()(const std::vector<std::string>& v) const {
        std::string text = "texts [";
        for (size_t i = 0; i < v.size(); ++i) text += (i ? ", " : "") + in_quotes(v[i]);
        return text + "]";
      }
      std::string operator()(const Tensor& v) const {
        return fmt::format("tensor {}{} {}", dtype_name(v.dtype()), to_text(v.dims()), p.elements(v));
      }
    };
    return std::visit(Visitor{*this}, a);
  }

  void constant(ValueId id, std::set<ValueId>& printed) {
    if (!id.valid() || !graph_.value(id).constant || !printed.insert(id).second) return;
    const Value& v = graph_.value(id);
    out_ += fmt::format("  constant {} : {} = {}\n", value_name(graph_, id), type(v.type), elements(*v.constant));
  }

  void line(const Node& node) {
    out_ += "  ";
    for (size_t i = 0; i < node.outputs.size(); ++i) out_ += (i ? ", " : "") + value_name(graph_, node.outputs[i]);
    out_ += fmt::format(" = {}(", node.op->name);
    for (size_t i = 0; i < node.inputs.size(); ++i) out_ += (i ? ", " : "") + value_name(graph_, node.inputs[i]);
    out_ += ")";
    if (!node.attributes.empty()) {
      out_ += " {";
      bool first = true;
      for (const auto& [name, value] : node.attributes) {
        out_ += (first ? "" : ", ") + name + "=" + attribute(value);
        first = false;
      }
      out_ += "}";
    }
    out_ += " : ";
    for (size_t i = 0; i < node.outputs.size(); ++i) out_ += (i ? ", " : "") + type(graph_.type(node.outputs[i]));
    if (node.name != graph_.value(node.outputs[0]).name) out_ += " @" + in_quotes(node.name);
    if (node.origin != std::vector<std::string>{node.name}) {
      out_ += " origin=[";
      for (size_t i = 0; i < node.origin.size(); ++i) out_ += (i ? ", " : "") + in_quotes(node.origin[i]);
      out_ += "]";
    }
    out_ += "\n";
  }

  const Graph& graph_;
  std::string out_;
};

}  // namespace

std::string print_graph(const Graph& graph, ConstantStore* store) { return Printer(graph, store).print(); }

std::string print_type(const TensorType& type, ConstantStore* store) { return TypePrinter(store).type(type); }

std::string print_constants(const ConstantStore& store) {
  std::string out = "cupel constants 1\n";
  for (const auto& [hash, tensor] : store) {
    out += fmt::format("{} {}{} {}\n", hash, dtype_name(tensor.dtype()), to_text(tensor.dims()), tensor.bytes_size());
    out.append(reinterpret_cast<const char*>(tensor.bytes().data()), tensor.bytes().size());
    out += '\n';
  }
  return out;
}

}  // namespace cupel
