#include "rounds/round_statistics.h"

#include <chrono>

#include "net/event_loops.h"

namespace msfl::rounds {
namespace {

void Add(std::atomic<std::uint64_t>& counter, std::uint64_t amount) {
  counter.fetch_add(amount, std::memory_order_relaxed);
}

}  // namespace

void RoundStatistics::Note(RoundName round, Ending ending, SteadyClock::duration took, std::uint64_t received,
                           std::uint64_t sent) {
  Slot& slot = slots_[net::EventLoops::Current() % kSlots];
  Add(slot.received, received);
  Add(slot.sent, sent);
  if (ending == Ending::kSafemode) return Add(slot.safemode, 1);
  if (ending == Ending::kDisabled) return Add(slot.disabled, 1);
  const auto us =
      static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(took).count());
  std::size_t bucket = 0;
  while (bucket < kBoundsUs.size() && us > kBoundsUs[bucket]) ++bucket;
  Round& counts = slot.rounds[static_cast<std::size_t>(round)];
  Add(counts.latency_us, us);
  Add(ending == Ending::kAccepted ? counts.accepted[bucket] : counts.rejected[bucket], 1);
}

void RoundStatistics::AddTo(std::map<std::string, std::uint64_t>& stats) const {
  static constexpr std::array<const char*, kRounds> kNames{"start_fl_job", "update_model", "get_model",
                                                           "get_result"};
  const auto sum = [this](const auto& counter_of) {
    std::uint64_t total = 0;
    for (const Slot& slot : slots_) total += counter_of(slot).load(std::memory_order_relaxed);
    return total;
  };
  stats["round_bytes_received"] = sum([](const Slot& slot) -> const Counter& { return slot.received; });
  stats["round_bytes_sent"] = sum([](const Slot& slot) -> const Counter& { return slot.sent; });
  stats["refused_safemode_total"] = sum([](const Slot& slot) -> const Counter& { return slot.safemode; });
  stats["refused_disabled_total"] = sum([](const Slot& slot) -> const Counter& { return slot.disabled; });
  for (std::size_t round = 0; round < kRounds; ++round) {
    const std::string name = kNames[round];
    std::uint64_t accepted = 0, rejected = 0;
    for (std::size_t bucket = 0; bucket <= kBoundsUs.size(); ++bucket) {
      accepted +=
          sum([&](const Slot& slot) -> const Counter& { return slot.rounds[round].accepted[bucket]; });
      rejected +=
          sum([&](const Slot& slot) -> const Counter& { return slot.rounds[round].rejected[bucket]; });
      if (bucket < kBoundsUs.size()) {
        stats[name + "_latency_le_" + std::to_string(kBoundsUs[bucket]) + "_total"] = accepted + rejected;
      }
    }
    stats[name + "_accepted_total"] = accepted;
    stats[name + "_rejected_total"] = rejected;
    stats[name + "_latency_us_total"] =
        sum([&](const Slot& slot) -> const Counter& { return slot.rounds[round].latency_us; });
  }
}

}  // namespace msfl::rounds
