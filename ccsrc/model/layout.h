// The tensors of a model and where each lies: in the flat range of sums, and in the encoded message tail.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace msfl::model {

struct Feature {
  std::string name;
  std::vector<std::int64_t> shape;  // () is a scalar, one element
  std::size_t elements = 0;         // product of the shape, at least 1
  bool require_aggr = true;
  std::size_t sum_offset =
      0;  // first element in the flat range of aggregated features; unused without require_aggr
  std::size_t tail_offset = 0;  // byte offset of its first float in the encoded tail
};

// Immutable. Features are in byte order of their names.
//
// The tail is the part of a FlatBuffers answer that all devices share. A FlatBuffers offset points forward,
// so an answer is [head: root table, strings, plan][tail]; the head's field `feature_map` points to a vector
// in the tail:
//
//   tail = [vector of all features][vector of the aggregated ones][tables][names][floats, aggregated][floats,
//   others]
//
// An answer with only the aggregated features sends the tail up to the end of their floats. The head is
// padded to a multiple of kAlignment.
class Layout {
 public:
  static constexpr std::size_t kAlignment = 64;
  static constexpr std::size_t kMaxHeadBytes = 64 * 1024;
  // A FlatBuffers message, head and tail, has less than 2^31 - 1 bytes.
  static constexpr std::size_t kMaxTailBytes = (std::size_t{1} << 31) - 2 - kMaxHeadBytes;

  // Takes names, shapes and require_aggr in any order; works out the rest of Feature.
  // Errc::kInvalidArgument: no feature, an empty or repeated name, no element, a tail beyond kMaxTailBytes.
  static Result<std::shared_ptr<const Layout>> Make(std::vector<Feature> features);

  const std::vector<Feature>& features() const { return features_; }
  // Index of the feature, if there is one. Called for each tensor of each upload: a hash lookup, no
  // allocation.
  std::optional<std::size_t> Find(std::string_view name) const;

  // Indices of the aggregated features; the flat range has them in this order.
  const std::vector<std::size_t>& aggregated() const { return aggregated_; }
  std::size_t aggregated_elements() const { return aggregated_elements_; }
  std::size_t total_elements() const { return total_elements_; }

  std::size_t tail_bytes() const { return tail_bytes_; }
  std::size_t aggregated_tail_bytes() const { return aggregated_tail_bytes_; }
  // Byte offset in the tail of the vector that a head's `feature_map` has to point to.
  std::size_t all_vector_offset() const { return all_vector_offset_; }
  std::size_t aggregated_vector_offset() const { return aggregated_vector_offset_; }
  // Everything of the tail but the floats; copied to the front of each new model.
  std::span<const std::uint8_t> skeleton() const { return skeleton_; }

 private:
  Layout() = default;
  std::vector<Feature> features_;
  std::vector<std::size_t> aggregated_;
  std::vector<std::uint8_t> skeleton_;
  std::size_t aggregated_elements_ = 0, total_elements_ = 0, tail_bytes_ = 0, aggregated_tail_bytes_ = 0;
  std::size_t all_vector_offset_ = 0, aggregated_vector_offset_ = 0;
  struct Index;
  std::shared_ptr<const Index> index_;
};

}  // namespace msfl::model
