#include "onnx/reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <new>
#include <set>

#include "base/file.h"
#include "onnx/importer.h"
#include "onnx/model.h"

namespace cupel {
namespace {

constexpr int64_t kMaxFileBytes = (int64_t{1} << 31) - 1;  // protocol buffers end there

Result<int> opset_of(const ModelFields& model) {
  std::optional<int64_t> version;
  for (const OpsetFields& o : model.opsets) {
    if (!o.domain.empty() && o.domain != "ai.onnx") continue;
    if (version && *version != o.version)
      return bad_input("", fmt::format("names opsets {} and {}, expected one", *version, o.version),
                       "export the model again");
    version = o.version;
  }
  const auto is_home = [](const NodeFields& node) { return node.domain.empty() || node.domain == "ai.onnx"; };
  const auto& nodes = model.graph->nodes;
  if (!version && !nodes.empty() && std::ranges::none_of(nodes, is_home)) return kNewestOpset;
  if (!version) return bad_input("", "names no opset of ai.onnx", "export the model again");
  if (*version < kOldestOpset || *version > kNewestOpset)
    return unsupported("", fmt::format("has opset {}; Cupel reads {} to {}", *version, kOldestOpset, kNewestOpset),
                       fmt::format("export the model with opset {}", *version < kOldestOpset ? 13 : 17));
  return static_cast<int>(*version);
}

// What `import` makes of the file with an importer. Errors name `place`.
template <class T>
Result<T> imported(std::span<const std::byte> bytes, const std::filesystem::path& folder, std::string_view place,
                   const Bindings& bindings, const std::function<Result<T>(Importer&)>& import) {
  const auto located = [&]() -> Result<T> {
    const ModelFields model = CUPEL_TRY(parse_model(bytes, place));
    const auto made = [&]() -> Result<T> {
      if (!model.graph) return bad_input("", "holds no graph, so it is no ONNX model", "name an ONNX file");
      Importer importer(model, folder, CUPEL_TRY(opset_of(model)), bindings);
      return import(importer);
    };
    auto result = made();
    if (!result) return std::unexpected(std::move(result).error().within(std::string(place)));
    return result;
  };
  try {
    return located();
  } catch (const std::bad_alloc&) {
    return out_of_memory(std::string(place), "not enough memory to read the model", "use a smaller model");
  } catch (const std::exception& error) {
    return internal_error(std::string(place), error.what());
  }
}

}  // namespace

Result<Graph> read_onnx_bytes(std::span<const std::byte> bytes, const std::filesystem::path& folder,
                              std::string_view place, const Bindings& bindings) {
  return imported<Graph>(bytes, folder, place, bindings, [](Importer& importer) { return importer.run(); });
}

Result<OnnxPart> read_onnx_part(std::span<const std::byte> bytes, const std::filesystem::path& folder,
                                std::string_view place, const Bindings& bindings, const KnownValues& known) {
  return imported<OnnxPart>(bytes, folder, place, bindings,
                            [&](Importer& importer) { return importer.run_part(known); });
}

Result<int64_t> external_bytes(std::span<const std::byte> bytes, const std::filesystem::path& folder,
                               std::string_view place) {
  const ModelFields model = CUPEL_TRY(parse_model(bytes, place));
  std::set<std::string_view> locations;
  const auto add = [&](const TensorFields& tensor) {
    if (!tensor.external) return;
    for (const auto& [key, value] : tensor.external_entries)
      if (key == "location") locations.insert(value);
  };
  if (model.graph) {
    for (const TensorFields& tensor : model.graph->initializers) add(tensor);
    for (const NodeFields& node : model.graph->nodes)
      for (const AttributeFields& attribute : node.attributes)
        if (attribute.t) add(*attribute.t);
  }
  int64_t total = 0;
  for (const std::string_view location : locations)
    total += CUPEL_TRY(file_size_beneath(folder, std::string(location)));
  return total;
}

Result<Graph> read_onnx(const std::filesystem::path& path) {
  const Bytes bytes = CUPEL_TRY(read_file(path, kMaxFileBytes));
  return read_onnx_bytes(bytes, path.parent_path(), printable(path.string()));
}

}  // namespace cupel
