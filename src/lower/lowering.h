// The state of one lowering: what the ways of op_lowerings.h work on. Private to this folder.
#pragma once

#include <string>

#include "lower/absorption.h"
#include "lower/expressions.h"
#include "lower/places.h"
#include "lower/steps.h"

namespace cupel {

struct Lowering {
  // `g`: the graph of stage fused of `s`, which has the inputs, the outputs and the values that taps see.
  Lowering(const Graph& g, const Graph& s, std::string model, const LowerTarget& lower_target,
           const LowerOptions& options, Batch batch)
      : graph(g),
        source(s),
        target(lower_target),
        facts(g, batch),
        steps(g, s, std::move(batch), std::move(model)),
        places(facts, steps),
        expressions(facts, places, steps, lower_target),
        absorption(facts, places, expressions, options) {}
  Lowering(const Lowering&) = delete;
  Lowering& operator=(const Lowering&) = delete;

  // A step that computes `result`, which lies at `place` from now on.
  void finish(Kernel kernel, std::vector<int64_t> buffers, const std::set<std::string>& origins, ValueId result,
              const Placed& place) {
    steps.add(std::move(kernel), std::move(buffers), origins, result, &place);
    places.set(result, place);
  }

  const Graph& graph;
  const Graph& source;
  LowerTarget target;
  GraphFacts facts;
  Steps steps;
  Places places;
  Expressions expressions;
  Absorption absorption;
};

}  // namespace cupel
