#include "model/digest.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <memory>

namespace msfl::model {

std::string Digest(const Model& model) {
  const std::unique_ptr<XXH3_state_t, decltype(&XXH3_freeState)> state(XXH3_createState(), XXH3_freeState);
  if (state == nullptr) throw std::bad_alloc();
  XXH3_128bits_reset(state.get());
  for (std::size_t i = 0; i < model.layout().features().size(); ++i) {
    const std::span<const float> values = model.values(i);
    XXH3_128bits_update(state.get(), values.data(), values.size_bytes());
  }
  XXH128_canonical_t canonical;
  XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(state.get()));
  std::string text;
  text.reserve(kDigestCharacters);
  for (const unsigned char byte : canonical.digest) {
    text += "0123456789abcdef"[byte >> 4U];
    text += "0123456789abcdef"[byte & 15U];
  }
  return text;
}

}  // namespace msfl::model
