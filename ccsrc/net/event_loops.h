// A few event loops, one thread each. A connection lives on one loop from accept to close.
#pragma once

#include <cstddef>
#include <memory>
#include <thread>
#include <vector>

#include "base/task.h"

namespace msfl::net {

class EventLoops {
 public:
  // `count` I/O loops and one control loop, the last. Threads start with Start(), so that a job may be made
  // before fork.
  explicit EventLoops(std::size_t count);
  ~EventLoops();

  void Start();
  // Ends every loop, whatever it still waits for, and joins the threads. Idempotent; for good. Not to be
  // called from a loop.
  void Stop();
  bool running() const { return !threads_.empty(); }

  std::size_t io_count() const { return loops_.size() - 1; }
  std::size_t size() const { return loops_.size(); }
  asio::io_context& loop(std::size_t index) { return *loops_[index]; }
  asio::io_context& control() { return *loops_.back(); }

  // Index of the loop whose thread is running; only valid on such a thread.
  static std::size_t Current();

 private:
  std::vector<std::unique_ptr<asio::io_context>> loops_;
  std::vector<asio::executor_work_guard<Executor>> work_;
  std::vector<std::thread> threads_;
};

}  // namespace msfl::net
