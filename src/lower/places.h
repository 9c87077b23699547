// Where values lie: fresh places with halos, slices of a Concat's result, copies for readers that need another place.
#pragma once

#include <map>
#include <optional>

#include "lower/steps.h"

namespace cupel {

// What every part of a lowering knows of the graph.
struct GraphFacts {
  GraphFacts(const Graph& g, Batch b)
      : graph(g), batch(std::move(b)), users(g.users()), images(image_values(g)), taken(g.nodes().size(), false) {}

  const std::vector<NodeId>& users_of(ValueId v) const { return users[static_cast<size_t>(v.index)]; }
  bool is_image(ValueId v) const { return images[static_cast<size_t>(v.index)]; }
  bool is_taken(NodeId id) const { return taken[static_cast<size_t>(id.index)]; }
  Result<Dims> item_dims(ValueId v) const { return cupel::item_dims(graph, batch, v); }
  // Whether an item of the value has no elements.
  bool is_empty(ValueId v) const {
    const auto dims = item_dims(v);
    return dims && element_count(*dims) == 0;
  }
  bool is_batched(ValueId v) const { return cupel::is_batched(graph, batch, v); }
  // Whether that dimension holds the items of a batch, so that no item has all of it.
  bool is_batch(ValueId v, int64_t axis) const { return axis == 0 && is_batched(v); }
  // Sorted names of what reads the value.
  std::set<std::string> origins_of_users(ValueId v) const;
  // Whether items of both values have the same dimensions, but for a leading one of 1.
  bool same_items(ValueId a, ValueId b) const;

  const Graph& graph;
  Batch batch;
  std::vector<std::vector<NodeId>> users;
  std::vector<bool> images;
  std::vector<bool> taken;  // nodes that a kernel computes
};

// How a kernel's space walks the items of a graph value: its extents, and for each dimension of the space the dimension
// of the result's item (−1: none). `dims`: the result's item.
struct Walk {
  Dims space = {};
  std::vector<int> item_dim = {};
  Dims dims = {};
  bool whole_blocks = false;  // of 16 along the last dimension, whose operands have room for them
};
// Space {N, h, w, channels} of images [N,C,H,W]; without N where that is 1.
Walk image_walk(const Dims& dims);
// Dimensions as they are, without a leading one of 1.
Walk plain_walk(const Dims& dims);

// Of a fresh place, before it has a buffer.
struct PlannedPlace {
  Placed place;
  int64_t item_bytes = 0;
};

// Dimension along which a Concat joins.
size_t joined_dim(const Graph& graph, const Node& concat);
// Whether values of these types have the same codes for the same numbers, or none.
inline bool same_codes(const TensorType& a, const TensorType& b) { return a.dtype == b.dtype && a.quant == b.quant; }

class Places {
 public:
  Places(const GraphFacts& facts, Steps& steps) : facts_(facts), graph_(facts.graph), steps_(steps) {}

  bool has(ValueId value) const { return places_.contains(value); }
  // Where the value lies; a constant among the constants of the program, unless its dimensions could be items.
  Result<Placed> at(ValueId value);
  // A constant by its own dimensions, none of which are the batch.
  const Placed& constant_at(ValueId value);
  void set(ValueId value, Placed place) { places_[value] = std::move(place); }
  // The value is known: among the constants of the program.
  void set_constant(ValueId value, const Tensor& tensor) { places_[value] = constant_place(tensor); }

  // A fresh place for a graph value; whole_blocks: its kernel writes the last dimension of its space in blocks of 16.
  // Fills its halo by steps of its own.
  Result<Placed> fresh(ValueId value, bool whole_blocks);
  Result<PlannedPlace> planned(ValueId value, bool whole_blocks) const;
  // The place for a kernel's result, in the result of a Concat where it can lie there: then `requantized` tells as
  // which codes.
  Result<Placed> for_result(ValueId value, bool whole_blocks);
  // The same with whole blocks of 16 along dimension `dim` of the item (−1: one element), which lies contiguously.
  Result<Placed> for_channels(ValueId value, int dim);
  // Where a Concat's result lies, once some operand has its slice there; null before.
  const Placed* concat(ValueId result) const;
  // The slice of a place of the Concat's result for one of its operands.
  Result<Placed> concat_slice(NodeId concat, size_t operand);

  // `value` as an image with at least this halo, copied when it does not lie so.
  Result<Placed> image(ValueId value, const Halo& halo, HaloFill fill);
  // `value` with contiguous elements along its last dimension, copied when it does not lie so, or has no room for the
  // up to 3 bytes that a contraction of codes reads behind a row.
  Result<Placed> row(ValueId value);
  // The same for a view `have` of it.
  Placed row(ValueId value, const Placed& have);
  // `value` row-major without gaps, copied when it does not lie so.
  Result<Placed> dense(ValueId value);
  Placed dense_copy(ValueId value, const Placed& from);
  // `value` as an operand of a kernel that walks so: copied when its elements along the walk's last dimension are not
  // contiguous where it computes whole blocks, or have no room for them.
  Result<Placed> operand(ValueId value, const Walk& walk);
  // The same value in a fresh buffer of another shape (halo, fill, contiguous rows).
  Placed copied(ValueId value, const Placed& from, const BufferShape& shape, Halo halo, HaloFill fill);
  // The u8 codes, each 128 higher, of an s8 value.
  Result<Placed> shifted(ValueId value, const Placed& from);

  // Byte access of a place over a walk's space.
  Access access(const Placed& place, const Walk& walk) const;
  Walk walk_of(ValueId value, const Dims& dims) const;  // images as images, others as they are

 private:
  // The Concat in whose result a value can be written at once, and which of its operands it is.
  struct Home {
    NodeId concat;
    size_t operand;
  };
  std::optional<Home> home_of(ValueId value, bool whole_blocks) const;
  Placed constant_place(const Tensor& tensor);
  // The halo that the windows reading `value` need with that fill.
  Halo halo_for(ValueId value, HaloFill fill) const;
  void fill_halo(ValueId value, const Placed& place);
  std::unexpected<Error> too_large_padded(ValueId value) const;
  // Whether bytes behind the elements of `place` may be read: neither in the caller's own memory nor among constants.
  bool has_room(const Placed& place) const { return steps_.buffer(place.layout.buffer).place == BufferPlace::arena; }

  const GraphFacts& facts_;
  const Graph& graph_;
  Steps& steps_;
  std::map<ValueId, Placed> places_;
  std::map<ValueId, Placed> constant_places_;
  std::map<ValueId, Placed> concat_places_;  // results of Concats of which some operand lies in its slice
};

}  // namespace cupel
