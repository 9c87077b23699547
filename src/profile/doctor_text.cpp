#include <fmt/format.h>

#include <algorithm>
#include <string>

#include "profile/doctor.h"
#include "target/targets.h"

namespace cupel {
namespace {

using Facts = std::vector<std::pair<std::string, std::string>>;
constexpr size_t kWidth = 120;

// Text at a left margin, broken at blanks; the first line starts where the caller stands.
std::string wrap(const std::string& text, size_t margin) {
  std::string out;
  size_t column = margin, begin = 0;
  while (begin < text.size()) {
    size_t end = text.find(' ', begin);
    if (end == std::string::npos) end = text.size();
    const size_t length = end - begin;
    if (column > margin && column + 1 + length > kWidth) {
      out += '\n' + std::string(margin, ' ');
      column = margin;
    } else if (column > margin) {
      out += ' ';
      ++column;
    }
    out.append(text, begin, length);
    column += length;
    begin = end + 1;
  }
  return out;
}

void section(std::string& out, const std::string& title, const Facts& facts) {
  out += title + '\n';
  size_t width = 0;
  for (const auto& [name, value] : facts) width = std::max(width, std::min<size_t>(name.size(), 32));
  for (const auto& [name, value] : facts) {
    out += fmt::format("  {:<{}}  {}\n", name, width, wrap(value, std::max(width, name.size()) + 4));
  }
  out += '\n';
}

// Columns: instruction, one core, all cores, per cycle.
void peaks_section(std::string& out, const Peaks& peaks) {
  out += fmt::format("Peaks, measured in {:.1f} s ({})\n", static_cast<double>(peaks.duration_ns) * 1e-9,
                     peaks.quick ? "quick form" : "thorough form");
  size_t id_width = 0, instruction_width = 0;
  for (const PeakRow& row : peaks.rows) {
    id_width = std::max(id_width, row.id.size());
    instruction_width = std::max(instruction_width, row.instruction.size());
  }
  out += fmt::format("  {:<{}}  {:<{}}  {:>12}  {:>12}  {}\n", "", id_width, "", instruction_width, "one core",
                     fmt::format("{} core{}", peaks.threads, peaks.threads == 1 ? "" : "s"), "one core, a cycle");
  const auto clock = peaks.clock_ghz();
  for (const PeakRow& row : peaks.rows) {
    out += fmt::format("  {:<{}}  {:<{}}  ", row.id, id_width, row.instruction, instruction_width);
    if (!row.absent_because.empty()) {
      out += row.absent_because + '\n';
      continue;
    }
    out += fmt::format("{:>12}  {:>12}", rate_text(row.one_core, row.unit), rate_text(row.all_cores, row.unit));
    if (clock && row.one_core && row.unit != "GHz") {
      out +=
          fmt::format("  {} {}", per_cycle_text(*row.one_core / *clock), row.unit == "GB/s" ? "bytes" : "operations");
    }
    if (row.bytes > 0) out += fmt::format(" of {}", size_text(row.bytes));
    out += '\n';
    if (!row.note.empty()) out += fmt::format("  {:<{}}  {}\n", "", id_width, wrap("(" + row.note + ")", id_width + 4));
  }
  out += '\n';
}

}  // namespace

std::string doctor_text(const Diagnosis& d) {
  std::string out;
  section(out, "Machine", machine_facts(d.machine));
  Facts others = gpu_facts(d.gpus);
  for (const DatasetPresence& set : d.datasets) {
    others.emplace_back("data set " + set.name, set.installed ? set.folder : "not installed");
  }
  others.emplace_back("performance counters",
                      d.counters.available ? "available" : "unavailable: " + d.counters.absent_because);
  section(out, "Around it", others);
  section(out, "Targets this machine can run", target_facts(d));
  if (const CpuTargetRow* best = best_cpu_target(d.machine)) out += fmt::format("  host means {}\n\n", best->name);
  if (d.peaks) {
    peaks_section(out, *d.peaks);
  } else {
    out += "Peaks\n  not measured\n\n";
  }
  const std::vector<Finding> missing = findings(d);
  out += missing.empty() ? "Missing: nothing\n" : "Missing\n";
  for (const Finding& finding : missing) {
    out += "  - " + wrap(finding.what, 4) + '\n';
    out += "    consequence: " + wrap(finding.consequence, 17) + '\n';
    out += "    remedy:      " + wrap(finding.remedy, 17) + '\n';
  }
  return out;
}

}  // namespace cupel
