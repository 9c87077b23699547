#include "profile/perf_counters.h"

#include <fmt/format.h>
#include <linux/perf_event.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstring>

#include "target/system_files.h"

namespace cupel {

int try_cycle_counter() {
  perf_event_attr attribute{};
  attribute.type = PERF_TYPE_HARDWARE;
  attribute.size = sizeof(attribute);
  attribute.config = PERF_COUNT_HW_CPU_CYCLES;
  attribute.disabled = 1;
  attribute.exclude_kernel = 1;
  attribute.exclude_hv = 1;
  const long file = syscall(SYS_perf_event_open, &attribute, 0, -1, -1, 0UL);
  if (file < 0) return errno;
  close(static_cast<int>(file));
  return 0;
}

PerfCounters read_perf_counters(const std::filesystem::path& root, int error) {
  PerfCounters found;
  if (const auto text = read_system_text(root, "proc/sys/kernel/perf_event_paranoid")) {
    int value = 0;
    if (std::from_chars(text->data(), text->data() + text->size(), value).ec == std::errc{}) found.paranoid = value;
  }
  found.available = error == 0;
  if (found.available) return found;
  if (error == EACCES || error == EPERM) {
    found.absent_because = found.paranoid ? fmt::format("kernel.perf_event_paranoid is {}", *found.paranoid)
                                          : "the system refuses them to this process";
    found.remedy = found.paranoid.value_or(0) >= 2
                       ? "as root: sysctl kernel.perf_event_paranoid=1"
                       : "run with CAP_PERFMON, or allow perf_event_open in the container's system call filter";
  } else if (error == ENOENT || error == EOPNOTSUPP || error == ENODEV) {
    found.absent_because = "this machine shows no counter of cycles (usual in virtual machines)";
    found.remedy = "use bare metal, or have the hypervisor pass the counters through";
  } else if (error == ENOSYS) {
    found.absent_because = "this kernel has no perf_event_open";
    found.remedy = "use a kernel with CONFIG_PERF_EVENTS";
  } else {
    found.absent_because = fmt::format("perf_event_open failed ({})", strerror(error));
    found.remedy = "see perf_event_open(2) for this error";
  }
  return found;
}

PerfCounters host_perf_counters() { return read_perf_counters("/", try_cycle_counter()); }

}  // namespace cupel
