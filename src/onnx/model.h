// The messages of an ONNX file as plain structs. Strings and payloads are views of the file's bytes.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "base/shape.h"

namespace cupel {

struct TensorFields {
  std::string_view name;
  std::string_view message;  // the whole tensor message: typed payload is decoded from here
  Dims dims;                 // at most kMaxRank + 1 entries are kept
  int64_t data_type = 0;     // ONNX's number
  std::optional<std::string_view> raw_data;
  bool external = false;
  bool segmented = false;
  std::vector<std::pair<std::string_view, std::string_view>> external_entries;
};

struct GraphFields;

struct AttributeFields {
  std::string_view name;
  int64_t type = 0;  // onnx_field::attribute_type; undefined in old files
  std::optional<float> f;
  std::optional<int64_t> i;
  std::optional<std::string_view> s;
  std::optional<TensorFields> t;
  std::vector<float> floats;
  std::vector<int64_t> ints;
  std::vector<std::string_view> strings;
  std::shared_ptr<const GraphFields> graph = {};
  const char* refused = nullptr;  // what no attribute of a node of the graph may be: "a subgraph", …
};

struct NodeFields {
  std::string_view name, op_type, domain;
  std::vector<std::string_view> inputs, outputs;
  std::vector<AttributeFields> attributes;
};

struct DimFields {
  std::optional<int64_t> value;
  std::string_view param;
};

struct ValueFields {
  std::string_view name;
  const char* kind = nullptr;  // "a tensor", "a sequence", …; null when the type is missing
  int64_t elem_type = 0;
  std::optional<std::vector<DimFields>> shape;  // at most kMaxRank + 1 entries are kept
  bool is_tensor() const { return kind && std::string_view(kind) == "a tensor"; }
};

struct GraphFields {
  std::string_view name;
  std::vector<NodeFields> nodes;
  std::vector<TensorFields> initializers;
  std::vector<ValueFields> inputs, outputs;
  bool sparse_initializers = false;
};

struct OpsetFields {
  std::string_view domain;
  int64_t version = 0;
};

struct ModelFields {
  std::vector<OpsetFields> opsets;
  std::optional<GraphFields> graph;
  bool functions = false, training = false;
};

// The messages in `bytes`, which must outlive the result. bad_input for anything malformed, resource for a file that
// declares more parts than WireBudget allows; errors name `place`.
Result<ModelFields> parse_model(std::span<const std::byte> bytes, std::string_view place);

}  // namespace cupel
