#include "lower/steps.h"

#include <fmt/format.h>

#include "lower/builder.h"
#include "lower/schedule.h"

namespace cupel {

Steps::Steps(const Graph& graph, const Graph& source, Batch batch, std::string model)
    : graph_(graph), source_(source), batch_(std::move(batch)) {
  program_.model = std::move(model);
}

int64_t Steps::add_buffer(std::string name, BufferPlace place, int64_t item_bytes) {
  program_.buffers.push_back({.name = std::move(name), .place = place, .item_bytes = item_bytes});
  return static_cast<int64_t>(program_.buffers.size()) - 1;
}

int64_t Steps::fault_buffer() {
  if (fault_buffer_ < 0) fault_buffer_ = add_buffer("fault", BufferPlace::fault, 0);
  return fault_buffer_;
}

int64_t Steps::add_constant(std::span<const std::byte> bytes) {
  auto& block = program_.constants;
  block.resize(static_cast<size_t>(round_up(static_cast<int64_t>(block.size()), 64)));
  const int64_t buffer = add_buffer(fmt::format("constant{}", program_.buffers.size()), BufferPlace::constant,
                                    static_cast<int64_t>(bytes.size()));
  program_.buffers.back().offset = static_cast<int64_t>(block.size());
  block.insert(block.end(), bytes.begin(), bytes.end());
  return buffer;
}

int64_t Steps::add_input(Port port, int64_t item_bytes) {
  const int64_t buffer = add_buffer(port.name, BufferPlace::input, item_bytes);
  program_.buffers.back().index = static_cast<int64_t>(program_.inputs.size());
  program_.inputs.push_back(std::move(port));
  return buffer;
}

int64_t Steps::add_output(Port port, int64_t item_bytes) {
  const int64_t buffer = add_buffer(port.name + "_output", BufferPlace::output, item_bytes);
  program_.buffers.back().index = static_cast<int64_t>(program_.outputs.size());
  program_.outputs.push_back(std::move(port));
  return buffer;
}

Access Steps::first_element(const ValueLayout& layout) const {
  const Buffer& b = buffer(layout.buffer);
  Access access{.dtype = layout.dtype, .offset = layout.offset, .item_stride = b.item_bytes};
  access.constant = b.place == BufferPlace::constant;
  if (access.constant || stands_still(program_, b)) access.item_stride = 0;
  return access;
}

std::optional<ValueLayout> Steps::tapped(ValueId value, const ValueLayout& layout) const {
  const auto found = source_.find_value(graph_.value(value).name);
  if (!found || source_.type(*found).shape != graph_.type(value).shape) return std::nullopt;
  if (batch_.leads && !is_batched(graph_, batch_, value)) return std::nullopt;
  ValueLayout tap = layout;
  if (first_walked(tap.dims) > 0) {
    tap.dims.erase(tap.dims.begin());
    tap.strides.erase(tap.strides.begin());
  }
  if (static_cast<int64_t>(tap.dims.size()) == kMaxRank) return std::nullopt;  // with the items it has one more
  return tap;
}

namespace {

// Elements of types that kernels do not compute with are only copied: in one or two parts of a type that has their
// bytes.
struct Parts {
  DType type;
  int64_t count;
};
std::optional<Parts> parts_of(DType type) {
  if (is_computed(type) && type != DType::s16) return std::nullopt;
  switch (dtype_bits(type)) {
    case 64: return Parts{.type = DType::s32, .count = 2};
    case 32: return Parts{.type = DType::s32, .count = 1};
    case 16: return Parts{.type = DType::u8, .count = 2};
    case 8: return Parts{.type = DType::u8, .count = 1};
    default: return std::nullopt;
  }
}

void copy_by_parts(MapSpec& map) {
  const auto parts = parts_of(map.out.dtype);
  if (!parts || map.operands.size() != 1 || map.operands[0].dtype != map.out.dtype) return;
  if (parts->count > 1) map.space.push_back(parts->count);
  for (Access* a : {&map.operands[0], &map.out}) {
    a->dtype = parts->type;
    if (parts->count > 1) a->strides.push_back(dtype_bits(parts->type) / 8);
  }
  ExprBuilder b;
  map.value = b.finish(b.operand(0, parts->type));
}

bool walks_nothing(const KernelSpec& spec) {
  return std::visit([](const auto& s) { return element_count(s.space) == 0; }, spec);
}

}  // namespace

void Steps::add(Kernel kernel, std::vector<int64_t> buffers, const std::set<std::string>& origins,
                std::optional<ValueId> result, const Placed* place) {
  if (walks_nothing(kernel.spec)) return;
  Step step;
  if (auto* map = std::get_if<MapSpec>(&kernel.spec)) {
    copy_by_parts(*map);
    *map = in_written_order(std::move(*map));
    kernel.schedule = start_schedule(*map);
  }
  step.name = fmt::format("{}_{}", program_.steps.size(), kernel_name(kernel));
  step.kernel = std::move(kernel);
  step.buffers = std::move(buffers);
  step.origins.assign(origins.begin(), origins.end());
  if (result && !place->requantized) {
    step.result = tapped(*result, place->layout);
    if (step.result) {
      step.value_name = graph_.value(*result).name;
      step.type = graph_.type(*result);
    }
  }
  program_.steps.push_back(std::move(step));
}

}  // namespace cupel
