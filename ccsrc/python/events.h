// What happens in the core, queued for the thread that runs the job in Python. The core's threads never take
// the GIL.
#pragma once

#include <chrono>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "base/log.h"
#include "job/job.h"

namespace msfl::python {

struct Event {
  std::string kind;  // "iteration_ended", "log", "stopped"
  LogLevel level = LogLevel::kInfo;
  std::string text, file;
  int line = 0;
  job::IterationEnded ended;
};

class EventQueue {
 public:
  void Push(Event event);
  std::optional<Event> Pop(std::chrono::duration<double> timeout);

 private:
  // A job whose thread is busy (writing a checkpoint) must not grow without bound; the newest lines are
  // dropped.
  static constexpr std::size_t kMaxLogLines = 10'000;
  std::mutex mutex_;
  std::condition_variable filled_;
  std::deque<Event> events_;
};

// A process may run several Servers, but has one log: its lines go to the queue that began to listen last, or
// to stderr.
void ListenToLog(const std::shared_ptr<EventQueue>& events);
void IgnoreLog(const std::shared_ptr<EventQueue>& events);  // harmless if it does not listen

}  // namespace msfl::python
