// Any bytes as the text of a kernel: what parses and is checked prints, and parses back to the same kernel.
#include <string_view>

#include "fuzz/findings.h"
#include "kernel/kernel.h"

namespace cupel::fuzz {
namespace {

void run(std::string_view text) {
  const auto kernel = parse_kernel(text);
  if (!kernel) return expect_users(kernel.error());
  if (const Status sound = check_kernel(*kernel); !sound) return expect_users(sound.error());
  const std::string printed = print_kernel(*kernel);
  const auto again = parse_kernel(printed);
  if (!again) finding("a printed kernel does not parse: " + again.error().message() + "\n" + printed);
  if (!(*again == *kernel) || print_kernel(*again) != printed) finding("a kernel prints as another one:\n" + printed);
  if (kernel_name(*kernel).empty()) finding("a kernel without a name:\n" + printed);
}

}  // namespace
}  // namespace cupel::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  cupel::fuzz::run({reinterpret_cast<const char*>(data), size});
  return 0;
}
