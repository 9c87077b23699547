// Promises about generated code, one each: what must and must not be in a kernel's disassembly.
#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include "emit/run_kernel.h"

namespace cupel {
namespace {

// The disassembly of a kernel; empty when there is no disassembler.
std::string disassemble(const Kernel& kernel, const std::string& target) {
  const std::vector<const Kernel*> kernels = {&kernel};
  const auto objects = build_objects(kernels, *find_emit_target(target), test_pool(), {.cache_folder = {}});
  if (!objects) {
    ADD_FAILURE() << objects.error().message();
    return {};
  }
  std::string folder = (std::filesystem::temp_directory_path() / "cupel-object-XXXXXX").string();
  if (mkdtemp(folder.data()) == nullptr) return {};
  const std::string path = folder + "/kernel.o";
  EXPECT_TRUE(write_file(path, (*objects)[0]));
  std::string text;
  if (FILE* pipe = popen(fmt::format("llvm-objdump-19 -d --no-show-raw-insn {} 2>/dev/null", path).c_str(), "r")) {
    char block[4096];
    for (size_t n = 0; (n = std::fread(block, 1, sizeof block, pipe)) > 0;) text.append(block, n);
    pclose(pipe);
  }
  std::filesystem::remove_all(folder);
  return text;
}

size_t count_of(const std::string& text, const std::string& word) {
  size_t count = 0;
  for (size_t at = text.find(word); at != std::string::npos; at = text.find(word, at + 1)) ++count;
  return count;
}
// Instructions that move a vector register to or from the stack.
size_t vector_stack_accesses(const std::string& text) {
  size_t count = 0, start = 0;
  while (start < text.size()) {
    const size_t end = std::min(text.find('\n', start), text.size());
    const std::string line = text.substr(start, end - start);
    if ((line.find("(%rsp") != std::string::npos || line.find("(%rbp") != std::string::npos) &&
        line.find("mm") != std::string::npos)
      ++count;
    start = end + 1;
  }
  return count;
}

Kernel contract(DType a, DType b, ContractSchedule schedule) {
  ContractSpec s;
  const int64_t size = a == DType::f32 ? 4 : 1;
  s.space = {14, 14, 256};
  s.a = {.dtype = a, .strides = {14 * 256 * size, 256 * size, 0}};
  s.run = 256;
  s.b = {.dtype = b, .constant = true, .strides = {0, 0, 0}};
  s.b_block_stride = 256 * 16 * dtype_bits(b) / 8;
  const DType sums = a == DType::f32 ? DType::f32 : DType::s32;
  s.start = {.dtype = sums, .constant = true, .strides = {0, 0, 4}};
  ExprBuilder e;
  if (a == DType::f32) {
    s.epilogue = e.finish(relu(e.accumulator(0, ScalarType::f32)));
    s.out = {.dtype = DType::f32, .strides = {14 * 1024, 1024, 4}};
  } else {
    s.operands = {{.dtype = DType::f32, .constant = true, .strides = {0, 0, 4}}};
    s.epilogue = e.finish(to_code(to_f32(e.accumulator(0, ScalarType::s32)) * e.operand(0, DType::f32), DType::u8, 0));
    s.out = {.dtype = DType::u8, .strides = {14 * 256, 256, 1}};
  }
  return {s, schedule};
}

class CodeGeneration : public testing::Test {
 protected:
  void SetUp() override {
    if (std::system("llvm-objdump-19 --version > /dev/null 2>&1") != 0)
      GTEST_SKIP() << "llvm-objdump-19 is not installed";
  }
};

TEST_F(CodeGeneration, ByteContractionsUseTheDotProductOfTheTarget) {
  EXPECT_NE(disassemble(contract(DType::u8, DType::s8, {1, 7, 2, 4}), "x86-64-v4+avx512vnni").find("vpdpbusd"),
            std::string::npos);
  const std::string ymm = disassemble(contract(DType::u8, DType::s8, {1, 4, 1, 4}), "x86-64-v3+avxvnni");
  EXPECT_NE(ymm.find("vpdpbusd"), std::string::npos);
  EXPECT_NE(ymm.find("{vex}"), std::string::npos);
  EXPECT_EQ(ymm.find("zmm"), std::string::npos);
  for (const char* target : {"x86-64-v3", "x86-64-v4"}) {
    const std::string words = disassemble(contract(DType::u8, DType::s16, {1, 4, 1, 4}), target);
    EXPECT_NE(words.find("vpmaddwd"), std::string::npos);
    EXPECT_EQ(words.find("vpmaddubsw"), std::string::npos);
  }
}

TEST_F(CodeGeneration, TilesThatFitTheRegistersStayInThem) {
  for (const ContractSchedule& tile : {ContractSchedule{1, 7, 2, 4}, ContractSchedule{1, 14, 2, 4},
                                       ContractSchedule{2, 7, 2, 4}, ContractSchedule{1, 6, 4, 4}}) {
    const std::string text = disassemble(contract(DType::u8, DType::s8, tile), "x86-64-v4+avx512vnni");
    EXPECT_EQ(vector_stack_accesses(text), 0u) << tile.tile_h << "x" << tile.tile_w << "x" << tile.tile_blocks;
  }
  EXPECT_EQ(vector_stack_accesses(disassemble(contract(DType::u8, DType::s8, {1, 4, 1, 4}), "x86-64-v3+avxvnni")), 0u);
  EXPECT_EQ(vector_stack_accesses(disassemble(contract(DType::f32, DType::f32, {1, 6, 4, 4}), "x86-64-v4")), 0u);
}

TEST_F(CodeGeneration, RequantizationPacksWithoutALowerClamp) {
  const std::string text = disassemble(contract(DType::u8, DType::s8, {1, 7, 4, 4}), "x86-64-v4+avx512vnni");
  EXPECT_EQ(count_of(text, "vpackuswb"), 7u);
  EXPECT_EQ(count_of(text, "vminps"), 28u);
  EXPECT_EQ(count_of(text, "vmaxps"), 0u);
  EXPECT_EQ(count_of(text, "vpmovdb"), 0u);
}

TEST_F(CodeGeneration, ProductsAndSumsAreFusedWhereWrittenAndOnlyThere) {
  const std::string chain = disassemble(contract(DType::f32, DType::f32, {1, 4, 1, 4}), "x86-64-v3");
  EXPECT_NE(chain.find("vfmadd"), std::string::npos);
  EXPECT_EQ(chain.find("vmulps"), std::string::npos);
  ExprBuilder e;
  const Access access = {.dtype = DType::f32, .strides = {4}};
  const Kernel map = {MapSpec{{1000},
                              {access, access},
                              e.finish(e.operand(0, DType::f32) * e.operand(1, DType::f32) + e.operand(0, DType::f32)),
                              access},
                      MapSchedule{}};
  for (const char* target : {"x86-64-v3", "x86-64-v4"}) {
    const std::string text = disassemble(map, target);
    EXPECT_EQ(text.find("vfmadd"), std::string::npos);
    EXPECT_NE(text.find("vmulps"), std::string::npos);
    EXPECT_NE(text.find("vaddps"), std::string::npos);
  }
}

TEST_F(CodeGeneration, DepthwiseConvolutionsShareTheirColumns) {
  WindowSpec s;
  s.space = {14, 12, 64};
  s.a = {.dtype = DType::u8, .strides = {14 * 64, 64, 1}};
  s.weights = {.dtype = DType::s8, .constant = true, .strides = {0, 0, 1}};
  s.start = {.dtype = DType::s32, .constant = true, .strides = {0, 0, 4}};
  s.weights_tap_stride = 64;
  s.loops = {{3, 14 * 64}, {3, 64}};
  s.operands = {{.dtype = DType::f32, .constant = true, .strides = {0, 0, 4}}};
  ExprBuilder e;
  s.epilogue = e.finish(to_code(to_f32(e.accumulator(0, ScalarType::s32)) * e.operand(0, DType::f32), DType::u8, 0));
  s.out = {.dtype = DType::u8, .strides = {12 * 64, 64, 1}};
  const auto unpacked = [](const std::string& text) {
    return count_of(text, "vpunpcklwd") + count_of(text, "vpunpckhwd");
  };
  std::string text = disassemble({s, WindowSchedule{.tile_w = 4, .tile_blocks = 4}}, "x86-64-v4+avx512vnni");
  EXPECT_EQ(count_of(text, "vpdpbusd"), 4u * 3 * 4);  // pixels, kernel columns, vectors
  EXPECT_EQ(unpacked(text), 4u * (6 + 3));            // image and weight columns
  EXPECT_EQ(count_of(text, "vpmulld"), 0u);
  // Two rows share four lines of the image.
  text = disassemble({s, WindowSchedule{.tile_h = 2, .tile_w = 2, .tile_blocks = 4}}, "x86-64-v4+avx512vnni");
  EXPECT_EQ(count_of(text, "vpdpbusd"), 2u * 2 * 3 * 4);
  EXPECT_EQ(unpacked(text), 4u * (4 + 2 * 3));
  // Two pixels of 32 channels fill a vector.
  s.space = {14, 12, 32};
  s.a.strides = {14 * 32, 32, 1};
  s.weights_tap_stride = 32;
  s.loops = {{3, 14 * 32}, {3, 32}};
  s.out.strides = {12 * 32, 32, 1};
  text = disassemble({s, WindowSchedule{.tile_w = 2, .tile_blocks = 2}}, "x86-64-v4+avx512vnni");
  EXPECT_EQ(count_of(text, "vpdpbusd"), 2u * 3 * 4);
  EXPECT_EQ(unpacked(text), 4u * (5 + 3));
}

TEST_F(CodeGeneration, TablesOfBytesArePermutations) {
  ExprBuilder e;
  const Access codes = {.dtype = DType::u8, .strides = {1}};
  const Access table = {.dtype = DType::u8, .constant = true, .strides = {0}};
  const Kernel map = {MapSpec{{4096}, {codes, table}, e.finish(e.table(1, e.operand(0, DType::u8))), codes},
                      MapSchedule{}};
  const std::string text = disassemble(map, "x86-64-v4+avx512vnni+avx512vbmi");
  EXPECT_EQ(count_of(text, "vpermi2b") + count_of(text, "vpermt2b"), 2u);
  EXPECT_EQ(text.find("vpack"), std::string::npos);
  EXPECT_EQ(text.find("vpgatherdd"), std::string::npos);
}

}  // namespace
}  // namespace cupel
