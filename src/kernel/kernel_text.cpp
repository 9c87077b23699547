// The text form of a Kernel, one line for each access and each scalar node:
//
//   kernel contract
//     space 14 14 32
//     a u8 offset 0 item 4096 strides 256 16 0
//     b s8 constant offset 0 item 0 strides 0 0 0
//     block_stride 2304
//     start s32 constant offset 4608 item 0 strides 0 0 4
//     loop 3 256
//     run 48
//     rows taps 3 stride 1 dilation 1 before 1 lines 14
//     columns taps 3 stride 1 dilation 1 before 1 lines 14
//     out u8 offset 0 item 6272 strides 448 32 1
//     epilogue
//       %0 = accumulator 0
//       %1 = to_f32 %0
//       …
//     schedule tile_h 1 tile_w 14 tile_blocks 2 unroll 4 bands 1 prefetch 0
//   end
//
// A call names its routine:
//
//   kernel call gather
//     space 7 64
//     operand f32 constant offset 0 item 0 strides 0 4
//     operand s64 offset 0 item 56 strides 8 0
//     integers 100 256
//     out f32 offset 0 item 1792 strides 256 4
//     schedule
//   end
//
// Finite f32 constants are hexadecimal, others inf, -inf and nan(0x7fc00000). Indentation and empty lines are free.
#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <charconv>
#include <cmath>

#include "base/file.h"
#include "base/hash.h"
#include "kernel/kernel.h"
#include "kernel/routines.h"
#include "kernel/text_lines.h"

namespace cupel {
namespace {

constexpr std::string_view kForms[] = {"contract", "window", "map", "row", "call"};
constexpr std::string_view kWindowKinds[] = {"dot", "sum", "max"};
constexpr std::string_view kRowReductions[] = {"greatest", "sum64", "squares64"};

std::string real_text(float value) {
  if (std::isnan(value)) return fmt::format("nan(0x{:08x})", std::bit_cast<uint32_t>(value));
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  return fmt::format("{:a}", static_cast<double>(value));
}

// ---- Printing
// ---------------------------------------------------------------------------------------------------------

class Printer {
 public:
  std::string print(const Kernel& kernel) {
    line(0, "kernel {}{}", kForms[kernel.spec.index()], kind_text(kernel.spec));
    std::visit([&](const auto& spec) { body(spec); }, kernel.spec);
    std::visit([&](const auto& schedule) { this->schedule(schedule); }, kernel.schedule);
    text_ += "end\n";
    return std::move(text_);
  }

 private:
  template <class... T>
  void line(size_t indent, fmt::format_string<T...> format, T&&... values) {
    text_ += std::string(indent, ' ') + fmt::format(format, std::forward<T>(values)...) + "\n";
  }
  static std::string kind_text(const KernelSpec& spec) {
    if (const auto* call = std::get_if<CallSpec>(&spec)) return fmt::format(" {}", routine_row(call->routine).name);
    const auto* window = std::get_if<WindowSpec>(&spec);
    return window == nullptr ? "" : fmt::format(" {}", kWindowKinds[static_cast<size_t>(window->kind)]);
  }

  void space(const Dims& dims) { line(2, "space{}", numbers(dims)); }
  static std::string numbers(const std::vector<int64_t>& values) {
    std::string text;
    for (const int64_t value : values) text += fmt::format(" {}", value);
    return text;
  }
  void access(std::string_view key, const Access& a) {
    line(2, "{} {}{} offset {} item {} strides{}", key, dtype_name(a.dtype), a.constant ? " constant" : "", a.offset,
         a.item_stride, numbers(a.strides));
  }
  void operands(const std::vector<Access>& all) {
    for (const Access& a : all) access("operand", a);
  }
  void loops(const std::vector<ReductionLoop>& all) {
    for (const ReductionLoop& loop : all) line(2, "loop {} {}", loop.count, loop.stride);
  }
  void border(std::string_view key, const Border& b) {
    if (b != Border())
      line(2, "{} taps {} stride {} dilation {} before {} lines {}", key, b.taps, b.stride, b.dilation, b.before,
           b.lines);
  }
  void expression(size_t indent, std::string_view key, const ScalarExpr& expr) {
    line(indent, "{}", key);
    for (size_t i = 0; i < expr.nodes.size(); ++i) {
      const ScalarNode& n = expr.nodes[i];
      std::string rest;
      if (n.op == ScalarOp::constant_f32) {
        rest = " " + real_text(n.value);
      } else if (n.op == ScalarOp::operand || n.op == ScalarOp::accumulator || n.op == ScalarOp::constant_s32 ||
                 n.op == ScalarOp::table) {
        rest = fmt::format(" {}", n.index);
      }
      for (size_t j = 0; j < static_cast<size_t>(argument_count(n.op)); ++j)
        rest += fmt::format(" %{}", n.arguments[j]);
      line(indent + 2, "%{} = {}{}", i, scalar_op_name(n.op), rest);
    }
  }

  void body(const ContractSpec& s) {
    space(s.space);
    access("a", s.a);
    access("b", s.b);
    line(2, "block_stride {}", s.b_block_stride);
    access("start", s.start);
    loops(s.loops);
    line(2, "run {}", s.run);
    border("rows", s.rows);
    border("columns", s.columns);
    operands(s.operands);
    access("out", s.out);
    expression(2, "epilogue", s.epilogue);
  }
  void body(const WindowSpec& s) {
    space(s.space);
    access("a", s.a);
    if (s.kind == WindowKind::dot) {
      access("weights", s.weights);
      line(2, "tap_stride {}", s.weights_tap_stride);
      access("start", s.start);
    }
    loops(s.loops);
    operands(s.operands);
    access("out", s.out);
    expression(2, "epilogue", s.epilogue);
  }
  void body(const MapSpec& s) {
    space(s.space);
    operands(s.operands);
    access("out", s.out);
    expression(2, "value", s.value);
  }
  void body(const RowSpec& s) {
    space(s.space);
    operands(s.operands);
    for (const RowStep& step : s.steps) {
      expression(2, fmt::format("step {}", kRowReductions[static_cast<size_t>(step.kind)]), step.value);
      if (!step.finish.nodes.empty()) expression(2, "finish", step.finish);
    }
    access("out", s.out);
    expression(2, "value", s.value);
  }

  void body(const CallSpec& s) {
    space(s.space);
    operands(s.operands);
    line(2, "integers{}", numbers(s.integers));
    access("out", s.out);
  }

  void schedule(const ContractSchedule& s) {
    line(2, "schedule tile_h {} tile_w {} tile_blocks {} unroll {} bands {} prefetch {}", s.tile_h, s.tile_w,
         s.tile_blocks, s.unroll, s.bands, s.prefetch);
  }
  void schedule(const WindowSchedule& s) {
    line(2, "schedule tile_h {} tile_w {} tile_blocks {}", s.tile_h, s.tile_w, s.tile_blocks);
  }
  void schedule(const MapSchedule& s) { line(2, "schedule vector_dimension {}", s.vector_dimension); }
  void schedule(const RowSchedule&) { line(2, "schedule"); }
  void schedule(const CallSchedule&) { line(2, "schedule"); }

  std::string text_;
};

// ---- Parsing
// ----------------------------------------------------------------------------------------------------------

class Parser : public TextLines {
 public:
  explicit Parser(const TextLines& lines) : TextLines(lines) {}

  Result<Kernel> kernel() {
    CUPEL_TRY(keyword("kernel"));
    const size_t form = CUPEL_TRY(one_of(kForms, "a form"));
    Kernel kernel;
    if (form == 0) kernel = CUPEL_TRY(kernel_of<ContractSpec, ContractSchedule>());
    if (form == 1) kernel = CUPEL_TRY(kernel_of<WindowSpec, WindowSchedule>());
    if (form == 2) kernel = CUPEL_TRY(kernel_of<MapSpec, MapSchedule>());
    if (form == 3) kernel = CUPEL_TRY(kernel_of<RowSpec, RowSchedule>());
    if (form == 4) kernel = CUPEL_TRY(kernel_of<CallSpec, CallSchedule>());
    CUPEL_TRY(keyword("end"));
    CUPEL_TRY(end_line());
    return kernel;
  }

 private:
  Result<float> real() {
    const std::string_view found = peek();
    std::string_view digits = found;
    const bool negative = digits.starts_with('-');
    if (negative) digits.remove_prefix(1);
    float value = 0;
    if (found.starts_with("nan(0x") && found.ends_with(')')) {
      uint32_t bits = 0;
      const auto [end, code] = std::from_chars(found.data() + 6, found.data() + found.size() - 1, bits, 16);
      value = std::bit_cast<float>(bits);
      if (code != std::errc{} || end != found.data() + found.size() - 1 || !std::isnan(value))
        return unexpected_word("a number");
      word();
      return value;
    }
    if (digits == "inf") {
      value = HUGE_VALF;
    } else {
      if (!digits.starts_with("0x") || digits.size() < 3 || digits[2] == '-')
        return unexpected_word("a hexadecimal number");
      digits.remove_prefix(2);
      const auto [end, code] =
          std::from_chars(digits.data(), digits.data() + digits.size(), value, std::chars_format::hex);
      if (code != std::errc{} || end != digits.data() + digits.size() || !std::isfinite(value))
        return unexpected_word("a hexadecimal number");
    }
    word();
    return negative ? -value : value;
  }

  Result<Access> access(std::string_view key) {
    CUPEL_TRY(keyword(key));
    Access a;
    const auto type = dtype_from_name(peek());
    if (!type) return unexpected_word("an element type");
    a.dtype = *type;
    word();
    a.constant = peek() == "constant";
    if (a.constant) word();
    a.offset = CUPEL_TRY(field("offset"));
    a.item_stride = CUPEL_TRY(field("item"));
    a.strides = CUPEL_TRY(numbers("strides"));
    return a;
  }
  Result<std::vector<Access>> operands() {
    std::vector<Access> all;
    while (peek() == "operand") all.push_back(CUPEL_TRY(access("operand")));
    return all;
  }
  Result<std::vector<ReductionLoop>> loops() {
    std::vector<ReductionLoop> all;
    while (peek() == "loop") {
      word();
      const int64_t count = CUPEL_TRY(integer<int64_t>()), stride = CUPEL_TRY(integer<int64_t>());
      all.push_back({count, stride});
      CUPEL_TRY(end_line());
    }
    return all;
  }
  Result<Border> border(std::string_view key) {
    Border b;
    if (peek() != key) return b;
    word();
    b.taps = CUPEL_TRY(field("taps"));
    b.stride = CUPEL_TRY(field("stride"));
    b.dilation = CUPEL_TRY(field("dilation"));
    b.before = CUPEL_TRY(field("before"));
    b.lines = CUPEL_TRY(field("lines"));
    CUPEL_TRY(end_line());
    return b;
  }
  Result<int32_t> node_number() {
    const std::string_view found = peek();
    int32_t number = 0;
    const auto [end, code] =
        std::from_chars(found.data() + std::min<size_t>(1, found.size()), found.data() + found.size(), number);
    if (!found.starts_with('%') || code != std::errc{} || end != found.data() + found.size())
      return unexpected_word("a node, %0 or a later one");
    word();
    return number;
  }
  Result<ScalarExpr> expression(std::string_view key) {
    CUPEL_TRY(keyword(key));
    return nodes();
  }
  Result<ScalarExpr> nodes() {
    CUPEL_TRY(end_line());
    ScalarExpr expr;
    while (peek().starts_with('%')) {
      const std::string name = fmt::format("%{}", expr.nodes.size());
      CUPEL_TRY(keyword(name));
      CUPEL_TRY(keyword("="));
      const auto op = scalar_op_from_name(peek());
      if (!op) return unexpected_word("an operation");
      word();
      ScalarNode node{.op = *op};
      if (*op == ScalarOp::constant_f32) node.value = CUPEL_TRY(real());
      if (*op == ScalarOp::operand || *op == ScalarOp::accumulator || *op == ScalarOp::constant_s32 ||
          *op == ScalarOp::table)
        node.index = CUPEL_TRY(integer<int32_t>());
      for (size_t i = 0; i < static_cast<size_t>(argument_count(*op)); ++i)
        node.arguments[i] = CUPEL_TRY(node_number());
      CUPEL_TRY(end_line());
      expr.nodes.push_back(node);
    }
    return expr;
  }

  template <class Spec, class Schedule>
  Result<Kernel> kernel_of() {
    Spec spec = CUPEL_TRY(body(Spec()));
    CUPEL_TRY(keyword("schedule"));
    Schedule found = CUPEL_TRY(schedule(Schedule()));
    CUPEL_TRY(end_line());
    return Kernel{std::move(spec), found};
  }

  Result<ContractSpec> body(ContractSpec s) {
    CUPEL_TRY(end_line());
    s.space = CUPEL_TRY(numbers("space"));
    s.a = CUPEL_TRY(access("a"));
    s.b = CUPEL_TRY(access("b"));
    s.b_block_stride = CUPEL_TRY(field_line("block_stride"));
    s.start = CUPEL_TRY(access("start"));
    s.loops = CUPEL_TRY(loops());
    s.run = CUPEL_TRY(field_line("run"));
    s.rows = CUPEL_TRY(border("rows"));
    s.columns = CUPEL_TRY(border("columns"));
    s.operands = CUPEL_TRY(operands());
    s.out = CUPEL_TRY(access("out"));
    s.epilogue = CUPEL_TRY(expression("epilogue"));
    return s;
  }
  Result<WindowSpec> body(WindowSpec s) {
    s.kind = static_cast<WindowKind>(CUPEL_TRY(one_of(kWindowKinds, "dot, sum or max")));
    CUPEL_TRY(end_line());
    s.space = CUPEL_TRY(numbers("space"));
    s.a = CUPEL_TRY(access("a"));
    if (s.kind == WindowKind::dot) {
      s.weights = CUPEL_TRY(access("weights"));
      s.weights_tap_stride = CUPEL_TRY(field_line("tap_stride"));
      s.start = CUPEL_TRY(access("start"));
    }
    s.loops = CUPEL_TRY(loops());
    s.operands = CUPEL_TRY(operands());
    s.out = CUPEL_TRY(access("out"));
    s.epilogue = CUPEL_TRY(expression("epilogue"));
    return s;
  }
  Result<MapSpec> body(MapSpec s) {
    CUPEL_TRY(end_line());
    s.space = CUPEL_TRY(numbers("space"));
    s.operands = CUPEL_TRY(operands());
    s.out = CUPEL_TRY(access("out"));
    s.value = CUPEL_TRY(expression("value"));
    return s;
  }
  Result<RowSpec> body(RowSpec s) {
    CUPEL_TRY(end_line());
    s.space = CUPEL_TRY(numbers("space"));
    s.operands = CUPEL_TRY(operands());
    while (peek() == "step") {
      word();
      RowStep step;
      step.kind = static_cast<RowReduction>(CUPEL_TRY(one_of(kRowReductions, "greatest, sum64 or squares64")));
      step.value = CUPEL_TRY(nodes());
      if (peek() == "finish") step.finish = CUPEL_TRY(expression("finish"));
      s.steps.push_back(std::move(step));
    }
    s.out = CUPEL_TRY(access("out"));
    s.value = CUPEL_TRY(expression("value"));
    return s;
  }

  Result<CallSpec> body(CallSpec s) {
    const auto rows = routine_table();
    const auto found =
        std::find_if(rows.begin(), rows.end(), [&](const RoutineRow& row) { return row.name == peek(); });
    if (found == rows.end()) return unexpected_word("a routine");
    word();
    s.routine = static_cast<Routine>(found - rows.begin());
    CUPEL_TRY(end_line());
    s.space = CUPEL_TRY(numbers("space"));
    s.operands = CUPEL_TRY(operands());
    s.integers = CUPEL_TRY(numbers("integers"));
    s.out = CUPEL_TRY(access("out"));
    return s;
  }

  Result<ContractSchedule> schedule(ContractSchedule s) {
    s.tile_h = CUPEL_TRY(field("tile_h"));
    s.tile_w = CUPEL_TRY(field("tile_w"));
    s.tile_blocks = CUPEL_TRY(field("tile_blocks"));
    s.unroll = CUPEL_TRY(field("unroll"));
    s.bands = CUPEL_TRY(field("bands"));
    s.prefetch = CUPEL_TRY(field("prefetch"));
    return s;
  }
  Result<WindowSchedule> schedule(WindowSchedule s) {
    s.tile_h = CUPEL_TRY(field("tile_h"));
    s.tile_w = CUPEL_TRY(field("tile_w"));
    s.tile_blocks = CUPEL_TRY(field("tile_blocks"));
    return s;
  }
  Result<MapSchedule> schedule(MapSchedule s) {
    s.vector_dimension = CUPEL_TRY(field("vector_dimension"));
    return s;
  }
  static Result<RowSchedule> schedule(RowSchedule s) { return s; }
  static Result<CallSchedule> schedule(CallSchedule s) { return s; }
};

}  // namespace

std::string print_kernel(const Kernel& kernel) { return Printer().print(kernel); }
Result<Kernel> take_kernel(TextLines& lines) {
  Parser parser(lines);
  auto kernel = parser.kernel();
  lines = parser;
  return kernel;
}
Result<Kernel> parse_kernel(std::string_view text) {
  TextLines lines(text, "kernel text");
  Kernel kernel = CUPEL_TRY(take_kernel(lines));
  if (!lines.at_end()) return lines.error("text after the kernel");
  return kernel;
}
std::string kernel_hash(const Kernel& kernel) { return to_hex(sha256(print_kernel(kernel))); }

}  // namespace cupel
