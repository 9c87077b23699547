// The sections of the report page, from top to bottom. Each is empty when it has nothing to say.
#pragma once

#include <string>

#include "report/report.h"

namespace cupel::html {

// The first screen: verdict, what did not run as asked, base | candidate | difference, flips; one block per candidate.
std::string verdict_sections(const Report& report);
// The outputs beside the base's, metric by metric.
std::string outputs_section(const Report& report);
std::string layers_section(const Report& report);
// The error budgets of the layers.
std::string budgets_section(const Report& report);
// What single layers do to the answers.
std::string sensitivity_section(const Report& report);
std::string speed_section(const Report& report);
std::string warnings_section(const Report& report);
std::string provenance_section(const Report& report);

}  // namespace cupel::html
