#include "model/upload_digest.h"

#include <algorithm>
#include <vector>

#include "model/running_sum.h"
#include "model/value_hash.h"

namespace msfl::model {

void UploadDigest::Add(std::size_t flat_begin, const float* values, std::size_t count) {
  // A sum, since additions of one upload start at any block.
  sum_ += HashValues(values, count * sizeof(float), flat_begin);
}

void UploadDigest::AddOther(std::string_view bytes) {
  constexpr std::uint64_t kNoElement = ~std::uint64_t{0};
  sum_ += HashValues(bytes.data(), bytes.size(), kNoElement);
}

std::string UploadDigest::Text() const {
  constexpr int kNibbles = 16;
  std::string text;
  for (int nibble = kNibbles - 1; nibble >= 0; --nibble)
    text += "0123456789abcdef"[sum_ >> (4 * nibble) & 15U];
  return text;
}

UploadDigest DigestUpload(const Layout& layout, std::span<const Contribution> upload) {
  std::vector<const float*> values_of_feature(layout.features().size(), nullptr);
  for (const Contribution& contribution : upload)
    values_of_feature[contribution.feature] = contribution.values;
  UploadDigest digest;
  const std::size_t elements = layout.aggregated_elements();
  for (std::size_t begin = 0; begin < elements; begin += RunningSum::kBlockElements) {
    const FlatRange block{begin, std::min(begin + RunningSum::kBlockElements, elements)};
    ForEachPiece(layout, block,
                 [&](std::size_t feature, std::size_t first, std::size_t count, std::size_t at) {
                   const float* const values = values_of_feature[feature];
                   if (values != nullptr) digest.Add(begin + at, values + first, count);
                   return true;
                 });
  }
  return digest;
}

}  // namespace msfl::model
