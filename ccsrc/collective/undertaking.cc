#include "collective/undertaking.h"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/redirect_error.hpp>
#include <exception>
#include <string>
#include <utility>

#include "base/lost_coroutine.h"

namespace msfl::collective {

namespace {

Error NoMemory(const std::string& why) {
  return {Errc::kOutOfMemory, "there may be no memory to combine models: " + why};
}

}  // namespace

Undertaking::Undertaking(const Executor& executor, std::function<std::optional<Error>()> ask)
    : executor_(executor), ask_(std::move(ask)), tick_(executor) {}

void Undertaking::Start() { Tick(); }

void Undertaking::Tick() {
  if (ended_) return;
  if (auto reason = ask_()) {
    End(std::move(*reason));
    return;
  }
  tick_.expires_after(kTick);
  tick_.async_wait([weak = weak_from_this()](const boost::system::error_code& cancelled) {
    const Self self = weak.lock();
    if (!cancelled && self != nullptr) self->Tick();
  });
}

void Undertaking::End(Error reason) {
  if (ended_) return;
  ended_ = std::move(reason);
  tick_.cancel();
  for (const auto& link : links_) link->Close();
  for (const auto& pause : pauses_) pause->cancel();
}

void Undertaking::Watch(const std::shared_ptr<net::PeerLink>& link) {
  links_.insert(link);
  if (ended_) link->Close();
}

Task<> Undertaking::Pause(Self self, std::chrono::milliseconds duration) {
  if (self->ended_) co_return;
  const auto timer = std::make_shared<Timer>(self->executor_);
  self->pauses_.insert(timer);
  timer->expires_after(duration);
  boost::system::error_code cancelled;
  co_await timer->async_wait(asio::redirect_error(kAwait, cancelled));
  self->pauses_.erase(timer);
}

// What is left to wait for. Let go by each task's frame, so that one that is lost is not waited for.
struct Undertaking::Running {
  explicit Running(const Executor& executor) : done(executor) {
    done.expires_at(SteadyClock::time_point::max());
  }
  Timer done;
  bool over = false;
};

Task<> Undertaking::Guard(Self self, Task<> task, std::shared_ptr<void>) {
  LostCoroutine lost([self] { self->End(NoMemory("a part of it was lost")); });
  try {
    co_await std::move(task);
  } catch (const std::exception& e) {
    self->End(NoMemory(e.what()));
  }
  lost.Ended();
}

Task<> Undertaking::All(Self self, std::vector<Task<>> tasks) {
  const auto running = std::make_shared<Running>(self->executor_);
  std::shared_ptr<void> token(nullptr, [running](void*) {
    running->over = true;
    running->done.cancel();
  });
  try {
    for (Task<>& task : tasks) {
      asio::co_spawn(self->executor_, Guard(self, std::move(task), token), asio::detached);
    }
  } catch (const std::exception& e) {  // those that have begun use what the caller holds: they are waited for
    self->End(NoMemory(e.what()));
  }
  token.reset();
  boost::system::error_code cancelled;
  // They may have ended already.
  if (!running->over) co_await running->done.async_wait(asio::redirect_error(kAwait, cancelled));
}

}  // namespace msfl::collective
