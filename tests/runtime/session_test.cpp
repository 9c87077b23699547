#include "runtime/session.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <cfenv>
#include <chrono>
#include <climits>
#include <cstring>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "runtime/routines.h"

extern "C" const CupelImage cupel_sample_image;

namespace cupel {
namespace {

using testing::ElementsAre;

struct FreeSession {
  void operator()(CupelSession* session) const { cupel_session_free(session); }
};
using Session = std::unique_ptr<CupelSession, FreeSession>;

Session create(const CupelImage& image, int threads) {
  CupelSession* session = nullptr;
  EXPECT_EQ(cupel_session_create(&image, threads, &session), kCupelOk) << cupel_session_error();
  return Session(session);
}

struct SampleResult {
  std::vector<float> y;
  std::vector<int32_t> total;
  bool operator==(const SampleResult&) const = default;
};

std::vector<float> sample_input(int64_t batch) {
  std::vector<float> x(static_cast<size_t>(batch) * 6);
  for (size_t i = 0; i < x.size(); ++i) x[i] = 0.25f * static_cast<float>(i % 40);
  return x;
}

SampleResult run_sample(CupelSession* session, int64_t batch) {
  const std::vector<float> x = sample_input(batch), bias = {0.5f, 1.5f, 2.5f};
  SampleResult result{std::vector<float>(x.size(), -1.0f), std::vector<int32_t>(static_cast<size_t>(batch), -1)};
  const void* inputs[] = {x.data(), bias.data()};
  void* outputs[] = {result.y.data(), result.total.data()};
  EXPECT_EQ(cupel_session_run(session, batch, inputs, outputs), kCupelOk) << cupel_session_error();
  return result;
}

SampleResult expected_sample(int64_t batch) {
  const std::vector<float> x = sample_input(batch);
  SampleResult result{std::vector<float>(x.size()), std::vector<int32_t>(static_cast<size_t>(batch), 0)};
  for (size_t i = 0; i < x.size(); ++i) {
    const float scaled = x[i] * 2.0f;
    result.y[i] = scaled + (0.5f + static_cast<float>(i % 3)) + 100.0f * static_cast<float>(i % 3 + 1);
    result.total[i / 6] += static_cast<uint8_t>(scaled * 2.0f + 10.0f);
  }
  return result;
}

TEST(Session, RunsEveryBatchOnEveryNumberOfThreads) {
  for (int threads = 1; threads <= 4; ++threads) {
    const Session session = create(cupel_sample_image, threads);
    EXPECT_EQ(cupel_session_arena_bytes(session.get()), 0);
    int64_t largest = 0;
    for (int64_t batch : {1, 3, 2, 7, 1, 100, 5000, 3}) {
      ASSERT_EQ(run_sample(session.get(), batch), expected_sample(batch)) << threads << " threads, batch " << batch;
      largest = std::max(largest, batch);
      EXPECT_EQ(cupel_session_arena_bytes(session.get()), 448 * largest);
    }
  }
}

TEST(Session, ManyAtOnce) {
  std::vector<std::thread> callers;
  std::atomic<int> wrong = 0;
  for (int caller = 0; caller < 4; ++caller)
    callers.emplace_back([caller, &wrong] {
      const Session first = create(cupel_sample_image, 1 + caller % 3), second = create(cupel_sample_image, 2);
      for (int round = 0; round < 100; ++round) {
        const int64_t batch = 1 + (round * 7 + caller) % 9;
        if (!(run_sample(first.get(), batch) == expected_sample(batch))) ++wrong;
        if (!(run_sample(second.get(), batch + 1) == expected_sample(batch + 1))) ++wrong;
      }
    });
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(wrong, 0);
}

TEST(Session, RefusesBadArguments) {
  CupelSession* session = nullptr;
  const auto refuse = [&](const CupelImage* image, int threads, CupelSession** place) {
    session = reinterpret_cast<CupelSession*>(&session);
    return cupel_session_create(image, threads, place);
  };
  EXPECT_EQ(refuse(nullptr, 1, &session), kCupelBadArgument);
  EXPECT_STREQ(cupel_session_error(), "the image is null");
  EXPECT_EQ(session, nullptr);
  EXPECT_EQ(refuse(&cupel_sample_image, 0, &session), kCupelBadArgument);
  EXPECT_STREQ(cupel_session_error(), "0 threads, expected at least 1");
  EXPECT_EQ(session, nullptr);
  EXPECT_EQ(refuse(&cupel_sample_image, 1, nullptr), kCupelBadArgument);
  EXPECT_STREQ(cupel_session_error(), "the place for the session is null");
  cupel_session_free(nullptr);

  const Session good = create(cupel_sample_image, 2);
  float x[6] = {}, bias[3] = {}, y[6];
  int32_t total[1];
  const void* inputs[] = {x, bias};
  void* outputs[] = {y, total};
  const auto run = [&](int64_t batch) { return cupel_session_run(good.get(), batch, inputs, outputs); };
  EXPECT_EQ(cupel_session_run(nullptr, 1, inputs, outputs), kCupelBadArgument);
  EXPECT_STREQ(cupel_session_error(), "the session is null");
  EXPECT_EQ(run(0), kCupelBadArgument);
  EXPECT_STREQ(cupel_session_error(), "the batch is 0, expected at least 1");
  EXPECT_EQ(cupel_session_run(good.get(), 1, nullptr, outputs), kCupelBadArgument);
  EXPECT_EQ(cupel_session_run(good.get(), 1, inputs, nullptr), kCupelBadArgument);
  EXPECT_STREQ(cupel_session_error(), "inputs or outputs are null");
  inputs[1] = nullptr;
  EXPECT_EQ(run(1), kCupelBadArgument);
  EXPECT_STREQ(cupel_session_error(), "input bias is null");
  inputs[1] = bias;
  outputs[0] = nullptr;
  EXPECT_EQ(run(1), kCupelBadArgument);
  EXPECT_STREQ(cupel_session_error(), "output y is null");
  outputs[0] = y;
  EXPECT_EQ(run(1), kCupelOk);
}

TEST(Session, AFixedBatchIsTheOnlyOne) {
  CupelImage image = cupel_sample_image;
  image.fixed_batch = 3;
  const Session session = create(image, 2);
  EXPECT_EQ(run_sample(session.get(), 3), expected_sample(3));
  const void* inputs[] = {&image, &image};
  void* outputs[] = {&image, &image};
  EXPECT_EQ(cupel_session_run(session.get(), 1, inputs, outputs), kCupelBadArgument);
  EXPECT_STREQ(cupel_session_error(), "the batch is 1, the model fixes 3");
}

TEST(Session, ABatchBeyondMemoryLeavesTheSessionUsable) {
  const Session session = create(cupel_sample_image, 2);
  EXPECT_EQ(run_sample(session.get(), 5), expected_sample(5));
  const void* inputs[] = {&inputs, &inputs};
  void* outputs[] = {&outputs, &outputs};
  for (int64_t batch : {INT64_MAX, INT64_MAX / 448, INT64_MAX / 1000}) {
    EXPECT_EQ(cupel_session_run(session.get(), batch, inputs, outputs), kCupelNoMemory);
    EXPECT_EQ(cupel_session_error(), "a batch of " + std::to_string(batch) + " is too large");
  }
  EXPECT_EQ(cupel_session_run(session.get(), int64_t{1} << 40, inputs, outputs), kCupelNoMemory);
  EXPECT_STREQ(cupel_session_error(), "no memory for 492581209243648 bytes, which a batch of 1099511627776 takes");
  EXPECT_EQ(cupel_session_arena_bytes(session.get()), 448 * 5);
  EXPECT_EQ(run_sample(session.get(), 6), expected_sample(6));
}

TEST(Session, ALackingFeatureIsNamed) {
  CupelImage image = cupel_sample_image;
  const char* const features[] = {"sse2", "none-such", "avx1024", nullptr};
  image.features = features;
  CupelSession* session = nullptr;
  EXPECT_EQ(cupel_session_create(&image, 1, &session), kCupelNoFeature);
  EXPECT_EQ(session, nullptr);
  EXPECT_STREQ(cupel_session_error(), "the CPU lacks none-such, avx1024");
  const std::string other_thread = [] {
    std::string text;
    std::thread([&] { text = cupel_session_error(); }).join();
    return text;
  }();
  EXPECT_EQ(other_thread, "");

  const std::string long_name(1000, 'x');
  const char* const long_features[] = {long_name.c_str(), long_name.c_str(), nullptr};
  image.features = long_features;
  EXPECT_EQ(cupel_session_create(&image, 1, &session), kCupelNoFeature);
  EXPECT_LT(std::strlen(cupel_session_error()), 256u);
  image.features = nullptr;
  EXPECT_EQ(run_sample(create(image, 1).get(), 2), expected_sample(2));
}

TEST(Session, ErrorsBelongToTheirThread) {
  std::vector<std::thread> callers;
  std::atomic<int> wrong = 0, waiting = 8;
  for (int caller = 0; caller < 8; ++caller)
    callers.emplace_back([&, caller] {
      CupelSession* session = nullptr;
      for (int round = 0; round < 200; ++round) {
        cupel_session_create(&cupel_sample_image, -caller, &session);
        if (round == 0) --waiting;
        while (waiting > 0) std::this_thread::yield();
        if (cupel_session_error() != std::to_string(-caller) + " threads, expected at least 1") ++wrong;
      }
    });
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(wrong, 0);
}

TEST(Session, RefusesTablesItCannotFollow) {
  CupelSession* session = nullptr;
  const auto error_of = [&](const CupelImage& image) -> std::string {
    EXPECT_EQ(cupel_session_create(&image, 1, &session), kCupelBadImage);
    EXPECT_EQ(session, nullptr);
    return cupel_session_error();
  };
  CupelImage image = cupel_sample_image;
  image.version = 7;
  EXPECT_EQ(error_of(image), "the image has tables of version 7, expected 5");

  const std::string contradiction = "the tables of the image contradict each other";
  const auto with_buffer = [&](CupelImageBuffer buffer) {
    std::vector<CupelImageBuffer> buffers(cupel_sample_image.buffers,
                                          cupel_sample_image.buffers + cupel_sample_image.buffer_count);
    buffers[4] = buffer;
    CupelImage changed = cupel_sample_image;
    changed.buffers = buffers.data();
    return error_of(changed);
  };
  EXPECT_EQ(with_buffer({5, 0, 0}), contradiction);
  EXPECT_EQ(with_buffer({kCupelInput, 2, 0}), contradiction);
  EXPECT_EQ(with_buffer({kCupelInput, -1, 0}), contradiction);
  EXPECT_EQ(with_buffer({kCupelOutput, 2, 0}), contradiction);
  EXPECT_EQ(with_buffer({kCupelArena, 0, 512}), contradiction);
  EXPECT_EQ(with_buffer({kCupelArena, 0, 32}), contradiction);
  EXPECT_EQ(with_buffer({kCupelConstant, 0, -64}), contradiction);
  const auto with_step = [&](auto change) {
    std::vector<CupelImageStep> steps(cupel_sample_image.steps,
                                      cupel_sample_image.steps + cupel_sample_image.step_count);
    change(steps[1]);
    CupelImage changed = cupel_sample_image;
    changed.steps = steps.data();
    return error_of(changed);
  };
  const int32_t beyond[] = {5, 7};
  EXPECT_EQ(with_step([&](CupelImageStep& s) { s.buffers = beyond; }), contradiction);
  EXPECT_EQ(with_step([](CupelImageStep& s) { s.run = nullptr; }), contradiction);
  EXPECT_EQ(with_step([](CupelImageStep& s) { s.units_per_item = -1; }), contradiction);
  EXPECT_EQ(with_step([](CupelImageStep& s) { s.buffer_count = 0; }), contradiction);
  image = cupel_sample_image;
  image.step_count = -1;
  EXPECT_EQ(error_of(image), contradiction);
  image = cupel_sample_image;
  image.sizes = nullptr;
  EXPECT_EQ(error_of(image), contradiction);
}

// The sample with items of other dimensions, all of 6 elements, as further sizes.
struct SampleChain {
  SampleChain() {
    for (int i = 0; i < 3; ++i) {
      dims[i][0] = -1, dims[i][1] = i + 1, dims[i][2] = 6 / (i + 1);
      ports[i][0] = cupel_sample_image.inputs[0];
      ports[i][1] = cupel_sample_image.inputs[1];
      ports[i][0].dims = dims[i];
      images[i] = cupel_sample_image;
      images[i].inputs = ports[i];
      images[i].sizes = names[i];
      images[i].next = i < 2 ? &images[i + 1] : nullptr;
    }
  }
  int64_t dims[3][3];
  CupelPort ports[3][2];
  const char* names[3] = {"h=1", "h=2", "h=3"};
  CupelImage images[3];
};

TEST(Session, SelectsTheSizesOfTheInputs) {
  const SampleChain chain;
  const Session session = create(chain.images[0], 2);
  float x[6] = {};
  const void* inputs[] = {x, x};
  void* outputs[] = {x, x};
  EXPECT_EQ(cupel_session_run(session.get(), 1, inputs, outputs), kCupelBadArgument);
  EXPECT_STREQ(cupel_session_error(), "the model holds several sizes, and none was selected");
  const int64_t bias[] = {3};
  int64_t batch = 0;
  const CupelModel* sizes = nullptr;
  const auto select = [&](int64_t n, int64_t h, int64_t w) {
    const int64_t shape[] = {n, h, w};
    const int64_t* const all[] = {shape, bias};
    return cupel_session_select(session.get(), all, &batch, &sizes);
  };
  for (int64_t h : {2, 1, 3, 2}) {
    ASSERT_EQ(select(4 + h, h, 6 / h), kCupelOk) << cupel_session_error();
    EXPECT_EQ(batch, 4 + h);
    EXPECT_EQ(static_cast<const void*>(sizes), static_cast<const void*>(&chain.images[h - 1]));
    EXPECT_EQ(run_sample(session.get(), batch), expected_sample(batch));
  }
  for (const auto& [n, h, w] : {std::array<int64_t, 3>{1, 2, 2}, {1, 6, 1}, {0, 2, 3}, {-1, 2, 3}, {INT64_MIN, 2, 3}})
    EXPECT_EQ(select(n, h, w), kCupelBadArgument) << n << " " << h << " " << w;
  EXPECT_EQ(select(1, 6, 1), kCupelBadArgument);
  EXPECT_STREQ(cupel_session_error(), "the inputs are x [1,6,1], bias [3], the model holds h=1, h=2, h=3");
  // What was selected before stays.
  EXPECT_EQ(run_sample(session.get(), 3), expected_sample(3));
  EXPECT_EQ(cupel_session_select(nullptr, nullptr, &batch, &sizes), kCupelBadArgument);
  EXPECT_EQ(cupel_session_select(session.get(), nullptr, &batch, &sizes), kCupelBadArgument);
  EXPECT_STREQ(cupel_session_error(), "the dimensions are null");
  const int64_t* const without[] = {nullptr, bias};
  EXPECT_EQ(cupel_session_select(session.get(), without, &batch, &sizes), kCupelBadArgument);
  EXPECT_STREQ(cupel_session_error(), "the dimensions of input x are null");
  const int64_t shape[] = {9, 3, 2};
  const int64_t* const all[] = {shape, bias};
  EXPECT_EQ(cupel_session_select(session.get(), all, nullptr, nullptr), kCupelOk);
  EXPECT_EQ(run_sample(session.get(), 9), expected_sample(9));
}

TEST(Session, TheOnlySizesNeedNoSelect) {
  const Session session = create(cupel_sample_image, 1);
  EXPECT_EQ(run_sample(session.get(), 2), expected_sample(2));
  const int64_t x[] = {7, 2, 3}, wrong[] = {7, 3, 2}, bias[] = {3};
  const int64_t* const good[] = {x, bias};
  const int64_t* const bad[] = {wrong, bias};
  int64_t batch = 0;
  EXPECT_EQ(cupel_session_select(session.get(), good, &batch, nullptr), kCupelOk);
  EXPECT_EQ(batch, 7);
  EXPECT_EQ(cupel_session_select(session.get(), bad, &batch, nullptr), kCupelBadArgument);
  EXPECT_STREQ(cupel_session_error(), "the inputs are x [7,3,2], bias [3], the model holds x [batch,2,3], bias [3]");
}

TEST(Session, RefusesChainsOfDifferentModels) {
  CupelSession* session = nullptr;
  const auto refuse = [&](auto change) {
    SampleChain chain;
    change(chain);
    EXPECT_EQ(cupel_session_create(&chain.images[0], 1, &session), kCupelBadImage);
    EXPECT_EQ(session, nullptr);
  };
  refuse([](SampleChain& c) { c.images[2].next = &c.images[0]; });
  refuse([](SampleChain& c) { c.images[1].version = 4; });
  refuse([](SampleChain& c) { c.images[1].step_count = -1; });
  refuse([](SampleChain& c) { c.images[2].input_count = 1; });
  refuse([](SampleChain& c) { c.images[2].output_count = 1; });
  refuse([](SampleChain& c) { c.ports[2][0].dtype = kCupelS32; });
  refuse([](SampleChain& c) { c.ports[2][0].rank = 2; });
}

// What a tap has seen: names in order, and the stored elements of each.
struct Seen {
  std::vector<std::string> names;
  std::vector<float> scaled;
  std::vector<int> codes;
};

void see(void* context, const CupelImageStep* step, const uint8_t* buffer, int64_t batch) {
  auto& seen = *static_cast<Seen*>(context);
  const CupelImageResult& r = step->result;
  seen.names.emplace_back(r.value_name);
  for (int64_t n = 0; n < batch; ++n)
    for (int64_t h = 0; h < r.dims[0]; ++h)
      for (int64_t w = 0; w < r.dims[1]; ++w) {
        const uint8_t* element = buffer + r.offset + n * r.item_stride + h * r.strides[0] + w * r.strides[1];
        if (seen.names.back() == "scaled") {
          float value;
          std::memcpy(&value, element, sizeof value);
          seen.scaled.push_back(value);
        }
        if (seen.names.back() == "codes") seen.codes.push_back(*element);
      }
}

TEST(Session, TapsSeeResultsInOrder) {
  const Session session = create(cupel_sample_image, 2);
  Seen seen;
  cupel_session_set_tap(session.get(), see, &seen);
  EXPECT_EQ(run_sample(session.get(), 3), expected_sample(3));
  EXPECT_THAT(seen.names, ElementsAre("scaled", "codes", "y"));
  const std::vector<float> x = sample_input(3);
  ASSERT_EQ(seen.scaled.size(), x.size());
  ASSERT_EQ(seen.codes.size(), x.size());
  for (size_t i = 0; i < x.size(); ++i) {
    EXPECT_EQ(seen.scaled[i], x[i] * 2.0f);
    EXPECT_EQ(seen.codes[i], static_cast<int>(x[i] * 4.0f + 10.0f));
  }
  cupel_session_set_tap(session.get(), nullptr, nullptr);
  EXPECT_EQ(run_sample(session.get(), 3), expected_sample(3));
  EXPECT_EQ(seen.names.size(), 3u);
}

TEST(Session, TimersSeeEveryStep) {
  const Session session = create(cupel_sample_image, 2);
  struct Times {
    std::vector<std::string> names;
    bool negative = false;
  } times;
  cupel_session_set_timer(
      session.get(),
      [](void* context, const CupelImageStep* step, int64_t time_ns) {
        auto& t = *static_cast<Times*>(context);
        t.names.emplace_back(step->name);
        t.negative = t.negative || time_ns < 0;
      },
      &times);
  run_sample(session.get(), 2);
  EXPECT_THAT(times.names, ElementsAre("map_f32", "map_u8", "map_f32_2", "row_s32"));
  EXPECT_FALSE(times.negative);
  cupel_session_set_timer(session.get(), nullptr, nullptr);
  run_sample(session.get(), 2);
  EXPECT_EQ(times.names.size(), 4u);
}

// Images of one step without buffers, to see who computes what.
std::mutex trace_mutex;
std::vector<std::pair<int64_t, int64_t>> trace_ranges;
std::set<pthread_t> trace_threads;
std::set<uint32_t> trace_settings;

uint32_t floating_point_setting() {
#if defined(__x86_64__)
  return __builtin_ia32_stmxcsr() & ~0x3fu;  // without the flags of what has happened
#else
  return static_cast<uint32_t>(std::fegetround());
#endif
}

void trace(uint8_t* const*, int64_t begin, int64_t end) {
  const std::lock_guard lock(trace_mutex);
  trace_ranges.emplace_back(begin, end);
  trace_threads.insert(pthread_self());
  trace_settings.insert(floating_point_setting());
}

CupelImage image_of(const CupelImageStep* steps, int32_t count) {
  CupelImage image = {};
  image.version = kCupelImageVersion;
  image.tuned_for = "generic";
  image.sizes = "";
  image.model = "traced";
  image.steps = steps;
  image.step_count = count;
  return image;
}

std::vector<std::pair<int64_t, int64_t>> ranges_of(int threads, int64_t batch, int64_t units, int64_t effort) {
  const CupelImageStep step = {trace, "trace", "", nullptr, 0, units, effort, {}};
  const CupelImage image = image_of(&step, 1);
  const Session session = create(image, threads);
  trace_ranges.clear();
  trace_threads.clear();
  trace_settings.clear();
  EXPECT_EQ(cupel_session_run(session.get(), batch, nullptr, nullptr), kCupelOk) << cupel_session_error();
  EXPECT_LE(trace_threads.size(), trace_ranges.size());
  std::sort(trace_ranges.begin(), trace_ranges.end());
  return trace_ranges;
}

// Finds an index out of range in every unit from 3 on.
void find_faults(uint8_t* const* buffers, int64_t begin, int64_t end) {
  for (int64_t unit = end; unit-- > std::max<int64_t>(begin, 3);)
    note_fault(*reinterpret_cast<CupelFault*>(buffers[0]), kCupelIndexOutside, unit, unit / 2, -7, 5);
}

// The first fault of a step ends the run, whichever thread has noted it; it is gone in the next run.
TEST(Session, AFaultEndsTheRun) {
  const CupelImageBuffer buffer = {kCupelFault, 0, 0};
  const int32_t buffers[] = {0};
  const CupelImageStep steps[] = {{find_faults, "call_gather", "", buffers, 1, 2, int64_t{1} << 20, {}},
                                  {trace, "trace", "", nullptr, 0, 1, 1, {}}};
  CupelImage image = image_of(steps, 2);
  image.buffers = &buffer;
  image.buffer_count = 1;
  for (int threads = 1; threads <= 4; ++threads) {
    const Session session = create(image, threads);
    for (int repetition = 0; repetition < 20; ++repetition) {
      trace_ranges.clear();
      ASSERT_EQ(cupel_session_run(session.get(), 50, nullptr, nullptr), kCupelBadData);
      ASSERT_STREQ(cupel_session_error(), "step call_gather: index -7 in item 1 of the batch is outside [-5, 5)");
      ASSERT_TRUE(trace_ranges.empty());
      ASSERT_EQ(cupel_session_run(session.get(), 1, nullptr, nullptr), kCupelOk);
      ASSERT_EQ(trace_ranges.size(), 1u);
    }
  }
}

TEST(Session, StepsAreSplitByTheirWork) {
  using Ranges = std::vector<std::pair<int64_t, int64_t>>;
  const int64_t work = int64_t{1} << 17;  // of one part
  EXPECT_EQ(ranges_of(2, 1, 10, 2 * work), (Ranges{{0, 5}, {5, 10}}));
  EXPECT_EQ(ranges_of(2, 1, 10, 2 * work - 1), (Ranges{{0, 10}}));
  EXPECT_EQ(ranges_of(4, 1, 10, 2 * work), (Ranges{{0, 5}, {5, 10}}));
  EXPECT_EQ(ranges_of(4, 2, 10, work), (Ranges{{0, 10}, {10, 20}}));
  EXPECT_EQ(ranges_of(4, 1, 3, 2 * work), (Ranges{{0, 1}, {1, 2}, {2, 3}}));
  EXPECT_EQ(ranges_of(4, 3, 7, 100 * work), (Ranges{{0, 5}, {5, 10}, {10, 15}, {15, 21}}));
  EXPECT_EQ(ranges_of(4, 1, 1, 100 * work), (Ranges{{0, 1}}));
  EXPECT_EQ(ranges_of(1, 1, 10, 100 * work), (Ranges{{0, 10}}));
  EXPECT_EQ(ranges_of(2, 2, 10, INT64_MAX), (Ranges{{0, 10}, {10, 20}}));
  EXPECT_EQ(ranges_of(3, 1, 0, 100 * work), (Ranges{}));
}

// Returns only when three parts are at work, which takes three threads.
void trace_three(uint8_t* const* buffers, int64_t begin, int64_t end) {
  trace(buffers, begin, end);
  for (;;) {
    const std::lock_guard lock(trace_mutex);
    if (trace_ranges.size() == 3) return;
  }
}

TEST(Session, KernelsComputeAsNetworksDoWhateverTheCallersSetting) {
#if defined(__x86_64__)
  const uint32_t before = __builtin_ia32_stmxcsr();
  const uint32_t odd = 0x7f80;  // round towards zero, subnormal numbers kept, all traps masked
  const CupelImageStep step = {trace_three, "trace", "", nullptr, 0, 100, INT64_MAX, {}};
  const CupelImage image = image_of(&step, 1);
  trace_ranges.clear();
  trace_settings.clear();
  trace_threads.clear();
  __builtin_ia32_ldmxcsr(odd);
  {
    const Session session = create(image, 3);  // threads inherit the setting of their maker
    EXPECT_EQ(cupel_session_run(session.get(), 1, nullptr, nullptr), kCupelOk);
  }
  const uint32_t after = __builtin_ia32_stmxcsr();
  __builtin_ia32_ldmxcsr(before);
  EXPECT_EQ(after, odd);
  EXPECT_EQ(trace_threads.size(), 3u);
  EXPECT_THAT(trace_settings, ElementsAre(0x9fc0u));  // to nearest even, subnormal operands and results flushed
#else
  GTEST_SKIP() << "no MXCSR";
#endif
}

// Steps see what the step before wrote, also across threads, over many barriers and pauses between runs.
constexpr int64_t kLanes = 64;
int64_t lanes[2][kLanes];
void even(uint8_t* const*, int64_t begin, int64_t end) {
  for (int64_t i = begin; i < end; ++i) lanes[1][i] = lanes[0][(i + 1) % kLanes] + 1;
}
void odd(uint8_t* const*, int64_t begin, int64_t end) {
  for (int64_t i = begin; i < end; ++i) lanes[0][i] = lanes[1][(i + 1) % kLanes] + 1;
}

TEST(Session, EveryStepWaitsForTheOneBefore) {
  std::vector<CupelImageStep> steps;
  for (int i = 0; i < 500; ++i) {
    steps.push_back({even, "even", "", nullptr, 0, kLanes, INT64_MAX, {}});
    steps.push_back({odd, "odd", "", nullptr, 0, kLanes, INT64_MAX, {}});
  }
  const CupelImage image = image_of(steps.data(), static_cast<int32_t>(steps.size()));
  for (int threads : {1, 2, 3, 8}) {
    const Session session = create(image, threads);
    std::memset(lanes, 0, sizeof lanes);
    for (int run = 0; run < 5; ++run) {
      ASSERT_EQ(cupel_session_run(session.get(), 1, nullptr, nullptr), kCupelOk);
      std::this_thread::sleep_for(std::chrono::milliseconds(run));
    }
    for (int64_t i = 0; i < kLanes; ++i) ASSERT_EQ(lanes[0][i], 5000) << threads << " threads, lane " << i;
  }
}

}  // namespace
}  // namespace cupel
