#include "driver/bench.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>

#include <filesystem>

#include "data/npy.h"

namespace cupel {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using Paths = std::vector<std::filesystem::path>;

Result<BenchResult> bench_of(const Paths& models, BenchOptions options, int threads = 1) {
  ThreadPool pool(threads);
  CompileContext context{pool, {}};
  return bench(models, context, options);
}

BenchOptions short_options() {
  BenchOptions options;
  options.batch = 2;
  options.rounds = 8;
  options.runs = 25;
  return options;
}

BenchResult must(Result<BenchResult> result) {
  if (!result) {
    ADD_FAILURE() << result.error().message();
    std::abort();
  }
  return std::move(*result);
}

TEST(BenchInputs, AreTheSameForEveryCall) {
  const auto model = CompiledModel::load_file(CUPEL_SAMPLE_LIBRARY, 1);
  ASSERT_TRUE(model) << model.error().message();
  const auto first = bench_inputs(model->image(), 5, {}), second = bench_inputs(model->image(), 5, {});
  ASSERT_TRUE(first && second);
  EXPECT_EQ(*first, *second);
  ASSERT_EQ(first->size(), 2u);
  EXPECT_EQ((*first)[0].dims(), (Dims{5, 2, 3}));
  EXPECT_EQ((*first)[1].dims(), (Dims{3}));
  double least = 0, greatest = 0;
  for (int64_t i = 0; i < (*first)[0].size(); ++i) {
    least = std::min(least, (*first)[0].at(i));
    greatest = std::max(greatest, (*first)[0].at(i));
  }
  EXPECT_LT(least, -0.25);
  EXPECT_GT(greatest, 0.25);
  EXPECT_GE(least, -1);
  EXPECT_LE(greatest, 1);
}

// An image with one input of each element type.
TEST(BenchInputs, FitEveryElementType) {
  const int64_t dims[] = {-1, 300};
  std::vector<CupelImagePort> ports;
  for (int32_t dtype : {kCupelF32, kCupelF64, kCupelF16, kCupelBF16, kCupelU8, kCupelS8, kCupelU16, kCupelS16,
                        kCupelU32, kCupelS32, kCupelU64, kCupelS64, kCupelBoolean})
    ports.push_back({"x", dtype, 2, dims, 0});
  CupelImage image = {};
  image.inputs = ports.data();
  image.input_count = static_cast<int32_t>(ports.size());
  const auto inputs = bench_inputs(image, 2, {});
  ASSERT_TRUE(inputs) << inputs.error().message();
  for (const Tensor& t : *inputs) {
    std::set<double> values;
    for (int64_t i = 0; i < t.size(); ++i) values.insert(t.at(i));
    const bool real = t.dtype() <= DType::bf16, code = dtype_bits(t.dtype()) == 8 && t.dtype() != DType::boolean;
    const bool index = t.dtype() == DType::s32 || t.dtype() == DType::s64;
    const double low = real ? -1 : t.dtype() == DType::s8 ? -128 : 0, high = real ? 1 : !code ? 1 : low + 255;
    EXPECT_GE(*values.begin(), low) << dtype_name(t.dtype());
    EXPECT_LE(*values.rbegin(), high) << dtype_name(t.dtype());
    if (real || code)
      EXPECT_GT(values.size(), 100u) << dtype_name(t.dtype());
    else
      EXPECT_EQ(values, (index ? std::set<double>{0} : std::set<double>{0, 1})) << dtype_name(t.dtype());
  }
}

TEST(BenchInputs, ComeFromFiles) {
  const auto model = CompiledModel::load_file(CUPEL_SAMPLE_LIBRARY, 1);
  ASSERT_TRUE(model);
  const std::filesystem::path file = std::filesystem::path(testing::TempDir()) / "cupel_bench_x.npy";
  Tensor rows(DType::f32, {4, 2, 3});
  for (int64_t i = 0; i < rows.size(); ++i) rows.mutable_data<float>()[static_cast<size_t>(i)] = static_cast<float>(i);
  ASSERT_TRUE(write_npy(file, rows));
  const auto inputs = bench_inputs(model->image(), 3, {{"x", file}});
  ASSERT_TRUE(inputs) << inputs.error().message();
  EXPECT_EQ((*inputs)[0], rows.rows(0, 3));
  const auto short_of = bench_inputs(model->image(), 5, {{"x", file}});
  ASSERT_FALSE(short_of);
  EXPECT_EQ(short_of.error().message(), file.string() +
                                            ": holds 4 rows, the batch is 5\n"
                                            "  give a row for each item of the batch, or a smaller --batch");
}

TEST(Bench, MeasuresOneModel) {
  const BenchResult result = must(bench_of({CUPEL_SAMPLE_LIBRARY}, short_options()));
  ASSERT_EQ(result.models.size(), 1u);
  const BenchModel& m = result.models[0];
  EXPECT_EQ(m.name, "libsample_image");
  EXPECT_TRUE(m.artifact);
  EXPECT_EQ(m.target, "x86-64");
  EXPECT_EQ(m.batch, 2);
  EXPECT_EQ(m.latency.runs, 8 * 25);
  EXPECT_EQ(m.round_medians.size(), 8u);
  EXPECT_EQ(m.arena_bytes, 2 * 448);
  EXPECT_EQ(m.file_bytes, static_cast<int64_t>(std::filesystem::file_size(CUPEL_SAMPLE_LIBRARY)));
  EXPECT_GE(m.warm_up_runs, 4);
  EXPECT_GT(m.latency.median.value, 0);
  EXPECT_LE(m.latency.median.interval.lower, m.latency.median.value);
  EXPECT_LE(m.latency.median.value, m.latency.p99.value);
  EXPECT_NEAR(m.items_per_second, 2e6 / m.latency.mean, 1e-6 * m.items_per_second);
  EXPECT_TRUE(m.waited_share.has_value());
  EXPECT_TRUE(m.kernels.empty());
  EXPECT_TRUE(result.comparisons.empty());
  EXPECT_EQ(result.rounds, 8);
  EXPECT_FALSE(result.interrupted);
  EXPECT_TRUE(result.peaks_after.has_value());
  EXPECT_THAT(result.placement, HasSubstr("1 thread, bound to logical CPU "));
  EXPECT_GT(result.int8_gops().value_or(0), 0);
}

TEST(Bench, GivesTheThreadItsCpusBack) {
  cpu_set_t before, after;
  ASSERT_EQ(sched_getaffinity(0, sizeof before, &before), 0);
  must(bench_of({CUPEL_SAMPLE_LIBRARY}, short_options()));
  ASSERT_EQ(sched_getaffinity(0, sizeof after, &after), 0);
  EXPECT_TRUE(CPU_EQUAL(&before, &after));
}

TEST(Bench, ComparesModelsRoundByRound) {
  BenchOptions options = short_options();
  options.clock = BenchClock::cpu;
  options.per_kernel = true;
  const BenchResult result =
      must(bench_of({CUPEL_SAMPLE_LIBRARY, CUPEL_TRIPLED_LIBRARY, CUPEL_SAMPLE_LIBRARY}, options));
  ASSERT_EQ(result.models.size(), 3u);
  EXPECT_EQ(result.models[1].name, "libtripled_image");
  EXPECT_EQ(result.models[2].name, "libsample_image (2)");
  ASSERT_EQ(result.comparisons.size(), 2u);
  for (const BenchModel& m : result.models) {
    ASSERT_EQ(m.kernels.size(), 4u);
    EXPECT_GT(m.kernels_sum_us, 0);
    EXPECT_LT(m.kernels_sum_us, 20 * m.latency.median.value);
  }
  for (const SpeedComparison& c : result.comparisons) {
    EXPECT_EQ(c.rounds, 8);
    EXPECT_GE(c.coverage, 0.95);
    EXPECT_GT(c.ratio, 0.05);
    EXPECT_LT(c.ratio, 20);
    EXPECT_LE(c.interval.lower, c.ratio);
    EXPECT_LE(c.ratio, c.interval.upper);
  }
  const std::string text = bench_text(result);
  EXPECT_THAT(text, HasSubstr("libtripled_image takes "));
  EXPECT_THAT(text, HasSubstr(" of the time of libsample_image, 8 rounds: "));
}

TEST(Bench, TakesRoundsThatFitTheTime) {
  BenchOptions options;
  options.duration_s = 0.4;
  const BenchResult two = must(bench_of({CUPEL_SAMPLE_LIBRARY, CUPEL_TRIPLED_LIBRARY}, options));
  EXPECT_EQ(two.rounds, 40);
  const BenchResult three =
      must(bench_of({CUPEL_SAMPLE_LIBRARY, CUPEL_TRIPLED_LIBRARY, CUPEL_SAMPLE_LIBRARY}, options));
  EXPECT_EQ(three.rounds, 42);  // seven cycles of six
  for (const BenchModel& m : three.models) EXPECT_GE(m.latency.runs, m.latency.median.value > 100 ? 42 : 420);
}

TEST(Bench, ListsKernels) {
  BenchOptions options = short_options();
  options.per_kernel = true;
  const BenchResult result = must(bench_of({CUPEL_SAMPLE_LIBRARY}, options, 2));
  const BenchModel& m = result.models[0];
  ASSERT_EQ(m.kernels.size(), 4u);
  EXPECT_GE(m.kernel_runs, 20);
  EXPECT_EQ(m.kernels[2].name, "map_f32_2");
  EXPECT_THAT(m.kernels[2].origins, ElementsAre("Add_2", "Add_3"));
  // Two items of 6 floats read and written, a bias once for an item, the weights once.
  EXPECT_EQ(m.kernels[2].bytes, 2 * (6 * 8 + 12) + 12);
  double share = 0;
  for (const BenchKernel& k : m.kernels) {
    share += k.share;
    EXPECT_GE(k.median_us, 0);
    EXPECT_FALSE(k.gops.has_value());
    EXPECT_FALSE(k.peak_share.has_value());
  }
  EXPECT_NEAR(share, 1, 1e-9);
  EXPECT_EQ(m.forms.size(), 4u);
  EXPECT_GE(m.forms[0].sum_us, m.forms[3].sum_us);
  EXPECT_EQ(result.placement, "2 threads, placed by the system");
  EXPECT_FALSE(m.waited_share.has_value());
  const auto json = bench_json(result);
  EXPECT_EQ(json["models"][0]["kernels"][2]["origins"], (std::vector<std::string>{"Add_2", "Add_3"}));
  EXPECT_TRUE(json["models"][0]["kernels"][2]["gops"].is_null());
  EXPECT_EQ(json["models"][0]["latency_median_us"], m.latency.median.value);
  EXPECT_EQ(json["models"][0]["latency_p99_interval_us"]["upper"], m.latency.p99.interval.upper);
  EXPECT_TRUE(json["models"][0]["waited_share"].is_null());
  EXPECT_THAT(bench_text(result), HasSubstr("Add_2 + Add_3"));
}

TEST(Bench, RefusesWhatItCannotCompare) {
  const auto batches = bench_of({CUPEL_SAMPLE_LIBRARY, CUPEL_FIXED_LIBRARY}, short_options());
  ASSERT_FALSE(batches);
  EXPECT_EQ(batches.error().kind, ErrorKind::usage);
  EXPECT_EQ(batches.error().message(), std::string(CUPEL_FIXED_LIBRARY) +
                                           ": its batch is 3, that of libsample_image is 2\n"
                                           "  give --batch for models that leave it open, or measure them one by one");
  BenchOptions options = short_options();
  options.batch = 3;
  EXPECT_TRUE(bench_of({CUPEL_SAMPLE_LIBRARY, CUPEL_FIXED_LIBRARY}, options));
  options.inputs = {{"nothing", "x.npy"}};
  const auto input = bench_of({CUPEL_SAMPLE_LIBRARY}, options);
  ASSERT_FALSE(input);
  EXPECT_EQ(input.error().kind, ErrorKind::usage);
  EXPECT_EQ(input.error().message(), "--input: no model has an input nothing\n  its inputs: bias, x");
  EXPECT_EQ(bench_of({CUPEL_LACKING_LIBRARY}, short_options()).error().kind, ErrorKind::unsupported);
  EXPECT_EQ(bench_of({CUPEL_FUTURE_LIBRARY}, short_options()).error().kind, ErrorKind::bad_input);
  EXPECT_EQ(bench_of({"no such file"}, short_options()).error().kind, ErrorKind::bad_input);
  options = short_options();
  options.clock = BenchClock::cpu;
  EXPECT_EQ(bench_of({CUPEL_SAMPLE_LIBRARY}, options, 2).error().message(),
            "--clock: cpu is the time of one thread, and there are 2\n  add --threads 1, or use --clock wall");
}

// In processes of their own: a request to stop stays.
TEST(BenchDeathTest, AnInterruptKeepsCompleteRounds) {
  const auto stopped_after = [](int64_t rounds) {
    BenchOptions options = short_options();
    options.progress = [=](std::string_view, int64_t done, int64_t) {
      if (done == rounds) request_stop();
    };
    if (rounds == 0) request_stop();
    const auto result = bench_of({CUPEL_SAMPLE_LIBRARY, CUPEL_TRIPLED_LIBRARY}, options);
    if (rounds == 0) return !result && result.error().kind == ErrorKind::resource;
    return result && result->interrupted && result->rounds == rounds && !result->peaks_after &&
           result->models[1].latency.runs == rounds * 25 && result->comparisons[0].rounds == rounds &&
           result->warnings[0] == "interrupted: 7 of 8 rounds are complete and counted";
  };
  EXPECT_EXIT(std::exit(stopped_after(7) ? 7 : 1), testing::ExitedWithCode(7), "");
  EXPECT_EXIT(std::exit(stopped_after(0) ? 7 : 1), testing::ExitedWithCode(7), "");
}

}  // namespace
}  // namespace cupel
