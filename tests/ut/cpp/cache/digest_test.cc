// The digest of the model that an iteration starts from: which moves change it, and who may.
#include "cache/store_fixture.h"

namespace msfl::cache {
namespace {

using enum InstanceState;

const std::string kOne(32, '1'), kTwo(32, '2'), kThree(32, '3');

class Digest : public StoreFixture {
 protected:
  Registered Enter(const std::string& id, const std::string& digest, IterationKey current = At(1)) {
    return Wait(store->Register(id, "127.0.0.1:7001", "", current, digest));
  }
  Status Advance(std::uint64_t from, bool valid, const std::string& digest) {
    return Wait(store->Advance(At(from), valid, "because", digest)).status;
  }
  std::string Replace(std::uint64_t number, const std::string& from, const std::string& to) {
    return Wait(store->ReplaceDigest(At(number), from, to));
  }
  std::string Seen(std::uint64_t number = 1) { return Observe(number).status.digest; }
};

TEST_F(Digest, NobodyHasPublishedOneAtFirst) {
  Status candidate = StatusAt(1);
  candidate.digest = kOne;
  const std::map<std::string, std::string> none;
  EXPECT_EQ(Wait(store->Open(candidate, none)).status.digest, "");
  EXPECT_EQ(Seen(), "");
}

TEST_F(Digest, TheFirstOneToRegisterWithAModelPublishesIt) {
  Open();
  EXPECT_EQ(Enter("a", "").digest, "");
  EXPECT_EQ(Enter("b", kOne).digest, kOne);
  EXPECT_EQ(Enter("c", kTwo).digest, kOne);
  EXPECT_EQ(Enter("d", "").digest, kOne);
  EXPECT_EQ(Seen(), kOne);
  EXPECT_EQ(Open().status.digest, kOne);
}

TEST_F(Digest, TwoThatRegisterAtOnceAgree) {
  Open();
  const auto other = MakeStore();
  for (int round = 0; round < 20; ++round) {
    Call({"HDEL", Key("i_1:status"), "digest"}).value();
    Many<Result<Registered>> running;
    running.Start(loops, 0, store->Register("a", "127.0.0.1:7001", "", At(1), kOne));
    running.Start(loops, 1, other->Register("b", "127.0.0.1:7002", "", At(1), kTwo));
    const auto registered = running.Wait();
    ASSERT_TRUE(registered[0] && registered[1]);
    EXPECT_EQ(registered[0]->digest, registered[1]->digest);
    EXPECT_EQ(registered[0]->digest, Seen());
    EXPECT_NE(registered[0]->node.epoch, registered[1]->node.epoch);
  }
}

TEST_F(Digest, RegisterFollowsTheInstance) {
  Open();
  Enter("a", kOne);
  const std::map<std::string, std::string> none;
  Wait(store->NewInstance("i_2", none));
  EXPECT_EQ(Enter("b", kTwo).digest, kOne);
  EXPECT_EQ(Rows().nodes.size(), 2U);
  EXPECT_EQ(Rows().status.at("digest"), kOne);
}

TEST_F(Digest, RegisterWithoutARecordKeepsItGone) {
  const Registered registered = Enter("a", kOne);
  EXPECT_EQ(registered.digest, "");
  EXPECT_EQ(registered.node.epoch, 1U);
  EXPECT_EQ(Rows().nodes.count("a"), 1U);
  Call({"SET", Key("instance"), "i_1"}).value();  // but not its status
  EXPECT_EQ(Enter("a", kOne).digest, "");
  EXPECT_FALSE(Observe().known);
  EXPECT_TRUE(Rows().status.empty());
}

TEST_F(Digest, OnlyAValidMoveChangesIt) {
  JobStoreOptions options = DefaultOptions();
  options.iterations = 9;
  store = MakeStore(options);
  Open();
  Enter("a", kOne);
  EXPECT_EQ(Advance(1, true, kTwo).digest, kTwo);
  EXPECT_EQ(Advance(1, true, kThree).digest, kTwo);  // too late
  EXPECT_EQ(Advance(2, false, kThree).digest, kTwo);
  EXPECT_EQ(Advance(3, true, "").digest, kTwo);
  EXPECT_EQ(Wait(store->SetState(At(4), kDisable)).status.digest, kTwo);
  EXPECT_EQ(Wait(store->SetState(At(5), kRunning)).status.digest, kTwo);
  EXPECT_EQ(Wait(store->SetState(At(5), kStop)).status.digest, kTwo);
  EXPECT_EQ(Wait(store->SetState(At(5), kRunning)).status.digest, kTwo);
  options.windows.start_fl_job = 1;
  store->SetRules(options.windows, options.thresholds, options.iterations);
  Join("d1", "", true, 5);
  Status after;
  ASSERT_TRUE(Eventually([&] {
    after = Wait(store->Expire(At(5))).status;
    return after.current == At(6);
  }));
  EXPECT_EQ(after.digest, kTwo);
  EXPECT_EQ(Advance(6, true, kThree).digest, kThree);
  EXPECT_EQ(Seen(7), kThree);
}

TEST_F(Digest, TheLastMoveTellsTheFinalModel) {
  Open(3);  // of 3
  const Status last = Advance(3, true, kOne);
  EXPECT_EQ(last.state, kFinish);
  EXPECT_EQ(last.digest, kOne);
}

TEST_F(Digest, ANewInstanceStartsFromTheModelThatIsThere) {
  Open();
  const std::map<std::string, std::string> none;
  EXPECT_EQ(Wait(store->NewInstance("i_2", none)).digest, "");
  EXPECT_EQ(Wait(store->Advance(At(1, "i_2"), true, "done", kOne)).status.digest, kOne);
  const Status fresh = Wait(store->NewInstance("i_3", none));
  EXPECT_EQ(fresh.current, At(1, "i_3"));
  EXPECT_EQ(fresh.digest, kOne);
  EXPECT_EQ(Wait(store->NewInstance("i_3", none)).digest, kOne);  // sent twice
  // Who comes from the instance before is told that of the new one.
  EXPECT_EQ(Wait(store->Advance(At(2, "i_2"), true, "late", kTwo)).status.digest, kOne);
}

TEST_F(Digest, ALostRecordIsWrittenWithIt) {
  const std::map<std::string, std::string> none;
  Status mine = StatusAt(2);
  mine.digest = kOne;
  EXPECT_EQ(Wait(store->Recreate(mine, none, "description", "")).digest, kOne);
  mine.digest = kTwo;  // another Server, later: the record is there
  EXPECT_EQ(Wait(store->Recreate(mine, none, "description", "")).digest, kOne);
  EXPECT_TRUE(Rows().hyper.empty());
  Call({"FLUSHALL"}).value();
  mine.digest.clear();
  EXPECT_EQ(Wait(store->Recreate(mine, none, "description", "")).digest, "");
  EXPECT_EQ(Enter("a", kThree).digest, kThree);
}

TEST_F(Digest, ReplaceIsCompareAndSet) {
  Open();
  EXPECT_EQ(Replace(1, "", kOne), kOne);
  EXPECT_EQ(Replace(1, kTwo, kThree), kOne);  // it is not kTwo
  EXPECT_EQ(Replace(1, kOne, kTwo), kTwo);
  EXPECT_EQ(Replace(1, kOne, kTwo), kTwo);    // sent twice
  EXPECT_EQ(Replace(1, kOne, kThree), kTwo);  // the race is lost
  Advance(1, false, "");
  EXPECT_EQ(Replace(1, kTwo, kThree), kTwo);  // of an iteration that is over
  EXPECT_EQ(Replace(2, kTwo, kThree), kThree);
  const std::map<std::string, std::string> none;
  Wait(store->NewInstance("i_2", none));
  EXPECT_EQ(Replace(2, kThree, kOne), kThree);
  Call({"FLUSHALL"}).value();
  EXPECT_EQ(Replace(2, kThree, kOne), "");
  EXPECT_FALSE(Observe().known);
}

TEST_F(Digest, OneOfManyReplacesIt) {
  Open();
  Enter("a", kOne);
  Many<Result<std::string>> running;
  for (std::size_t i = 0; i < 20; ++i) {
    running.Start(loops, i, store->ReplaceDigest(At(1), kOne, std::string(32, static_cast<char>('a' + i))));
  }
  for (const auto& answer : running.Wait()) {
    ASSERT_TRUE(answer);
    EXPECT_EQ(*answer, Seen());
  }
  EXPECT_NE(Seen(), kOne);
}

}  // namespace
}  // namespace msfl::cache
