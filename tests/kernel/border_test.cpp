// Which taps of a window read a border, against a look at every one.
#include <gtest/gtest.h>

#include "kernel/kernel.h"

namespace cupel {
namespace {

TEST(Border, TapsInsideAreThoseThatReadALine) {
  for (int64_t taps = 1; taps <= 5; ++taps)
    for (int64_t stride = 1; stride <= 3; ++stride)
      for (int64_t dilation = 1; dilation <= 3; ++dilation)
        for (int64_t before = 0; before <= 6; ++before)
          for (int64_t lines = 1; lines <= 5; ++lines)
            for (int64_t from = 0; from < 6; ++from)
              for (int64_t to = from; to < from + 3; ++to) {
                const Border border{taps, stride, dilation, before, lines};
                const TapRange found = taps_inside(border, from, to);
                ASSERT_GE(found.first, 0);
                ASSERT_LE(found.limit, taps);
                for (int64_t tap = 0; tap < taps; ++tap) {
                  bool inside = false;
                  for (int64_t p = from; p <= to; ++p) {
                    const int64_t line = p * stride + tap * dilation - before;
                    inside |= line >= 0 && line < lines;
                  }
                  // Taps between two that read a line may read none of this position's, but never the other way round.
                  if (inside) {
                    ASSERT_TRUE(tap >= found.first && tap < found.limit) << tap;
                  } else if (from == to) {
                    ASSERT_FALSE(tap >= found.first && tap < found.limit) << tap;
                  }
                }
              }
}

}  // namespace
}  // namespace cupel
