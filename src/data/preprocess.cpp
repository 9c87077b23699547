#include "data/preprocess.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstring>
#include <map>
#include <optional>

#include "base/file.h"
#include "data/image.h"
#include "data/resize.h"

namespace cupel {
namespace {

struct Arguments {
  std::string place;
  std::vector<std::string> words;
  std::map<std::string, std::vector<float>> lists;
};

struct StepRow {
  std::string_view name;
  std::string_view form;
  size_t words;
  size_t lists;
  Result<PreprocessStep> (*make)(const Arguments& arguments);
};

std::optional<float> parse_float(std::string_view text) {
  float value = 0;
  const auto [stop, code] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (code != std::errc() || stop != text.data() + text.size() || !std::isfinite(value)) return std::nullopt;
  return value;
}

// A side of an image in pixels.
Result<int64_t> parse_side(const Arguments& arguments, const std::string& text) {
  int64_t value = 0;
  const auto [stop, code] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (code != std::errc() || stop != text.data() + text.size() || value < 1 || value > 32768)
    return bad_input(arguments.place, fmt::format("\"{}\" is no size in pixels", printable(text)),
                     "sizes are whole numbers from 1 to 32768");
  return value;
}

std::unexpected<Error> refuse(const SampleType& type, const std::string& need) {
  return bad_input("", fmt::format("gets {}, but needs {}", to_text(type), need),
                   "reorder the steps or correct the source");
}

// Requires an image of u8 or f32.
Status check_image(const SampleType& type) {
  if (!type.image || (type.type != DType::u8 && type.type != DType::f32)) return refuse(type, "an image of u8 or f32");
  return {};
}
Status check_f32(const SampleType& type) {
  if (type.type != DType::f32) return refuse(type, "f32 (put to-float before it)");
  return {};
}

double element(const Tensor& t, int64_t i) {
  return t.dtype() == DType::u8 ? t.data<uint8_t>()[static_cast<size_t>(i)] : t.at(i);
}

Result<PreprocessStep> make_to_float(const Arguments&) {
  return PreprocessStep{
      {},
      [](const SampleType& type) -> Result<SampleType> { return SampleType{DType::f32, type.dims, type.image}; },
      [](Tensor in) -> Result<Tensor> {
        if (in.dtype() == DType::f32) return in;
        Tensor out(DType::f32, in.dims());
        const auto to = out.mutable_data<float>();
        for (int64_t i = 0; i < in.size(); ++i) {
          // 64-bit integers go to binary32 in one rounding.
          const bool wide = in.dtype() == DType::s64;
          to[static_cast<size_t>(i)] = wide ? static_cast<float>(in.int_at(i))
                                       : in.dtype() == DType::u64
                                           ? static_cast<float>(in.data<uint64_t>()[static_cast<size_t>(i)])
                                           : static_cast<float>(element(in, i));
        }
        return out;
      }};
}

Result<PreprocessStep> make_scale(const Arguments& arguments) {
  const std::optional<float> factor = parse_float(arguments.words[0]);
  if (!factor)
    return bad_input(arguments.place, fmt::format("\"{}\" is no finite number", printable(arguments.words[0])),
                     "write a decimal number");
  return PreprocessStep{{},
                        [](const SampleType& type) -> Result<SampleType> {
                          CUPEL_TRY(check_f32(type));
                          return type;
                        },
                        [f = *factor](Tensor t) -> Result<Tensor> {
                          for (float& x : t.mutable_data<float>()) x *= f;
                          return t;
                        }};
}

Result<PreprocessStep> make_normalize(const Arguments& arguments) {
  if (!arguments.lists.contains("mean") || !arguments.lists.contains("std"))
    return bad_input(arguments.place, "mean or std is missing", "write normalize mean=[…] std=[…]");
  std::vector<float> mean = arguments.lists.at("mean"), deviation = arguments.lists.at("std");
  for (float s : deviation)
    if (!(s > 0)) return bad_input(arguments.place, fmt::format("std holds {}", s), "every std is greater than 0");
  if (mean.size() != deviation.size())
    return bad_input(arguments.place, fmt::format("mean has {} values and std {}", mean.size(), deviation.size()),
                     "give both the same number of values");
  return PreprocessStep{{},
                        [n = static_cast<int64_t>(mean.size())](const SampleType& type) -> Result<SampleType> {
                          CUPEL_TRY(check_f32(type));
                          if (n != 1 && !(type.image && type.dims[2] == n))
                            return refuse(type,
                                          fmt::format("1 value of mean and std or one per channel, and has {}", n));
                          return type;
                        },
                        [mean, deviation](Tensor t) -> Result<Tensor> {
                          const auto x = t.mutable_data<float>();
                          const size_t channels = mean.size();
                          for (size_t c = 0; c < channels; ++c)
                            for (size_t i = c; i < x.size(); i += channels) x[i] = (x[i] - mean[c]) / deviation[c];
                          return t;
                        }};
}

Result<const ResizeAlgorithm*> parse_algorithm(const Arguments& arguments, const std::string& name) {
  const ResizeAlgorithm* algorithm = find_resize_algorithm(name);
  if (algorithm == nullptr)
    return unsupported(arguments.place, fmt::format("\"{}\" is no resizing algorithm", printable(name)),
                       "supported algorithms: " + resize_algorithm_names());
  return algorithm;
}

Result<PreprocessStep> make_resize(const Arguments& arguments) {
  const int64_t width = CUPEL_TRY(parse_side(arguments, arguments.words[0])),
                height = CUPEL_TRY(parse_side(arguments, arguments.words[1]));
  const ResizeAlgorithm* algorithm = CUPEL_TRY(parse_algorithm(arguments, arguments.words[2]));
  return PreprocessStep{{},
                        [=](const SampleType& type) -> Result<SampleType> {
                          CUPEL_TRY(check_image(type));
                          return SampleType{type.type, {height, width, type.dims[2]}, true};
                        },
                        [=](Tensor t) -> Result<Tensor> {
                          if (t.dims()[0] == height && t.dims()[1] == width) return t;
                          return algorithm->apply(t, height, width);
                        }};
}

Result<PreprocessStep> make_resize_shorter(const Arguments& arguments) {
  const int64_t shorter = CUPEL_TRY(parse_side(arguments, arguments.words[0]));
  const ResizeAlgorithm* algorithm = CUPEL_TRY(parse_algorithm(arguments, arguments.words[1]));
  const auto sizes = [=](int64_t height, int64_t width) {
    return height <= width ? std::pair(shorter, shorter * width / height)
                           : std::pair(shorter * height / width, shorter);
  };
  return PreprocessStep{
      {},
      [=](const SampleType& type) -> Result<SampleType> {
        CUPEL_TRY(check_image(type));
        if (type.dims[0] < 0 || type.dims[1] < 0) return SampleType{type.type, {-1, -1, type.dims[2]}, true};
        const auto [height, width] = sizes(type.dims[0], type.dims[1]);
        return SampleType{type.type, {height, width, type.dims[2]}, true};
      },
      [=](Tensor t) -> Result<Tensor> {
        const auto [height, width] = sizes(t.dims()[0], t.dims()[1]);
        if (height == t.dims()[0] && width == t.dims()[1]) return t;
        if (height > kMaxImagePixels / width)
          return resource_error(
              "", fmt::format("makes {} x {} pixels, more than the limit of {}", width, height, kMaxImagePixels),
              "resize to a smaller size");
        return algorithm->apply(t, height, width);
      }};
}

Result<PreprocessStep> make_center_crop(const Arguments& arguments) {
  const int64_t width = CUPEL_TRY(parse_side(arguments, arguments.words[0])),
                height = CUPEL_TRY(parse_side(arguments, arguments.words[1]));
  const auto too_small = [=](int64_t h, int64_t w) {
    return bad_input("", fmt::format("cannot cut {} x {} out of {} x {} (width x height)", width, height, w, h),
                     "resize to a larger size before it");
  };
  return PreprocessStep{
      {},
      [=](const SampleType& type) -> Result<SampleType> {
        CUPEL_TRY(check_image(type));
        if ((type.dims[0] >= 0 && type.dims[0] < height) || (type.dims[1] >= 0 && type.dims[1] < width))
          return too_small(type.dims[0], type.dims[1]);
        return SampleType{type.type, {height, width, type.dims[2]}, true};
      },
      [=](Tensor t) -> Result<Tensor> {
        const int64_t from_height = t.dims()[0], from_width = t.dims()[1];
        if (from_height < height || from_width < width) return too_small(from_height, from_width);
        const auto offset = [](int64_t difference) {  // half of it, rounded half to even
          const int64_t half = difference / 2;
          return half + (difference % 2 != 0 && half % 2 != 0 ? 1 : 0);
        };
        const int64_t pixel_bytes = t.dims()[2] * dtype_bits(t.dtype()) / 8;
        Tensor out(t.dtype(), {height, width, t.dims()[2]});
        const std::byte* from =
            t.bytes().data() + (offset(from_height - height) * from_width + offset(from_width - width)) * pixel_bytes;
        for (int64_t y = 0; y < height; ++y)
          std::memcpy(out.mutable_bytes().data() + y * width * pixel_bytes, from + y * from_width * pixel_bytes,
                      static_cast<size_t>(width * pixel_bytes));
        return out;
      }};
}

Result<PreprocessStep> make_grayscale(const Arguments&) {
  return PreprocessStep{{},
                        [](const SampleType& type) -> Result<SampleType> {
                          CUPEL_TRY(check_image(type));
                          if (type.dims[2] != 1 && type.dims[2] != 3) return refuse(type, "1 or 3 channels");
                          return SampleType{type.type, {type.dims[0], type.dims[1], 1}, true};
                        },
                        [](Tensor t) -> Result<Tensor> {
                          if (t.dims()[2] == 1) return t;
                          Tensor out(t.dtype(), {t.dims()[0], t.dims()[1], 1});
                          if (t.dtype() == DType::u8) {
                            rgb_to_gray(t.data<uint8_t>().data(), out.mutable_data<uint8_t>().data(), out.size());
                            return out;
                          }
                          const auto rgb = t.data<float>();
                          const auto gray = out.mutable_data<float>();
                          for (size_t i = 0; i < gray.size(); ++i)
                            gray[i] = (rgb[3 * i] * 0.299f + rgb[3 * i + 1] * 0.587f) + rgb[3 * i + 2] * 0.114f;
                          return out;
                        }};
}

constexpr std::array<StepRow, 7> kSteps = {{{"center-crop", "center-crop W H", 2, 0, make_center_crop},
                                            {"grayscale", "grayscale", 0, 0, make_grayscale},
                                            {"normalize", "normalize mean=[…] std=[…]", 0, 2, make_normalize},
                                            {"resize", "resize W H ALGORITHM", 3, 0, make_resize},
                                            {"resize-shorter", "resize-shorter N ALGORITHM", 2, 0, make_resize_shorter},
                                            {"scale", "scale X", 1, 0, make_scale},
                                            {"to-float", "to-float", 0, 0, make_to_float}}};

// Words separated by spaces; spaces inside brackets do not separate.
std::vector<std::string> split_words(const std::string& text) {
  std::vector<std::string> words;
  std::string word;
  bool in_brackets = false;
  for (const char c : text + " ") {
    if (c == '[') in_brackets = true;
    if (c == ']') in_brackets = false;
    if (c != ' ' && c != '\t')
      word += c;
    else if (!in_brackets && !word.empty())
      words.push_back(std::exchange(word, {}));
  }
  if (!word.empty()) words.push_back(word);
  return words;
}

// "a,b" of name=[a,b].
std::optional<std::vector<float>> parse_list(std::string_view text) {
  if (text.size() < 2 || text.front() != '[' || text.back() != ']') return std::nullopt;
  text = text.substr(1, text.size() - 2);
  std::vector<float> values;
  while (true) {
    const size_t comma = text.find(',');
    const std::optional<float> value = parse_float(text.substr(0, comma));
    if (!value) return std::nullopt;
    values.push_back(*value);
    if (comma == std::string_view::npos) return values;
    text.remove_prefix(comma + 1);
  }
}

}  // namespace

Result<PreprocessStep> parse_step(const std::string& place, const std::string& text) {
  const std::vector<std::string> words = split_words(text);
  const std::string step_place = fmt::format("{}: step \"{}\"", place, printable(text));
  const auto* row = words.empty() ? kSteps.end() : std::ranges::find(kSteps, words[0], &StepRow::name);
  if (row == kSteps.end()) {
    std::string forms;
    for (const StepRow& r : kSteps) forms += (forms.empty() ? "" : "; ") + std::string(r.form);
    return unsupported(step_place, "is no preprocessing step", "the steps are " + forms);
  }
  Arguments arguments{step_place, {}, {}};
  const auto malformed = [&] { return bad_input(step_place, "is malformed", fmt::format("write {}", row->form)); };
  for (size_t i = 1; i < words.size(); ++i) {
    const size_t equal = words[i].find('=');
    if (equal == std::string::npos) {
      arguments.words.push_back(words[i]);
      continue;
    }
    auto values = parse_list(std::string_view(words[i]).substr(equal + 1));
    if (!values || !arguments.lists.emplace(words[i].substr(0, equal), *values).second) return malformed();
  }
  if (arguments.words.size() != row->words || arguments.lists.size() != row->lists) return malformed();
  PreprocessStep step = CUPEL_TRY(row->make(arguments));
  step.text = words[0];
  for (size_t i = 1; i < words.size(); ++i) step.text += " " + words[i];
  return step;
}

}  // namespace cupel
