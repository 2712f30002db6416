#include "support/watchdog.h"

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace msfl::test {
namespace {

// By the kernel's account, since loops block all signals: a loop that waits for its sockets is told from one
// that waits for a lock, and both from one that runs.
void TellWhereThreadsStand() {
  std::error_code failed;
  for (const auto& thread : std::filesystem::directory_iterator("/proc/self/task", failed)) {
    std::string told = thread.path().filename();
    for (const char* file : {"comm", "wchan", "syscall"}) {
      std::string text;
      std::getline(std::ifstream(thread.path() / file), text);
      told += std::string(" ") + file + "=" + text;
    }
    std::fprintf(stderr, "thread %s\n", told.c_str());
  }
}

}  // namespace

Watchdog::Watchdog() : thread_([this] { Watch(); }) {}

Watchdog::~Watchdog() {
  {
    const std::lock_guard lock(mutex_);
    ended_ = true;
  }
  ended_cv_.notify_one();
  thread_.join();
}

void Watchdog::OnTestStart(const testing::TestInfo& test) {
  const std::lock_guard lock(mutex_);
  test_ = std::string(test.test_suite_name()) + "." + test.name();
  seconds_ = 0;
}

void Watchdog::OnTestEnd(const testing::TestInfo&) {
  const std::lock_guard lock(mutex_);
  test_.clear();
}

void Watchdog::Watch() {
  std::unique_lock lock(mutex_);
  while (!ended_cv_.wait_for(lock, std::chrono::seconds(1), [this] { return ended_; })) {
    if (test_.empty() || ++seconds_ < kPatienceSeconds) continue;
    std::fprintf(stderr, "%s has not ended within %d s\n", test_.c_str(), kPatienceSeconds);
    TellWhereThreadsStand();
    std::abort();
  }
}

}  // namespace msfl::test
