// Builds the bytes of small ONNX models field by field, malformed ones included.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <initializer_list>
#include <protozero/pbf_writer.hpp>
#include <string>
#include <variant>
#include <vector>

#include "base/tensor.h"
#include "ir/attribute.h"
#include "ir/text.h"
#include "ir/verifier.h"
#include "onnx/fields.h"
#include "onnx/reader.h"
#include "ops/onnx_dtype.h"

namespace cupel {

// A dimension of an input: a number, a name, or nothing ("").
using BuiltDim = std::variant<int64_t, std::string>;
using BuiltShape = std::vector<BuiltDim>;

class ModelBuilder {
 public:
  explicit ModelBuilder(int64_t opset = 17) : opset_(opset) {}

  using Write = std::function<void(protozero::pbf_writer&)>;

  ModelBuilder& input(const std::string& name, const BuiltShape& shape, int32_t type = 1) {
    return value(onnx_field::graph::input, name, shape, type);
  }
  ModelBuilder& output(const std::string& name, const BuiltShape& shape, int32_t type = 1) {
    return value(onnx_field::graph::output, name, shape, type);
  }
  // An output that declares no type.
  ModelBuilder& output(const std::string& name) {
    return graph([&](protozero::pbf_writer& g) {
      protozero::pbf_writer v(g, onnx_field::graph::output);
      v.add_string(onnx_field::value::name, name);
    });
  }
  // A tensor message written by `write`.
  ModelBuilder& initializer(const std::string& name, int32_t type, const Dims& dims, const Write& write) {
    return graph([&](protozero::pbf_writer& g) {
      protozero::pbf_writer t(g, onnx_field::graph::initializer);
      tensor(t, name, type, dims, write);
    });
  }
  ModelBuilder& constant(const std::string& name, const Tensor& t) {
    return initializer(name, static_cast<int32_t>(onnx_dtype(t.dtype())), t.dims(),
                       [&](protozero::pbf_writer& w) { raw(w, t); });
  }
  template <class T>
  ModelBuilder& constant(const std::string& name, const Dims& dims, std::initializer_list<T> values) {
    return constant(name, Tensor::of<T>(dims, values));
  }
  ModelBuilder& node(const std::string& op, const std::vector<std::string>& inputs,
                     const std::vector<std::string>& outputs, const Attributes& attributes = {},
                     const std::string& name = "n", const std::string& domain = "", const Write& more = {}) {
    return graph([&](protozero::pbf_writer& g) {
      protozero::pbf_writer n(g, onnx_field::graph::node);
      for (const auto& i : inputs) n.add_string(onnx_field::node::input, i);
      for (const auto& o : outputs) n.add_string(onnx_field::node::output, o);
      if (!name.empty()) n.add_string(onnx_field::node::name, name);
      n.add_string(onnx_field::node::op_type, op);
      if (!domain.empty()) n.add_string(onnx_field::node::domain, domain);
      for (const auto& [key, v] : attributes) attribute(n, key, v);
      if (more) more(n);
    });
  }
  ModelBuilder& graph(const Write& write) {
    protozero::pbf_writer g(graph_);
    write(g);
    return *this;
  }
  ModelBuilder& model(const Write& write) {
    protozero::pbf_writer m(extra_);
    write(m);
    return *this;
  }

  std::string bytes() const {
    std::string out;
    protozero::pbf_writer m(out);
    m.add_int64(onnx_field::model::ir_version, 8);
    m.add_message(onnx_field::model::graph, graph_);
    if (opset_ > 0) {
      protozero::pbf_writer o(m, onnx_field::model::opset_import);
      o.add_string(onnx_field::opset::domain, "");
      o.add_int64(onnx_field::opset::version, opset_);
    }
    return out + extra_;
  }

  static void raw(protozero::pbf_writer& w, const Tensor& t) {
    w.add_bytes(onnx_field::tensor::raw_data, reinterpret_cast<const char*>(t.bytes().data()), t.bytes().size());
  }
  static void tensor(protozero::pbf_writer& t, const std::string& name, int32_t type, const Dims& dims,
                     const Write& write) {
    for (const int64_t d : dims) t.add_int64(onnx_field::tensor::dims, d);
    t.add_int32(onnx_field::tensor::data_type, type);
    if (!name.empty()) t.add_string(onnx_field::tensor::name, name);
    if (write) write(t);
  }
  static void attribute(protozero::pbf_writer& n, const std::string& key, const Attribute& v) {
    namespace f = onnx_field::attribute;
    protozero::pbf_writer a(n, onnx_field::node::attribute);
    a.add_string(f::name, key);
    const auto type = [&](int32_t t) { a.add_enum(f::type, t); };
    if (const auto* i = std::get_if<int64_t>(&v)) {
      a.add_int64(f::i, *i);
      type(2);
    } else if (const auto* r = std::get_if<float>(&v)) {
      a.add_float(f::f, *r);
      type(1);
    } else if (const auto* s = std::get_if<std::string>(&v)) {
      a.add_string(f::s, *s);
      type(3);
    } else if (const auto* list = std::get_if<std::vector<int64_t>>(&v)) {
      a.add_packed_int64(f::ints, list->begin(), list->end());
      type(7);
    } else if (const auto* reals = std::get_if<std::vector<float>>(&v)) {
      a.add_packed_float(f::floats, reals->begin(), reals->end());
      type(6);
    } else {
      const Tensor& t = std::get<Tensor>(v);
      protozero::pbf_writer w(a, f::t);
      tensor(w, "", static_cast<int32_t>(onnx_dtype(t.dtype())), t.dims(),
             [&](protozero::pbf_writer& x) { raw(x, t); });
      w.commit();
      type(4);
    }
  }

 private:
  ModelBuilder& value(uint32_t tag, const std::string& name, const BuiltShape& dims, int32_t type) {
    return graph([&](protozero::pbf_writer& g) {
      protozero::pbf_writer v(g, tag);
      v.add_string(onnx_field::value::name, name);
      protozero::pbf_writer t(v, onnx_field::value::type);
      protozero::pbf_writer tensor_type(t, onnx_field::type::tensor);
      tensor_type.add_enum(onnx_field::tensor_type::elem_type, type);
      std::string shape;  // written by hand: pbf_writer drops empty messages
      protozero::pbf_writer all(shape);
      for (const BuiltDim& d : dims) {
        std::string content;
        protozero::pbf_writer dim(content);
        if (const auto* n = std::get_if<int64_t>(&d)) {
          dim.add_int64(onnx_field::dim::value, *n);
        } else if (!std::get<std::string>(d).empty()) {
          dim.add_string(onnx_field::dim::param, std::get<std::string>(d));
        }
        all.add_message(onnx_field::shape::dim, content);
      }
      tensor_type.add_message(onnx_field::tensor_type::shape, shape);
    });
  }

  int64_t opset_;
  std::string graph_, extra_;
};

inline Result<Graph> read_text_bytes(const std::string& bytes, const std::filesystem::path& folder = ".") {
  return read_onnx_bytes(std::as_bytes(std::span(bytes.data(), bytes.size())), folder, "model.onnx");
}
inline Result<Graph> read(const ModelBuilder& model, const std::filesystem::path& folder = ".") {
  return read_text_bytes(model.bytes(), folder);
}
// The graph's text, or the error's message.
inline std::string text_of(const ModelBuilder& model) {
  const auto graph = read(model);
  if (!graph) return graph.error().message();
  const Status status = verify_graph(*graph);
  return status ? print_graph(*graph) : status.error().message();
}
// "3: " and the message: the exit code and what is printed.
inline std::string error_of(const Result<Graph>& graph) {
  if (graph) return "no error";
  return std::to_string(graph.error().exit_code()) + ": " + graph.error().message();
}
inline std::string error_of(const ModelBuilder& model, const std::filesystem::path& folder = ".") {
  return error_of(read(model, folder));
}

// A new folder that goes away with its test.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "cupel_onnx_XXXXXX").string();
    path_ = mkdtemp(pattern.data());
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path write(const std::string& name, std::string_view content) const {
    std::filesystem::create_directories((path_ / name).parent_path());
    std::ofstream(path_ / name, std::ios::binary) << content;
    return path_ / name;
  }

 private:
  std::filesystem::path path_;
};

}  // namespace cupel
