// Compiled models as engines: an Image loaded from memory or a file, and run like the interpreter.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/first_exception.h"
#include "base/tensor.h"
#include "ir/engine.h"
#include "runtime/image.h"

namespace cupel {

// Sees the result of a step: elements in the graph's dimension order, the batch first; codes as they are stored.
using ImageTap = std::function<Status(const CupelImageResult& result, const Tensor& elements)>;
// The same of a result where it lies: byte 0 of its buffer for item 0, and the items of the run.
using ImageView = std::function<Status(const CupelImageResult& result, const uint8_t* buffer, int64_t batch)>;
using ImageTimer = std::function<void(const CupelImageStep& step, int64_t time_ns)>;

// A run whose inputs were checked and whose outputs were laid out once: run() costs what a caller of the C interface
// pays. Must not outlive its model.
class ImageRun {
 public:
  // Computes the outputs anew, over the ones before. What the model's timer throws is thrown when the run has ended.
  Status run();
  int64_t batch() const { return batch_; }
  // That runs, one of the model's sizes.
  const CupelImage& image() const { return *image_; }
  // In the Image's order.
  const std::vector<Tensor>& outputs() const { return outputs_; }

 private:
  friend class CompiledModel;
  CupelSession* session_ = nullptr;
  const CupelImage* image_ = nullptr;
  FirstException* timer_exception_ = nullptr;
  std::string place_;
  int64_t batch_ = 1;
  std::vector<Tensor> inputs_, outputs_;
  std::vector<const void*> sources_;
  std::vector<void*> targets_;
};

// "seq=64 (ids s64[batch,64], mask s64[batch,64])": what an Image was compiled for, and its inputs.
std::string sizes_text(const CupelImage& image);

// Dimensions of a port for `batch` items; the batch itself is symbolic where batch is 0.
Shape port_shape(const CupelPort& port, int64_t batch);

// Whether a path is taken for a compiled model: its name ends in ".so". No file of another name is ever loaded as code.
bool names_compiled_model(const std::filesystem::path& path);

// An Image and a session for it. Models are independent of each other; one call at a time for each. Unloaded by the
// destructor, after which nothing of image() may be used.
class CompiledModel {
 public:
  // The bytes of a shared library that this process has linked, with one Image in it under the symbol
  // cupel_<model>_image. `place` names it in errors: those of SharedLibrary; bad_input for tables of another version or
  // none; unsupported when the CPU lacks a feature.
  static Result<CompiledModel> load(std::span<const std::byte> library, const std::string& place, int threads);
  // What `cupel compile` wrote: see SharedLibrary::load_file.
  static Result<CompiledModel> load_file(const std::filesystem::path& path, int threads);
  CompiledModel(CompiledModel&&) noexcept;
  CompiledModel& operator=(CompiledModel&&) noexcept;
  ~CompiledModel();

  // The first of the sizes it holds, often the only one; names and element types are those of all.
  const CupelImage& image() const;
  std::vector<const CupelImage*> sizes() const;
  // The sizes that these inputs have whole; else the first that fixes its batch and fits them in batches, cut along the
  // leading dimension. bad_input, naming all that there are, for others.
  Result<const CupelImage*> sizes_for(std::span<const Tensor> inputs) const;
  // Inputs in the Image's order, of any of the sizes; gives the outputs in its order. bad_input when an input's dtype
  // or dimensions do not fit, or when it holds an index out of range. The tap's first error is the result; later steps
  // are computed, but no longer tapped.
  Result<std::vector<Tensor>> run(std::span<const Tensor> inputs, const ImageTap& tap = {});
  Result<std::vector<Tensor>> run_viewed(std::span<const Tensor> inputs, const ImageView& view);
  // The same checks, for a run that is repeated.
  Result<ImageRun> bind(std::vector<Tensor> inputs);
  // As RunGraph: `graph` is the one the Image was compiled from, in its names and types. The tap sees the inputs and
  // the values that the Image keeps, with the graph's types; a value inside a kernel has no tap.
  Result<std::vector<Tensor>> run(const Graph& graph, std::span<const Tensor> inputs, const Tap& tap);
  // Called after each step of every further run; empty for none.
  void set_timer(ImageTimer timer);
  // Bytes of the arena for the largest batch so far.
  int64_t arena_bytes() const;

 private:
  struct State;
  explicit CompiledModel(std::unique_ptr<State> state);
  static Result<CompiledModel> open(std::unique_ptr<State> state, const std::string& place, int threads);
  std::unique_ptr<State> state_;
};

// `model` as the functions of quant and assess want it. It must outlive the result.
RunGraph compiled(CompiledModel& model);

}  // namespace cupel
