// Writing ONNX files.
#pragma once

#include <filesystem>
#include <string>

#include "ir/graph.h"

namespace cupel {

struct WriteOptions {
  // Constants of 1 KiB and more go to "<file name>.data" beside the file. Always so when they pass 1.9 GB together.
  bool external_data = false;
};

// Stages imported, simplified and quantized; unsupported for later ones. The file has the graph's opset, raised only
// where a node needs it (at least 13); operators which that opset lacks are spelled out in others. Written whole or not
// at all; errors as write_file gives them.
Status write_onnx(const Graph& graph, const std::filesystem::path& path, const WriteOptions& options = {});

// The bytes of the file with all constants inside; resource when they pass 1.9 GB.
Result<std::string> onnx_bytes(const Graph& graph);

}  // namespace cupel
