#include "ops/routine.h"

#include <fmt/format.h>

#include <bit>
#include <cstring>

#include "ir/graph.h"
#include "runtime/op_call.h"
#include "runtime/thread_pool.h"

namespace cupel::ops {
namespace {

int64_t on_boundary(int64_t bytes) { return (bytes + 63) / 64 * 64; }

int64_t bytes_of(const RoutineTensor& t) {
  return element_count(t.dims) * op_element_bytes(static_cast<int64_t>(t.dtype));
}

struct Entry {
  std::string_view name;
  CupelRoutine function;
};
constexpr Entry kEntries[] = {
#define CUPEL_OP_ROUTINE(name) {#name, cupel_op_##name},
#include "runtime/op_routines.def"
#undef CUPEL_OP_ROUTINE
};

CupelRoutine function_of(std::string_view name) {
  for (const Entry& entry : kEntries)
    if (entry.name == name) return entry.function;
  return nullptr;
}

void add_block(std::vector<int64_t>& integers, const std::optional<RoutineTensor>& t, int64_t offset) {
  integers.push_back(t ? static_cast<int64_t>(t->dtype) : -1);
  integers.push_back(t ? static_cast<int64_t>(t->dims.size()) : 0);
  integers.push_back(offset);
  for (size_t d = 0; d < static_cast<size_t>(kMostOpRank); ++d)
    integers.push_back(t && d < t->dims.size() ? t->dims[d] : 1);
}

std::optional<RoutineTensor> described(const Tensor* t) {
  if (t == nullptr) return std::nullopt;
  return RoutineTensor{t->dtype(), t->dims()};
}

// The accesses of a run over tensors in memory.
struct Arguments {
  std::vector<CupelAccess> accesses = {{}};  // of the results
  std::vector<uint8_t*> buffers = {nullptr};

  void add(const Tensor& t) {
    accesses.push_back({});
    buffers.push_back(reinterpret_cast<uint8_t*>(const_cast<std::byte*>(t.bytes().data())));
  }
};

}  // namespace

int64_t real_attribute(float value) { return std::bit_cast<uint32_t>(value); }

std::vector<int64_t> describe(const RoutineUse& use, const RoutineTensors& results, const RoutineTensors& operands) {
  std::vector<int64_t> integers = {static_cast<int64_t>(results.size()), static_cast<int64_t>(operands.size()),
                                   static_cast<int64_t>(use.attributes.size()), use.scratch_bytes, use.units};
  int64_t end = 0;
  for (const auto& t : results) {
    add_block(integers, t, end);
    end = on_boundary(end + bytes_of(*t));
  }
  for (const auto& t : operands) add_block(integers, t, 0);
  integers.insert(integers.end(), use.attributes.begin(), use.attributes.end());
  return integers;
}

int64_t routine_bytes(const std::vector<int64_t>& description) {
  const OpCall call(description.data());
  return call.scratch_bytes() > 0 ? on_boundary(call.result_bytes()) + call.scratch_bytes() : call.result_bytes();
}

int64_t result_offset(const std::vector<int64_t>& description, size_t result) {
  return description[OpDescription::header_size + result * OpDescription::tensor_size + OpDescription::offset];
}

Status evaluate_routine(const EvalContext& c) {
  RoutineTensors results, operands;
  std::vector<const Tensor*> constants;
  for (size_t i = 0; i < c.outputs.size(); ++i) results.push_back(described(&c.out(i)));
  for (const Tensor* t : c.inputs) {
    operands.push_back(described(t));
    constants.push_back(t);
  }
  for (const auto& t : results)
    if (element_count(t->dims) == 0) return {};
  const RoutineUse use = CUPEL_TRY(c.node.op->routine({c.attributes, operands, results, constants}));
  Arguments arguments;
  RoutineTensors seen;
  for (const size_t i : use.operands) {
    seen.push_back(i < operands.size() ? operands[i] : std::nullopt);
    if (seen.back()) arguments.add(c.in(i));
  }
  for (const Tensor& t : use.constants) {
    seen.push_back(described(&t));
    arguments.add(t);
  }
  const std::vector<int64_t> integers = describe(use, results, seen);
  // A lone result is computed where it lies; several in one block, as compiled code does.
  const bool lone = results.size() == 1 && use.scratch_bytes == 0;
  std::vector<std::byte> block(lone ? 0 : static_cast<size_t>(routine_bytes(integers)) + 64);
  uint8_t* const begin = reinterpret_cast<uint8_t*>(block.data());
  arguments.buffers[0] = lone ? reinterpret_cast<uint8_t*>(c.out().mutable_bytes().data())
                              : begin + (64 - reinterpret_cast<uintptr_t>(begin) % 64) % 64;
  CupelFault fault = {};
  arguments.buffers.push_back(reinterpret_cast<uint8_t*>(&fault));
  const CupelCall call = {2, nullptr, arguments.accesses.data(), integers.data()};
  const CupelRoutine function = function_of(use.name);
  c.threads.parallel_for(use.units, use.grain,
                         [&](int64_t first, int64_t last) { function(&call, arguments.buffers.data(), first, last); });
  if (fault.found != 0) return bad_input("", describe_fault(fault).text, "correct the data");
  for (size_t i = 0; !lone && i < c.outputs.size(); ++i)
    std::memcpy(c.out(i).mutable_bytes().data(), arguments.buffers[0] + result_offset(integers, i),
                c.out(i).bytes().size());
  return {};
}

}  // namespace cupel::ops
