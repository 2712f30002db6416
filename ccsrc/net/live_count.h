// What must have ended before a server may go, counted over all threads.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <memory>
#include <mutex>
#include <utility>

namespace msfl::net {

class LiveCount {
 public:
  void Add() {
    const std::lock_guard lock(mutex_);
    ++count_;
  }
  void Done() {
    const std::lock_guard lock(mutex_);
    if (--count_ == 0) none_.notify_all();
  }
  // False if there is still one after `patience`.
  bool WaitForNone(std::chrono::milliseconds patience) {
    std::unique_lock lock(mutex_);
    return none_.wait_for(lock, patience, [this] { return count_ == 0; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable none_;
  std::size_t count_ = 0;
};

class LiveHold {
 public:
  explicit LiveHold(std::shared_ptr<LiveCount> count) : count_(std::move(count)) { count_->Add(); }
  LiveHold(LiveHold&& other) noexcept = default;
  ~LiveHold() {
    if (count_) count_->Done();
  }

 private:
  std::shared_ptr<LiveCount> count_;  // its own: GCC destroys a coroutine's parameters first to last
};

}  // namespace msfl::net
