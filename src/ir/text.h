// Graph text: parse(print(g)) == g. Constants of more than 16 elements are named by content hash and kept in a store.
#pragma once

#include <string>
#include <string_view>

#include "ir/graph.h"
#include "ir/type_text.h"

namespace cupel {

// Adds the large constants to `store` when it is not null.
std::string print_graph(const Graph& graph, ConstantStore* store = nullptr);
// bad_input with place "<name>:LINE:COLUMN" for anything malformed, unknown op included.
Result<Graph> parse_graph(std::string_view text, const ConstantStore& store = {}, std::string_view name = "graph text");

// The side file: every constant of a store with its hash, checked on reading.
std::string print_constants(const ConstantStore& store);
Result<ConstantStore> parse_constants(std::string_view bytes, std::string_view name = "constants");

}  // namespace cupel
