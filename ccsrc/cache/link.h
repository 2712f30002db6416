// One event loop's way to Redis, whatever it runs over.
#pragma once

#include <atomic>
#include <boost/asio/basic_waitable_timer.hpp>
#include <chrono>
#include <functional>
#include <optional>

#include "base/clock.h"
#include "base/error.h"
#include "base/task.h"
#include "cache/command_pipeline.h"

namespace msfl::cache {

using LoopTimer = asio::basic_waitable_timer<SteadyClock, asio::wait_traits<SteadyClock>, Executor>;

// All but up() on the link's own loop.
class Link {
 public:
  virtual ~Link() = default;
  // `report` gets the outcome of the first connection; a failure closes the link.
  virtual void Start(std::chrono::milliseconds patience, std::function<void(Result<void>)> report) = 0;
  // Why a command can't be taken now.
  virtual std::optional<Error> Refusal() const = 0;
  // Precondition: no refusal.
  virtual void Submit(PendingCommand* command) = 0;
  // The same for one that has its deadline already.
  virtual void Adopt(PendingCommand* command) = 0;
  virtual void Close() = 0;

  bool up() const { return up_.load(std::memory_order_relaxed); }

 protected:
  std::atomic<bool> up_{false};
};

}  // namespace msfl::cache
