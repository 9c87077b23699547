#include "kernel/check_program.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "base/file.h"
#include "kernel/byte_runs.h"
#include "kernel/footprint.h"

namespace cupel {
namespace {

__extension__ using Wide = __int128;

constexpr int64_t kBufferAlignment = 64;  // bytes, of constants
constexpr int64_t kSpare = 64;            // bytes behind every buffer of the arena
constexpr int64_t kMostBytes = int64_t{1} << 40;
// Values are followed through one window of a buffer after another, so that few runs are held at once.
constexpr int64_t kLeastWindow = int64_t{1} << 20, kGreatestWindow = int64_t{1} << 24, kWindows = 1024;
constexpr int64_t kWindowCost = 16;  // a window of one access costs about as much as so many runs

bool is_written(TouchKind kind) { return kind == TouchKind::writes || kind == TouchKind::writes_beyond; }

// Whether a map writes each element where it reads operand `operand` (in the order of accesses_of).
bool writes_in_place(const KernelSpec& spec, size_t operand) {
  const auto* map = std::get_if<MapSpec>(&spec);
  if (map == nullptr || operand == 0) return false;
  const Access &read = map->operands[operand - 1], &write = map->out;
  return dtype_bits(read.dtype) == dtype_bits(write.dtype) && read.offset == write.offset &&
         read.item_stride == write.item_stride && read.strides == write.strides;
}

class Checker {
 public:
  Checker(const Program& program, int64_t most_runs)
      : program_(program), most_runs_(most_runs), runs_left_(most_runs) {}

  Status run() {
    CUPEL_TRY(check_buffers());
    for (size_t s = 0; s < program_.steps.size(); ++s)
      if (Status status = check_structure(program_.steps[s]); !status) return at_step(s, std::move(status));
    find_lives();
    CUPEL_TRY(check_arena());
    CUPEL_TRY(check_values());
    return check_outputs();
  }

 private:
  struct Life {
    size_t first = SIZE_MAX, last = 0;  // steps
    bool used() const { return first != SIZE_MAX; }
  };

  const Buffer& buffer(int64_t id) const { return program_.buffers[static_cast<size_t>(id)]; }
  std::string name_of(int64_t id) const { return "buffer " + printable(buffer(id).name); }

  static std::unexpected<Error> broken(std::string cause) { return internal_error("", std::move(cause)); }
  Status at_step(size_t step, Status status) const {
    return std::unexpected(std::move(status).error().within("step " + program_.steps[step].name));
  }

  // Buffers by themselves: places, sizes, ports.
  Status check_buffers() const {
    for (size_t b = 0; b < program_.buffers.size(); ++b) {
      if (Status status = check_buffer(program_.buffers[b]); !status)
        return std::unexpected(std::move(status).error().within(name_of(static_cast<int64_t>(b))));
    }
    return {};
  }

  Status check_buffer(const Buffer& b) const {
    if (b.item_bytes < 0 || b.item_bytes >= kMostBytes) return broken(fmt::format("has {} bytes", b.item_bytes));
    switch (b.place) {
      case BufferPlace::input: return check_port(b, program_.inputs);
      case BufferPlace::output: return check_port(b, program_.outputs);
      case BufferPlace::constant:
        if (b.offset >= 0 && b.offset % kBufferAlignment == 0 &&
            b.offset <= static_cast<int64_t>(program_.constants.size()) - b.item_bytes)
          return {};
        return broken(
            fmt::format("lies at {} with {} bytes, outside the {} bytes of constants or not on a multiple of {}",
                        b.offset, b.item_bytes, program_.constants.size(), kBufferAlignment));
      case BufferPlace::arena:
      case BufferPlace::fault: return {};
    }
    return broken("lies nowhere");
  }

  Status check_port(const Buffer& b, const std::vector<Port>& ports) const {
    if (b.index < 0 || b.index >= static_cast<int64_t>(ports.size()))
      return broken(fmt::format("is port {} of {}", b.index, ports.size()));
    CUPEL_TRY(check_batch(ports[static_cast<size_t>(b.index)]));
    const int64_t bytes = item_bytes(ports[static_cast<size_t>(b.index)]);
    if (b.item_bytes != bytes)
      return broken(fmt::format("has {} bytes for one item, its port {}", b.item_bytes, bytes));
    return {};
  }

  // A batched port begins with the batch, a fixed one with its size; no other dimension is symbolic. Several items of a
  // fixed batch share no port.
  Status check_batch(const Port& port) const {
    const Shape& shape = port.type.shape;
    for (size_t d = port.batched ? 1 : 0; d < shape.size(); ++d)
      if (!shape[d].is_constant()) return broken(fmt::format("has the symbolic shape {}", to_text(shape)));
    const int64_t fixed = program_.fixed_batch;
    bool fits = fixed <= 1;
    if (port.batched) {
      const Dim lead = shape.empty() ? Dim(0) : shape[0];
      fits = lead.factor > 0 && fixed == (lead.is_constant() ? lead.factor : 0);
    }
    if (fits && fixed >= 0) return {};
    return broken(fmt::format("has shape {}, of a program whose batch is {}", to_text(shape),
                              fixed == 0 ? "any" : std::to_string(fixed)));
  }

  // A step by itself: its kernel's rules, and buffers that fit its accesses.
  Status check_structure(const Step& step) const {
    CUPEL_TRY(check_kernel(step.kernel));
    if (step.buffers.size() != buffer_count(step.kernel.spec))
      return broken(fmt::format("has {} buffers, its kernel {}", step.buffers.size(), buffer_count(step.kernel.spec)));
    for (int64_t id : step.buffers)
      if (id < 0 || id >= static_cast<int64_t>(program_.buffers.size()))
        return broken(fmt::format("names buffer {} of {}", id, program_.buffers.size()));
    const std::vector<const Access*> accesses = accesses_of(step.kernel.spec);
    for (size_t i = 0; i < step.buffers.size(); ++i) {
      const bool is_fault = buffer(step.buffers[i]).place == BufferPlace::fault;
      if (is_fault != (i >= accesses.size()))
        return broken(name_of(step.buffers[i]) + (is_fault ? " holds faults alone" : " cannot hold a fault"));
      if (i < accesses.size()) CUPEL_TRY(check_items(*accesses[i], step.buffers[i]));
    }
    for (const Touch& touch : touches_of(step.kernel.spec)) CUPEL_TRY(check_inside(step, touch));
    if (!step.result) return {};
    if (step.result->buffer != step.buffers[0] || step.result->dims.size() != step.result->strides.size())
      return broken("its tap shows something else than its result");
    return check_inside(step, tap_of(*step.result));
  }

  // What a tap reads, of the step's result.
  static Touch tap_of(const ValueLayout& layout) {
    Touch touch{.first = layout.offset, .bytes = dtype_bits(layout.dtype) / 8, .axes = {}};
    for (size_t d = 0; d < layout.dims.size(); ++d)
      touch.axes.push_back({.stride = layout.strides[d], .count = layout.dims[d]});
    return touch;
  }

  // Of a fixed batch, what stands still from item to item may look into all of them.
  bool spans_items(const Access& access) const {
    return !access.constant && access.item_stride == 0 && program_.fixed_batch > 0;
  }

  // Items of a buffer lie item_bytes apart, in every access.
  Status check_items(const Access& access, int64_t id) const {
    const bool constant = buffer(id).place == BufferPlace::constant;
    if (access.constant != constant)
      return broken(fmt::format("{} is {}, its access {}", name_of(id), constant ? "constant" : "computed",
                                access.constant ? "constant" : "not"));
    const int64_t step = stands_still(program_, buffer(id)) ? 0 : buffer(id).item_bytes;
    if (!constant && access.item_stride != step && !spans_items(access))
      return broken(
          fmt::format("{} has {} bytes for one item, its access steps {}", name_of(id), step, access.item_stride));
    return {};
  }

  // Whatever is written or counts lies within one item. What is read beyond may reach what follows: further items, and
  // the spare bytes behind the last one.
  Status check_inside(const Step& step, const Touch& touch) const {
    const int64_t id = step.buffers[touch.operand];
    const Buffer& b = buffer(id);
    if (is_written(touch.kind) && b.place != BufferPlace::arena && b.place != BufferPlace::output)
      return broken(name_of(id) + " is written, expected one of the arena or an output");
    Wide least = touch.first, end = Wide{touch.first} + touch.bytes;
    for (const ByteAxis& axis : touch.axes)
      (axis.stride < 0 ? least : end) += Wide{axis.stride} * (std::max<int64_t>(axis.count, 1) - 1);
    const bool spare = touch.kind == TouchKind::reads_beyond && b.place == BufferPlace::arena;
    const bool all = !is_written(touch.kind) && spans_items(*accesses_of(step.kernel.spec)[touch.operand]);
    const Wide items = all ? program_.fixed_batch : 1;
    if (least >= 0 && end <= items * b.item_bytes + (spare ? kSpare : 0)) return {};
    const auto number = [](Wide w) { return static_cast<int64_t>(std::clamp<Wide>(w, INT64_MIN, INT64_MAX)); };
    return broken(fmt::format("bytes [{}, {}) of {} are {}, which has {} for one item", number(least), number(end),
                              name_of(id), is_written(touch.kind) ? "written" : "read", b.item_bytes));
  }

  void find_lives() {
    lives_.resize(program_.buffers.size());
    for (size_t s = 0; s < program_.steps.size(); ++s)
      for (int64_t id : program_.steps[s].buffers) {
        Life& life = lives_[static_cast<size_t>(id)];
        life.first = std::min(life.first, s);
        life.last = s;
      }
  }

  // Places in the arena. They hold for one item; for more of them every offset and size grows alike.
  Status check_arena() const {
    std::vector<size_t> order;
    for (size_t b = 0; b < program_.buffers.size(); ++b) {
      const Buffer& buffer = program_.buffers[b];
      if (buffer.place != BufferPlace::arena || !lives_[b].used()) continue;
      if (buffer.offset < 0 || buffer.offset % 64 != 0 || buffer.offset > program_.arena_bytes ||
          buffer.item_bytes + kSpare > program_.arena_bytes - buffer.offset)
        return internal_error(name_of(static_cast<int64_t>(b)),
                              fmt::format("lies at {} with {} bytes, outside the {} bytes of the arena or not on a "
                                          "multiple of 64",
                                          buffer.offset, buffer.item_bytes, program_.arena_bytes));
      order.push_back(b);
    }
    std::sort(order.begin(), order.end(),
              [&](size_t a, size_t b) { return program_.buffers[a].offset < program_.buffers[b].offset; });
    for (size_t i = 0; i < order.size(); ++i) {
      const Buffer& lower = program_.buffers[order[i]];
      for (size_t j = i + 1; j < order.size(); ++j) {
        if (program_.buffers[order[j]].offset >= lower.offset + lower.item_bytes + kSpare) break;
        CUPEL_TRY(check_shared(order[i], order[j]));
      }
    }
    return {};
  }

  // Two buffers with bytes in common: one ends where the other begins, in a map that goes element by element.
  Status check_shared(size_t a, size_t b) const {
    if (lives_[b].first < lives_[a].first) std::swap(a, b);
    if (lives_[a].last < lives_[b].first) return {};
    const size_t s = lives_[b].first;
    if (lives_[a].last == s && lives_[a].first < s && program_.buffers[a].offset == program_.buffers[b].offset &&
        program_.buffers[a].item_bytes == program_.buffers[b].item_bytes) {
      const Step& step = program_.steps[s];
      bool in_place = step.buffers[0] == static_cast<int64_t>(b);
      for (size_t i = 1; i < step.buffers.size(); ++i)
        if (step.buffers[i] == static_cast<int64_t>(a)) in_place = in_place && writes_in_place(step.kernel.spec, i);
      if (in_place) return {};
    }
    return internal_error("step " + program_.steps[s].name,
                          fmt::format("{} and {} are both needed and lie in the same bytes",
                                      name_of(static_cast<int64_t>(a)), name_of(static_cast<int64_t>(b))));
  }

  // What one step does to one buffer.
  struct Visit {
    size_t step;
    std::vector<Touch> touches;
    std::optional<Touch> tap;
  };

  // The flow of values through one item of each buffer that steps compute. Of several faults that of the first step is
  // told.
  Status check_values() {
    std::vector<std::vector<Visit>> visits(program_.buffers.size());
    for (size_t s = 0; s < program_.steps.size(); ++s) {
      const Step& step = program_.steps[s];
      for (Touch& touch : touches_of(step.kernel.spec)) {
        if (touch.kind == TouchKind::reads_beyond) continue;
        std::vector<Visit>& of_buffer = visits[static_cast<size_t>(step.buffers[touch.operand])];
        if (of_buffer.empty() || of_buffer.back().step != s) of_buffer.push_back({.step = s, .touches = {}, .tap = {}});
        of_buffer.back().touches.push_back(std::move(touch));
      }
      if (step.result) visits[static_cast<size_t>(step.buffers[0])].back().tap = tap_of(*step.result);
    }
    Status first;
    size_t first_step = SIZE_MAX;
    whole_.assign(program_.buffers.size(), true);
    for (size_t b = 0; b < visits.size(); ++b) {
      const Buffer& buffer = program_.buffers[b];
      if (buffer.place != BufferPlace::arena && buffer.place != BufferPlace::output) continue;
      size_t step = 0;
      Status status = check_buffer_values(static_cast<int64_t>(b), visits[b], step);
      if (status || step >= first_step) continue;
      first_step = step;
      first = at_step(step, std::move(status));
    }
    return first;
  }

  // `step`: where it fails.
  Status check_buffer_values(int64_t id, const std::vector<Visit>& visits, size_t& step) {
    const int64_t bytes = buffer(id).item_bytes, length = std::clamp(bytes / kWindows, kLeastWindow, kGreatestWindow);
    for (int64_t begin = 0; begin < bytes; begin += length) {
      const ByteRun window = {.begin = begin, .end = std::min(begin + length, bytes)};
      ByteRuns written;  // bytes that hold a value
      for (const Visit& visit : visits) {
        step = visit.step;
        CUPEL_TRY(check_visit(id, visit, window, written));
      }
      if (first_missing(written, {window})) whole_[static_cast<size_t>(id)] = false;
    }
    return {};
  }

  Status check_visit(int64_t id, const Visit& visit, ByteRun window, ByteRuns& written) {
    const KernelSpec& spec = program_.steps[visit.step].kernel.spec;
    ByteRuns meant, beyond;
    for (const Touch& touch : visit.touches)
      if (is_written(touch.kind)) {
        ByteRuns& all = touch.kind == TouchKind::writes ? meant : beyond;
        all = united(all, CUPEL_TRY(runs_in(touch, window)));
      }
    for (const Touch& touch : visit.touches) {
      if (is_written(touch.kind)) continue;
      const ByteRuns bytes = CUPEL_TRY(read_in(id, *accesses_of(spec)[touch.operand], touch, window));
      if (const auto at = first_missing(written, bytes))
        return broken(fmt::format("byte {} of {} is read, which no step before has left a value in", *at, name_of(id)));
      if (writes_in_place(spec, touch.operand)) continue;
      auto at = first_common(meant, bytes);
      if (!at) at = first_common(beyond, bytes);
      if (at) return broken(fmt::format("byte {} of {} is read and written", *at, name_of(id)));
    }
    written = united(without(written, beyond), meant);
    if (!visit.tap) return {};
    if (const auto at = first_missing(written, CUPEL_TRY(runs_in(*visit.tap, window))))
      return broken(fmt::format("its tap shows byte {} of {}, which is not written", *at, name_of(id)));
    return {};
  }

  Result<ByteRuns> runs_in(const Touch& touch, ByteRun window) {
    runs_left_ -= kWindowCost;
    auto runs = runs_of(touch.first, touch.bytes, touch.axes, window, runs_left_);
    if (!runs)
      return resource_error("",
                            fmt::format("the accesses of its kernels fall into more than {} runs of bytes", most_runs_),
                            "compile a smaller model, or run it with --engine reference");
    return std::move(*runs);
  }

  // What is read in that window of one item; of accesses that look into all items of a fixed batch, in any of them.
  Result<ByteRuns> read_in(int64_t id, const Access& access, const Touch& touch, ByteRun window) {
    if (!spans_items(access)) return runs_in(touch, window);
    ByteRuns all;
    for (int64_t item = 0; item < program_.fixed_batch; ++item) {
      const int64_t apart = item * buffer(id).item_bytes;
      ByteRuns runs = CUPEL_TRY(runs_in(touch, {.begin = window.begin + apart, .end = window.end + apart}));
      for (ByteRun& run : runs) run = {.begin = run.begin - apart, .end = run.end - apart};
      all = united(all, runs);
    }
    return all;
  }

  Status check_outputs() const {
    std::vector<bool> whole(program_.outputs.size(), false);
    for (size_t b = 0; b < program_.buffers.size(); ++b) {
      const Buffer& buffer = program_.buffers[b];
      if (buffer.place != BufferPlace::output) continue;
      if (whole_[b]) whole[static_cast<size_t>(buffer.index)] = true;
    }
    for (size_t i = 0; i < whole.size(); ++i)
      if (!whole[i]) return internal_error("output " + printable(program_.outputs[i].name), "is not written whole");
    return {};
  }

  const Program& program_;
  std::vector<Life> lives_;
  std::vector<bool> whole_;  // buffers of which every byte holds a value in the end
  int64_t most_runs_, runs_left_;
};

}  // namespace

Status check_program(const Program& program, int64_t most_runs) {
  Status status = Checker(program, most_runs).run();
  if (!status && status.error().kind == ErrorKind::bad_input) {
    // A kernel that the lowering made.
    status = internal_error(std::move(status.error().place), std::move(status.error().cause));
  }
  return status;
}

}  // namespace cupel
