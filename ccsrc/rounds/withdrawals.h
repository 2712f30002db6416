// Requests that were given up and that the cache does not know of yet, by their devices.
#pragma once

#include <atomic>
#include <cstddef>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <utility>

#include "rounds/returning_devices.h"

namespace msfl::rounds {

// Thread-safe. Nearly always empty, and then nobody takes its lock.
class Withdrawals {
 public:
  // One of them, as long as it lives; a coroutine that never ends dies with its loop, after everything else.
  class Entry {
   public:
    Entry(std::shared_ptr<Withdrawals> all, DeviceHash device) : all_(std::move(all)), device_(device) {
      all_->Add(device);
    }
    Entry(Entry&& other) noexcept = default;
    Entry& operator=(Entry&&) = delete;
    ~Entry() {
      if (all_) all_->Remove(device_);
    }

   private:
    std::shared_ptr<Withdrawals> all_;
    DeviceHash device_;
  };

  std::size_t size() const { return size_; }
  bool Contains(DeviceHash device) const {
    if (size_ == 0) return false;
    const std::lock_guard lock(mutex_);
    return devices_.contains(device);
  }

 private:
  void Add(DeviceHash device) {
    const std::lock_guard lock(mutex_);
    ++devices_[device];
    ++size_;
  }
  void Remove(DeviceHash device) noexcept {
    const std::lock_guard lock(mutex_);
    const auto found = devices_.find(device);
    if (--found->second == 0) devices_.erase(found);
    --size_;
  }

  mutable std::mutex mutex_;
  std::unordered_map<DeviceHash, std::size_t> devices_;
  std::atomic<std::size_t> size_{0};
};

}  // namespace msfl::rounds
