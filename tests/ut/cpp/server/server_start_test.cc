// A Server that is stopped while it starts, as by an impatient Ctrl-C: Start() and Stop() return, nothing
// stays.
#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/use_future.hpp>
#include <chrono>
#include <future>
#include <thread>

#include "server/server.h"
#include "support/redis_process.h"

namespace msfl::server {
namespace {

class ServerStartTest : public testing::Test {
 protected:
  ServerOptions Options() {
    ServerOptions options;
    options.fl_name = "stop test";
    options.http_host = "127.0.0.1";
    options.cache_address = redis_.address();
    options.io_threads = 2;
    options.round.start_fl_job_time_window = 60'000;
    options.round.update_model_time_window = 60'000;
    options.round.global_iteration_time_window = 60'000;
    return options;
  }

  std::future<Result<void>> StartElsewhere(Server& server) {
    return std::async(std::launch::async, [this, &server] {
      StartFeature feature;
      feature.feature.name = "w";
      feature.feature.shape = {2};
      feature.feature.elements = 2;
      feature.feature.require_aggr = true;
      feature.values = values_;
      const std::vector<StartFeature> features{feature};
      return server.Start(features, 1);
    });
  }

  cache::RedisValue Tell(std::vector<std::string> command) {
    net::EventLoops loops(1);
    loops.Start();
    cache::RedisOptions options;
    options.address = *cache::RedisAddress::Parse(redis_.address());
    cache::RedisClient client(loops, options);
    EXPECT_TRUE(client.Connect(std::chrono::seconds(5)));
    Result<cache::RedisValue> answer =
        asio::co_spawn(loops.control(), client.Command(std::move(command)), asio::use_future).get();
    client.Stop();
    loops.Stop();
    EXPECT_TRUE(answer);
    return *answer;
  }

  test::RedisProcess redis_;
  const float values_[2] = {1, 2};
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
  Tell({"HSET", "ms_fl:{stop test}:nodes", "dead", "SERVER 127.0.0.1:1 1"});
  Tell({"SET", "ms_fl:{stop test}:alive:dead", "1", "PX", "600000"});
  Server server(
      Options(), [](job::IterationEnded) {}, [](const std::string&) {});
  std::future<Result<void>> started = StartElsewhere(server);
  while (Tell({"EXISTS", "ms_fl:{stop test}:instance"}).integer == 0) {
  }
  server.Stop();
  const Result<void> outcome = started.get();
  ASSERT_FALSE(outcome);
  EXPECT_EQ(outcome.error().code, Errc::kStopping) << outcome.error().text;
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
    EXPECT_TRUE(Tell({"HKEYS", "ms_fl:{stop test}:nodes"}).array.empty());
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

TEST_F(ServerStartTest, OfTwoThatStartAtTheSameMomentOneStays) {
  for (int round = 0; round < 4; ++round) {
    Server one(
        Options(), [](job::IterationEnded) {}, [](const std::string&) {});
    Server other(
        Options(), [](job::IterationEnded) {}, [](const std::string&) {});
    std::future<Result<void>> one_started = StartElsewhere(one), other_started = StartElsewhere(other);
    const Result<void> outcomes[] = {one_started.get(), other_started.get()};
    EXPECT_NE(outcomes[0].has_value(), outcomes[1].has_value());
    for (const Result<void>& outcome : outcomes) {
      if (outcome) continue;
      EXPECT_NE(outcome.error().text.find("several Servers for one job are not available"), std::string::npos)
          << outcome.error().text;
    }
    EXPECT_EQ(Tell({"HKEYS", "ms_fl:{stop test}:nodes"}).array.size(), 1U);
  }
}

}  // namespace
}  // namespace msfl::server
