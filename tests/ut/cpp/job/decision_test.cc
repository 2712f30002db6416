#include "job/decision.h"

#include <gtest/gtest.h>

namespace msfl::job {
namespace {

using cache::InstanceState;
using cache::Snapshot;

class DecisionTest : public testing::Test {
 protected:
  DecisionTest() {
    mine.current = {"i_1", 3};
    mine.update_threshold = 2;
    seen.known = true;
    seen.status.current = mine.current;
  }
  Standing mine;
  Snapshot seen;
};

TEST_F(DecisionTest, StaysWhileUpdatesAreMissing) {
  seen.counted = 1;
  EXPECT_EQ(Decide(mine, seen).move, Move::kStay);
}

TEST_F(DecisionTest, AggregatesOnceEveryUpdateIsCounted) {
  seen.counted = 2;
  EXPECT_EQ(Decide(mine, seen).move, Move::kAggregate);
}

TEST_F(DecisionTest, LeasedUpdatesAreNotCounted) {
  seen.leased = 2;
  EXPECT_EQ(Decide(mine, seen).move, Move::kStay);
}

TEST_F(DecisionTest, FailsWhenASumIsLostEvenIfTheCountIsComplete) {
  seen.counted = 2;
  seen.contributor_lost = true;
  const Decision decision = Decide(mine, seen);
  EXPECT_EQ(decision.move, Move::kFail);
  EXPECT_EQ(decision.reason, "Server that processed updateModel requests exited, current iteration: 3");
}

TEST_F(DecisionTest, FollowsTheClusterToAnotherIterationInstanceOrState) {
  Snapshot moved = seen;
  moved.status.current.number = 4;
  EXPECT_EQ(Decide(mine, moved).move, Move::kAdopt);
  moved = seen;
  moved.status.current.instance = "i_2";
  EXPECT_EQ(Decide(mine, moved).move, Move::kAdopt);
  moved = seen;
  moved.status.state = InstanceState::kDisable;
  EXPECT_EQ(Decide(mine, moved).move, Move::kAdopt);
}

TEST_F(DecisionTest, NothingIsCollectedInAStateOfRest) {
  for (const InstanceState state : {InstanceState::kDisable, InstanceState::kFinish}) {
    mine.state = seen.status.state = state;
    seen.counted = 2;
    seen.contributor_lost = true;
    EXPECT_EQ(Decide(mine, seen).move, Move::kStay);
  }
}

TEST_F(DecisionTest, StopGoesBeforeEverythingButALostRecord) {
  seen.status.state = InstanceState::kStop;
  seen.status.current.number = 9;
  seen.contributor_lost = true;
  EXPECT_EQ(Decide(mine, seen).move, Move::kStop);
  seen.known = false;
  EXPECT_EQ(Decide(mine, seen).move, Move::kRecreate);
}

}  // namespace
}  // namespace msfl::job
