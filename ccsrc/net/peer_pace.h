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

struct PeerPace {
  std::chrono::milliseconds stall{10'000};  // without a byte
  // All of it is done by then, or later by the time that what has come takes at the minimum rate,
  SteadyClock::time_point whole = SteadyClock::time_point::max();
  std::uint64_t minimum_rate = kPeerMinimumRate;
  // but not later than that.
  SteadyClock::time_point limit = SteadyClock::time_point::max();

  SteadyClock::time_point Next(SteadyClock::time_point now, std::uint64_t bytes) const {
    const SteadyClock::time_point moving = std::min(now + stall, limit);
    const SteadyClock::duration earned = TimeOf(bytes, minimum_rate);
    return whole > moving - earned ? moving : whole + earned;
  }
};

}  // namespace msfl::net
