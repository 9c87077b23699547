// Measures every function of src/base/scalar_math.h on all 2^32 inputs against the double-precision C library, whose
// own error (below 1e-15 relative) is some 10^-8 units in the last place of binary32.
//
// Usage: check_scalar_math [FUNCTION...]   (all of them without arguments)
// Prints one row per function: its bound, the largest error in units in the last place of the true value, the input
// that has it, how many results are not the correctly rounded ones, the largest |error| / max(1, |true value|), and a
// hash of all 2^32 result bit patterns for comparison between machines and compilers.
// Exit status: 0, 1 when a function exceeds its bound, 2 for an unknown function name.
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <limits>
#include <string_view>
#include <thread>
#include <vector>

#include "base/more_scalar_math.h"
#include "runtime/floating_point.h"
#include "tests/ops/elementary_truths.h"

namespace {

using namespace cupel::truths;

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kTwoOverSqrtPi = 1.1283791670955125739;
constexpr double kSqrtHalf = 0.70710678118654752440;
constexpr double kInverseSqrtTwoPi = 0.39894228040143267794;
constexpr double kSqrtTwoOverPi = 0.79788456080286535588;
constexpr double kLn2 = 0.69314718055994530942;
constexpr double kNoBound = kInfinity;

// The true values. Inputs where the answer is known without the C library (tiny ones by the first terms of the series,
// large ones by saturation, both to better than 2^-50) take a short cut: they are nine tenths of all bit patterns.
double true_exp(double x) {
  if (std::fabs(x) < 0x1p-30) return 1.0 + x;
  if (x < -130.0) return 0.0;
  return x > 130.0 ? kInfinity : std::exp(x);
}
double true_log(double x) { return std::log(x); }
double true_erf(double x) {
  if (std::fabs(x) < 0x1p-26) return x * kTwoOverSqrtPi;
  return std::fabs(x) > 7.0 ? std::copysign(1.0, x) : std::erf(x);
}
double true_tanh(double x) {
  if (std::fabs(x) < 0x1p-26) return x;
  return std::fabs(x) > 20.0 ? std::copysign(1.0, x) : std::tanh(x);
}
double true_sigmoid(double x) {
  if (std::fabs(x) < 0x1p-26) return 0.5 + 0.25 * x;
  if (x < -130.0) return 0.0;
  return x > 40.0 ? 1.0 : 1.0 / (1.0 + std::exp(-x));
}
double true_gelu(double x) {
  if (std::fabs(x) < 0x1p-26) return x * (0.5 + kInverseSqrtTwoPi * x);
  if (x < -40.0) return x == -kInfinity ? std::nan("") : -0.0;
  return x > 12.0 ? x : 0.5 * x * std::erfc(-x * kSqrtHalf);
}
double true_gelu_tanh(double x) {
  if (x < -40.0) return x == -kInfinity ? std::nan("") : -0.0;
  if (x > 12.0) return x;
  const double inner = x * kSqrtTwoOverPi * (1.0 + 0.044715 * x * x);
  return std::fabs(x) < 0x1p-26 ? 0.5 * x * (1.0 + inner) : x / (1.0 + std::exp(-2.0 * inner));
}
double true_silu(double x) {
  if (x < -150.0) return x == -kInfinity ? std::nan("") : -0.0;
  return x * true_sigmoid(x);
}
double true_softplus(double x) {
  if (std::fabs(x) < 0x1p-26) return kLn2 + 0.5 * x;
  if (x < -130.0) return 0.0;
  if (x > 40.0) return x;
  return x > 0.0 ? x + std::log1p(std::exp(-x)) : std::log1p(std::exp(x));
}
double true_hard_sigmoid(double x) {
  return std::isnan(x) ? x : std::fmax(0.0, std::fmin(1.0, static_cast<double>(0.2f) * x + 0.5));
}
double true_hard_swish(double x) { return std::isnan(x) ? x : x * std::fmax(0.0, std::fmin(1.0, x / 6.0 + 0.5)); }
double true_mish(double x) {
  if (x < -150.0) return x == -kInfinity ? std::nan("") : -0.0;
  return x > 40.0 ? x : x * std::tanh(std::log1p(std::exp(x)));
}

constexpr uint32_t kBlock = 1u << 14;
constexpr uint32_t kChunk = 1u << 24;  // each thread takes chunks; their results are combined in order
constexpr uint32_t kChunks = 256;
constexpr uint32_t kThreads = 2;

using Block = std::array<float, kBlock>;

template <float (*function)(float)>
void evaluate(uint32_t first, Block& out) {
  const cupel::NetworkArithmetic arithmetic;
  for (uint32_t i = 0; i < kBlock; ++i) out[i] = function(std::bit_cast<float>(first + i));
}
float hard_sigmoid(float x) { return cupel::hard_sigmoid_f32(x); }

struct Row {
  std::string_view name;
  double bound;  // units in the last place; kNoBound: reported only
  void (*evaluate)(uint32_t first, Block& out);
  double (*truth)(double);
};

constexpr Row kRows[] = {
    {"exp", 1.0, evaluate<cupel::exp_f32>, true_exp},
    {"log", 1.0, evaluate<cupel::log_f32>, true_log},
    {"erf", 1.0, evaluate<cupel::erf_f32>, true_erf},
    {"tanh", 1.0, evaluate<cupel::tanh_f32>, true_tanh},
    {"sigmoid", 2.5, evaluate<cupel::sigmoid_f32>, true_sigmoid},
    {"softplus", 2.0, evaluate<cupel::softplus_f32>, true_softplus},
    {"silu", kNoBound, evaluate<cupel::silu_f32>, true_silu},
    {"gelu", kNoBound, evaluate<cupel::gelu_f32>, true_gelu},
    {"gelu_tanh", kNoBound, evaluate<cupel::gelu_tanh_f32>, true_gelu_tanh},
    {"hard_sigmoid", 0.5, evaluate<hard_sigmoid>, true_hard_sigmoid},
    {"hard_swish", kNoBound, evaluate<cupel::hard_swish_f32>, true_hard_swish},
    {"sin", 2.0, evaluate<cupel::scalar::sin_sequence<float>>, true_sin},
    {"cos", 2.0, evaluate<cupel::scalar::cos_sequence<float>>, true_cos},
    {"tan", 3.5, evaluate<cupel::scalar::tan_sequence<float>>, true_tan},
    {"asin", 2.5, evaluate<cupel::scalar::asin_sequence<float>>, true_asin},
    {"acos", 2.0, evaluate<cupel::scalar::acos_sequence<float>>, true_acos},
    {"atan", 2.0, evaluate<cupel::scalar::atan_sequence<float>>, true_atan},
    {"sinh", 2.0, evaluate<cupel::scalar::sinh_sequence<float>>, true_sinh},
    {"cosh", 2.0, evaluate<cupel::scalar::cosh_sequence<float>>, true_cosh},
    {"asinh", 3.0, evaluate<cupel::scalar::asinh_sequence<float>>, true_asinh},
    {"acosh", 3.0, evaluate<cupel::scalar::acosh_sequence<float>>, true_acosh},
    {"atanh", 3.0, evaluate<cupel::scalar::atanh_sequence<float>>, true_atanh},
    {"expm1", 1.5, evaluate<cupel::scalar::expm1_sequence<float>>, true_expm1},
    {"mish", kNoBound, evaluate<cupel::scalar::mish_sequence<float>>, true_mish},
    {"round_half_even", 0.0, evaluate<cupel::round_half_even_f32>, true_round},
    {"floor", 0.0, evaluate<cupel::floor_f32>, true_floor},
    {"ceil", 0.0, evaluate<cupel::ceil_f32>, true_ceil},
};

struct Measure {
  double error = 0.0;
  uint32_t error_at = 0;
  double absolute = 0.0;  // largest |error| / max(1, |true value|)
  uint64_t misrounded = 0;
  uint64_t hash = 0xcbf29ce484222325u;

  // FNV-1a over 32-bit words, the high half folded down so that every bit of a word reaches the low half.
  void fold(uint64_t word) {
    hash = (hash ^ word) * 0x100000001b3u;
    hash ^= hash >> 32;
  }
};

// Error of `result` in units in the last place of `truth`; infinity where one is NaN or infinite and the other is not,
// where a NaN is not the canonical one or a zero has the wrong sign, and for subnormal numbers. A zero is right where
// the true value is subnormal, or within 2 units of it.
double error_in_ulps(float result, double truth) {
  constexpr double kOverflow = 0x1.ffffffp+127;  // from here on the nearest binary32 is infinity
  if (std::isnan(truth)) return std::bit_cast<uint32_t>(result) == 0x7fc00000u ? 0.0 : kInfinity;
  if (std::isnan(result)) return kInfinity;
  if (std::isinf(result)) {
    if (std::signbit(result) != std::signbit(truth)) return kInfinity;
    return std::fabs(truth) >= kOverflow ? 0.0 : (0x1p+128 - std::fabs(truth)) * 0x1p-104;
  }
  if (std::fabs(truth) >= kOverflow || std::fpclassify(result) == FP_SUBNORMAL) return kInfinity;
  if (result == 0.0f && std::fabs(truth) < 0x1.000004p-126)
    return std::signbit(result) == std::signbit(truth) ? 0.0 : kInfinity;
  int64_t exponent = static_cast<int64_t>(std::bit_cast<uint64_t>(truth) >> 52 & 0x7ff);  // biased by 1023
  exponent = exponent < 1023 - 126 ? 1023 - 126 : exponent;
  const double inverse_ulp = std::bit_cast<double>(static_cast<uint64_t>(1023 + 23 + 1023 - exponent) << 52);
  return std::fabs(static_cast<double>(result) - truth) * inverse_ulp;
}

Measure measure_chunk(const Row& row, uint32_t chunk) {
  Measure measure;
  static thread_local Block results;
  for (uint32_t offset = 0; offset < kChunk; offset += kBlock) {
    const uint32_t first = chunk * kChunk + offset;
    row.evaluate(first, results);
    for (uint32_t i = 0; i < kBlock; ++i) {
      const float result = results[i];
      measure.fold(std::bit_cast<uint32_t>(result));
      const double truth = row.truth(static_cast<double>(cupel::scalar::flushed(std::bit_cast<float>(first + i))));
      const double error = error_in_ulps(result, truth);
      if (error > measure.error) {
        measure.error = error;
        measure.error_at = first + i;
      }
      if (error > 0.0 && result != static_cast<float>(truth)) ++measure.misrounded;
      if (std::isfinite(result) && std::isfinite(truth)) {
        const double size = std::fabs(truth);
        measure.absolute =
            std::fmax(measure.absolute, std::fabs(static_cast<double>(result) - truth) / (size > 1.0 ? size : 1.0));
      }
    }
  }
  return measure;
}

Measure measure_all(const Row& row) {
  std::vector<Measure> chunks(kChunks);
  std::vector<std::thread> threads;
  for (uint32_t thread = 0; thread < kThreads; ++thread) {
    threads.emplace_back([&row, &chunks, thread] {
      for (uint32_t chunk = thread; chunk < kChunks; chunk += kThreads) chunks[chunk] = measure_chunk(row, chunk);
    });
  }
  for (std::thread& thread : threads) thread.join();
  Measure all;
  for (const Measure& chunk : chunks) {
    if (chunk.error > all.error) {
      all.error = chunk.error;
      all.error_at = chunk.error_at;
    }
    all.absolute = std::fmax(all.absolute, chunk.absolute);
    all.misrounded += chunk.misrounded;
    all.fold(chunk.hash);
  }
  return all;
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<const Row*> chosen;
  for (int i = 1; i < argc; ++i) {
    const size_t before = chosen.size();
    for (const Row& row : kRows) {
      if (row.name == argv[i]) chosen.push_back(&row);
    }
    if (chosen.size() == before) {
      std::fprintf(stderr, "check_scalar_math: found function \"%s\", expected one of", argv[i]);
      for (const Row& row : kRows) std::fprintf(stderr, " %s", row.name.data());
      std::fprintf(stderr, "\n");
      return 2;
    }
  }
  if (chosen.empty()) {
    for (const Row& row : kRows) chosen.push_back(&row);
  }
  std::printf("%-16s %6s %12s %10s %16s %12s %12s  %s\n", "function", "bound", "max_ulp", "at_input", "at_value",
              "misrounded", "max_absolute", "hash_of_results");
  bool exceeded = false;
  for (const Row* row : chosen) {
    const Measure all = measure_all(*row);
    const bool bad = all.error > row->bound;
    exceeded |= bad;
    char bound[16] = "-";
    if (row->bound != kNoBound) std::snprintf(bound, sizeof bound, "%.1f", row->bound);
    std::printf("%-16s %6s %12.6g 0x%08x %16.9g %12llu %12.4g  %016llx%s\n", row->name.data(), bound, all.error,
                all.error_at, static_cast<double>(std::bit_cast<float>(all.error_at)),
                static_cast<unsigned long long>(all.misrounded), all.absolute,
                static_cast<unsigned long long>(all.hash), bad ? "  EXCEEDED" : "");
    std::fflush(stdout);
  }
  return exceeded ? 1 : 0;
}
