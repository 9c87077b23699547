// What arrays and data sets say about the sizes that a model leaves open.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "base/tensor.h"
#include "data/dataset.h"
#include "driver/compile.h"
#include "onnx/bindings.h"

namespace cupel {

// The inputs that an ONNX file declares; none for a dump of a graph, whose sizes are settled.
Result<std::vector<DeclaredInput>> model_inputs(const std::filesystem::path& path);

// The batch: the first symbolic dimension that leads an input; empty when there is none.
std::string batch_symbol(const std::vector<DeclaredInput>& inputs);

// Ways to bind a model to arrays, one for each input, from the freest to the tightest; each is to be tried when a model
// cannot be made of the one before:
//   all sizes but the batch;  all sizes;  and integers of one dimension or none as constants;  and such numbers too;
//   and every array but the first, weights say.
// `given` holds in each of them.
std::vector<Bindings> ways_to_bind(const std::vector<DeclaredInput>& inputs,
                                   const std::map<std::string, Tensor>& arrays, const Bindings& given);

// All sizes of the arrays.
Bindings bind_arrays(const std::vector<DeclaredInput>& inputs, const std::map<std::string, Tensor>& arrays,
                     const Bindings& given);

// The sizes behind the batch of the inputs that `given` leaves without a value, as the data set's samples have them;
// all sizes of an input of the rank of a sample. `batch`: the size of the batch; 0: it stays open.
Bindings bind_samples(const std::vector<DeclaredInput>& inputs, const Dataset& data, const Bindings& given,
                      int64_t batch = 0);

// load_model with the bindings of the context and those of the data set. A batch that the model leaves open, and with
// which it has no compiled form, is one sample; Model::batch_fixed_by then says why.
Result<Model> load_for_data(const std::filesystem::path& path, const Dataset& data, CompileContext& context);

}  // namespace cupel
