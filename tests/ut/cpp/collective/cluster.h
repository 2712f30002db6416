// Several Servers' exchanges in one process, with real sockets between them.
#pragma once

#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/use_future.hpp>
#include <cstring>
#include <future>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "collective/exchange.h"
#include "model/digest.h"
#include "model/flat_range.h"
#include "net/event_loops.h"
#include "net/peer_server.h"

namespace msfl::collective {

using std::chrono::milliseconds;
using ModelResult = Result<std::shared_ptr<model::Model>>;

inline constexpr milliseconds kLong{20'000}, kShort{300};
inline constexpr const char* kJob = "job";
inline constexpr const char* kInstance = "instance";

inline model::Feature Declare(std::string name, std::vector<std::int64_t> shape, bool require_aggr = true) {
  model::Feature feature;
  feature.name = std::move(name);
  feature.shape = std::move(shape);
  feature.require_aggr = require_aggr;
  return feature;
}

// The model alone; its digest has to be right.
inline Task<ModelResult> CombineBy(Exchange& exchange, CombineRequest request) {
  const Result<Combined> combined = co_await exchange.Combine(std::move(request));
  if (!combined) co_return combined.error();
  EXPECT_EQ(combined->digest, model::Digest(*combined->model));
  co_return combined->model;
}

// A Server: its loops, its exchange, its port.
struct Node {
  Node(std::string id, std::shared_ptr<BufferPool> pool)
      : node_id(std::move(id)), exchange(std::make_unique<Exchange>(kJob, node_id, std::move(pool))) {
    loops.Start();
    server = std::make_unique<net::PeerServer>(loops, net::PeerServerOptions{}, exchange->Handler());
    EXPECT_FALSE(server->Listen("127.0.0.1", 0).has_error());
    address = "127.0.0.1:" + std::to_string(server->port());
  }
  ~Node() {
    Kill();
    loops.Stop();
    exchange.reset();
  }
  void Kill() {
    exchange->Cancel();
    server->Stop();
  }
  std::future<ModelResult> Combine(CombineRequest request) {
    return asio::co_spawn(loops.control(), CombineBy(*exchange, std::move(request)), asio::use_future);
  }
  std::future<ModelResult> Fetch(FetchRequest request) {
    return asio::co_spawn(loops.control(), exchange->FetchModel(std::move(request)), asio::use_future);
  }

  const std::string node_id;
  net::EventLoops loops{1};
  std::unique_ptr<Exchange> exchange;
  std::unique_ptr<net::PeerServer> server;
  std::string address;
};

class ClusterTest : public testing::Test {
 protected:
  void SetLayout(std::vector<model::Feature> features) {
    auto made = model::Layout::Make(std::move(features));
    ASSERT_TRUE(made);
    layout = *made;
    start = model::Model::Make(layout, *pool);
    for (std::size_t i = 0; i < layout->features().size(); ++i) {
      float value = 0.25F + 1000.0F * static_cast<float>(i);
      for (float& element : start->values(i)) element = value++;
    }
  }
  // "S1", "S2", ... with empty sums.
  void StartNodes(std::size_t count) {
    for (std::size_t i = 0; i < count; ++i)
      nodes.push_back(std::make_unique<Node>("S" + std::to_string(i + 1), pool));
    NewSums();
  }
  void NewSums() {
    Buffer dirty = pool->Take(layout->aggregated_elements() * sizeof(double));
    std::memset(dirty.data(), 0xFF, dirty.size());
    dirty = Buffer();
    sums.clear();
    for (std::size_t i = 0; i < nodes.size(); ++i)
      sums.push_back(std::make_shared<model::RunningSum>(layout, *pool));
  }
  // To the sum of that node; empty: not sent.
  void Upload(std::size_t node, const std::vector<std::vector<float>>& values, std::uint64_t data_size) {
    std::vector<model::Contribution> upload;
    for (std::size_t i = 0; i < values.size(); ++i) {
      if (!values[i].empty()) upload.push_back({i, values[i].data()});
    }
    sums[node]->Add(upload, data_size);
  }

  CombineRequest Request(std::size_t node, milliseconds patience = kLong) const {
    CombineRequest request;
    request.instance = kInstance;
    request.iteration = iteration;
    for (std::size_t i = 0; i < nodes.size(); ++i) {
      Member member;
      member.node_id = nodes[i]->node_id;
      member.tcp_address = nodes[i]->address;
      member.uploads = sums[i]->uploads();
      request.members.push_back(std::move(member));
    }
    request.sum = sums[node];
    request.start_model = start;
    request.patience = patience;
    return request;
  }
  std::vector<ModelResult> CombineAll(milliseconds patience = kLong) {
    std::vector<std::future<ModelResult>> futures;
    for (std::size_t i = 0; i < nodes.size(); ++i) futures.push_back(nodes[i]->Combine(Request(i, patience)));
    std::vector<ModelResult> results;
    for (auto& future : futures) results.push_back(future.get());
    return results;
  }
  // All have made the same; that one, or null.
  static std::shared_ptr<const model::Model> TheSame(const std::vector<ModelResult>& results) {
    for (const ModelResult& result : results) {
      if (!result) {
        ADD_FAILURE() << result.error().text;
        return nullptr;
      }
      const auto first = results.front().value()->tail(false).bytes,
                 bytes = result.value()->tail(false).bytes;
      EXPECT_EQ(std::memcmp(first.data(), bytes.data(), first.size()), 0);
    }
    return results.front().value();
  }
  static std::vector<float> Values(const model::Model& model, std::size_t feature) {
    const auto values = model.values(feature);
    return {values.begin(), values.end()};
  }

  std::shared_ptr<BufferPool> pool = BufferPool::Create(256 << 20);
  std::shared_ptr<const model::Layout> layout;
  std::shared_ptr<model::Model> start;
  std::uint64_t iteration = 1;
  std::vector<std::shared_ptr<model::RunningSum>> sums;
  std::vector<std::unique_ptr<Node>> nodes;
};

}  // namespace msfl::collective
