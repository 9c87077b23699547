// Reading ONNX files.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string_view>

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

// Bytes of the files beside the model that its constants lie in, each counted once.
Result<int64_t> external_bytes(std::span<const std::byte> bytes, const std::filesystem::path& folder,
                               std::string_view place);

}  // namespace cupel
