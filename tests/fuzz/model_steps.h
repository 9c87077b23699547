// The steps from the bytes of an ONNX file on, with the properties that hold for any bytes.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "driver/compile.h"

namespace cupel::fuzz {

// The model made ready, as every verb begins; nothing for a file that is refused.
std::optional<Model> read_model(std::span<const uint8_t> bytes);

// Whether a run with two batch items takes little memory and time.
bool is_small(const Graph& graph);

}  // namespace cupel::fuzz
