#include "model/layout.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <unordered_map>
#include <utility>

static_assert(std::endian::native == std::endian::little,
              "the wire is little-endian, and weights live in its bytes");

namespace msfl::model {

namespace {

constexpr std::size_t kWord = sizeof(std::uint32_t);
constexpr std::size_t kTableBytes = 3 * kWord;  // offset of the vtable, weight_fullname, data
// Its own size, the table's size, where in the table each field lies.
constexpr std::uint16_t kVtable[] = {8, kTableBytes, 1 * kWord, 2 * kWord};

std::size_t PadToWord(std::size_t size) { return (size + kWord - 1) / kWord * kWord; }

Error Refused(std::string text) { return {Errc::kInvalidArgument, std::move(text)}; }

std::string Quoted(const Feature& feature) { return "feature '" + feature.name + "'"; }

std::string ShapeText(const Feature& feature) {
  std::string text = "(";
  for (const std::int64_t dimension : feature.shape) {
    if (text.size() > 1) text += ", ";
    text += std::to_string(dimension);
  }
  return text + ")";
}

Error TooLarge(const Feature& feature) {
  return Refused(Quoted(feature) + " of shape " + ShapeText(feature) + " brings the model beyond " +
                 std::to_string(Layout::kMaxTailBytes) + " bytes, which is all that one message can carry");
}

Result<std::size_t> Elements(const Feature& feature) {
  std::size_t elements = 1;
  for (const std::int64_t dimension : feature.shape) {
    if (dimension < 1) {
      return Refused(Quoted(feature) + " has the shape " + ShapeText(feature) +
                     "; every dimension has to be at least 1");
    }
    if (static_cast<std::uint64_t>(dimension) > Layout::kMaxTailBytes / sizeof(float) / elements)
      return TooLarge(feature);
    elements *= static_cast<std::size_t>(dimension);
  }
  return elements;
}

// Writes words at byte offsets; all of them lie below kMaxTailBytes, so that they fit.
class Skeleton {
 public:
  explicit Skeleton(std::vector<std::uint8_t>& bytes) : bytes_(bytes) {}
  void Word(std::size_t at, std::size_t value) {
    const auto word = static_cast<std::uint32_t>(value);
    std::memcpy(bytes_.data() + at, &word, sizeof word);
  }
  // FlatBuffers offsets count from the place where they are written.
  void Offset(std::size_t at, std::size_t target) { Word(at, target - at); }
  void Bytes(std::size_t at, const void* from, std::size_t size) {
    std::memcpy(bytes_.data() + at, from, size);
  }

 private:
  std::vector<std::uint8_t>& bytes_;
};

}  // namespace

struct Layout::Index {
  std::unordered_map<std::string_view, std::size_t> by_name;
};

Result<std::shared_ptr<const Layout>> Layout::Make(std::vector<Feature> features) {
  if (features.empty()) return Refused("the model has no feature; it needs at least one");
  std::ranges::sort(features, {}, &Feature::name);
  if (features.front().name.empty()) return Refused("a feature has an empty name");
  for (std::size_t i = 1; i < features.size(); ++i) {
    if (features[i].name == features[i - 1].name)
      return Refused(Quoted(features[i]) + " appears more than once");
  }

  const std::shared_ptr<Layout> layout(new Layout);
  std::size_t aggregated = 0;
  std::size_t names_bytes = 0;
  for (Feature& feature : features) {
    const Result<std::size_t> elements = Elements(feature);
    if (!elements) return elements.error();
    feature.elements = *elements;
    if (feature.require_aggr) ++aggregated;
    names_bytes += kWord + PadToWord(feature.name.size() + 1);
    if (names_bytes > kMaxTailBytes) return TooLarge(feature);
  }

  const std::size_t count = features.size();
  const bool share_vector = aggregated == count;
  layout->all_vector_offset_ = 0;
  layout->aggregated_vector_offset_ = share_vector ? 0 : kWord * (1 + count);
  const std::size_t vtable_at = kWord * (1 + count) + (share_vector ? 0 : kWord * (1 + aggregated));
  const std::size_t tables_at = vtable_at + sizeof kVtable;
  const std::size_t names_at = tables_at + kTableBytes * count;
  const std::size_t skeleton_bytes = names_at + names_bytes;

  std::size_t end = skeleton_bytes;
  for (const bool pass_aggregated : {true, false}) {
    for (std::size_t i = 0; i < count; ++i) {
      Feature& feature = features[i];
      if (feature.require_aggr != pass_aggregated) continue;
      if (pass_aggregated) {
        layout->aggregated_.push_back(i);
        feature.sum_offset = layout->aggregated_elements_;
        layout->aggregated_elements_ += feature.elements;
      }
      layout->total_elements_ += feature.elements;
      feature.tail_offset = end + kWord;
      end = feature.tail_offset + feature.elements * sizeof(float);
      if (end > kMaxTailBytes) return TooLarge(feature);
    }
    if (pass_aggregated) layout->aggregated_tail_bytes_ = end;
  }
  layout->tail_bytes_ = end;

  layout->skeleton_.resize(skeleton_bytes);
  Skeleton skeleton(layout->skeleton_);
  skeleton.Word(layout->all_vector_offset_, count);
  if (!share_vector) skeleton.Word(layout->aggregated_vector_offset_, aggregated);
  skeleton.Bytes(vtable_at, kVtable, sizeof kVtable);
  std::size_t name_at = names_at;
  std::size_t aggregated_seen = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const Feature& feature = features[i];
    const std::size_t table_at = tables_at + i * kTableBytes;
    skeleton.Offset(layout->all_vector_offset_ + kWord * (1 + i), table_at);
    if (feature.require_aggr && !share_vector) {
      skeleton.Offset(layout->aggregated_vector_offset_ + kWord * (1 + aggregated_seen++), table_at);
    }
    skeleton.Word(table_at, table_at - vtable_at);
    skeleton.Offset(table_at + kVtable[2], name_at);
    skeleton.Offset(table_at + kVtable[3], feature.tail_offset - kWord);
    skeleton.Word(name_at, feature.name.size());
    skeleton.Bytes(name_at + kWord, feature.name.data(), feature.name.size());
    name_at += kWord + PadToWord(feature.name.size() + 1);
  }

  layout->features_ = std::move(features);
  const auto index = std::make_shared<Index>();
  index->by_name.reserve(count);
  for (std::size_t i = 0; i < count; ++i) index->by_name.emplace(layout->features_[i].name, i);
  layout->index_ = index;
  return std::shared_ptr<const Layout>(layout);
}

std::optional<std::size_t> Layout::Find(std::string_view name) const {
  const auto found = index_->by_name.find(name);
  if (found == index_->by_name.end()) return std::nullopt;
  return found->second;
}

}  // namespace msfl::model
