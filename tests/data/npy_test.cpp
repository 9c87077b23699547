#include "data/npy.h"

#include <bit>

#include "fixture.h"

namespace cupel {
namespace {

// A file of format version `major` with the dictionary `header`.
std::string npy(const std::string& header, const std::string& payload, int major = 1) {
  std::string s = "\x93NUMPY";
  s += {static_cast<char>(major), '\0', static_cast<char>(header.size() & 255), static_cast<char>(header.size() >> 8)};
  if (major > 1) s += std::string(2, '\0');
  return s + header + payload;
}
std::string parse_error(const std::string& file) {
  const auto r = parse_npy(bytes_of(file), "x.npy");
  return r ? "no error" : fmt::format("exit {}: {}", r.error().exit_code(), r.error().message());
}
Tensor parsed(const std::string& file) {
  auto r = parse_npy(bytes_of(file), "x.npy");
  EXPECT_TRUE(r) << r.error().message();
  return r ? *r : Tensor();
}

TEST(Npy, WritesNumpysBytes) {
  const auto file = format_npy(Tensor::of<float>({2, 1}, {1.0f, -2.0f}), "x");
  ASSERT_TRUE(file);
  const std::string header = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 1), }";
  const std::string expected =
      npy(header + std::string(128 - 10 - header.size() - 1, ' ') + "\n", std::string("\0\0\x80\x3f\0\0\0\xc0", 8));
  EXPECT_EQ(text_of(*file), expected);
}

TEST(Npy, RoundTripsEveryType) {
  const TemporaryFolder folder;
  const std::vector<Tensor> tensors = {Tensor::of<float>({2, 3}, {1, 2, 3, 4, 5, -0.0f}),
                                       Tensor::of<double>({1}, {0.1}),
                                       Tensor::of<uint8_t>({4}, {0, 1, 254, 255}),
                                       Tensor::of<int8_t>({2, 1, 1}, {-128, 127}),
                                       Tensor::of<uint16_t>({1}, {65535}),
                                       Tensor::of<int16_t>({1}, {-32768}),
                                       Tensor::of<uint32_t>({1}, {4000000000u}),
                                       Tensor::of<int32_t>({1}, {-5}),
                                       Tensor::of<uint64_t>({1}, {~uint64_t{0}}),
                                       Tensor::of<int64_t>({}, {INT64_MIN}),
                                       Tensor::of<bool>({2}, {true, false}),
                                       Tensor(DType::f32, {0, 3}),
                                       Tensor::of<uint16_t>({1}, {0x3c00}).bit_cast_to(DType::f16),
                                       Tensor::of<uint16_t>({2}, {0x3f80, 0xc000}).bit_cast_to(DType::bf16),
                                       Tensor::of<uint8_t>({2}, {0x38, 0xff}).bit_cast_to(DType::f8e4m3)};
  for (const Tensor& t : tensors) {
    ASSERT_TRUE(write_npy(folder / "t.npy", t));
    const auto back = read_npy(folder / "t.npy");
    ASSERT_TRUE(back) << back.error().message();
    EXPECT_EQ(*back, t) << dtype_name(t.dtype());
  }
  // NumPy has one name for all floats of 8 bits.
  const Tensor bytes = Tensor::of<uint8_t>({2}, {0x3c, 0x7f});
  ASSERT_TRUE(write_npy(folder / "t.npy", bytes.bit_cast_to(DType::f8e5m2)));
  EXPECT_EQ(read_npy(folder / "t.npy")->bit_cast_to(DType::u8), bytes);
}

TEST(Npy, ReadsBigEndianFortranOrderAndEveryVersion) {
  EXPECT_EQ(parsed(npy("{'descr': '>i2', 'fortran_order': False, 'shape': (2,)}", std::string("\x01\x02\xff\xff", 4))),
            Tensor::of<int16_t>({2}, {258, -1}));
  EXPECT_EQ(parsed(npy("{\"shape\": (2, 3), 'fortran_order': True, 'descr': '|u1', }\n",
                       text_of(std::vector<int>{1, 4, 2, 5, 3, 6}), 2)),
            Tensor::of<uint8_t>({2, 3}, {1, 2, 3, 4, 5, 6}));
  EXPECT_EQ(parsed(npy("{'descr': '<f4', 'fortran_order': False, 'shape': ()}", std::string("\0\0\x80\x3f", 4), 3)),
            Tensor::scalar(1.0f));
  EXPECT_EQ(parsed(npy("{'descr': '|b1', 'fortran_order': False, 'shape': (3,)}", std::string("\0\1\7", 3))),
            Tensor::of<bool>({3}, {false, true, true}));
}

TEST(Npy, RefusesWithWholeMessages) {
  const auto with = [](const std::string& header, const std::string& payload = "") {
    return parse_error(npy(header, payload));
  };
  EXPECT_EQ(parse_error("hello, world"),
            "exit 3: x.npy: does not start as an .npy file does\n  write the file again with numpy.save");
  EXPECT_EQ(parse_error(npy("", "", 4)),
            "exit 4: x.npy: has .npy format version 4.0\n  write the file in version 1.0, 2.0 or 3.0");
  EXPECT_EQ(with("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }"),
            "exit 4: x.npy: has dtype '|O'\n  convert it to bool, an integer of 8 to 64 bits or a float");
  EXPECT_EQ(with("{'descr': '=f4', 'fortran_order': False, 'shape': (1,), }"),
            "exit 4: x.npy: has dtype '=f4'\n  convert it to bool, an integer of 8 to 64 bits or a float");
  EXPECT_EQ(with("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,), }"),
            "exit 4: x.npy: holds records (a structured dtype)\n  save each field as its own array");
  EXPECT_EQ(with("{'descr': '<f4', 'fortran_order': False, 'shape': (3, 2), }", "1234"),
            "exit 3: x.npy: its header declares f32 [3,2], 24 bytes, but 4 follow\n  fetch or copy the file again");
  EXPECT_EQ(with("{'descr': '|u1', 'fortran_order': False, 'shape': (1073741824,), }", "1234"),
            "exit 3: x.npy: its header declares u8 [1073741824], 1073741824 bytes, but 4 follow\n  fetch or copy the "
            "file again");
  EXPECT_EQ(with("{'descr': '<f4', 'fortran_order': False, 'shape': (9223372036854775807, 9223372036854775807), }"),
            "exit 6: x.npy: declares the shape [9223372036854775807,9223372036854775807]; the limits are 8 dimensions "
            "and 17179869184 elements\n  store a smaller array");
  EXPECT_EQ(with("{'descr': '<f4', 'fortran_order': False, 'shape': (-1,), }"),
            "exit 3: x.npy: has a malformed .npy header: no dimension at character 51\n  write the file again with "
            "numpy.save");
  EXPECT_EQ(with("{'descr': '<f4', 'fortran_order': 0, 'shape': (), }"),
            "exit 3: x.npy: has a malformed .npy header: neither True nor False at character 34\n  write the file "
            "again with numpy.save");
  EXPECT_EQ(with("{'descr': '<f4', 'descr': '<f4', }"),
            "exit 3: x.npy: has a malformed .npy header: an unexpected key 'descr' at character 25\n  write the file "
            "again with numpy.save");
  EXPECT_EQ(with("{'descr': '<f4', 'fortran_order': False}"),
            "exit 3: x.npy: has a malformed .npy header: no descr, fortran_order or shape at character 40\n  write the "
            "file again with numpy.save");
  const auto small = format_npy(Tensor(DType::u4, {2}), "x.npy");
  ASSERT_FALSE(small);
  EXPECT_EQ(small.error().message(), "x.npy: the .npy format has no dtype for u4\n  convert the array to f32 first");
}

TEST(Npy, EveryPrefixAndEveryChangedByteEndsWell) {
  const std::string file = text_of(*format_npy(Tensor::of<uint8_t>({3, 2}, {1, 2, 3, 4, 5, 6}), "x"));
  for (size_t n = 0; n < file.size(); ++n)
    EXPECT_FALSE(parse_npy(bytes_of(std::string_view(file).substr(0, n)), "x")) << n;
  for (size_t i = 0; i < file.size(); ++i)
    for (int change : {1, 32, 128, 255}) {
      std::string changed = file;
      changed[i] = static_cast<char>(changed[i] ^ change);
      const auto r = parse_npy(bytes_of(changed), "x");
      EXPECT_LE(r ? r->bytes_size() : 0, 6);
    }
}

TEST(Npz, RoundTripsStoredAndDeflated) {
  const TemporaryFolder folder;
  const Tensor a = Tensor::of<int64_t>({2}, {7, -7}), b = Tensor::of<float>({1, 2}, {0.5f, 2});
  for (const bool deflated : {false, true}) {
    write_zip(folder / "t.npz", {{"a.npy", text_of(*format_npy(a, "a"))}, {"b.npy", text_of(*format_npy(b, "b"))}},
              deflated);
    const auto all = read_npz(folder / "t.npz");
    ASSERT_TRUE(all) << all.error().message();
    EXPECT_EQ(all->size(), 2u);
    EXPECT_EQ(all->at("a"), a);
    EXPECT_EQ(all->at("b"), b);
    EXPECT_EQ(*read_npz_array(folder / "t.npz", "b"), b);
  }
  EXPECT_EQ(error_text(read_npz_array(folder / "t.npz", "c"), folder),
            "exit 3: DIR/t.npz: has no array \"c\"\n  its arrays are a, b");
}

TEST(Npz, RefusesWithWholeMessages) {
  const TemporaryFolder folder;
  EXPECT_EQ(error_text(read_npz(folder / "none.npz"), folder), "exit 3: DIR/none.npz: no such file\n  check the path");
  folder.write("text.npz", "this is no archive at all");
  EXPECT_EQ(
      error_text(read_npz(folder / "text.npz"), folder),
      "exit 3: DIR/text.npz: is not a complete .npz file (Not a zip archive)\n  write the file again with numpy.savez");
  write_zip(folder / "odd.npz", {{"readme.txt", "hello"}}, false);
  EXPECT_EQ(error_text(read_npz(folder / "odd.npz"), folder),
            "exit 3: DIR/odd.npz: its member \"readme.txt\" is no .npy file\n  write the file again with numpy.savez");
  write_zip(folder / "bad.npz", {{"a.npy", "\x93NUMPY"}}, false);
  EXPECT_EQ(error_text(read_npz(folder / "bad.npz"), folder),
            "exit 3: DIR/bad.npz: array \"a\": ends at byte 6 within its .npy header\n  fetch or copy the file again");
}

TEST(Npz, RefusesABomb) {
  const TemporaryFolder folder;
  write_zip(folder / "bomb.npz", {{"a.npy", std::string(size_t{80} << 20, '\0')}}, true);
  const std::string error = error_text(read_npz(folder / "bomb.npz"), folder);
  EXPECT_TRUE(error.starts_with("exit 6: DIR/bomb.npz: array \"a\": inflates from ")) << error;
  EXPECT_TRUE(
      error.ends_with(" to 83886080 bytes; the limits are 17179869184 bytes and, beyond 67108864, a ratio of 100\n"
                      "  store the array without compression (numpy.savez)"))
      << error;
}

TEST(Npz, EveryPrefixAndEveryChangedByteEndsWell) {
  const TemporaryFolder folder;
  const Tensor a = Tensor::of<uint8_t>({3}, {1, 2, 3});
  for (const bool deflated : {false, true}) {
    write_zip(folder / "t.npz", {{"a.npy", text_of(*format_npy(a, "a"))}}, deflated);
    const std::string file = text_of(*read_file(folder / "t.npz"));
    for (size_t n = 0; n < file.size(); ++n) {
      folder.write("p.npz", std::string_view(file).substr(0, n));
      EXPECT_FALSE(read_npz(folder / "p.npz")) << n;
    }
    for (size_t i = 0; i < file.size(); ++i) {
      std::string changed = file;
      changed[i] = static_cast<char>(changed[i] ^ 0x55);
      folder.write("p.npz", changed);
      // Only names, dates and attributes may change without notice, never the content.
      for (const auto& [name, t] : read_npz(folder / "p.npz").value_or(std::map<std::string, Tensor>()))
        EXPECT_EQ(t, a) << i;
    }
  }
}

}  // namespace
}  // namespace cupel
