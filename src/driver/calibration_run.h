// The engine that calibration runs: compiled code that shows the values that are observed, as fast as inference.
#pragma once

#include <span>

#include "driver/compile.h"

namespace cupel {

// What the interpreter computes in about the time that compiling a network takes.
inline constexpr int64_t kMacsOfACompilation = 4'000'000'000;

// Samples of a run for which the values take a few MB, so that they are observed while the caches hold them; at least
// one and at most `wanted`. No range depends on it.
int64_t calibration_batch(const Graph& model, std::span<const ValueId> values, int64_t wanted);

// Runs `model`, which must outlive the result, and shows `values`, the inputs and the outputs. Compiled so that the
// values leave their kernels; the interpreter where the model has no compiled form, or `samples` are so few that it is
// through before a compiler would be. Both give the same bits. Where the observer or the data end a run, the
// interpreter repeats it with every value shown, so that the error is about the first node.
Result<ObservedRun> calibration_run(const Graph& model, std::span<const ValueId> values, int64_t samples,
                                    CompileContext& context);

}  // namespace cupel
