#include "emit/object_cache.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <set>

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
  const ObjectCache cache(folder_, "emitter 1");
  EXPECT_FALSE(cache.find(key_));
  cache.keep(key_, object_);
  EXPECT_EQ(cache.find(key_), object_);
  EXPECT_FALSE(cache.find(std::string(64, 'b')));
  EXPECT_EQ(ObjectCache(folder_, "emitter 1").find(key_), object_);
}

TEST_F(ObjectCacheTest, BrokenEntriesAreDropped) {
  const ObjectCache cache(folder_, "emitter 1");
  cache.keep(key_, object_);
  const fs::path path = only_file();
  const auto size = fs::file_size(path);
  for (uintmax_t cut = 0; cut < size; cut += 5) {
    cache.keep(key_, object_);
    fs::resize_file(path, cut);
    EXPECT_FALSE(cache.find(key_)) << cut;
    EXPECT_FALSE(fs::exists(path));
  }
  for (uintmax_t at = 0; at < size; ++at) {
    cache.keep(key_, object_);
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekg(static_cast<std::streamoff>(at));
    const char changed = static_cast<char>(file.get() ^ 4);
    file.seekp(static_cast<std::streamoff>(at));
    file.put(changed);
    file.close();
    EXPECT_FALSE(cache.find(key_)) << at;
  }
}

TEST_F(ObjectCacheTest, AnEntryOfAnotherKeyOrEmitterIsNotUsed) {
  const ObjectCache cache(folder_, "emitter 1");
  cache.keep(key_, object_);
  const fs::path path = only_file();
  const std::string other = "aa" + std::string(62, 'b');
  fs::copy_file(path, path.parent_path() / other);  // whole, with a right checksum
  fs::permissions(path.parent_path() / other, fs::perms::owner_read | fs::perms::owner_write);
  EXPECT_FALSE(cache.find(other));
  EXPECT_EQ(cache.find(key_), object_);
  EXPECT_FALSE(ObjectCache(folder_, "emitter 2").find(key_));
  EXPECT_FALSE(fs::exists(path));
}

TEST_F(ObjectCacheTest, AnEmitterWithoutIdentityHasNoCache) {
  const ObjectCache cache(folder_, "");
  cache.keep(key_, object_);
  EXPECT_EQ(only_file(), fs::path());
  ObjectCache(folder_, "emitter 1").keep(key_, object_);
  EXPECT_FALSE(cache.find(key_));
}

TEST_F(ObjectCacheTest, EntriesThatOthersCanWriteAreNotUsed) {
  const ObjectCache cache(folder_, "emitter 1");
  const auto expect_dropped = [&](const char* what) {
    EXPECT_FALSE(cache.find(key_)) << what;
    cache.keep(key_, object_);
    EXPECT_EQ(cache.find(key_), object_) << what;
  };
  cache.keep(key_, object_);
  const fs::path path = only_file(), elsewhere = folder_ / "elsewhere";
  struct stat status{};
  ASSERT_EQ(stat(path.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600u);
  fs::permissions(path, fs::perms::group_write, fs::perm_options::add);
  expect_dropped("group");
  fs::permissions(path, fs::perms::others_write, fs::perm_options::add);
  expect_dropped("others");
  fs::rename(path, elsewhere);
  fs::create_symlink(elsewhere, path);
  expect_dropped("link");
  EXPECT_TRUE(fs::exists(elsewhere));
  if (geteuid() == 0) {
    ASSERT_EQ(chown(path.c_str(), 65534, 65534), 0);
    expect_dropped("owner");
  }
}

TEST_F(ObjectCacheTest, AFolderThatOthersCanWriteIsRefused) {
  EXPECT_TRUE(ObjectCache::check_folder(folder_));
  EXPECT_TRUE(ObjectCache::check_folder(""));
  EXPECT_TRUE(ObjectCache::check_folder(folder_ / "not there yet"));
  ObjectCache(folder_, "emitter 1").keep(key_, object_);
  for (const fs::path& folder : {folder_, folder_ / "objects"})
    for (const fs::perms perms : {fs::perms::group_write, fs::perms::others_write}) {
      fs::permissions(folder, perms, fs::perm_options::add);
      const Status status = ObjectCache::check_folder(folder_);
      ASSERT_FALSE(status);
      EXPECT_EQ(status.error().message(),
                folder.string() +
                    ": can be written to by other users, so no kernel is kept there or taken from it\n  take the right "
                    "from them (chmod go-w), or name another folder by CUPEL_CACHE");
      const ObjectCache cache(folder_, "emitter 1");
      EXPECT_FALSE(cache.find(key_));
      cache.keep(std::string(64, 'c'), object_);
      fs::permissions(folder, perms, fs::perm_options::remove);
      EXPECT_FALSE(ObjectCache(folder_, "emitter 1").find(std::string(64, 'c')));
      EXPECT_EQ(ObjectCache(folder_, "emitter 1").find(key_), object_);
    }
  if (geteuid() != 0) return;
  ASSERT_EQ(chown(folder_.c_str(), 65534, 65534), 0);
  EXPECT_EQ(ObjectCache::check_folder(folder_).error().message(),
            folder_.string() +
                ": belongs to another user, so no kernel is kept there or taken from it\n  name a folder "
                "of your own by CUPEL_CACHE");
  EXPECT_FALSE(ObjectCache(folder_, "emitter 1").find(key_));
}

TEST_F(ObjectCacheTest, WhatItMakesIsThisUsersAlone) {
  const mode_t before = umask(0);
  ObjectCache(folder_ / "new", "emitter 1").keep(key_, object_);
  umask(before);
  EXPECT_TRUE(ObjectCache::check_folder(folder_ / "new"));
  for (const auto& entry : fs::recursive_directory_iterator(folder_ / "new"))
    EXPECT_EQ(entry.status().permissions() & (fs::perms::group_all | fs::perms::others_all), fs::perms::none)
        << entry.path();
}

TEST_F(ObjectCacheTest, TheLeastRecentlyUsedGoFirst) {
  const auto key = [](int i) { return std::string(1, static_cast<char>('0' + i)) + std::string(63, 'e'); };
  const Bytes object(1000);
  ObjectCache(folder_, "emitter 1").keep(key(0), object);
  const auto entry_bytes = static_cast<int64_t>(fs::file_size(only_file()));
  const ObjectCache cache(folder_, "emitter 1", 4 * entry_bytes);
  const auto age = [&](int i, int hours) {
    fs::last_write_time(folder_ / "objects" / key(i).substr(0, 2) / key(i),
                        fs::file_time_type::clock::now() - std::chrono::hours(hours));
  };
  for (int i = 0; i < 4; ++i) cache.keep(key(i), object), age(i, 10 - i);
  cache.trim();
  for (int i = 0; i < 4; ++i) EXPECT_TRUE(fs::exists(folder_ / "objects" / key(i).substr(0, 2) / key(i))) << i;
  EXPECT_EQ(cache.find(key(0)), object);  // used just now, though kept first
  cache.keep(key(4), object);
  cache.keep(key(5), object);
  cache.trim();
  std::set<int> left;
  for (int i = 0; i < 6; ++i)
    if (fs::exists(folder_ / "objects" / key(i).substr(0, 2) / key(i))) left.insert(i);
  EXPECT_EQ(left, (std::set<int>{0, 3, 4, 5}));
  // An object larger than the whole cache is not kept.
  ObjectCache(folder_, "emitter 1", 500).keep(key(7), object);
  EXPECT_FALSE(cache.find(key(7)));
}

TEST_F(ObjectCacheTest, TheLimitIsANumberOfMegabytes) {
  EXPECT_EQ(ObjectCache::default_limit_bytes(), int64_t{1024} << 20);
  setenv("CUPEL_CACHE_MAX", "3", 1);
  EXPECT_EQ(ObjectCache::default_limit_bytes(), int64_t{3} << 20);
  EXPECT_TRUE(ObjectCache::check_folder(folder_));
  for (const char* text : {"many", "-1", "3MB", "1e3", "99999999999999999999"}) {
    setenv("CUPEL_CACHE_MAX", text, 1);
    EXPECT_EQ(ObjectCache::default_limit_bytes(), 0);
    const Status status = ObjectCache::check_folder(folder_);
    ASSERT_FALSE(status);
    EXPECT_EQ(status.error().message(), std::string("CUPEL_CACHE_MAX: found ") + text +
                                            ", expected a whole number of MB\n  correct or unset the variable; until "
                                            "then no kernel is kept");
    ObjectCache(folder_, "emitter 1").keep(key_, object_);
    EXPECT_EQ(only_file(), fs::path());
  }
  unsetenv("CUPEL_CACHE_MAX");
}

TEST_F(ObjectCacheTest, FoldersThatCannotBeWrittenAreNoError) {
  const ObjectCache cache("/proc/no/such/folder", "emitter 1");
  cache.keep(key_, object_);
  EXPECT_FALSE(cache.find(key_));
  cache.trim();
  const ObjectCache none("", "emitter 1");
  none.keep(key_, object_);
  EXPECT_FALSE(none.find(key_));
}

TEST(Emitter, HasAnIdentity) {
  WorkerPool pool({.program = CUPEL_EMIT_PROGRAM, .workers = 1});
  const auto version = pool.version();
  ASSERT_TRUE(version) << version.error().message();
  EXPECT_TRUE(version->starts_with("LLVM 19.")) << *version;
  EXPECT_GE(version->size() - version->find("cupel-emit "), 11u + 40u) << *version;
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
  EXPECT_GT(fs::file_size(path), (*first)[0].size());
}

}  // namespace
}  // namespace cupel
