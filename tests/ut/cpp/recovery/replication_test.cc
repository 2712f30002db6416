// Servers that hold each other's updates, in one process, over real sockets and a real Redis.
#include "recovery/replication.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <boost/asio/basic_waitable_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <filesystem>
#include <future>

#include "cache/store_fixture.h"
#include "net/peer_server.h"

namespace msfl::recovery {
namespace {

using cache::Sync;

constexpr char kJob[] = "job";

model::Feature Declare(std::string name, std::int64_t elements, bool require_aggr = true) {
  model::Feature feature;
  feature.name = std::move(name);
  feature.shape = {elements};
  feature.require_aggr = require_aggr;
  return feature;
}

struct Server {
  Server(const std::string& redis, std::shared_ptr<const model::Layout> layout, const std::string& id,
         std::uint64_t replicas, const std::string& folder = "") {
    loops.Start();
    client = std::make_unique<cache::RedisClient>(loops, cache::OptionsFor(redis));
    EXPECT_TRUE(client->Connect(std::chrono::seconds(30)));
    cache::JobStoreOptions store_options;
    store_options.fl_name = kJob;
    store_options.windows.start_fl_job = 100'000;
    store_options.windows.update_model = 100'000;
    store_options.windows.global_iteration = 100'000;
    store_options.thresholds.start_fl_job = 100;
    store_options.thresholds.update_model = 100;
    store_options.iterations = 9;
    store = std::make_unique<cache::JobStore>(*client, store_options);
    net::PeerHandler handler;
    handler.answer = [this](std::span<const std::uint8_t> head) -> Task<net::PeerAnswer> {
      net::PeerAnswer answer;
      answer.refused = true;
      if (replication->Answers(head)) answer = co_await replication->Answer(head);
      co_return answer;
    };
    handler.recognises = [this](std::span<const std::uint8_t> head) { return replication->Answers(head); };
    peers = std::make_unique<net::PeerServer>(loops, net::PeerServerOptions(), std::move(handler));
    EXPECT_FALSE(peers->Listen("127.0.0.1", 0).has_error());
    ReplicationOptions options;
    options.fl_name = kJob;
    options.node_id = id;
    options.tcp_address = "127.0.0.1:" + std::to_string(peers->port());
    options.replicas = replicas;
    options.folder = folder;
    options.journal = !folder.empty();
    replication = std::make_unique<Replication>(*store, pool, options);
    replication->SetLayout(layout);
    cache::Status first;
    first.current = cache::IterationKey{"i_1", 1};
    EXPECT_TRUE(Sync(loops, store->Open(first, {})));
    const std::string address = options.tcp_address, none;
    node = Sync(loops, store->Register(id, address, none, first.current, none))->node;
    part = std::make_shared<Part>(PartKey{"i_1", 1, id}, layout, *pool);
    replication->Enter(*part);
    beating = cache::Spawn(loops, 1, Beat());
  }
  ~Server() { Kill(); }
  // As a process that is gone: no farewell.
  void Kill() {
    if (killed.exchange(true)) return;
    beating.get();
    replication->Cancel();
    peers->Stop();
    replication->WaitForNone();
    client->Stop();
    loops.Stop();
    replication.reset();
  }
  // Who is silent is asked for nothing.
  Task<> Beat() {
    const Executor executor = co_await asio::this_coro::executor;
    asio::basic_waitable_timer<SteadyClock, asio::wait_traits<SteadyClock>, Executor> timer(executor);
    while (!killed && !left) {
      const cache::Node mine = node;
      const cache::IterationKey current{"i_1", 1};
      static_cast<void>(co_await store->Heartbeat(mine, current));
      timer.expires_after(std::chrono::milliseconds(200));
      co_await timer.async_wait(kAwait);
    }
  }
  Replication::OwnerNode Owner() {
    return [this] { return node; };
  }
  static bool Never() { return false; }

  std::shared_ptr<BufferPool> pool = BufferPool::Create(64 << 20);
  net::EventLoops loops{2};
  std::unique_ptr<cache::RedisClient> client;
  std::unique_ptr<cache::JobStore> store;
  std::unique_ptr<net::PeerServer> peers;
  std::unique_ptr<Replication> replication;
  cache::Node node;
  std::shared_ptr<Part> part;
  std::atomic<bool> killed{false}, left{false};
  std::future<void> beating;
};

class ReplicationTest : public testing::Test {
 protected:
  Server& Start(const std::string& id, std::uint64_t replicas = 1, const std::string& folder = "") {
    servers_.push_back(std::make_unique<Server>(redis_.address(), layout_, id, replicas, folder));
    return *servers_.back();
  }

  // As the round of updateModel does: reserved, added, held by others, and counted unless told otherwise.
  bool Update(Server& server, const std::string& fl_id, std::vector<float> a, std::vector<float> b,
              bool count = true) {
    cache::JoinRequest join;
    join.iteration = At();
    join.fl_id = fl_id;
    join.data_size = 2;
    const std::string nonce = "n-" + fl_id;
    join.nonce = nonce;
    EXPECT_TRUE(Sync(server.loops, server.store->Join(join)));
    cache::ReserveRequest reserve;
    reserve.iteration = At();
    reserve.claimed_iteration = 1;
    reserve.fl_id = fl_id;
    reserve.nonce = nonce;
    EXPECT_TRUE(Sync(server.loops, server.store->Reserve(reserve, server.node)));
    std::vector<model::Contribution> values;
    std::vector<float> body = a;  // one piece of memory, as that of a request
    body.insert(body.end(), b.begin(), b.end());
    if (!a.empty()) values.push_back({0, body.data()});
    if (!b.empty()) values.push_back({1, body.data() + a.size()});
    Ledger& ledger = server.part->ledger;
    EXPECT_TRUE(Sync(server.loops, ledger.BeginAdding(SteadyClock::time_point::max())));
    server.part->sum.Add(values, 2);
    server.part->AddMetrics(0.5F, 2, 0.25F, 4);
    struct Update update;
    update.id = cache::HeldUpdate{fl_id, nonce, "digest"};
    update.sequence = ledger.Added(update.id);
    update.data_size = 2;
    update.eval_data_size = 4;
    update.loss = 0.5F;
    update.accuracy = 0.25F;
    update.values = values;
    const bool held =
        Sync(server.loops, server.replication->Hold(server.part, update, server.Owner(), Server::Never));
    EXPECT_TRUE(held);
    if (!count) return held;
    const std::string digest = "digest";
    const auto committed = Sync(server.loops, server.store->Commit(At(), fl_id, nonce, server.node, digest));
    ledger.Settle(update.sequence);
    return committed && committed->verdict == cache::CommitVerdict::kCounted;
  }
  std::shared_ptr<Part> TakeOver(Server& heir, const std::string& part) {
    const auto taken = Sync(heir.loops, heir.replication->TakeOver(PartKey{"i_1", 1, part}, heir.node));
    return taken ? *taken : nullptr;
  }
  static void Unregister(Server& server) {
    server.left = true;
    server.beating.wait();
    EXPECT_TRUE(Sync(server.loops, server.store->Unregister(server.node)));
  }
  static cache::IterationKey At() { return cache::IterationKey{"i_1", 1}; }
  static std::vector<double> Sums(const Part& part) {
    return {part.sum.sums().begin(), part.sum.sums().end()};
  }

  test::RedisProcess redis_;
  // `z` is not aggregated.
  const std::shared_ptr<const model::Layout> layout_ =
      *model::Layout::Make({Declare("a", 2), Declare("b", 3), Declare("z", 1, false)});
  std::vector<std::unique_ptr<Server>> servers_;
};

TEST_F(ReplicationTest, TheHeirHasWhatWasCountedAndWhatWasAboutToBe) {
  Server &owner = Start("a"), &heir = Start("b");
  EXPECT_TRUE(Update(owner, "d1", {1, 2}, {3, 4, 5}));
  EXPECT_TRUE(Update(owner, "d2", {10, 20}, {}));
  EXPECT_TRUE(Update(owner, "d3", {100, 200}, {300, 400, 500}, false));
  EXPECT_EQ(heir.replication->statistics().held_parts, 1U);
  Unregister(owner);
  owner.Kill();
  const auto part = TakeOver(heir, "a");
  ASSERT_NE(part, nullptr);
  EXPECT_EQ(part->sum.uploads(), 3U);
  EXPECT_EQ(Sums(*part), (std::vector<double>{111, 222, 303, 404, 505}));
  EXPECT_EQ(part->sum.data_size(0), 6U);
  EXPECT_EQ(part->sum.data_size(1), 4U);
  EXPECT_DOUBLE_EQ(part->metrics().Mean().loss, 0.5);
  EXPECT_EQ(part->metrics().eval_data_size, 12U);
  const auto seen = Sync(heir.loops, heir.store->Observe(At()));
  ASSERT_TRUE(seen);
  EXPECT_EQ(seen->counted, 3U);
  EXPECT_EQ(seen->leased, 0U);
  EXPECT_EQ(heir.replication->statistics().held_parts, 0U);
}

TEST_F(ReplicationTest, AServerThatComesLaterGetsACopy) {
  Server& owner = Start("a");
  EXPECT_TRUE(Update(owner, "d1", {1, 2}, {3, 4, 5})) << "nobody else is there";
  EXPECT_TRUE(Update(owner, "d2", {10, 20}, {30, 40, 50}, false));
  Server& heir = Start("b");
  const auto held =
      Sync(owner.loops, owner.replication->Arrange(owner.part, owner.Owner(), 1, Server::Never));
  ASSERT_TRUE(held);
  if (*held == 0) std::this_thread::sleep_for(std::chrono::seconds(1));  // it does not search all the time
  EXPECT_TRUE(Update(owner, "d3", {100, 200}, {300, 400, 500}));
  Unregister(owner);
  const auto part = TakeOver(heir, "a");
  ASSERT_NE(part, nullptr);
  EXPECT_EQ(Sums(*part), (std::vector<double>{111, 222, 333, 444, 555}));
}

TEST_F(ReplicationTest, AHolderThatIsGoneIsReplaced) {
  Server &owner = Start("a"), &first = Start("b"), &second = Start("c");
  EXPECT_TRUE(Update(owner, "d1", {1, 2}, {3, 4, 5}));
  EXPECT_EQ(first.replication->statistics().held_parts, 1U) << "the next one by name";
  EXPECT_EQ(second.replication->statistics().held_parts, 0U);
  first.Kill();
  EXPECT_TRUE(Update(owner, "d2", {10, 20}, {30, 40, 50}));
  EXPECT_EQ(owner.replication->statistics().dropped, 1U);
  Unregister(owner);
  const auto part = TakeOver(second, "a");
  ASSERT_NE(part, nullptr);
  EXPECT_EQ(Sums(*part), (std::vector<double>{11, 22, 33, 44, 55}));
}

TEST_F(ReplicationTest, EachOfTwoHoldersIsEnough) {
  Server &owner = Start("a", 2), &first = Start("b", 2), &second = Start("c", 2);
  EXPECT_TRUE(Update(owner, "d1", {1, 2}, {3, 4, 5}));
  EXPECT_EQ(first.replication->statistics().held_parts, 1U);
  Unregister(owner);
  Unregister(first);
  first.Kill();
  const auto part = TakeOver(second, "a");
  ASSERT_NE(part, nullptr);
  EXPECT_EQ(Sums(*part), (std::vector<double>{1, 2, 3, 4, 5}));
}

TEST_F(ReplicationTest, WhatIsTakenOverTakesNothingMore) {
  Server &owner = Start("a"), &heir = Start("b");
  EXPECT_TRUE(Update(owner, "d1", {1, 2}, {3, 4, 5}));
  Unregister(owner);
  ASSERT_NE(TakeOver(heir, "a"), nullptr);
  EXPECT_FALSE(Update(owner, "d2", {10, 20}, {30, 40, 50})) << "it is held by nobody, and not counted";
  const auto seen = Sync(heir.loops, heir.store->Observe(At()));
  EXPECT_EQ(seen->counted, 1U);
}

TEST_F(ReplicationTest, OneThatEntersAnotherIterationForgetsIt) {
  Server &owner = Start("a"), &holder = Start("b");
  EXPECT_TRUE(Update(owner, "d1", {1, 2}, {3, 4, 5}));
  Part next(PartKey{"i_1", 2, "b"}, layout_, *holder.pool);
  holder.replication->Enter(next);
  EXPECT_EQ(holder.replication->statistics().held_parts, 0U);
  EXPECT_EQ(TakeOver(holder, "a"), nullptr);
}

TEST_F(ReplicationTest, ASumAsLargeAsAModelTravelsInPieces) {
  constexpr std::int64_t kMany = 3'000'001;
  const auto large = *model::Layout::Make({Declare("a", kMany)});
  Server owner(redis_.address(), large, "a", 1), heir(redis_.address(), large, "b", 1);
  EXPECT_TRUE(Update(owner, "d1", std::vector<float>(kMany, 1), {}));
  EXPECT_TRUE(Update(owner, "d2", std::vector<float>(kMany, 2), {}));
  Server late(redis_.address(), large, "c", 1);
  heir.Kill();
  EXPECT_TRUE(Update(owner, "d3", std::vector<float>(kMany, 4), {}));
  Unregister(owner);
  const auto part = TakeOver(late, "a");
  ASSERT_NE(part, nullptr);
  EXPECT_EQ(Sums(*part), std::vector<double>(kMany, 7));
}

class JournalOfAJobTest : public ReplicationTest {
 protected:
  ~JournalOfAJobTest() override { std::filesystem::remove_all(folder_); }
  const std::string folder_ =
      (std::filesystem::temp_directory_path() / ("replication_test_" + std::to_string(::getpid()))).string();
};

TEST_F(JournalOfAJobTest, TheNextProcessGoesOnWithIt) {
  Server& owner = Start("a", 0, folder_);
  EXPECT_TRUE(Update(owner, "d1", {1, 2}, {3, 4, 5}));
  EXPECT_TRUE(Update(owner, "d2", {10, 20}, {}, false));
  // A copy of the file, since a process that ends in order removes its own.
  std::filesystem::path file;
  for (const auto& entry : std::filesystem::directory_iterator(folder_)) file = entry.path();
  std::filesystem::copy(file, folder_ + "/copy");
  owner.Kill();
  std::filesystem::rename(folder_ + "/copy", file);

  Server& next = Start("b", 0, folder_);
  const std::vector<PartKey> found = next.replication->Recover();
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0], (PartKey{"i_1", 1, "a"}));
  EXPECT_TRUE(*Sync(next.loops, next.replication->Claim(found[0], next.node)));
  const auto part = TakeOver(next, "a");
  ASSERT_NE(part, nullptr);
  EXPECT_EQ(Sums(*part), (std::vector<double>{11, 22, 3, 4, 5}));
  const auto seen = Sync(next.loops, next.store->Observe(At()));
  EXPECT_EQ(seen->counted, 2U);
}

TEST_F(JournalOfAJobTest, WithoutADiskItGoesOnAndTheRecordSaysSo) {
  const std::string nowhere = "/proc/self/nowhere";
  Server& owner = Start("a", 0, nowhere);
  EXPECT_TRUE(Update(owner, "d1", {1, 2}, {3, 4, 5}));
  const auto rows = Sync(owner.loops, owner.store->Read(At()));
  EXPECT_EQ(rows->round.at("holders:a"), "");
}

}  // namespace
}  // namespace msfl::recovery
