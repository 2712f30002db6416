// Finds NaN and infinities while a message arrives, so that the numbers are read once, while they are in the
// cache.
//
// The map works on 32-bit words at 4-byte offsets without knowing what they mean: a marked block *may* hold a
// non-finite float32 (other data can look like one), an unmarked block holds none.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace msfl {

class NonFiniteMap {
 public:
  static constexpr std::size_t kBlockBytes = 4096;

  void Reset(std::size_t message_bytes);
  // Scans words that lie wholly in [from, to) of the message starting at `message`; call with increasing,
  // touching ranges. A word cut by `to` is scanned by the next call. `message` is 4-byte aligned.
  void Scan(const std::uint8_t* message, std::size_t from, std::size_t to);
  bool any() const { return any_; }
  // True if any block touching [from, to) is marked.
  bool MayContain(std::size_t from, std::size_t to) const;

 private:
  std::vector<std::uint64_t> marks_;  // a bit for each block
  bool any_ = false;
};

// Exact test of a run of float32. Vectorised.
bool AllFinite(const float* values, std::size_t count);

}  // namespace msfl
