#include "model/value_hash.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace msfl::model {

std::uint64_t HashValues(const void* bytes, std::size_t size, std::uint64_t seed) {
#ifdef MSFL_HAS_AVX2_FILE
  static const bool has_avx2 = __builtin_cpu_supports("avx2") != 0;
  if (has_avx2) return HashValuesByAvx2(bytes, size, seed);
#endif
  return XXH3_64bits_withSeed(bytes, size, seed);
}

}  // namespace msfl::model
