// True values of elementary functions by the C library in double, for the test on samples and for the measurement on
// all inputs (bench/check_scalar_math.cpp).
#pragma once

#include <cmath>

namespace cupel::truths {

// Beyond 2^20 the sequences give NaN.
inline double circular(double x, double value) { return std::fabs(x) <= 0x1p20 ? value : std::nan(""); }
inline double true_sin(double x) { return circular(x, std::sin(x)); }
inline double true_cos(double x) { return circular(x, std::cos(x)); }
inline double true_tan(double x) { return circular(x, std::tan(x)); }
inline double true_asin(double x) { return std::asin(x); }
inline double true_acos(double x) { return std::acos(x); }
inline double true_atan(double x) { return std::atan(x); }
inline double true_sinh(double x) { return std::sinh(x); }
inline double true_cosh(double x) { return std::cosh(x); }
inline double true_asinh(double x) { return std::asinh(x); }
inline double true_acosh(double x) { return std::acosh(x); }
inline double true_atanh(double x) { return std::atanh(x); }
inline double true_expm1(double x) { return std::expm1(x); }
inline double true_round(double x) { return std::nearbyint(x); }
inline double true_floor(double x) { return std::floor(x); }
inline double true_ceil(double x) { return std::ceil(x); }

}  // namespace cupel::truths
