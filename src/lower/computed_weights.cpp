// Weights and biases of convolutions that are known at run time alone: packed before each run of the kernel.
#include "lower/contraction.h"
#include "lower/op_lowerings.h"

namespace cupel {
namespace {

// unsupported unless they are numbers, the same for every item.
Result<ValueLayout> expect_computed(Lowering& l, const Node& node, size_t i) {
  const ValueId v = node.inputs[i];
  if (l.graph.type(v).dtype != DType::f32) return no_compiled_form("codes of weights computed at run time");
  if (l.facts.is_batched(v)) return no_compiled_form("weights for each batch item");
  return CUPEL_TRY(l.places.at(v)).layout;
}

// A map that copies numbers into `buffer`.
void copy_numbers(Lowering& l, const Node& node, const ValueLayout& from, Dims space, Access read, int64_t buffer,
                  int64_t offset, std::vector<int64_t> strides) {
  MapSpec copy{.space = std::move(space)};
  copy.operands = {std::move(read)};
  copy.out = {.dtype = DType::f32, .offset = offset, .item_stride = l.steps.item_bytes(buffer)};
  copy.out.strides = std::move(strides);
  ExprBuilder b;
  copy.value = b.finish(b.operand(0, DType::f32));
  l.steps.add_unnamed({std::move(copy), MapSchedule{}}, {buffer, from.buffer}, origins_of(node));
}

}  // namespace

Result<int64_t> pack_computed_weights(Lowering& l, const Node& node, ContractSpec& spec, int64_t groups) {
  const ValueLayout w = CUPEL_TRY(expect_computed(l, node, 1));
  const std::vector<int64_t>& s = w.strides;
  const int64_t columns = w.dims[0] / groups, channels = w.dims[1], height = w.dims[2], width = w.dims[3];
  const int64_t blocks = (columns + 15) / 16, block_bytes = height * width * channels * 64;
  const int64_t buffer = l.steps.add_buffer(node.name + "_weights", BufferPlace::arena, groups * blocks * block_bytes);
  spec.b = {.dtype = DType::f32, .item_stride = l.steps.item_bytes(buffer)};
  spec.b.strides.assign(spec.space.size(), 0);
  if (groups > 1) spec.b.strides[spec.space.size() - 4] = blocks * block_bytes;
  spec.b_block_stride = block_bytes;
  const auto pack = [&](int64_t first, int64_t count, int64_t columns_of_block) {
    if (count == 0 || columns_of_block == 0) return;
    Access read = l.steps.first_element(w);
    read.offset += first * 16 * s[0];
    read.strides = {columns * s[0], 16 * s[0], s[2], s[3], s[1], s[0]};
    copy_numbers(l, node, w, {groups, count, height, width, channels, columns_of_block}, std::move(read), buffer,
                 first * block_bytes, {blocks * block_bytes, block_bytes, width * channels * 64, channels * 64, 64, 4});
  };
  pack(0, columns / 16, 16);
  pack(columns / 16, 1, columns % 16);
  return buffer;
}

Result<int64_t> pack_computed_taps(Lowering& l, const Node& node, WindowSpec& spec) {
  const ValueLayout w = CUPEL_TRY(expect_computed(l, node, 1));
  const std::vector<int64_t>& s = w.strides;
  const int64_t padded = round_up(w.dims[0], 16), height = w.dims[2], width = w.dims[3];
  const int64_t buffer = l.steps.add_buffer(node.name + "_weights", BufferPlace::arena, height * width * padded * 4);
  spec.weights = {.dtype = DType::f32, .item_stride = l.steps.item_bytes(buffer)};
  spec.weights.strides.assign(spec.a.strides.size(), 0);
  spec.weights.strides.back() = 4;
  spec.weights_tap_stride = padded * 4;
  Access read = l.steps.first_element(w);
  read.strides = {s[2], s[3], s[0]};
  copy_numbers(l, node, w, {height, width, w.dims[0]}, std::move(read), buffer, 0, {width * padded * 4, padded * 4, 4});
  return buffer;
}

Result<int64_t> computed_starts(Lowering& l, const Node& node, Access& start, size_t rank, int64_t groups) {
  const ValueLayout bias = CUPEL_TRY(expect_computed(l, node, 2));
  if (bias.dims.size() != 1) return no_compiled_form("a bias of other than one dimension");
  const int64_t columns = bias.dims[0] / groups, padded = round_up(columns, 16);
  const int64_t buffer = l.steps.add_buffer(node.name + "_starts", BufferPlace::arena, groups * padded * 4);
  start = {.dtype = DType::f32, .item_stride = l.steps.item_bytes(buffer), .strides = std::vector<int64_t>(rank, 0)};
  start.strides.back() = 4;
  if (groups > 1) start.strides[rank - 4] = padded * 4;
  Access read = l.steps.first_element(bias);
  read.strides = {columns * bias.strides[0], bias.strides[0]};
  copy_numbers(l, node, bias, {groups, columns}, std::move(read), buffer, 0, {padded * 4, 4});
  return buffer;
}

}  // namespace cupel
