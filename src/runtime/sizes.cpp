#include "runtime/sizes.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

namespace cupel {
namespace {

// Writes behind what is there; what has no room ends in "...".
class Writer {
 public:
  explicit Writer(SizesText& to) : to_(to) { to_.text[0] = '\0'; }
  __attribute__((format(printf, 2, 3))) void add(const char* format, ...) {
    if (full_) return;
    va_list arguments;
    va_start(arguments, format);
    const int length = vsnprintf(to_.text + used_, sizeof to_.text - used_, format, arguments);
    va_end(arguments);
    if (length >= 0 && static_cast<size_t>(length) < sizeof to_.text - used_) {
      used_ += static_cast<size_t>(length);
      return;
    }
    full_ = true;
    snprintf(to_.text + sizeof to_.text - 4, 4, "...");
  }

 private:
  SizesText& to_;
  size_t used_ = 0;
  bool full_ = false;
};

}  // namespace

int64_t batch_of(const CupelImage& image, const int64_t* const* dims) {
  int64_t batch = image.fixed_batch;
  for (int32_t i = 0; i < image.input_count; ++i) {
    const CupelPort& port = image.inputs[i];
    for (int32_t d = 0; d < port.rank; ++d) {
      const int64_t have = dims[i][d], want = port.dims[d];
      if (want >= 0) {
        if (have != want) return 0;
        continue;
      }
      // -want: have / want may overflow for the least number of all alone, which is no size.
      if (have <= 0 || have % want != 0) return 0;
      const int64_t items = -(have / want);
      if (batch > 0 && items != batch) return 0;
      batch = items;
    }
  }
  return batch > 0 ? batch : 1;
}

SizesText describe_dims(const CupelImage& image, const int64_t* const* dims) {
  SizesText text;
  Writer to(text);
  for (int32_t i = 0; i < image.input_count; ++i) {
    to.add("%s%s [", i == 0 ? "" : ", ", image.inputs[i].name);
    for (int32_t d = 0; d < image.inputs[i].rank; ++d)
      to.add("%s%lld", d == 0 ? "" : ",", static_cast<long long>(dims[i][d]));
    to.add("]");
  }
  return text;
}

SizesText describe_sizes(const CupelImage& first) {
  SizesText text;
  Writer to(text);
  for (const CupelImage* one = &first; one != nullptr; one = one->next) {
    to.add("%s", one == &first ? "" : ", ");
    if (one->sizes[0] != '\0') {
      to.add("%s", one->sizes);
      continue;
    }
    for (int32_t i = 0; i < one->input_count; ++i) {
      to.add("%s%s [", i == 0 ? "" : ", ", one->inputs[i].name);
      for (int32_t d = 0; d < one->inputs[i].rank; ++d) {
        const int64_t dim = one->inputs[i].dims[d];
        const char* const comma = d == 0 ? "" : ",";
        if (dim >= 0)
          to.add("%s%lld", comma, static_cast<long long>(dim));
        else if (dim == -1)
          to.add("%sbatch", comma);
        else
          to.add("%s%lld*batch", comma, static_cast<long long>(-dim));
      }
      to.add("]");
    }
  }
  return text;
}

}  // namespace cupel
