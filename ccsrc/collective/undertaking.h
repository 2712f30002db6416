// All that one combination or fetch has under way on its loop. It ends together: the first failure counts,
// and whatever the rest waits for fails soon after.
#pragma once

#include <boost/asio/basic_waitable_timer.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <vector>

#include "base/clock.h"
#include "base/error.h"
#include "base/task.h"
#include "net/peer_link.h"

namespace msfl::collective {

class Undertaking : public std::enable_shared_from_this<Undertaking> {
 public:
  using Self = std::shared_ptr<Undertaking>;
  // `ask` is asked every few milliseconds whether, and why, it is to end.
  Undertaking(const Executor& executor, std::function<std::optional<Error>()> ask);
  void Start();

  void End(Error reason);
  const std::optional<Error>& ended() const { return ended_; }
  const Executor& executor() const { return executor_; }

  // Closed by End().
  void Watch(const std::shared_ptr<net::PeerLink>& link);
  void Unwatch(const std::shared_ptr<net::PeerLink>& link) { links_.erase(link); }

  static Task<> Pause(Self self, std::chrono::milliseconds duration);
  // Runs them at once, and returns when all have ended. What one throws ends the undertaking.
  static Task<> All(Self self, std::vector<Task<>> tasks);

 private:
  using Timer = asio::basic_waitable_timer<SteadyClock, asio::wait_traits<SteadyClock>, Executor>;
  static constexpr std::chrono::milliseconds kTick{20};
  struct Running;
  static Task<> Guard(Self self, Task<> task, std::shared_ptr<void> running);
  void Tick();

  const Executor executor_;
  const std::function<std::optional<Error>()> ask_;
  Timer tick_;
  std::optional<Error> ended_;
  std::set<std::shared_ptr<net::PeerLink>> links_;
  std::set<std::shared_ptr<Timer>> pauses_;
};

}  // namespace msfl::collective
