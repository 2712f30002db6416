// A Redis, event loops and a job's store for one test.
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/use_future.hpp>
#include <chrono>
#include <deque>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "cache/job_store.h"
#include "cache/redis_client.h"
#include "net/event_loops.h"
#include "support/redis_process.h"

namespace msfl::cache {

template <class T>
Task<> Keep(Task<T> task, std::optional<T>& result) {
  auto value = co_await std::move(task);
  result.emplace(std::move(value));
}

// Starts a task without an answer; one instantiation of Asio's machinery for all tests, since it is slow to
// compile.
inline std::future<void> Spawn(net::EventLoops& loops, std::size_t loop, Task<> task) {
  return asio::co_spawn(loops.loop(loop), std::move(task), asio::use_future);
}

// Runs a task on a loop and waits for it.
template <class T>
T Sync(net::EventLoops& loops, Task<T> task, std::size_t loop = 0) {
  std::optional<T> result;
  Spawn(loops, loop, Keep(std::move(task), result)).get();
  return std::move(*result);
}

// Tasks that run at the same time, and their answers.
template <class T>
class Many {
 public:
  void Start(net::EventLoops& loops, std::size_t loop, Task<T> task) {
    running_.push_back(Spawn(loops, loop % loops.size(), Keep(std::move(task), results_.emplace_back())));
  }
  std::vector<T> Wait() {
    std::vector<T> results;
    for (auto& one : running_) one.get();
    for (auto& result : results_) results.push_back(std::move(*result));
    return results;
  }

 private:
  std::deque<std::optional<T>> results_;
  std::vector<std::future<void>> running_;
};

// The test fails when this takes unreasonably long; how long it takes is of no concern.
inline bool Eventually(const std::function<bool()>& condition) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return true;
}

// The lines that a job's events were parsed from, as "<kind> <instance> <iteration>".
class EventLog {
 public:
  explicit EventLog(JobStore& store) {
    store.Watch(
        [this](const JobEvent& event) {
          const std::lock_guard lock(mutex_);
          seen_.push_back(Line(event.kind, event.iteration.number, event.iteration.instance));
        },
        [this] { watching_ = true; });
    EXPECT_TRUE(Eventually([this] { return watching_.load(); }));
  }
  static std::string Line(JobEvent::Kind kind, std::uint64_t number, const std::string& instance = "i_1") {
    return std::to_string(static_cast<int>(kind)) + " " + instance + " " + std::to_string(number);
  }
  // Waits for as many.
  std::vector<std::string> Await(std::size_t count) {
    const auto enough = [&] {
      const std::lock_guard lock(mutex_);
      return seen_.size() >= count;
    };
    EXPECT_TRUE(Eventually(enough));
    const std::lock_guard lock(mutex_);
    return seen_;
  }

 private:
  std::mutex mutex_;
  std::vector<std::string> seen_;
  std::atomic<bool> watching_{false};
};

inline RedisOptions OptionsFor(const std::string& address) {
  RedisOptions options;
  options.address = RedisAddress::Parse(address).value();
  options.command_timeout = std::chrono::milliseconds(20'000);  // a loaded machine is no fault
  options.connect_timeout = std::chrono::milliseconds(20'000);
  options.reconnect_pause = std::chrono::milliseconds(20);
  return options;
}

class RedisFixture : public testing::Test {
 protected:
  RedisFixture() { loops.Start(); }

  std::unique_ptr<RedisClient> MakeClient(RedisOptions options) {
    auto client = std::make_unique<RedisClient>(loops, std::move(options));
    const auto connected = client->Connect(std::chrono::seconds(30));
    EXPECT_TRUE(connected) << connected.error().text;
    return client;
  }
  std::unique_ptr<RedisClient> MakeClient() { return MakeClient(OptionsFor(redis.address())); }

  Result<RedisValue> Call(RedisClient& client, std::vector<std::string> words, std::size_t loop = 0) {
    return Sync(loops, client.Command(std::move(words)), loop);
  }

  test::RedisProcess redis;
  net::EventLoops loops{2};
};

class StoreFixture : public RedisFixture {
 protected:
  StoreFixture() : client(MakeClient()), store(MakeStore()) {}

  static JobStoreOptions DefaultOptions() {
    JobStoreOptions options;
    options.fl_name = "lenet {1}";
    options.windows.start_fl_job = 100'000;
    options.windows.update_model = 200'000;
    options.windows.global_iteration = 300'000;
    options.thresholds.start_fl_job = 3;
    options.thresholds.update_model = 2;
    options.iterations = 3;
    return options;
  }
  std::unique_ptr<JobStore> MakeStore(JobStoreOptions options = DefaultOptions()) {
    return std::make_unique<JobStore>(*client, std::move(options));
  }
  static IterationKey At(std::uint64_t number, std::string instance = "i_1") {
    IterationKey key;
    key.instance = std::move(instance);
    key.number = number;
    return key;
  }
  static Status StatusAt(std::uint64_t number) {
    Status status;
    status.current = At(number);
    return status;
  }

  template <class T>
  T Wait(Task<Result<T>> task, std::size_t loop = 0) {
    auto result = Sync(loops, std::move(task), loop);
    if (!result) throw std::runtime_error(result.error().text);
    if constexpr (!std::is_void_v<T>) return std::move(*result);
  }

  JobStore::Opened Open(std::uint64_t number = 1) {
    std::map<std::string, std::string> hyper;
    hyper["start_fl_job_threshold"] = "3";
    return Wait(store->Open(StatusAt(number), hyper));
  }
  JoinAnswer Join(const std::string& fl_id, std::string nonce = "", bool content = true,
                  std::uint64_t number = 1) {
    JoinRequest request;
    if (nonce.empty()) nonce = "j-" + fl_id;
    request.iteration = At(number);
    request.fl_id = fl_id;
    request.data_size = 16;
    request.eval_data_size = 4;
    request.nonce = nonce;
    request.content_accepted = content;
    return Wait(store->Join(request));
  }
  ReserveAnswer Reserve(const Node& node, const std::string& fl_id, std::string nonce = "",
                        bool content = true, std::int64_t claimed = 1, std::uint64_t number = 1) {
    ReserveRequest request;
    if (nonce.empty()) nonce = "u-" + fl_id;
    request.iteration = At(number);
    request.claimed_iteration = claimed;
    request.fl_id = fl_id;
    request.nonce = nonce;
    request.content_accepted = content;
    return Wait(store->Reserve(request, node));
  }
  CommitAnswer Commit(const Node& node, const std::string& fl_id, std::string nonce = "",
                      std::uint64_t number = 1) {
    if (nonce.empty()) nonce = "u-" + fl_id;
    return Wait(store->Commit(At(number), fl_id, nonce, node, "d-" + nonce));
  }
  Node Register(const std::string& id, const std::string& http_address = "") {
    return Wait(store->Register(id, "127.0.0.1:7001", http_address, At(1), "")).node;
  }
  Snapshot Observe(std::uint64_t number = 1) { return Wait(store->Observe(At(number))); }
  JobStore::Rows Rows(std::uint64_t number = 1) { return Wait(store->Read(At(number))); }
  using RedisFixture::Call;
  Result<RedisValue> Call(std::vector<std::string> words) {
    return RedisFixture::Call(*client, std::move(words));
  }
  std::string Key(const std::string& row) { return "ms_fl:{lenet %7B1%7D}:" + row; }

  std::unique_ptr<RedisClient> client;
  std::unique_ptr<JobStore> store;
};

}  // namespace msfl::cache
