// The flat range of aggregated elements, and where its parts lie in a model.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include "model/model.h"

namespace msfl::model {

struct FlatRange {
  std::size_t begin = 0, end = 0;  // elements

  std::size_t size() const { return end - begin; }
  bool empty() const { return begin == end; }
  bool operator==(const FlatRange&) const = default;
};

// The part of the flat range that the `rank`-th of `count` Servers makes the average of. Parts begin at
// multiples of a cache line, so that of few elements some are empty.
FlatRange Segment(std::size_t elements, std::size_t count, std::size_t rank);

// Which of Model::float_bytes hold the range: from its first float to its last, with the lengths of features
// that stand in between.
struct ByteRange {
  std::size_t begin = 0, end = 0;
  std::size_t size() const { return end - begin; }
};
ByteRange FloatBytes(const Layout& layout, FlatRange range);
// Writes those lengths anew.
void RestoreLengths(Model& model, FlatRange range);

// Position in Layout::aggregated of the feature that the element belongs to.
std::size_t FindAggregated(const Layout& layout, std::size_t element);

// Calls piece(feature, first element of it, count, offset in the range) for each feature in turn, until one
// is false.
template <class Piece>
bool ForEachPiece(const Layout& layout, FlatRange range, Piece piece) {
  if (range.empty()) return true;
  for (std::size_t at = range.begin, position = FindAggregated(layout, range.begin); at < range.end;
       ++position) {
    const std::size_t index = layout.aggregated()[position];
    const Feature& feature = layout.features()[index];
    const std::size_t first = at - feature.sum_offset;
    const std::size_t count = std::min(range.end - at, feature.elements - first);
    if (!piece(index, first, count, at - range.begin)) return false;
    at += count;
  }
  return true;
}

// Writes the averages of a range into `model`: sum / data size of its feature; a feature that nobody sent
// keeps the value of `start`, which has the same layout. False if one is NaN or infinite. `sums` are those of
// the range alone, `data_sizes` go by feature.
[[nodiscard]] bool AverageRange(std::span<const double> sums, std::size_t begin,
                                std::span<const std::uint64_t> data_sizes, const Model& start, Model& model);

void CopyNotAggregated(const Model& start, Model& model);

}  // namespace msfl::model
