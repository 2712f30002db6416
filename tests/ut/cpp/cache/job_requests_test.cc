#include "cache/store_fixture.h"

namespace msfl::cache {
namespace {

class Requests : public StoreFixture {
 protected:
  Requests() {
    Open();
    node = Register("a");
  }
  Node node;
};

TEST_F(Requests, JoinCountsFirstAndLast) {
  const JoinAnswer first = Join("d1"), second = Join("d2"), third = Join("d3");
  EXPECT_EQ(first.verdict, JoinVerdict::kAccepted);
  EXPECT_TRUE(first.first);
  EXPECT_FALSE(first.last);
  EXPECT_EQ(first.started, 1U);
  ASSERT_TRUE(first.deadline_in_ms);
  EXPECT_EQ(*first.deadline_in_ms, 100'000);
  EXPECT_FALSE(second.first);
  EXPECT_FALSE(second.last);
  EXPECT_TRUE(third.last);
  EXPECT_FALSE(third.first);
  EXPECT_EQ(third.started, 3U);
  ASSERT_TRUE(third.deadline_in_ms);  // the start window is over, the global one is not
  EXPECT_GT(*third.deadline_in_ms, 100'000);
  EXPECT_LE(*third.deadline_in_ms, 300'000);
  const auto rows = Rows();
  EXPECT_EQ(rows.round.at("started"), "3");
  EXPECT_EQ(rows.round.count("start_by"), 0U);
  EXPECT_EQ(rows.round.count("global_by"), 1U);
  EXPECT_EQ(rows.devices.at("d2"), "16 4 " + rows.devices.at("d2").substr(5, 13) + " j-d2");
}

TEST_F(Requests, JoinVerdictsInOrder) {
  using enum JoinVerdict;
  EXPECT_EQ(Join("d1", "", true, 2).verdict, kMoved);
  EXPECT_EQ(Join("d1", "", false).verdict, kContentRefused);
  EXPECT_EQ(Join("d1").verdict, kAccepted);
  EXPECT_EQ(Join("d1", "another").verdict, kAlreadyJoined);
  EXPECT_EQ(Join("d1", "another", false).verdict, kContentRefused);
  EXPECT_EQ(Join("d2").verdict, kAccepted);
  EXPECT_EQ(Join("d3").verdict, kAccepted);
  EXPECT_EQ(Join("d4", "", false).verdict, kThresholdReached);
  EXPECT_EQ(Join("d1", "another").verdict, kThresholdReached);
  EXPECT_EQ(Join("d4", "", false, 2).verdict, kMoved);
  EXPECT_EQ(Rows().round.at("started"), "3");
}

TEST_F(Requests, JoinSentTwiceCountsOnce) {
  for (const char* fl_id : {"d1", "d2", "d3"}) {
    const JoinAnswer once = Join(fl_id), twice = Join(fl_id);
    EXPECT_EQ(twice.verdict, JoinVerdict::kAccepted) << fl_id;
    EXPECT_EQ(twice.started, once.started);
    EXPECT_EQ(twice.first, once.first);
    EXPECT_EQ(twice.last, once.last);
  }
  EXPECT_TRUE(Join("d1").first);
  EXPECT_TRUE(Join("d3").last);
  EXPECT_EQ(Rows().round.at("started"), "3");
}

TEST_F(Requests, ReserveVerdictsInOrder) {
  using enum ReserveVerdict;
  for (const char* fl_id : {"d1", "d2", "d3"}) Join(fl_id);
  EXPECT_EQ(Reserve(node, "d1", "", true, 1, 2).verdict, kMoved);
  EXPECT_EQ(Reserve(node, "stranger", "", false, 2).verdict, kNotJoined);
  EXPECT_EQ(Reserve(node, "d1", "", false, 2).verdict, kWrongIteration);
  EXPECT_EQ(Reserve(node, "d1", "", false, -1).verdict, kWrongIteration);
  EXPECT_EQ(Reserve(node, "d1", "", false).verdict, kContentRefused);
  EXPECT_EQ(Reserve(node, "d1").verdict, kReserved);
  EXPECT_EQ(Reserve(node, "d1", "another", false).verdict, kContentRefused);
  EXPECT_EQ(Reserve(node, "d1", "another").verdict, kAlreadyUpdated);
  EXPECT_EQ(Commit(node, "d1").verdict, CommitVerdict::kCounted);
  EXPECT_EQ(Reserve(node, "d1", "another").verdict, kAlreadyUpdated);
  EXPECT_EQ(Reserve(node, "d2").verdict, kReserved);
  EXPECT_EQ(Reserve(node, "stranger", "", false, 2).verdict, kThresholdReached);
  EXPECT_EQ(Reserve(node, "d3", "", false, 2, 2).verdict, kMoved);
}

TEST_F(Requests, ReserveTellsOfTheDeviceAndSentTwiceTakesOne) {
  Join("d1");
  Join("d2");
  const ReserveAnswer first = Reserve(node, "d1"), again = Reserve(node, "d1");
  EXPECT_EQ(first.data_size, 16U);
  EXPECT_EQ(first.eval_data_size, 4U);
  EXPECT_EQ(std::to_string(first.joined_ms), Rows().devices.at("d1").substr(5, 13));
  EXPECT_GE(first.now_ms, first.joined_ms);
  EXPECT_EQ(first.taken, 1U);
  EXPECT_TRUE(first.first);
  EXPECT_FALSE(first.full);
  ASSERT_TRUE(first.deadline_in_ms);
  EXPECT_EQ(again.verdict, ReserveVerdict::kReserved);
  EXPECT_EQ(again.taken, 1U);
  EXPECT_TRUE(again.first);
  EXPECT_EQ(Rows().round.count("update_by"), 1U);
  const ReserveAnswer last = Reserve(node, "d2"), last_again = Reserve(node, "d2");
  EXPECT_TRUE(last.full);
  EXPECT_FALSE(last.first);
  EXPECT_EQ(last.taken, 2U);
  EXPECT_TRUE(last_again.full);
  EXPECT_EQ(last_again.taken, 2U);
  EXPECT_EQ(Rows().round.count("update_by"), 0U);
  EXPECT_EQ(Rows().updates.at("d1"), "leased a " + std::to_string(node.epoch) + " u-d1");
}

TEST_F(Requests, CommitCountsOnceAndTheLastIsLastAgain) {
  Join("d1");
  Join("d2");
  Reserve(node, "d1");
  Reserve(node, "d2");
  const CommitAnswer first = Commit(node, "d1");
  EXPECT_EQ(first.verdict, CommitVerdict::kCounted);
  EXPECT_EQ(first.counted, 1U);
  EXPECT_FALSE(first.last);
  EXPECT_EQ(Commit(node, "d1").counted, 1U);
  const CommitAnswer last = Commit(node, "d2");
  EXPECT_TRUE(last.last);
  EXPECT_EQ(last.counted, 2U);
  EXPECT_TRUE(Commit(node, "d2").last);
  EXPECT_FALSE(Commit(node, "d1").last);
  const Snapshot seen = Observe();
  EXPECT_EQ(seen.started, 2U);
  EXPECT_EQ(seen.leased, 0U);
  EXPECT_EQ(seen.counted, 2U);
  EXPECT_EQ(Rows().round.at("counted:a"), "2");
  // Sent again after the iteration has moved on: still the truth.
  Wait(store->Advance(At(1), true, "done", ""));
  EXPECT_TRUE(Commit(node, "d2").last);
  EXPECT_EQ(Commit(node, "d2", "another").verdict, CommitVerdict::kMoved);
}

TEST_F(Requests, CommitWithoutItsLeaseIsFenced) {
  Join("d1");
  EXPECT_EQ(Commit(node, "d1").verdict, CommitVerdict::kFenced);
  Reserve(node, "d1");
  EXPECT_EQ(Commit(node, "d1", "another").verdict, CommitVerdict::kFenced);
  const Node other = Register("b");
  EXPECT_EQ(Commit(other, "d1").verdict, CommitVerdict::kFenced);
  const Node again = Register("a");
  EXPECT_GT(again.epoch, node.epoch);
  EXPECT_EQ(Commit(again, "d1").verdict, CommitVerdict::kFenced);
  EXPECT_EQ(Observe().leased, 1U);
  Wait(store->Unregister(again));
  EXPECT_EQ(Commit(node, "d1").verdict, CommitVerdict::kFenced) << "it is not in the cluster";
  EXPECT_EQ(Observe().leased, 0U) << "and its place is free again";
  const Node back = Register("a");
  EXPECT_EQ(Reserve(back, "d1", "fresh").verdict, ReserveVerdict::kReserved);
  EXPECT_EQ(Commit(back, "d1", "fresh").verdict, CommitVerdict::kFenced) << "its sum holds what was fenced";
  EXPECT_EQ(Observe().leased, 0U);
}

TEST_F(Requests, NothingIsTakenUnlessRunningInTheCurrentInstance) {
  Join("d1");
  for (const char* state : {"1", "2", "3"}) {
    Call({"HSET", Key("i_1:status"), "state", state}).value();
    EXPECT_EQ(Join("d2").verdict, JoinVerdict::kMoved);
    EXPECT_EQ(Join("d1").verdict, JoinVerdict::kMoved);
    EXPECT_EQ(Reserve(node, "d1").verdict, ReserveVerdict::kMoved);
    EXPECT_EQ(Commit(node, "d1").verdict, CommitVerdict::kMoved);
  }
  Call({"HSET", Key("i_1:status"), "state", "0"}).value();
  Call({"SET", Key("instance"), "i_2"}).value();
  EXPECT_EQ(Join("d2").verdict, JoinVerdict::kMoved);
  EXPECT_EQ(Reserve(node, "d1").verdict, ReserveVerdict::kMoved);
  EXPECT_EQ(Commit(node, "d1").verdict, CommitVerdict::kMoved);
  Call({"SET", Key("instance"), "i_1"}).value();
  EXPECT_EQ(Join("d2").verdict, JoinVerdict::kAccepted);
  Call({"DEL", Key("i_1:status")}).value();
  EXPECT_EQ(Join("d3").verdict, JoinVerdict::kMoved);
}

TEST_F(Requests, AnyBytesMayBeAName) {
  const std::string odd("a b\0{}\n\xff:%", 10);
  EXPECT_EQ(Join(odd, "nonce with spaces").verdict, JoinVerdict::kAccepted);
  EXPECT_EQ(Join(odd, "nonce with spaces").verdict, JoinVerdict::kAccepted);
  EXPECT_EQ(Join(odd, "another").verdict, JoinVerdict::kAlreadyJoined);
  EXPECT_EQ(Reserve(node, odd, "n m").data_size, 16U);
  EXPECT_EQ(Commit(node, odd, "n m").verdict, CommitVerdict::kCounted);
  EXPECT_EQ(Rows().devices.count(odd), 1U);
}

TEST_F(Requests, ThresholdOfOneIsFirstAndLast) {
  Thresholds one;
  one.start_fl_job = 1;
  one.update_model = 1;
  store->SetRules(DefaultOptions().windows, one, 3);
  const JoinAnswer joined = Join("d1");
  EXPECT_TRUE(joined.first && joined.last);
  ASSERT_TRUE(joined.deadline_in_ms);
  EXPECT_EQ(*joined.deadline_in_ms, 300'000);
  const ReserveAnswer reserved = Reserve(node, "d1");
  EXPECT_TRUE(reserved.first && reserved.full);
  EXPECT_TRUE(Commit(node, "d1").last);
}

TEST_F(Requests, RowsExpire) {
  Join("d1");
  Reserve(node, "d1");
  const std::int64_t iteration = 30 * 60 * 1000 + 300'000, job = 7LL * 24 * 3600 * 1000 + 300'000;
  for (const char* row : {"i_1:1:round", "i_1:1:devices", "i_1:1:updates"}) {
    const auto left = Call({"PTTL", Key(row)}).value().integer;
    EXPECT_GT(left, iteration - 60'000) << row;
    EXPECT_LE(left, iteration) << row;
  }
  for (const char* row : {"instance", "i_1:status", "i_1:hyper", "nodes", "epoch"}) {
    const auto left = Call({"PTTL", Key(row)}).value().integer;
    EXPECT_GT(left, job - 60'000) << row;
    EXPECT_LE(left, job) << row;
  }
  Wait(store->Advance(At(1), true, "done", ""));
  for (const char* row : {"i_1:1:round", "i_1:1:devices", "i_1:1:updates"}) {
    const auto left = Call({"PTTL", Key(row)}).value().integer;
    EXPECT_GT(left, 0) << row;
    EXPECT_LE(left, 60'000) << row;
  }
}

}  // namespace
}  // namespace msfl::cache
