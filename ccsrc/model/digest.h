// What a model is known by between Servers.
#pragma once

#include <string>

#include "model/model.h"

namespace msfl::model {

inline constexpr std::size_t kDigestCharacters = 32;

// XXH3, 128 bits, of all values in the order of the layout, as hex digits. It finds differences, not
// forgeries.
std::string Digest(const Model& model);

}  // namespace msfl::model
