#include "job/gate.h"

#include <boost/asio/basic_waitable_timer.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/this_coro.hpp>
#include <utility>

namespace msfl::job {

using Timer = asio::basic_waitable_timer<SteadyClock, asio::wait_traits<SteadyClock>, Executor>;

struct Gate::Waiter {
  explicit Waiter(Executor executor) : timer(std::move(executor)) {}
  Timer timer;  // used on its own loop only
  // Its place in the list, so that leaving costs the same however many wait; guarded by the gate's mutex.
  bool listed = false;
  std::list<std::shared_ptr<Waiter>>::iterator place;
};

bool Gate::MayPass(const Iteration* stale) const {
  if (shut_) return false;
  return stale == nullptr || iteration_.get() != stale || service_ != Service::kServing;
}

Task<Gate::View> Gate::Enter(std::chrono::milliseconds patience, const Iteration* stale) {
  {
    const std::lock_guard lock(mutex_);
    if (MayPass(stale)) co_return View{service_, false, iteration_};
  }
  const Executor executor = co_await asio::this_coro::executor;
  const auto waiter = std::make_shared<Waiter>(executor);
  const SteadyClock::time_point until = SteadyClock::now() + patience;
  while (true) {
    {
      const std::lock_guard lock(mutex_);
      if (MayPass(stale)) {
        Dismiss(*waiter);
        co_return View{service_, false, iteration_};
      }
      if (SteadyClock::now() >= until) {
        Dismiss(*waiter);
        co_return View{service_, true, iteration_};
      }
      Enlist(waiter);
    }
    // A wake-up is posted to this loop, so it can't run before the wait below has begun.
    waiter->timer.expires_at(until);
    boost::system::error_code cancelled;
    co_await waiter->timer.async_wait(asio::redirect_error(kAwait, cancelled));
  }
}

bool Gate::HasEnded(const Iteration* running) const {
  if (closed_) return true;
  return !shut_ && (iteration_.get() != running || service_ == Service::kDisabled);
}

Task<Gate::View> Gate::AwaitEnd(const Iteration* running, SteadyClock::time_point until) {
  const Executor executor = co_await asio::this_coro::executor;
  const auto waiter = std::make_shared<Waiter>(executor);
  while (true) {
    {
      const std::lock_guard lock(mutex_);
      if (HasEnded(running) || SteadyClock::now() >= until) {
        Dismiss(*waiter);
        co_return View{service_, false, iteration_};
      }
      Enlist(waiter);
    }
    waiter->timer.expires_at(until);
    boost::system::error_code cancelled;
    co_await waiter->timer.async_wait(asio::redirect_error(kAwait, cancelled));
  }
}

void Gate::Enlist(const std::shared_ptr<Waiter>& waiter) {
  if (waiter->listed) return;
  waiter->place = waiters_.insert(waiters_.end(), waiter);
  waiter->listed = true;
}

void Gate::Dismiss(Waiter& waiter) {
  if (waiter.listed) waiters_.erase(waiter.place);
  waiter.listed = false;
}

Gate::View Gate::Look() const {
  const std::lock_guard lock(mutex_);
  return View{service_, shut_, iteration_};
}

void Gate::Shut() {
  const std::lock_guard lock(mutex_);
  if (closed_ || shut_) return;
  shut_ = true;
  shut_at_ = SteadyClock::now();
}

void Gate::Open(Service service, std::shared_ptr<Iteration> iteration) {
  const std::lock_guard lock(mutex_);
  if (shut_ && iteration_ != nullptr && iteration_ != iteration) {
    ++switches_.count;
    switches_.time += std::chrono::duration_cast<std::chrono::microseconds>(SteadyClock::now() - shut_at_);
  }
  iteration_ = std::move(iteration);
  if (!closed_) service_ = service;
  shut_ = false;
  WakeAll();
}

void Gate::Close(Service service) {
  const std::lock_guard lock(mutex_);
  if (closed_) return;
  closed_ = true;
  service_ = service;
  shut_ = false;
  WakeAll();
}

Gate::Switches Gate::switches() const {
  const std::lock_guard lock(mutex_);
  return switches_;
}

void Gate::WakeAll() {
  for (const std::shared_ptr<Waiter>& waiter : waiters_) {
    waiter->listed = false;
    asio::post(waiter->timer.get_executor(), [waiter] { waiter->timer.cancel(); });
  }
  waiters_.clear();
}

}  // namespace msfl::job
