#include "onnx/attribute_proto.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/file.h"
#include "onnx/fields.h"
#include "onnx/tensor_proto.h"

namespace cupel {
namespace {

namespace kind = onnx_field::attribute_type;

const char* const kExportAgain = "export the model again";

// Attributes that say nothing about inference when they have this value; with std::monostate, whatever the value.
struct Harmless {
  std::string_view op;  // empty: every op
  std::string_view attribute;
  std::variant<std::monostate, int64_t, std::string_view> value = {};
};
constexpr Harmless kHarmless[] = {
    {"", "consumed_inputs"},
    {"BatchNormalization", "momentum"},
    {"BatchNormalization", "training_mode", int64_t{0}},
    {"BatchNormalization", "spatial", int64_t{1}},
    {"Dropout", "ratio"},
    {"Dropout", "seed"},
    {"Dropout", "is_test"},
    {"LayerNormalization", "stash_type", int64_t{1}},
    {"MaxPool", "storage_order"},  // the order of Indices, a second result
};
// The same, where the op does not know the attribute at all.
constexpr Harmless kHarmlessWhenUnknown[] = {
    {"", "auto_pad", "NOTSET"},
    {"", "ceil_mode", int64_t{0}},
    {"", "noop_with_empty_axes", int64_t{0}},
    {"ArgMax", "select_last_index", int64_t{0}},
    {"AveragePool", "count_include_pad", int64_t{0}},
    {"Cast", "round_mode"},
    {"Pad", "mode", "constant"},
    {"Reshape", "allowzero", int64_t{0}},
};

bool matches(const Harmless& row, const OpDef& op, const std::string& name, const Attribute& value) {
  if (row.attribute != name || !(row.op.empty() || row.op == op.name)) return false;
  if (const auto* wanted = std::get_if<int64_t>(&row.value)) return value == Attribute(*wanted);
  if (const auto* wanted = std::get_if<std::string_view>(&row.value)) return value == Attribute(std::string(*wanted));
  return true;
}

bool is_harmless(const OpDef& op, const std::string& name, const Attribute& value) {
  const auto fits = [&](const Harmless& row) { return matches(row, op, name, value); };
  const bool known = std::any_of(op.attributes.begin(), op.attributes.end(),
                                 [&](const AttributeSpec& spec) { return spec.name == name; });
  return std::any_of(std::begin(kHarmless), std::end(kHarmless), fits) ||
         (!known && std::any_of(std::begin(kHarmlessWhenUnknown), std::end(kHarmlessWhenUnknown), fits));
}

// Files of IR version 1 leave the kind out.
int64_t kind_of(const AttributeFields& a) {
  if (a.type != kind::undefined) return a.type;
  if (a.f) return kind::real;
  if (a.i) return kind::integer;
  if (a.s) return kind::text;
  if (a.t) return kind::tensor;
  if (!a.floats.empty()) return kind::reals;
  if (!a.strings.empty()) return kind::texts;
  return a.ints.empty() ? kind::undefined : kind::integers;
}

}  // namespace

Result<Attribute> read_attribute(const AttributeFields& a, const std::filesystem::path& folder) {
  const std::string name = printable(a.name);
  if (a.refused)
    return unsupported("", fmt::format("attribute {} holds {}", name, a.refused),
                       "export the model without control flow, sequences and functions");
  const auto nan = [&] {
    return unsupported("", fmt::format("attribute {} holds NaN", name), "export the model with numbers in attributes");
  };
  switch (kind_of(a)) {
    case kind::real:
      if (a.f && std::isnan(*a.f)) return nan();
      return a.f.value_or(0.0f);  // protocol buffers may leave zeros out
    case kind::integer: return a.i.value_or(0);
    case kind::text: return std::string(a.s.value_or(std::string_view()));
    case kind::tensor: {
      if (!a.t) break;
      auto tensor = read_tensor(*a.t, folder);
      if (!tensor) return std::unexpected(std::move(tensor).error().within(fmt::format("attribute {}", name)));
      return std::move(*tensor);
    }
    case kind::reals:
      if (std::any_of(a.floats.begin(), a.floats.end(), [](float v) { return std::isnan(v); })) return nan();
      return a.floats;
    case kind::integers: return a.ints;
    case kind::texts: return std::vector<std::string>(a.strings.begin(), a.strings.end());
    default: break;
  }
  return bad_input("", fmt::format("attribute {} has no value that Cupel reads", name), kExportAgain);
}

void drop_harmless(const OpDef& op, Attributes& attributes) {
  std::erase_if(attributes, [&](const auto& entry) { return is_harmless(op, entry.first, entry.second); });
}

}  // namespace cupel
