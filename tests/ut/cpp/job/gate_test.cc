#include "job/gate.h"

#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/use_future.hpp>
#include <future>
#include <thread>

#include "net/event_loops.h"

namespace msfl::job {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kLong(20'000), kShort(30);

class GateTest : public testing::Test {
 protected:
  GateTest() : loops(2), pool(BufferPool::Create(0)) { loops.Start(); }
  ~GateTest() override { loops.Stop(); }

  std::shared_ptr<Iteration> MakeIteration(std::uint64_t number) {
    model::Feature feature;
    feature.name = "w";
    feature.elements = 1;
    const auto layout = *model::Layout::Make({feature});
    return std::make_shared<Iteration>(cache::IterationKey{"i", number}, Rules{},
                                       model::Model::Make(layout, *pool), *pool);
  }

  std::future<Gate::View> Enter(std::size_t loop, milliseconds patience, const Iteration* stale = nullptr) {
    return asio::co_spawn(loops.loop(loop), gate.Enter(patience, stale), asio::use_future);
  }

  std::future<Gate::View> AwaitEnd(std::size_t loop, const Iteration* running, milliseconds patience) {
    return asio::co_spawn(loops.loop(loop), gate.AwaitEnd(running, SteadyClock::now() + patience),
                          asio::use_future);
  }

  net::EventLoops loops;
  std::shared_ptr<BufferPool> pool;
  Gate gate;
};

TEST_F(GateTest, AnOpenGateLetsPassAtOnce) {
  const auto iteration = MakeIteration(1);
  gate.Open(Service::kServing, iteration);
  const Gate::View view = Enter(0, kLong).get();
  EXPECT_EQ(view.service, Service::kServing);
  EXPECT_FALSE(view.switching);
  EXPECT_EQ(view.iteration, iteration);
}

TEST_F(GateTest, RequestsWaitOnAllLoopsUntilItOpens) {
  std::vector<std::future<Gate::View>> waiting;
  for (int i = 0; i < 50; ++i) waiting.push_back(Enter(static_cast<std::size_t>(i % 2), kLong));
  std::this_thread::sleep_for(kShort);
  for (auto& future : waiting) EXPECT_EQ(future.wait_for(milliseconds(0)), std::future_status::timeout);
  gate.Open(Service::kServing, MakeIteration(2));
  for (auto& future : waiting) EXPECT_EQ(future.get().iteration->number(), 2U);
}

TEST_F(GateTest, PatienceEnds) { EXPECT_TRUE(Enter(0, kShort).get().switching); }

TEST_F(GateTest, WhoWasToldThatItsIterationIsOverWaitsForTheNext) {
  const auto first = MakeIteration(1);
  gate.Open(Service::kServing, first);
  auto waiting = Enter(0, kLong, first.get());
  std::this_thread::sleep_for(kShort);
  EXPECT_EQ(waiting.wait_for(milliseconds(0)), std::future_status::timeout);
  gate.Shut();
  gate.Open(Service::kServing, MakeIteration(2));
  EXPECT_EQ(waiting.get().iteration->number(), 2U);
}

TEST_F(GateTest, StoppingLetsEverybodyOutAndIsFinal) {
  auto waiting = Enter(0, kLong);
  std::this_thread::sleep_for(kShort);
  gate.Close(Service::kStopping);
  gate.Close(Service::kDisabled);
  EXPECT_EQ(waiting.get().service, Service::kStopping);
  gate.Shut();
  gate.Open(Service::kServing, MakeIteration(1));
  EXPECT_EQ(Enter(1, kLong).get().service, Service::kStopping);
}

TEST_F(GateTest, TheEndOfAnIterationIsSeenWhenTheGateIsOpenAgain) {
  const auto first = MakeIteration(1);
  gate.Open(Service::kServing, first);
  auto waiting = AwaitEnd(0, first.get(), kLong), impatient = AwaitEnd(1, first.get(), kShort);
  gate.Shut();
  EXPECT_EQ(impatient.get().iteration, first);
  gate.Open(Service::kSafemode, first);  // the cache is away for a while
  std::this_thread::sleep_for(kShort);
  EXPECT_EQ(waiting.wait_for(milliseconds(0)), std::future_status::timeout);
  gate.Shut();
  gate.Open(Service::kServing, MakeIteration(2));
  const Gate::View view = waiting.get();
  EXPECT_EQ(view.iteration->number(), 2U);
  EXPECT_FALSE(view.switching);
}

TEST_F(GateTest, ItIsNotWaitedForWhenNothingIsServed) {
  const auto first = MakeIteration(1);
  gate.Open(Service::kServing, first);
  auto waiting = AwaitEnd(0, first.get(), kLong);
  gate.Open(Service::kDisabled, first);
  EXPECT_EQ(waiting.get().service, Service::kDisabled);
  gate.Open(Service::kServing, first);
  waiting = AwaitEnd(1, first.get(), kLong);
  gate.Close(Service::kStopping);
  EXPECT_EQ(waiting.get().service, Service::kStopping);
}

TEST_F(GateTest, SwitchesAreCounted) {
  const auto first = MakeIteration(1);
  gate.Open(Service::kServing, first);
  gate.Shut();
  gate.Open(Service::kServing, first);  // back after a fault: no switch
  EXPECT_EQ(gate.switches().count, 0U);
  gate.Shut();
  std::this_thread::sleep_for(milliseconds(2));
  gate.Shut();
  gate.Open(Service::kServing, MakeIteration(2));
  EXPECT_EQ(gate.switches().count, 1U);
  EXPECT_GE(gate.switches().time, milliseconds(2));
}

TEST_F(GateTest, OpenAndShutInQuickTurnLoseNobody) {
  std::vector<std::future<Gate::View>> waiting;
  for (int turn = 0; turn < 200; ++turn) {
    gate.Shut();
    for (int i = 0; i < 4; ++i) waiting.push_back(Enter(static_cast<std::size_t>(i % 2), kLong));
    gate.Open(Service::kServing, MakeIteration(static_cast<std::uint64_t>(turn) + 1));
  }
  for (auto& future : waiting) EXPECT_FALSE(future.get().switching);
}

}  // namespace
}  // namespace msfl::job
