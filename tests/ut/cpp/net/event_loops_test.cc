#include "net/event_loops.h"

#include <gtest/gtest.h>

#include <atomic>
#include <boost/asio/post.hpp>
#include <future>
#include <set>
#include <stdexcept>
#include <thread>

#include "base/log.h"

namespace msfl::net {
namespace {

TEST(EventLoops, HasOneMoreForControl) {
  EventLoops loops(3);
  EXPECT_EQ(loops.io_count(), 3U);
  EXPECT_EQ(loops.size(), 4U);
  EXPECT_EQ(&loops.control(), &loops.loop(3));
  EXPECT_EQ(EventLoops(0).io_count(), 1U);
}

TEST(EventLoops, RunNothingBeforeTheyStart) {
  EventLoops loops(1);
  std::atomic<bool> ran{false};
  asio::post(loops.loop(0), [&] { ran = true; });
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  EXPECT_FALSE(ran);
  EXPECT_FALSE(loops.running());
  loops.Start();
  EXPECT_TRUE(loops.running());
  while (!ran) std::this_thread::yield();
}

TEST(EventLoops, EachHasAThreadThatKnowsItsIndex) {
  EventLoops loops(3);
  loops.Start();
  std::set<std::thread::id> threads;
  for (std::size_t i = 0; i < loops.size(); ++i) {
    std::promise<std::pair<std::size_t, std::thread::id>> promise;
    asio::post(loops.loop(i), [&] {
      promise.set_value({EventLoops::Current(), std::this_thread::get_id()});
    });
    const auto [index, thread] = promise.get_future().get();
    EXPECT_EQ(index, i);
    threads.insert(thread);
  }
  EXPECT_EQ(threads.size(), loops.size());
}

TEST(EventLoops, SurviveAnException) {
  std::atomic<int> logged{0};
  SetLogSink([&](const LogLine&) { ++logged; });
  EventLoops loops(1);
  loops.Start();
  asio::post(loops.loop(0), [] { throw std::runtime_error("a defect"); });
  std::promise<void> after;
  asio::post(loops.loop(0), [&] { after.set_value(); });
  after.get_future().get();
  loops.Stop();
  SetLogSink({});
  EXPECT_EQ(logged, 1);
}

TEST(EventLoops, StopEndsThemOnce) {
  EventLoops loops(2);
  loops.Start();
  loops.Stop();
  EXPECT_FALSE(loops.running());
  loops.Stop();
}

}  // namespace
}  // namespace msfl::net
