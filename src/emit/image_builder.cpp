#include "emit/image_builder.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <stdlib.h>

#include <atomic>
#include <set>
#include <thread>

#include "base/first_exception.h"
#include "base/folder.h"
#include "base/hash.h"
#include "emit/constants_object.h"
#include "emit/image_note.h"
#include "kernel/check_program.h"
#include "kernel/work.h"
#include "runtime/image.h"

namespace cupel {
namespace {

// A folder that lasts as long as this value.
class WorkFolder {
 public:
  static Result<WorkFolder> make() {
    std::error_code failure;
    const std::filesystem::path parent = std::filesystem::temp_directory_path(failure);
    std::string path = ((failure ? std::filesystem::path("/tmp") : parent) / "cupel-XXXXXX").string();
    if (mkdtemp(path.data()) == nullptr)
      return resource_error(path, "no temporary folder can be made", "set TMPDIR to a folder with free space");
    return WorkFolder(path);
  }
  WorkFolder(WorkFolder&& other) noexcept : path_(std::exchange(other.path_, {})) {}
  WorkFolder& operator=(WorkFolder&&) = delete;
  ~WorkFolder() {
    if (!path_.empty()) remove_with_files(path_);
  }
  std::filesystem::path operator/(const std::string& name) const { return path_ / name; }

 private:
  explicit WorkFolder(std::filesystem::path path) : path_(std::move(path)) {}
  std::filesystem::path path_;
};

// Plain files of the work folder: no sync, they do not outlive the call.
Status write_plainly(const std::filesystem::path& path, const Bytes& content) {
  FILE* file = std::fopen(path.c_str(), "wb");
  bool good = file != nullptr && (content.empty() || std::fwrite(content.data(), content.size(), 1, file) == 1);
  if (file != nullptr) good = std::fclose(file) == 0 && good;
  if (!good)
    return resource_error(path.string(), "the file cannot be written",
                          "free space there, or set TMPDIR to another folder");
  return {};
}

ImageTables::Port table_port(const Port& port) {
  ImageTables::Port row;
  row.name = port.name;
  row.dtype = static_cast<int32_t>(port.type.dtype);
  for (const Dim& dim : port.type.shape) {
    const bool batch = port.batched && row.dims.empty();
    const int64_t factor = batch && dim.is_constant() ? 1 : dim.factor;
    row.dims.push_back(batch ? -factor : factor);
  }
  row.item_bytes = item_bytes(port);
  return row;
}

ImageTables::Step table_step(const Step& step) {
  ImageTables::Step row;
  row.symbol = kernel_symbol(step.kernel);
  row.name = step.name;
  row.origins = fmt::format("{}", fmt::join(step.origins, "\n"));
  for (int64_t buffer : step.buffers) row.buffers.push_back(static_cast<int32_t>(buffer));
  row.units_per_item = units_per_item(step.kernel);
  const KernelWork work = work_of(step.kernel);
  row.effort = work.effort;
  row.multiply_adds = work.multiply_adds;
  row.accumulator = static_cast<int32_t>(work.accumulator);
  row.item_bytes = work.item_bytes;
  row.constant_bytes = work.constant_bytes;
  row.tapped = step.result.has_value();
  if (!row.tapped) return row;
  row.value_name = step.value_name;
  row.dtype = static_cast<int32_t>(step.result->dtype);
  row.dims.assign(step.result->dims.begin(), step.result->dims.end());
  row.strides = step.result->strides;
  row.offset = step.result->offset;
  row.item_stride = accesses_of(step.kernel.spec)[0]->item_stride;
  if (step.type.quant && step.type.quant->per_tensor()) {
    row.scale = step.type.quant->scale[0];
    row.zero_point = step.type.quant->zero_point[0];
  }
  return row;
}

ImageTables tables_of(const Program& program, const EmitTarget& target) {
  ImageTables tables;
  tables.model = program.model;
  tables.target = target.name;
  tables.tuned_for = target.tuning->name;
  for (const FeatureRow& row : feature_table())
    if (target.feature_set.has(row.feature)) tables.features.emplace_back(row.name);
  for (const Port& port : program.inputs) tables.inputs.push_back(table_port(port));
  for (const Port& port : program.outputs) tables.outputs.push_back(table_port(port));
  for (const Buffer& buffer : program.buffers)
    tables.buffers.push_back({static_cast<int32_t>(buffer.place), static_cast<int32_t>(buffer.index), buffer.offset});
  for (const Step& step : program.steps) tables.steps.push_back(table_step(step));
  tables.arena_bytes = program.arena_bytes;
  tables.fixed_batch = program.fixed_batch;
  return tables;
}

Result<Bytes> one_object(const Kernel& kernel, const EmitTarget& target, WorkerPool& pool, const ObjectCache& cache,
                         const std::string& version, int level) {
  ObjectRequest request = {target.name, kernel_symbol(kernel), print_kernel(kernel), level};
  const std::string key = to_hex(sha256(fmt::format("{}\n{}\n{}\n{}", version, target.name, level, request.kernel)));
  if (auto found = cache.find(key)) return std::move(*found);
  Bytes object =
      CUPEL_TRY(pool.ask(RequestKind::object, to_payload(request), "kernel " + kernel_name(kernel), request.kernel));
  cache.keep(key, object);
  return object;
}

Result<Bytes> link_files(LinkRequest request, const WorkFolder& folder, WorkerPool& pool) {
  request.output = (folder / "image.so").string();
  CUPEL_TRY(pool.ask(RequestKind::link, to_payload(request), "linking"));
  return read_file(request.output);
}

Result<std::vector<std::string>> write_objects(std::span<const Bytes> objects, const WorkFolder& folder) {
  std::vector<std::string> paths;
  for (const Bytes& object : objects) {
    paths.push_back((folder / fmt::format("{}.o", paths.size())).string());
    CUPEL_TRY(write_plainly(paths.back(), object));
  }
  return paths;
}

}  // namespace

std::string kernel_symbol(const Kernel& kernel) {
  return fmt::format("{}_{}", kernel_name(kernel), kernel_hash(kernel).substr(0, 16));
}

std::string image_prefix(const std::string& model) {
  std::string prefix = "cupel_";
  for (char c : model) prefix += std::isalnum(static_cast<unsigned char>(c)) ? c : '_';
  return prefix;
}

Result<std::vector<Bytes>> build_objects(std::span<const Kernel* const> kernels, const EmitTarget& target,
                                         WorkerPool& pool, const BuildOptions& options) {
  const std::string version = CUPEL_TRY(pool.version());
  const ObjectCache cache(options.cache_folder, version, options.cache_limit_bytes);
  std::vector<Result<Bytes>> results(kernels.size());
  std::atomic<size_t> next = 0;
  std::atomic<bool> failed = false;
  FirstException exception;
  const auto work = [&] {
    exception.keep([&] {
      for (size_t k = next++; k < kernels.size() && !failed && !exception.caught(); k = next++) {
        results[k] = one_object(*kernels[k], target, pool, cache, version, options.code_generation_level);
        if (!results[k]) failed = true;
      }
    });
  };
  {
    std::vector<std::jthread> threads;
    const size_t count = std::min(static_cast<size_t>(pool.size()), kernels.size());
    try {
      for (size_t i = 1; i < count; ++i) threads.emplace_back(work);
    } catch (const std::exception&) {
      // No memory for a further thread: fewer do the work.
    }
    work();
  }
  exception.rethrow();
  cache.trim();
  std::vector<Bytes> objects;
  for (auto& result : results)
    if (!result) return std::unexpected(std::move(result).error());
  for (auto& result : results) objects.push_back(std::move(*result));
  return objects;
}

Result<Bytes> link_objects(std::span<const Bytes> objects, const std::vector<std::string>& exports, WorkerPool& pool,
                           bool with_runtime) {
  const WorkFolder folder = CUPEL_TRY(WorkFolder::make());
  LinkRequest request;
  request.inputs = CUPEL_TRY(write_objects(objects, folder));
  request.exports = exports;
  request.with_runtime = with_runtime;
  return link_files(std::move(request), folder, pool);
}

namespace {

// Whether two lists of ports are those of one model: their dimensions alone may differ.
bool are_same_ports(const std::vector<ImageTables::Port>& a, const std::vector<ImageTables::Port>& b, bool ranks) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i)
    if (a[i].name != b[i].name || a[i].dtype != b[i].dtype || (ranks && a[i].dims.size() != b[i].dims.size()))
      return false;
  return true;
}

// Whether no inputs fit both.
bool are_told_apart(const ImageTables& a, const ImageTables& b) {
  for (size_t i = 0; i < a.inputs.size(); ++i)
    for (size_t d = 0; d < a.inputs[i].dims.size(); ++d) {
      const int64_t one = a.inputs[i].dims[d], other = b.inputs[i].dims[d];
      if (one >= 0 && other >= 0 && one != other) return true;
    }
  return false;
}

}  // namespace

int64_t SharedConstants::add(std::span<const std::byte> content) {
  const std::string_view text(reinterpret_cast<const char*>(content.data()), content.size());
  const auto [first, last] = known_.equal_range(std::hash<std::string_view>()(text));
  for (auto at = first; at != last; ++at) {
    const auto [offset, bytes] = at->second;
    if (bytes == content.size() && std::equal(content.begin(), content.end(), block_.begin() + offset)) return offset;
  }
  block_.resize((block_.size() + 63) / 64 * 64);
  const auto offset = static_cast<int64_t>(block_.size());
  block_.insert(block_.end(), content.begin(), content.end());
  known_.emplace(std::hash<std::string_view>()(text), std::pair(offset, content.size()));
  return offset;
}

Status ImageBuilder::add(const Program& program, std::string sizes) {
  CUPEL_TRY(check_program(program));
  ImageTables tables = tables_of(program, target_);
  tables.sizes = std::move(sizes);
  if (chain_.images.size() == kCupelMostSizes)
    return resource_error("sizes",
                          fmt::format("there are more than {}, the most that one compiled model holds",
                                      static_cast<int>(kCupelMostSizes)),
                          "compile several models");
  for (const ImageTables& other : chain_.images) {
    if (!are_same_ports(other.inputs, tables.inputs, true) || !are_same_ports(other.outputs, tables.outputs, false))
      return unsupported("sizes " + tables.sizes,
                         fmt::format("the model has other inputs or outputs than for {}", other.sizes),
                         "compile them to a file of their own");
    if (!are_told_apart(other, tables))
      return usage_error("sizes " + tables.sizes,
                         fmt::format("no input tells them from {}: its dimensions are the same", other.sizes),
                         "leave one of them away");
  }
  const std::span<const std::byte> constants = program.constants;
  for (size_t b = 0; b < program.buffers.size(); ++b) {
    const Buffer& buffer = program.buffers[b];
    if (buffer.place != BufferPlace::constant) continue;
    tables.buffers[b].offset =
        constants_.add(constants.subspan(static_cast<size_t>(buffer.offset), static_cast<size_t>(buffer.item_bytes)));
  }
  for (const Step& step : program.steps)
    if (symbols_.insert(kernel_symbol(step.kernel)).second) kernels_.push_back(step.kernel);
  if (chain_.images.empty()) chain_.prefix = image_prefix(program.model);
  chain_.images.push_back(std::move(tables));
  return {};
}

Result<Bytes> ImageBuilder::build(WorkerPool& pool, const BuildOptions& options) {
  std::vector<const Kernel*> kernels;
  for (const Kernel& kernel : kernels_) kernels.push_back(&kernel);
  std::vector<Bytes> objects = CUPEL_TRY(build_objects(kernels, target_, pool, options));
  for (ImageTables& tables : chain_.images) tables.constants_bytes = static_cast<int64_t>(constants_.block().size());
  objects.push_back(CUPEL_TRY(pool.ask(RequestKind::tables, to_payload(chain_), "the image's tables")));
  objects.push_back(constants_object(constants_.block(), std::string(kConstantsSymbol)));
  Bytes image = CUPEL_TRY(link_objects(objects, {chain_.prefix + "_*"}, pool, true));
  CUPEL_TRY(stamp_image(image));
  return image;
}

Result<Bytes> build_image(const Program& program, const EmitTarget& target, WorkerPool& pool,
                          const BuildOptions& options) {
  ImageBuilder builder(target);
  CUPEL_TRY(builder.add(program));
  return builder.build(pool, options);
}

}  // namespace cupel
