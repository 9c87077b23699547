#include "target/system_files.h"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <set>

#include "base/file.h"

namespace cupel {
namespace {

namespace fs = std::filesystem;
constexpr int kMaxCpus = 65536;
constexpr std::string_view kCpuFolder = "sys/devices/system/cpu/";

std::string_view trim(std::string_view text) {
  const auto blank = [](char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\0'; };
  while (!text.empty() && blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && blank(text.back())) text.remove_suffix(1);
  return text;
}

// The whole of `text` as a number of the given base.
template <class T>
std::optional<T> parse_number(std::string_view text, int base = 10) {
  text = trim(text);
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (error != std::errc{} || end != text.data() + text.size() || text.empty()) return std::nullopt;
  return value;
}

template <class Visit>
void each_line(std::string_view text, Visit&& visit) {
  while (!text.empty()) {
    const size_t end = text.find('\n');
    visit(text.substr(0, end));
    if (end == std::string_view::npos) return;
    text.remove_prefix(end + 1);
  }
}

// The value of the first line "key: value"; nullopt when there is none.
std::optional<std::string_view> field(std::string_view text, std::string_view key) {
  std::optional<std::string_view> found;
  each_line(text, [&](std::string_view line) {
    const size_t colon = line.find(':');
    if (!found && colon != std::string_view::npos && trim(line.substr(0, colon)) == key) {
      found = trim(line.substr(colon + 1));
    }
  });
  return found;
}

std::optional<int64_t> read_number(const fs::path& root, const std::string& path) {
  const auto text = read_system_text(root, path);
  return text ? parse_number<int64_t>(*text) : std::nullopt;
}

// MemTotal and the like: "  24576 kB".
std::optional<int64_t> kilobytes(std::string_view text, std::string_view key) {
  auto value = field(text, key);
  if (!value || !value->ends_with("kB")) return std::nullopt;
  value->remove_suffix(2);
  const auto number = parse_number<int64_t>(*value);
  if (!number || *number < 0 || *number >= int64_t{1} << 50) return std::nullopt;
  return *number * 1024;
}

// mountinfo writes space, tab, newline and backslash as three octal digits.
std::string unescape(std::string_view text) {
  std::string plain;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 3 < text.size()) {
      if (const auto code = parse_number<int>(text.substr(i + 1, 3), 8)) {
        plain += static_cast<char>(*code);
        i += 3;
        continue;
      }
    }
    plain += text[i];
  }
  return plain;
}

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  for (;;) {
    const size_t end = text.find(separator);
    parts.push_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

bool lists(std::string_view comma_separated, std::string_view word) {
  const auto words = split(comma_separated, ',');
  return std::find(words.begin(), words.end(), word) != words.end();
}

// Folders, relative to root, of the control group that holds this process and of its ancestors up to the mount point.
// An empty controller means the unified hierarchy (version 2).
std::vector<std::string> group_folders(const fs::path& root, std::string_view controller) {
  const auto membership = read_system_text(root, "proc/self/cgroup");
  const auto mounts = read_system_text(root, "proc/self/mountinfo");
  if (!membership || !mounts) return {};

  std::optional<std::string> group;
  each_line(*membership, [&](std::string_view line) {  // "4:memory:/path"; "0::/path" in version 2
    const size_t first = line.find(':');
    const size_t second = first == std::string_view::npos ? first : line.find(':', first + 1);
    if (group || second == std::string_view::npos) return;
    const std::string_view controllers = line.substr(first + 1, second - first - 1);
    if (controller.empty() ? controllers.empty() : lists(controllers, controller)) group = line.substr(second + 1);
  });
  if (!group) return {};

  std::vector<std::string> folders;
  each_line(*mounts, [&](std::string_view line) {  // "id parent dev root point options … - type source superoptions"
    const size_t dash = line.find(" - ");
    if (!folders.empty() || dash == std::string_view::npos) return;
    const auto before = split(line.substr(0, dash), ' ');
    const auto after = split(line.substr(dash + 3), ' ');
    if (before.size() < 5 || after.size() < 3) return;
    if (controller.empty() ? after[0] != "cgroup2" : after[0] != "cgroup" || !lists(after[2], controller)) return;
    const std::string mounted = unescape(before[3]);
    std::string point = unescape(before[4]);
    while (point.starts_with('/')) point.erase(0, 1);
    // The part of the group's path below what is mounted here; a group outside of it is seen at the mount point only.
    std::string below = *group;
    if (mounted != "/") {
      below = below == mounted || below.starts_with(mounted + "/") ? below.substr(mounted.size()) : "";
    }
    if (below.find("..") != std::string::npos) below.clear();
    for (;;) {
      while (below.ends_with('/')) below.pop_back();
      folders.push_back(point + below);
      if (below.empty()) break;
      const size_t slash = below.rfind('/');
      below.resize(slash == std::string::npos ? 0 : slash);
    }
  });
  return folders;
}

template <class T>
void tighten(std::optional<T>& limit, std::optional<T> other) {
  if (other && (!limit || *other < *limit)) limit = other;
}

std::optional<double> cpu_share(std::optional<int64_t> quota, std::optional<int64_t> period) {
  if (!quota || !period || *quota <= 0 || *period <= 0) return std::nullopt;
  return static_cast<double>(*quota) / static_cast<double>(*period);
}

std::optional<int64_t> memory_bound(std::optional<int64_t> bytes) {
  constexpr int64_t kUnlimited = int64_t{1} << 60;  // version 1 writes "no limit" as 2^63 rounded down to a page
  return bytes && *bytes > 0 && *bytes < kUnlimited ? bytes : std::nullopt;
}

struct PartName {
  int implementer, part;
  std::string_view name;
};
// Arm's and licensees' MIDR_EL1 part numbers.
constexpr PartName kPartNames[] = {
    {0x41, 0xd03, "Cortex-A53"},  {0x41, 0xd05, "Cortex-A55"},  {0x41, 0xd07, "Cortex-A57"},
    {0x41, 0xd08, "Cortex-A72"},  {0x41, 0xd09, "Cortex-A73"},  {0x41, 0xd0b, "Cortex-A76"},
    {0x41, 0xd0c, "Neoverse-N1"}, {0x41, 0xd40, "Neoverse-V1"}, {0x41, 0xd41, "Cortex-A78"},
    {0x41, 0xd49, "Neoverse-N2"}, {0x41, 0xd4f, "Neoverse-V2"}, {0x46, 0x001, "A64FX"},
    {0xc0, 0xac3, "Ampere-1"},
};
constexpr std::pair<int, std::string_view> kImplementers[] = {
    {0x41, "ARM"},    {0x42, "Broadcom"}, {0x43, "Cavium"},  {0x46, "Fujitsu"}, {0x48, "HiSilicon"},
    {0x4e, "NVIDIA"}, {0x51, "Qualcomm"}, {0x53, "Samsung"}, {0x61, "Apple"},   {0xc0, "Ampere"},
};

int number_or_zero(std::optional<std::string_view> text) {
  if (!text) return 0;
  if (text->starts_with("0x")) return parse_number<int>(text->substr(2), 16).value_or(0);
  return parse_number<int>(*text).value_or(0);
}

}  // namespace

std::optional<std::string> read_system_text(const fs::path& root, std::string_view path) {
  while (path.starts_with('/')) path.remove_prefix(1);
  try {
    const fs::path full = root / path;
    if (!fs::is_regular_file(full)) return std::nullopt;
    std::ifstream in(full, std::ios::binary);
    if (!in) return std::nullopt;
    std::string text(size_t{1} << 20, '\0');
    in.read(text.data(), static_cast<std::streamsize>(text.size()));
    if (in.bad()) return std::nullopt;
    text.resize(static_cast<size_t>(in.gcount()));
    text.shrink_to_fit();
    return text;
  } catch (const std::exception&) {
    return std::nullopt;
  }
}

std::optional<std::vector<int>> parse_cpu_list(std::string_view text) {
  std::set<int> cpus;
  for (std::string_view part : split(trim(text), ',')) {
    const size_t dash = part.find('-');
    const auto first = parse_number<int>(part.substr(0, dash));
    const auto last = dash == std::string_view::npos ? first : parse_number<int>(part.substr(dash + 1));
    if (!first || !last || *first < 0 || *last < *first || *last >= kMaxCpus) return std::nullopt;
    for (int cpu = *first; cpu <= *last; ++cpu) cpus.insert(cpu);
  }
  return std::vector<int>(cpus.begin(), cpus.end());
}

std::optional<int64_t> parse_size(std::string_view text) {
  text = trim(text);
  int64_t unit = 1;
  if (text.ends_with('K')) unit = int64_t{1} << 10;
  if (text.ends_with('M')) unit = int64_t{1} << 20;
  if (text.ends_with('G')) unit = int64_t{1} << 30;
  if (unit != 1) text.remove_suffix(1);
  const auto number = parse_number<int64_t>(text);
  if (!number || *number < 0 || *number >= (int64_t{1} << 50) / unit) return std::nullopt;
  return *number * unit;
}

std::string_view cache_kind_name(CacheKind kind) {
  switch (kind) {
    case CacheKind::data: return "data";
    case CacheKind::instruction: return "instruction";
    case CacheKind::unified: break;
  }
  return "unified";
}

std::vector<Cache> read_caches(const fs::path& root, int cpu) {
  std::vector<Cache> caches;
  for (int index = 0; index < 16; ++index) {
    const std::string folder =
        std::string(kCpuFolder) + "cpu" + std::to_string(cpu) + "/cache/index" + std::to_string(index) + "/";
    const auto level = read_number(root, folder + "level");
    const auto type = read_system_text(root, folder + "type");
    const auto size = read_system_text(root, folder + "size");
    if (!level || !type || !size || *level < 1 || *level > 8) continue;
    Cache cache;
    cache.level = static_cast<int>(*level);
    const std::string_view kind = trim(*type);
    if (kind == "Data")
      cache.kind = CacheKind::data;
    else if (kind == "Instruction")
      cache.kind = CacheKind::instruction;
    else if (kind != "Unified")
      continue;
    const auto bytes = parse_size(*size);
    if (!bytes || *bytes == 0) continue;
    cache.size_bytes = *bytes;
    const auto line = read_number(root, folder + "coherency_line_size");
    if (line && *line > 0 && *line <= 4096) cache.line_bytes = static_cast<int>(*line);
    if (const auto sharers = read_system_text(root, folder + "shared_cpu_list")) {
      if (const auto cpus = parse_cpu_list(*sharers)) cache.sharing_cpus = static_cast<int>(cpus->size());
    }
    caches.push_back(cache);
  }
  std::stable_sort(caches.begin(), caches.end(), [](const Cache& a, const Cache& b) {
    return a.level != b.level ? a.level < b.level : a.kind < b.kind;
  });
  return caches;
}

std::vector<int> read_online_cpus(const fs::path& root) {
  const auto text = read_system_text(root, std::string(kCpuFolder) + "online");
  return text ? parse_cpu_list(*text).value_or(std::vector<int>{}) : std::vector<int>{};
}

std::vector<int> read_allowed_cpus(const fs::path& root) {
  const auto status = read_system_text(root, "proc/self/status");
  if (!status) return {};
  const auto list = field(*status, "Cpus_allowed_list");
  auto allowed = list ? parse_cpu_list(*list) : std::nullopt;
  if (!allowed) return {};
  const std::vector<int> online = read_online_cpus(root);
  if (online.empty()) return *allowed;
  std::vector<int> both;
  std::set_intersection(allowed->begin(), allowed->end(), online.begin(), online.end(), std::back_inserter(both));
  return both;
}

std::vector<int> one_cpu_per_core(const fs::path& root, const std::vector<int>& cpus) {
  std::set<int> taken;  // logical CPUs of cores that have their representative
  std::vector<int> cores;
  for (int cpu : cpus) {
    if (taken.contains(cpu)) continue;
    cores.push_back(cpu);
    const std::string folder = std::string(kCpuFolder) + "cpu" + std::to_string(cpu) + "/topology/";
    auto text = read_system_text(root, folder + "core_cpus_list");
    if (!text) text = read_system_text(root, folder + "thread_siblings_list");
    const auto siblings = text ? parse_cpu_list(*text) : std::nullopt;
    if (siblings) taken.insert(siblings->begin(), siblings->end());
  }
  return cores;
}

Memory read_memory(const fs::path& root) {
  const auto text = read_system_text(root, "proc/meminfo");
  if (!text) return {};
  return {kilobytes(*text, "MemTotal"), kilobytes(*text, "MemAvailable")};
}

GroupLimits read_group_limits(const fs::path& root) {
  GroupLimits limits;
  for (const std::string& folder : group_folders(root, "")) {
    if (const auto text = read_system_text(root, folder + "/cpu.max")) {  // "max 100000" or "150000 100000"
      const auto words = split(trim(*text), ' ');
      if (words.size() == 2) {
        tighten(limits.cpus, cpu_share(parse_number<int64_t>(words[0]), parse_number<int64_t>(words[1])));
      }
    }
    tighten(limits.memory_bytes, memory_bound(read_number(root, folder + "/memory.max")));
  }
  for (const std::string& folder : group_folders(root, "cpu")) {
    tighten(limits.cpus, cpu_share(read_number(root, folder + "/cpu.cfs_quota_us"),
                                   read_number(root, folder + "/cpu.cfs_period_us")));
  }
  for (const std::string& folder : group_folders(root, "memory")) {
    tighten(limits.memory_bytes, memory_bound(read_number(root, folder + "/memory.limit_in_bytes")));
  }
  return limits;
}

CpuNames read_cpu_names(const fs::path& root) {
  CpuNames names;
  const auto text = read_system_text(root, "proc/cpuinfo");
  if (!text) return names;
  if (const auto implementer = field(*text, "CPU implementer")) {
    const int vendor = number_or_zero(implementer);
    names.model = number_or_zero(field(*text, "CPU part"));
    names.family = number_or_zero(field(*text, "CPU architecture"));
    names.stepping = number_or_zero(field(*text, "CPU revision"));
    names.vendor = printable(*implementer);
    for (const auto& [code, name] : kImplementers) {
      if (code == vendor) names.vendor = name;
    }
    for (const PartName& row : kPartNames) {
      if (row.implementer == vendor && row.part == names.model) names.model_name = row.name;
    }
    return names;
  }
  names.vendor = printable(field(*text, "vendor_id").value_or(""));
  names.model_name = printable(field(*text, "model name").value_or(""));
  names.family = number_or_zero(field(*text, "cpu family"));
  names.model = number_or_zero(field(*text, "model"));
  names.stepping = number_or_zero(field(*text, "stepping"));
  return names;
}

std::string read_operating_system(const fs::path& root) {
  const auto text = read_system_text(root, "etc/os-release");
  std::string name;
  if (!text) return name;
  each_line(*text, [&](std::string_view line) {
    constexpr std::string_view kKey = "PRETTY_NAME=";
    if (!name.empty() || !line.starts_with(kKey)) return;
    line = trim(line.substr(kKey.size()));
    if (line.size() >= 2 && (line.front() == '"' || line.front() == '\'') && line.back() == line.front()) {
      line = line.substr(1, line.size() - 2);
    }
    name = printable(line);
  });
  return name;
}

}  // namespace cupel
