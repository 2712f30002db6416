#include "net/event_loops.h"

#include <pthread.h>
#include <signal.h>

#include <algorithm>
#include <exception>
#include <string>

#include "base/log.h"

namespace msfl::net {
namespace {

thread_local std::size_t current_loop = static_cast<std::size_t>(-1);

void RunLoop(asio::io_context& loop, std::size_t index) {
  current_loop = index;
  while (true) {
    try {
      loop.run();
      return;
    } catch (const std::exception& e) {
      // A handler that throws is a defect, but one loop serves many connections: they go on.
      MSFL_LOG(kError, "an exception reached event loop " << index << ": " << e.what());
    }
  }
}

}  // namespace

EventLoops::EventLoops(std::size_t count) {
  for (std::size_t i = 0; i < std::max<std::size_t>(count, 1) + 1; ++i) {
    loops_.push_back(std::make_unique<asio::io_context>(1));
    work_.push_back(asio::make_work_guard(*loops_.back()));
  }
}

EventLoops::~EventLoops() { Stop(); }

void EventLoops::Start() {
  if (!threads_.empty()) return;
  // Signals are for the threads of the embedding process, not for these.
  sigset_t all, before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  for (std::size_t i = 0; i < loops_.size(); ++i) {
    threads_.emplace_back([&loop = *loops_[i], i] { RunLoop(loop, i); });
    const std::string name = i + 1 == loops_.size() ? "msfl-control" : "msfl-io-" + std::to_string(i);
    ::pthread_setname_np(threads_.back().native_handle(), name.c_str());
  }
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

void EventLoops::Stop() {
  work_.clear();
  for (const auto& loop : loops_) loop->stop();
  for (auto& thread : threads_) thread.join();
  threads_.clear();
}

std::size_t EventLoops::Current() { return current_loop; }

}  // namespace msfl::net
