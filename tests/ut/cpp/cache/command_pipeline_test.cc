#include "cache/command_pipeline.h"

#include <gtest/gtest.h>

#include <map>
#include <optional>

namespace msfl::cache {
namespace {

using std::chrono::milliseconds;

struct Outcomes {
  std::map<int, Result<RedisValue>> done;
  int abandoned = 0;
};

class TestCommand final : public PendingCommand {
 public:
  TestCommand(Outcomes& outcomes, int id) : outcomes_(outcomes), id_(id) {}
  void Complete(Result<RedisValue> result) override {
    outcomes_.done.emplace(id_, std::move(result));
    delete this;
  }
  void Abandon() override {
    ++outcomes_.abandoned;
    delete this;
  }

 private:
  Outcomes& outcomes_;
  int id_;
};

class Pipeline : public testing::Test {
 protected:
  void Push(int id, const Script* called = nullptr) {
    auto* command = new TestCommand(outcomes, id);
    command->script = called;
    if (called == nullptr) command->arguments = words;
    if (called != nullptr) command->keys = words;
    command->deadline = SteadyClock::time_point(milliseconds(id));
    pipeline.Push(command);
  }
  std::string Written() {
    std::string text(pipeline.output().data(), pipeline.output().size());
    pipeline.output().Clear();
    return text;
  }
  bool Receive(const std::string& text) { return pipeline.Receive(text.data(), text.size()); }
  std::string Hash(const Script& called) {
    return "*4\r\n$7\r\nEVALSHA\r\n$40\r\n" + called.sha1() + "\r\n$1\r\n1\r\n$2\r\nab\r\n";
  }
  std::string Load(const Script& called) {
    return "*3\r\n$6\r\nSCRIPT\r\n$4\r\nLOAD\r\n$8\r\n" + called.source() + "\r\n";
  }

  Outcomes outcomes;
  const std::vector<std::string_view> words{"ab"};
  const Script script{"one", "return 1"}, other{"two", "return 2"};
  const std::string no_script = "-NOSCRIPT No matching script.\r\n";
  const std::string plain = "*1\r\n$2\r\nab\r\n";
  CommandPipeline pipeline;
};

TEST_F(Pipeline, RepliesInOrderAndInPieces) {
  pipeline.Connected();
  for (int id = 0; id < 4; ++id) Push(id);
  EXPECT_EQ(Written(), plain + plain + plain + plain);
  const std::string replies = "+OK\r\n:-7\r\n$-1\r\n*3\r\n$2\r\na\n\r\n:1\r\n*1\r\n$-1\r\n";
  for (const char c : replies) ASSERT_TRUE(Receive(std::string(1, c)));
  ASSERT_EQ(outcomes.done.size(), 4U);
  EXPECT_EQ(outcomes.done.at(0)->text, "OK");
  EXPECT_EQ(outcomes.done.at(1)->integer, -7);
  EXPECT_EQ(outcomes.done.at(2)->kind, RedisValue::Kind::kNil);
  const RedisValue& array = *outcomes.done.at(3);
  ASSERT_EQ(array.array.size(), 3U);
  EXPECT_EQ(array.array[0].text, "a\n");
  EXPECT_EQ(array.array[1].integer, 1);
  EXPECT_EQ(array.array[2].array.at(0).kind, RedisValue::Kind::kNil);
}

TEST_F(Pipeline, ErrorsAreRefusalsOrAbsence) {
  const std::pair<const char*, Errc> cases[] = {
      {"WRONGTYPE Operation", Errc::kCacheRefused},
      {"OOM command not allowed", Errc::kCacheRefused},
      {"LOADING Redis is loading", Errc::kCacheUnavailable},
      {"READONLY You can't write", Errc::kCacheUnavailable},
      {"MASTERDOWN Link", Errc::kCacheUnavailable},
      {"NOREPLICAS Not enough good replicas to write.", Errc::kCacheUnavailable},
      {"CLUSTERDOWN Hash slot", Errc::kCacheUnavailable},
      {"TRYAGAIN Multiple keys", Errc::kCacheUnavailable},
      {"BUSY Redis is busy", Errc::kCacheUnavailable},
      {"ERR Error running script (call to f_x): @user_script:1: -READONLY You can't",
       Errc::kCacheUnavailable},
      {"ERR value of -READONLY is odd", Errc::kCacheRefused},
  };
  pipeline.Connected();
  int id = 0;
  for (const auto& [text, code] : cases) {
    Push(id);
    ASSERT_TRUE(Receive("-" + std::string(text) + "\r\n"));
    ASSERT_FALSE(outcomes.done.at(id));
    EXPECT_EQ(outcomes.done.at(id).error().code, code) << text;
    EXPECT_EQ(outcomes.done.at(id).error().text, text);
    ++id;
  }
}

TEST_F(Pipeline, UnknownScriptIsLoadedOnceForAll) {
  pipeline.Connected();
  Push(0, &script);
  Push(1, &script);
  Push(2, &other);
  EXPECT_EQ(Written(), Hash(script) + Hash(script) + Hash(other));
  ASSERT_TRUE(Receive(no_script + no_script + no_script));
  EXPECT_EQ(Written(), Load(script) + Hash(script) + Hash(script) + Load(other) + Hash(other));
  ASSERT_TRUE(Receive("$1\r\nx\r\n:1\r\n:1\r\n$1\r\nx\r\n:2\r\n"));
  EXPECT_EQ(outcomes.done.at(0)->integer, 1);
  EXPECT_EQ(outcomes.done.at(1)->integer, 1);
  EXPECT_EQ(outcomes.done.at(2)->integer, 2);
  EXPECT_EQ(pipeline.size(), 0U);
}

TEST_F(Pipeline, ScriptThatCantBeLoadedAnswersItsReason) {
  pipeline.Connected();
  Push(0, &script);
  ASSERT_TRUE(Receive(no_script));
  ASSERT_TRUE(Receive("-ERR Error compiling script\r\n" + no_script));
  Written();
  ASSERT_TRUE(Receive("-ERR Error compiling script\r\n"));
  EXPECT_EQ(outcomes.done.at(0).error().text, "ERR Error compiling script");
}

TEST_F(Pipeline, BrokenConnectionSendsAgainInOrder) {
  Push(0);
  EXPECT_EQ(Written(), "");
  pipeline.Connected();
  Push(1, &script);
  Push(2);
  EXPECT_EQ(Written(), plain + Hash(script) + plain);
  ASSERT_TRUE(Receive("+OK\r\n" + no_script));  // a load is on its way
  pipeline.Disconnected();
  EXPECT_EQ(Written(), "");
  EXPECT_EQ(pipeline.size(), 3U);
  pipeline.Connected();
  EXPECT_EQ(Written(), plain + Hash(script));
  ASSERT_TRUE(Receive(":2\r\n:1\r\n"));
  EXPECT_EQ(outcomes.done.at(2)->integer, 2);
  EXPECT_EQ(outcomes.done.at(1)->integer, 1);
}

TEST_F(Pipeline, HalfAReplyIsForgottenWithItsConnection) {
  pipeline.Connected();
  Push(0);
  ASSERT_TRUE(Receive("$10\r\nabc"));
  pipeline.Disconnected();
  pipeline.Connected();
  ASSERT_TRUE(Receive(":5\r\n"));
  EXPECT_EQ(outcomes.done.at(0)->integer, 5);
}

TEST_F(Pipeline, LateOnesCompleteTheOthersStay) {
  pipeline.Connected();
  for (int id = 10; id < 13; ++id) Push(id);
  EXPECT_FALSE(pipeline.Late(SteadyClock::time_point(milliseconds(9))));
  const auto now = SteadyClock::time_point(milliseconds(11));
  EXPECT_TRUE(pipeline.Late(now));
  pipeline.Disconnected();
  pipeline.CompleteLate(now, Error{Errc::kCacheUnavailable, "late"});
  EXPECT_EQ(outcomes.done.size(), 2U);
  EXPECT_EQ(outcomes.done.at(11).error().text, "late");
  EXPECT_EQ(pipeline.size(), 1U);
  pipeline.CompleteAll(Error{Errc::kCacheUnavailable, "over"});
  EXPECT_EQ(outcomes.done.at(12).error().text, "over");
}

TEST_F(Pipeline, WhatIsNoReplyBreaksIt) {
  pipeline.Connected();
  Push(0);
  EXPECT_FALSE(Receive("HTTP/1.1 400 Bad Request\r\n"));
  EXPECT_NE(pipeline.fault(), "");
  pipeline.Disconnected();
  pipeline.Connected();
  EXPECT_FALSE(Receive("*4000001\r\n"));
  pipeline.Disconnected();
  pipeline.Connected();
  EXPECT_FALSE(Receive("*99999999999999999999\r\n"));
  pipeline.Disconnected();
  pipeline.Connected();
  EXPECT_FALSE(Receive(":1\r\n:2\r\n"));  // one too many
  EXPECT_EQ(outcomes.done.at(0)->integer, 1);
}

TEST_F(Pipeline, WhatIsLeftIsAbandoned) {
  {
    CommandPipeline short_lived;
    auto* command = new TestCommand(outcomes, 0);
    short_lived.Push(command);
  }
  EXPECT_EQ(outcomes.abandoned, 1);
  EXPECT_TRUE(outcomes.done.empty());
}

}  // namespace
}  // namespace msfl::cache
