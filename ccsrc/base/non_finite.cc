#include "base/non_finite.h"

#include <algorithm>
#include <cstring>

#if defined(MSFL_NO_TARGET_CLONES) || !defined(__x86_64__)
#define MSFL_TARGET_CLONES
#else
#define MSFL_TARGET_CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
#endif

namespace msfl {
namespace {

// True if a word has all exponent bits set. No way out inside the loop: that is what lets it vectorise.
MSFL_TARGET_CLONES
bool AnySuspicious(const std::uint8_t* bytes, std::size_t words) {
  std::uint32_t found = 0;
  for (std::size_t i = 0; i < words; ++i) {
    std::uint32_t word;
    std::memcpy(&word, bytes + i * sizeof word, sizeof word);
    found |= static_cast<std::uint32_t>((word & 0x7F800000U) == 0x7F800000U);
  }
  return found != 0;
}

}  // namespace

void NonFiniteMap::Reset(std::size_t message_bytes) {
  const std::size_t blocks = (message_bytes + kBlockBytes - 1) / kBlockBytes;
  marks_.assign((blocks + 63) / 64, 0);
  any_ = false;
}

void NonFiniteMap::Scan(const std::uint8_t* message, std::size_t from, std::size_t to) {
  from = from / 4 * 4;  // the word that the call before had to leave
  to = to / 4 * 4;
  while (from < to) {
    const std::size_t block = from / kBlockBytes;
    const std::size_t end = std::min(to, (block + 1) * kBlockBytes);
    if (AnySuspicious(message + from, (end - from) / 4)) {
      marks_[block / 64] |= std::uint64_t{1} << (block % 64);
      any_ = true;
    }
    from = end;
  }
}

bool NonFiniteMap::MayContain(std::size_t from, std::size_t to) const {
  if (!any_ || from >= to) return false;
  const std::size_t last = std::min((to - 1) / kBlockBytes + 1, marks_.size() * 64);
  for (std::size_t block = from / kBlockBytes; block < last; ++block) {
    if ((marks_[block / 64] >> (block % 64)) & 1U) return true;
  }
  return false;
}

bool AllFinite(const float* values, std::size_t count) {
  constexpr std::size_t kWords = NonFiniteMap::kBlockBytes / sizeof(float);
  for (std::size_t i = 0; i < count; i += kWords) {
    if (AnySuspicious(reinterpret_cast<const std::uint8_t*>(values + i), std::min(kWords, count - i)))
      return false;
  }
  return true;
}

}  // namespace msfl
