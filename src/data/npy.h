// NumPy's array files: .npy (format versions 1 to 3) and .npz (a zip archive of .npy files, stored or deflated).
#pragma once

#include <cstddef>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/result.h"
#include "base/tensor.h"

namespace cupel {

// dtypes: bool, signed and unsigned integers of 8 to 64 bits, f16, f32, f64, either byte order; Fortran order is turned
// into row-major. Payload bytes must be exactly what the header declares, before any memory is taken for them.
// bad_input for a damaged file; unsupported for another dtype; resource beyond kMaxElements.
Result<Tensor> read_npy(const std::filesystem::path& path);
// The same from memory; place names the bytes in errors.
Result<Tensor> parse_npy(std::span<const std::byte> file, const std::string& place);

// Format version 1.0, little-endian, row-major. unsupported for bf16, 8-bit floats and 4-bit types.
Status write_npy(const std::filesystem::path& path, const Tensor& tensor);
// The bytes that write_npy writes. `place` names them in errors.
Result<Bytes> format_npy(const Tensor& tensor, const std::string& place);

// Every array of the archive by name (without ".npy"). Beyond the errors of read_npy: bad_input for a damaged archive,
// two members of one name or a member that is no .npy; resource for a member that inflates beyond the caps in npz.cpp.
Result<std::map<std::string, Tensor>> read_npz(const std::filesystem::path& path);
// The one array `name`; bad_input lists the names when it is missing.
Result<Tensor> read_npz_array(const std::filesystem::path& path, const std::string& name);
// Several, in the order of `names`.
Result<std::vector<Tensor>> read_npz_arrays(const std::filesystem::path& path, std::span<const std::string> names);
// The names of all, sorted.
Result<std::vector<std::string>> npz_names(const std::filesystem::path& path);

}  // namespace cupel
