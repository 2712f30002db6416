// Answers that say "not here", without a socket.
#include <gtest/gtest.h>

#include <optional>

#include "cache/command_pipeline.h"

namespace msfl::cache {
namespace {

// Tells what became of it, and ends.
class Told final : public PendingCommand {
 public:
  Told(std::string& told, std::string_view word) : told_(told), word_(1, word) { arguments = word_; }
  void Complete(Result<RedisValue> result) override {
    told_ += std::string(word_[0]) + "=" + (result ? result->text : "!" + result.error().text) + " ";
    delete this;
  }
  void Abandon() override { delete this; }

 private:
  std::string& told_;
  const std::vector<std::string_view> word_;
};

class Followed : public testing::Test {
 protected:
  CommandPipeline Make(bool moved, bool readonly, bool asking) {
    Following following;
    following.moved = moved;
    following.readonly = readonly;
    following.asking = asking;
    following.ask = [this](const RedisPlace& place, PendingCommand* command) {
      told += "ask:" + place.host + ":" + std::to_string(place.port) + " ";
      command->Abandon();
    };
    return CommandPipeline(std::move(following));
  }
  static std::string Word(std::string_view word) {
    return "*1\r\n$" + std::to_string(word.size()) + "\r\n" + std::string(word) + "\r\n";
  }
  static std::string Written(CommandPipeline& pipeline) {
    std::string text(pipeline.output().data(), pipeline.output().size());
    pipeline.output().Clear();
    return text;
  }
  static bool Receive(CommandPipeline& pipeline, std::string_view text) {
    return pipeline.Receive(text.data(), text.size());
  }

  std::string told;
};

TEST_F(Followed, WhatWasMovedGoesFirstToTheNextConnection) {
  CommandPipeline pipeline = Make(true, false, false);
  pipeline.Connected();
  for (const char* word : {"A", "B", "C"}) pipeline.Push(new Told(told, word));
  Written(pipeline);
  EXPECT_FALSE(Receive(pipeline, "+a\r\n-MOVED 7 h:5\r\n-MOVED 7 h:5\r\n"));
  EXPECT_EQ(told, "A=a ");
  EXPECT_EQ(pipeline.TakeRedirection(), RedisPlace("h", 5));
  EXPECT_FALSE(pipeline.TakeRedirection());
  pipeline.Disconnected();
  pipeline.Connected();
  EXPECT_EQ(Written(pipeline), Word("B") + Word("C"));
  EXPECT_TRUE(Receive(pipeline, "+b\r\n+c\r\n"));
  EXPECT_EQ(told, "A=a B=b C=c ");
}

TEST_F(Followed, AskConcernsOneCommand) {
  CommandPipeline pipeline = Make(true, false, false);
  pipeline.Connected();
  pipeline.Push(new Told(told, "A"));
  pipeline.Push(new Told(told, "B"));
  EXPECT_TRUE(Receive(pipeline, "-ASK 7 h:5\r\n+b\r\n"));
  EXPECT_EQ(told, "ask:h:5 B=b ");
}

TEST_F(Followed, WhoeverWasAskedSaysSoEachTime) {
  CommandPipeline pipeline = Make(false, false, true);
  pipeline.Push(new Told(told, "A"));
  pipeline.Connected();
  pipeline.Push(new Told(told, "B"));
  EXPECT_EQ(Written(pipeline), Word("ASKING") + Word("A") + Word("ASKING") + Word("B"));
  EXPECT_TRUE(Receive(pipeline, "+OK\r\n+a\r\n+OK\r\n"));
  pipeline.Disconnected();
  pipeline.Connected();
  EXPECT_EQ(Written(pipeline), Word("ASKING") + Word("B"));
  EXPECT_TRUE(Receive(pipeline, "+OK\r\n-MOVED 7 h:5\r\n"));  // no third node
  EXPECT_EQ(told, "A=a B=!MOVED 7 h:5 ");
}

TEST_F(Followed, AReplicaIsLeftWhereSentinelsKnowTheMaster) {
  for (const std::string error :
       {"-READONLY You can't write against a read only replica.\r\n",
        "-ERR Error running script (call to f_x): @user_script:1: -READONLY You\r\n"}) {
    CommandPipeline pipeline = Make(true, true, false);
    pipeline.Connected();
    pipeline.Push(new Told(told, "A"));
    EXPECT_FALSE(Receive(pipeline, error));
    EXPECT_FALSE(pipeline.TakeRedirection());
    EXPECT_EQ(pipeline.size(), 1U);
  }
  EXPECT_EQ(told, "");
}

TEST_F(Followed, WhatCanNotBeFollowedIsAnError) {
  CommandPipeline pipeline = Make(true, false, false);
  pipeline.Connected();
  for (const char* word : {"A", "B"}) pipeline.Push(new Told(told, word));
  EXPECT_TRUE(Receive(pipeline, "-MOVED 7 ?:5\r\n-READONLY x\r\n"));
  EXPECT_EQ(told, "A=!MOVED 7 ?:5 B=!READONLY x ");
}

}  // namespace
}  // namespace msfl::cache
