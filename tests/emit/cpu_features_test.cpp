// The check that compiled models make of their CPU, beside the compiler's.
#include "runtime/cpu_features.h"

#include <gtest/gtest.h>

#include "target/features.h"

namespace cupel {
namespace {

TEST(CpuFeatures, CompiledModelsAndTheCompilerAgree) {
  const FeatureSet usable = detect_features(host_cpu_query()).usable;
  for (const FeatureRow& row : feature_table())
    EXPECT_EQ(cpu_has(std::string(row.name).c_str()),
              row.architecture == host_architecture() && usable.has(row.feature) && row.state != SavedState::tile)
        << row.name;
}

}  // namespace
}  // namespace cupel
