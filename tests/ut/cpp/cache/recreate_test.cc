#include "cache/store_fixture.h"

namespace msfl::cache {
namespace {

using enum InstanceState;

class Recreate : public StoreFixture {};

TEST_F(Recreate, ContinuesWithTheNextIteration) {
  Open();
  Wait(store->AgreeOnModel("description"));
  Call({"FLUSHALL"}).value();
  EXPECT_FALSE(Observe().known);
  std::map<std::string, std::string> hyper;
  hyper["a"] = "1";
  const auto first = Wait(store->Recreate(StatusAt(2), hyper, "description", ""));
  EXPECT_EQ(first.current, At(3));
  EXPECT_EQ(first.state, kRunning);
  EXPECT_FALSE(first.last_valid);
  EXPECT_EQ(first.last_reason,
            "The instance status info stored in distributed cache is empty, current iteration: 2");
  // The next Server adopts what the first one wrote.
  const auto second = Wait(store->Recreate(StatusAt(1), hyper, "other", ""));
  EXPECT_EQ(second.current, At(3));
  EXPECT_EQ(Wait(store->AgreeOnModel("other")), "description");
  EXPECT_EQ(Rows(3).hyper.at("a"), "1");
  EXPECT_EQ(Join("d1", "", true, 3).verdict, JoinVerdict::kAccepted);
}

TEST_F(Recreate, KeepsWhatIsOver) {
  const std::map<std::string, std::string> none;
  Status finished = StatusAt(4);
  finished.state = kFinish;
  finished.last_reason = "done";
  const auto written = Wait(store->Recreate(finished, none, "description", ""));
  EXPECT_EQ(written.current, At(4));
  EXPECT_EQ(written.state, kFinish);
  EXPECT_TRUE(written.last_valid);
  EXPECT_EQ(written.last_reason, "done");
  Call({"FLUSHALL"}).value();
  EXPECT_EQ(Wait(store->Recreate(StatusAt(3), none, "description", "")).state, kFinish);  // 4 of 3
  Call({"FLUSHALL"}).value();
  Status disabled = StatusAt(1);
  disabled.state = kDisable;
  const auto still = Wait(store->Recreate(disabled, none, "description", ""));
  EXPECT_EQ(still.state, kDisable);
  EXPECT_EQ(still.current, At(2));
  Call({"SET", Key("instance"), "i_2"}).value();
  Call({"HSET", Key("i_2:status"), "iteration", "6", "state", "0"}).value();
  EXPECT_EQ(Wait(store->Recreate(StatusAt(1), none, "description", "")).current, At(6, "i_2"));
}

// Redis came back empty, and a Server that started in that moment was faster than those that run.
TEST_F(Recreate, ReplacesWhatANewcomerHasBegun) {
  Open();
  Wait(store->AgreeOnModel("description"));
  Call({"FLUSHALL"}).value();
  JobStoreOptions options = DefaultOptions();
  options.settings = "server_mode=B\n";
  const auto newcomer = MakeStore(options);
  const std::map<std::string, std::string> none;
  Status fresh = StatusAt(1);
  fresh.current.instance = "i_9";
  EXPECT_TRUE(Wait(newcomer->Open(fresh, none)).created);
  const Node late = Wait(newcomer->Register("late", "127.0.0.1:7009", "", fresh.current, "")).node;
  Wait(store->Heartbeat(Node{"early", "127.0.0.1:7001", "", 1, false}, At(2)));
  Wait(newcomer->AgreeOnModel("another"));
  EXPECT_EQ(Wait(store->Recreate(StatusAt(2), none, "description", "i_8")).current, At(1, "i_9"))
      << "not the one that was found";
  EXPECT_EQ(Wait(store->Recreate(StatusAt(2), none, "description", "i_9")).current, At(3));
  EXPECT_EQ(Wait(store->AgreeOnModel("another")), "description");
  EXPECT_EQ(Wait(newcomer->Recreate(fresh, none, "another", "i_1")).current, At(3)) << "not back again";
  EXPECT_EQ(Wait(newcomer->Heartbeat(late, At(3))).other_settings, "") << "those of who has replaced it";
  EXPECT_EQ(Wait(newcomer->Observe(At(1, "i_9"))).status.current, At(3));
}

TEST_F(Recreate, LeavesAnInstanceAloneThatGoesOn) {
  Open();
  Call({"FLUSHALL"}).value();
  const auto newcomer = MakeStore();
  const std::map<std::string, std::string> none;
  Status fresh = StatusAt(1);
  fresh.current.instance = "i_9";
  Wait(newcomer->Open(fresh, none));
  Wait(newcomer->Advance(At(1, "i_9"), true, "valid", ""));
  EXPECT_EQ(Wait(store->Recreate(StatusAt(2), none, "description", "i_9")).current, At(2, "i_9"));
}

// An operator's instance, whose record was lost while Servers were going over to it.
TEST_F(Recreate, LeavesAnInstanceAloneThatWasFollowed) {
  Open();
  Call({"FLUSHALL"}).value();
  const auto follower = MakeStore();
  const std::map<std::string, std::string> none;
  Status begun = StatusAt(1);
  begun.current.instance = "i_2";
  EXPECT_TRUE(Wait(follower->Follow(begun, none)).created);
  EXPECT_EQ(Wait(store->Recreate(StatusAt(2), none, "description", "i_2")).current, At(1, "i_2"));
}

TEST_F(Recreate, LeavesANewInstanceAlone) {
  Open();
  const std::map<std::string, std::string> none;
  const Status begun = Wait(store->NewInstance("i_2", none));
  EXPECT_EQ(Wait(store->Recreate(StatusAt(1), none, "description", "i_2")).current, begun.current);
  Call({"DEL", Key("i_1:status")}).value();  // some Server was away for long
  EXPECT_EQ(Wait(store->Recreate(StatusAt(1), none, "description", "i_2")).current, begun.current);
}

TEST_F(Recreate, WritesNothingThatWasForgotten) {
  Open();
  Call({"FLUSHALL"}).value();  // as `msfl reset`, which leaves this
  Call({"SADD", Key("forgotten"), "i_1"}).value();
  const std::map<std::string, std::string> none;
  const auto refused = Sync(loops, store->Recreate(StatusAt(2), none, "description", "i_1"), 0);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::kStopping);
  EXPECT_FALSE(Wait(store->Observe(At(2))).known);
}

TEST_F(Recreate, LeavesTheInstanceAloneThatFollowsAForgottenOne) {
  Open();
  Call({"FLUSHALL"}).value();  // as `msfl reset`, which leaves this
  Call({"SADD", Key("forgotten"), "i_1"}).value();
  const auto newcomer = MakeStore();
  const std::map<std::string, std::string> none;
  Status fresh = StatusAt(1);
  fresh.current.instance = "i_9";
  Wait(newcomer->Open(fresh, none));
  EXPECT_EQ(Wait(store->Recreate(StatusAt(2), none, "description", "i_9")).current, At(1, "i_9"));
}

}  // namespace
}  // namespace msfl::cache
