#include "recovery/ledger.h"

#include <utility>

namespace msfl::recovery {

Task<bool> Ledger::BeginAdding(SteadyClock::time_point until) {
  const auto may = [this] {
    if (pauses_ > 0) return false;
    ++adding_;
    return true;
  };
  co_return co_await waiters_.Wait(mutex_, until, may);
}

void Ledger::AbandonAdding() {
  const std::lock_guard lock(mutex_);
  if (--adding_ == 0) waiters_.WakeAll();
}

std::uint64_t Ledger::Added(cache::HeldUpdate update) {
  const std::lock_guard lock(mutex_);
  unsettled_.emplace(next_, std::move(update));
  if (--adding_ == 0) waiters_.WakeAll();
  return next_++;
}

void Ledger::Settle(std::uint64_t sequence) {
  const std::lock_guard lock(mutex_);
  unsettled_.erase(sequence);
  if (unsettled_.empty()) waiters_.WakeAll();
}

Task<bool> Ledger::Pause(SteadyClock::time_point until) {
  {
    const std::lock_guard lock(mutex_);
    ++pauses_;
  }
  const auto still = [this] { return adding_ == 0; };
  const bool paused = co_await waiters_.Wait(mutex_, until, still);
  if (!paused) Resume();
  co_return paused;
}

void Ledger::Resume() {
  const std::lock_guard lock(mutex_);
  if (--pauses_ == 0) waiters_.WakeAll();
}

std::vector<LedgerEntry> Ledger::Unsettled() const {
  const std::lock_guard lock(mutex_);
  std::vector<LedgerEntry> entries;
  for (const auto& [sequence, update] : unsettled_) {
    LedgerEntry entry;
    entry.sequence = sequence;
    entry.update = update;
    entries.push_back(std::move(entry));
  }
  return entries;
}

std::uint64_t Ledger::settled_below() const {
  const std::lock_guard lock(mutex_);
  return unsettled_.empty() ? next_ : unsettled_.begin()->first;
}

Task<bool> Ledger::AwaitSettled(SteadyClock::time_point until) {
  const auto settled = [this] { return adding_ == 0 && unsettled_.empty(); };
  co_return co_await waiters_.Wait(mutex_, until, settled);
}

}  // namespace msfl::recovery
