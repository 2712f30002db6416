#include "cache/store_fixture.h"

namespace msfl::cache {
namespace {

class Faults : public StoreFixture {};

TEST_F(Faults, RedisRestartedEmptyInMidIteration) {
  Open();
  const Node node = Register("a");
  Wait(store->AgreeOnModel("description"));
  Join("d1");
  redis.Kill();
  redis.Start();
  ASSERT_TRUE(Eventually([&] { return client->available(); }));
  // Nothing is taken before the record is there again, and the commit of a lost lease counts nowhere.
  EXPECT_EQ(Join("d2").verdict, JoinVerdict::kMoved);
  EXPECT_EQ(Reserve(node, "d1").verdict, ReserveVerdict::kMoved);
  EXPECT_EQ(Commit(node, "d1").verdict, CommitVerdict::kMoved);
  EXPECT_FALSE(Observe().known);
  std::map<std::string, std::string> hyper;
  hyper["a"] = "1";
  const Status status = Wait(store->Recreate(StatusAt(1), hyper, "description", ""));
  EXPECT_EQ(status.current, At(2));
  const Node back = Wait(store->Heartbeat(node, At(2))).node;
  EXPECT_EQ(Rows(2).nodes.count("a"), 1U);
  EXPECT_EQ(Join("d1", "", true, 2).verdict, JoinVerdict::kAccepted);
  EXPECT_EQ(Reserve(back, "d1", "", true, 2, 2).verdict, ReserveVerdict::kReserved);
  EXPECT_EQ(Commit(back, "d1", "", 2).verdict, CommitVerdict::kCounted);
}

TEST_F(Faults, RowOfAnotherTypeIsARefusal) {
  Open();
  Call({"SET", Key("i_1:1:round"), "no hash"}).value();
  JoinRequest request;
  request.iteration = At(1);
  request.fl_id = "d1";
  request.nonce = "n";
  const auto answer = Sync(loops, store->Join(request));
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, Errc::kCacheRefused);
  EXPECT_NE(answer.error().text.find("WRONGTYPE"), std::string::npos) << answer.error().text;
}

TEST_F(Faults, EveryCallFailsWithoutRedis) {
  client->Stop();
  const std::map<std::string, std::string> none;
  Node node;
  node.id = "a";
  JoinRequest join;
  ReserveRequest reserve;
  const auto unavailable = [](const auto& result) {
    return !result && result.error().code == Errc::kCacheUnavailable;
  };
  EXPECT_TRUE(unavailable(Sync(loops, store->Open(StatusAt(1), none))));
  EXPECT_TRUE(unavailable(Sync(loops, store->AgreeOnModel("x"))));
  EXPECT_TRUE(unavailable(Sync(loops, store->Register("a", "b", "", At(1), ""))));
  EXPECT_TRUE(unavailable(Sync(loops, store->Unregister(node))));
  EXPECT_TRUE(unavailable(Sync(loops, store->Heartbeat(node, At(1)))));
  EXPECT_TRUE(unavailable(Sync(loops, store->Join(join))));
  EXPECT_TRUE(unavailable(Sync(loops, store->Reserve(reserve, node))));
  EXPECT_TRUE(unavailable(Sync(loops, store->Commit(At(1), "d", "n", node, "x"))));
  EXPECT_TRUE(unavailable(Sync(loops, store->Advance(At(1), true, "", ""))));
  EXPECT_TRUE(unavailable(Sync(loops, store->Expire(At(1)))));
  EXPECT_TRUE(unavailable(Sync(loops, store->Observe(At(1)))));
  EXPECT_TRUE(unavailable(Sync(loops, store->Recreate(StatusAt(1), none, "x", ""))));
  EXPECT_TRUE(unavailable(Sync(loops, store->SetState(At(1), InstanceState::kStop))));
  EXPECT_TRUE(unavailable(Sync(loops, store->NewInstance("i_2", none))));
  EXPECT_TRUE(unavailable(Sync(loops, store->ReplaceDigest(At(1), "a", "b"))));
  EXPECT_TRUE(unavailable(Sync(loops, store->ListServers())));
  EXPECT_TRUE(unavailable(Sync(loops, store->Summarise(At(1), "a", "text"))));
  EXPECT_TRUE(unavailable(Sync(loops, store->MarkRecorded(At(1)))));
  EXPECT_TRUE(unavailable(Sync(loops, store->Read(At(1)))));
}

}  // namespace
}  // namespace msfl::cache
