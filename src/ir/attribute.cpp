#include "ir/attribute.h"

namespace cupel {
namespace {

template <class T>
const T* find(const Attributes& attributes, std::string_view name) {
  const auto entry = attributes.find(name);
  return entry == attributes.end() ? nullptr : std::get_if<T>(&entry->second);
}

}  // namespace

int64_t attr_int(const Attributes& attributes, std::string_view name, int64_t fallback) {
  const auto* value = find<int64_t>(attributes, name);
  return value ? *value : fallback;
}
float attr_real(const Attributes& attributes, std::string_view name, float fallback) {
  const auto* value = find<float>(attributes, name);
  return value ? *value : fallback;
}
std::string attr_text(const Attributes& attributes, std::string_view name, std::string_view fallback) {
  const auto* value = find<std::string>(attributes, name);
  return value ? *value : std::string(fallback);
}
std::vector<int64_t> attr_ints(const Attributes& attributes, std::string_view name, std::vector<int64_t> fallback) {
  const auto* value = find<std::vector<int64_t>>(attributes, name);
  return value ? *value : std::move(fallback);
}
std::vector<float> attr_reals(const Attributes& attributes, std::string_view name, std::vector<float> fallback) {
  const auto* value = find<std::vector<float>>(attributes, name);
  return value ? *value : std::move(fallback);
}
std::vector<std::string> attr_texts(const Attributes& attributes, std::string_view name) {
  const auto* value = find<std::vector<std::string>>(attributes, name);
  return value ? *value : std::vector<std::string>();
}
bool has_attr(const Attributes& attributes, std::string_view name) { return attributes.contains(name); }

}  // namespace cupel
