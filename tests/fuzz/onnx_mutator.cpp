#include "fuzz/onnx_mutator.h"

#include <array>
#include <bit>
#include <cstring>
#include <limits>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "ir/op_def.h"
#include "onnx/fields.h"

extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t capacity);

namespace cupel::fuzz {
namespace {

enum class Message : uint8_t {
  none,
  model,
  opset,
  graph,
  node,
  attribute,
  tensor,
  value,
  type,
  tensor_type,
  shape,
  dim,
  entry
};
enum class Wire : uint8_t { varint = 0, fixed64 = 1, bytes = 2, fixed32 = 5 };

struct Field {
  uint32_t number = 0;
  Wire wire = Wire::varint;
  uint64_t number_value = 0;  // varint and fixed
  std::string bytes;          // length-delimited and no message
  Message message = Message::none;
  std::vector<Field> fields;  // of a message
};

Message message_of(Message parent, uint32_t field) {
  struct Row {
    Message parent;
    uint32_t field;
    Message child;
  };
  namespace f = onnx_field;
  constexpr Row kRows[] = {
      {Message::model, f::model::graph, Message::graph},
      {Message::model, f::model::opset_import, Message::opset},
      {Message::graph, f::graph::node, Message::node},
      {Message::graph, f::graph::initializer, Message::tensor},
      {Message::graph, f::graph::input, Message::value},
      {Message::graph, f::graph::output, Message::value},
      {Message::node, f::node::attribute, Message::attribute},
      {Message::attribute, f::attribute::t, Message::tensor},
      {Message::value, f::value::type, Message::type},
      {Message::type, f::type::tensor, Message::tensor_type},
      {Message::tensor_type, f::tensor_type::shape, Message::shape},
      {Message::shape, f::shape::dim, Message::dim},
      {Message::tensor, f::tensor::external_data, Message::entry},
  };
  for (const Row& row : kRows)
    if (row.parent == parent && row.field == field) return row.child;
  return Message::none;
}

std::optional<uint64_t> take_varint(std::string_view& bytes) {
  uint64_t value = 0;
  for (unsigned shift = 0; shift < 64 && !bytes.empty(); shift += 7) {
    const auto byte = static_cast<uint8_t>(bytes.front());
    bytes.remove_prefix(1);
    value |= static_cast<uint64_t>(byte & 127) << shift;
    if (byte < 128) return value;
  }
  return std::nullopt;
}

void put_varint(std::string& out, uint64_t value) {
  for (; value >= 128; value >>= 7) out += static_cast<char>(value | 128);
  out += static_cast<char>(value);
}

bool take_fixed(std::string_view& bytes, size_t width, uint64_t& value) {
  if (bytes.size() < width) return false;
  std::memcpy(&value, bytes.data(), width);
  bytes.remove_prefix(width);
  return true;
}

std::optional<std::vector<Field>> take_message(std::string_view bytes, Message message) {
  std::vector<Field> fields;
  while (!bytes.empty()) {
    const auto key = take_varint(bytes);
    if (!key || *key >> 3 == 0 || *key >> 32 != 0) return std::nullopt;
    Field field;
    field.number = static_cast<uint32_t>(*key >> 3);
    field.wire = static_cast<Wire>(*key & 7);
    if (field.wire == Wire::varint) {
      const auto value = take_varint(bytes);
      if (!value) return std::nullopt;
      field.number_value = *value;
    } else if (field.wire == Wire::fixed64 || field.wire == Wire::fixed32) {
      if (!take_fixed(bytes, field.wire == Wire::fixed64 ? 8 : 4, field.number_value)) return std::nullopt;
    } else if (field.wire == Wire::bytes) {
      const auto length = take_varint(bytes);
      if (!length || *length > bytes.size()) return std::nullopt;
      const std::string_view content = bytes.substr(0, *length);
      bytes.remove_prefix(*length);
      field.message = message_of(message, field.number);
      auto inner = field.message == Message::none ? std::nullopt : take_message(content, field.message);
      if (inner) {
        field.fields = std::move(*inner);
      } else {
        field.message = Message::none;
        field.bytes = content;
      }
    } else {
      return std::nullopt;
    }
    fields.push_back(std::move(field));
  }
  return fields;
}

std::string written(const std::vector<Field>& fields) {
  std::string out;
  for (const Field& field : fields) {
    put_varint(out, uint64_t{field.number} << 3 | static_cast<uint64_t>(field.wire));
    if (field.wire == Wire::varint) {
      put_varint(out, field.number_value);
    } else if (field.wire == Wire::bytes) {
      const std::string inner = field.message == Message::none ? field.bytes : written(field.fields);
      put_varint(out, inner.size());
      out += inner;
    } else {
      out.append(reinterpret_cast<const char*>(&field.number_value), field.wire == Wire::fixed64 ? 8 : 4);
    }
  }
  return out;
}

// A field of the file, and the message it stands in.
struct Place {
  std::vector<Field>* fields;
  size_t index;
  Message parent;
  Field& field() const { return (*fields)[index]; }
};

void collect(std::vector<Field>& fields, Message parent, std::vector<Place>& places) {
  for (size_t i = 0; i < fields.size(); ++i) {
    places.push_back({&fields, i, parent});
    if (fields[i].message != Message::none) collect(fields[i].fields, fields[i].message, places);
  }
}

class Mutation {
 public:
  Mutation(std::vector<Field>& model, unsigned seed) : model_(model), random_(seed) {}

  void run() {
    for (uint64_t rounds = 1 + pick(4); rounds > 0; --rounds) {
      places_.clear();
      collect(model_, Message::model, places_);
      if (places_.empty()) return;
      change();
    }
  }

 private:
  uint64_t pick(uint64_t count) { return random_() % count; }
  Place& any_place() { return places_[pick(places_.size())]; }

  void change() {
    Place place = any_place();
    switch (pick(12)) {
      case 0: place.fields->erase(place.fields->begin() + static_cast<std::ptrdiff_t>(place.index)); return;
      case 1: {
        Field copy = place.field();
        place.fields->insert(place.fields->begin() + static_cast<std::ptrdiff_t>(pick(place.fields->size() + 1)), copy);
        return;
      }
      case 2: std::swap(place.field(), (*place.fields)[pick(place.fields->size())]); return;
      case 3: take_from_elsewhere(place, true); return;
      case 4: forget_result_types(); return;
      default: change_value(place);
    }
  }

  void change_value(Place place) {
    for (int tries = 0; tries < 16 && place.field().message != Message::none; ++tries) place = any_place();
    Field& field = place.field();
    if (field.message != Message::none) return;
    if (field.wire == Wire::varint) {
      field.number_value = other_integer(field.number_value);
    } else if (field.wire == Wire::fixed32) {
      field.number_value = std::bit_cast<uint32_t>(other_real());
    } else if (field.wire == Wire::fixed64) {
      field.number_value = std::bit_cast<uint64_t>(static_cast<double>(other_real()));
    } else {
      change_bytes(place);
    }
  }

  uint64_t other_integer(uint64_t now) {
    constexpr std::array<int64_t, 22> kKnown = {
        0,         1,        -1, 2,   -2,  3,   4,   7,         8,         15,
        16,        17,       64, 127, 128, 255, 256, INT32_MAX, INT32_MIN, int64_t{1} << 32,
        INT64_MAX, INT64_MIN};
    switch (pick(6)) {
      case 0: return now + 1;
      case 1: return now - 1;
      case 2: return uint64_t{1} << pick(64);
      case 3: return now ^ uint64_t { 1 } << pick(64);
      case 4: return pick(24);
      default: return static_cast<uint64_t>(kKnown[pick(kKnown.size())]);
    }
  }

  float other_real() {
    using L = std::numeric_limits<float>;
    constexpr std::array<float, 16> kKnown = {
        0.0f,     -0.0f,       1.0f,     -1.0f,           0.5f,          2.0f,          1e-6f, 6.0f, 255.0f, 1e30f,
        L::max(), L::lowest(), L::min(), L::denorm_min(), L::infinity(), L::quiet_NaN()};
    if (pick(4) == 0) return std::bit_cast<float>(static_cast<uint32_t>(random_()));
    return kKnown[pick(kKnown.size())];
  }

  void change_bytes(Place place) {
    Field& field = place.field();
    namespace f = onnx_field;
    if (place.parent == Message::node && field.number == f::node::op_type && pick(2) == 0) {
      field.bytes = all_ops()[pick(all_ops().size())]->name;
    } else if (place.parent == Message::tensor && field.number == f::tensor::raw_data) {
      change_payload(place);
    } else if (pick(3) == 0 && change_packed(field)) {
      return;
    } else if (pick(3) != 0) {
      take_from_elsewhere(place, false);
    } else {
      field.bytes.resize(field.bytes.size() + 8);
      const size_t size =
          LLVMFuzzerMutate(reinterpret_cast<uint8_t*>(field.bytes.data()), field.bytes.size() - 8, field.bytes.size());
      field.bytes.resize(size);
    }
  }

  // One number of a list that is packed.
  bool change_packed(Field& field) {
    std::vector<uint64_t> values;
    for (std::string_view rest = field.bytes; !rest.empty();) {
      const auto value = take_varint(rest);
      if (!value) return false;
      values.push_back(*value);
    }
    if (values.empty()) return false;
    uint64_t& value = values[pick(values.size())];
    value = other_integer(value);
    field.bytes.clear();
    for (const uint64_t v : values) put_varint(field.bytes, v);
    return true;
  }

  // An element of a tensor, or its length together with the last dimension.
  void change_payload(Place place) {
    std::string& bytes = place.field().bytes;
    const size_t width = size_t{1} << pick(4);
    if (bytes.size() >= width && pick(4) != 0) {
      const uint64_t value = width == 4 && pick(2) == 0 ? std::bit_cast<uint32_t>(other_real()) : other_integer(0);
      std::memcpy(bytes.data() + pick(bytes.size() / width) * width, &value, width);
      return;
    }
    for (Field& dim : *place.fields)
      if (dim.number == onnx_field::tensor::dims && dim.wire == Wire::varint && dim.number_value > 0 &&
          bytes.size() % dim.number_value == 0) {
        const size_t part = bytes.size() / dim.number_value;
        dim.number_value = pick(20);
        bytes.resize(part * dim.number_value, '\1');
        return;
      }
  }

  // The content of another field of the same kind: a name, an attribute, a whole node.
  void take_from_elsewhere(Place place, bool whole) {
    const Field& now = place.field();
    std::vector<size_t> like;
    for (size_t i = 0; i < places_.size(); ++i) {
      const Field& other = places_[i].field();
      const bool same = places_[i].parent == place.parent && other.number == now.number;
      const bool name =
          !whole && other.wire == Wire::bytes && other.message == Message::none && other.bytes.size() < 64;
      if (&other != &now && other.wire == now.wire && (same || (name && now.message == Message::none)))
        like.push_back(i);
    }
    if (like.empty()) return;
    Field copy = places_[like[pick(like.size())]].field();
    copy.number = now.number;
    place.field() = std::move(copy);
  }

  // What a graph's results are declared to be hides what its nodes would be.
  void forget_result_types() {
    for (const Place& place : places_)
      if (place.parent == Message::graph && place.field().number == onnx_field::graph::output)
        std::erase_if(place.field().fields, [](const Field& f) { return f.number == onnx_field::value::type; });
  }

  std::vector<Field>& model_;
  std::mt19937_64 random_;
  std::vector<Place> places_;
};

size_t put(const std::string& bytes, uint8_t* out, size_t capacity) {
  if (bytes.size() > capacity) return 0;
  std::memcpy(out, bytes.data(), bytes.size());
  return bytes.size();
}

std::string_view view(const uint8_t* data, size_t size) { return {reinterpret_cast<const char*>(data), size}; }

std::vector<Field>* graph_of(std::vector<Field>& model) {
  for (Field& field : model)
    if (field.message == Message::graph) return &field.fields;
  return nullptr;
}

}  // namespace

size_t mutate_onnx(uint8_t* data, size_t size, size_t capacity, unsigned seed) {
  auto model = seed % 16 == 0 ? std::nullopt : take_message(view(data, size), Message::model);
  if (!model) return LLVMFuzzerMutate(data, size, capacity);
  Mutation(*model, seed).run();
  const size_t written_size = put(written(*model), data, capacity);
  return written_size > 0 ? written_size : LLVMFuzzerMutate(data, size, capacity);
}

size_t join_onnx(const uint8_t* first, size_t first_size, const uint8_t* second, size_t second_size, uint8_t* out,
                 size_t capacity, unsigned seed) {
  auto a = take_message(view(first, first_size), Message::model);
  auto b = take_message(view(second, second_size), Message::model);
  std::vector<Field>* into = a ? graph_of(*a) : nullptr;
  const std::vector<Field>* from = b ? graph_of(*b) : nullptr;
  if (into == nullptr || from == nullptr || from->empty()) return 0;
  std::mt19937_64 random(seed);
  for (uint64_t count = 1 + random() % 4; count > 0; --count) {
    const Field& field = (*from)[random() % from->size()];
    into->insert(into->begin() + static_cast<std::ptrdiff_t>(random() % (into->size() + 1)), field);
  }
  return put(written(*a), out, capacity);
}

}  // namespace cupel::fuzz
