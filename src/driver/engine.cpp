#include "driver/engine.h"

#include <fmt/format.h>

#include <cstring>
#include <new>
#include <unordered_map>

#include "base/file.h"
#include "base/first_exception.h"
#include "driver/shared_library.h"
#include "reference/interpreter.h"
#include "runtime/session.h"

namespace cupel {
namespace {

struct FreeSession {
  void operator()(CupelSession* session) const { cupel_session_free(session); }
};

std::unexpected<Error> values_do_not_fit() {
  return out_of_memory("memory", "the model's values do not fit into memory",
                       "use a smaller batch (--batch) or raise --max-memory");
}

std::unexpected<Error> from_session(int code, const std::string& place) {
  const std::string cause = printable(cupel_session_error(), 500);
  switch (code) {
    case kCupelNoFeature: return unsupported(place, cause, "compile the model for a target that this machine runs");
    case kCupelBadImage: return bad_input(place, cause, "compile the model again with this version of Cupel");
    case kCupelBadData: return bad_input(place, cause, "correct the data");
    case kCupelNoMemory: return out_of_memory(place, cause, "use a smaller batch (--batch) or raise --max-memory");
    default: return internal_error(place, cause);
  }
}

DType dtype_of(int32_t number) { return static_cast<DType>(number); }
// Element types that arrays of whole bytes hold.
bool is_known(int32_t number) { return number >= 0 && number <= static_cast<int32_t>(DType::boolean); }
int64_t element_bytes(int32_t dtype) { return dtype_bits(dtype_of(dtype)) / 8; }

}  // namespace

Shape port_shape(const CupelPort& port, int64_t batch) {
  Shape shape;
  for (int32_t d = 0; d < port.rank; ++d) {
    if (port.dims[d] >= 0)
      shape.emplace_back(port.dims[d]);
    else if (batch > 0)
      shape.emplace_back(batch * -port.dims[d]);
    else
      shape.emplace_back(-port.dims[d], "batch");
  }
  return shape;
}

std::string sizes_text(const CupelImage& image) {
  std::string text = printable(image.sizes);
  if (image.input_count == 0) return text;
  text += text.empty() ? "" : " (";
  for (int32_t i = 0; i < image.input_count; ++i)
    text += fmt::format("{}{} {}{}", i == 0 ? "" : ", ", printable(image.inputs[i].name, 60),
                        dtype_name(dtype_of(image.inputs[i].dtype)),
                        to_text(port_shape(image.inputs[i], image.fixed_batch)));
  return text + (image.sizes[0] == '\0' ? "" : ")");
}

namespace {

// The bytes of a port's tensor are those that the session reads or writes.
Status check_port(const CupelPort& port, int64_t fixed_batch, const std::string& place) {
  const auto contradiction = [&] {
    return bad_input(
        place, fmt::format("its tables contradict each other at {}", printable(port.name == nullptr ? "" : port.name)),
        "compile the model again");
  };
  if (port.name == nullptr || !is_known(port.dtype) || port.rank < 0 || port.rank > kMaxRank ||
      (port.rank > 0 && port.dims == nullptr))
    return contradiction();
  Dims dims;
  int batches = 0;
  for (int32_t d = 0; d < port.rank; ++d) {
    if (port.dims[d] < -kMaxElements) return contradiction();
    if (port.dims[d] < 0) ++batches;
    dims.push_back(std::abs(port.dims[d]));
  }
  const auto elements = count_elements(dims);
  if (batches > 1 || !elements) return contradiction();
  const int64_t bytes = *elements * element_bytes(port.dtype);
  if (bytes == port.item_bytes ||
      (batches == 0 && fixed_batch > 0 && bytes % fixed_batch == 0 && bytes / fixed_batch == port.item_bytes))
    return {};
  return contradiction();
}

Status check_result(const CupelImageResult& r, const std::string& place) {
  bool good = is_known(r.dtype) && r.rank >= 0 && r.rank < kMaxRank &&
              (r.rank == 0 || (r.dims != nullptr && r.strides != nullptr));
  good = good && count_elements(Dims(r.dims, r.dims + r.rank)).has_value();
  if (good) return {};
  return bad_input(place, fmt::format("its tables contradict each other at {}", printable(r.value_name)),
                   "compile the model again");
}

Status check_image_tables(const CupelImage& image, const std::string& place) {
  for (int32_t i = 0; i < image.input_count; ++i) CUPEL_TRY(check_port(image.inputs[i], image.fixed_batch, place));
  for (int32_t i = 0; i < image.output_count; ++i) CUPEL_TRY(check_port(image.outputs[i], image.fixed_batch, place));
  for (int32_t i = 0; i < image.step_count; ++i)
    if (image.steps[i].result.value_name != nullptr) CUPEL_TRY(check_result(image.steps[i].result, place));
  return {};
}

// Checks inputs against the ports and gives the number of batch items.
Result<int64_t> bind_ports(const CupelImage& image, std::span<const Tensor> inputs) {
  if (inputs.size() != static_cast<size_t>(image.input_count))
    return bad_input("inputs",
                     fmt::format("{} tensors are given, the model has {} inputs", inputs.size(), image.input_count),
                     "give one tensor for each input");
  int64_t batch = image.fixed_batch;
  for (size_t i = 0; i < inputs.size(); ++i) {
    const CupelPort& port = image.inputs[i];
    const Dims& dims = inputs[i].dims();
    const std::string place = "input " + printable(port.name);
    bool fits = inputs[i].dtype() == dtype_of(port.dtype) && inputs[i].rank() == port.rank;
    int64_t found = 0;
    for (int32_t d = 0; fits && d < port.rank; ++d) {
      const int64_t have = dims[static_cast<size_t>(d)];
      if (port.dims[d] >= 0) {
        fits = have == port.dims[d];
        continue;
      }
      found = have / -port.dims[d];
      fits = have > 0 && have % port.dims[d] == 0 && (image.fixed_batch == 0 || found == image.fixed_batch);
    }
    if (!fits)
      return bad_input(place,
                       fmt::format("found {}{}, expected {}{}", dtype_name(inputs[i].dtype()), to_text(dims),
                                   dtype_name(dtype_of(port.dtype)), to_text(port_shape(port, image.fixed_batch))),
                       "give data of the model's type and shape");
    if (found > 0 && batch > 0 && found != batch)
      return bad_input(place, fmt::format("batch is {} here and {} in an earlier input", found, batch),
                       "give data of the model's type and shape");
    if (found > 0) batch = found;
  }
  return batch > 0 ? batch : 1;
}

std::unexpected<Error> no_such_sizes(const CupelImage& first, std::span<const Tensor> inputs) {
  std::string found, held;
  for (size_t i = 0; i < inputs.size(); ++i)
    found += fmt::format("{}{} {}{}", i == 0 ? "" : ", ", printable(first.inputs[i].name, 60),
                         dtype_name(inputs[i].dtype()), to_text(inputs[i].dims()));
  for (const CupelImage* one = &first; one != nullptr; one = one->next)
    held += (held.empty() ? "" : "; ") + sizes_text(*one);
  return bad_input("inputs", fmt::format("found {}, expected one of the sizes that the model holds: {}", found, held),
                   "give data of one of these sizes, or compile the model for this one too");
}

struct SizesFor {
  const CupelImage* image;
  int64_t batch;
};
// Of the chain, the Image whose inputs these are.
Result<SizesFor> bind_sizes(const CupelImage& first, std::span<const Tensor> inputs) {
  if (first.next == nullptr || inputs.size() != static_cast<size_t>(first.input_count))
    return SizesFor{&first, CUPEL_TRY(bind_ports(first, inputs))};
  for (const CupelImage* one = &first; one != nullptr; one = one->next)
    if (const auto batch = bind_ports(*one, inputs)) return SizesFor{one, *batch};
  return no_such_sizes(first, inputs);
}

// Whether all inputs have as many rows, and are those of the Image's fixed batch but for their number.
bool fits_in_batches(const CupelImage& image, std::span<const Tensor> inputs) {
  if (image.fixed_batch == 0 || inputs.empty()) return false;
  for (size_t i = 0; i < inputs.size(); ++i) {
    const CupelPort& port = image.inputs[i];
    const Dims& dims = inputs[i].dims();
    if (inputs[i].dtype() != dtype_of(port.dtype) || inputs[i].rank() != port.rank || port.rank == 0 ||
        port.dims[0] != image.inputs[0].dims[0] || dims[0] != inputs[0].dims()[0])
      return false;
    if (!std::equal(dims.begin() + 1, dims.end(), port.dims + 1)) return false;
  }
  return true;
}

// Copies a run of `count` elements that lie `stride` bytes apart.
template <class T>
void copy_run(const uint8_t* from, int64_t stride, int64_t count, std::byte* to) {
  for (int64_t i = 0; i < count; ++i)
    std::memcpy(to + i * static_cast<int64_t>(sizeof(T)), from + i * stride, sizeof(T));
}

void copy_strided(const uint8_t* from, const int64_t* dims, const int64_t* strides, int32_t rank, int64_t bytes,
                  std::byte*& to) {
  if (rank > 1) {
    for (int64_t i = 0; i < dims[0]; ++i)
      copy_strided(from + i * strides[0], dims + 1, strides + 1, rank - 1, bytes, to);
    return;
  }
  const int64_t count = rank == 0 ? 1 : dims[0], stride = rank == 0 ? 0 : strides[0];
  switch (bytes) {
    case 1: copy_run<uint8_t>(from, stride, count, to); break;
    case 2: copy_run<uint16_t>(from, stride, count, to); break;
    case 4: copy_run<uint32_t>(from, stride, count, to); break;
    default: copy_run<uint64_t>(from, stride, count, to); break;
  }
  to += count * bytes;
}

Result<Tensor> copy_result(const CupelImageResult& r, const uint8_t* buffer, int64_t batch) {
  Dims dims = {batch};
  dims.insert(dims.end(), r.dims, r.dims + r.rank);
  CUPEL_TRY(count_elements(dims));
  Tensor out(dtype_of(r.dtype), dims);
  if (out.empty()) return out;
  std::byte* to = out.mutable_bytes().data();
  for (int64_t n = 0; n < batch; ++n)
    copy_strided(buffer + r.offset + n * r.item_stride, r.dims, r.strides, r.rank, element_bytes(r.dtype), to);
  return out;
}

// What a run calls. No exception may pass the session's C code: it is kept until the run has ended.
struct TapCall {
  const ImageView& view;
  Status status;
  FirstException exception;
};
struct TimerCall {
  ImageTimer timer;
  FirstException exception;
};

void call_tap(void* context, const CupelImageStep* step, const uint8_t* buffer, int64_t batch) {
  auto& call = *static_cast<TapCall*>(context);
  if (!call.status || call.exception.caught()) return;
  call.exception.keep([&] { call.status = call.view(step->result, buffer, batch); });
}

void call_timer(void* context, const CupelImageStep* step, int64_t time_ns) {
  auto& call = *static_cast<TimerCall*>(context);
  if (!call.exception.caught()) call.exception.keep([&] { call.timer(*step, time_ns); });
}

// A session has its tap as long as this value lives.
class Tapping {
 public:
  Tapping(CupelSession* session, TapCall& call) : session_(session) {
    if (call.view) cupel_session_set_tap(session, call_tap, &call);
  }
  ~Tapping() { cupel_session_set_tap(session_, nullptr, nullptr); }
  Tapping(const Tapping&) = delete;
  Tapping& operator=(const Tapping&) = delete;

 private:
  CupelSession* session_;
};

// The model's Image: the one object of the library that is called cupel_<model>_image.
Result<const CupelImage*> find_image(const SharedLibrary& library, const std::string& place) {
  const SharedLibrary::Object* found = nullptr;
  for (const SharedLibrary::Object& object : library.objects()) {
    if (!object.name.starts_with("cupel_") || !object.name.ends_with("_image")) continue;
    if (found != nullptr)
      return bad_input(
          place,
          fmt::format("holds two models, {} and {}, expected one", printable(found->name), printable(object.name)),
          "compile the model again");
    found = &object;
  }
  if (found == nullptr)
    return bad_input(place, "is a shared library without a compiled model: no symbol cupel_<model>_image",
                     "name a file that cupel compile has written");
  const auto* image = static_cast<const CupelImage*>(library.find(found->name));
  if (image == nullptr || found->bytes < sizeof image->version)
    return bad_input(place, fmt::format("{} is empty", printable(found->name)), "compile the model again");
  if (image->version == kCupelImageVersion && found->bytes < sizeof(CupelImage))
    return bad_input(
        place, fmt::format("{} has {} bytes, expected {}", printable(found->name), found->bytes, sizeof(CupelImage)),
        "compile the model again with this version of Cupel");
  return image;
}

Status check_same_model(const CupelImage& image, const Graph& graph) {
  const auto check = [&](const char* kind, const CupelPort* ports, int32_t count,
                         const std::vector<ValueId>& values) -> Status {
    const std::string place = "image of " + printable(image.model == nullptr ? "" : image.model);
    if (values.size() != static_cast<size_t>(count))
      return internal_error(place, fmt::format("it has {} {}s, the graph {}", count, kind, values.size()));
    for (size_t i = 0; i < values.size(); ++i)
      if (graph.value(values[i]).name != ports[i].name)
        return internal_error(place, fmt::format("its {} {} is {}, in the graph it is {}", kind, i,
                                                 printable(ports[i].name), printable(graph.value(values[i]).name)));
    return {};
  };
  CUPEL_TRY(check("input", image.inputs, image.input_count, graph.inputs()));
  return check("output", image.outputs, image.output_count, graph.outputs());
}

// A tapped result as the graph knows its value. Kernels keep s8 codes as u8, 128 higher, and booleans as u8 of 0 and 1.
Result<Tensor> as_value(const Tensor& elements, const TensorType& type, int64_t symbol_value, const std::string& name) {
  Dims dims = CUPEL_TRY(bind_shape(type.shape, symbol_value));
  const bool shifted = type.dtype == DType::s8 && elements.dtype() == DType::u8;
  const bool boolean = type.dtype == DType::boolean && elements.dtype() == DType::u8;
  if (elements.size() != element_count(dims) || (elements.dtype() != type.dtype && !shifted && !boolean))
    return internal_error("value " + printable(name),
                          fmt::format("the image holds {}{}, the graph {}{}", dtype_name(elements.dtype()),
                                      to_text(elements.dims()), dtype_name(type.dtype), to_text(dims)));
  if (boolean) return elements.bit_cast_to(DType::boolean).reshaped(std::move(dims));
  if (!shifted) return elements.reshaped(std::move(dims));
  Tensor codes(DType::s8, std::move(dims));
  const auto from = elements.data<uint8_t>();
  const auto to = codes.mutable_data<int8_t>();
  for (size_t i = 0; i < from.size(); ++i) to[i] = static_cast<int8_t>(from[i] ^ 0x80);
  return codes;
}

}  // namespace

bool names_compiled_model(const std::filesystem::path& path) { return path.extension() == ".so"; }

struct CompiledModel::State {
  explicit State(SharedLibrary l) : library(std::move(l)) {}
  SharedLibrary library;  // outlives the session
  const CupelImage* image = nullptr;
  std::string place;
  std::unique_ptr<CupelSession, FreeSession> session;
  TimerCall timer;
};

CompiledModel::CompiledModel(std::unique_ptr<State> state) : state_(std::move(state)) {}
CompiledModel::CompiledModel(CompiledModel&&) noexcept = default;
CompiledModel& CompiledModel::operator=(CompiledModel&&) noexcept = default;
CompiledModel::~CompiledModel() = default;

Result<CompiledModel> CompiledModel::open(std::unique_ptr<State> state, const std::string& place, int threads) {
  state->place = place;
  state->image = CUPEL_TRY(find_image(state->library, place));
  CupelSession* session = nullptr;
  if (const int code = cupel_session_create(state->image, threads, &session); code != kCupelOk)
    return from_session(code, place);
  state->session.reset(session);
  for (const CupelImage* one = state->image; one != nullptr; one = one->next)
    CUPEL_TRY(check_image_tables(*one, place));
  return CompiledModel(std::move(state));
}

Result<CompiledModel> CompiledModel::load(std::span<const std::byte> library, const std::string& place, int threads) {
  return open(std::make_unique<State>(CUPEL_TRY(SharedLibrary::load(library, place))), place, threads);
}

Result<CompiledModel> CompiledModel::load_file(const std::filesystem::path& path, int threads) {
  return open(std::make_unique<State>(CUPEL_TRY(SharedLibrary::load_file(path))), printable(path.string()), threads);
}

const CupelImage& CompiledModel::image() const { return *state_->image; }

std::vector<const CupelImage*> CompiledModel::sizes() const {
  std::vector<const CupelImage*> all;
  for (const CupelImage* one = state_->image; one != nullptr; one = one->next) all.push_back(one);
  return all;
}

Result<const CupelImage*> CompiledModel::sizes_for(std::span<const Tensor> inputs) const {
  const CupelImage& first = *state_->image;
  const auto whole = bind_sizes(first, inputs);
  if (whole) return whole->image;
  for (const CupelImage* one : sizes())
    if (fits_in_batches(*one, inputs)) return one;
  // Of the only sizes the run says what does not fit.
  if (first.next == nullptr) return &first;
  return std::unexpected(whole.error());
}
int64_t CompiledModel::arena_bytes() const { return cupel_session_arena_bytes(state_->session.get()); }

void CompiledModel::set_timer(ImageTimer timer) {
  state_->timer.timer = std::move(timer);
  cupel_session_set_timer(state_->session.get(), state_->timer.timer ? call_timer : nullptr, &state_->timer);
}

Status ImageRun::run() {
  int code = cupel_session_choose(session_, image_);
  if (code == kCupelOk) code = cupel_session_run(session_, batch_, sources_.data(), targets_.data());
  timer_exception_->rethrow();
  if (code != kCupelOk) return from_session(code, place_);
  return {};
}

Result<ImageRun> CompiledModel::bind(std::vector<Tensor> inputs) {
  static std::byte nothing{};  // stands for the elements of an empty tensor
  const SizesFor sizes = CUPEL_TRY(bind_sizes(*state_->image, inputs));
  const CupelImage& image = *sizes.image;
  ImageRun bound;
  bound.session_ = state_->session.get();
  bound.timer_exception_ = &state_->timer.exception;
  bound.place_ = state_->place;
  bound.image_ = sizes.image;
  bound.batch_ = sizes.batch;
  bound.inputs_ = std::move(inputs);
  try {
    for (const Tensor& t : bound.inputs_) bound.sources_.push_back(t.empty() ? &nothing : t.bytes().data());
    for (int32_t i = 0; i < image.output_count; ++i) {
      Dims dims = CUPEL_TRY(bind_shape(port_shape(image.outputs[i], bound.batch_), 1));
      Tensor& out = bound.outputs_.emplace_back(dtype_of(image.outputs[i].dtype), std::move(dims));
      bound.targets_.push_back(out.empty() ? &nothing : out.mutable_bytes().data());
    }
  } catch (const std::bad_alloc&) {
    return values_do_not_fit();
  }
  return bound;
}

Result<std::vector<Tensor>> CompiledModel::run(std::span<const Tensor> inputs, const ImageTap& tap) {
  if (!tap) return run_viewed(inputs, {});
  return run_viewed(inputs, [&](const CupelImageResult& result, const uint8_t* buffer, int64_t batch) -> Status {
    return tap(result, CUPEL_TRY(copy_result(result, buffer, batch)));
  });
}

Result<std::vector<Tensor>> CompiledModel::run_viewed(std::span<const Tensor> inputs, const ImageView& view) {
  ImageRun bound = CUPEL_TRY(bind(std::vector<Tensor>(inputs.begin(), inputs.end())));
  TapCall call{view, {}, {}};
  {
    const Tapping tapping(state_->session.get(), call);
    CUPEL_TRY(bound.run());
  }
  try {
    call.exception.rethrow();
  } catch (const std::bad_alloc&) {
    return values_do_not_fit();
  }
  if (!call.status) return std::unexpected(std::move(call.status).error());
  return std::move(bound.outputs_);
}

Result<std::vector<Tensor>> CompiledModel::run(const Graph& graph, std::span<const Tensor> inputs, const Tap& tap) {
  CUPEL_TRY(check_same_model(*state_->image, graph));
  const int64_t symbol = CUPEL_TRY(bind_inputs(graph, inputs));
  if (!tap) return run(inputs);
  for (size_t i = 0; i < inputs.size(); ++i) CUPEL_TRY(tap(graph.inputs()[i], inputs[i]));
  std::unordered_map<std::string_view, ValueId> ids;
  for (size_t i = 0; i < graph.values().size(); ++i)
    ids.emplace(graph.values()[i].name, ValueId{static_cast<int32_t>(i)});
  return run(inputs, [&](const CupelImageResult& result, const Tensor& elements) -> Status {
    const auto id = ids.find(result.value_name);
    if (id == ids.end())
      return internal_error("value " + printable(result.value_name),
                            "the image taps it, and the graph has no such value");
    return tap(id->second, CUPEL_TRY(as_value(elements, graph.type(id->second), symbol, result.value_name)));
  });
}

RunGraph compiled(CompiledModel& model) {
  return [&model](const Graph& graph, std::span<const Tensor> inputs, const Tap& tap) {
    return model.run(graph, inputs, tap);
  };
}

}  // namespace cupel
