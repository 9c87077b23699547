// Which samples belong to which split.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "data/description.h"
#include "data/source.h"

namespace cupel {

struct Split {
  std::string name;
  size_t source = 0;             // position in DatasetDescription::sources
  std::vector<int64_t> indices;  // into the source, in the order in which they are loaded
  int64_t dropped = 0;           // samples left out since their content stands elsewhere
};

// The count samples out of [0, size) that are not taken and whose SHA-256 of the ASCII text "seed:index" (both in
// decimal, no sign, no leading zeros) is smallest as a big-endian number, in ascending order of that number.
// Requires count untaken samples.
std::vector<int64_t> choose_samples(int64_t size, int64_t count, int64_t seed, const std::vector<bool>& taken);

// Resolves every split, in the order of the file. sources[i] belongs to description.sources[i], null when no split
// uses it. Splits share no sample: the same index of the same stored source in two splits is an error. A sample of
// calibrate or search whose content equals that of a sample of report, of a split further up, or of an earlier sample
// of its own split is dropped, and a line added to `warnings`. No split is empty.
Result<std::vector<Split>> resolve_splits(const DatasetDescription& description,
                                          const std::vector<std::unique_ptr<Source>>& sources,
                                          std::vector<std::string>& warnings);

}  // namespace cupel
