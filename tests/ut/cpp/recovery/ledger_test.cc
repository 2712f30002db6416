#include "recovery/ledger.h"

#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/use_future.hpp>
#include <chrono>
#include <future>

#include "net/event_loops.h"

namespace msfl::recovery {
namespace {

using std::chrono::milliseconds;

class LedgerTest : public testing::Test {
 protected:
  LedgerTest() { loops_.Start(); }
  ~LedgerTest() override { loops_.Stop(); }
  std::future<bool> Run(Task<bool> task) {
    return asio::co_spawn(loops_.control(), std::move(task), asio::use_future);
  }
  static SteadyClock::time_point Soon() { return SteadyClock::now() + milliseconds(50); }
  static SteadyClock::time_point Late() { return SteadyClock::now() + std::chrono::seconds(60); }
  static cache::HeldUpdate Update(const std::string& fl_id) {
    cache::HeldUpdate update;
    update.fl_id = fl_id;
    return update;
  }
  net::EventLoops loops_{1};
  Ledger ledger_;
};

TEST_F(LedgerTest, UpdatesAreNumberedAndSettled) {
  EXPECT_EQ(ledger_.settled_below(), 1U);
  EXPECT_TRUE(Run(ledger_.BeginAdding(Late())).get());
  EXPECT_TRUE(Run(ledger_.BeginAdding(Late())).get());
  EXPECT_EQ(ledger_.Added(Update("a")), 1U);
  EXPECT_EQ(ledger_.Added(Update("b")), 2U);
  EXPECT_EQ(ledger_.settled_below(), 1U);
  ledger_.Settle(2);
  EXPECT_EQ(ledger_.settled_below(), 1U) << "the first one is open";
  ASSERT_EQ(ledger_.Unsettled().size(), 1U);
  EXPECT_EQ(ledger_.Unsettled()[0].update.fl_id, "a");
  ledger_.Settle(1);
  EXPECT_EQ(ledger_.settled_below(), 3U);
  EXPECT_TRUE(Run(ledger_.AwaitSettled(Soon())).get());
}

TEST_F(LedgerTest, ACopyWaitsForWhoAddsAndOthersWaitForIt) {
  EXPECT_TRUE(Run(ledger_.BeginAdding(Late())).get());
  EXPECT_FALSE(Run(ledger_.Pause(Soon())).get()) << "somebody is adding";
  EXPECT_TRUE(Run(ledger_.BeginAdding(Soon())).get()) << "and nothing is paused after that";
  std::future<bool> paused = Run(ledger_.Pause(Late()));
  ledger_.AbandonAdding();
  ledger_.Added(Update("a"));
  EXPECT_TRUE(paused.get());
  EXPECT_FALSE(Run(ledger_.BeginAdding(Soon())).get());
  std::future<bool> waits = Run(ledger_.BeginAdding(Late()));
  ledger_.Resume();
  EXPECT_TRUE(waits.get());
}

TEST_F(LedgerTest, TheEndWaitsForWhatIsNotCounted) {
  EXPECT_TRUE(Run(ledger_.BeginAdding(Late())).get());
  std::future<bool> settled = Run(ledger_.AwaitSettled(Late()));
  const std::uint64_t sequence = ledger_.Added(Update("a"));
  EXPECT_FALSE(Run(ledger_.AwaitSettled(Soon())).get());
  ledger_.Settle(sequence);
  EXPECT_TRUE(settled.get());
}

}  // namespace
}  // namespace msfl::recovery
