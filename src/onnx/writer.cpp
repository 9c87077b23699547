#include "onnx/writer.h"

#include <fmt/format.h>

#include <new>
#include <protozero/pbf_writer.hpp>

#include "base/file.h"
#include "onnx/exporter.h"
#include "onnx/fields.h"
#include "ops/onnx_dtype.h"

namespace cupel {
namespace {

namespace field = onnx_field;
using protozero::pbf_writer;

constexpr int64_t kMaxInsideBytes = 1'900'000'000;  // protocol buffers end at 2^31 − 1
constexpr int64_t kOutsideFromBytes = 1024;         // smaller constants stay in the file
constexpr size_t kAlignment = 64;

// The IR version that ONNX released with the opset, at least 8 (which every current runtime reads).
int ir_version(int opset) {
  if (opset <= 18) return 8;
  if (opset <= 20) return 9;
  if (opset <= 22) return 10;
  return opset == 23 ? 11 : 12;
}

// Constants that go beside the file.
struct Outside {
  std::string location;
  std::string content;
};

void write_tensor(pbf_writer& to, uint32_t tag, const std::string& name, const Tensor& t, Outside* outside) {
  pbf_writer w(to, tag);
  for (const int64_t d : t.dims()) w.add_int64(field::tensor::dims, d);
  w.add_int64(field::tensor::data_type, onnx_dtype(t.dtype()));
  if (!name.empty()) w.add_string(field::tensor::name, name);
  const auto bytes = t.bytes();
  const std::string_view content(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (!outside || t.bytes_size() < kOutsideFromBytes) {
    w.add_bytes(field::tensor::raw_data, content.data(), content.size());
    return;
  }
  outside->content.resize((outside->content.size() + kAlignment - 1) / kAlignment * kAlignment, '\0');
  const auto entry = [&](const char* key, const std::string& value) {
    pbf_writer e(w, field::tensor::external_data);
    e.add_string(field::entry::key, key);
    e.add_string(field::entry::value, value);
  };
  entry("location", outside->location);
  entry("offset", std::to_string(outside->content.size()));
  entry("length", std::to_string(content.size()));
  w.add_enum(field::tensor::data_location, 1);
  outside->content += content;
}

void write_attribute(pbf_writer& to, const std::string& name, const Attribute& value) {
  namespace f = field::attribute;
  namespace kind = field::attribute_type;
  pbf_writer w(to, field::node::attribute);
  w.add_string(f::name, name);
  struct Visitor {
    pbf_writer& w;
    int32_t operator()(int64_t v) const {
      w.add_int64(f::i, v);
      return kind::integer;
    }
    int32_t operator()(float v) const {
      w.add_float(f::f, v);
      return kind::real;
    }
    int32_t operator()(const std::string& v) const {
      w.add_string(f::s, v);
      return kind::text;
    }
    int32_t operator()(const std::vector<int64_t>& v) const {
      for (const int64_t i : v) w.add_int64(f::ints, i);
      return kind::integers;
    }
    int32_t operator()(const std::vector<float>& v) const {
      for (const float r : v) w.add_float(f::floats, r);
      return kind::reals;
    }
    int32_t operator()(const std::vector<std::string>& v) const {
      for (const std::string& text : v) w.add_string(f::strings, text);
      return kind::texts;
    }
    int32_t operator()(const Tensor& v) const {
      write_tensor(w, f::t, "", v, nullptr);
      return kind::tensor;
    }
  };
  const int32_t type = std::visit(Visitor{w}, value);
  w.add_enum(f::type, type);
}

void write_node(pbf_writer& to, const NodeDraft& node) {
  pbf_writer w(to, field::graph::node);
  for (const std::string& name : node.inputs) w.add_string(field::node::input, name);
  for (const std::string& name : node.outputs) w.add_string(field::node::output, name);
  w.add_string(field::node::name, node.name);
  w.add_string(field::node::op_type, node.op);
  for (const auto& [name, value] : node.attributes) write_attribute(w, name, value);
}

// A multiple of a symbol is written as PyTorch does: "2*batch".
void write_value(pbf_writer& to, uint32_t tag, const Value& value) {
  pbf_writer w(to, tag);
  w.add_string(field::value::name, value.name);
  pbf_writer type(w, field::value::type);
  pbf_writer tensor(type, field::type::tensor);
  tensor.add_int64(field::tensor_type::elem_type, onnx_dtype(value.type.dtype));
  // Empty messages (a scalar's shape) are written by hand: pbf_writer drops them.
  std::string shape;
  pbf_writer dims(shape);
  for (const Dim& d : value.type.shape) {
    std::string content;
    pbf_writer dim(content);
    if (d.is_constant()) {
      dim.add_int64(field::dim::value, d.factor);
    } else {
      dim.add_string(field::dim::param, to_text(d));
    }
    dims.add_message(field::shape::dim, content);
  }
  tensor.add_message(field::tensor_type::shape, shape);
}

std::string write_model(const Graph& graph, const FileDraft& draft, Outside* outside) {
  std::string bytes;
  pbf_writer model(bytes);
  model.add_int64(field::model::ir_version, ir_version(draft.opset));
  model.add_string(field::model::producer_name, "cupel");
  {
    pbf_writer g(model, field::model::graph);
    for (const NodeDraft& node : draft.nodes) write_node(g, node);
    g.add_string(field::graph::name, graph.name);
    for (const auto& [name, tensor] : draft.initializers)
      write_tensor(g, field::graph::initializer, name, tensor, outside);
    for (const ValueId id : graph.inputs()) write_value(g, field::graph::input, graph.value(id));
    for (const ValueId id : graph.outputs()) write_value(g, field::graph::output, graph.value(id));
  }
  pbf_writer opset(model, field::model::opset_import);
  opset.add_string(field::opset::domain, "");
  opset.add_int64(field::opset::version, draft.opset);
  return bytes;
}

int64_t constant_bytes(const FileDraft& draft) {
  int64_t total = 0;
  for (const auto& [name, tensor] : draft.initializers) total += tensor.bytes_size();
  return total;
}

}  // namespace

Result<std::string> onnx_bytes(const Graph& graph) {
  try {
    const FileDraft draft = CUPEL_TRY(Exporter(graph).run());
    if (const int64_t total = constant_bytes(draft); total > kMaxInsideBytes)
      return resource_error(
          fmt::format("graph {}", printable(graph.name)),
          fmt::format("{} bytes of constants exceed the limit of {} in one file", total, kMaxInsideBytes),
          "write the model with external data");
    return write_model(graph, draft, nullptr);
  } catch (const std::bad_alloc&) {
    return out_of_memory("ONNX file", "not enough memory to write the model", "use a smaller model");
  } catch (const std::exception& error) {
    return internal_error("ONNX file", error.what());
  }
}

Status write_onnx(const Graph& graph, const std::filesystem::path& path, const WriteOptions& options) {
  try {
    const FileDraft draft = CUPEL_TRY(Exporter(graph).run());
    if (!options.external_data && constant_bytes(draft) <= kMaxInsideBytes)
      return write_file(path, write_model(graph, draft, nullptr));
    Outside outside{path.filename().string() + ".data", {}};
    const std::string model = write_model(graph, draft, &outside);
    CUPEL_TRY(write_file(path.string() + ".data", outside.content));
    return write_file(path, model);
  } catch (const std::bad_alloc&) {
    return out_of_memory(printable(path.string()), "not enough memory to write the model", "use a smaller model");
  } catch (const std::exception& error) {
    return internal_error(printable(path.string()), error.what());
  }
}

}  // namespace cupel
