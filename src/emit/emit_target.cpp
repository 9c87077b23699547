#include "emit/emit_target.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/file.h"

namespace cupel {
namespace {

// One row per x86-64 target: how LLVM names it and what its vectors are.
struct Row {
  std::string_view name;
  std::string_view cpu;
  FeatureSet features;
  int lanes;
  int registers;
  ByteProduct product;
  bool listed;  // shown to users
};

const std::vector<Row>& rows() {
  static const std::vector<Row> table = {
      {"x86-64-v3", "x86-64-v3", x86_64_level_features(3), 8, 16, ByteProduct::two_s16, true},
      {"x86-64-v3+avxvnni", "x86-64-v3", x86_64_level_features(3).plus({Feature::avxvnni}), 8, 16,
       ByteProduct::four_u8_s8, true},
      {"x86-64-v3+avxvnni-evex", "x86-64-v3",
       x86_64_level_features(3).plus({Feature::avx512f, Feature::avx512vl, Feature::avx512vnni}), 8, 16,
       ByteProduct::four_u8_s8, false},
      {"x86-64-v4", "x86-64-v4", x86_64_level_features(4), 16, 32, ByteProduct::two_s16, true},
      {"x86-64-v4+avx512vnni", "x86-64-v4", x86_64_level_features(4).plus({Feature::avx512vnni}), 16, 32,
       ByteProduct::four_u8_s8, true},
  };
  return table;
}

// Features beyond a row that kernels make use of.
constexpr Feature kFurther[] = {Feature::avx512vbmi};

EmitTarget from_row(const Row& row) {
  EmitTarget target;
  target.name = row.name;
  target.triple = "x86_64-unknown-linux-gnu";
  target.cpu = row.cpu;
  target.feature_set = row.features;
  target.vector_lanes = row.lanes;
  target.vector_registers = row.registers;
  target.byte_product = row.product;
  return target;
}

// Features that a level of the architecture has are implied by the CPU's name.
void spell_features(EmitTarget& target) {
  std::vector<std::string> names;
  for (const FeatureRow& row : feature_table())
    if (target.feature_set.has(row.feature) && row.architecture == Architecture::x86_64 &&
        (row.level == 0 || (row.level == 4 && target.cpu == "x86-64-v3")))
      names.push_back(fmt::format("+{}", row.name));
  target.features = fmt::format("{}", fmt::join(names, ","));
}

std::string known_names() {
  std::vector<std::string_view> names = {"host"};
  for (const Row& row : rows())
    if (row.listed) names.push_back(row.name);
  return fmt::format("{}", fmt::join(names, ", "));
}

std::unexpected<Error> unknown(std::string_view name) {
  return usage_error("--target", fmt::format("\"{}\" is no target", printable(name)),
                     fmt::format("known targets: {}; more features may follow, each after a \"+\"", known_names()));
}

std::unexpected<Error> unknown_cpu(std::string_view name) {
  std::vector<std::string_view> names;
  for (const CpuRow& row : cpu_table()) names.push_back(row.name);
  return usage_error("--tune-for", fmt::format("\"{}\" is no CPU", printable(name)),
                     fmt::format("known CPUs: {}", fmt::join(names, ", ")));
}

}  // namespace

bool can_run(const Machine& machine, const EmitTarget& target) {
  return machine.architecture == Architecture::x86_64 && machine.features.usable.contains(target.feature_set);
}

Result<EmitTarget> find_emit_target(std::string_view name, std::string_view tune_for) {
  if (!tune_for.empty()) {
    EmitTarget target = CUPEL_TRY(find_emit_target(name));
    target.tuning = find_cpu(tune_for);
    if (target.tuning == nullptr) return unknown_cpu(tune_for);
    return target;
  }
  if (name == "host") {
    const Machine machine = host_machine();
    const CpuTargetRow* best = best_cpu_target(machine);
    if (best == nullptr)
      return unsupported("--target host", "this CPU is below x86-64-v3", "name a target to compile for");
    std::string full(best->name);
    if (best->features.has(Feature::avx512f))
      for (Feature f : kFurther)
        if (machine.features.usable.has(f)) full += fmt::format("+{}", feature_row(f).name);
    EmitTarget host = CUPEL_TRY(find_emit_target(full));
    host.tuning = &cpu_of(machine);
    return host;
  }
  const Row* found = nullptr;
  for (const Row& row : rows()) {
    const bool prefix = name.starts_with(row.name) && (name.size() == row.name.size() || name[row.name.size()] == '+');
    if (prefix && (found == nullptr || row.name.size() > found->name.size())) found = &row;
  }
  if (found == nullptr) {
    for (const CpuTargetRow& row : cpu_target_table())
      if (row.name == name && row.architecture != Architecture::x86_64)
        return unsupported("--target", fmt::format("no code is generated for {} yet", row.name),
                           fmt::format("targets with code generation: {}", known_names()));
    return unknown(name);
  }
  EmitTarget target = from_row(*found);
  std::string_view rest = name.substr(found->name.size());
  while (!rest.empty()) {
    const size_t stop = rest.find('+', 1);
    const std::string_view one = rest.substr(1, stop == std::string_view::npos ? stop : stop - 1);
    const auto feature = feature_from_name(one);
    if (!feature || feature_row(*feature).architecture != Architecture::x86_64) return unknown(name);
    target.feature_set.add(*feature);
    rest = stop == std::string_view::npos ? std::string_view() : rest.substr(stop);
  }
  target.name = name;
  spell_features(target);
  return target;
}

std::vector<EmitTarget> runnable_emit_targets() {
  const Machine machine = host_machine();
  std::vector<EmitTarget> targets;
  for (const Row& row : rows()) {
    auto target = find_emit_target(row.name);
    if (target && can_run(machine, *target)) targets.push_back(std::move(*target));
  }
  return targets;
}

}  // namespace cupel
