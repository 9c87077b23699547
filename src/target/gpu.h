// NVIDIA GPUs, found through the driver's library at run time: nothing is linked, and a machine without one says why.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"

namespace cupel {

struct GpuDevice {
  std::string name;
  int compute_major = 0, compute_minor = 0;
  int64_t memory_bytes = 0;
  int multiprocessors = 0;

  // "cuda-sm_90", as `--target` takes it.
  std::string target() const;
  bool operator==(const GpuDevice&) const = default;
};

struct GpuPresence {
  std::vector<std::string> device_files;  // /dev/nvidia*, sorted
  std::optional<int> driver_version;      // CUDA's: 1000 * major + 10 * minor
  std::vector<GpuDevice> devices;
  std::string absent_because;  // set exactly when `devices` is empty
};

// The driver's functions that are asked. Return codes are CUresult; 0 is success.
struct CudaDriver {
  std::function<int()> init;
  std::function<int(int* version)> version;
  std::function<int(int* count)> device_count;
  std::function<int(int ordinal, GpuDevice* device)> device;
};

// Loads the driver's library by name; it stays loaded. unsupported when the library or one of its functions is missing.
Result<CudaDriver> load_cuda_driver(const std::string& library);
// Asks the driver, or says why there is none. `root` stands for "/".
GpuPresence find_gpus(const std::filesystem::path& root, const Result<CudaDriver>& driver);
GpuPresence host_gpus();

// Rows (name, value) for reports.
std::vector<std::pair<std::string, std::string>> gpu_facts(const GpuPresence& gpus);

}  // namespace cupel
