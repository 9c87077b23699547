// Programs to Images: tables, exported functions, constants, a run through the C interface.
#include "runtime/image.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>

#include "base/same_bytes.h"
#include "cupel/cupel.h"
#include "emit/image_builder.h"
#include "emit/loaded_library.h"
#include "lower/builder.h"

namespace cupel {
namespace {

WorkerPool& pool() {
  static WorkerPool one({.program = CUPEL_EMIT_PROGRAM});
  return one;
}

// y = x · c over rows of n elements, c = 0, 1, 2, …, by way of a buffer in the arena.
Program scaling(const std::string& model, int64_t n = 40) {
  Program program;
  program.model = model;
  const TensorType type = {DType::f32, {Dim(1, "batch"), Dim(n)}, std::nullopt};
  program.inputs = {{"x", type, true}};
  program.outputs = {{"y", type, true}};
  program.buffers = {{"x", BufferPlace::input, n * 4, 0, 0},
                     {"t", BufferPlace::arena, n * 4, 0, 64},
                     {"y", BufferPlace::output, n * 4, 0, 0},
                     {"c", BufferPlace::constant, n * 4, 0, 64}};
  program.constants.resize(64 + n * 4);
  for (int64_t i = 0; i < n; ++i) {
    const auto value = static_cast<float>(i);
    std::memcpy(program.constants.data() + 64 + i * 4, &value, 4);
  }
  program.arena_bytes = (64 + n * 4 + 64 + 63) / 64 * 64;
  const Access moving = {.dtype = DType::f32, .item_stride = n * 4, .strides = {4}};
  const Access fixed = {.dtype = DType::f32, .constant = true, .strides = {4}};
  ExprBuilder product, copy;
  Step first, second;
  first.kernel = {MapSpec{{n},
                          {moving, fixed},
                          product.finish(product.operand(0, DType::f32) * product.operand(1, DType::f32)),
                          moving},
                  MapSchedule{}};
  first.name = kernel_name(first.kernel);
  first.buffers = {1, 0, 3};
  first.origins = {"a", "b"};
  first.result = ValueLayout{1, DType::f32, {n}, 0, {4}};
  first.value_name = std::string(1, 't');
  first.type = type;
  second.kernel = {MapSpec{{n}, {moving}, copy.finish(copy.operand(0, DType::f32)), moving}, MapSchedule{}};
  second.name = kernel_name(second.kernel);
  second.buffers = {2, 1};
  program.steps = {first, second};
  return program;
}

TEST(Image, RunsThroughItsExportedFunctions) {
  EXPECT_EQ(image_prefix("res-net 18"), "cupel_res_net_18");
  const auto built = build_image(scaling("res-net 18"), *find_emit_target("host"), pool(), {.cache_folder = {}});
  ASSERT_TRUE(built) << built.error().message();
  const LoadedLibrary library(*built);
  const auto image = library.find<const CupelImage*>("cupel_res_net_18_image");
  const auto metadata = library.find<const CupelModel* (*)()>("cupel_res_net_18_metadata")();
  EXPECT_EQ(image->version, kCupelImageVersion);
  EXPECT_STREQ(image->model, "res-net 18");
  EXPECT_EQ(static_cast<const void*>(metadata), static_cast<const void*>(image));
  EXPECT_EQ(image->input_count, 1);
  EXPECT_STREQ(image->inputs[0].name, "x");
  EXPECT_EQ(image->inputs[0].rank, 2);
  EXPECT_EQ(image->inputs[0].dims[0], -1);
  EXPECT_EQ(image->inputs[0].dims[1], 40);
  EXPECT_EQ(image->inputs[0].item_bytes, 160);
  EXPECT_EQ(image->step_count, 2);
  EXPECT_STREQ(image->steps[0].origins, "a\nb");
  EXPECT_STREQ(image->steps[0].result.value_name, "t");
  EXPECT_EQ(image->steps[0].result.item_stride, 160);
  EXPECT_EQ(image->steps[0].result.scale, 0);
  EXPECT_EQ(image->steps[0].effort, 40 * (16 + 4 * 3));
  EXPECT_EQ(image->steps[0].multiply_adds, 0);
  EXPECT_EQ(image->steps[0].item_bytes, 2 * 160);
  EXPECT_EQ(image->steps[0].constant_bytes, 160);
  EXPECT_EQ(image->steps[1].result.value_name, nullptr);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(image->constants) % 64, 0u);
  EXPECT_EQ(image->constants_bytes, 160);

  CupelSession* session = nullptr;
  ASSERT_EQ(library.find<int (*)(int, CupelSession**)>("cupel_res_net_18_create")(2, &session), kCupelOk)
      << library.find<const char* (*)()>("cupel_res_net_18_error")();
  std::vector<float> x(120), y(120);
  for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i) * 0.5f;
  const void* inputs[] = {x.data()};
  void* outputs[] = {y.data()};
  const auto run =
      library.find<int (*)(CupelSession*, int64_t, const void* const*, void* const*)>("cupel_res_net_18_run");
  ASSERT_EQ(run(session, 3, inputs, outputs), kCupelOk);
  for (size_t i = 0; i < x.size(); ++i) EXPECT_TRUE(same_bytes(y[i], x[i] * static_cast<float>(i % 40)));
  library.find<void (*)(CupelSession*)>("cupel_res_net_18_free")(session);
}

TEST(Image, ShowsItsOwnNamesOnly) {
  const auto built = build_image(scaling("one"), *find_emit_target("host"), pool(), {.cache_folder = {}});
  ASSERT_TRUE(built) << built.error().message();
  const LoadedLibrary library(*built);
  EXPECT_EQ(library.find<void*>("cupel_session_create"), nullptr);
  EXPECT_EQ(library.find<void*>(std::string(kConstantsSymbol)), nullptr);
  EXPECT_EQ(library.find<void*>(kernel_symbol(scaling("one").steps[0].kernel)), nullptr);
  // Needs libc.so.6 alone.
  const std::string text(reinterpret_cast<const char*>(built->data()), built->size());
  EXPECT_NE(text.find("libc.so.6"), std::string::npos);
  EXPECT_EQ(text.find("libstdc++"), std::string::npos);
}

TEST(Image, IsTheSameEveryTime) {
  const auto first = build_image(scaling("one"), *find_emit_target("x86-64-v3"), pool(), {.cache_folder = {}});
  const auto second = build_image(scaling("one"), *find_emit_target("x86-64-v3"), pool(), {.cache_folder = {}});
  ASSERT_TRUE(first && second);
  EXPECT_EQ(*first, *second);
}

TEST(Image, HoldsSeveralSizesWithEqualConstantsOnce) {
  const EmitTarget target = *find_emit_target("host");
  const Program wide = scaling("one"), narrow = scaling("one", 20);
  ImageBuilder builder(target);
  ASSERT_TRUE(builder.add(wide, "w=40"));
  const auto again = builder.add(wide, "w=41");
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().message(),
            "sizes w=41: no input tells them from w=40: its dimensions are the same\n  leave one of them away");
  Program renamed = narrow;
  renamed.inputs[0].name = "z";
  const auto other = builder.add(renamed, "w=20");
  ASSERT_FALSE(other);
  EXPECT_EQ(other.error().kind, ErrorKind::unsupported);
  ASSERT_TRUE(builder.add(narrow, "w=20"));
  const auto built = builder.build(pool(), {.cache_folder = {}});
  ASSERT_TRUE(built) << built.error().message();
  const LoadedLibrary library(*built);
  const auto image = library.find<const CupelImage*>("cupel_one_image");
  ASSERT_NE(image->next, nullptr);
  EXPECT_EQ(image->next->next, nullptr);
  EXPECT_STREQ(image->sizes, "w=40");
  EXPECT_STREQ(image->next->sizes, "w=20");
  EXPECT_EQ(image->next->inputs[0].dims[1], 20);
  EXPECT_EQ(image->constants, image->next->constants);
  EXPECT_EQ(image->constants_bytes, 192 + 80);
  EXPECT_EQ(image->next->constants_bytes, 192 + 80);
  const auto metadata = library.find<const CupelModel* (*)()>("cupel_one_metadata")();
  EXPECT_EQ(static_cast<const void*>(metadata->next), static_cast<const void*>(image->next));
  CupelSession* session = nullptr;
  ASSERT_EQ(library.find<int (*)(int, CupelSession**)>("cupel_one_create")(1, &session), kCupelOk);
  const auto select =
      library.find<int (*)(CupelSession*, const int64_t* const*, int64_t*, const CupelModel**)>("cupel_one_select");
  const int64_t shape[] = {3, 20};
  const int64_t* const dims[] = {shape};
  int64_t batch = 0;
  const CupelModel* sizes = nullptr;
  EXPECT_EQ(select(session, dims, &batch, &sizes), kCupelOk);
  EXPECT_EQ(batch, 3);
  EXPECT_EQ(sizes, metadata->next);
  library.find<void (*)(CupelSession*)>("cupel_one_free")(session);
}

TEST(Image, SharedConstantsStandOnce) {
  SharedConstants constants;
  const auto bytes = [](const char* text) { return std::as_bytes(std::span(text, std::strlen(text))); };
  EXPECT_EQ(constants.add(bytes("weights")), 0);
  EXPECT_EQ(constants.add(bytes("bias")), 64);
  EXPECT_EQ(constants.add(bytes("weights")), 0);
  EXPECT_EQ(constants.add(bytes("weight")), 128);
  EXPECT_EQ(constants.add({}), 192);
  EXPECT_EQ(constants.add({}), 192);
  EXPECT_EQ(constants.add(bytes("bias")), 64);
  EXPECT_EQ(constants.block().size(), 192u);
}

TEST(Image, HoldsSixtyFourSizesAtMost) {
  ImageBuilder builder(*find_emit_target("host"));
  for (int64_t width = 1; width <= 65; ++width) {
    const Status added = builder.add(scaling("one", width), "w");
    EXPECT_EQ(added.has_value(), width <= 64) << width;
    if (width > 64) {
      EXPECT_EQ(added.error().kind, ErrorKind::resource);
    }
  }
}

TEST(Image, TargetsTheMachineLacksAreBuiltAndRefusedByCreate) {
  const EmitTarget target = *find_emit_target("x86-64-v4+avx512vnni+amx-tile");
  if (can_run(host_machine(), target)) GTEST_SKIP() << "this machine has all features of " << target.name;
  const auto built = build_image(scaling("one"), target, pool(), {.cache_folder = {}});
  ASSERT_TRUE(built) << built.error().message();
  const LoadedLibrary library(*built);
  CupelSession* session = nullptr;
  EXPECT_EQ(library.find<int (*)(int, CupelSession**)>("cupel_one_create")(1, &session), kCupelNoFeature);
  EXPECT_EQ(session, nullptr);
  EXPECT_NE(std::string(library.find<const char* (*)()>("cupel_one_error")()).find("amx-tile"), std::string::npos);
}

}  // namespace
}  // namespace cupel
