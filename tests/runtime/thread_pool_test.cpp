#include "runtime/thread_pool.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <mutex>
#include <new>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace cupel {
namespace {

TEST(ThreadPool, CoversTheRangeExactlyOnce) {
  for (int threads : {1, 2, 3, 7, 16}) {
    ThreadPool pool(threads);
    ASSERT_EQ(pool.size(), threads);
    for (int64_t count : {0, 1, 2, 3, 5, 15, 16, 17, 100, 1000}) {
      for (int64_t grain : {1, 2, 3, 7, 16, 99, 5000}) {
        std::vector<std::atomic<int>> hits(static_cast<size_t>(count));
        std::mutex mutex;
        std::vector<int64_t> sizes;
        pool.parallel_for(count, grain, [&](int64_t begin, int64_t end) {
          for (int64_t i = begin; i < end; ++i) ++hits[static_cast<size_t>(i)];
          const std::lock_guard lock(mutex);
          sizes.push_back(end - begin);
        });
        for (auto& hit : hits) ASSERT_EQ(hit, 1) << threads << " threads, " << count << " by " << grain;
        ASSERT_LE(sizes.size(), static_cast<size_t>(threads));
        for (int64_t size : sizes) ASSERT_GE(size, std::min(grain, count));
      }
    }
  }
}

TEST(ThreadPool, OddArgumentsDoTheWorkOnce) {
  for (int threads : {-3, 0, 1}) {
    ThreadPool pool(threads);
    EXPECT_EQ(pool.size(), 1);
    int calls = 0;
    pool.parallel_for(5, 0, [&](int64_t begin, int64_t end) { calls += static_cast<int>(end - begin); });
    pool.parallel_for(-5, 1, [&](int64_t, int64_t) { calls += 1000; });
    EXPECT_EQ(calls, 5);
  }
  EXPECT_EQ(ThreadPool(100000).size(), 256);
}

TEST(ThreadPool, TheSplitDependsOnItsArgumentsAlone) {
  ThreadPool pool(3);
  const auto split = [&](int64_t count, int64_t grain) {
    std::mutex mutex;
    std::vector<std::pair<int64_t, int64_t>> parts;
    pool.parallel_for(count, grain, [&](int64_t begin, int64_t end) {
      const std::lock_guard lock(mutex);
      parts.emplace_back(begin, end);
    });
    std::sort(parts.begin(), parts.end());
    return parts;
  };
  const auto first = split(100, 10);
  EXPECT_EQ(first, (std::vector<std::pair<int64_t, int64_t>>{{0, 33}, {33, 66}, {66, 100}}));
  for (int i = 0; i < 200; ++i) ASSERT_EQ(split(100, 10), first);
}

TEST(ThreadPool, LatePartsAreDoneByTheCaller) {
  // More threads than CPUs sleep at once: short calls come and go before all of them wake.
  ThreadPool pool(64);
  for (int call = 0; call < 500; ++call) {
    std::vector<std::atomic<int>> hits(64);
    pool.parallel_for(64, 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) ++hits[static_cast<size_t>(i)];
    });
    for (auto& hit : hits) ASSERT_EQ(hit, 1);
  }
}

TEST(ThreadPool, TwoPoolsNest) {
  ThreadPool outer(2), inner(3);
  std::mutex one_at_a_time;
  std::atomic<int64_t> sum = 0;
  outer.parallel_for(8, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const std::lock_guard lock(one_at_a_time);  // a pool has one caller at a time
      inner.parallel_for(100, 1, [&](int64_t b, int64_t e) {
        for (int64_t j = b; j < e; ++j) sum += i * 100 + j;
      });
    }
  });
  EXPECT_EQ(sum, 800 * 799 / 2);
}

TEST(ThreadPool, ManyShortCallsAndLives) {
  std::atomic<int64_t> sum = 0;
  for (int life = 0; life < 50; ++life) {
    ThreadPool pool(4);
    for (int call = 0; call < 200; ++call)
      pool.parallel_for(4, 1, [&](int64_t begin, int64_t end) { sum += end - begin; });
  }
  EXPECT_EQ(sum, 50 * 200 * 4);
}

TEST(ThreadPool, AnExceptionOfAnyPartIsThrownInTheCaller) {
  for (const int threads : {1, 2, 3, 8}) {
    ThreadPool pool(threads);
    for (int bad = 0; bad <= threads; ++bad) {  // the last round: all of them
      std::atomic<int> begun = 0, running = 0;
      std::atomic<bool> elsewhere = false;
      const auto caller = std::this_thread::get_id();
      const auto call = [&] {
        pool.parallel_for(threads, 1, [&](int64_t begin, int64_t end) {
          ASSERT_EQ(end, begin + 1);
          ++running;
          ++begun;
          // All have begun: no part is left out, and none is taken over by the caller.
          while (begun < threads) std::this_thread::yield();
          if (std::this_thread::get_id() != caller) elsewhere = true;
          --running;
          if (bad == threads) throw std::bad_alloc();
          if (begin == bad) throw std::out_of_range(std::to_string(begin));
        });
      };
      std::string thrown;
      try {
        call();
      } catch (const std::bad_alloc&) {
        thrown = "memory";
      } catch (const std::out_of_range& e) {
        thrown = e.what();
      }
      EXPECT_EQ(thrown, bad == threads ? "memory" : std::to_string(bad));
      EXPECT_EQ(running, 0);
      EXPECT_EQ(begun, threads);
      EXPECT_EQ(elsewhere, threads > 1);
      std::atomic<int64_t> sum = 0;
      pool.parallel_for(100, 1, [&](int64_t begin, int64_t end) { sum += end - begin; });
      EXPECT_EQ(sum, 100);
    }
  }
}

TEST(ThreadPool, NoBodyOutlivesItsData) {
  // The caller's part throws at once, while the others still read what the caller owns.
  ThreadPool pool(4);
  for (int round = 0; round < 50; ++round) {
    std::atomic<int> ended = 0, begun = 0;
    try {
      pool.parallel_for(4, 1, [&](int64_t begin, int64_t) {
        ++begun;
        if (begin == 0) {
          while (begun < 4) std::this_thread::yield();
          throw std::bad_alloc();
        }
        std::this_thread::sleep_for(std::chrono::microseconds(200));
        ++ended;
      });
      ADD_FAILURE() << "nothing was thrown";
    } catch (const std::bad_alloc&) {
      EXPECT_EQ(ended, 3);
    }
  }
}

}  // namespace
}  // namespace cupel
