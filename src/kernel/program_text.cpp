// The text form of a Program:
//
//   program "resnet18"
//     fixed_batch 0
//     arena 4928
//     constants #9f86d081…              (or: constants none)
//     input batched "x" f32[batch,3]    (or: single)
//     output batched "y" f32[batch,3]
//     buffer input item 12 index 0 offset 0 "x"
//     …
//     step "0_map_f32_f32"
//       buffers 1 0
//       origin "Relu_1" "Relu_2"
//       result buffer 1 type f32 offset 0 dims 3 strides 4     (where a tap may look)
//       value "t" f32[batch,3]
//   kernel map
//   …
//   end
//   end
//
// Kernels are as kernel_text.cpp says. Indentation and empty lines are free.
#include "kernel/program_text.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cstring>

#include "base/file.h"
#include "base/hash.h"
#include "base/quoted.h"
#include "kernel/text_lines.h"

namespace cupel {
namespace {

// In the order of BufferPlace.
constexpr std::string_view kPlaces[] = {"input", "output", "arena", "constant", "fault"};
constexpr std::string_view kPorts[] = {"single", "batched"};

std::string port_text(std::string_view key, const Port& port, ConstantStore* store) {
  return fmt::format("  {} {} {} {}\n", key, kPorts[port.batched ? 1 : 0], in_quotes(port.name),
                     print_type(port.type, store));
}

std::string step_text(const Step& step, ConstantStore* store) {
  std::string text = fmt::format("  step {}\n", in_quotes(step.name));
  text += fmt::format("    buffers {}\n    origin", fmt::join(step.buffers, " "));
  for (const std::string& origin : step.origins) text += " " + in_quotes(origin);
  text += "\n";
  if (step.result) {
    const ValueLayout& l = *step.result;
    text += fmt::format("    result buffer {} type {} offset {} dims {}\n    strides {}\n", l.buffer,
                        dtype_name(l.dtype), l.offset, fmt::join(l.dims, " "), fmt::join(l.strides, " "));
    text += fmt::format("    value {} {}\n", in_quotes(step.value_name), print_type(step.type, store));
  }
  return text + print_kernel(step.kernel) + "  end\n";
}

class Parser {
 public:
  Parser(std::string_view text, const ConstantStore& store) : lines_(text, kWhat), store_(store) {}

  Result<Program> parse() {
    CUPEL_TRY(lines_.keyword("program"));
    program_.model = CUPEL_TRY(lines_.quoted_text());
    CUPEL_TRY(lines_.end_line());
    program_.fixed_batch = CUPEL_TRY(lines_.field_line("fixed_batch"));
    program_.arena_bytes = CUPEL_TRY(lines_.field_line("arena"));
    CUPEL_TRY(constants());
    while (lines_.peek() == "input") program_.inputs.push_back(CUPEL_TRY(port()));
    while (lines_.peek() == "output") program_.outputs.push_back(CUPEL_TRY(port()));
    while (lines_.peek() == "buffer") program_.buffers.push_back(CUPEL_TRY(buffer()));
    while (lines_.peek() == "step") program_.steps.push_back(CUPEL_TRY(step()));
    CUPEL_TRY(lines_.keyword("end"));
    CUPEL_TRY(lines_.end_line());
    if (!lines_.at_end()) return lines_.error("text after the program");
    return std::move(program_);
  }

 private:
  static constexpr std::string_view kWhat = "program text";

  Status constants() {
    CUPEL_TRY(lines_.keyword("constants"));
    const std::string_view name = lines_.peek();
    if (name == "none") {
      lines_.word();
      return lines_.end_line();
    }
    if (!name.starts_with('#')) return lines_.unexpected_word("none or # and a content hash");
    const auto found = store_.find(name.substr(1));
    if (found == store_.end())
      return lines_.error(fmt::format("constant {} is not in the side file", printable(name, 80)));
    const auto bytes = found->second.bytes();
    program_.constants.assign(bytes.begin(), bytes.end());
    lines_.word();
    return lines_.end_line();
  }

  Result<TensorType> type() {
    const std::string_view text = lines_.peek().empty() ? std::string_view() : lines_.rest_of_line();
    auto found = parse_type(text, store_, "type");
    if (!found) return lines_.error(fmt::format("before this line: {}: {}", found.error().place, found.error().cause));
    return found;
  }

  Result<Port> port() {
    lines_.word();
    Port port;
    port.batched = CUPEL_TRY(lines_.one_of(kPorts, "single or batched")) == 1;
    port.name = CUPEL_TRY(lines_.quoted_text());
    port.type = CUPEL_TRY(type());
    return port;
  }

  Result<Buffer> buffer() {
    lines_.word();
    Buffer b;
    b.place = static_cast<BufferPlace>(CUPEL_TRY(lines_.one_of(kPlaces, "input, output, arena, constant or fault")));
    b.item_bytes = CUPEL_TRY(lines_.field("item"));
    b.index = CUPEL_TRY(lines_.field("index"));
    b.offset = CUPEL_TRY(lines_.field("offset"));
    b.name = CUPEL_TRY(lines_.quoted_text());
    CUPEL_TRY(lines_.end_line());
    return b;
  }

  Result<Step> step() {
    lines_.word();
    Step step;
    step.name = CUPEL_TRY(lines_.quoted_text());
    CUPEL_TRY(lines_.end_line());
    step.buffers = CUPEL_TRY(lines_.numbers("buffers"));
    CUPEL_TRY(lines_.keyword("origin"));
    while (!lines_.peek().empty()) step.origins.push_back(CUPEL_TRY(lines_.quoted_text()));
    CUPEL_TRY(lines_.end_line());
    if (lines_.peek() == "result") {
      step.result = CUPEL_TRY(result());
      CUPEL_TRY(lines_.keyword("value"));
      step.value_name = CUPEL_TRY(lines_.quoted_text());
      step.type = CUPEL_TRY(type());
    }
    step.kernel = CUPEL_TRY(take_kernel(lines_));
    CUPEL_TRY(lines_.keyword("end"));
    CUPEL_TRY(lines_.end_line());
    return step;
  }

  Result<ValueLayout> result() {
    lines_.word();
    ValueLayout layout;
    layout.buffer = CUPEL_TRY(lines_.field("buffer"));
    CUPEL_TRY(lines_.keyword("type"));
    const auto type = dtype_from_name(lines_.peek());
    if (!type) return lines_.unexpected_word("an element type");
    lines_.word();
    layout.dtype = *type;
    layout.offset = CUPEL_TRY(lines_.field("offset"));
    layout.dims = CUPEL_TRY(lines_.numbers("dims"));
    layout.strides = CUPEL_TRY(lines_.numbers("strides"));
    return layout;
  }

  TextLines lines_;
  const ConstantStore& store_;
  Program program_;
};

}  // namespace

std::string print_program(const Program& program, ConstantStore* store) {
  std::string text = fmt::format("program {}\n  fixed_batch {}\n  arena {}\n", in_quotes(program.model),
                                 program.fixed_batch, program.arena_bytes);
  if (program.constants.empty()) {
    text += "  constants none\n";
  } else {
    Tensor block(DType::u8, {static_cast<int64_t>(program.constants.size())});
    std::memcpy(block.mutable_bytes().data(), program.constants.data(), program.constants.size());
    const std::string hash = content_hash(block);
    text += fmt::format("  constants #{}\n", hash);
    if (store != nullptr) store->emplace(hash, std::move(block));
  }
  for (const Port& port : program.inputs) text += port_text("input", port, store);
  for (const Port& port : program.outputs) text += port_text("output", port, store);
  for (const Buffer& b : program.buffers)
    text += fmt::format("  buffer {} item {} index {} offset {} {}\n", kPlaces[static_cast<size_t>(b.place)],
                        b.item_bytes, b.index, b.offset, in_quotes(b.name));
  for (const Step& step : program.steps) text += step_text(step, store);
  return text + "end\n";
}

Result<Program> parse_program(std::string_view text, const ConstantStore& store) { return Parser(text, store).parse(); }

}  // namespace cupel
