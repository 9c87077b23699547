#include "data/splits.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <set>
#include <unordered_map>

#include "base/file.h"
#include "base/hash.h"

namespace cupel {
namespace {

constexpr int64_t kMaxIndexFileBytes = int64_t{1} << 30;
constexpr int kFree = -1;

struct DigestHash {
  size_t operator()(const Digest& digest) const {
    size_t value;
    std::memcpy(&value, digest.data(), sizeof value);
    return value;
  }
};

// One index per line; blank lines and blanks around a number are allowed. No index twice.
Result<std::vector<int64_t>> read_indices(const std::filesystem::path& path, const SourceDescription& source,
                                          int64_t size) {
  const std::string place = printable(path.string());
  const Bytes bytes = CUPEL_TRY(read_file(path, kMaxIndexFileBytes));
  std::string_view rest(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  std::vector<int64_t> indices;
  std::unordered_map<int64_t, int64_t> line_of;
  for (int64_t line = 1; !rest.empty(); ++line) {
    std::string_view text = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(rest.size(), text.size() + 1));
    const size_t first = text.find_first_not_of(" \t\r");
    if (first == std::string_view::npos) continue;
    text = text.substr(first, text.find_last_not_of(" \t\r") - first + 1);
    const std::string line_place = fmt::format("{}: line {}", place, line);
    int64_t index = 0;
    const auto [stop, code] = std::from_chars(text.data(), text.data() + text.size(), index);
    if (code == std::errc::invalid_argument || stop != text.data() + text.size())
      return bad_input(line_place, fmt::format("found \"{}\", expected one index", printable(text, 40)),
                       "write one whole number a line");
    if (code != std::errc() || index < 0 || index >= size)
      return bad_input(line_place, fmt::format("found index {}, expected 0 to {}", printable(text, 40), size - 1),
                       fmt::format("source \"{}\" has {} samples, counted from 0", printable(source.name), size));
    if (const auto [before, added] = line_of.emplace(index, line); !added)
      return bad_input(line_place, fmt::format("index {} stands on line {} already", index, before->second),
                       "list every sample once");
    indices.push_back(index);
  }
  return indices;
}

Result<std::vector<int64_t>> wanted_indices(const SplitDescription& split, const std::filesystem::path& folder,
                                            const SourceDescription& source, int64_t size,
                                            const std::vector<int>& owners) {
  if (split.indices) {
    auto indices = read_indices(folder / *split.indices, source, size);
    if (!indices) return std::unexpected(std::move(indices).error().within(split.place));
    return indices;
  }
  if (split.count) {
    std::vector<bool> taken(static_cast<size_t>(size));
    for (size_t i = 0; i < taken.size(); ++i) taken[i] = owners[i] != kFree;
    const int64_t available = std::ranges::count(taken, false);
    if (*split.count > available)
      return bad_input(split.place,
                       fmt::format("count is {}, but {} of the {} samples of source \"{}\" are free", *split.count,
                                   available, size, printable(source.name)),
                       "choose a smaller count");
    return choose_samples(size, *split.count, split.seed, taken);
  }
  std::vector<int64_t> all(static_cast<size_t>(size));
  for (size_t i = 0; i < all.size(); ++i) all[i] = static_cast<int64_t>(i);
  return all;
}

// Drops samples of equal content from calibrate and search.
Status drop_equal_content(std::vector<Split>& splits, const std::vector<std::unique_ptr<Source>>& sources,
                          std::vector<std::string>& warnings) {
  // Content can only be equal where the size is: all others need no hash.
  std::unordered_map<int64_t, int64_t> samples_of_size;
  for (const Split& split : splits)
    for (int64_t index : split.indices) ++samples_of_size[CUPEL_TRY(sources[split.source]->content_bytes(index))];
  std::unordered_map<Digest, size_t, DigestHash> kept;
  std::vector<size_t> order(splits.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::ranges::stable_partition(order, [&](size_t i) { return splits[i].name == "report"; });
  for (const size_t s : order) {
    Split& split = splits[s];
    const Source& source = *sources[split.source];
    std::vector<int64_t> remaining;
    std::set<std::string> equal_to;
    for (int64_t index : split.indices) {
      if (samples_of_size[CUPEL_TRY(source.content_bytes(index))] > 1) {
        const auto [before, added] = kept.emplace(CUPEL_TRY(source.content_digest(index)), s);
        if (!added && split.name != "report") {
          equal_to.insert(splits[before->second].name);
          continue;
        }
      }
      remaining.push_back(index);
    }
    const size_t dropped = split.indices.size() - remaining.size();
    if (dropped > 0) {
      std::string names;
      for (const std::string& name : equal_to) names += (names.empty() ? "" : " and ") + name;
      warnings.push_back(
          fmt::format("split {}: {} of {} samples dropped, since their content equals that of other samples of {}",
                      split.name, dropped, split.indices.size(), names));
    }
    split.dropped = static_cast<int64_t>(dropped);
    split.indices = std::move(remaining);
  }
  return {};
}

}  // namespace

std::vector<int64_t> choose_samples(int64_t size, int64_t count, int64_t seed, const std::vector<bool>& taken) {
  std::vector<std::pair<Digest, int64_t>> candidates;
  for (int64_t i = 0; i < size; ++i)
    if (!taken[static_cast<size_t>(i)]) candidates.emplace_back(sha256(fmt::format("{}:{}", seed, i)), i);
  std::ranges::partial_sort(candidates, candidates.begin() + count);
  std::vector<int64_t> chosen;
  for (int64_t i = 0; i < count; ++i) chosen.push_back(candidates[static_cast<size_t>(i)].second);
  return chosen;
}

Result<std::vector<Split>> resolve_splits(const DatasetDescription& description,
                                          const std::vector<std::unique_ptr<Source>>& sources,
                                          std::vector<std::string>& warnings) {
  std::vector<Split> splits;
  std::unordered_map<std::string, std::vector<int>> owners_of;  // per stored source: the split that has taken a sample
  for (const SplitDescription& wanted : description.splits) {
    const auto source = static_cast<size_t>(
        std::ranges::find(description.sources, wanted.source, &SourceDescription::name) - description.sources.begin());
    const int64_t size = sources[source]->size();
    std::vector<int>& owners = owners_of[sources[source]->facts().identity];
    if (owners.size() < static_cast<size_t>(size)) owners.resize(static_cast<size_t>(size), kFree);
    Split split{wanted.name, source,
                CUPEL_TRY(wanted_indices(wanted, description.folder, description.sources[source], size, owners))};
    for (const int64_t index : split.indices) {
      int& owner = owners[static_cast<size_t>(index)];
      if (owner != kFree)
        return bad_input(wanted.place,
                         fmt::format("sample {} of source \"{}\" is in split {} already", index,
                                     printable(wanted.source), splits[static_cast<size_t>(owner)].name),
                         "splits may not share a sample: choose others, or another source");
      owner = static_cast<int>(splits.size());
    }
    splits.push_back(std::move(split));
  }
  CUPEL_TRY(drop_equal_content(splits, sources, warnings));
  for (size_t i = 0; i < splits.size(); ++i)
    if (splits[i].indices.empty())
      return bad_input(description.splits[i].place, "has no samples",
                       "a split needs at least one sample that no other split holds");
  return splits;
}

}  // namespace cupel
