// Ends a test that hangs, and says where its threads stand.
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>

namespace msfl::test {

// Counts seconds that it has slept itself, not what a clock says: a machine that was suspended finds its
// clocks minutes ahead, and a test that had no time to run must not be called hanging.
class Watchdog final : public testing::EmptyTestEventListener {
 public:
  static constexpr int kPatienceSeconds = 240;  // of one test; the slowest takes a third with ThreadSanitizer

  Watchdog();
  ~Watchdog() override;

 private:
  void OnTestStart(const testing::TestInfo& test) override;
  void OnTestEnd(const testing::TestInfo& test) override;
  void Watch();

  std::mutex mutex_;  // guards what follows
  std::condition_variable ended_cv_;
  bool ended_ = false;
  std::string test_;  // empty between tests
  int seconds_ = 0;   // that it has taken
  std::thread thread_;
};

}  // namespace msfl::test
