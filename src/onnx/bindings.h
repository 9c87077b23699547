// What is known of a model's inputs beyond its file: sizes of symbolic dimensions, shapes, values.
#pragma once

#include <cstddef>
#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/dtype.h"
#include "base/result.h"
#include "base/shape.h"
#include "base/tensor.h"

namespace cupel {

struct GraphFields;
struct ValueFields;

// Symbols are bound wherever they stand: a shape of one input binds the named dimensions of the others too.
struct Bindings {
  std::map<std::string, int64_t, std::less<>> dims;  // symbol → size
  std::map<std::string, std::vector<std::optional<int64_t>>, std::less<>>
      shapes;  // input → sizes; null: as in the file
  // Input → its value, which is a constant of the graph from then on; as an array, or as numbers that stand for one of
  // the input's type, all in one dimension or one in none.
  std::map<std::string, Tensor, std::less<>> values;
  std::map<std::string, std::vector<double>, std::less<>> numbers;

  bool empty() const { return dims.empty() && shapes.empty() && values.empty() && numbers.empty(); }
};

// An input as the file declares it. Dimensions without a name ("?" is none) or of −1 are symbolic: leading ones are all
// "batch", others "dim_INPUT_AXIS".
struct DeclaredInput {
  std::string name;
  DType dtype = DType::f32;
  Shape shape;
  bool unnamed_lead = false;  // the leading dimension is "batch" for want of a name: its size may differ between inputs
  DType in_file = dtype;      // of 4 bits where dtype is the byte that holds one
};

// Of all inputs that are no initializers. Errors name the input: bad_input for a missing type or a negative size,
// unsupported for what is no tensor, has no shape or an element type that Cupel lacks.
Result<std::vector<DeclaredInput>> declared_inputs(const GraphFields& graph);
// The same of a file's bytes.
Result<std::vector<DeclaredInput>> declared_inputs(std::span<const std::byte> file, std::string_view place);

// `inputs` with the sizes that `bindings` gives. usage for names that the model lacks, for shapes that contradict the
// declared ones and for symbols with two sizes.
Status bind_sizes(std::vector<DeclaredInput>& inputs, const Bindings& bindings);
// The values of `bindings`, of the types that `inputs` declare. usage for values of another type or rank.
Result<std::map<std::string, Tensor, std::less<>>> bound_values(const std::vector<DeclaredInput>& inputs,
                                                                const Bindings& bindings);

}  // namespace cupel
