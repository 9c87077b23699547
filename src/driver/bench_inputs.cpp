#include <fmt/format.h>

#include <cstring>
#include <random>

#include "data/npy.h"
#include "driver/batches.h"
#include "driver/bench.h"

namespace cupel {
namespace {

// A number k/1024 between −1 and 1: exact in every float type, and far from subnormal numbers.
double real_number(std::mt19937& random) { return (static_cast<double>(random() % 2047) - 1023) / 1024; }

uint16_t f16_bits(double value) {
  const _Float16 half = static_cast<_Float16>(value);
  uint16_t bits;
  std::memcpy(&bits, &half, sizeof bits);
  return bits;
}

uint16_t bf16_bits(double value) {
  const float single = static_cast<float>(static_cast<int>(value * 128)) / 128;  // 8 significant bits
  uint32_t bits;
  std::memcpy(&bits, &single, sizeof bits);
  return static_cast<uint16_t>(bits >> 16);
}

template <class T, class Make>
void fill(Tensor& t, Make make) {
  auto* to = reinterpret_cast<T*>(t.mutable_bytes().data());
  for (int64_t i = 0; i < t.size(); ++i) to[i] = static_cast<T>(make());
}

Tensor random_tensor(DType dtype, Dims dims, uint32_t seed) {
  Tensor t(dtype, std::move(dims));
  if (t.empty()) return t;
  std::mt19937 random(seed);
  const auto bit = [&] { return random() >> 31; };
  switch (dtype) {
    case DType::f32: fill<float>(t, [&] { return real_number(random); }); break;
    case DType::f64: fill<double>(t, [&] { return real_number(random); }); break;
    case DType::f16: fill<uint16_t>(t, [&] { return f16_bits(real_number(random)); }); break;
    case DType::bf16: fill<uint16_t>(t, [&] { return bf16_bits(real_number(random)); }); break;
    case DType::u8:
    case DType::s8: fill<uint8_t>(t, [&] { return random() & 255; }); break;
    case DType::u16:
    case DType::s16: fill<uint16_t>(t, bit); break;
    case DType::u32: fill<uint32_t>(t, bit); break;
    case DType::u64: fill<uint64_t>(t, bit); break;
    case DType::boolean: fill<uint8_t>(t, bit); break;
    case DType::s32:
    case DType::s64: break;  // may be indices, of which 0 alone is always in range
    default: break;          // types that no input of compiled code has stay 0
  }
  return t;
}

}  // namespace

Result<std::vector<Tensor>> bench_inputs(const CupelImage& image, int64_t batch,
                                         const std::map<std::string, std::filesystem::path>& files) {
  std::vector<Tensor> inputs;
  for (int32_t i = 0; i < image.input_count; ++i) {
    const CupelPort& port = image.inputs[i];
    Dims dims;
    for (int32_t d = 0; d < port.rank; ++d) dims.push_back(port.dims[d] == -1 ? batch : port.dims[d]);
    CUPEL_TRY(count_elements(dims));
    const auto file = files.find(port.name);
    if (file == files.end()) {
      inputs.push_back(random_tensor(static_cast<DType>(port.dtype), std::move(dims), static_cast<uint32_t>(i + 1)));
      continue;
    }
    Tensor array = CUPEL_TRY(read_npy(file->second));
    const std::string place = printable(file->second.string());
    if (const auto nan = first_nan(array))
      return bad_input(place, fmt::format("element {} of {} is NaN", *nan, to_text(array.dims())), "give numbers only");
    const bool batched = port.rank > 0 && port.dims[0] == -1 && array.rank() > 0;
    if (batched && array.dims()[0] < batch)
      return bad_input(place, fmt::format("holds {} rows, the batch is {}", array.dims()[0], batch),
                       "give a row for each item of the batch, or a smaller --batch");
    inputs.push_back(batched ? array.rows(0, batch) : std::move(array));
  }
  return inputs;
}

}  // namespace cupel
