#include "base/file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/inotify.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <csignal>
#include <fstream>
#include <set>
#include <vector>

#include "base/folder.h"

namespace cupel {
namespace {

namespace fs = std::filesystem;

class FileTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "cupel_file_XXXXXX").string();
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
  }
  void TearDown() override { fs::remove_all(folder_); }

  std::string make(const std::string& name, const std::string& content) {
    const auto path = folder_ / name;
    fs::create_directories(path.parent_path());
    std::ofstream(path, std::ios::binary) << content;
    return path.string();
  }
  static std::string text(const Bytes& bytes) { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }
  template <class T>
  static std::string failure(const Result<T>& result) {
    return result ? "no error" : result.error().message();
  }
  size_t entries() const {
    return static_cast<size_t>(std::distance(fs::directory_iterator(folder_), fs::directory_iterator()));
  }

  fs::path folder_;
};

std::string gzip(const std::string& content) {
  z_stream stream{};
  deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
  std::string out(deflateBound(&stream, content.size()) + 64, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(content.data()));
  stream.avail_in = static_cast<uInt>(content.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

using ReadFile = FileTest;

TEST_F(ReadFile, GivesTheContent) {
  const std::string content("a\0b\n", 4);
  EXPECT_EQ(text(read_file(make("x", content)).value()), content);
  EXPECT_EQ(read_file(make("empty", "")).value().size(), 0u);
  EXPECT_EQ(read_file(make("x", content), 4).value().size(), 4u);
}

TEST_F(ReadFile, NamesWhatIsWrong) {
  const std::string missing = (folder_ / "missing").string();
  EXPECT_EQ(failure(read_file(missing)), missing + ": no such file\n  check the path");
  EXPECT_EQ(failure(read_file(folder_)), folder_.string() + ": is not a regular file\n  name a file");
  const std::string x = make("x", "12345");
  const auto large = read_file(x, 4);
  EXPECT_EQ(failure(large), x + ": 5 bytes exceed the limit of 4\n  use a smaller file");
  EXPECT_EQ(large.error().kind, ErrorKind::resource);
  EXPECT_EQ(failure(read_file(x + "/y")),
            x + "/y: cannot be opened: Not a directory\n  check the file and its permissions");
  EXPECT_EQ(failure(read_file("/dev/zero")), "/dev/zero: is not a regular file\n  name a file");
  EXPECT_EQ(failure(read_file(folder_ / "a\nb")), folder_.string() + "/a\\x0ab: no such file\n  check the path");
}

TEST_F(ReadFile, DoesNotWaitForAPipe) {
  const std::string pipe = (folder_ / "pipe").string();
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  EXPECT_EQ(failure(read_file(pipe)), pipe + ": is not a regular file\n  name a file");
}

using Gzip = FileTest;

TEST_F(Gzip, InflatesOrReturnsAsItIs) {
  const std::string content(100000, 'x');
  EXPECT_EQ(text(read_file_maybe_gzip(make("a.gz", gzip(content))).value()), content);
  EXPECT_EQ(text(read_file_maybe_gzip(make("plain", content)).value()), content);
  EXPECT_EQ(text(read_file_maybe_gzip(make("empty.gz", gzip(""))).value()), "");
  EXPECT_EQ(text(read_file_maybe_gzip(make("one", "\x1f")).value()), "\x1f");
}

TEST_F(Gzip, ReadsAllMembers) {
  EXPECT_EQ(text(read_file_maybe_gzip(make("a.gz", gzip("first ") + gzip("") + gzip("second"))).value()),
            "first second");
}

TEST_F(Gzip, RefusesEveryTruncation) {
  std::string content;
  for (int i = 0; i < 2000; ++i) content += std::to_string(i * i);
  const std::string whole = gzip(content);
  for (size_t size = 2; size < whole.size(); size += size < 40 || size + 40 > whole.size() ? 1 : 97) {
    const std::string path = make("cut.gz", whole.substr(0, size));
    ASSERT_EQ(failure(read_file_maybe_gzip(path)),
              path + ": is not a complete gzip file\n  fetch or copy the file again")
        << size;
  }
}

TEST_F(Gzip, RefusesDamageAndTrailingBytes) {
  std::string damaged = gzip(std::string(1000, 'a'));
  damaged[damaged.size() - 6] ^= 1;  // the checksum
  const std::string path = make("damaged.gz", damaged);
  EXPECT_EQ(failure(read_file_maybe_gzip(path)),
            path + ": is not a complete gzip file\n  fetch or copy the file again");
  const std::string trailing = make("trailing.gz", gzip("a") + "garbage");
  EXPECT_EQ(failure(read_file_maybe_gzip(trailing)),
            trailing + ": is not a complete gzip file\n  fetch or copy the file again");
}

TEST_F(Gzip, StopsAtTheLimit) {
  const std::string bomb = make("bomb.gz", gzip(std::string(10000000, '\0')));
  const auto result = read_file_maybe_gzip(bomb, 9999999);
  EXPECT_EQ(failure(result), bomb + ": inflates to more than 9999999 bytes\n  use a smaller file");
  EXPECT_EQ(result.error().kind, ErrorKind::resource);
  EXPECT_EQ(read_file_maybe_gzip(bomb, 10000000).value().size(), 10000000u);
}

using WriteFile = FileTest;

TEST_F(WriteFile, ReplacesTheWholeFile) {
  const std::string path = make("x", "a longer content than the new one");
  ASSERT_TRUE(write_file(path, "new"));
  EXPECT_EQ(text(read_file(path).value()), "new");
  EXPECT_EQ(entries(), 1u) << "no temporary file is left";
}

TEST_F(WriteFile, NamesWhatIsWrong) {
  EXPECT_EQ(failure(write_file(folder_, "x")), folder_.string() + ": is a folder\n  name a file");
  const std::string nowhere = (folder_ / "no" / "x").string();
  const auto result = write_file(nowhere, "x");
  EXPECT_EQ(failure(result),
            nowhere + ": cannot be written: No such file or directory\n  choose a place you can write to");
  EXPECT_EQ(result.error().kind, ErrorKind::usage);
}

TEST_F(WriteFile, LinksAreReplacedAndNotFollowed) {
  const std::string victim = make("victim", "precious"), path = (folder_ / "x").string();
  for (const std::string& target : {victim, (folder_ / "nowhere").string()}) {
    fs::create_symlink(target, path);
    ASSERT_TRUE(write_file(path, "new"));
    EXPECT_TRUE(fs::is_regular_file(fs::symlink_status(path)));
    EXPECT_EQ(text(read_file(path).value()), "new");
    EXPECT_FALSE(fs::exists(folder_ / "nowhere"));
    fs::remove(path);
  }
  fs::create_hard_link(victim, path);
  ASSERT_TRUE(write_file(path, "new"));
  EXPECT_EQ(text(read_file(victim).value()), "precious");
  EXPECT_EQ(entries(), 2u);
}

TEST_F(WriteFile, TemporaryNamesCannotBePrepared) {
  // The content first lies in a new file, whose name differs every time.
  const std::string path = (folder_ / "x").string();
  std::set<std::string> names;
  for (int i = 0; i < 3; ++i) {
    const int watch = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    ASSERT_GE(inotify_add_watch(watch, folder_.c_str(), IN_CREATE | IN_MOVED_TO), 0);
    ASSERT_TRUE(write_file(path, "new"));
    alignas(inotify_event) char events[4096];
    const ssize_t bytes = read(watch, events, sizeof events);
    close(watch);
    std::vector<std::string> seen;
    for (ssize_t at = 0; at < bytes;) {
      const auto* event = reinterpret_cast<const inotify_event*>(events + at);
      seen.emplace_back(event->name);
      at += static_cast<ssize_t>(sizeof *event + event->len);
    }
    ASSERT_EQ(seen.size(), 2u);
    EXPECT_TRUE(seen[0].starts_with(".cupel-")) << seen[0];
    EXPECT_EQ(seen[0].size(), 7u + 32u);
    EXPECT_EQ(seen[1], "x");
    names.insert(seen[0]);
  }
  EXPECT_EQ(names.size(), 3u);
}

TEST_F(WriteFile, TheSystemsLinksToOpenFilesStay) {
  const std::string path = make("x", "content");
  const int fd = open(path.c_str(), O_WRONLY);
  const std::string link = "/proc/self/fd/" + std::to_string(fd);
  EXPECT_EQ(failure(write_file(link, "other")), link + ": leads to an ordinary file\n  name that file itself");
  close(fd);
  EXPECT_EQ(text(read_file(path).value()), "content");
  EXPECT_EQ(entries(), 1u);
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  ASSERT_TRUE(write_file("/proc/self/fd/" + std::to_string(ends[1]), "other"));
  char got[8] = {};
  EXPECT_EQ(read(ends[0], got, sizeof got), 5);
  close(ends[0]);
  close(ends[1]);
}

TEST_F(WriteFile, AFullDeviceIsAResource) {
  const auto result = write_file("/dev/full", "x");
  EXPECT_EQ(failure(result),
            "/dev/full: cannot be written: No space left on device\n  free some space or choose another place");
  EXPECT_EQ(result.error().kind, ErrorKind::resource);
  EXPECT_TRUE(fs::is_character_file("/dev/full"));
}

TEST_F(WriteFile, WritesToADeviceWithoutReplacingIt) {
  ASSERT_TRUE(write_file("/dev/null", "x"));
  EXPECT_TRUE(fs::is_character_file("/dev/null"));
}

TEST_F(WriteFile, AFullDiskKeepsTheOldFile) {
  const std::string path = make("x", "old");
  // A limit on the size of files stands for a full disk.
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  rlimit small = before;
  small.rlim_cur = 4096;
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  const auto result = write_file(path, std::string(10000, 'x'));
  setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);
  EXPECT_EQ(failure(result), path + ": cannot be written: File too large\n  free some space or choose another place");
  EXPECT_EQ(result.error().kind, ErrorKind::resource);
  EXPECT_EQ(text(read_file(path).value()), "old");
  EXPECT_EQ(entries(), 1u) << "no temporary file is left";
}

TEST_F(WriteFile, AnUnwritablePlaceIsUsage) {
  ASSERT_EQ(chmod(folder_.c_str(), 0555), 0);
  const bool root = geteuid() == 0;  // root may write everywhere
  if (root) {
    ASSERT_EQ(seteuid(65534), 0);
  }
  const std::string path = (folder_ / "x").string();
  const auto result = write_file(path, "x");
  if (root) {
    ASSERT_EQ(seteuid(0), 0);
  }
  chmod(folder_.c_str(), 0755);
  EXPECT_EQ(failure(result), path + ": cannot be written: Permission denied\n  choose a place you can write to");
}

TEST_F(WriteFile, FoldersAreMade) {
  EXPECT_TRUE(make_folder(folder_ / "a" / "b"));
  EXPECT_TRUE(fs::is_directory(folder_ / "a" / "b"));
  EXPECT_TRUE(make_folder(folder_ / "a" / "b"));
  const std::string x = make("x", "");
  EXPECT_EQ(failure(make_folder(x)), x + ": folder cannot be made: Not a directory\n  choose a place you can write to");
}

TEST_F(WriteFile, FoldersAreListedAndRemoved) {
  EXPECT_EQ(names_in(folder_ / "no").error(), ENOENT);
  EXPECT_EQ(names_in(make("file", "")).error(), ENOTDIR);
  EXPECT_EQ(names_in(folder_).value(), std::vector<std::string>{"file"});
  make("a/y", "1");
  make("a/.x", "2");
  fs::create_symlink(folder_ / "file", folder_ / "a" / "z");
  EXPECT_EQ(names_in(folder_ / "a").value(), (std::vector<std::string>{".x", "y", "z"}));
  remove_with_files(folder_ / "a");
  remove_with_files(folder_ / "file");
  remove_with_files(folder_ / "no");
  EXPECT_EQ(names_in(folder_).value(), std::vector<std::string>{"file"});
}

using ReadBeneath = FileTest;

constexpr const char* kRule =
    "\n  external data must be a regular file inside the model's folder, reached without symbolic links";

TEST_F(ReadBeneath, GivesTheRange) {
  make("w/data.bin", "0123456789");
  EXPECT_EQ(text(read_beneath(folder_, "w/data.bin", 2, 3).value()), "234");
  EXPECT_EQ(text(read_beneath(folder_, "./w/../w/data.bin", 0, 10).value()), "0123456789");
  EXPECT_EQ(read_beneath(folder_, "w/data.bin", 10, 0).value().size(), 0u);
  EXPECT_EQ(file_size_beneath(folder_, "w/data.bin").value(), 10);
}

TEST_F(ReadBeneath, RefusesEveryWayOut) {
  const std::string outside = make("outside", "secret");
  const auto model = folder_ / "model";
  make("model/data", "0123");
  fs::create_symlink(outside, model / "link");
  fs::create_symlink("data", model / "inner_link");
  fs::create_directory_symlink(folder_, model / "up");
  fs::create_hard_link(outside, model / "hard");
  ASSERT_EQ(mkfifo((model / "pipe").c_str(), 0600), 0);
  const auto refusal = [&](const std::string& name) { return failure(read_beneath(model, name, 0, 1)); };
  EXPECT_EQ(refusal("../outside"), std::string("../outside: leads outside the model's folder") + kRule);
  EXPECT_EQ(refusal("data/../../outside"),
            "data/../../outside: cannot be opened: Not a directory\n  put the file beside the model");
  EXPECT_EQ(refusal(outside), outside + ": is not a relative path" + kRule);
  EXPECT_EQ(refusal(""), std::string("is not a relative path") + kRule);
  EXPECT_EQ(refusal("link"), std::string("link: passes a symbolic link") + kRule);
  EXPECT_EQ(refusal("inner_link"), std::string("inner_link: passes a symbolic link") + kRule);
  EXPECT_EQ(refusal("up/outside"), std::string("up/outside: passes a symbolic link") + kRule);
  EXPECT_EQ(refusal("hard"), std::string("hard: has 2 hard links, expected 1") + kRule);
  EXPECT_EQ(refusal("pipe"), std::string("pipe: is not a regular file") + kRule);
  EXPECT_EQ(refusal("."), std::string(".: is not a regular file") + kRule);
  EXPECT_EQ(refusal("missing"),
            "missing: cannot be opened: No such file or directory\n  put the file beside the model");
  EXPECT_EQ(failure(read_beneath(folder_ / "none", "x", 0, 1)),
            (folder_ / "none").string() + ": cannot be opened: No such file or directory\n  check the folder");
}

TEST_F(ReadBeneath, ChecksTheRange) {
  make("data", "0123456789");
  const auto refusal = [&](int64_t offset, int64_t length) {
    return failure(read_beneath(folder_, "data", offset, length));
  };
  EXPECT_EQ(refusal(-1, 2), "data: offset -1 or length 2 is negative\n  export the model again");
  EXPECT_EQ(refusal(2, -1), "data: offset 2 or length -1 is negative\n  export the model again");
  EXPECT_EQ(
      refusal(8, 3),
      "data: bytes 8 to 8+3 were expected, but the file has 10\n  export the model again; its data file is incomplete");
  EXPECT_EQ(refusal(INT64_MAX, INT64_MAX),
            "data: bytes 9223372036854775807 to 9223372036854775807+9223372036854775807 were expected, but the file "
            "has 10\n  export the model again; its data file is incomplete");
}

}  // namespace
}  // namespace cupel
