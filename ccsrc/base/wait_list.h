// A condition variable for coroutines: each waits on its own loop, any thread wakes them.
#pragma once

#include <boost/asio/basic_waitable_timer.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/this_coro.hpp>
#include <list>
#include <memory>
#include <mutex>
#include <utility>

#include "base/clock.h"
#include "base/task.h"

namespace msfl {

// Guarded by a mutex of its owner, who has to be gone before the loops that waiters run on are.
class WaitList {
 public:
  // Calls `passed` with the mutex held, at first and after each WakeAll(), until it is true or `until` is
  // over. Returns what it said last.
  template <class Passed>
  Task<bool> Wait(std::mutex& mutex, SteadyClock::time_point until, Passed passed) {
    {
      const std::lock_guard lock(mutex);
      if (passed()) co_return true;
    }
    const Executor executor = co_await asio::this_coro::executor;
    const auto waiter = std::make_shared<Waiter>(executor);
    while (true) {
      {
        const std::lock_guard lock(mutex);
        const bool now = passed();
        if (now || SteadyClock::now() >= until) {
          Dismiss(*waiter);
          co_return now;
        }
        Enlist(waiter);
      }
      // A wake-up is posted to this loop, so it can't run before the wait below has begun.
      waiter->timer.expires_at(until);
      boost::system::error_code cancelled;
      co_await waiter->timer.async_wait(asio::redirect_error(kAwait, cancelled));
    }
  }

  // Precondition: the mutex is held.
  void WakeAll() {
    for (const std::shared_ptr<Waiter>& waiter : waiters_) {
      waiter->listed = false;
      asio::post(waiter->timer.get_executor(), [waiter] { waiter->timer.cancel(); });
    }
    waiters_.clear();
  }

 private:
  struct Waiter {
    explicit Waiter(Executor executor) : timer(std::move(executor)) {}
    asio::basic_waitable_timer<SteadyClock, asio::wait_traits<SteadyClock>, Executor> timer;  // its loop's
    // Its place in the list, so that leaving costs the same however many wait; guarded by the mutex.
    bool listed = false;
    std::list<std::shared_ptr<Waiter>>::iterator place;
  };

  void Enlist(const std::shared_ptr<Waiter>& waiter) {
    if (waiter->listed) return;
    waiter->place = waiters_.insert(waiters_.end(), waiter);
    waiter->listed = true;
  }
  void Dismiss(Waiter& waiter) {
    if (waiter.listed) waiters_.erase(waiter.place);
    waiter.listed = false;
  }

  std::list<std::shared_ptr<Waiter>> waiters_;
};

}  // namespace msfl
