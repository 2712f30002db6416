// JobStore::Withdraw: a request whose answer was lost has no effect, whether it ran before or runs after.
#include "cache/store_fixture.h"

namespace msfl::cache {
namespace {

class Withdrawals : public StoreFixture {
 protected:
  Withdrawals() {
    Open();
    node = Register("a");
  }
  void Withdraw(const std::string& fl_id, const std::string& nonce, std::uint64_t number = 1) {
    Wait(store->Withdraw(At(number), fl_id, nonce));
  }
  Node node;
};

TEST_F(Withdrawals, APlaceInStartFlJobIsFreeAgain) {
  for (const char* fl_id : {"d1", "d2", "d3"}) Join(fl_id);
  EXPECT_EQ(Join("d4").verdict, JoinVerdict::kThresholdReached);
  EXPECT_EQ(Rows().round.count("start_by"), 0U);
  Withdraw("d2", "j-d2");
  EXPECT_EQ(Rows().round.at("started"), "2");
  EXPECT_EQ(Rows().round.count("start_by"), 1U);  // the round is open again, with a window
  EXPECT_EQ(Join("d2", "again").verdict, JoinVerdict::kAccepted);
}

TEST_F(Withdrawals, ALeaseIsFreeAgain) {
  for (const char* fl_id : {"d1", "d2", "d3"}) Join(fl_id);
  Reserve(node, "d1");
  Reserve(node, "d2");
  EXPECT_EQ(Reserve(node, "d3").verdict, ReserveVerdict::kThresholdReached);
  Withdraw("d1", "u-d1");
  EXPECT_EQ(Rows().round.at("leased"), "1");
  EXPECT_EQ(Rows().round.count("update_by"), 1U);
  EXPECT_EQ(Reserve(node, "d3").verdict, ReserveVerdict::kReserved);
}

TEST_F(Withdrawals, WhatRunsAfterwardsDoesNothing) {
  Withdraw("d1", "j-d1");
  EXPECT_EQ(Join("d1").verdict, JoinVerdict::kMoved);
  EXPECT_EQ(Join("d1", "another").verdict, JoinVerdict::kAccepted);
  Withdraw("d1", "u-d1");
  EXPECT_EQ(Reserve(node, "d1").verdict, ReserveVerdict::kMoved);
  EXPECT_EQ(Rows().round.at("started"), "1");
  EXPECT_EQ(Rows().updates.size(), 0U);
}

TEST_F(Withdrawals, ADeviceWhoseUpdateIsWithdrawnMayStartAgain) {
  for (const char* fl_id : {"d1", "d2", "d3"}) Join(fl_id);
  EXPECT_EQ(Join("d1", "again").verdict, JoinVerdict::kThresholdReached);
  Reserve(node, "d1");
  Withdraw("d1", "u-d1");
  Withdraw("d2", "never run");
  for (const char* fl_id : {"d1", "d2"}) {
    const JoinAnswer again = Join(fl_id, "again");
    EXPECT_EQ(again.verdict, JoinVerdict::kAccepted) << fl_id;
    EXPECT_FALSE(again.first || again.last);
    EXPECT_EQ(Join(fl_id, "again").verdict, JoinVerdict::kAccepted) << "sent twice";
    EXPECT_EQ(Join(fl_id, "once more").verdict, JoinVerdict::kThresholdReached);
  }
  EXPECT_EQ(Join("d3", "again").verdict, JoinVerdict::kThresholdReached);
  EXPECT_EQ(Rows().round.at("started"), "3");
  EXPECT_EQ(Reserve(node, "d1", "later").verdict, ReserveVerdict::kReserved);
}

TEST_F(Withdrawals, WhatIsCountedOrOfAnotherRequestStays) {
  Join("d1");
  Reserve(node, "d1");
  Commit(node, "d1");
  Withdraw("d1", "u-d1");
  Withdraw("d1", "j-d1");  // it has uploaded: its place is in use
  Withdraw("d1", "unknown");
  Withdraw("d9", "unknown");
  EXPECT_EQ(Rows().round.at("counted"), "1");
  EXPECT_EQ(Rows().round.at("started"), "1");
}

TEST_F(Withdrawals, TwiceIsOnceAndAnotherIterationIsLeftAlone) {
  Join("d1");
  Join("d2");
  Withdraw("d1", "j-d1", 2);
  EXPECT_EQ(Rows().round.at("started"), "2");
  Withdraw("d1", "j-d1");
  Withdraw("d1", "j-d1");
  EXPECT_EQ(Rows().round.at("started"), "1");
}

}  // namespace
}  // namespace msfl::cache
