// Any bytes as the text of a Program, with its constants behind a zero byte: what is parsed prints and parses back, and
// what the check of Programs accepts is evaluated without a touch outside of its buffers, which the sanitizer sees.
#include "kernel/program_text.h"

#include <algorithm>
#include <string_view>

#include "fuzz/findings.h"
#include "ir/text.h"
#include "kernel/check_program.h"
#include "kernel/evaluate_program.h"
#include "kernel/work.h"

namespace cupel::fuzz {
namespace {

constexpr int64_t kItems = 2;

// Whether a run takes little memory and time.
bool is_small(const Program& program) {
  constexpr int64_t kMost = int64_t{1} << 20;
  const auto small = [](int64_t n) { return n >= 0 && n <= kMost; };
  if (!small(program.arena_bytes) || program.fixed_batch > 16) return false;
  for (const auto* ports : {&program.inputs, &program.outputs})
    for (const Port& port : *ports) {
      const auto dims = bind_shape(port.type.shape, kItems);
      const auto count = dims ? count_elements(*dims) : Result<int64_t>(kMost + 1);
      if (!count || !small(*count)) return false;
    }
  int64_t effort = 0;
  return std::ranges::all_of(program.steps, [&](const Step& step) {
    const KernelWork work = work_of(step.kernel);
    return !__builtin_add_overflow(effort, work.effort, &effort) && small(effort) && small(work.item_bytes);
  });
}

void evaluate(const Program& program) {
  std::vector<Tensor> inputs;
  for (const Port& port : program.inputs) inputs.emplace_back(port.type.dtype, *bind_shape(port.type.shape, kItems));
  if (const auto outputs = evaluate_program(program, inputs); !outputs) expect_users(outputs.error());
}

// What has more takes a sanitizer's build minutes to follow.
constexpr int64_t kMostRuns = int64_t{1} << 20;

void run(std::string_view file) {
  const size_t end = file.find('\0');
  ConstantStore constants;
  if (end != std::string_view::npos)
    if (auto parsed = parse_constants(file.substr(end + 1))) constants = std::move(*parsed);
  const auto program = parse_program(file.substr(0, end), constants);
  if (!program) return expect_users(program.error());
  const std::string printed = print_program(*program, &constants);
  const auto again = parse_program(printed, constants);
  if (!again) finding("a printed Program does not parse: " + again.error().message() + "\n" + printed);
  if (!(*again == *program)) finding("a Program prints as another one:\n" + printed);
  // An unsound Program is a defect of whoever lowered it, so the error is internal.
  if (check_program(*program, kMostRuns) && is_small(*program)) evaluate(*program);
}

}  // namespace
}  // namespace cupel::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  cupel::fuzz::run({reinterpret_cast<const char*>(data), size});
  return 0;
}
