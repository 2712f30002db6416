// Compiled with -mavx2: nothing but xxhash may be included here, or a function of it that others use as well
// might run on a processor without.
#include "model/value_hash.h"

#ifdef __AVX2__
#define XXH_INLINE_ALL
#include <xxhash.h>

namespace msfl::model {

std::uint64_t HashValuesByAvx2(const void* bytes, std::size_t size, std::uint64_t seed) {
  return XXH3_64bits_withSeed(bytes, size, seed);
}

}  // namespace msfl::model
#endif
