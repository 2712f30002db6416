// Which updates a sum holds that may not be counted yet, and when it may be copied.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <vector>

#include "base/clock.h"
#include "base/task.h"
#include "base/wait_list.h"
#include "cache/job_types.h"

namespace msfl::recovery {

// Updates of a part are numbered in the order in which they were added.
struct LedgerEntry {
  std::uint64_t sequence = 0;
  cache::HeldUpdate update;
};

// Thread-safe.
class Ledger {
 public:
  // An update is going to be added. Waits while the sum is being copied; false if that lasts beyond `until`.
  Task<bool> BeginAdding(SteadyClock::time_point until);
  // It was not, or the sum is spoilt.
  void AbandonAdding();
  // It is in the sum. Answers its sequence.
  std::uint64_t Added(cache::HeldUpdate update);
  // What becomes of it is decided in the cache.
  void Settle(std::uint64_t sequence);

  // Nothing is added from here until Resume(). False, without a pause, if somebody is still adding at
  // `until`.
  Task<bool> Pause(SteadyClock::time_point until);
  void Resume();

  std::vector<LedgerEntry> Unsettled() const;
  std::uint64_t settled_below() const;
  // Until nothing is being added and everything is settled, at most to `until`.
  Task<bool> AwaitSettled(SteadyClock::time_point until);

 private:
  mutable std::mutex mutex_;
  WaitList waiters_;
  std::size_t adding_ = 0, pauses_ = 0;
  std::uint64_t next_ = 1;
  std::map<std::uint64_t, cache::HeldUpdate> unsettled_;
};

}  // namespace msfl::recovery
