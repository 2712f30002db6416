#include "model/flat_range.h"

#include <cstring>

#include "model/sum_loops.h"

namespace msfl::model {

namespace {

constexpr std::size_t kSegmentAlignment = 16;

}  // namespace

FlatRange Segment(std::size_t elements, std::size_t count, std::size_t rank) {
  const std::size_t lines = (elements + kSegmentAlignment - 1) / kSegmentAlignment;
  // The first `lines % count` have one more.
  const auto boundary = [&](std::size_t index) {
    const std::size_t line = lines / count * index + std::min(index, lines % count);
    return std::min(line * kSegmentAlignment, elements);
  };
  return {boundary(rank), boundary(rank + 1)};
}

std::size_t FindAggregated(const Layout& layout, std::size_t element) {
  const std::vector<std::size_t>& aggregated = layout.aggregated();
  const auto after = std::ranges::upper_bound(
      aggregated, element, {}, [&](std::size_t index) { return layout.features()[index].sum_offset; });
  return static_cast<std::size_t>(after - aggregated.begin()) - 1;
}

ByteRange FloatBytes(const Layout& layout, FlatRange range) {
  if (range.empty()) return {};
  const auto at = [&](std::size_t element) {
    const Feature& feature = layout.features()[layout.aggregated()[FindAggregated(layout, element)]];
    return feature.tail_offset + (element - feature.sum_offset) * sizeof(float) - layout.skeleton().size();
  };
  return {at(range.begin), at(range.end - 1) + sizeof(float)};
}

void RestoreLengths(Model& model, FlatRange range) {
  const Layout& layout = model.layout();
  std::uint8_t* const floats = model.float_bytes().data();
  ForEachPiece(layout, range, [&](std::size_t feature, std::size_t, std::size_t, std::size_t offset) {
    if (offset == 0) return true;  // its length stands before the range
    const Feature& at = layout.features()[feature];
    const auto length = static_cast<std::uint32_t>(at.elements);
    std::memcpy(floats + (at.tail_offset - layout.skeleton().size() - sizeof length), &length, sizeof length);
    return true;
  });
}

bool AverageRange(std::span<const double> sums, std::size_t begin, std::span<const std::uint64_t> data_sizes,
                  const Model& start, Model& model) {
  const FlatRange range{begin, begin + sums.size()};
  return ForEachPiece(model.layout(), range,
                      [&](std::size_t feature, std::size_t first, std::size_t count, std::size_t offset) {
                        float* const out = model.values(feature).data() + first;
                        const std::uint64_t divisor = data_sizes[feature];
                        if (divisor != 0)
                          return DivideSums(out, sums.data() + offset, static_cast<double>(divisor), count);
                        std::copy_n(start.values(feature).data() + first, count, out);
                        return true;
                      });
}

void CopyNotAggregated(const Model& start, Model& model) {
  const std::vector<Feature>& features = model.layout().features();
  for (std::size_t i = 0; i < features.size(); ++i) {
    if (!features[i].require_aggr) std::ranges::copy(start.values(i), model.values(i).begin());
  }
}

}  // namespace msfl::model
