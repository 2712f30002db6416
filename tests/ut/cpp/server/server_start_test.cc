// A Server that is stopped while it starts, as by an impatient Ctrl-C: Start() and Stop() return, nothing
// stays.
#include <gtest/gtest.h>

#include <chrono>
#include <future>
#include <thread>

#include "server/server_fixture.h"

namespace msfl::server {
namespace {

class ServerStartTest : public ServerTest {
 protected:
  std::future<Result<void>> StartElsewhere(Server& server) {
    return std::async(std::launch::async, [this, &server] { return Start(server); });
  }
};

TEST_F(ServerStartTest, WhileTheCacheIsNotThere) {
  redis_.Kill();
  ServerOptions options = Options();
  options.cache_patience_ms = 900'000;
  for (const int wait_ms : {0, 1, 5, 50, 1200}) {
    Server server(
        options, [](job::IterationEnded) {}, [](const std::string&) {});
    std::future<Result<void>> started = StartElsewhere(server);
    std::this_thread::sleep_for(std::chrono::milliseconds(wait_ms));
    server.Stop();
    const Result<void> outcome = started.get();
    ASSERT_FALSE(outcome);
    EXPECT_EQ(outcome.error().code, Errc::kStopping) << outcome.error().text;
  }
}

TEST_F(ServerStartTest, WhileItWaitsForTheHeartbeatOfADeadOne) {
  Tell({"HSET", Key("nodes"), "dead", "SERVER 127.0.0.1:1 1"});
  Tell({"SET", Key("alive:dead"), "1", "PX", "600000"});
  Server server(
      Options(), [](job::IterationEnded) {}, [](const std::string&) {});
  std::future<Result<void>> started = StartElsewhere(server);
  while (Tell({"EXISTS", Key("instance")}).integer == 0) {
  }
  server.Stop();
  const Result<void> outcome = started.get();
  ASSERT_FALSE(outcome);
  EXPECT_EQ(outcome.error().code, Errc::kStopping) << outcome.error().text;
}

TEST_F(ServerStartTest, WithoutRoomForOneUpdateIsRefused) {
  ServerOptions options = Options();
  options.limits.body_memory = 1 << 20;
  Server server(
      options, [](job::IterationEnded) {}, [](const std::string&) {});
  const Result<void> outcome = Start(server);
  ASSERT_FALSE(outcome);
  EXPECT_EQ(outcome.error().code, Errc::kInvalidArgument);
  const std::string& text = outcome.error().text;
  EXPECT_EQ(text.find("limits.body_memory is 1 MiB, but one update of this model may have 10"), 0U) << text;
  EXPECT_NE(text.find(" bytes; allowed is 2 or more"), std::string::npos) << text;
}

TEST_F(ServerStartTest, AtAnyMoment) {
  for (int wait_us = 0; wait_us < 30'000; wait_us += 700) {
    Server server(
        Options(), [](job::IterationEnded) {}, [](const std::string&) {});
    std::future<Result<void>> started = StartElsewhere(server);
    std::this_thread::sleep_for(std::chrono::microseconds(wait_us));
    server.Stop();
    const Result<void> outcome = started.get();
    if (!outcome) {
      EXPECT_EQ(outcome.error().code, Errc::kStopping) << outcome.error().text;
    }
    EXPECT_TRUE(Tell({"HKEYS", Key("nodes")}).array.empty());
  }
}

TEST_F(ServerStartTest, WhenItIsUpAndTheCacheIsSilentOrGone) {
  for (const bool gone : {false, true}) {
    Server server(
        Options(), [](job::IterationEnded) {}, [](const std::string&) {});
    ASSERT_TRUE(StartElsewhere(server).get());
    gone ? redis_.Kill() : redis_.Pause();
    server.Stop();
    redis_.Kill();  // with what was registered
    redis_.Start();
  }
}

TEST_F(ServerStartTest, TwoThatStartAtTheSameMomentBothServe) {
  for (int round = 0; round < 4; ++round) {
    Server one(
        Options(), [](job::IterationEnded) {}, [](const std::string&) {});
    Server other(
        Options(), [](job::IterationEnded) {}, [](const std::string&) {});
    std::future<Result<void>> one_started = StartElsewhere(one), other_started = StartElsewhere(other);
    EXPECT_TRUE(one_started.get());
    EXPECT_TRUE(other_started.get());
    EXPECT_EQ(Tell({"HKEYS", Key("nodes")}).array.size(), 2U);
  }
}

}  // namespace
}  // namespace msfl::server
