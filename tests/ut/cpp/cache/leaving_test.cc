// Nodes that an operator asks to leave.
#include "cache/job_keys.h"
#include "cache/job_scripts.h"
#include "cache/store_fixture.h"

namespace msfl::cache {
namespace {

class Leaving : public StoreFixture {
 protected:
  Leaving() {
    JobStoreOptions options = DefaultOptions();
    options.heartbeat_expiry = std::chrono::milliseconds(400);
    store = MakeStore(options);
  }
  // As the Scheduler does.
  RedisValue Run(const std::vector<std::string>& ids, const std::string& instance = "i_1") {
    const Script script("ask_to_leave", std::string(*ScriptText("ask_to_leave")));
    const JobKeys job("lenet {1}");
    const IterationKeys rows(job, At(1, instance));
    const std::vector<std::string_view> keys{job.instance, rows.status, job.nodes, job.leaving};
    std::vector<std::string_view> arguments{instance, "100000"};
    arguments.insert(arguments.end(), ids.begin(), ids.end());
    return Wait(client->Run(script, keys, arguments));
  }
  std::string Ask(const std::vector<std::string>& ids) {
    std::string asked;
    const RedisValue answer = Run(ids);
    for (const RedisValue& id : answer.array.at(7).array) asked += id.text + " ";
    return asked;
  }
  Node Heartbeat(const Node& node) { return Wait(store->Heartbeat(node, At(1))).node; }
  std::int64_t Marked() { return Call({"SCARD", Key("leaving")}).value().integer; }
};

TEST_F(Leaving, IsHeardWithTheNextHeartbeat) {
  Open();
  const Node a = Register("a"), b = Register("b");
  EXPECT_FALSE(Heartbeat(a).leaving);
  EXPECT_EQ(Ask({"a", "stranger"}), "a ");
  EXPECT_TRUE(Heartbeat(a).leaving);
  EXPECT_TRUE(Heartbeat(a).leaving);
  EXPECT_FALSE(Heartbeat(b).leaving);
  EXPECT_EQ(Ask({"b", "a"}), "b a ");  // asked again: the same answer
  EXPECT_TRUE(Heartbeat(b).leaving);
  Wait(store->Unregister(a));
  EXPECT_EQ(Marked(), 1);
  EXPECT_FALSE(Heartbeat(a).leaving);  // it comes back: nobody has asked that one
}

TEST_F(Leaving, NobodyIsAskedWhereThereIsNoRecord) {
  EXPECT_EQ(Run({"a"}).array.at(0).integer, 0);
  Open();
  Register("a");
  const RedisValue elsewhere = Run({"a"}, "i_0");
  EXPECT_EQ(elsewhere.array.at(0).integer, 1);
  EXPECT_EQ(elsewhere.array.at(1).text, "i_1");
  EXPECT_EQ(Ask({"stranger"}), "");
  EXPECT_EQ(Marked(), 0);
}

TEST_F(Leaving, TheMarkGoesWithADeadNode) {
  Open();
  const Node a = Register("a");
  Register("b");
  EXPECT_EQ(Ask({"b"}), "b ");
  ASSERT_TRUE(Eventually([&] {
    Heartbeat(a);
    return Rows().nodes.count("b") == 0;
  }));
  EXPECT_EQ(Marked(), 0);
}

TEST_F(Leaving, ANodeOfAnotherEpochKeepsItsMark) {
  Open();
  const Node before = Register("a"), after = Register("a");
  Ask({"a"});
  Wait(store->Unregister(before));
  EXPECT_TRUE(Heartbeat(after).leaving);
}

TEST_F(Leaving, TheRowExpiresLikeTheOthers) {
  Open();
  const Node a = Register("a");
  Ask({"a"});
  EXPECT_GT(Call({"PTTL", Key("leaving")}).value().integer, 0);
  Heartbeat(a);
  EXPECT_GT(Call({"PTTL", Key("leaving")}).value().integer, 100'000);
}

TEST_F(Leaving, IsPublishedOnce) {
  Open();
  Register("a");
  Register("b");
  Wait(store->Advance(At(1), true, "done", ""));
  EventLog events(*store);
  Ask({"a", "b"});
  Ask({"a", "b"});
  Ask({"stranger"});
  Wait(store->SetState(At(2), InstanceState::kStop));
  using enum JobEvent::Kind;
  const std::vector<std::string> expected{EventLog::Line(kLeave, 2), EventLog::Line(kState, 2)};
  EXPECT_EQ(events.Await(expected.size()), expected);
  client->Stop();
}

}  // namespace
}  // namespace msfl::cache
