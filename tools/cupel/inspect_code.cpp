// `cupel inspect` of what `cupel compile` wrote: its sizes, inputs and outputs.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/file.h"
#include "driver/engine.h"
#include "tools/cupel/verb.h"

namespace cupel::cli {
namespace {

// "f32[batch,3]": symbols as in a graph.
std::string type_text(const CupelPort& port, const CupelImage& image) {
  return fmt::format("{}{}", dtype_name(static_cast<DType>(port.dtype)), to_text(port_shape(port, image.fixed_batch)));
}

std::string ports_text(const char* kind, const CupelPort* ports, int32_t count, const CupelImage& image) {
  std::string text;
  for (int32_t i = 0; i < count; ++i)
    text += fmt::format("  {:<7}{}  {}\n", kind, printable(ports[i].name, 60), type_text(ports[i], image));
  return text;
}

nlohmann::ordered_json ports_json(const CupelPort* ports, int32_t count, const CupelImage& image) {
  auto json = nlohmann::ordered_json::array();
  for (int32_t i = 0; i < count; ++i)
    json.push_back({{"name", printable(ports[i].name)},
                    {"dtype", dtype_name(static_cast<DType>(ports[i].dtype))},
                    {"shape", to_text(port_shape(ports[i], image.fixed_batch))},
                    {"item_bytes", ports[i].item_bytes}});
  return json;
}

}  // namespace

Result<int> inspect_code(const std::filesystem::path& path, const CommonFlags& common) {
  const CompiledModel model = CUPEL_TRY(CompiledModel::load_file(path, 1));
  const CupelImage& first = model.image();
  std::string text =
      fmt::format("{}: {} compiled for {} tuned for {}, {} bytes of constants\n", printable(path.string()),
                  printable(first.model, 60), first.target, first.tuned_for, first.constants_bytes);
  nlohmann::ordered_json json = {{"path", printable(path.string(), 4096)},
                                 {"model", printable(first.model)},
                                 {"target", first.target},
                                 {"tuned_for", first.tuned_for},
                                 {"constants_bytes", first.constants_bytes},
                                 {"sizes", nlohmann::ordered_json::array()}};
  for (const CupelImage* image : model.sizes()) {
    const std::string sizes =
        image->sizes[0] == '\0' ? std::string() : fmt::format("for {}: ", printable(image->sizes, 500));
    const std::string batch = image->fixed_batch > 0 ? fmt::format("batch {}, ", image->fixed_batch) : std::string();
    text += fmt::format("{}{}{} kernel calls, {} bytes of working memory for one item\n", sizes, batch,
                        image->step_count, image->arena_bytes);
    text += ports_text("input", image->inputs, image->input_count, *image);
    text += ports_text("output", image->outputs, image->output_count, *image);
    json["sizes"].push_back({{"sizes", printable(image->sizes, 500)},
                             {"fixed_batch", nullptr},
                             {"kernel_calls", image->step_count},
                             {"arena_item_bytes", image->arena_bytes},
                             {"inputs", ports_json(image->inputs, image->input_count, *image)},
                             {"outputs", ports_json(image->outputs, image->output_count, *image)}});
    if (image->fixed_batch > 0) json["sizes"].back()["fixed_batch"] = image->fixed_batch;
  }
  if (common.json != "-") print(text);
  CUPEL_TRY(write_json(common, json.dump(2) + "\n"));
  return 0;
}

}  // namespace cupel::cli
