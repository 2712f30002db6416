// Wakes the job's control coroutine: what any thread notes is seen by the next Wait, none is lost.
#pragma once

#include <atomic>
#include <boost/asio/basic_waitable_timer.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <memory>

#include "base/clock.h"
#include "base/task.h"

namespace msfl::job {

class Wakeup {
 public:
  explicit Wakeup(asio::io_context& loop) : state_(std::make_shared<State>(loop.get_executor())) {}

  // From any thread.
  void Notify() {
    if (state_->noted.exchange(true)) return;
    asio::post(state_->timer.get_executor(), [state = state_] { state->timer.cancel(); });
  }

  // On the control loop. Returns when something was noted since the last Wait, or at `until`.
  Task<> Wait(SteadyClock::time_point until) {
    if (!state_->noted.exchange(false)) {
      state_->timer.expires_at(until);
      boost::system::error_code cancelled;
      co_await state_->timer.async_wait(asio::redirect_error(kAwait, cancelled));
      state_->noted.store(false);
    }
  }

 private:
  struct State {
    explicit State(Executor executor) : timer(std::move(executor)) {}
    asio::basic_waitable_timer<SteadyClock, asio::wait_traits<SteadyClock>, Executor> timer;
    std::atomic<bool> noted{false};
  };
  std::shared_ptr<State> state_;
};

}  // namespace msfl::job
