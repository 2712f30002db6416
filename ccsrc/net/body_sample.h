// The first and the last bytes of a body that is not kept.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "net/http_message.h"

namespace msfl::net {

class BodySample {
 public:
  void Add(std::span<const std::uint8_t> piece) {
    bytes_ += piece.size();
    const std::size_t start = std::min(piece.size(), kBytes - first_.size());
    first_.insert(first_.end(), piece.begin(), piece.begin() + static_cast<std::ptrdiff_t>(start));
    piece = piece.subspan(start);
    if (piece.size() >= kBytes) {
      last_.assign(piece.end() - static_cast<std::ptrdiff_t>(kBytes), piece.end());
      return;
    }
    // Cut when it has twice the length, so that a body in tiny pieces isn't moved about for each of them.
    if (last_.size() + piece.size() > 2 * kBytes)
      last_.erase(last_.begin(), last_.end() - static_cast<std::ptrdiff_t>(kBytes));
    last_.insert(last_.end(), piece.begin(), piece.end());
  }

  std::uint64_t bytes() const { return bytes_; }
  std::span<const std::uint8_t> first() const { return first_; }
  std::span<const std::uint8_t> last() const {
    return std::span(last_).last(std::min<std::size_t>(last_.size(), kBytes));
  }

 private:
  static constexpr std::size_t kBytes = OverloadedRequest::kSampleBytes;
  std::uint64_t bytes_ = 0;
  std::vector<std::uint8_t> first_, last_;
};

}  // namespace msfl::net
