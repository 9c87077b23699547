#include "onnx/model.h"

#include <fmt/format.h>

#include <new>

#include "onnx/fields.h"
#include "onnx/wire.h"

namespace cupel {
namespace {

namespace field = onnx_field;

TensorFields parse_tensor(std::string_view message, WireBudget* budget) {
  TensorFields tensor;
  tensor.message = message;
  Fields fields(message, "TensorProto", budget);
  while (fields.next()) switch (fields.tag()) {
      case field::tensor::dims:
        fields.each_integer([&](int64_t d) {
          if (static_cast<int64_t>(tensor.dims.size()) <= kMaxRank) tensor.dims.push_back(d);
        });
        break;
      case field::tensor::data_type: tensor.data_type = fields.integer(); break;
      case field::tensor::segment:
        tensor.segmented = true;
        fields.skip();
        break;
      case field::tensor::name: tensor.name = fields.bytes(); break;
      case field::tensor::raw_data: tensor.raw_data = fields.bytes(); break;
      case field::tensor::external_data: {
        Fields entry = fields.message("StringStringEntryProto");
        auto& [key, value] = tensor.external_entries.emplace_back();
        while (entry.next()) switch (entry.tag()) {
            case field::entry::key: key = entry.bytes(); break;
            case field::entry::value: value = entry.bytes(); break;
            default: entry.skip();
          }
        break;
      }
      case field::tensor::data_location: tensor.external = fields.integer() == 1; break;
      default: fields.skip();
    }
  return tensor;
}

constexpr int kMostDepth = 16;  // of graphs in nodes of graphs
void parse_graph(Fields fields, GraphFields& graph, int depth);

// Null where graphs lie too deep in each other: nothing reads them then.
std::shared_ptr<const GraphFields> parse_subgraph(Fields fields, int depth) {
  if (depth > kMostDepth) return nullptr;
  auto graph = std::make_shared<GraphFields>();
  parse_graph(fields, *graph, depth);
  return graph;
}

AttributeFields parse_attribute(Fields fields, int depth) {
  AttributeFields a;
  const auto refuse = [&](const char* what) {
    a.refused = what;
    fields.skip();
  };
  while (fields.next()) switch (fields.tag()) {
      case field::attribute::name: a.name = fields.bytes(); break;
      case field::attribute::f: a.f = fields.real(); break;
      case field::attribute::i: a.i = fields.integer(); break;
      case field::attribute::s: a.s = fields.bytes(); break;
      case field::attribute::t: a.t = parse_tensor(fields.part(), fields.budget()); break;
      case field::attribute::floats:
        fields.each_real([&](float v) {
          fields.charge();
          a.floats.push_back(v);
        });
        break;
      case field::attribute::ints:
        fields.each_integer([&](int64_t v) {
          fields.charge();
          a.ints.push_back(v);
        });
        break;
      case field::attribute::type: a.type = fields.integer(); break;
      case field::attribute::g:
        a.refused = "a subgraph";
        a.graph = parse_subgraph(fields.message("GraphProto"), depth + 1);
        break;
      case field::attribute::graphs: refuse("subgraphs"); break;
      case field::attribute::strings: a.strings.push_back(fields.part()); break;
      case field::attribute::tensors: refuse("a list of tensors"); break;
      case field::attribute::tp:
      case field::attribute::type_protos: refuse("a type"); break;
      case field::attribute::sparse_tensor:
      case field::attribute::sparse_tensors: refuse("a sparse tensor"); break;
      case field::attribute::ref_attr_name: refuse("a reference to a function's attribute"); break;
      default: fields.skip();
    }
  return a;
}

NodeFields parse_node(Fields fields, int depth) {
  NodeFields node;
  while (fields.next()) switch (fields.tag()) {
      case field::node::input: node.inputs.push_back(fields.part()); break;
      case field::node::output: node.outputs.push_back(fields.part()); break;
      case field::node::name: node.name = fields.bytes(); break;
      case field::node::op_type: node.op_type = fields.bytes(); break;
      case field::node::domain: node.domain = fields.bytes(); break;
      case field::node::attribute:
        node.attributes.push_back(parse_attribute(fields.message("AttributeProto"), depth));
        break;
      default: fields.skip();
    }
  return node;
}

std::vector<DimFields> parse_shape(Fields fields) {
  std::vector<DimFields> dims;
  while (fields.next()) {
    if (fields.tag() != field::shape::dim) {
      fields.skip();
      continue;
    }
    Fields dim = fields.message("TensorShapeProto.Dimension");
    DimFields d;
    while (dim.next()) switch (dim.tag()) {
        case field::dim::value: d.value = dim.integer(); break;
        case field::dim::param: d.param = dim.bytes(); break;
        default: dim.skip();
      }
    if (static_cast<int64_t>(dims.size()) <= kMaxRank) dims.push_back(d);
  }
  return dims;
}

void parse_type(Fields fields, ValueFields& value) {
  const auto other = [&](const char* kind) {
    value.kind = kind;
    fields.skip();
  };
  while (fields.next()) switch (fields.tag()) {
      case field::type::tensor: {
        value.kind = "a tensor";
        Fields tensor = fields.message("TypeProto.Tensor");
        while (tensor.next()) switch (tensor.tag()) {
            case field::tensor_type::elem_type: value.elem_type = tensor.integer(); break;
            case field::tensor_type::shape: value.shape = parse_shape(tensor.message("TensorShapeProto")); break;
            default: tensor.skip();
          }
        break;
      }
      case field::type::sequence: other("a sequence"); break;
      case field::type::map: other("a map"); break;
      case field::type::opaque: other("an opaque value"); break;
      case field::type::sparse_tensor: other("a sparse tensor"); break;
      case field::type::optional: other("an optional value"); break;
      default: fields.skip();
    }
}

ValueFields parse_value(Fields fields) {
  ValueFields value;
  while (fields.next()) switch (fields.tag()) {
      case field::value::name: value.name = fields.bytes(); break;
      case field::value::type: parse_type(fields.message("TypeProto"), value); break;
      default: fields.skip();
    }
  return value;
}

void parse_graph(Fields fields, GraphFields& graph, int depth) {
  while (fields.next()) switch (fields.tag()) {
      case field::graph::node: graph.nodes.push_back(parse_node(fields.message("NodeProto"), depth)); break;
      case field::graph::name: graph.name = fields.bytes(); break;
      case field::graph::initializer: graph.initializers.push_back(parse_tensor(fields.part(), fields.budget())); break;
      case field::graph::input: graph.inputs.push_back(parse_value(fields.message("ValueInfoProto"))); break;
      case field::graph::output: graph.outputs.push_back(parse_value(fields.message("ValueInfoProto"))); break;
      case field::graph::sparse_initializer:
        graph.sparse_initializers = true;
        fields.skip();
        break;
      default: fields.skip();
    }
}

ModelFields parse(std::string_view bytes) {
  WireBudget budget;
  ModelFields model;
  Fields fields(bytes, "ModelProto", &budget);
  while (fields.next()) switch (fields.tag()) {
      case field::model::graph:
        if (!model.graph) model.graph.emplace();
        parse_graph(fields.message("GraphProto"), *model.graph, 0);
        break;
      case field::model::opset_import: {
        Fields opset = fields.message("OperatorSetIdProto");
        OpsetFields& o = model.opsets.emplace_back();
        while (opset.next()) switch (opset.tag()) {
            case field::opset::domain: o.domain = opset.bytes(); break;
            case field::opset::version: o.version = opset.integer(); break;
            default: opset.skip();
          }
        break;
      }
      case field::model::training:
        model.training = true;
        fields.skip();
        break;
      case field::model::functions:
        model.functions = true;
        fields.skip();
        break;
      default: fields.skip();
    }
  return model;
}

}  // namespace

std::string wire_error_text(const std::exception& error) {
  if (dynamic_cast<const protozero::end_of_buffer_exception*>(&error)) return "the bytes end inside a field";
  if (dynamic_cast<const protozero::invalid_tag_exception*>(&error)) return "a field has an invalid number";
  if (dynamic_cast<const protozero::invalid_length_exception*>(&error)) return "a list has an invalid length";
  if (dynamic_cast<const protozero::varint_too_long_exception*>(&error)) return "a number is longer than 10 bytes";
  if (dynamic_cast<const protozero::unknown_pbf_wire_type_exception*>(&error))
    return "a field has an unknown wire type";
  return error.what();
}

Result<ModelFields> parse_model(std::span<const std::byte> bytes, std::string_view place) {
  try {
    return parse({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  } catch (const std::bad_alloc&) {
    return out_of_memory(std::string(place), "not enough memory to read the model", "use a smaller model");
  } catch (const WireError& error) {
    if (error.limit()) return resource_error(std::string(place), error.what(), "use a smaller model");
    return bad_input(std::string(place), std::string("is not a readable ONNX file: ") + error.what(),
                     "fetch or export the model again");
  } catch (const std::exception& error) {
    return bad_input(std::string(place), "is not a readable ONNX file: " + wire_error_text(error),
                     "fetch or export the model again");
  }
}

}  // namespace cupel
