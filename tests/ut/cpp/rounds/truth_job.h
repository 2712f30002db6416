// The whole Server behind its port, without the Python layer, over a Redis of its own.
#pragma once

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/use_future.hpp>
#include <condition_variable>
#include <future>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "net/event_loops.h"
#include "net/http_server.h"
#include "rounds/routes.h"
#include "rounds/truth_crowd.h"
#include "support/redis_process.h"

namespace msfl::rounds::truth {

struct Case {
  Sizes sizes;
  Manner manner;
  std::uint64_t iterations = 0, updates = 0, devices = 0;  // thresholds of updateModel and startFLJob
  std::uint64_t start_window = 20'000, update_window = 20'000, global_window = 40'000, minimum = 0;
  bool trouble = false;  // with the cache
  bool waste = false;    // devices may vanish beyond the places that are to spare
};

class Job {
 public:
  explicit Job(const Case& the_case) : case_(the_case) {
    ServerOptions options;
    options.fl_name = "truth";
    options.iterations = case_.iterations;
    options.round.start_fl_job_threshold = case_.devices;
    options.round.update_model_ratio =
        (static_cast<double>(case_.updates) - 0.5) / static_cast<double>(case_.devices);
    options.round.start_fl_job_time_window = case_.start_window;
    options.round.update_model_time_window = case_.update_window;
    options.round.global_iteration_time_window = case_.global_window;
    options.round.minimum = case_.minimum;
    loops_.Start();
    cache::RedisOptions redis;
    redis.address = *cache::RedisAddress::Parse(redis_.address());
    client_ = std::make_unique<cache::RedisClient>(loops_, redis);
    Must(client_->Connect(std::chrono::seconds(5)));
    cache::JobStoreOptions store;
    store.fl_name = options.fl_name;
    store_ = std::make_unique<cache::JobStore>(*client_, store);
    job_ = std::make_unique<job::Job>(loops_, *store_, exchange_, pool_, options,
                                      [this](job::IterationEnded ended) { NoteEnded(std::move(ended)); });
    Must(OnControl(job_->Open(1)));
    const auto layout = MakeLayout(case_.sizes);
    Must(OnControl(job_->AgreeOnModel(*layout)));
    const auto start = model::Model::Make(layout, *pool_);
    for (std::size_t i = 0; i < layout->features().size(); ++i) {
      for (float& value : start->values(i)) value = -1;
    }
    job_->SetStartModel(start);
    start_model = start;
    Must(OnControl(job_->Join("127.0.0.1:1::t::12345", "127.0.0.1:1", "")));
    context_ = std::make_unique<RoundContext>(*job_, *store_, options);
    net::HttpOptions http;
    http.max_body_bytes = layout->total_elements() * sizeof(float) + (1 << 20);
    http_ = std::make_unique<net::HttpServer>(loops_, pool_, http, MakeRoutes(*context_));
    Must(http_->Listen("127.0.0.1", 0));
    asio::co_spawn(loops_.loop(0), job_->Beat(), asio::detached);
    running_ = asio::co_spawn(loops_.control(), job_->Run(), asio::use_future);
  }
  Job(const Job&) = delete;
  Job& operator=(const Job&) = delete;
  ~Job() {
    job_->RequestStop();
    EXPECT_EQ(running_.get(), "");
    http_->Stop(std::chrono::seconds(1));
    client_->Stop();
    loops_.Stop();
  }

  std::uint16_t port() const { return http_->port(); }
  test::RedisProcess& redis() { return redis_; }
  void Command(std::vector<std::string> words) {
    static_cast<void>(
        asio::co_spawn(loops_.control(), client_->Command(std::move(words)), asio::use_future).get());
  }
  std::uint64_t update_threshold() const {
    return job_->gate().Look().iteration->rules().thresholds.update_model;
  }

  // Until every iteration has ended, or nothing has for longer than any window: false.
  bool AwaitEnd(std::chrono::milliseconds time) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, time, [this] { return ended_.size() >= case_.iterations; });
  }
  std::vector<job::IterationEnded> ended() {
    const std::lock_guard lock(mutex_);
    return ended_;
  }

  std::shared_ptr<const model::Model> start_model;

 private:
  void NoteEnded(job::IterationEnded ended) {
    const std::uint64_t number = ended.key.number;
    {
      const std::lock_guard lock(mutex_);
      ended_.push_back(std::move(ended));
    }
    changed_.notify_all();
    job_->NoteRecorded(number);
  }
  template <class T>
  Result<T> OnControl(Task<Result<T>> task) {
    return asio::co_spawn(loops_.control(), std::move(task), asio::use_future).get();
  }
  template <class T>
  static void Must(const Result<T>& result) {
    if (!result) throw std::runtime_error(result.error().text);
  }

  const Case case_;
  test::RedisProcess redis_;
  net::EventLoops loops_{3};
  std::shared_ptr<BufferPool> pool_ = BufferPool::Create(1 << 24);
  collective::Exchange exchange_{"truth", "127.0.0.1:1::t::12345", pool_};
  std::unique_ptr<cache::RedisClient> client_;
  std::unique_ptr<cache::JobStore> store_;
  std::unique_ptr<job::Job> job_;
  std::unique_ptr<RoundContext> context_;
  std::unique_ptr<net::HttpServer> http_;
  std::future<std::string> running_;  // what made it end, but a stop
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<job::IterationEnded> ended_;
};

}  // namespace msfl::rounds::truth
