#include "base/lost_coroutine.h"

#include <gtest/gtest.h>

#include <boost/asio/basic_waitable_timer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/this_coro.hpp>
#include <stdexcept>

#include "base/clock.h"
#include "base/task.h"

namespace msfl {
namespace {

using Timer = asio::basic_waitable_timer<SteadyClock, asio::wait_traits<SteadyClock>, Executor>;

// An operation that fails to begin, as asio does it when there is no memory for it.
Task<> Begin() {
  co_await asio::async_initiate<decltype(kAwait), void()>(
      [](auto&&) { throw std::runtime_error("no memory"); }, kAwait);
}

Task<> Wait(int& told, bool& caught, bool fails) {
  LostCoroutine lost([&told] { ++told; });
  try {
    if (fails) {
      co_await Begin();
    } else {
      Timer timer(co_await asio::this_coro::executor, std::chrono::milliseconds(1));
      co_await timer.async_wait(kAwait);
    }
  } catch (const std::exception&) {
    caught = true;
  }
  lost.Ended();
}

TEST(LostCoroutine, IsToldOfAnOperationThatCantBegin) {
  asio::io_context loop;
  int told = 0;
  bool caught = false;
  asio::co_spawn(loop.get_executor(), Wait(told, caught, true), asio::detached);
  EXPECT_THROW(loop.run(), std::runtime_error) << "past the coroutine";
  loop.run();  // the event loops of a Server go on as well
  EXPECT_FALSE(caught);
  EXPECT_EQ(told, 1);
}

TEST(LostCoroutine, AnOrderlyEndIsNoLoss) {
  asio::io_context loop;
  int told = 0;
  bool caught = false;
  asio::co_spawn(loop.get_executor(), Wait(told, caught, false), asio::detached);
  loop.run();
  EXPECT_EQ(told, 0);
}

TEST(LostCoroutine, WhatItsListenerThrowsIsDropped) {
  const LostCoroutine lost([] { throw std::runtime_error("none here either"); });
}

}  // namespace
}  // namespace msfl
