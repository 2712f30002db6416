// Time as the job sees it. Wall time only for what people and devices read; waiting is done on the steady
// clock.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace msfl {

using SteadyClock = std::chrono::steady_clock;

// Milliseconds since the Unix epoch.
inline std::int64_t WallMillis() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

// `YYYY-MM-DD-HH:MM:SS.mmm.uuu`, local time: the form of node and instance names (spec: cluster, names).
std::string NameTime();

}  // namespace msfl
