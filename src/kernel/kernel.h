// Kernels: buffers and loops. A closed set of forms, each with a spec (what is computed, layout included) and a
// schedule (how; no influence on a single bit). Kernels print and parse
// back, hash, and evaluate without LLVM.
//
// Coordinates. A form has a `space`: the extents of the result of one batch item, outermost first. An operand's element
// at coordinates i of batch item n lies at byte  offset + n·item_stride + Σ strides[d]·i[d]  of its buffer. All strides
// and extents are constants; only the number of batch items is known at run time.
//
// Padding of images and rows is physical: whoever writes a buffer fills its halo, so that no kernel tests a border.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/dtype.h"
#include "base/result.h"
#include "base/shape.h"
#include "kernel/scalar.h"

namespace cupel {

struct Access {
  DType dtype = DType::u8;       // f16 is read as f32 and rounded to nearest even when written
  bool constant = false;         // lies in the packed constants; item_stride is 0
  int64_t offset = 0;            // bytes
  int64_t item_stride = 0;       // bytes from one batch item to the next
  std::vector<int64_t> strides;  // bytes for one step of each dimension of the space
  bool operator==(const Access&) const = default;
};

// One loop of a reduction: `count` steps of `stride` bytes in the reduced operand.
struct ReductionLoop {
  int64_t count = 1;
  int64_t stride = 0;
  bool operator==(const ReductionLoop&) const = default;
};

// Where an image that a reduction reads holds zeros (a halo), along one axis: position p of the result and tap k read
// line p·stride + k·dilation − before; lines outside [0, lines) are zeros. lines = 0: nothing is known.
struct Border {
  int64_t taps = 1, stride = 1, dilation = 1, before = 0, lines = 0;
  bool known() const { return lines > 0; }
  bool operator==(const Border&) const = default;
};
// The taps [first, limit) that read something else for at least one of the positions [from, to]; empty: first ≥ limit.
struct TapRange {
  int64_t first, limit;
  bool operator==(const TapRange&) const = default;
};
TapRange taps_inside(const Border& border, int64_t from, int64_t to);

// contract: implicit matrix product. space = {…, h, w, columns}. For every element of the space:
//   acc = start[column];  over all loops (outermost first) and the run (elements k contiguous in a):
//   s32: acc += a[k]·b[k, column], exact (the lowering proved that no sum leaves int32; zero points are folded into
//        start);  f32: acc = fma(a[k], b[k, column], acc), in that order
//   result = epilogue(accumulator 0, operands…)
// `a`: u8 or f32 (s8 activations are stored as u8, code + 128); its stride along columns is 0. After the last element
// of a run of u8, up to 3 more bytes may be read; their weights are 0. `b`: packed, see kernel/packing.h: for each
// block of 16 columns all of K, K = Π counts · run rounded up to 4 (u8·s8), or run as it is (f32). Its strides follow
// the dimensions before h; b_block_stride leads from one block of 16 columns to the next. Columns are computed in whole
// blocks of 16: start, constant operands and the result have room for them.
// `rows`: the border along h, whose taps are the steps of the outermost loop; `columns`: along w, whose taps are equal
// parts of the run. Products with a border may be left out: they add nothing to a sum of s32, and to one of f32 at most
// the sign of a zero, which the epilogue of a kernel with a border does not tell (weights are finite there).
struct ContractSpec {
  Dims space;
  Access a, b, start;
  int64_t b_block_stride = 0;
  std::vector<ReductionLoop> loops;
  int64_t run = 0;
  Border rows, columns;
  std::vector<Access> operands;
  ScalarExpr epilogue;
  Access out;
  bool operator==(const ContractSpec&) const = default;
};

// Whether tiles of whole rows leave out products with the border along w: parts of the run begin where steps do, and
// are long enough for loops of their own.
bool leaves_columns_out(const ContractSpec& spec);

// How: tiles of tile_h × tile_w result pixels by tile_blocks blocks of 16 columns; the run is unrolled. The last tile
// of a row or column moves back to overlap its neighbour. The tiles of pixels, row by row, are parted into equal bands:
// all tiles of a band for one group of column blocks (a panel) before the next group, one band after another. One band
// reads weights once; several keep rows of neighbouring kernels with the same thread.
struct ContractSchedule {
  int64_t tile_h = 1, tile_w = 1, tile_blocks = 1, unroll = 1;
  int64_t bands = 1;
  int64_t prefetch = 0;  // tiles in whose course the weights of the next panel are fetched; 0: none
  bool operator==(const ContractSchedule&) const = default;
};

// Tiles of pixels of one batch item and one coordinate before h.
int64_t pixel_tiles(const ContractSpec& spec, const ContractSchedule& schedule);

// window: reduction over taps, channel by channel. space = {…, h, w, channels}.
//   dot: acc = start[channel], then over the taps acc += a·weight[tap, channel] in s32, or fma in f32
//   sum: acc = 0, then acc + a (s32 of codes, or f32, taps ascending);  max: acc = least value, then a > acc ? a : acc
// `weights`: [taps][channels], s8 as s8 or f32, channels contiguous; strides along the space as usual (its channel
// stride) and weights_tap_stride from tap to tap. Channels are computed in whole blocks of 16.
enum class WindowKind : uint8_t { dot, sum, max };
struct WindowSpec {
  WindowKind kind = WindowKind::dot;
  Dims space;
  Access a, weights, start;  // weights and start: dot only
  int64_t weights_tap_stride = 0;
  std::vector<ReductionLoop> loops;  // taps, outermost first
  std::vector<Access> operands;
  ScalarExpr epilogue;
  Access out;
  bool operator==(const WindowSpec&) const = default;
};
// How: units of tile_h rows; tiles of tile_w pixels by tile_blocks blocks of 16 channels. The last ones move back.
struct WindowSchedule {
  int64_t tile_h = 1, tile_w = 1, tile_blocks = 1;
  bool operator==(const WindowSchedule&) const = default;
};

// map: result = value(operands…) for every element of the space, in any order. With no operand it fills. The result may
// also be s16 (the low half of the value), which contractions read as packed weights.
struct MapSpec {
  Dims space;
  std::vector<Access> operands;
  ScalarExpr value;
  Access out;
  bool operator==(const MapSpec&) const = default;
};
struct MapSchedule {
  int64_t vector_dimension = -1;  // the dimension walked in vectors; −1: the last
  bool operator==(const MapSchedule&) const = default;
};

// row: reductions along the last dimension of the space, one after another, then a value for every element.
//   reduction i: over x_j = value(operands at element j, accumulators 0 … i−1): greatest (start −infinity, x > m ? x :
//   m, ascending), sum64 (docs/quantization.md 4) or squares64 (sum64 with partial = fma(x, x, partial)); then
//   accumulator i = finish(accumulator i itself is index i, earlier ones as before), an expression of scalars result_j
//   = value(operands at j, all accumulators)
enum class RowReduction : uint8_t { greatest, sum64, squares64 };
struct RowStep {
  RowReduction kind = RowReduction::sum64;
  ScalarExpr value;
  ScalarExpr finish;  // empty: the reduced value itself
  bool operator==(const RowStep&) const = default;
};
struct RowSpec {
  Dims space;
  std::vector<RowStep> steps;
  std::vector<Access> operands;
  ScalarExpr value;
  Access out;
  bool operator==(const RowSpec&) const = default;
};
struct RowSchedule {
  bool operator==(const RowSchedule&) const = default;
};

// call: a routine of the runtime library, for what is irregular. kernel/routines.h has a row for each with the names of
// its operands and integers.
//   gather (data, indices; extent, step): result = the element of data at the coordinates of the result, moved by
//   step·index bytes. index = the element of indices at these coordinates, plus extent where it is negative; one
//   outside [−extent, extent) is a fault. Operands stand still (stride 0) along dimensions that are not theirs.
//   the rows of runtime/op_routines.def: operators on whole tensors of an item, dense and row-major. The integers
//   describe results, operands and attributes (runtime/op_call.h). space = {units, bytes of a unit}; out are bytes (u8)
//   of the one buffer that holds all results and the scratch; operands stand still.
// A fault is data that the routine cannot compute with. It is noted in one more buffer behind the operands', a
// CupelFault (runtime/routines.h), and ends the range of units that it lies in; the rest of the result is whatever it
// was.
enum class Routine : uint8_t {
  gather,
#define CUPEL_OP_ROUTINE(name) op_##name,
#include "runtime/op_routines.def"
#undef CUPEL_OP_ROUTINE
};
struct CallSpec {
  Routine routine = Routine::gather;
  Dims space;
  std::vector<Access> operands;
  std::vector<int64_t> integers;
  Access out;
  bool operator==(const CallSpec&) const = default;
};
struct CallSchedule {
  bool operator==(const CallSchedule&) const = default;
};

using KernelSpec = std::variant<ContractSpec, WindowSpec, MapSpec, RowSpec, CallSpec>;
using KernelSchedule = std::variant<ContractSchedule, WindowSchedule, MapSchedule, RowSchedule, CallSchedule>;

// `schedule` holds the alternative of the same index as `spec`.
struct Kernel {
  KernelSpec spec;
  KernelSchedule schedule;
  bool operator==(const Kernel&) const = default;
};

// Buffers are numbered for every form alike: first the result, then a, b, start (contract, dot windows; window kinds
// without weights: a alone), then the operands.
std::vector<const Access*> accesses_of(const KernelSpec& spec);
// Their number; a call has one more than accesses, for its fault.
size_t buffer_count(const KernelSpec& spec);

// The sources of the kernel's expressions: dtypes of its operands, and the accumulators of its epilogue or value (for a
// row those of all steps; step i reads the first i, its finish the first i + 1). Calls have no expression.
ScalarScope scope_of(const KernelSpec& spec);

// Independent units of work of one batch item; a call computes a range of (batch item, unit) pairs, numbered
// item-major. Contract: tiles of pixels × groups of column blocks, in the schedule's order. Windows: tiles of rows.
// Others: rows of the space (all but the last dimension).
int64_t units_per_item(const Kernel& kernel);

// Errors have place "kernel" and name the rule that is broken: extents ≥ 1, strides per dimension, node order and types
// of expressions, schedule within the space, …: bad_input; a limit of size: resource.
Status check_kernel(const Kernel& kernel);

// Text that parses back, and SHA-256 of it: equal kernels have equal text. parse_kernel reads the form only (errors at
// "kernel text:LINE"); what it returns still has to pass check_kernel.
std::string print_kernel(const Kernel& kernel);
Result<Kernel> parse_kernel(std::string_view text);
std::string kernel_hash(const Kernel& kernel);
// "contract_u8_s8_s32_m14n32": form, types and tile; the same in profile, dump, test and benchmark.
std::string kernel_name(const Kernel& kernel);

// The meaning, element by element, for `items` batch items. buffers: see accesses_of and buffer_count; each points
// at byte 0 of the buffer. The schedule is not read.
void evaluate_kernel(const Kernel& kernel, std::span<std::byte* const> buffers, int64_t items);

}  // namespace cupel
