// Numbers and headlines as the page and the terminal show them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "report/report.h"

namespace cupel {

// Name from a file for display: printable, at most `limit` bytes.
inline constexpr size_t kNameLimit = 200;
// The longest text in any form of the report.
inline constexpr size_t kTextLimit = 4096;
std::string display_name(std::string_view name);
std::string display_text(std::string_view text);

// "1.07 MB", "512 B": decimal units, three significant digits.
std::string bytes_text(int64_t bytes);
// "20.4 M", "1.31 G", "812".
std::string count_text(int64_t count);
// candidate / base − 1; nothing when base is 0.
std::optional<double> relative_change(int64_t base, int64_t candidate);
// "-74.6 %", "+0.3 %", "0 %"; with U+2212 as the minus sign when `typographic`.
std::string change_text(double change, bool typographic);
// "-0.13", "+0.02", "0.00" percentage points of a share.
std::string signed_points_text(double share, int64_t samples, bool typographic);

// "135", "56.2", "0.943": at least three significant digits, without the unit.
std::string microseconds_text(double us);
// Of 1 / ratio: how many times as fast.
Interval speed_up_interval(const SpeedComparison& comparison);
// How fast candidate `index` is in the first measurement of speed: "runs 2.41 times as fast"; empty without one.
std::string speed_words(const Report& report, size_t index);

// "f32 [10], scores of classes".
std::string output_text(const OutputForm& form);
// What candidate `index` does to an output, by the metrics that are brief: "agreement 98.20 % [97.5, 98.9], SQNR 34.9
// dB [34.1, 35.6]".
std::string output_summary(const OutputComparison& output, size_t index);
// The output in which candidate `index` is worst: of those with SQNR the lowest, else of equal elements. nullptr
// without.
const OutputComparison* worst_output(const Report& report, size_t index);

// The words that name the first metric's comparison `index`: "INT8 stays within the allowed loss"; without
// accuracy the first metric that labels judge: "INT8 is worse by 0.12 dB in PSNR"; where labels judged nothing, how
// close the outputs are: "INT8 agrees with FP32 on 98.20 % of the samples".
std::string accuracy_words(const Report& report, size_t index);
// The same, and how fast that model is: "INT8 stays within the allowed loss and runs 2.41 times as fast".
std::string headline(const Report& report, size_t index);
// POSIX shell words that give `command` back.
std::string shell_text(const std::vector<std::string>& command);
// The comparison of candidate `index` under the first metric; nullptr without one.
const Comparison* first_comparison(const Report& report, size_t index);

}  // namespace cupel
