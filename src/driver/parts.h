// Networks that data cut into parts: how many rows a value has, or where a slice begins, is known when the nodes before
// have run. Each part is made when the values before it are there.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/tensor.h"
#include "driver/compile.h"
#include "onnx/bindings.h"

namespace cupel {

// Runs an ONNX file on `arrays`, one for each input without a value in `given`, part by part. The first part is
// compiled (EngineKind::compiled), and so is each that has more to compute than compiling takes; the others, whose code
// would be used once, are interpreted: the bits are the same. Gives the outputs, named, in the file's order. Errors
// name the file.
Result<std::vector<std::pair<std::string, Tensor>>> run_in_parts(const std::filesystem::path& path,
                                                                 const std::map<std::string, Tensor>& arrays,
                                                                 const Bindings& given, EngineKind engine,
                                                                 CompileContext& context);

}  // namespace cupel
