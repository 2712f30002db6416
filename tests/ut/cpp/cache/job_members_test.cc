#include "cache/store_fixture.h"

namespace msfl::cache {
namespace {

class Members : public StoreFixture {
 protected:
  Members() {
    JobStoreOptions options = DefaultOptions();
    options.heartbeat_expiry = std::chrono::milliseconds(400);
    store = MakeStore(options);
    Open();
    for (const char* fl_id : {"d1", "d2", "d3"}) Join(fl_id);
  }
  Node Heartbeat(const Node& node, std::uint64_t number = 1) {
    return Wait(store->Heartbeat(node, At(number))).node;
  }
  void Bury(const std::string& id) { Call({"DEL", Key("alive:" + id)}).value(); }
  // `survivor` keeps its heart beating until the condition holds.
  bool BeatUntil(const Node& survivor, const std::function<bool()>& condition) {
    return Eventually([&] {
      Heartbeat(survivor);
      return condition();
    });
  }
};

TEST_F(Members, RegisterHandsOutEpochs) {
  const Node a = Register("a"), b = Register("b"), again = Register("a");
  EXPECT_LT(a.epoch, b.epoch);
  EXPECT_LT(b.epoch, again.epoch);
  EXPECT_EQ(Rows().nodes.at("a"), "SERVER 127.0.0.1:7001 - " + std::to_string(again.epoch));
  EXPECT_EQ(Call({"EXISTS", Key("alive:a")}).value().integer, 1);
  Wait(store->Unregister(b));
  EXPECT_EQ(Rows().nodes.count("b"), 0U);
  EXPECT_EQ(Call({"EXISTS", Key("alive:b")}).value().integer, 0);
  Wait(store->Unregister(a));  // of an older epoch: not the one that is there
  EXPECT_EQ(Rows().nodes.count("a"), 1U);
}

// A newcomer has the settings of those that live, or brings its own when nobody does.
TEST_F(Members, SettingsAreThoseOfTheLiving) {
  JobStoreOptions options = DefaultOptions();
  options.settings = "server_mode=A\n";
  const auto first = MakeStore(options), equal = MakeStore(options);
  options.settings = "server_mode=B\n";
  const auto other = MakeStore(options);
  const auto enter = [this](JobStore& one, const char* id, bool silent_are_gone = false) {
    return Wait(one.Register(id, "127.0.0.1:7001", "", At(1), "", silent_are_gone));
  };
  const Node a = enter(*first, "a").node;
  EXPECT_EQ(enter(*other, "b").other_settings, "server_mode=A\n");
  EXPECT_EQ(Rows().nodes.size(), 1U) << "it was not entered";
  EXPECT_EQ(enter(*equal, "c").other_settings, std::nullopt);
  EXPECT_EQ(enter(*equal, "c").other_settings, std::nullopt) << "again, since its answer was lost";
  Bury("a");
  EXPECT_EQ(enter(*other, "b", true).other_settings, "server_mode=A\n") << "of c";
  Bury("c");
  EXPECT_EQ(enter(*other, "b").other_settings, "server_mode=A\n") << "they may be cut off";
  const Node b = enter(*other, "b", true).node;
  EXPECT_NE(b.id, "") << "the others are dead, though still listed";
  EXPECT_EQ(enter(*equal, "d", true).other_settings, "server_mode=B\n");
  EXPECT_EQ(Wait(other->Heartbeat(b, At(1))).other_settings, std::nullopt);
  EXPECT_EQ(Wait(first->Heartbeat(a, At(1, "i_0"))).other_settings, std::nullopt) << "of an earlier instance";
  Wait(first->Unregister(a));
  EXPECT_EQ(Wait(first->Heartbeat(a, At(1))).other_settings, "server_mode=B\n") << "it was away";
  EXPECT_EQ(Rows().nodes.count("a"), 0U) << "it was not entered again";
  EXPECT_EQ(Wait(other->Heartbeat(b, At(1))).other_settings, std::nullopt);
}

// Nobody gives way to settings that no Server has any more.
TEST_F(Members, SettingsOfNobodyAreReplaced) {
  JobStoreOptions options = DefaultOptions();
  options.settings = "server_mode=A\n";
  const auto one = MakeStore(options), two = MakeStore(options);
  const Node a = Wait(one->Register("a", "127.0.0.1:7001", "", At(1), "")).node;
  const Node b = Wait(two->Register("b", "127.0.0.1:7002", "", At(1), "")).node;
  // Redis came back with older data; the one that is listed there may come back as well.
  Call({"SET", Key("settings"), "server_mode=B\n"}).value();
  Call({"HSET", Key("nodes"), "old", "SERVER 127.0.0.1:7003 - 1"}).value();
  const auto settings = [this] { return Call({"GET", Key("settings")}).value().text; };
  EXPECT_EQ(Wait(one->Heartbeat(a, At(1))).other_settings, std::nullopt);
  EXPECT_EQ(Wait(two->Heartbeat(b, At(1))).other_settings, std::nullopt);
  EXPECT_EQ(settings(), "server_mode=B\n");
  EXPECT_TRUE(Eventually([&] {
    Wait(one->Heartbeat(a, At(1)));
    return settings() == "server_mode=A\n";
  }));
  EXPECT_EQ(Wait(two->Heartbeat(b, At(1))).other_settings, std::nullopt);
}

TEST_F(Members, SettingsComeBackWithTheHeartbeats) {
  JobStoreOptions options = DefaultOptions();
  options.settings = "server_mode=A\n";
  const auto first = MakeStore(options);
  const Node a = Wait(first->Register("a", "127.0.0.1:7001", "", At(1), "")).node;
  Call({"FLUSHALL"}).value();
  Wait(first->Heartbeat(a, At(1)));
  EXPECT_EQ(Wait(store->Register("b", "127.0.0.1:7001", "", At(1), "")).other_settings, "server_mode=A\n");
}

TEST_F(Members, RowsTellTheHttpAddress) {
  const Node a = Register("a", "http://127.0.0.1:6666/fl/");
  const std::string row = "SERVER 127.0.0.1:7001 http://127.0.0.1:6666/fl/ ";
  EXPECT_EQ(Rows().nodes.at("a"), row + std::to_string(a.epoch));
  Wait(store->Unregister(a));
  const Node back = Heartbeat(a);
  EXPECT_EQ(Rows().nodes.at("a"), row + std::to_string(back.epoch));
  Call({"HSET", Key("nodes"), "b", "SERVER 127.0.0.1:7002 77"}).value();  // as it was written before
  Call({"HSET", Key("nodes"), "c", "nonsense"}).value();
  Register("d");
  std::map<std::string, Node> listed;
  for (const auto& server : Wait(store->ListServers())) listed[server.node.id] = server.node;
  EXPECT_EQ(listed.size(), 3U);
  EXPECT_EQ(listed.at("a").http_address, "http://127.0.0.1:6666/fl/");
  EXPECT_EQ(listed.at("b").tcp_address, "127.0.0.1:7002");
  EXPECT_EQ(listed.at("b").http_address, "");
  EXPECT_EQ(listed.at("b").epoch, 77U);
  EXPECT_EQ(listed.at("d").http_address, "");
}

TEST_F(Members, ListTellsWhoseHeartHasStopped) {
  EXPECT_TRUE(Wait(store->ListServers()).empty());
  Register("a");
  Register("b");
  const auto fresh = MakeStore();  // knows nobody yet
  Call({"PEXPIRE", Key("alive:a"), "100000"}).value();
  Bury("b");
  for (JobStore* const one : {store.get(), fresh.get(), store.get()}) {
    std::map<std::string, std::int64_t> left;
    for (const auto& server : Wait(one->ListServers())) left[server.node.id] = server.heartbeat_left_ms;
    EXPECT_EQ(left.size(), 2U);
    EXPECT_GT(left.at("a"), 50'000);
    EXPECT_EQ(left.at("b"), 0);
  }
  Call({"HDEL", Key("nodes"), "b"}).value();  // somebody has removed it
  EXPECT_EQ(Wait(fresh->ListServers()).size(), 1U);
}

TEST_F(Members, DeadNodeIsRemovedAndItsLeasesComeBack) {
  const Node a = Register("a"), b = Register("b");
  EXPECT_EQ(Reserve(a, "d1").verdict, ReserveVerdict::kReserved);
  EXPECT_TRUE(Reserve(b, "d2").full);
  EXPECT_EQ(Reserve(b, "d3").verdict, ReserveVerdict::kThresholdReached);
  EXPECT_EQ(Commit(b, "d2").counted, 1U);
  ASSERT_TRUE(BeatUntil(b, [&] { return Rows().nodes.count("a") == 0; }));
  const Snapshot seen = Observe();
  EXPECT_EQ(seen.leased, 0U);
  EXPECT_EQ(seen.counted, 1U);
  EXPECT_FALSE(seen.contributor_lost);  // what a had was never counted
  EXPECT_EQ(Rows().round.count("update_by"), 1U);
  EXPECT_EQ(Commit(a, "d1").verdict, CommitVerdict::kFenced);
  EXPECT_EQ(Reserve(b, "d1", "again").verdict, ReserveVerdict::kReserved);
  EXPECT_TRUE(Commit(b, "d1", "again").last);
}

TEST_F(Members, LostContributorIsSeen) {
  const Node a = Register("a"), b = Register("b");
  Reserve(a, "d1");
  Commit(a, "d1");
  EXPECT_FALSE(Observe().contributor_lost);
  ASSERT_TRUE(BeatUntil(b, [&] { return Observe().contributor_lost; }));
  EXPECT_EQ(Observe().counted, 1U);
  // It was only stalled: it comes back with what it has summed, under a new epoch.
  const Node back = Heartbeat(a);
  EXPECT_GT(back.epoch, a.epoch);
  EXPECT_FALSE(Observe().contributor_lost);
  Wait(store->Unregister(back));
  EXPECT_TRUE(Observe().contributor_lost);
}

TEST_F(Members, ReturnedNodeIsFencedFromItsOldLeases) {
  Node a = Register("a");
  const Node b = Register("b");
  Reserve(a, "d1");
  ASSERT_TRUE(BeatUntil(b, [&] { return Rows().nodes.count("a") == 0; }));
  const Node back = Heartbeat(a);
  EXPECT_EQ(Heartbeat(a).epoch, back.epoch);  // sent twice
  EXPECT_EQ(Heartbeat(back).epoch, back.epoch);
  EXPECT_EQ(Commit(a, "d1").verdict, CommitVerdict::kFenced);
  EXPECT_EQ(Commit(back, "d1").verdict, CommitVerdict::kFenced);
}

// An id is of one process: one that has entered again still has what it reserved before.
TEST_F(Members, LeasesOfAnOlderEpochStayWithTheirServer) {
  const Node a = Register("a"), b = Register("b");
  Reserve(a, "d1");
  const Node again = Register("a");
  Heartbeat(again);
  Heartbeat(b);
  EXPECT_EQ(Observe().leased, 1U);
  EXPECT_EQ(Commit(a, "d1").verdict, CommitVerdict::kCounted);
  Reserve(a, "d2");
  Wait(store->Unregister(again));
  Heartbeat(b);
  EXPECT_EQ(Observe().leased, 0U);
}

TEST_F(Members, UnregisterGivesLeasesBackWhereverTheJobIs) {
  const Node a = Register("a");
  Wait(store->Advance(At(1), true, "done", ""));
  for (const char* fl_id : {"d1", "d2", "d3"}) Join(fl_id, "", true, 2);
  Reserve(a, "d1", "", true, 2, 2);
  EXPECT_EQ(Observe(2).leased, 1U);
  Observe(1);
  const auto fresh = MakeStore();  // has never seen any iteration
  Wait(fresh->Unregister(a));
  EXPECT_EQ(Observe(2).leased, 0U);
  Wait(fresh->Unregister(a));
  Call({"FLUSHALL"}).value();
  Wait(fresh->Unregister(a));
}

TEST_F(Members, AfterAnOutageNobodyIsBuriedByTheFirstOneBack) {
  const Node a = Register("a"), b = Register("b");
  Reserve(a, "d1");
  Commit(a, "d1");
  Bury("a");
  Bury("b");
  Heartbeat(b);
  EXPECT_EQ(Rows().nodes.count("a"), 1U);
  EXPECT_FALSE(Observe().contributor_lost);
  EXPECT_EQ(Heartbeat(a).epoch, a.epoch);
  EXPECT_EQ(Rows().nodes.size(), 2U);
}

TEST_F(Members, WorkersAreRemovedToo) {
  const Node a = Register("a");
  Call({"HSET", Key("nodes"), "w", "WORKER w 77"}).value();
  ASSERT_TRUE(BeatUntil(a, [&] { return Rows().nodes.count("w") == 0; }));
  EXPECT_EQ(Rows().nodes.count("a"), 1U);
}

TEST_F(Members, HeartbeatRenewsTheRows) {
  const Node a = Register("a");
  Wait(store->AgreeOnModel("description"));
  const char* rows[] = {"instance", "i_1:status", "i_1:hyper", "model", "epoch", "nodes"};
  for (const char* row : rows) Call({"PEXPIRE", Key(row), "100000"}).value();
  Heartbeat(a);
  for (const char* row : rows) EXPECT_GT(Call({"PTTL", Key(row)}).value().integer, 100'000) << row;
}

}  // namespace
}  // namespace msfl::cache
