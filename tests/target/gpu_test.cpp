#include "target/gpu.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "target/fake_root.h"

namespace cupel {
namespace {

using testing::ElementsAre;
using testing::Pair;

CudaDriver fake_driver() {
  CudaDriver driver;
  driver.init = [] { return 0; };
  driver.version = [](int* version) { return *version = 12040, 0; };
  driver.device_count = [](int* count) { return *count = 2, 0; };
  driver.device = [](int ordinal, GpuDevice* device) {
    if (ordinal == 1) return 999;
    *device = {"NVIDIA H100\x07", 9, 0, int64_t{80} << 30, 132};
    return 0;
  };
  return driver;
}

TEST(Gpu, ListsWhatTheDriverTells) {
  const FakeRoot root;
  root.write("dev/nvidiactl", "");
  root.write("dev/nvidia0", "");
  root.write("dev/null", "");
  const GpuPresence found = find_gpus(root.path(), fake_driver());
  EXPECT_THAT(found.device_files, ElementsAre("/dev/nvidia0", "/dev/nvidiactl"));
  EXPECT_THAT(found.devices, ElementsAre(GpuDevice{"NVIDIA H100\\x07", 9, 0, int64_t{80} << 30, 132}));
  EXPECT_EQ(found.absent_because, "");
  EXPECT_THAT(gpu_facts(found), ElementsAre(Pair("gpu", "NVIDIA H100\\x07, 80 GiB, 132 multiprocessors, cuda-sm_90"),
                                            Pair("cuda driver", "12.4")));
}

TEST(Gpu, SaysWhyThereIsNone) {
  const FakeRoot root;
  CudaDriver driver = fake_driver();
  driver.device_count = [](int* count) { return *count = 0, 0; };
  EXPECT_EQ(find_gpus(root.path(), driver).absent_because, "the driver counts 0 devices");
  driver.device_count = [](int*) { return 3; };
  EXPECT_EQ(find_gpus(root.path(), driver).absent_because, "cuDeviceGetCount failed with code 3");
  driver.device_count = [](int* count) { return *count = 1, 0; };
  driver.device = [](int, GpuDevice*) { return 46; };
  EXPECT_EQ(find_gpus(root.path(), driver).absent_because,
            "the driver's questions about the devices failed with code 46");
  driver.init = [] { return 100; };
  EXPECT_EQ(find_gpus(root.path(), driver).absent_because,
            "the driver found no device; there is no /dev/nvidia* either");
  root.write("dev/nvidia0", "");
  driver.init = [] { return 803; };
  EXPECT_EQ(find_gpus(root.path(), driver).absent_because, "cuInit failed with code 803; /dev/nvidia0 is there");
}

TEST(Gpu, AMissingLibraryIsAReasonAndNoFailure) {
  const auto driver = load_cuda_driver("libcupel_no_such_library.so.1");
  ASSERT_FALSE(driver.has_value());
  EXPECT_EQ(driver.error().kind, ErrorKind::unsupported);
  EXPECT_EQ(driver.error().message(),
            "libcupel_no_such_library.so.1: the NVIDIA driver's library cannot be loaded\n  install NVIDIA's driver");
  const FakeRoot root;
  const GpuPresence found = find_gpus(root.path(), driver);
  EXPECT_EQ(found.absent_because,
            "the NVIDIA driver's library cannot be loaded (libcupel_no_such_library.so.1); there is no /dev/nvidia* "
            "either");
}

TEST(Gpu, ALibraryWithoutTheFunctionsIsRefused) {
  const auto driver = load_cuda_driver("libc.so.6");
  ASSERT_FALSE(driver.has_value());
  EXPECT_EQ(driver.error().message(),
            "libc.so.6: the library lacks functions of CUDA's driver interface\n  update NVIDIA's driver");
}

TEST(Gpu, TheHostGivesDevicesOrAReason) {
  const GpuPresence found = host_gpus();
  EXPECT_EQ(found.devices.empty(), !found.absent_because.empty());
}

}  // namespace
}  // namespace cupel
