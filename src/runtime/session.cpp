#include "runtime/session.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include <new>

#include "base/dtype.h"
#include "runtime/cpu_features.h"
#include "runtime/floating_point.h"
#include "runtime/last_error.h"
#include "runtime/routines.h"
#include "runtime/sizes.h"
#include "runtime/thread_pool.h"

struct CupelSession {
  CupelSession(const CupelImage* i, int threads) : first(i), image(i->next == nullptr ? i : nullptr), pool(threads) {}

  const CupelImage* first;  // of the chain
  const CupelImage* image;  // that runs; null: none is chosen
  uint8_t* arena = nullptr;
  size_t arena_mapped = 0;    // bytes
  int64_t largest_arena = 0;  // bytes that a run has used
  // Of the chosen image, with room for every one of the chain.
  uint8_t** addresses = nullptr;  // byte 0 for item 0 of every buffer of the image
  uint8_t** operands = nullptr;   // the buffers of all steps, one step after another
  CupelTap tap = nullptr;
  void* tap_context = nullptr;
  CupelStepTime timer = nullptr;
  void* timer_context = nullptr;
  CupelFault fault = {};  // of the current run
  cupel::ThreadPool pool;
};

namespace {

using cupel::DType;
static_assert(static_cast<int>(DType::f32) == kCupelF32 && static_cast<int>(DType::f64) == kCupelF64 &&
              static_cast<int>(DType::f16) == kCupelF16 && static_cast<int>(DType::bf16) == kCupelBF16 &&
              static_cast<int>(DType::u8) == kCupelU8 && static_cast<int>(DType::s8) == kCupelS8 &&
              static_cast<int>(DType::u16) == kCupelU16 && static_cast<int>(DType::s16) == kCupelS16 &&
              static_cast<int>(DType::u32) == kCupelU32 && static_cast<int>(DType::s32) == kCupelS32 &&
              static_cast<int>(DType::u64) == kCupelU64 && static_cast<int>(DType::s64) == kCupelS64 &&
              static_cast<int>(DType::boolean) == kCupelBoolean);
#define CUPEL_SAME_PLACE(field) static_assert(offsetof(CupelModel, field) == offsetof(CupelImage, field))
CUPEL_SAME_PLACE(version);
CUPEL_SAME_PLACE(model);
CUPEL_SAME_PLACE(target);
CUPEL_SAME_PLACE(features);
CUPEL_SAME_PLACE(inputs);
CUPEL_SAME_PLACE(input_count);
CUPEL_SAME_PLACE(outputs);
CUPEL_SAME_PLACE(output_count);
CUPEL_SAME_PLACE(fixed_batch);
CUPEL_SAME_PLACE(sizes);
CUPEL_SAME_PLACE(next);
#undef CUPEL_SAME_PLACE

// A part of a step that a further thread takes over takes at least about a third of a microsecond: less is done before
// the threads have met.
constexpr int64_t kLeastEffort = int64_t{1} << 17;
// Beyond this the products of the thread pool could overflow.
constexpr int64_t kMostUnits = int64_t{1} << 48;
constexpr size_t kHugePage = size_t{1} << 21;

// Keeps the text for cupel_session_error and gives the code.
__attribute__((format(printf, 2, 3))) int fail(int code, const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  cupel::set_last_error(format, arguments);
  va_end(arguments);
  return code;
}

int64_t now_ns() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return int64_t{t.tv_sec} * 1'000'000'000 + t.tv_nsec;
}

// Null-terminated names that the CPU lacks, listed in the error.
int check_features(const char* const* features) {
  char missing[240] = "";
  size_t used = 0;
  for (; features != nullptr && *features != nullptr; ++features) {
    if (cupel::cpu_has(*features)) continue;
    const int length = snprintf(missing + used, sizeof missing - used, "%s%s", used == 0 ? "" : ", ", *features);
    used += length < 0 ? 0 : static_cast<size_t>(length);
    if (used >= sizeof missing) break;
  }
  return used == 0 ? kCupelOk : fail(kCupelNoFeature, "the CPU lacks %s", missing);
}

// Whether two Images of a chain differ in the dimensions of their ports at most, and can be told apart by those of the
// inputs.
bool is_same_model(const CupelImage& first, const CupelImage& one) {
  if (&first == &one) return true;
  if (one.input_count != first.input_count || one.output_count != first.output_count) return false;
  for (int32_t i = 0; i < one.input_count; ++i)
    if (one.inputs[i].dtype != first.inputs[i].dtype || one.inputs[i].rank != first.inputs[i].rank) return false;
  for (int32_t i = 0; i < one.output_count; ++i)
    if (one.outputs[i].dtype != first.outputs[i].dtype) return false;
  return true;
}

// Every index of the tables names something.
bool tables_are_whole(const CupelImage& image) {
  if (image.input_count < 0 || image.output_count < 0 || image.buffer_count < 0 || image.step_count < 0 ||
      image.arena_bytes < 0 || image.fixed_batch < 0 || image.tuned_for == nullptr || image.sizes == nullptr)
    return false;
  if ((image.input_count > 0 && image.inputs == nullptr) || (image.output_count > 0 && image.outputs == nullptr))
    return false;
  if ((image.buffer_count > 0 && image.buffers == nullptr) || (image.step_count > 0 && image.steps == nullptr))
    return false;
  for (int32_t i = 0; i < image.buffer_count; ++i) {
    const CupelImageBuffer& b = image.buffers[i];
    int64_t end = 0;
    switch (b.place) {
      case kCupelInput: end = image.input_count; break;
      case kCupelOutput: end = image.output_count; break;
      case kCupelArena:
        if (b.offset < 0 || b.offset > image.arena_bytes || b.offset % 64 != 0) return false;
        continue;
      case kCupelConstant:
        if (b.offset < 0 || b.offset > image.constants_bytes || image.constants == nullptr) return false;
        continue;
      case kCupelFault: continue;
      default: return false;
    }
    if (b.index < 0 || b.index >= end) return false;
  }
  for (int32_t i = 0; i < image.step_count; ++i) {
    const CupelImageStep& s = image.steps[i];
    if (s.run == nullptr || s.buffer_count < 0 || (s.buffer_count > 0 && s.buffers == nullptr) || s.units_per_item < 0)
      return false;
    for (int32_t j = 0; j < s.buffer_count; ++j)
      if (s.buffers[j] < 0 || s.buffers[j] >= image.buffer_count) return false;
    if (s.result.value_name != nullptr && s.buffer_count == 0) return false;
  }
  return true;
}

int check_run(const CupelSession& session, int64_t batch, const void* const* inputs, void* const* outputs) {
  if (session.image == nullptr) return fail(kCupelBadArgument, "the model holds several sizes, and none was selected");
  const CupelImage& image = *session.image;
  if (batch < 1)
    return fail(kCupelBadArgument, "the batch is %lld, expected at least 1", static_cast<long long>(batch));
  if (image.fixed_batch > 0 && batch != image.fixed_batch)
    return fail(kCupelBadArgument, "the batch is %lld, the model fixes %lld", static_cast<long long>(batch),
                static_cast<long long>(image.fixed_batch));
  if ((image.input_count > 0 && inputs == nullptr) || (image.output_count > 0 && outputs == nullptr))
    return fail(kCupelBadArgument, "inputs or outputs are null");
  for (int32_t i = 0; i < image.input_count; ++i)
    if (inputs[i] == nullptr) return fail(kCupelBadArgument, "input %s is null", image.inputs[i].name);
  for (int32_t i = 0; i < image.output_count; ++i)
    if (outputs[i] == nullptr) return fail(kCupelBadArgument, "output %s is null", image.outputs[i].name);
  int64_t bytes = 0, units = 0;
  bool fits = !__builtin_mul_overflow(image.arena_bytes, batch, &bytes) && bytes < INT64_MAX / 2;
  for (int32_t i = 0; i < image.step_count; ++i)
    fits = fits && !__builtin_mul_overflow(image.steps[i].units_per_item, batch, &units) && units <= kMostUnits;
  for (int32_t i = 0; i < image.input_count; ++i)
    fits = fits && !__builtin_mul_overflow(image.inputs[i].item_bytes, batch, &bytes);
  for (int32_t i = 0; i < image.output_count; ++i)
    fits = fits && !__builtin_mul_overflow(image.outputs[i].item_bytes, batch, &bytes);
  return fits ? kCupelOk : fail(kCupelNoMemory, "a batch of %lld is too large", static_cast<long long>(batch));
}

// An arena of at least arena_bytes·batch; the old one remains when there is no memory.
int reserve_arena(CupelSession& session, int64_t batch) {
  const size_t page = 4096, wanted = static_cast<size_t>(session.image->arena_bytes * batch);
  const size_t bytes = (wanted + page - 1) / page * page;
  if (bytes > session.arena_mapped) {
    // No run needs what another left there.
    void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
      return fail(kCupelNoMemory, "no memory for %zu bytes, which a batch of %lld takes", bytes,
                  static_cast<long long>(batch));
    if (session.arena_mapped != 0) munmap(session.arena, session.arena_mapped);
    session.arena = static_cast<uint8_t*>(memory);
    session.arena_mapped = bytes;
    if (bytes >= 2 * kHugePage)
      madvise(memory, bytes, MADV_HUGEPAGE);  // fewer address translations; a refusal costs nothing
  }
  const int64_t used = session.image->arena_bytes * batch;
  if (used > session.largest_arena) session.largest_arena = used;
  return kCupelOk;
}

void find_addresses(CupelSession& session, int64_t batch, const void* const* inputs, void* const* outputs) {
  const CupelImage& image = *session.image;
  for (int32_t i = 0; i < image.buffer_count; ++i) {
    const CupelImageBuffer& b = image.buffers[i];
    switch (b.place) {
      case kCupelInput: session.addresses[i] = static_cast<uint8_t*>(const_cast<void*>(inputs[b.index])); break;
      case kCupelOutput: session.addresses[i] = static_cast<uint8_t*>(outputs[b.index]); break;
      case kCupelArena: session.addresses[i] = session.arena + b.offset * batch; break;
      case kCupelFault: session.addresses[i] = reinterpret_cast<uint8_t*>(&session.fault); break;
      default: session.addresses[i] = const_cast<uint8_t*>(image.constants) + b.offset; break;
    }
  }
  uint8_t** operand = session.operands;
  for (int32_t i = 0; i < image.step_count; ++i)
    for (int32_t j = 0; j < image.steps[i].buffer_count; ++j) *operand++ = session.addresses[image.steps[i].buffers[j]];
}

void run_step(CupelSession& session, const CupelImageStep& step, uint8_t* const* operands, int64_t batch) {
  const int64_t units = step.units_per_item * batch;
  int64_t effort;
  if (__builtin_mul_overflow(step.effort, batch, &effort)) effort = INT64_MAX;
  const int64_t parts = effort / kLeastEffort;
  const int64_t grain = parts <= 1 ? units : units > parts ? units / parts : 1;
  session.pool.parallel_for(units, grain, [&](int64_t begin, int64_t end) { step.run(operands, begin, end); });
}

// What a call of this step has noted.
int fail_by_fault(const CupelImageStep& step, const CupelFault& fault) {
  const bool has_value = step.result.value_name != nullptr;
  return fail(kCupelBadData, "%s %.100s: %s", has_value ? "value" : "step",
              has_value ? step.result.value_name : step.name, cupel::describe_fault(fault).text);
}

// Keeps that no sizes of the chain fit, and which there are.
int fail_by_sizes(const CupelImage& first, const int64_t* const* dims) {
  const cupel::SizesText given = cupel::describe_dims(first, dims), held = cupel::describe_sizes(first);
  return fail(kCupelBadArgument, "the inputs are %s, the model holds %s", given.text, held.text);
}

// Linked into every Image; the hash is written when the file is complete (emit/image_note.h).
__attribute__((section(".note.cupel"), used, aligned(4)))
const CupelImageNote kNote = {sizeof "Cupel",     sizeof(CupelImageNote::version) + sizeof(CupelImageNote::sha256),
                              kCupelNoteType,     "Cupel",
                              kCupelImageVersion, {}};
static_assert(sizeof kNote == 3 * 4 + 8 + 4 + 32, "ELF notes have no gaps");

}  // namespace

extern "C" {

int cupel_session_create(const CupelImage* image, int threads, CupelSession** session) {
  if (session == nullptr) return fail(kCupelBadArgument, "the place for the session is null");
  *session = nullptr;
  if (image == nullptr) return fail(kCupelBadArgument, "the image is null");
  if (threads < 1) return fail(kCupelBadArgument, "%d threads, expected at least 1", threads);
  size_t operand_count = 0, buffer_count = 0;
  int length = 0;
  for (const CupelImage* one = image; one != nullptr; one = one->next) {
    if (one->version != kCupelImageVersion)
      return fail(kCupelBadImage, "the image has tables of version %d, expected %d", one->version, kCupelImageVersion);
    if (++length > kCupelMostSizes || !tables_are_whole(*one) || !is_same_model(*image, *one))
      return fail(kCupelBadImage, "the tables of the image contradict each other");
    if (const int code = check_features(one->features); code != kCupelOk) return code;
    size_t operands = 0;
    for (int32_t i = 0; i < one->step_count; ++i) operands += static_cast<size_t>(one->steps[i].buffer_count);
    if (operands > operand_count) operand_count = operands;
    if (static_cast<size_t>(one->buffer_count) > buffer_count) buffer_count = static_cast<size_t>(one->buffer_count);
  }
  void* memory = aligned_alloc(alignof(CupelSession), sizeof(CupelSession));
  uint8_t** addresses = static_cast<uint8_t**>(calloc(buffer_count + operand_count + 1, sizeof(uint8_t*)));
  if (memory == nullptr || addresses == nullptr) {
    free(memory);
    free(addresses);
    return fail(kCupelNoMemory, "no memory for a session");
  }
  *session = new (memory) CupelSession(image, threads);
  (*session)->addresses = addresses;
  (*session)->operands = addresses + buffer_count;
  return kCupelOk;
}

int cupel_session_select(CupelSession* session, const int64_t* const* dims, int64_t* batch, const CupelModel** sizes) {
  if (session == nullptr) return fail(kCupelBadArgument, "the session is null");
  const CupelImage& first = *session->first;
  if (first.input_count > 0 && dims == nullptr) return fail(kCupelBadArgument, "the dimensions are null");
  for (int32_t i = 0; i < first.input_count; ++i)
    if (first.inputs[i].rank > 0 && dims[i] == nullptr)
      return fail(kCupelBadArgument, "the dimensions of input %s are null", first.inputs[i].name);
  for (const CupelImage* one = &first; one != nullptr; one = one->next) {
    const int64_t items = cupel::batch_of(*one, dims);
    if (items == 0) continue;
    session->image = one;
    if (batch != nullptr) *batch = items;
    if (sizes != nullptr) *sizes = reinterpret_cast<const CupelModel*>(one);
    return kCupelOk;
  }
  return fail_by_sizes(first, dims);
}

int cupel_session_choose(CupelSession* session, const CupelImage* sizes) {
  for (const CupelImage* one = session->first; one != nullptr; one = one->next) {
    if (one != sizes) continue;
    session->image = one;
    return kCupelOk;
  }
  return fail(kCupelBadArgument, "the model does not hold these sizes");
}

int cupel_session_run(CupelSession* session, int64_t batch, const void* const* inputs, void* const* outputs) {
  if (session == nullptr) return fail(kCupelBadArgument, "the session is null");
  if (const int code = check_run(*session, batch, inputs, outputs); code != kCupelOk) return code;
  if (const int code = reserve_arena(*session, batch); code != kCupelOk) return code;
  find_addresses(*session, batch, inputs, outputs);
  session->fault = {};
  uint8_t* const* operands = session->operands;
  for (int32_t i = 0; i < session->image->step_count; ++i) {
    const CupelImageStep& step = session->image->steps[i];
    const int64_t start = session->timer != nullptr ? now_ns() : 0;
    {
      const cupel::NetworkArithmetic arithmetic;  // taps and timers are the caller's
      run_step(*session, step, operands, batch);
    }
    if (session->fault.found != 0) return fail_by_fault(step, session->fault);
    if (session->timer != nullptr) session->timer(session->timer_context, &step, now_ns() - start);
    if (session->tap != nullptr && step.result.value_name != nullptr)
      session->tap(session->tap_context, &step, operands[0], batch);
    operands += step.buffer_count;
  }
  return kCupelOk;
}

void cupel_session_free(CupelSession* session) {
  if (session == nullptr) return;
  if (session->arena_mapped > 0) munmap(session->arena, session->arena_mapped);
  free(session->addresses);
  session->~CupelSession();
  free(session);
}

const char* cupel_session_error(void) { return cupel::last_error(); }

void cupel_session_set_tap(CupelSession* session, CupelTap tap, void* context) {
  session->tap = tap;
  session->tap_context = context;
}

void cupel_session_set_timer(CupelSession* session, CupelStepTime timer, void* context) {
  session->timer = timer;
  session->timer_context = context;
}

int64_t cupel_session_arena_bytes(const CupelSession* session) { return session->largest_arena; }

}  // extern "C"
