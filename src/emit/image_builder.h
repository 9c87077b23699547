// Program -> Image: kernels become objects in the workers (or come from the cache), are linked with the constants, the
// step table and the runtime to a shared library.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "base/file.h"
#include "emit/emit_target.h"
#include "emit/object_cache.h"
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
// The bytes of a shared library that shows cupel_<model>_image, _create, _run, _metadata, _free and _error, with its
// hash in its note (emit/image_note.h).
Result<Bytes> build_image(const Program& program, const EmitTarget& target, WorkerPool& pool,
                          const BuildOptions& options = {});
// "cupel_" and the model's name as a C identifier: what every exported name begins with.
std::string image_prefix(const std::string& model);

}  // namespace cupel
