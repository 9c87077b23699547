// Attributes of nodes: a sorted map from names to values of seven kinds.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/tensor.h"

namespace cupel {

using Attribute = std::variant<int64_t, float, std::string, std::vector<int64_t>, std::vector<float>, Tensor,
                               std::vector<std::string>>;
using Attributes = std::map<std::string, Attribute, std::less<>>;

enum class AttributeKind { integer, real, text, integers, reals, tensor, texts };

// The attribute when present and of that kind, else the fallback. Kinds are checked against OpDef when a node is made.
int64_t attr_int(const Attributes& attributes, std::string_view name, int64_t fallback);
float attr_real(const Attributes& attributes, std::string_view name, float fallback);
std::string attr_text(const Attributes& attributes, std::string_view name, std::string_view fallback);
std::vector<int64_t> attr_ints(const Attributes& attributes, std::string_view name, std::vector<int64_t> fallback = {});
std::vector<float> attr_reals(const Attributes& attributes, std::string_view name, std::vector<float> fallback = {});
std::vector<std::string> attr_texts(const Attributes& attributes, std::string_view name);
bool has_attr(const Attributes& attributes, std::string_view name);

}  // namespace cupel
