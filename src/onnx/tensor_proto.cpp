#include "onnx/tensor_proto.h"

#include <fmt/format.h>

#include <charconv>
#include <cstring>

#include "base/file.h"
#include "onnx/element_type.h"
#include "onnx/fields.h"
#include "onnx/wire.h"
#include "ops/onnx_dtype.h"

namespace cupel {
namespace {

namespace field = onnx_field::tensor;

const char* const kExportAgain = "export the model again";

// The field that holds values of the type one by one.
uint32_t typed_field(DType type) {
  switch (type) {
    case DType::f32: return field::float_data;
    case DType::f64: return field::double_data;
    case DType::s64: return field::int64_data;
    case DType::u32:
    case DType::u64: return field::uint64_data;
    default: return field::int32_data;
  }
}

std::string type_text(DType type, const Dims& dims) { return std::string(dtype_name(type)) + to_text(dims); }

// Calls at(v) for each typed value, v being float, double or int64_t as the field is.
template <class At>
void each_value(std::string_view message, uint32_t wanted, At&& at) {
  Fields fields(message, "TensorProto", nullptr);
  while (fields.next()) {
    if (fields.tag() != wanted) {
      fields.skip();
    } else if (wanted == field::float_data) {
      fields.each_real(at);
    } else if (wanted == field::double_data) {
      fields.each_double(at);
    } else {
      fields.each_integer(at);
    }
  }
}

// Values that hold bit patterns (f16, bf16, f8) or packed pairs (u4, s4) as unsigned numbers, and plain integers.
bool fits(DType type, int64_t v) {
  switch (type) {
    case DType::f16:
    case DType::bf16: return v >= 0 && v <= 0xffff;
    case DType::f8e4m3:
    case DType::f8e5m2:
    case DType::u4:
    case DType::s4: return v >= 0 && v <= 0xff;
    case DType::boolean: return v == 0 || v == 1;
    case DType::u64:
    case DType::s64: return true;
    default: return v >= dtype_min(type) && v <= dtype_max(type);
  }
}

Status read_typed(const TensorFields& fields, DType type, const Dims& dims, int64_t count, Tensor& out) {
  const int64_t values = dtype_bits(type) == 4 ? byte_count(type, count) : count;  // 4-bit types come in pairs
  const uint32_t wanted = typed_field(type);
  int64_t found = 0;
  each_value(fields.message, wanted, [&](auto) { ++found; });
  if (found != values)
    return bad_input("", fmt::format("holds {} values, expected {} for {}", found, values, type_text(type, dims)),
                     kExportAgain);
  out = Tensor(type, dims);
  std::byte* to = out.mutable_bytes().data();
  const size_t width = dtype_bits(type) == 4 ? 1 : static_cast<size_t>(dtype_bits(type)) / 8;
  int64_t index = 0, bad_index = -1, bad_value = 0;
  each_value(fields.message, wanted, [&](auto v) {
    if constexpr (std::is_same_v<decltype(v), int64_t>) {
      if (!fits(type, v) && bad_index < 0) {
        bad_index = index;
        bad_value = v;
      }
    }
    std::memcpy(to, &v, width);  // little-endian: the low bytes are the narrower number
    to += width;
    ++index;
  });
  if (bad_index >= 0)
    return bad_input("", fmt::format("value {} is {}, outside {}", bad_index, bad_value, dtype_name(type)),
                     kExportAgain);
  return {};
}

Result<int64_t> external_number(std::string_view key, std::string_view text) {
  int64_t value = 0;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (code != std::errc() || end != text.data() + text.size() || value < 0)
    return bad_input("", fmt::format("external data has {} '{}', expected a number of bytes", key, printable(text, 40)),
                     kExportAgain);
  return value;
}

Result<Bytes> read_external(const TensorFields& fields, const std::filesystem::path& folder, int64_t length,
                            const std::string& type) {
  std::string_view location;
  int64_t offset = 0;
  for (const auto& [key, value] : fields.external_entries) {
    if (key == "location") {
      location = value;
    } else if (key == "offset") {
      offset = CUPEL_TRY(external_number(key, value));
    } else if (key == "length") {
      const int64_t declared = CUPEL_TRY(external_number(key, value));
      if (declared != length)
        return bad_input("", fmt::format("external data has {} bytes, expected {} for {}", declared, length, type),
                         kExportAgain);
    } else if (key != "checksum") {
      return bad_input("", fmt::format("external data has the unknown key '{}'", printable(key, 40)),
                       "use only location, offset, length and checksum");
    }
  }
  if (location.empty()) return bad_input("", "external data has no location", kExportAgain);
  if (location.find('\0') != std::string_view::npos)
    return bad_input("", fmt::format("external data has location '{}' with a zero byte", printable(location)),
                     kExportAgain);
  return read_beneath(folder, std::string(location), offset, length);
}

}  // namespace

Result<Tensor> read_tensor(const TensorFields& fields, const std::filesystem::path& folder) {
  const auto type = dtype_from_onnx(fields.data_type);
  if (!type)
    return unsupported("", fmt::format("has element type {}", onnx_type_name(fields.data_type)),
                       "export the model with numeric tensors");
  if (fields.segmented)
    return unsupported("", "is stored in segments", "export the model with whole tensors or external data");
  const int64_t count = CUPEL_TRY(count_elements(fields.dims));
  const int64_t bytes = byte_count(*type, count);
  const std::string text = type_text(*type, fields.dims);

  Tensor tensor;
  if (fields.external) {
    if (fields.raw_data) return bad_input("", "has both raw and external data", kExportAgain);
    const Bytes content = CUPEL_TRY(read_external(fields, folder, bytes, text));
    tensor = Tensor(*type, fields.dims);
    if (bytes) std::memcpy(tensor.mutable_bytes().data(), content.data(), content.size());
  } else if (fields.raw_data) {
    if (static_cast<int64_t>(fields.raw_data->size()) != bytes)
      return bad_input("",
                       fmt::format("raw data has {} bytes, expected {} for {}", fields.raw_data->size(), bytes, text),
                       kExportAgain);
    tensor = Tensor(*type, fields.dims);
    if (bytes) std::memcpy(tensor.mutable_bytes().data(), fields.raw_data->data(), fields.raw_data->size());
  } else {
    try {
      CUPEL_TRY(read_typed(fields, *type, fields.dims, count, tensor));
    } catch (const WireError& error) {
      return bad_input("", fmt::format("is malformed: {}", error.what()), kExportAgain);
    } catch (const protozero::exception& error) {
      return bad_input("", "is malformed: " + wire_error_text(error), kExportAgain);
    }
  }
  if (*type == DType::boolean)
    for (std::byte& b : tensor.mutable_bytes()) b = b == std::byte{0} ? std::byte{0} : std::byte{1};
  return tensor;
}

}  // namespace cupel
