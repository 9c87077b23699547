// The sizes that an Image holds: which of its chain fits given inputs.
#pragma once

#include "runtime/image.h"

namespace cupel {

// The batch of inputs with these dimensions, dims[i][d] that of input i; 1 where no input has a batch. 0 when the
// dimensions are not those of `image`.
int64_t batch_of(const CupelImage& image, const int64_t* const* dims);

// For messages, cut where the text is full.
struct SizesText {
  char text[112];
};
// "ids [1,100], mask [1,100]"
SizesText describe_dims(const CupelImage& image, const int64_t* const* dims);
// "seq=64, seq=128": of a whole chain.
SizesText describe_sizes(const CupelImage& first);

}  // namespace cupel
