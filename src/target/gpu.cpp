#include "target/gpu.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/file.h"
#include "base/folder.h"
#include "target/machine.h"

namespace cupel {
namespace {

// CUDA's driver interface, as far as it is asked (cuda.h: CUresult and CUdevice are int).
using InitFunction = int (*)(unsigned flags);
using VersionFunction = int (*)(int* version);
using CountFunction = int (*)(int* count);
using GetFunction = int (*)(int* device, int ordinal);
using NameFunction = int (*)(char* name, int length, int device);
using MemoryFunction = int (*)(size_t* bytes, int device);
using AttributeFunction = int (*)(int* value, int attribute, int device);
constexpr int kMultiprocessorCount = 16, kComputeMajor = 75, kComputeMinor = 76;  // CUdevice_attribute
constexpr int kNoDevice = 100;                                                    // CUDA_ERROR_NO_DEVICE

template <class Function>
bool find_symbol(void* library, const char* name, Function& function) {
  function = reinterpret_cast<Function>(dlsym(library, name));
  return function != nullptr;
}

std::vector<std::string> device_files(const std::filesystem::path& root) {
  std::vector<std::string> names;
  for (const std::string& name : names_in(root / "dev").value_or(names))
    if (name.starts_with("nvidia") || name == "dxg") names.push_back("/dev/" + printable(name));
  return names;
}

}  // namespace

std::string GpuDevice::target() const { return fmt::format("cuda-sm_{}{}", compute_major, compute_minor); }

Result<CudaDriver> load_cuda_driver(const std::string& library) {
  void* opened = dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (opened == nullptr) {
    return unsupported(library, "the NVIDIA driver's library cannot be loaded", "install NVIDIA's driver");
  }
  InitFunction init = nullptr;
  VersionFunction version = nullptr;
  CountFunction count = nullptr;
  GetFunction get = nullptr;
  NameFunction name = nullptr;
  MemoryFunction memory = nullptr;
  AttributeFunction attribute = nullptr;
  if (!find_symbol(opened, "cuInit", init) || !find_symbol(opened, "cuDriverGetVersion", version) ||
      !find_symbol(opened, "cuDeviceGetCount", count) || !find_symbol(opened, "cuDeviceGet", get) ||
      !find_symbol(opened, "cuDeviceGetName", name) || !find_symbol(opened, "cuDeviceTotalMem_v2", memory) ||
      !find_symbol(opened, "cuDeviceGetAttribute", attribute)) {
    return unsupported(library, "the library lacks functions of CUDA's driver interface", "update NVIDIA's driver");
  }
  CudaDriver driver;
  driver.init = [init] { return init(0); };
  driver.version = version;
  driver.device_count = count;
  driver.device = [=](int ordinal, GpuDevice* out) {
    int device = 0;
    if (const int code = get(&device, ordinal)) return code;
    std::array<char, 256> text{};
    if (const int code = name(text.data(), static_cast<int>(text.size()) - 1, device)) return code;
    out->name = text.data();
    size_t bytes = 0;
    if (const int code = memory(&bytes, device)) return code;
    out->memory_bytes = static_cast<int64_t>(bytes);
    if (const int code = attribute(&out->compute_major, kComputeMajor, device)) return code;
    if (const int code = attribute(&out->compute_minor, kComputeMinor, device)) return code;
    return attribute(&out->multiprocessors, kMultiprocessorCount, device);
  };
  return driver;
}

GpuPresence find_gpus(const std::filesystem::path& root, const Result<CudaDriver>& driver) {
  GpuPresence found;
  found.device_files = device_files(root);
  const std::string files = found.device_files.empty() ? "there is no /dev/nvidia* either"
                                                       : fmt::format("{} is there", found.device_files.front());
  if (!driver) {
    found.absent_because = fmt::format("{} ({}); {}", driver.error().cause, driver.error().place, files);
    return found;
  }
  if (const int code = driver->init()) {
    found.absent_because = code == kNoDevice ? fmt::format("the driver found no device; {}", files)
                                             : fmt::format("cuInit failed with code {}; {}", code, files);
    return found;
  }
  int version = 0;
  if (driver->version(&version) == 0) found.driver_version = version;
  int count = 0;
  if (const int code = driver->device_count(&count)) {
    found.absent_because = fmt::format("cuDeviceGetCount failed with code {}", code);
    return found;
  }
  int failed = 0;
  for (int ordinal = 0; ordinal < count; ++ordinal) {
    GpuDevice device;
    if (const int code = driver->device(ordinal, &device)) {
      failed = code;
      continue;
    }
    device.name = printable(device.name);
    found.devices.push_back(std::move(device));
  }
  if (found.devices.empty()) {
    found.absent_because = failed ? fmt::format("the driver's questions about the devices failed with code {}", failed)
                                  : "the driver counts 0 devices";
  }
  return found;
}

GpuPresence host_gpus() { return find_gpus("/", load_cuda_driver("libcuda.so.1")); }

std::vector<std::pair<std::string, std::string>> gpu_facts(const GpuPresence& gpus) {
  std::vector<std::pair<std::string, std::string>> facts;
  for (const GpuDevice& device : gpus.devices) {
    facts.emplace_back("gpu", fmt::format("{}, {}, {} multiprocessors, {}", device.name, size_text(device.memory_bytes),
                                          device.multiprocessors, device.target()));
  }
  if (gpus.devices.empty()) facts.emplace_back("gpu", "none: " + gpus.absent_because);
  if (gpus.driver_version) {
    facts.emplace_back("cuda driver",
                       fmt::format("{}.{}", *gpus.driver_version / 1000, *gpus.driver_version % 1000 / 10));
  }
  return facts;
}

}  // namespace cupel
