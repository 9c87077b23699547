#include "data/description.h"

#include <fmt/format.h>

#define TOML_EXCEPTIONS 0
#define TOML_ENABLE_FORMATTERS 0
#include <toml++/toml.h>

#include <algorithm>
#include <array>
#include <tuple>

#include "base/file.h"

namespace cupel {
namespace {

constexpr int64_t kMaxDescriptionBytes = int64_t{1} << 24;
constexpr std::array<std::string_view, 3> kSplitNames = {"calibrate", "search", "report"};
constexpr std::array<std::string_view, 1> kMetricKinds = {"accuracy"};

template <size_t n>
std::string join(const std::array<std::string_view, n>& names) {
  std::string text;
  for (std::string_view name : names) text += (text.empty() ? "" : ", ") + std::string(name);
  return text;
}

class Reader {
 public:
  explicit Reader(const std::filesystem::path& path) : path_(path), place_(printable(path.string())) {}

  Result<DatasetDescription> read() {
    const Bytes bytes = CUPEL_TRY(read_file(path_, kMaxDescriptionBytes));
    const toml::parse_result parsed =
        toml::parse(std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
    if (!parsed)
      return bad_input(fmt::format("{}:{}", place_, parsed.error().source().begin.line),
                       fmt::format("is not valid TOML: {}", printable(parsed.error().description())),
                       "correct the line");
    const toml::table& root = parsed.table();
    out_.place = place_;
    out_.folder = path_.parent_path();
    CUPEL_TRY(
        check_keys(root, "", std::array<std::string_view, 5>{"sources", "labels", "preprocess", "splits", "metric"}));
    CUPEL_TRY(read_sources(root));
    CUPEL_TRY(read_labels(root));
    CUPEL_TRY(read_preprocess(root));
    CUPEL_TRY(read_splits(root));
    CUPEL_TRY(read_metrics(root));
    return std::move(out_);
  }

 private:
  std::string at(const toml::node& node, const std::string& what) const {
    return fmt::format("{}:{}: {}", place_, node.source().begin.line, what);
  }
  static std::string name_of(const toml::key& key) { return printable(key.str()); }

  template <size_t n>
  Status check_keys(const toml::table& table, const std::string& what,
                    const std::array<std::string_view, n>& known) const {
    for (const auto& [key, node] : table)
      if (std::ranges::find(known, key.str()) == known.end())
        return bad_input(at(node, what.empty() ? name_of(key) : what + "." + name_of(key)), "is unknown",
                         "known here: " + join(known));
    return {};
  }

  Result<const toml::table*> need_table(const toml::node& node, const std::string& what) const {
    if (const toml::table* table = node.as_table()) return table;
    return bad_input(at(node, what), "is not a table", "see docs/architecture.md 5 for the form of a data-set file");
  }
  Result<std::string> need_string(const toml::node& node, const std::string& what) const {
    if (const auto* value = node.as_string(); value != nullptr && !value->get().empty()) return value->get();
    return bad_input(at(node, what), "is not a string", "write a text in quotes");
  }
  Result<int64_t> need_integer(const toml::node& node, const std::string& what, int64_t least) const {
    if (const auto* value = node.as_integer(); value != nullptr && value->get() >= least) return value->get();
    return bad_input(at(node, what), fmt::format("is not an integer of at least {}", least), "correct the value");
  }
  Result<std::vector<std::string>> need_strings(const toml::node& node, const std::string& what) const {
    const toml::array* array = node.as_array();
    if (array == nullptr) return bad_input(at(node, what), "is not an array of strings", "write [\"…\", …]");
    std::vector<std::string> values;
    for (const toml::node& item : *array) values.push_back(CUPEL_TRY(need_string(item, what)));
    return values;
  }

  Status read_sources(const toml::table& root) {
    const toml::node* node = root.get("sources");
    if (node == nullptr || !node->is_table() || node->as_table()->empty())
      return bad_input(place_, "has no [sources.NAME] table", "describe at least one source");
    for (const auto& [key, value] : *node->as_table()) {
      const std::string what = "sources." + name_of(key);
      const toml::table* table = CUPEL_TRY(need_table(value, what));
      SourceDescription source;
      source.name = key.str();
      source.place = at(value, what);
      source.folder = out_.folder;
      if (!table->contains("format"))
        return bad_input(source.place, "\"format\" is missing", "supported formats: " + format_names());
      for (const auto& [setting_key, setting] : *table) {
        const std::string setting_what = what + "." + name_of(setting_key);
        if (setting_key == "format")
          source.format = CUPEL_TRY(need_string(setting, setting_what));
        else if (const auto* text = setting.as_string())
          source.settings[std::string(setting_key.str())] = text->get();
        else if (const auto* number = setting.as_integer())
          source.settings[std::string(setting_key.str())] = number->get();
        else
          source.settings[std::string(setting_key.str())] = CUPEL_TRY(need_strings(setting, setting_what));
      }
      out_.sources.push_back(std::move(source));
    }
    return {};
  }

  Status read_labels(const toml::table& root) {
    const toml::node* node = root.get("labels");
    if (node == nullptr) return {};
    const toml::table* table = CUPEL_TRY(need_table(*node, "labels"));
    CUPEL_TRY(check_keys(*table, "labels", std::array<std::string_view, 1>{"classes"}));
    const toml::node* classes = table->get("classes");
    if (classes == nullptr) return {};
    out_.classes = CUPEL_TRY(need_strings(*classes, "labels.classes"));
    if (out_.classes.empty())
      return bad_input(at(*classes, "labels.classes"), "is empty", "name the classes in the order of their labels");
    std::vector<std::string> sorted = out_.classes;
    std::ranges::sort(sorted);
    if (const auto twice = std::ranges::adjacent_find(sorted); twice != sorted.end())
      return bad_input(at(*classes, "labels.classes"), fmt::format("names \"{}\" twice", printable(*twice)),
                       "give every class its own name");
    return {};
  }

  Status read_preprocess(const toml::table& root) {
    const toml::node* node = root.get("preprocess");
    out_.steps_place = place_;
    if (node == nullptr) return {};
    const toml::table* table = CUPEL_TRY(need_table(*node, "preprocess"));
    CUPEL_TRY(check_keys(*table, "preprocess", std::array<std::string_view, 2>{"steps", "layout"}));
    out_.steps_place = at(*node, "preprocess");
    if (const toml::node* steps = table->get("steps")) {
      out_.steps_place = at(*steps, "preprocess.steps");
      for (const std::string& text : CUPEL_TRY(need_strings(*steps, "preprocess.steps")))
        out_.steps.push_back(CUPEL_TRY(parse_step(out_.steps_place, text)));
    }
    if (const toml::node* layout = table->get("layout")) {
      const std::string text = CUPEL_TRY(need_string(*layout, "preprocess.layout"));
      if (text != "NCHW" && text != "NHWC")
        return bad_input(at(*layout, "preprocess.layout"), fmt::format("is \"{}\"", printable(text)),
                         "layout is \"NCHW\" or \"NHWC\"");
      out_.layout = text == "NCHW" ? ImageLayout::nchw : ImageLayout::nhwc;
    }
    return {};
  }

  Status read_splits(const toml::table& root) {
    const toml::node* node = root.get("splits");
    if (node == nullptr || !node->is_table() || node->as_table()->empty())
      return bad_input(place_, "has no [splits] table", "name at least one of the splits " + join(kSplitNames));
    CUPEL_TRY(check_keys(*node->as_table(), "splits", kSplitNames));
    std::vector<std::tuple<uint32_t, uint32_t, SplitDescription>> found;
    for (const auto& [key, value] : *node->as_table()) {
      const std::string what = "splits." + name_of(key);
      const toml::table* table = CUPEL_TRY(need_table(value, what));
      CUPEL_TRY(check_keys(*table, what, std::array<std::string_view, 4>{"source", "indices", "count", "seed"}));
      SplitDescription split;
      split.name = key.str();
      split.place = at(value, what);
      const toml::node *source = table->get("source"), *indices = table->get("indices"), *count = table->get("count"),
                       *seed = table->get("seed");
      if (source == nullptr) return bad_input(split.place, "\"source\" is missing", "name one of the sources");
      split.source = CUPEL_TRY(need_string(*source, what + ".source"));
      if (indices != nullptr) split.indices = CUPEL_TRY(need_string(*indices, what + ".indices"));
      if (count != nullptr) split.count = CUPEL_TRY(need_integer(*count, what + ".count", 1));
      if (seed != nullptr) split.seed = CUPEL_TRY(need_integer(*seed, what + ".seed", 0));
      if ((count == nullptr) != (seed == nullptr))
        return bad_input(split.place, fmt::format("\"{}\" is missing", count == nullptr ? "count" : "seed"),
                         "count and seed belong together");
      if (indices != nullptr && count != nullptr)
        return bad_input(split.place, "has both \"indices\" and \"count\"", "choose samples by one of them");
      found.emplace_back(value.source().begin.line, value.source().begin.column, std::move(split));
    }
    std::ranges::stable_sort(found, {}, [](const auto& f) { return std::pair(std::get<0>(f), std::get<1>(f)); });
    for (auto& f : found) out_.splits.push_back(std::move(std::get<2>(f)));
    return {};
  }

  Status read_metrics(const toml::table& root) {
    const toml::node* node = root.get("metric");
    if (node == nullptr) return {};
    const toml::array* array = node->as_array();
    if (array == nullptr) return bad_input(at(*node, "metric"), "is not an array of tables", "write [[metric]]");
    for (const toml::node& item : *array) {
      const toml::table* table = CUPEL_TRY(need_table(item, "metric"));
      CUPEL_TRY(check_keys(*table, "metric", std::array<std::string_view, 2>{"kind", "top_k"}));
      MetricChoice metric;
      if (!table->contains("kind"))
        return bad_input(at(item, "metric"), "\"kind\" is missing", "supported kinds: " + join(kMetricKinds));
      metric.kind = CUPEL_TRY(need_string(*table->get("kind"), "metric.kind"));
      if (std::ranges::find(kMetricKinds, metric.kind) == kMetricKinds.end())
        return unsupported(at(*table->get("kind"), "metric.kind"),
                           fmt::format("\"{}\" is not supported", printable(metric.kind)),
                           "supported kinds: " + join(kMetricKinds));
      if (const toml::node* top_k = table->get("top_k")) {
        metric.top_k = CUPEL_TRY(need_integer(*top_k, "metric.top_k", 1));
        if (!out_.classes.empty() && metric.top_k > static_cast<int64_t>(out_.classes.size()))
          return bad_input(at(*top_k, "metric.top_k"),
                           fmt::format("is {}, but there are {} classes", metric.top_k, out_.classes.size()),
                           "choose a smaller top_k");
      }
      out_.metrics.push_back(std::move(metric));
    }
    return {};
  }

  std::filesystem::path path_;
  std::string place_;
  DatasetDescription out_;
};

}  // namespace

Result<DatasetDescription> read_description(const std::filesystem::path& path) { return Reader(path).read(); }

}  // namespace cupel
