// What a kernel's spec and schedule imply: its buffers, its expressions' sources, its units of work and its name.
#include <fmt/format.h>

#include <algorithm>

#include "kernel/kernel.h"
#include "kernel/routines.h"

namespace cupel {
namespace {

int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

std::vector<const Access*> with_operands(std::vector<const Access*> first, const std::vector<Access>& operands) {
  for (const Access& operand : operands) first.push_back(&operand);
  return first;
}
std::vector<const Access*> accesses(const ContractSpec& s) {
  return with_operands({&s.out, &s.a, &s.b, &s.start}, s.operands);
}
std::vector<const Access*> accesses(const WindowSpec& s) {
  if (s.kind != WindowKind::dot) return with_operands({&s.out, &s.a}, s.operands);
  return with_operands({&s.out, &s.a, &s.weights, &s.start}, s.operands);
}
std::vector<const Access*> accesses(const MapSpec& s) { return with_operands({&s.out}, s.operands); }
std::vector<const Access*> accesses(const RowSpec& s) { return with_operands({&s.out}, s.operands); }
std::vector<const Access*> accesses(const CallSpec& s) { return with_operands({&s.out}, s.operands); }

std::vector<ScalarType> accumulators(const ContractSpec& s) { return {scalar_type_of(s.a.dtype)}; }
std::vector<ScalarType> accumulators(const WindowSpec& s) { return {scalar_type_of(s.a.dtype)}; }
std::vector<ScalarType> accumulators(const MapSpec&) { return {}; }
std::vector<ScalarType> accumulators(const RowSpec& s) { return std::vector(s.steps.size(), ScalarType::f32); }

int64_t outer_elements(const Dims& space, size_t inner_dimensions) {
  int64_t count = 1;
  for (size_t d = 0; d + inner_dimensions < space.size(); ++d) count *= space[d];
  return count;
}
int64_t units(const ContractSpec& s, const ContractSchedule& schedule) {
  const int64_t blocks = ceil_div(s.space.back(), 16);
  return outer_elements(s.space, 3) * pixel_tiles(s, schedule) * ceil_div(blocks, schedule.tile_blocks);
}
int64_t units(const WindowSpec& s, const WindowSchedule& schedule) {
  return outer_elements(s.space, 3) * ceil_div(s.space[s.space.size() - 3], schedule.tile_h);
}
int64_t units(const MapSpec& s, const MapSchedule&) { return outer_elements(s.space, 1); }
int64_t units(const RowSpec& s, const RowSchedule&) { return outer_elements(s.space, 1); }
int64_t units(const CallSpec& s, const CallSchedule&) { return outer_elements(s.space, 1); }

// "u8_f32": the operands' types in order, each once.
std::string operand_types(const std::vector<Access>& operands) {
  std::string text;
  std::vector<DType> seen;
  for (const Access& operand : operands) {
    if (std::find(seen.begin(), seen.end(), operand.dtype) != seen.end()) continue;
    seen.push_back(operand.dtype);
    text += fmt::format("{}_", dtype_name(operand.dtype));
  }
  return text;
}
std::string name(const ContractSpec& s, const ContractSchedule& schedule) {
  return fmt::format("contract_{}_{}_{}_m{}n{}", dtype_name(s.a.dtype), dtype_name(s.b.dtype), dtype_name(s.out.dtype),
                     schedule.tile_h * schedule.tile_w, 16 * schedule.tile_blocks);
}
std::string name(const WindowSpec& s, const WindowSchedule& schedule) {
  constexpr std::string_view kKinds[] = {"dot", "sum", "max"};
  return fmt::format("window_{}_{}_{}_w{}n{}", kKinds[static_cast<size_t>(s.kind)], dtype_name(s.a.dtype),
                     dtype_name(s.out.dtype), schedule.tile_w, 16 * schedule.tile_blocks);
}
std::string name(const MapSpec& s, const MapSchedule&) {
  return fmt::format("map_{}{}", operand_types(s.operands), dtype_name(s.out.dtype));
}
std::string name(const RowSpec& s, const RowSchedule&) {
  constexpr std::string_view kKinds[] = {"greatest", "sum64", "squares64"};
  std::string text = "row_";
  for (const RowStep& step : s.steps) text += fmt::format("{}_", kKinds[static_cast<size_t>(step.kind)]);
  return text + operand_types(s.operands) + std::string(dtype_name(s.out.dtype));
}

std::string name(const CallSpec& s, const CallSchedule&) {
  return fmt::format("call_{}_{}{}", routine_row(s.routine).name, operand_types(s.operands), dtype_name(s.out.dtype));
}

// Calls body(spec, schedule) on the alternatives, which have one index.
template <class Body>
auto with_form(const Kernel& kernel, Body&& body) {
  switch (kernel.spec.index()) {
    case 0: return body(std::get<0>(kernel.spec), std::get<0>(kernel.schedule));
    case 1: return body(std::get<1>(kernel.spec), std::get<1>(kernel.schedule));
    case 2: return body(std::get<2>(kernel.spec), std::get<2>(kernel.schedule));
    case 3: return body(std::get<3>(kernel.spec), std::get<3>(kernel.schedule));
    default: return body(std::get<4>(kernel.spec), std::get<4>(kernel.schedule));
  }
}

}  // namespace

int64_t pixel_tiles(const ContractSpec& spec, const ContractSchedule& schedule) {
  const size_t rank = spec.space.size();
  return ceil_div(spec.space[rank - 3], schedule.tile_h) * ceil_div(spec.space[rank - 2], schedule.tile_w);
}

TapRange taps_inside(const Border& b, int64_t from, int64_t to) {
  const auto quotient_up = [&](int64_t x) { return ceil_div(std::max<int64_t>(x, 0), b.dilation); };
  return {quotient_up(b.before - to * b.stride), std::min(b.taps, quotient_up(b.lines + b.before - from * b.stride))};
}

bool leaves_columns_out(const ContractSpec& spec) {
  const int64_t part = spec.run / spec.columns.taps, step = spec.a.dtype == DType::f32 ? 1 : 4;
  return spec.columns.known() && part % step == 0 && part >= 16 * step;
}

std::vector<const Access*> accesses_of(const KernelSpec& spec) {
  return std::visit([](const auto& s) { return accesses(s); }, spec);
}

size_t buffer_count(const KernelSpec& spec) {
  return accesses_of(spec).size() + (std::holds_alternative<CallSpec>(spec) ? 1 : 0);
}

ScalarScope scope_of(const KernelSpec& spec) {
  return std::visit(
      [](const auto& s) {
        ScalarScope scope;
        using Spec = std::decay_t<decltype(s)>;
        if constexpr (!std::is_same_v<Spec, CallSpec>) {
          for (const Access& operand : s.operands) scope.operands.push_back(operand.dtype);
          scope.accumulators = accumulators(s);
        }
        return scope;
      },
      spec);
}

int64_t units_per_item(const Kernel& kernel) {
  return with_form(kernel, [](const auto& spec, const auto& schedule) { return units(spec, schedule); });
}

std::string kernel_name(const Kernel& kernel) {
  return with_form(kernel, [](const auto& spec, const auto& schedule) { return name(spec, schedule); });
}

}  // namespace cupel
