#include "target/machine.h"

#include <fmt/format.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>

#include "base/file.h"

namespace cupel {
namespace {

constexpr uint32_t kHypervisorBit = 1u << 31;

void append_registers(std::string& text, std::initializer_list<uint32_t> registers) {
  for (uint32_t r : registers) {
    for (int byte = 0; byte < 4; ++byte) text += static_cast<char>(r >> (8 * byte) & 0xff);
  }
}

// Text without the zero bytes and blanks around it.
std::string clean(std::string text) {
  if (const size_t zero = text.find('\0'); zero != std::string::npos) text.resize(zero);
  const size_t first = text.find_first_not_of(' ');
  if (first == std::string::npos) return {};
  return printable(std::string_view(text).substr(first, text.find_last_not_of(' ') - first + 1));
}

// By the scheduler, for systems that hide /proc/self/status.
std::vector<int> scheduler_cpus() {
  std::vector<int> cpus;
  for (int capacity = 1024; capacity <= 65536; capacity *= 2) {
    cpu_set_t* set = CPU_ALLOC(static_cast<size_t>(capacity));
    if (set == nullptr) break;
    const size_t bytes = CPU_ALLOC_SIZE(static_cast<size_t>(capacity));
    CPU_ZERO_S(bytes, set);
    const bool done = sched_getaffinity(0, bytes, set) == 0;
    for (int cpu = 0; done && cpu < capacity; ++cpu) {
      if (CPU_ISSET_S(static_cast<size_t>(cpu), bytes, set)) cpus.push_back(cpu);
    }
    CPU_FREE(set);
    if (done) break;
  }
  return cpus;
}

std::string known(const std::string& text) { return text.empty() ? "not known" : text; }

std::string known_size(std::optional<int64_t> bytes) { return bytes ? size_text(*bytes) : "not known"; }

}  // namespace

int Machine::usable_threads() const {
  int threads = static_cast<int>(core_cpus.size());
  if (limits.cpus && *limits.cpus < threads) threads = static_cast<int>(std::floor(*limits.cpus));
  return std::max(threads, 1);
}

std::optional<int64_t> Machine::memory_bound_bytes() const {
  if (!memory.total_bytes) return limits.memory_bytes;
  return limits.memory_bytes ? std::min(*memory.total_bytes, *limits.memory_bytes) : *memory.total_bytes;
}

const Cache* Machine::data_cache(int level) const {
  for (const Cache& cache : caches) {
    if (cache.level == level && cache.kind != CacheKind::instruction) return &cache;
  }
  return nullptr;
}

std::vector<Cache> cpuid_caches(const CpuQuery& query) {
  constexpr uint32_t kTopologyExtensions = 1u << 22;
  const bool amd_leaf = (query.registers(0x80000001)[2] & kTopologyExtensions) != 0;
  std::vector<Cache> caches;
  for (const uint32_t leaf : {0x4u, 0x8000001du}) {
    if (leaf != 4 && !amd_leaf) continue;
    for (uint32_t index = 0; index < 16; ++index) {
      const CpuidRegisters r = query.registers(leaf, index);
      const uint32_t type = r[0] & 0x1f;
      if (type == 0 || type > 3) break;
      Cache cache;
      cache.level = static_cast<int>(r[0] >> 5 & 0x7);
      cache.kind = type == 1 ? CacheKind::data : type == 2 ? CacheKind::instruction : CacheKind::unified;
      const int64_t ways = (r[1] >> 22) + 1, partitions = (r[1] >> 12 & 0x3ff) + 1, line = (r[1] & 0xfff) + 1;
      cache.size_bytes = ways * partitions * line * (int64_t{r[2]} + 1);
      cache.line_bytes = static_cast<int>(line);
      cache.sharing_cpus = static_cast<int>((r[0] >> 14 & 0xfff) + 1);
      caches.push_back(cache);
    }
    if (!caches.empty()) break;
  }
  std::stable_sort(caches.begin(), caches.end(), [](const Cache& a, const Cache& b) {
    return a.level != b.level ? a.level < b.level : a.kind < b.kind;
  });
  return caches;
}

CpuNames cpuid_names(const CpuQuery& query) {
  CpuNames names;
  if (!query.cpuid) return names;
  const CpuidRegisters first = query.registers(0);
  append_registers(names.vendor, {first[1], first[3], first[2]});
  names.vendor = clean(names.vendor);
  const uint32_t signature = query.registers(1)[0];
  const uint32_t family = signature >> 8 & 0xf;
  names.family = static_cast<int>(family == 0xf ? family + (signature >> 20 & 0xff) : family);
  names.model = static_cast<int>(signature >> 4 & 0xf);
  if (family == 0x6 || family == 0xf) names.model += static_cast<int>(signature >> 16 & 0xf) << 4;
  names.stepping = static_cast<int>(signature & 0xf);
  for (uint32_t leaf = 0x80000002; leaf <= 0x80000004; ++leaf) {
    const CpuidRegisters r = query.registers(leaf);
    append_registers(names.model_name, {r[0], r[1], r[2], r[3]});
  }
  names.model_name = clean(names.model_name);
  return names;
}

std::string cpuid_hypervisor(const CpuQuery& query) {
  if (!query.cpuid || !(query.registers(1)[2] & kHypervisorBit)) return {};
  const CpuidRegisters r = query.cpuid(0x40000000, 0);
  std::string signature;
  append_registers(signature, {r[1], r[2], r[3]});
  signature = clean(signature);
  constexpr std::pair<std::string_view, std::string_view> kNames[] = {
      {"KVMKVMKVM", "KVM"},    {"Linux KVM Hv", "KVM"},  {"Microsoft Hv", "Hyper-V"}, {"VMwareVMware", "VMware"},
      {"XenVMMXenVMM", "Xen"}, {"TCGTCGTCGTCG", "QEMU"}, {"bhyve bhyve", "bhyve"},    {"VBoxVBoxVBox", "VirtualBox"},
  };
  for (const auto& [text, name] : kNames) {
    if (signature == text) return std::string(name);
  }
  return signature.empty() ? "one without a name" : signature;
}

Machine read_machine(const std::filesystem::path& root, const CpuQuery& query, Architecture architecture) {
  Machine machine;
  machine.architecture = architecture;
  machine.cpu = cpuid_names(query);
  if (machine.cpu.vendor.empty()) machine.cpu = read_cpu_names(root);
  machine.features = detect_features(query);
  machine.allowed_cpus = read_allowed_cpus(root);
  if (machine.allowed_cpus.empty()) machine.allowed_cpus = scheduler_cpus();
  if (machine.allowed_cpus.empty()) machine.allowed_cpus = {0};
  const size_t online = read_online_cpus(root).size();
  machine.online_cpus = static_cast<int>(online > 0 ? online : machine.allowed_cpus.size());
  machine.core_cpus = one_cpu_per_core(root, machine.allowed_cpus);
  machine.caches = read_caches(root, machine.allowed_cpus.front());
  if (machine.caches.empty()) machine.caches = cpuid_caches(query);
  machine.memory = read_memory(root);
  machine.limits = read_group_limits(root);
  if (const long page = sysconf(_SC_PAGESIZE); page > 0) machine.page_bytes = page;
  const auto release = read_system_text(root, "proc/sys/kernel/osrelease");
  if (release) machine.kernel = "Linux " + printable(release->substr(0, release->find('\n')));
  machine.operating_system = read_operating_system(root);
  machine.hypervisor = cpuid_hypervisor(query);
  if (machine.hypervisor.empty()) {
    if (const auto type = read_system_text(root, "sys/hypervisor/type")) {
      machine.hypervisor = printable(type->substr(0, type->find('\n')));
    }
  }
  return machine;
}

Machine host_machine() { return read_machine("/", host_cpu_query(), host_architecture()); }

std::string size_text(int64_t bytes) {
  constexpr std::pair<int, std::string_view> kUnits[] = {{40, "TiB"}, {30, "GiB"}, {20, "MiB"}, {10, "KiB"}};
  for (const auto& [shift, unit] : kUnits) {
    if (bytes < int64_t{1} << shift) continue;
    const double value = static_cast<double>(bytes) / static_cast<double>(int64_t{1} << shift);
    if (value == std::floor(value)) return fmt::format("{:.0f} {}", value, unit);
    return fmt::format("{:.1f} {}", value, unit);
  }
  return fmt::format("{} bytes", bytes);
}

std::vector<std::pair<std::string, std::string>> machine_facts(const Machine& m) {
  std::vector<std::pair<std::string, std::string>> facts;
  facts.emplace_back("architecture", architecture_name(m.architecture));
  facts.emplace_back("cpu", known(m.cpu.model_name));
  facts.emplace_back("cpu vendor", known(m.cpu.vendor));
  facts.emplace_back("cpu family, model, stepping",
                     fmt::format("{}, {}, {}", m.cpu.family, m.cpu.model, m.cpu.stepping));
  facts.emplace_back("logical cpus", fmt::format("{} online, {} usable", m.online_cpus, m.allowed_cpus.size()));
  facts.emplace_back("physical cores", fmt::format("{} usable", m.core_cpus.size()));
  facts.emplace_back("cpu quota", m.limits.cpus ? fmt::format("{:.2f} CPUs", *m.limits.cpus) : "none");
  facts.emplace_back("threads", std::to_string(m.usable_threads()));
  if (m.architecture == Architecture::x86_64) {
    const int level = x86_64_level(m.features.usable);
    facts.emplace_back("x86-64 level", level == 0 ? "none" : fmt::format("v{}", level));
  }
  facts.emplace_back("instructions", to_text(m.features.usable));
  if (!m.features.withheld.empty()) {
    facts.emplace_back("instructions the operating system withholds", to_text(m.features.withheld));
  }
  if (m.caches.empty()) facts.emplace_back("caches", "not known");
  for (const Cache& cache : m.caches) {
    const std::string sharing = cache.sharing_cpus > 1 ? fmt::format(", shared by {} cpus", cache.sharing_cpus) : "";
    facts.emplace_back(fmt::format("L{} {} cache", cache.level, cache_kind_name(cache.kind)),
                       size_text(cache.size_bytes) + sharing);
  }
  facts.emplace_back("memory", known_size(m.memory.total_bytes));
  facts.emplace_back("memory available", known_size(m.memory.available_bytes));
  facts.emplace_back("memory limit", m.limits.memory_bytes ? size_text(*m.limits.memory_bytes) : "none");
  facts.emplace_back("page size", size_text(m.page_bytes));
  facts.emplace_back("operating system", known(m.operating_system));
  facts.emplace_back("kernel", known(m.kernel));
  facts.emplace_back("hypervisor", m.hypervisor.empty() ? "none seen" : m.hypervisor);
  return facts;
}

}  // namespace cupel
