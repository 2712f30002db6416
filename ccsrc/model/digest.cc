#include "model/digest.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace msfl::model {
namespace {

std::string Hex(const XXH128_canonical_t& canonical) {
  std::string text;
  text.reserve(kDigestCharacters);
  for (const unsigned char byte : canonical.digest) {
    text += "0123456789abcdef"[byte >> 4U];
    text += "0123456789abcdef"[byte & 15U];
  }
  return text;
}

}  // namespace

struct Digester::State {
  XXH3_state_t hash;  // aligned to 64 bytes
};

Digester::Digester() : state_(std::make_unique<State>()) { XXH3_128bits_reset(&state_->hash); }

Digester::~Digester() = default;

void Digester::Add(const Model& model, FlatRange range) {
  ForEachPiece(model.layout(), range,
               [&](std::size_t feature, std::size_t first, std::size_t count, std::size_t) {
                 const float* const values = model.values(feature).data() + first;
                 XXH3_128bits_update(&state_->hash, values, count * sizeof(float));
                 return true;
               });
}

std::string Digester::Finish(const Model& model) {
  const std::vector<Feature>& features = model.layout().features();
  for (std::size_t i = 0; i < features.size(); ++i) {
    if (features[i].require_aggr) continue;
    const std::span<const float> values = model.values(i);
    XXH3_128bits_update(&state_->hash, values.data(), values.size_bytes());
  }
  XXH128_canonical_t canonical;
  XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(&state_->hash));
  return Hex(canonical);
}

std::string Digest(const Model& model) {
  Digester digester;
  digester.Add(model, {0, model.layout().aggregated_elements()});
  return digester.Finish(model);
}

}  // namespace msfl::model
