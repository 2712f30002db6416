// What of the limits of docs/limits.md has struck, for the log and for monitoring.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>

#include "net/http_server.h"
#include "net/peer_strikes.h"

namespace msfl::server {

// Adds `limit_<name>` for each.
void AddLimits(const net::HttpStats& stats, const net::PeerStrikes& peers,
               std::map<std::string, std::uint64_t>& to);

// Called at intervals; one line for each limit that has struck since, so that a flood makes no flood of
// lines.
class LimitReport {
 public:
  void Log(const net::HttpStats& stats, const net::PeerStrikes& peers);

 private:
  std::array<std::uint64_t, static_cast<std::size_t>(net::HttpLimit::kCount)> known_{};
  std::array<std::uint64_t, static_cast<std::size_t>(net::PeerLimit::kCount)> known_of_peers_{};
};

}  // namespace msfl::server
