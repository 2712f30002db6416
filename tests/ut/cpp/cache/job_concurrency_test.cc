#include <atomic>
#include <boost/asio/steady_timer.hpp>
#include <future>

#include "cache/store_fixture.h"

namespace msfl::cache {
namespace {

struct Totals {
  std::atomic<int> accepted{0}, first{0}, last{0}, reserved{0}, full{0}, counted{0}, counted_last{0},
      other{0};
};

// Asks until the cache is there, as a Server's next try would.
template <class Ask>
auto Persist(Ask ask) -> decltype(ask()) {
  asio::steady_timer pause(co_await asio::this_coro::executor);
  while (true) {
    auto answer = co_await ask();
    if (answer || answer.error().code != Errc::kCacheUnavailable) co_return answer;
    pause.expires_after(std::chrono::milliseconds(5));
    co_await pause.async_wait(kAwait);
  }
}

// One device; a request that was sent twice counts once.
Task<> Device(JobStore& store, std::string fl_id, IterationKey iteration, Node node, Totals& totals) {
  JoinRequest join;
  join.iteration = iteration;
  join.fl_id = fl_id;
  join.data_size = 1;
  const std::string join_nonce = "j" + fl_id, update_nonce = "u" + fl_id;
  join.nonce = join_nonce;
  const auto joined = co_await Persist([&] { return store.Join(join); });
  if (!joined || joined->verdict != JoinVerdict::kAccepted) co_return;
  const auto again = co_await Persist([&] { return store.Join(join); });
  if (!again || again->verdict != JoinVerdict::kAccepted || again->last != joined->last) ++totals.other;
  ++totals.accepted;
  totals.first += joined->first;
  totals.last += joined->last;

  ReserveRequest reserve;
  reserve.iteration = iteration;
  reserve.claimed_iteration = 1;
  reserve.fl_id = fl_id;
  reserve.nonce = update_nonce;
  const auto reserved = co_await Persist([&] { return store.Reserve(reserve, node); });
  if (!reserved || reserved->verdict != ReserveVerdict::kReserved) co_return;
  ++totals.reserved;
  totals.full += reserved->full;
  const auto committed =
      co_await Persist([&] { return store.Commit(iteration, fl_id, update_nonce, node, "x"); });
  if (!committed || committed->verdict != CommitVerdict::kCounted) co_return;
  ++totals.counted;
  totals.counted_last += committed->last;
}

class Concurrency : public StoreFixture {
 protected:
  static constexpr int kDevices = 400;
  static constexpr std::uint64_t kStart = 150, kUpdate = 100;

  // Two Servers' stores, devices spread over all loops.
  void RunDevices(
      Totals& totals, const std::function<void()>& meanwhile = [] {}) {
    JobStoreOptions options = DefaultOptions();
    options.thresholds.start_fl_job = kStart;
    options.thresholds.update_model = kUpdate;
    const auto first = MakeStore(options), second = MakeStore(options);
    store->SetRules(options.windows, options.thresholds, options.iterations);
    Open();
    const Node a = Register("a"), b = Register("b");
    meanwhile();
    std::vector<std::future<void>> running;
    for (int i = 0; i < kDevices; ++i) {
      auto device =
          Device(i % 2 == 0 ? *first : *second, "d" + std::to_string(i), At(1), i % 2 == 0 ? a : b, totals);
      running.push_back(Spawn(loops, static_cast<std::size_t>(i) % loops.size(), std::move(device)));
    }
    for (auto& one : running) one.get();
  }
  void ExpectExact(const Totals& totals) {
    EXPECT_EQ(totals.accepted, static_cast<int>(kStart));
    EXPECT_EQ(totals.first, 1);
    EXPECT_EQ(totals.last, 1);
    EXPECT_EQ(totals.reserved, static_cast<int>(kUpdate));
    EXPECT_EQ(totals.full, 1);
    EXPECT_EQ(totals.counted, static_cast<int>(kUpdate));
    EXPECT_EQ(totals.counted_last, 1);
    EXPECT_EQ(totals.other, 0);
    const Snapshot seen = Observe();
    EXPECT_EQ(seen.started, kStart);
    EXPECT_EQ(seen.counted, kUpdate);
    EXPECT_EQ(seen.leased, 0U);
    const auto rows = Rows();
    EXPECT_EQ(rows.devices.size(), kStart);
    EXPECT_EQ(rows.updates.size(), kUpdate);
    EXPECT_EQ(std::stoul(rows.round.at("counted:a")) + std::stoul(rows.round.at("counted:b")), kUpdate);
  }
};

TEST_F(Concurrency, ThresholdsAreExact) {
  Totals totals;
  RunDevices(totals);
  ExpectExact(totals);
}

TEST_F(Concurrency, BrokenConnectionsCountOnce) {
  const auto admin = MakeClient();
  std::atomic<bool> stop{false};
  std::thread killer;
  Totals totals;
  RunDevices(totals, [&] {
    killer = std::thread([&] {
      while (!stop) {
        Call(*admin, {"CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"}, 1).value();
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
      }
    });
  });
  stop = true;
  killer.join();
  ASSERT_TRUE(Eventually([&] { return client->available(); }));
  ExpectExact(totals);
}

TEST_F(Concurrency, OneOfManyMovesTheIteration) {
  Open();
  Many<Result<AdvanceAnswer>> running;
  for (std::size_t i = 0; i < 50; ++i) {
    running.Start(loops, i, store->Advance(At(1), i % 2 == 0, std::to_string(i), ""));
  }
  int moved = 0;
  for (const auto& answer : running.Wait()) {
    ASSERT_TRUE(answer);
    moved += answer->verdict == AdvanceVerdict::kMovedByUs;
    EXPECT_EQ(answer->status.current, At(2));
  }
  EXPECT_EQ(moved, 1);
}

}  // namespace
}  // namespace msfl::cache
