// What every maker of random tests chooses with. The same seed gives the same choices.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <random>

namespace cupel {

class RandomChoices {
 protected:
  // `kind`: of what is made, so that makers with one seed choose apart.
  RandomChoices(uint64_t seed, uint64_t kind) : rng_(seed * 0x9e3779b97f4a7c15u + kind) {}

  int64_t pick(int64_t least, int64_t greatest) {
    return least + static_cast<int64_t>(rng_() % static_cast<uint64_t>(greatest - least + 1));
  }
  bool chance(double p) { return static_cast<double>(rng_() >> 11) * 0x1p-53 < p; }
  template <class T>
  T one_of(std::initializer_list<T> values) {
    return values.begin()[pick(0, static_cast<int64_t>(values.size()) - 1)];
  }

  std::mt19937_64 rng_;
};

}  // namespace cupel
