#include "job/gate.h"

#include <boost/asio/basic_waitable_timer.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/this_coro.hpp>
#include <utility>

#include "base/clock.h"

namespace msfl::job {

using Timer = asio::basic_waitable_timer<SteadyClock, asio::wait_traits<SteadyClock>, Executor>;

struct Gate::Waiter {
  explicit Waiter(Executor executor) : timer(std::move(executor)) {}
  Timer timer;  // used on its own loop only
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
      if (MayPass(stale)) co_return View{service_, false, iteration_};
      if (SteadyClock::now() >= until) {
        waiters_.remove(waiter);
        co_return View{service_, true, iteration_};
      }
      waiters_.remove(waiter);
      waiters_.push_back(waiter);
    }
    // A wake-up is posted to this loop, so it can't run before the wait below has begun.
    waiter->timer.expires_at(until);
    boost::system::error_code cancelled;
    co_await waiter->timer.async_wait(asio::redirect_error(kAwait, cancelled));
  }
}

Gate::View Gate::Look() const {
  const std::lock_guard lock(mutex_);
  return View{service_, shut_, iteration_};
}

void Gate::Shut() {
  const std::lock_guard lock(mutex_);
  if (!closed_) shut_ = true;
}

void Gate::Open(Service service, std::shared_ptr<Iteration> iteration) {
  const std::lock_guard lock(mutex_);
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

void Gate::WakeAll() {
  for (const std::shared_ptr<Waiter>& waiter : waiters_) {
    asio::post(waiter->timer.get_executor(), [waiter] { waiter->timer.cancel(); });
  }
  waiters_.clear();
}

}  // namespace msfl::job
