// What the rounds have answered since the start, for monitoring.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <map>
#include <string>

#include "base/clock.h"

namespace msfl::rounds {

enum class RoundName { kStartFlJob, kUpdateModel, kGetModel, kGetResult };

class RoundStatistics {
 public:
  // How a request ended. The first two are words of the round itself, the others plain texts.
  enum class Ending { kAccepted, kRejected, kSafemode, kDisabled };

  // To be called on an event loop; bytes are those of the bodies.
  void Note(RoundName round, Ending ending, SteadyClock::duration took, std::uint64_t received,
            std::uint64_t sent);

  // Adds, for each round <r> (start_fl_job, update_model, get_model, get_result), `<r>_accepted_total`,
  // `<r>_rejected_total`, `<r>_latency_us_total` and the cumulative `<r>_latency_le_<us>_total` over both;
  // and refused_safemode_total, refused_disabled_total, round_bytes_received, round_bytes_sent.
  void AddTo(std::map<std::string, std::uint64_t>& stats) const;

 private:
  static constexpr std::size_t kRounds = 4;
  static constexpr std::array<std::uint64_t, 7> kBoundsUs{1000,    5000,      25'000,    100'000,
                                                          500'000, 2'500'000, 10'000'000};
  using Counter = std::atomic<std::uint64_t>;
  // Endings by latency; the last bucket is for what took longer than every bound.
  using Buckets = std::array<Counter, kBoundsUs.size() + 1>;
  struct Round {
    Buckets accepted{}, rejected{};
    Counter latency_us{0};
  };
  // Each event loop counts in a slot of its own, so that no cache line travels between cores for it.
  struct alignas(64) Slot {
    std::array<Round, kRounds> rounds;
    Counter received{0}, sent{0}, safemode{0}, disabled{0};
  };
  static constexpr std::size_t kSlots = 16;  // loops beyond share

  std::array<Slot, kSlots> slots_;
};

}  // namespace msfl::rounds
