// What a model is known by between Servers.
#pragma once

#include <memory>
#include <string>

#include "model/flat_range.h"
#include "model/model.h"

namespace msfl::model {

inline constexpr std::size_t kDigestCharacters = 32;

// XXH3, 128 bits, as hex digits: of the aggregated values in the order of the flat range, and then of the
// others in the order of the layout. It finds differences, not forgeries.
std::string Digest(const Model& model);

// The same bit by bit, while what was just written is in the processor's cache.
class Digester {
 public:
  Digester();
  ~Digester();
  // The ranges have to follow each other, without a gap, from the first element to the last.
  void Add(const Model& model, FlatRange range);
  // To be called once, with every aggregated value added.
  std::string Finish(const Model& model);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace msfl::model
