// Program -> Image: kernels become objects in the workers (or come from the cache), are linked with the constants, the
// step table and the runtime to a shared library.
#pragma once

#include <set>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/file.h"
#include "emit/emit_target.h"
#include "emit/object_cache.h"
#include "emit/protocol.h"
#include "emit/worker_pool.h"
#include "kernel/program.h"

namespace cupel {

struct BuildOptions {
  std::filesystem::path cache_folder = ObjectCache::default_folder();
  int64_t cache_limit_bytes = ObjectCache::default_limit_bytes();
  int code_generation_level = 2;  // LLVM's 0 … 3; changes no result
};

// The symbol that the object of a kernel defines: its name and the start of its hash.
std::string kernel_symbol(const Kernel& kernel);
// One object for each kernel, made by all workers at once. Kernels have to pass check_kernel.
Result<std::vector<Bytes>> build_objects(std::span<const Kernel* const> kernels, const EmitTarget& target,
                                         WorkerPool& pool, const BuildOptions& options = {});
// A shared library of objects that shows the named symbols only.
Result<Bytes> link_objects(std::span<const Bytes> objects, const std::vector<std::string>& exports, WorkerPool& pool,
                           bool with_runtime = false);

// Constants of several Programs, equal ones once.
class SharedConstants {
 public:
  // Where the content lies in the block: a multiple of 64.
  int64_t add(std::span<const std::byte> content);
  const Bytes& block() const { return block_; }

 private:
  Bytes block_;
  std::unordered_multimap<size_t, std::pair<int64_t, size_t>> known_;  // hash -> offset, bytes
};

// One shared library of a model for several sizes: its Programs differ in the dimensions of inputs and outputs.
class ImageBuilder {
 public:
  explicit ImageBuilder(EmitTarget target) : target_(std::move(target)) {}
  // `sizes`: what the Program was compiled for, "seq=64"; empty when it is the only one. usage when no input tells it
  // from one before, unsupported when names or element types of inputs and outputs differ, resource beyond
  // kCupelMostSizes.
  Status add(const Program& program, std::string sizes = {});
  // The bytes of a shared library that shows cupel_<model>_image, _create, _select, _run, _metadata, _free and _error,
  // with its hash in its note (emit/image_note.h). At least one Program was added.
  Result<Bytes> build(WorkerPool& pool, const BuildOptions& options = {});

 private:
  EmitTarget target_;
  ImageChain chain_;
  SharedConstants constants_;
  std::vector<Kernel> kernels_;
  std::set<std::string> symbols_;  // of kernels_
};
// The same of one Program.
Result<Bytes> build_image(const Program& program, const EmitTarget& target, WorkerPool& pool,
                          const BuildOptions& options = {});
// "cupel_" and the model's name as a C identifier: what every exported name begins with.
std::string image_prefix(const std::string& model);

}  // namespace cupel
