#include "profile/timing.h"

#include <fmt/format.h>
#include <sched.h>

#include <cstring>

namespace cupel {

Status pin_current_thread(int cpu) {
  const std::string place = fmt::format("logical CPU {}", cpu);
  constexpr const char* kRemedy = "choose a CPU that `cupel doctor` lists as usable";
  if (cpu < 0 || cpu >= 65536) return unsupported(place, "there is no CPU of this number", kRemedy);
  const auto capacity = static_cast<size_t>(cpu) + 1;
  cpu_set_t* set = CPU_ALLOC(capacity);
  if (set == nullptr) return resource_error(place, "no memory for an affinity mask", "free memory");
  const size_t bytes = CPU_ALLOC_SIZE(capacity);
  CPU_ZERO_S(bytes, set);
  CPU_SET_S(static_cast<size_t>(cpu), bytes, set);
  const int failed = sched_setaffinity(0, bytes, set) == 0 ? 0 : errno;
  CPU_FREE(set);
  if (failed) return unsupported(place, fmt::format("a thread cannot be bound to it ({})", strerror(failed)), kRemedy);
  return {};
}

}  // namespace cupel
