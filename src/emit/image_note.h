// The note of an Image (CupelImageNote in runtime/image.h): written when the file is complete, and checked as data
// before any code of the file runs. It guards against accidents: damage, a file of another version, another library
// under the name of a model. It is no signature: whoever writes native code on purpose can write its hash as well.
#pragma once

#include <span>
#include <string>

#include "base/file.h"

namespace cupel {

// Writes the content's hash into its note. internal when it has none.
Status stamp_image(Bytes& image);

// bad_input at `place` unless the content is a shared library with a note of this version whose hash is the content's.
Status check_image(std::span<const std::byte> content, const std::string& place);

}  // namespace cupel
