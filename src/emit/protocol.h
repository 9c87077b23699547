// What Cupel and cupel-emit say to each other over one socket: a frame is a kind, a length and a payload. Both are
// built from the same sources; the layout is that of this machine.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <type_traits>
#include <vector>

#include "base/file.h"
#include "base/result.h"

namespace cupel {

enum class RequestKind : uint32_t {
  version,  // -> text: LLVM's version and the build of cupel-emit
  object,   // ObjectRequest -> object file
  ir,       // ObjectRequest -> LLVM IR as text
  tables,   // ImageChain -> object file
  link,     // LinkRequest -> nothing; the library is at `output`
  // Accepted only with CUPEL_EMIT_PLANT=1 in the worker's environment: defects for tests.
  plant_abort,
  plant_hang,
  plant_memory,
};
enum class ReplyKind : uint32_t { done, error };

struct FrameHeader {
  uint32_t kind = 0;
  uint32_t reserved = 0;
  uint64_t length = 0;
};
inline constexpr uint64_t kMaxFrameBytes = uint64_t{1} << 33;

class PayloadWriter {
 public:
  template <class T>
    requires std::is_arithmetic_v<T>
  void add(T value) {
    const auto* from = reinterpret_cast<const std::byte*>(&value);
    bytes_.insert(bytes_.end(), from, from + sizeof value);
  }
  void add(std::string_view text) {
    add(static_cast<uint64_t>(text.size()));
    const auto* from = reinterpret_cast<const std::byte*>(text.data());
    bytes_.insert(bytes_.end(), from, from + text.size());
  }
  template <class T>
  void add(const std::vector<T>& values) {
    add(static_cast<uint64_t>(values.size()));
    for (const T& value : values) add(value);
  }
  Bytes take() { return std::move(bytes_); }

 private:
  Bytes bytes_;
};

// Reads what PayloadWriter wrote; past the end everything reads as zero and `sound` becomes false.
class PayloadReader {
 public:
  explicit PayloadReader(const Bytes& bytes) : bytes_(bytes) {}
  bool sound() const { return sound_; }
  bool finished() const { return sound_ && at_ == bytes_.size(); }

  template <class T>
    requires std::is_arithmetic_v<T>
  void read(T& value) {
    value = T{};
    if (bytes_.size() - at_ < sizeof value) {
      sound_ = false;
      return;
    }
    std::memcpy(&value, bytes_.data() + at_, sizeof value);
    at_ += sizeof value;
  }
  void read(std::string& text) {
    uint64_t size = 0;
    read(size);
    if (bytes_.size() - at_ < size) {
      sound_ = false;
      return;
    }
    text.assign(reinterpret_cast<const char*>(bytes_.data() + at_), size);
    at_ += size;
  }
  template <class T>
  void read(std::vector<T>& values) {
    uint64_t size = 0;
    read(size);
    values.clear();
    for (uint64_t i = 0; i < size && sound_; ++i) read(values.emplace_back());
  }

 private:
  const Bytes& bytes_;
  size_t at_ = 0;
  bool sound_ = true;
};

struct ObjectRequest {
  std::string target, symbol, kernel;  // kernel: its text
  int32_t code_generation_level = 2;
  template <class Archive, class Self>
  static void fields(Archive&& archive, Self& self) {
    archive(self.target), archive(self.symbol), archive(self.kernel), archive(self.code_generation_level);
  }
};

struct LinkRequest {
  std::vector<std::string> inputs;   // paths of object files
  std::vector<std::string> exports;  // names or patterns ("cupel_resnet_*") that the library shows
  std::string output;                // path
  bool with_runtime = false;         // adds Session (runtime/session.h)
  template <class Archive, class Self>
  static void fields(Archive&& archive, Self& self) {
    archive(self.inputs), archive(self.exports), archive(self.output), archive(self.with_runtime);
  }
};

// Content of a CupelImage (runtime/image.h), without the constants' bytes.
struct ImageTables {
  struct Port {
    std::string name;
    int32_t dtype = 0;
    std::vector<int64_t> dims;
    int64_t item_bytes = 0;
    template <class Archive, class Self>
    static void fields(Archive&& archive, Self& self) {
      archive(self.name), archive(self.dtype), archive(self.dims), archive(self.item_bytes);
    }
  };
  struct Buffer {
    int32_t place = 0, index = 0;
    int64_t offset = 0;
    template <class Archive, class Self>
    static void fields(Archive&& archive, Self& self) {
      archive(self.place), archive(self.index), archive(self.offset);
    }
  };
  struct Step {
    std::string symbol, name, origins;
    std::vector<int32_t> buffers;
    int64_t units_per_item = 0, effort = 0, multiply_adds = 0, item_bytes = 0, constant_bytes = 0;
    int32_t accumulator = 0;
    bool tapped = false;
    std::string value_name;
    int32_t dtype = 0;
    std::vector<int64_t> dims, strides;
    int64_t offset = 0, item_stride = 0;
    float scale = 0;
    int32_t zero_point = 0;
    template <class Archive, class Self>
    static void fields(Archive&& archive, Self& self) {
      archive(self.symbol), archive(self.name), archive(self.origins), archive(self.buffers),
          archive(self.units_per_item), archive(self.effort), archive(self.multiply_adds), archive(self.item_bytes),
          archive(self.constant_bytes), archive(self.accumulator), archive(self.tapped), archive(self.value_name),
          archive(self.dtype), archive(self.dims), archive(self.strides), archive(self.offset),
          archive(self.item_stride), archive(self.scale), archive(self.zero_point);
    }
  };
  std::string model, target, tuned_for, sizes;
  std::vector<std::string> features;
  std::vector<Port> inputs, outputs;
  std::vector<Buffer> buffers;
  std::vector<Step> steps;
  int64_t constants_bytes = 0, arena_bytes = 0, fixed_batch = 0;
  template <class Archive, class Self>
  static void fields(Archive&& archive, Self& self) {
    archive(self.model), archive(self.target), archive(self.tuned_for), archive(self.sizes), archive(self.features),
        archive(self.inputs), archive(self.outputs), archive(self.buffers), archive(self.steps),
        archive(self.constants_bytes), archive(self.arena_bytes), archive(self.fixed_batch);
  }
};
// The Images of one shared library, which exports functions for them.
struct ImageChain {
  std::string prefix;  // "cupel_resnet50": of every exported name
  std::vector<ImageTables> images;
  template <class Archive, class Self>
  static void fields(Archive&& archive, Self& self) {
    archive(self.prefix), archive(self.images);
  }
};
// Defined by the object that holds the constants.
inline constexpr std::string_view kConstantsSymbol = "cupel_image_constants";

namespace detail {
struct FieldWriter {
  PayloadWriter& to;
  template <class T>
  void operator()(const T& value) {
    if constexpr (requires { T::fields(*this, value); }) {
      T::fields(*this, value);
    } else if constexpr (requires {
                           typename T::value_type;
                           T::value_type::fields(*this, value.front());
                         }) {
      to.add(static_cast<uint64_t>(value.size()));
      for (const auto& one : value) (*this)(one);
    } else {
      to.add(value);
    }
  }
};
struct FieldReader {
  PayloadReader& from;
  template <class T>
  void operator()(T& value) {
    if constexpr (requires { T::fields(*this, value); }) {
      T::fields(*this, value);
    } else if constexpr (requires {
                           typename T::value_type;
                           T::value_type::fields(*this, value.front());
                         }) {
      uint64_t size = 0;
      from.read(size);
      value.clear();
      for (uint64_t i = 0; i < size && from.sound(); ++i) (*this)(value.emplace_back());
    } else {
      from.read(value);
    }
  }
};
}  // namespace detail

template <class T>
Bytes to_payload(const T& message) {
  PayloadWriter writer;
  T::fields(detail::FieldWriter{writer}, message);
  return writer.take();
}
// internal error when the payload is not a T.
template <class T>
Result<T> from_payload(const Bytes& payload) {
  PayloadReader reader(payload);
  T message;
  T::fields(detail::FieldReader{reader}, message);
  if (!reader.finished()) return internal_error("cupel-emit", "a message has the wrong size");
  return message;
}

inline Bytes to_payload(const Error& error) {
  PayloadWriter writer;
  writer.add(static_cast<uint32_t>(error.kind));
  writer.add(error.place), writer.add(error.cause), writer.add(error.remedy);
  writer.add(static_cast<uint32_t>(error.code)), writer.add(error.node);
  return writer.take();
}
inline Error error_from_payload(const Bytes& payload) {
  PayloadReader reader(payload);
  uint32_t kind = 0, code = 0;
  Error error;
  reader.read(kind), reader.read(error.place), reader.read(error.cause), reader.read(error.remedy);
  reader.read(code), reader.read(error.node);
  if (!reader.finished() || kind > static_cast<uint32_t>(ErrorKind::resource) ||
      code > static_cast<uint32_t>(ErrorCode::reference_runs_it))
    return {ErrorKind::internal, "cupel-emit", "an error message has the wrong size", ""};
  error.kind = static_cast<ErrorKind>(kind);
  error.code = static_cast<ErrorCode>(code);
  return error;
}

}  // namespace cupel
