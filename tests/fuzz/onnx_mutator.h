// Mutations of ONNX files that keep the framing of protocol buffers: fields are changed, removed, doubled, exchanged
// and taken from elsewhere in the file, and lengths are right again when it is written.
#pragma once

#include <cstddef>
#include <cstdint>

namespace cupel::fuzz {

// Of `size` bytes at `data`, which has room for `capacity`; gives the new size. Follows from `seed` and the bytes.
// Bytes that are no messages, and some that are, go to LLVMFuzzerMutate.
size_t mutate_onnx(uint8_t* data, size_t size, size_t capacity, unsigned seed);

// Parts of `first` and `second` joined in `out`; gives the size.
size_t join_onnx(const uint8_t* first, size_t first_size, const uint8_t* second, size_t second_size, uint8_t* out,
                 size_t capacity, unsigned seed);

}  // namespace cupel::fuzz

// A target of ONNX files has these.
#define CUPEL_FUZZ_ONNX_MUTATIONS                                                                                 \
  extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t capacity, unsigned seed) {         \
    return cupel::fuzz::mutate_onnx(data, size, capacity, seed);                                                  \
  }                                                                                                               \
  extern "C" size_t LLVMFuzzerCustomCrossOver(const uint8_t* first, size_t first_size, const uint8_t* second,     \
                                              size_t second_size, uint8_t* out, size_t capacity, unsigned seed) { \
    return cupel::fuzz::join_onnx(first, first_size, second, second_size, out, capacity, seed);                   \
  }
