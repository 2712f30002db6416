// Redis moves: sentinels name another master, the nodes of a Cluster send the job on.
#include <atomic>

#include "cache/scripted_redis.h"
#include "cache/store_fixture.h"
#include "cache/whereabouts.h"

namespace msfl::cache {
namespace {

using std::chrono::milliseconds;
using Words = ScriptedRedis::Words;

const std::string kMaster = "*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n";
const std::string kReplica = "*5\r\n$5\r\nslave\r\n$1\r\nh\r\n:1\r\n$9\r\nconnected\r\n:0\r\n";

std::string Place(const ScriptedRedis& redis) {
  return "*2\r\n" + ScriptedRedis::Text("127.0.0.1") + ScriptedRedis::Text(redis.port());
}

// A master that answers `value` to everything but scripts it does not know.
ScriptedRedis::Answer Holding(const std::string& value) {
  return [value, loaded = false](const Words& words) mutable -> std::string {
    if (words[0] == "ROLE") return kMaster;
    if (words[0] == "CLUSTER") return ScriptedRedis::Text("cluster_state:ok");
    if (words[0] == "SCRIPT") loaded = true;
    if (words[0] == "EVALSHA" && !loaded) return "-NOSCRIPT No matching script\r\n";
    if (words[0] == "SUBSCRIBE") return "*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n";
    if (words[0] == "ASKING") return "+OK\r\n";
    return ScriptedRedis::Text(value);
  };
}

ScriptedRedis::Answer Saying(const std::string& answer) {
  return [answer](const Words& words) -> std::string {
    if (words[0] == "ROLE") return kMaster;
    if (words[0] == "CLUSTER") return ScriptedRedis::Text("cluster_state:ok");
    return answer;
  };
}

class FailOver : public testing::Test {
 protected:
  FailOver() { loops.Start(); }
  std::unique_ptr<RedisClient> Connected(const std::string& address) {
    auto client = std::make_unique<RedisClient>(loops, OptionsFor(address));
    const auto outcome = client->Connect(std::chrono::seconds(30));
    EXPECT_TRUE(outcome) << outcome.error().text;
    return client;
  }
  Error FaultOf(const std::string& address, milliseconds patience = milliseconds(60'000)) {
    RedisClient client(loops, OptionsFor(address));
    const auto outcome = client.Connect(patience);
    EXPECT_FALSE(outcome);
    return outcome ? Error() : outcome.error();
  }
  Result<RedisValue> Get(RedisClient& client) { return Sync(loops, client.Command({"GET", "k"})); }
  Result<RedisValue> Run(RedisClient& client) {
    const std::array<std::string_view, 1> keys{"k"};
    const std::span<const std::string_view> none;
    return Sync(loops, client.Run(script, keys, none));
  }

  net::EventLoops loops{1};
  const Script script{"one", "return 1"};
};

TEST_F(FailOver, TheMasterIsAskedForAndFollowed) {
  ScriptedRedis first(Holding("first")), second(Holding("second"));
  ScriptedRedis dumb(Saying("")), sentinel(Saying(Place(first)));
  const auto client = Connected("sentinel://" + dumb.address() + "," + sentinel.address() + "/?master=m");
  EXPECT_EQ(Run(*client)->text, "first");
  EXPECT_EQ(sentinel.heard(), std::vector<std::string>(loops.size(), "SENTINEL GET-MASTER-ADDR-BY-NAME m"));
  // It was made a replica. What it refuses is done at the new master, which has to learn the script.
  sentinel.Become(Saying(Place(second)));
  first.Become(Saying("-READONLY You can't write against a read only replica.\r\n"));
  EXPECT_EQ(Run(*client)->text, "second");
  client->Stop();
}

TEST_F(FailOver, WhatIsNoMasterIsNotUsed) {
  ScriptedRedis first(Holding("first")), second(Holding("second"));
  std::atomic<int> asked{0};
  first.Become([](const Words& words) { return words[0] == "ROLE" ? kReplica : std::string(); });
  ScriptedRedis sentinel([&](const Words&) { return Place(++asked < 3 ? first : second); });
  const auto client = Connected("sentinel://" + sentinel.address() + "/?master=m");
  EXPECT_EQ(Get(*client)->text, "second");
  EXPECT_GE(asked, 3);
  client->Stop();
}

TEST_F(FailOver, ASubscriptionGoesWithTheMaster) {
  ScriptedRedis first(Holding("first")), second(Holding("second"));
  ScriptedRedis sentinel(Saying(Place(first)));
  const auto client = Connected("sentinel://" + sentinel.address() + "/?master=m");
  std::atomic<int> gaps{0};
  client->Subscribe(
      "c", [](std::string_view) {}, [&] { ++gaps; });
  EXPECT_TRUE(Eventually([&] { return gaps == 1; }));
  sentinel.Become(Saying(Place(second)));
  first.Become(Saying(""));  // closes at the next command
  EXPECT_EQ(Get(*client)->text, "second");
  client->Stop();
}

TEST_F(FailOver, AMasterThatNobodyKnowsIsAnErrorAtOnce) {
  ScriptedRedis sentinel(Saying("*-1\r\n"));
  const Error unknown = FaultOf("sentinel://" + sentinel.address() + "/?master=none");
  EXPECT_EQ(unknown.code, Errc::kCacheRefused);
  EXPECT_NE(unknown.text.find("it knows no master 'none'"), std::string::npos) << unknown.text;
  EXPECT_NE(unknown.text.find("the sentinel at " + sentinel.address()), std::string::npos) << unknown.text;
  ScriptedRedis redis(Saying("-ERR unknown command 'SENTINEL'\r\n"));
  EXPECT_EQ(FaultOf("sentinel://" + redis.address() + "/?master=none").code, Errc::kCacheRefused);
}

TEST_F(FailOver, MovedIsFollowedOnceForAll) {
  ScriptedRedis second(Holding("second"));
  ScriptedRedis first(Saying("-MOVED 1 127.0.0.1:" + second.port() + "\r\n"));
  const auto client = Connected(first.address());
  EXPECT_EQ(Get(*client)->text, "second");
  EXPECT_EQ(Run(*client)->text, "second");
  EXPECT_EQ(first.heard(), std::vector<std::string>{"GET k"});
  client->Stop();
}

TEST_F(FailOver, NodesThatSendInCirclesAreNotAskedForEver) {
  ScriptedRedis first(Saying("")), second(Saying(""));
  first.Become(Saying("-MOVED 1 127.0.0.1:" + second.port() + "\r\n"));
  second.Become(Saying("-MOVED 1 127.0.0.1:" + first.port() + "\r\n"));
  RedisOptions options = OptionsFor(first.address());
  options.command_timeout = milliseconds(500);
  options.reconnect_pause = milliseconds(200);
  RedisClient client(loops, options);
  ASSERT_TRUE(client.Connect(milliseconds(1000)));
  const auto answer = Get(client);
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, Errc::kCacheUnavailable);
  EXPECT_LE(first.heard().size() + second.heard().size(), 4 * (Whereabouts::kMostHops + 1U));
  client.Stop();
}

TEST_F(FailOver, AskIsAskedOnceAtTheOtherNode) {
  ScriptedRedis second(Holding("second"));
  const std::string ask = "-ASK 1 127.0.0.1:" + second.port() + "\r\n";
  ScriptedRedis first(Saying(ask));
  const auto client = Connected(first.address());
  EXPECT_EQ(Get(*client)->text, "second");
  EXPECT_EQ(second.heard(), (std::vector<std::string>{"ASKING", "GET k"}));
  EXPECT_EQ(Run(*client)->text, "second");  // unknown there at first
  EXPECT_EQ(second.heard().size(), 7U);     // ASKING EVALSHA, SCRIPT LOAD, ASKING EVALSHA
  EXPECT_EQ(first.heard().size(), 2U);
  second.Become(Saying("-ASK 1 127.0.0.1:" + second.port() + "\r\n"));
  const auto circle = Get(*client);
  ASSERT_FALSE(circle);
  EXPECT_EQ(circle.error().code, Errc::kCacheUnavailable);
  first.Become(Holding("first"));
  EXPECT_EQ(Get(*client)->text, "first");
  client->Stop();
}

TEST_F(FailOver, ANodeThatIsGoneIsLookedForAtTheOthers) {
  ScriptedRedis third(Holding("third"));
  std::atomic<bool> taken_over{false};
  ScriptedRedis first([&](const Words& words) {
    if (words[0] == "CLUSTER") return ScriptedRedis::Text("cluster_state:ok");
    const std::string gone = "1";  // nobody listens there
    return "-MOVED 1 127.0.0.1:" + (taken_over.exchange(true) ? third.port() : gone) + "\r\n";
  });
  const auto client = Connected(first.address() + "," + third.address());
  const auto answer = Get(*client);
  ASSERT_TRUE(answer) << answer.error().text;
  EXPECT_EQ(answer->text, "third");
  client->Stop();
}

TEST_F(FailOver, SeveralAddressesAreThoseOfOneCluster) {
  ScriptedRedis one(Saying("")), other(Saying(""));
  for (ScriptedRedis* redis : {&one, &other}) {
    redis->Become(
        [](const Words&) { return std::string("-ERR This instance has cluster support disabled\r\n"); });
  }
  const Error refused = FaultOf(one.address() + "," + other.address());
  EXPECT_EQ(refused.code, Errc::kCacheRefused);
  EXPECT_NE(refused.text.find("nodes of a Redis Cluster, which it is not"), std::string::npos)
      << refused.text;
}

}  // namespace
}  // namespace msfl::cache
