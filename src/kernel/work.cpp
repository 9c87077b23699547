#include "kernel/work.h"

#include <algorithm>
#include <cstdlib>

#include "kernel/routines.h"

namespace cupel {
namespace {

int64_t steps_of(const std::vector<ReductionLoop>& loops) {
  int64_t count = 1;
  for (const ReductionLoop& loop : loops) count *= loop.count;
  return count;
}

int64_t element_bytes(DType dtype) { return std::max<int64_t>(dtype_bits(dtype) / 8, 1); }

// Distinct bytes of an access: as many elements as it has coordinates that move it, at most what lies between the first
// and the last (windows overlap).
int64_t footprint(const Access& access, const Dims& space, const std::vector<ReductionLoop>& loops, int64_t run) {
  const int64_t size = element_bytes(access.dtype);
  int64_t elements = run, span = run * size;
  const auto add = [&](int64_t count, int64_t stride) {
    if (stride == 0) return;
    elements *= count;
    span += (count - 1) * std::abs(stride);
  };
  for (size_t d = 0; d < space.size(); ++d) add(space[d], access.strides[d]);
  for (const ReductionLoop& loop : loops) add(loop.count, loop.stride);
  return std::min(elements * size, span);
}

// Whole panels of 16 columns, for every coordinate before h that leads to other ones.
int64_t panel_bytes(const ContractSpec& s) {
  int64_t bytes = (s.space.back() + 15) / 16 * s.b_block_stride;
  for (size_t d = 0; d + 3 < s.space.size() && d < s.b.strides.size(); ++d)
    if (s.b.strides[d] != 0) bytes *= s.space[d];
  return bytes;
}

class Count {
 public:
  KernelWork operator()(const ContractSpec& s) {
    work_.multiply_adds = element_count(s.space) * steps_of(s.loops) * s.run;
    work_.accumulator = s.a.dtype == DType::f32 ? DType::f32 : DType::s32;
    work_.effort = work_.multiply_adds * (work_.accumulator == DType::f32 ? 4 : 1) + elements(s.space, s.epilogue);
    add(s.a, footprint(s.a, s.space, s.loops, s.run));
    add(s.b, panel_bytes(s));
    return elementwise(s, {&s.start});
  }
  KernelWork operator()(const WindowSpec& s) {
    const int64_t taps = steps_of(s.loops), steps = element_count(s.space) * taps;
    work_.effort = steps * kTapEffort + elements(s.space, s.epilogue);
    add(s.a, footprint(s.a, s.space, s.loops, 1));
    if (s.kind != WindowKind::dot) return elementwise(s, {});
    work_.multiply_adds = steps;
    work_.accumulator = s.a.dtype == DType::f32 ? DType::f32 : DType::s32;
    add(s.weights, taps * footprint(s.weights, s.space, {}, 1));
    return elementwise(s, {&s.start});
  }
  KernelWork operator()(const MapSpec& s) {
    work_.effort = elements(s.space, s.value);
    return elementwise(s, {});
  }
  KernelWork operator()(const RowSpec& s) {
    work_.effort = elements(s.space, s.value);
    for (const RowStep& step : s.steps) work_.effort += elements(s.space, step.value);
    return elementwise(s, {});
  }
  KernelWork operator()(const CallSpec& s) {
    work_.effort = elements(s.space, {});
    add(s.out, footprint(s.out, s.space, {}, 1));
    if (routine_row(s.routine).is_op) {
      for (size_t i = 0; i < s.operands.size(); ++i)
        for (const ByteAxis& axis : routine_row(s.routine).moves(s, i))
          add(s.operands[i], footprint(s.operands[i], s.space, {{axis.count, axis.stride}}, 1));
      return work_;
    }
    // Of a gather's data, at most an element for each of the result.
    const Access &data = s.operands[0], &indices = s.operands[1];
    add(data, std::min(footprint(data, s.space, {{s.integers[0], s.integers[1]}}, 1),
                       element_count(s.space) * element_bytes(data.dtype)));
    add(indices, footprint(indices, s.space, {}, 1));
    return work_;
  }

 private:
  // A vector of 16 lanes takes as long as 64 products of codes, an element is loaded and stored besides.
  static constexpr int64_t kNodeEffort = 4, kElementEffort = 16, kTapEffort = 4;
  static int64_t elements(const Dims& space, const ScalarExpr& expr) {
    // Saturating to a code is two bounds, a rounding and a sum.
    const auto saturations = std::count_if(expr.nodes.begin(), expr.nodes.end(),
                                           [](const ScalarNode& n) { return saturated_type(n.op).has_value(); });
    const auto operations = static_cast<int64_t>(expr.nodes.size()) + 3 * saturations;
    return element_count(space) * (kElementEffort + kNodeEffort * operations);
  }
  void add(const Access& access, int64_t bytes) {
    (access.constant ? work_.constant_bytes : work_.item_bytes) += bytes;
  }
  // The result, the operands of the expression and `more`, element by element of the space.
  template <class Spec>
  KernelWork elementwise(const Spec& s, std::initializer_list<const Access*> more) {
    add(s.out, footprint(s.out, s.space, {}, 1));
    for (const Access& operand : s.operands) add(operand, footprint(operand, s.space, {}, 1));
    for (const Access* access : more) add(*access, footprint(*access, s.space, {}, 1));
    return work_;
  }

  KernelWork work_;
};

}  // namespace

KernelWork work_of(const Kernel& kernel) { return std::visit(Count(), kernel.spec); }

}  // namespace cupel
