// By when a body, or an answer, has to move on and to be done.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>

#include "base/clock.h"
#include "net/http_server.h"

namespace msfl::net {

class TransferClock {
 public:
  TransferClock(const HttpOptions& options, SteadyClock::time_point start)
      : options_(&options), start_(start) {}

  // What passed without being the peer's time, like a wait for room.
  void Exclude(SteadyClock::duration time) { start_ += time; }

  // The deadline of what is waited for at `now`. `bytes`: what has come, or was taken, so far; what a peer
  // claims to send gives it no time.
  SteadyClock::time_point Next(SteadyClock::time_point now, std::uint64_t bytes) const {
    const auto stall = options_->body_stall_timeout;
    auto whole = options_->transfer_timeout;
    if (options_->minimum_rate > 0) {
      // In floating point, which does not overflow.
      const std::chrono::duration<double, std::milli> allowed =
          stall + std::chrono::duration<double>(static_cast<double>(bytes) /
                                                static_cast<double>(options_->minimum_rate));
      if (allowed < whole) whole = std::chrono::duration_cast<std::chrono::milliseconds>(allowed);
    }
    return std::min(now + stall, start_ + std::min(whole, kLongest));
  }

 private:
  static constexpr std::chrono::milliseconds kLongest = std::chrono::hours(24 * 365);  // any sum fits

  const HttpOptions* options_;
  SteadyClock::time_point start_;
};

}  // namespace msfl::net
