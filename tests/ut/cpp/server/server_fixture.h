// A real Server over a Redis of its own.
#pragma once

#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/use_future.hpp>
#include <chrono>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "server/server.h"
#include "support/redis_process.h"

namespace msfl::server {

class ServerTest : public testing::Test {
 protected:
  ServerOptions Options() {
    ServerOptions options;
    options.fl_name = "server test";
    options.http_host = "127.0.0.1";
    options.cache_address = redis_.address();
    options.io_threads = 2;
    options.round.start_fl_job_time_window = 60'000;
    options.round.update_model_time_window = 60'000;
    options.round.global_iteration_time_window = 60'000;
    return options;
  }

  std::unique_ptr<Server> Make(const ServerOptions& options) {
    return std::make_unique<Server>(
        options,
        [this](job::IterationEnded ended) {
          if (recorder_ != nullptr) recorder_->NoteRecorded(ended.key.number);
        },
        [](const std::string&) {});
  }

  // One feature `w` of two elements.
  Result<void> Start(Server& server) {
    StartFeature feature;
    feature.feature.name = "w";
    feature.feature.shape = {2};
    feature.feature.elements = 2;
    feature.feature.require_aggr = true;
    feature.values = values_;
    const std::vector<StartFeature> features{feature};
    return server.Start(features, 1);
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
  std::string Key(const std::string& row) { return "ms_fl:{server test}:" + row; }
  std::string NodeRow(const Server& server) { return Tell({"HGET", Key("nodes"), server.node_id()}).text; }

  test::RedisProcess redis_;
  const float values_[2] = {1, 2};
  Server* recorder_ = nullptr;  // told at once that its files are written
};

}  // namespace msfl::server
