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
  const Decision decision = Decide(mine, seen);
  EXPECT_EQ(decision.move, Move::kAggregate);
  EXPECT_EQ(decision.updates, 2U);
  EXPECT_EQ(decision.reason, kAggregatedReason);
}

TEST_F(DecisionTest, ATargetTakesThePlaceOfTheThreshold) {
  mine.update_threshold = 5;
  seen.timed_out = "Round updateModel";
  // Every combination of a small cluster: the decision depends on the target alone once there is one.
  for (std::uint64_t target = 1; target <= 5; ++target) {
    for (std::uint64_t counted = 0; counted <= target; ++counted) {
      for (std::uint64_t leased = 0; counted + leased <= 5; ++leased) {
        seen.target = target;
        seen.counted = counted;
        seen.leased = leased;
        const Decision decision = Decide(mine, seen);
        ASSERT_EQ(decision.move, counted == target ? Move::kAggregate : Move::kStay);
        if (counted < target) continue;
        EXPECT_EQ(decision.updates, target);
        EXPECT_EQ(decision.reason,
                  target == 5
                      ? kAggregatedReason
                      : "Round updateModel timeout! " + std::to_string(target) +
                            " of 5 updates have come and are aggregated. This iteration is valid. Proceed to "
                            "next iteration.");
      }
    }
  }
  seen.contributor_lost = true;
  EXPECT_EQ(Decide(mine, seen).move, Move::kFail);
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
