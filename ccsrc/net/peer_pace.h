// By when the bytes between Servers have to move on. Time is given by what has come, not by what is said to
// come, so a peer that trickles is given up as one that stalls is.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>

#include "base/clock.h"

namespace msfl::net {

// Slow enough for a hundred Servers that ask one at a time, over a network of 100 Mbit/s.
inline constexpr std::uint64_t kPeerMinimumRate = 100'000;  // bytes per second of each answer

inline SteadyClock::duration TimeOf(std::uint64_t bytes, std::uint64_t bytes_per_second) {
  // In floating point, which does not overflow; a year is more than anybody waits.
  const std::chrono::duration<double> time(
      std::min(static_cast<double>(bytes) / static_cast<double>(bytes_per_second), 3600.0 * 24 * 365));
  return std::chrono::duration_cast<SteadyClock::duration>(time);
}

// Of one transfer, or of several that the same peer is asked for one after the other.
class PeerPace {
 public:
  // A peer may be without a byte for `stall`, and `grace` behind the minimum rate.
  PeerPace(std::chrono::milliseconds stall, std::chrono::milliseconds grace, std::uint64_t minimum_rate)
      : stall_(stall), grace_(grace), credit_(grace), minimum_rate_(minimum_rate) {}
  // Whatever comes, it ends then.
  void SetLimit(SteadyClock::time_point limit) { limit_ = limit; }

  // The peer is waited for from now on. What was not waited for before is not its time.
  void Resume(SteadyClock::time_point now) { since_ = now; }
  void Moved(SteadyClock::time_point now, std::uint64_t bytes) {
    credit_ =
        std::min<SteadyClock::duration>(grace_, credit_ - (now - since_) + TimeOf(bytes, minimum_rate_));
    since_ = now;
  }
  SteadyClock::time_point Next() const { return std::min({since_ + stall_, since_ + credit_, limit_}); }
  bool TooSlow() const { return credit_ <= SteadyClock::duration::zero(); }

 private:
  std::chrono::milliseconds stall_, grace_;
  SteadyClock::duration credit_;
  std::uint64_t minimum_rate_;
  SteadyClock::time_point since_, limit_ = SteadyClock::time_point::max();
};

}  // namespace msfl::net
