#include "job/gate.h"

#include <utility>

namespace msfl::job {

bool Gate::MayPass(const Iteration* stale) const {
  if (shut_) return false;
  return stale == nullptr || iteration_.get() != stale || service_ != Service::kServing;
}

Task<Gate::View> Gate::Enter(std::chrono::milliseconds patience, const Iteration* stale) {
  View view;
  const auto passed = [&] {
    const bool may_pass = MayPass(stale);
    view = View{service_, !may_pass, iteration_};
    return may_pass;
  };
  co_await waiters_.Wait(mutex_, SteadyClock::now() + patience, passed);
  co_return view;
}

bool Gate::HasEnded(const Iteration* running) const {
  if (closed_) return true;
  return !shut_ && (iteration_.get() != running || service_ == Service::kDisabled);
}

Task<Gate::View> Gate::AwaitEnd(const Iteration* running, SteadyClock::time_point until) {
  View view;
  const auto passed = [&] {
    view = View{service_, false, iteration_};
    return HasEnded(running);
  };
  co_await waiters_.Wait(mutex_, until, passed);
  co_return view;
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

void Gate::Place(std::shared_ptr<Iteration> iteration) {
  const std::lock_guard lock(mutex_);
  iteration_ = std::move(iteration);
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
  waiters_.WakeAll();
}

void Gate::Close(Service service) {
  const std::lock_guard lock(mutex_);
  if (closed_) return;
  closed_ = true;
  service_ = service;
  shut_ = false;
  waiters_.WakeAll();
}

Gate::Switches Gate::switches() const {
  const std::lock_guard lock(mutex_);
  return switches_;
}

}  // namespace msfl::job
