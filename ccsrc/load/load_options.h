// Many devices in one process, as load: what a run is to do.
#pragma once

#include <sys/types.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace msfl::load {

using Clock = std::chrono::steady_clock;
using TimePoint = Clock::time_point;

enum class Round : std::uint8_t { kStartFlJob, kUpdateModel, kGetResult, kGetModel };
inline constexpr std::array<const char*, 4> kRoundNames{"startFLJob", "updateModel", "getResult", "getModel"};
inline constexpr std::size_t kRounds = kRoundNames.size();
constexpr std::size_t Index(Round round) { return static_cast<std::size_t>(round); }

// One Server, or what stands in front of it.
struct Target {
  std::string address;  // numeric, IPv4 or IPv6
  std::uint16_t port = 0;
  std::string host;        // value of the header field Host
  std::string path = "/";  // in front of the round's name
};

struct LoadOptions {
  std::vector<Target> targets;  // connections are spread evenly among them
  std::array<bool, kRounds> rounds{true, true, true, true};
  std::uint64_t devices = 100;
  std::uint64_t iterations = 1;  // 0: as long as `seconds` says
  double seconds = 0;            // 0: as long as `iterations` says
  double rate = 0;               // devices per second in an open loop; 0: closed loop
  std::uint64_t connections = 50;
  std::uint64_t idle_connections = 0;  // opened besides and left alone
  std::uint64_t source_addresses = 1;  // of a target in 127.0.0.0/8: that many from 127.0.0.1 on
  std::int32_t data_size = 32;         // samples that a device claims to have
  double timeout = 90;                 // seconds for one connection attempt, one request with its answer
  double patience = 60;                // seconds without progress after which the run is given up
  double poll = 1;                     // seconds between two questions of a device that waits (open loop)
  std::vector<pid_t> server_pids;      // processes whose CPU time is measured
};

inline Clock::duration Seconds(double seconds) {
  return std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
}
inline double ToSeconds(Clock::duration duration) { return std::chrono::duration<double>(duration).count(); }

}  // namespace msfl::load
