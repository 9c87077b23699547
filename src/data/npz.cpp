#include <fmt/format.h>
#include <zip.h>

#include <algorithm>
#include <cstring>
#include <set>

#include "data/npy.h"

namespace cupel {
namespace {

constexpr int64_t kMaxMembers = 65536;
constexpr uint64_t kMaxMemberBytes = uint64_t{1} << 34;
// Deflate makes at most 1032 bytes of one. Beyond kFreeBytes, a ratio above kMaxRatio is taken for a bomb.
constexpr uint64_t kDeflateRatio = 1032;
constexpr uint64_t kFreeBytes = uint64_t{64} << 20;
constexpr uint64_t kMaxRatio = 100;

constexpr const char* kRemedy = "write the file again with numpy.savez";

class Archive {
 public:
  static Result<Archive> open(const std::filesystem::path& path) {
    const std::string place = printable(path.string());
    std::error_code error;
    const auto kind = std::filesystem::status(path, error).type();
    if (kind == std::filesystem::file_type::not_found) return no_such_file(place);
    if (kind != std::filesystem::file_type::regular) return bad_input(place, "is not a regular file", "name a file");
    int code = 0;
    zip_t* zip = zip_open(path.c_str(), ZIP_RDONLY | ZIP_CHECKCONS, &code);
    if (zip == nullptr) {
      zip_error_t zip_error;
      zip_error_init_with_code(&zip_error, code);
      const std::string text = zip_error_strerror(&zip_error);
      zip_error_fini(&zip_error);
      return bad_input(place, fmt::format("is not a complete .npz file ({})", text), kRemedy);
    }
    Archive archive(zip, place);
    const int64_t members = zip_get_num_entries(zip, 0);
    if (members > kMaxMembers)
      return resource_error(place, fmt::format("has {} members, more than the limit of {}", members, kMaxMembers),
                            "use fewer arrays");
    std::set<std::string> seen;
    for (int64_t i = 0; i < members; ++i) {
      const char* raw = zip_get_name(zip, static_cast<zip_uint64_t>(i), ZIP_FL_ENC_RAW);
      std::string name = raw == nullptr ? "" : raw;
      if (!name.ends_with(".npy"))
        return bad_input(place, fmt::format("its member \"{}\" is no .npy file", printable(name)), kRemedy);
      name.resize(name.size() - 4);
      if (!seen.insert(name).second)
        return bad_input(place, fmt::format("has two arrays \"{}\"", printable(name)), kRemedy);
      archive.names_.push_back(std::move(name));
    }
    return archive;
  }
  ~Archive() {
    if (zip_ != nullptr) zip_discard(zip_);
  }
  Archive(Archive&& other) noexcept
      : zip_(std::exchange(other.zip_, nullptr)), place_(std::move(other.place_)), names_(std::move(other.names_)) {}
  Archive& operator=(Archive&&) = delete;

  const std::vector<std::string>& names() const { return names_; }
  const std::string& place() const { return place_; }

  Result<Tensor> read(size_t index) const try {
    const std::string place = fmt::format("{}: array \"{}\"", place_, printable(names_[index]));
    zip_stat_t st;
    if (zip_stat_index(zip_, index, 0, &st) != 0 || (st.valid & ZIP_STAT_SIZE) == 0 ||
        (st.valid & ZIP_STAT_COMP_SIZE) == 0)
      return bad_input(place, "has no size", kRemedy);
    const uint64_t size = st.size, packed = st.comp_size;
    if (packed < size / kDeflateRatio)
      return bad_input(place, fmt::format("declares {} bytes, more than {} compressed bytes can hold", size, packed),
                       kRemedy);
    if (size > kMaxMemberBytes || (size > kFreeBytes && packed < size / kMaxRatio))
      return resource_error(
          place,
          fmt::format("inflates from {} to {} bytes; the limits are {} bytes and, beyond {}, a ratio of {}", packed,
                      size, kMaxMemberBytes, kFreeBytes, kMaxRatio),
          "store the array without compression (numpy.savez)");
    zip_file_t* member = zip_fopen_index(zip_, index, 0);
    if (member == nullptr) return bad_input(place, fmt::format("cannot be read ({})", zip_strerror(zip_)), kRemedy);
    // One byte more than declared: the read that meets the end also checks the checksum.
    Bytes content(size + 1);
    uint64_t done = 0;
    zip_int64_t got = 0;
    while (done < content.size() && (got = zip_fread(member, content.data() + done, content.size() - done)) > 0)
      done += static_cast<uint64_t>(got);
    const std::string reason = got < 0 ? zip_file_strerror(member) : "of another length than declared";
    zip_fclose(member);
    if (got < 0 || done != size) return bad_input(place, fmt::format("is damaged ({})", reason), kRemedy);
    content.resize(size);
    return parse_npy(content, place);
  } catch (const std::bad_alloc&) {
    return out_of_memory(place_, "does not fit into memory", "free some memory or store a smaller array");
  }

 private:
  Archive(zip_t* zip, std::string place) : zip_(zip), place_(std::move(place)) {}

  zip_t* zip_;
  std::string place_;
  std::vector<std::string> names_;
};

}  // namespace

Result<std::map<std::string, Tensor>> read_npz(const std::filesystem::path& path) {
  const Archive archive = CUPEL_TRY(Archive::open(path));
  std::map<std::string, Tensor> arrays;
  for (size_t i = 0; i < archive.names().size(); ++i) arrays[archive.names()[i]] = CUPEL_TRY(archive.read(i));
  return arrays;
}

Result<std::vector<std::string>> npz_names(const std::filesystem::path& path) {
  std::vector<std::string> names = CUPEL_TRY(Archive::open(path)).names();
  std::ranges::sort(names);
  return names;
}

Result<std::vector<Tensor>> read_npz_arrays(const std::filesystem::path& path, std::span<const std::string> names) {
  const Archive archive = CUPEL_TRY(Archive::open(path));
  std::vector<Tensor> arrays;
  for (const std::string& name : names) {
    const auto found = std::ranges::find(archive.names(), name);
    if (found == archive.names().end()) {
      std::string listed;
      for (size_t i = 0; i < std::min<size_t>(archive.names().size(), 20); ++i)
        listed += (i == 0 ? "" : ", ") + printable(archive.names()[i]);
      return bad_input(archive.place(), fmt::format("has no array \"{}\"", printable(name)),
                       "its arrays are " + (listed.empty() ? "none" : listed));
    }
    arrays.push_back(CUPEL_TRY(archive.read(static_cast<size_t>(found - archive.names().begin()))));
  }
  return arrays;
}

Result<Tensor> read_npz_array(const std::filesystem::path& path, const std::string& name) {
  return CUPEL_TRY(read_npz_arrays(path, std::span(&name, 1))).front();
}

}  // namespace cupel
