#include "base/wait_list.h"

#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/use_future.hpp>
#include <chrono>
#include <future>
#include <thread>
#include <vector>

namespace msfl {
namespace {

using std::chrono::milliseconds;

class WaitListTest : public testing::Test {
 protected:
  WaitListTest() : work_(asio::make_work_guard(loop_)), thread_([this] { loop_.run(); }) {}
  ~WaitListTest() override {
    work_.reset();
    thread_.join();
  }
  // For `value` to be at least that.
  static Task<int> Await(WaitListTest* test, int least, milliseconds patience) {
    int seen = 0;
    const auto passed = [&] {
      seen = test->value;
      return seen >= least;
    };
    const SteadyClock::time_point until = SteadyClock::now() + patience;
    const bool reached = co_await test->waiters.Wait(test->mutex, until, passed);
    EXPECT_EQ(reached, seen >= least);
    co_return seen;
  }
  std::future<int> Await(int least, milliseconds patience = milliseconds(20'000)) {
    return asio::co_spawn(loop_, Await(this, least, patience), asio::use_future);
  }
  void Set(int now) {
    const std::lock_guard lock(mutex);
    value = now;
    waiters.WakeAll();
  }

  std::mutex mutex;
  WaitList waiters;
  int value = 0;

 private:
  asio::io_context loop_{1};
  asio::executor_work_guard<Executor> work_;
  std::thread thread_;
};

TEST_F(WaitListTest, WhatHoldsAlreadyIsNotWaitedFor) { EXPECT_EQ(Await(0).get(), 0); }

TEST_F(WaitListTest, PatienceEnds) { EXPECT_EQ(Await(1, milliseconds(10)).get(), 0); }

TEST_F(WaitListTest, EachWaitsForItsOwnAndNobodyIsLost) {
  std::vector<std::future<int>> waiting;
  for (int least = 1; least <= 200; ++least) waiting.push_back(Await(least));
  for (int now = 1; now <= 200; ++now) Set(now);
  for (int least = 1; least <= 200; ++least)
    EXPECT_GE(waiting[static_cast<std::size_t>(least) - 1].get(), least);
}

}  // namespace
}  // namespace msfl
