// Who holds a part beside its owner, and whether the job's record says so.
#pragma once

#include <algorithm>
#include <map>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/wait_list.h"

namespace msfl::recovery {

struct Holder {
  std::string node_id, address;
};

// The owner's. Who is in the record has everything: one is added here before it is there, and while one that
// is gone from here may still be there nothing is counted. Thread-safe.
class HolderList {
 public:
  // Who has failed is not asked again before this is over.
  static constexpr std::chrono::seconds kRest{5};

  std::vector<Holder> Get() const {
    const std::lock_guard lock(mutex_);
    return holders_;
  }
  // The disk of this Server is one, too.
  bool on_disk() const {
    const std::lock_guard lock(mutex_);
    return on_disk_;
  }
  void SetOnDisk(bool on_disk) {
    const std::lock_guard lock(mutex_);
    if (on_disk_ != on_disk) recorded_ = false;
    on_disk_ = on_disk;
  }
  // For what is added now there is a record with exactly these holders.
  bool recorded() const {
    const std::lock_guard lock(mutex_);
    return recorded_;
  }
  void Add(Holder holder) {
    const std::lock_guard lock(mutex_);
    holders_.push_back(std::move(holder));
    recorded_ = false;
  }
  // Answers whether it was one.
  bool Drop(const std::string& node_id) {
    const std::lock_guard lock(mutex_);
    failed_[node_id] = SteadyClock::now() + kRest;
    const auto is_it = [&](const Holder& holder) { return holder.node_id == node_id; };
    if (std::erase_if(holders_, is_it) == 0) return false;
    recorded_ = false;
    return true;
  }
  bool HasFailed(const std::string& node_id) const {
    const std::lock_guard lock(mutex_);
    const auto found = failed_.find(node_id);
    return found != failed_.end() && SteadyClock::now() < found->second;
  }
  // As the record has them: node ids, and `disk`.
  std::vector<std::string> Words() const {
    const std::lock_guard lock(mutex_);
    return AllWords();
  }
  // These are in the record.
  void SetRecorded(const std::vector<std::string>& words) {
    const std::lock_guard lock(mutex_);
    recorded_ = AllWords() == words;
  }

  // One at a time arranges who holds the part.
  Task<bool> BeginArranging(SteadyClock::time_point until) {
    const auto is_mine = [this] { return !std::exchange(arranging_, true); };
    co_return co_await waiters_.Wait(mutex_, until, is_mine);
  }
  void EndArranging() {
    const std::lock_guard lock(mutex_);
    arranging_ = false;
    waiters_.WakeAll();
  }
  // When too few were found: to be tried again from then on.
  void SetNextSearch(SteadyClock::time_point at) {
    const std::lock_guard lock(mutex_);
    next_search_ = at;
  }
  bool MaySearch() const {
    const std::lock_guard lock(mutex_);
    return SteadyClock::now() >= next_search_;
  }

 private:
  std::vector<std::string> AllWords() const {
    std::vector<std::string> words;
    for (const Holder& holder : holders_) words.push_back(holder.node_id);
    if (on_disk_) words.emplace_back("disk");
    return words;
  }

  mutable std::mutex mutex_;
  WaitList waiters_;
  std::vector<Holder> holders_;
  std::map<std::string, SteadyClock::time_point> failed_;
  SteadyClock::time_point next_search_;
  bool recorded_ = false, arranging_ = false, on_disk_ = false;
};

}  // namespace msfl::recovery
