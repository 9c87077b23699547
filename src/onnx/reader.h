// Reading ONNX files.
#pragma once

#include <cstddef>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ir/graph.h"
#include "onnx/bindings.h"

namespace cupel {

// Opsets of ai.onnx that are read.
inline constexpr int kOldestOpset = 1;
inline constexpr int kNewestOpset = 28;

// The graph of an ONNX file, stage imported, every operator in the form of the newest opset (axes, pads, splits and
// bounds as constant operands). External data is read from the file's folder only. Errors have the path as their place,
// then the node, initializer or value: bad_input for a malformed or contradictory file, unsupported for what Cupel does
// not do (unknown operators, other opsets, subgraphs, sequences, strings), resource for files over 2 GiB.
Result<Graph> read_onnx(const std::filesystem::path& path);

// The same of bytes in memory; external data is read beneath `folder`, errors name `place`.
Result<Graph> read_onnx_bytes(std::span<const std::byte> bytes, const std::filesystem::path& folder,
                              std::string_view place, const Bindings& bindings = {});

// Values of a network that were computed before, by their names in the file.
struct KnownValues {
  std::map<std::string, Tensor, std::less<>> constants;   // what decides sizes and parameters
  std::map<std::string, TensorType, std::less<>> inputs;  // of which the type is enough
};

// What of a network can be computed before the values of more of its data are known. Data decide, for instance, how
// many boxes NonMaxSuppression keeps, and what a Reshape whose target a node computes gives.
struct OnnxPart {
  struct Waiting {
    std::vector<std::string> operands;  // names of the values that it reads; constants of the file too
    Error why;
  };
  Graph graph;  // gives those outputs of the file, and of the values that later nodes read, which were not known before
  std::vector<std::string> outputs;  // all of the file's
  std::vector<Waiting> deciding;  // nodes with all operands there, of which they need the values; none: nothing is left
  std::map<std::string, Tensor> constants;  // values that later nodes read and that no data change
};

// The part behind `known`. Errors as read_onnx_bytes.
Result<OnnxPart> read_onnx_part(std::span<const std::byte> bytes, const std::filesystem::path& folder,
                                std::string_view place, const Bindings& bindings, const KnownValues& known = {});

// Bytes of the files beside the model that its constants lie in, each counted once.
Result<int64_t> external_bytes(std::span<const std::byte> bytes, const std::filesystem::path& folder,
                               std::string_view place);

}  // namespace cupel
