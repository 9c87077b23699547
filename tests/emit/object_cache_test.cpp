#include "emit/object_cache.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <fstream>

#include "emit/image_builder.h"
#include "kernel/random_kernels.h"

namespace cupel {
namespace {

namespace fs = std::filesystem;

class ObjectCacheTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string path = (fs::temp_directory_path() / "cupel-cache-XXXXXX").string();
    ASSERT_NE(mkdtemp(path.data()), nullptr);
    folder_ = path;
  }
  void TearDown() override { fs::remove_all(folder_); }
  fs::path only_file() const {
    for (const auto& entry : fs::recursive_directory_iterator(folder_))
      if (entry.is_regular_file()) return entry.path();
    return {};
  }
  fs::path folder_;
  const std::string key_ = std::string(64, 'a');
  const Bytes object_ = {std::byte{1}, std::byte{2}, std::byte{3}};
};

TEST_F(ObjectCacheTest, KeepsAndFinds) {
  const ObjectCache cache(folder_);
  EXPECT_FALSE(cache.find(key_));
  cache.keep(key_, object_);
  EXPECT_EQ(cache.find(key_), object_);
  EXPECT_FALSE(cache.find(std::string(64, 'b')));
}

TEST_F(ObjectCacheTest, BrokenEntriesAreDropped) {
  const ObjectCache cache(folder_);
  cache.keep(key_, object_);
  const fs::path path = only_file();
  const auto size = fs::file_size(path);
  for (uintmax_t cut = 0; cut < size; cut += 5) {
    cache.keep(key_, object_);
    fs::resize_file(path, cut);
    EXPECT_FALSE(cache.find(key_)) << cut;
    EXPECT_FALSE(fs::exists(path));
  }
  cache.keep(key_, object_);
  {
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(static_cast<std::streamoff>(size) - 1);
    file.put('x');
  }
  EXPECT_FALSE(cache.find(key_));
}

TEST_F(ObjectCacheTest, FoldersThatCannotBeWrittenAreNoError) {
  const ObjectCache cache("/proc/no/such/folder");
  cache.keep(key_, object_);
  EXPECT_FALSE(cache.find(key_));
  const ObjectCache none("");
  none.keep(key_, object_);
  EXPECT_FALSE(none.find(key_));
}

TEST_F(ObjectCacheTest, BrokenObjectsAreRebuilt) {
  WorkerPool pool({.program = CUPEL_EMIT_PROGRAM, .workers = 1});
  const EmitTarget target = *find_emit_target("x86-64-v3");
  const Kernel kernel = make_random_kernel(KernelForm::map, 1).kernel;
  const std::vector<const Kernel*> kernels = {&kernel};
  const BuildOptions options = {.cache_folder = folder_};
  const auto first = build_objects(kernels, target, pool, options);
  ASSERT_TRUE(first) << first.error().message();
  const fs::path path = only_file();
  ASSERT_FALSE(path.empty());
  fs::resize_file(path, fs::file_size(path) - 7);
  const auto second = build_objects(kernels, target, pool, options);
  ASSERT_TRUE(second) << second.error().message();
  EXPECT_EQ(*first, *second);
  EXPECT_EQ(fs::file_size(path), (*first)[0].size() + 40);
}

}  // namespace
}  // namespace cupel
