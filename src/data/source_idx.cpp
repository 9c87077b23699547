// idx: 00 00, type code, rank; then each dimension as a big-endian uint32; then the elements, big-endian, row-major.
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/file.h"
#include "data/source.h"

namespace cupel {
namespace {

struct TypeRow {
  uint8_t code;
  DType type;
};
constexpr std::array<TypeRow, 6> kTypes = {{{0x08, DType::u8},
                                            {0x09, DType::s8},
                                            {0x0b, DType::s16},
                                            {0x0c, DType::s32},
                                            {0x0d, DType::f32},
                                            {0x0e, DType::f64}}};

constexpr std::string_view kFetchAgain = "fetch or copy the file again";

Result<Tensor> read_idx(const std::filesystem::path& path) {
  const std::string place = printable(path.string());
  const Bytes file = CUPEL_TRY(read_file_maybe_gzip(path));
  const auto byte = [&](size_t i) { return std::to_integer<uint8_t>(file[i]); };
  if (file.size() < 4)
    return bad_input(place, fmt::format("has {} bytes, expected an idx header of at least 4", file.size()),
                     std::string(kFetchAgain));
  const auto* row = std::ranges::find(kTypes, byte(2), &TypeRow::code);
  if (byte(0) != 0 || byte(1) != 0 || row == kTypes.end() || byte(3) == 0 || byte(3) > kMaxRank)
    return bad_input(place,
                     fmt::format("starts with the bytes {:02x} {:02x} {:02x} {:02x}, expected 00 00, an idx type code "
                                 "(08 09 0b 0c 0d 0e) and a rank of 1 to {}",
                                 byte(0), byte(1), byte(2), byte(3), kMaxRank),
                     "name an idx file, plain or gzip");
  const size_t rank = byte(3), header = 4 + 4 * rank;
  if (file.size() < header)
    return bad_input(place, fmt::format("ends at byte {} within its header of {} bytes", file.size(), header),
                     std::string(kFetchAgain));
  Dims dims(rank);
  const int64_t element_bytes = dtype_bits(row->type) / 8;
  int64_t expected = element_bytes;
  bool overflow = false;
  for (size_t d = 0; d < rank; ++d) {
    const size_t at = 4 + 4 * d;
    dims[d] = int64_t{byte(at)} << 24 | int64_t{byte(at + 1)} << 16 | int64_t{byte(at + 2)} << 8 | byte(at + 3);
    overflow |= __builtin_mul_overflow(expected, dims[d], &expected);
  }
  const auto found = static_cast<int64_t>(file.size() - header);
  if (overflow || expected != found)
    return bad_input(place,
                     fmt::format("its header declares {} {}, {} bytes, but {} follow", dtype_name(row->type),
                                 to_text(dims), overflow ? "more than 2^63" : std::to_string(expected), found),
                     std::string(kFetchAgain));
  Tensor array(row->type, dims);
  std::byte* to = array.mutable_bytes().data();
  const std::byte* from = file.data() + header;
  std::copy(from, from + found, to);
  if (element_bytes > 1)
    for (int64_t i = 0; i < found; i += element_bytes) std::reverse(to + i, to + i + element_bytes);
  return array;
}

}  // namespace

Result<std::unique_ptr<Source>> open_idx(const SourceDescription& description) {
  const std::filesystem::path images = description.path("images");
  SourceFacts facts;
  facts.identity = file_identity(images);
  Tensor array = CUPEL_TRY(read_idx(images));
  if (description.text("labels")) {
    const std::filesystem::path labels = description.path("labels");
    facts.labels_place = printable(labels.string());
    const Tensor stored = CUPEL_TRY(read_idx(labels));
    facts.labels = CUPEL_TRY(labels_from(facts.labels_place, stored));
  }
  return make_array_source(printable(images.string()), std::move(array), description.text("image_layout"),
                           std::move(facts));
}

}  // namespace cupel
