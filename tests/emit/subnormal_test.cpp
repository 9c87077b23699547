// Subnormal numbers in compiled code: every operation, on every target of this machine, gives the bits of its
// evaluation.
#include "emit/run_kernel.h"
#include "kernel/subnormal_kernels.h"

namespace cupel {
namespace {

class Subnormals : public testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Targets, Subnormals, testing::ValuesIn(target_names()), test_name);

TEST_P(Subnormals, OperationsGiveTheBitsOfTheirEvaluation) {
  std::vector<RandomKernel> kernels;
  for (const SubnormalCase& one : subnormal_cases()) kernels.push_back(make_subnormal_kernel(one));
  compare_kernels(kernels, *find_emit_target(GetParam()));
}

// Expressions that lowering would have folded.
TEST_P(Subnormals, ConstantsFoldAlike) {
  const auto constant = [](float value) { return ScalarNode{.op = ScalarOp::constant_f32, .value = value}; };
  std::vector<RandomKernel> kernels;
  for (const ScalarOp op : {ScalarOp::add, ScalarOp::sub, ScalarOp::mul, ScalarOp::div, ScalarOp::greater})
    for (const float value : {0x1p-140f, -0x1p-100f}) {
      RandomKernel& random = kernels.emplace_back(make_subnormal_kernel(subnormal_cases()[0]));
      auto& map = std::get<MapSpec>(random.kernel.spec);
      map.value.nodes = {{.op = ScalarOp::operand, .index = 0},
                         constant(value),
                         constant(0x1p-40f),
                         {.op = op, .arguments = {1, 2, -1}},
                         constant(0x1p+120f),
                         {.op = ScalarOp::mul, .arguments = {3, 4, -1}},
                         {.op = ScalarOp::add, .arguments = {0, 5, -1}}};
    }
  compare_kernels(kernels, *find_emit_target(GetParam()));
}

}  // namespace
}  // namespace cupel
