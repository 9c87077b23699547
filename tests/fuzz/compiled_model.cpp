// Any bytes as a compiled model, read as data before any of its code may run. What is stamped with its hash is
// accepted; with a byte of it changed it is refused.
#include <algorithm>
#include <span>

#include "emit/image_note.h"
#include "fuzz/findings.h"

namespace cupel::fuzz {
namespace {

void run(std::span<const std::byte> file) {
  if (const Status status = check_image(file, "fuzzed.so"); !status) expect_users(status.error());
  Bytes image(file.begin(), file.end());
  if (!stamp_image(image)) return;
  if (const Status status = check_image(image, "stamped.so"); !status) return expect_users(status.error());
  image[std::min<size_t>(file.size() / 2, image.size() - 1)] ^= std::byte{1};
  if (check_image(image, "changed.so")) finding("a changed file is taken for the one that was stamped");
}

}  // namespace
}  // namespace cupel::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  cupel::fuzz::run(std::as_bytes(std::span(data, size)));
  return 0;
}
