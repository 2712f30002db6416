// A Server without sockets: the rounds, the job and a real Redis. Tests hand requests to the routes'
// handlers.
#pragma once

#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/use_future.hpp>
#include <future>
#include <map>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "cache/job_store.h"
#include "job/job.h"
#include "net/event_loops.h"
#include "rounds/round_context.h"
#include "rounds/routes.h"
#include "rounds/wire_format.h"
#include "support/redis_process.h"

namespace msfl::rounds {

using Bytes8 = std::vector<std::uint8_t>;
using Weights = std::map<std::string, std::vector<float>>;

// Aggregated `a` (3 elements, start 1 2 3) and `s` (scalar, start 4); `z` (2 elements, start 5 6) is not
// aggregated.
class RoundTest : public testing::Test {
 protected:
  static constexpr char kNodeId[] = "127.0.0.1:1::t::12345";

  void Start(ServerOptions options = Options()) {
    options_ = options;
    loops_.Start();
    cache::RedisOptions redis_options;
    redis_options.address = *cache::RedisAddress::Parse(redis_.address());
    client_ = std::make_unique<cache::RedisClient>(loops_, redis_options);
    ASSERT_TRUE(client_->Connect(std::chrono::seconds(5)));
    cache::JobStoreOptions store_options;
    store_options.fl_name = options.fl_name;
    store_ = std::make_unique<cache::JobStore>(*client_, store_options);
    job_ = std::make_unique<job::Job>(loops_, *store_, exchange_, pool_, options,
                                      [this](job::IterationEnded ended) {
                                        const std::uint64_t number = ended.key.number;
                                        {
                                          const std::lock_guard lock(ended_mutex_);
                                          ended_.push_back(std::move(ended));
                                        }
                                        if (!hold_records_) job_->NoteRecorded(number);
                                      });
    ASSERT_TRUE(OnControl(job_->Open(1)));
    const auto layout = *model::Layout::Make(
        {MakeFeature("a", {elements_of_a_}, true), MakeFeature("s", {}, true), MakeFeature("z", {2}, false)});
    ASSERT_TRUE(OnControl(job_->AgreeOnModel(*layout)));
    const auto start = model::Model::Make(layout, *pool_);
    float next = 1;
    for (std::size_t i = 0; i < 3; ++i) {
      for (float& value : start->values(i)) value = next++;
    }
    job_->SetStartModel(start);
    ASSERT_TRUE(OnControl(job_->Join(kNodeId, "127.0.0.1:1", "")));
    context_ = std::make_unique<RoundContext>(*job_, *store_, options);
    routes_ = MakeRoutes(*context_);
    asio::co_spawn(loops_.loop(0), job_->Beat(), asio::detached);
    running_ = asio::co_spawn(loops_.control(), job_->Run(), asio::use_future);
  }

  void TearDown() override {
    if (job_) job_->RequestStop();
    if (running_.valid()) running_.wait();
    if (client_) client_->Stop();
    loops_.Stop();
  }

  static ServerOptions Options() {
    ServerOptions options;
    options.fl_name = "round test";
    options.iterations = 3;
    options.round.start_fl_job_threshold = 2;
    options.round.update_model_ratio = 1.0;
    options.round.start_fl_job_time_window = 60'000;
    options.round.update_model_time_window = 60'000;
    options.round.global_iteration_time_window = 60'000;
    return options;
  }

  // Until so many requests wait.
  void AwaitHeld(std::size_t count) {
    while (context_->held->held() != count) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }

  // --- asking ---

  Bytes8 Ask(const std::string& round, const Bytes8& body) {
    Buffer aligned(body.size());
    std::copy(body.begin(), body.end(), aligned.data());
    NonFiniteMap map;
    map.Reset(body.size());
    map.Scan(aligned.data(), 0, body.size());
    net::HttpRequest request;
    request.method = "POST";
    const std::string path = "/" + round;
    request.path = path;
    request.body = aligned.bytes();
    request.non_finite = &map;
    for (const net::HttpRoute& route : routes_) {
      if (route.path != path) continue;
      net::HttpReply reply = asio::co_spawn(loops_.loop(0), route.handler(request), asio::use_future).get();
      Bytes8 bytes = std::move(reply.head);
      bytes.insert(bytes.end(), reply.tail.begin(), reply.tail.end());
      return bytes;
    }
    ADD_FAILURE() << "no route " << path;
    return {};
  }

  std::string AskText(const std::string& round, const Bytes8& body) {
    const Bytes8 bytes = Ask(round, body);
    return {bytes.begin(), bytes.end()};
  }

  template <class Table>
  struct Answer {
    Bytes8 bytes;
    const Table* operator->() const { return flatbuffers::GetRoot<Table>(bytes.data()); }
  };

  template <class Table>
  Answer<Table> AskTable(const std::string& round, const Bytes8& body) {
    Answer<Table> answer{Ask(round, body)};
    flatbuffers::Verifier verifier(answer.bytes.data(), answer.bytes.size());
    EXPECT_TRUE(verifier.VerifyBuffer<Table>(nullptr))
        << std::string(answer.bytes.begin(), answer.bytes.end()).substr(0, 100);
    return answer;
  }

  Answer<schema::ResponseFLJob> StartJob(const std::string& fl_id, int data_size = 10, int eval_data_size = 0,
                                         int claimed = 77) {
    return AskTable<schema::ResponseFLJob>("startFLJob",
                                           StartRequest(fl_id, data_size, eval_data_size, claimed));
  }

  Answer<schema::ResponseUpdateModel> Update(const std::string& fl_id, int iteration, const Weights& weights,
                                             float loss = 0, float accuracy = 0) {
    return AskTable<schema::ResponseUpdateModel>("updateModel",
                                                 UpdateRequest(fl_id, iteration, weights, loss, accuracy));
  }

  Answer<schema::ResponseGetModel> Model(int iteration) {
    flatbuffers::FlatBufferBuilder builder;
    builder.Finish(schema::CreateRequestGetModel(builder, 0, iteration));
    return AskTable<schema::ResponseGetModel>("getModel", Bytes(builder));
  }

  Answer<schema::ResponseGetResult> Result_(int iteration) {
    flatbuffers::FlatBufferBuilder builder;
    builder.Finish(schema::CreateRequestGetResult(builder, 0, iteration));
    return AskTable<schema::ResponseGetResult>("getResult", Bytes(builder));
  }

  static Bytes8 StartRequest(const std::string& fl_id, int data_size, int eval_data_size = 0,
                             int claimed = 77) {
    flatbuffers::FlatBufferBuilder builder;
    const auto name = builder.CreateString("another name");
    const auto id = builder.CreateString(fl_id);
    const auto time = builder.CreateString("any");
    builder.Finish(schema::CreateRequestFLJob(builder, name, id, claimed, data_size, time, 0, 0, 0, 0, 0, 0,
                                              eval_data_size));
    return Bytes(builder);
  }

  static Bytes8 UpdateRequest(const std::string& fl_id, int iteration, const Weights& weights, float loss = 0,
                              float accuracy = 0) {
    flatbuffers::FlatBufferBuilder builder;
    std::vector<flatbuffers::Offset<schema::FeatureMap>> features;
    for (const auto& [name, values] : weights) {
      const auto text = builder.CreateString(name);
      features.push_back(schema::CreateFeatureMap(builder, text, builder.CreateVector(values)));
    }
    const auto map = builder.CreateVector(features);
    const auto id = builder.CreateString(fl_id);
    const auto time = builder.CreateString("any");
    schema::RequestUpdateModelBuilder request(builder);
    request.add_fl_id(id);
    request.add_iteration(iteration);
    request.add_feature_map(map);
    request.add_timestamp(time);
    request.add_upload_loss(loss);
    request.add_upload_accuracy(accuracy);
    builder.Finish(request.Finish());
    return Bytes(builder);
  }

  static Weights AllWeights(float value) {
    return {{"a", {value, 2 * value, 3 * value}}, {"s", {4 * value}}};
  }

  template <class Map>
  static Weights Values(const Map* map) {
    Weights weights;
    if (map == nullptr) return weights;
    for (const schema::FeatureMap* feature : *map) {
      weights[feature->weight_fullname()->str()] = {feature->data()->begin(), feature->data()->end()};
    }
    return weights;
  }

  template <class T>
  Result<T> OnControl(Task<Result<T>> task) {
    return asio::co_spawn(loops_.control(), std::move(task), asio::use_future).get();
  }

  // Waits, without a deadline of its own, until the job is in that iteration.
  void AwaitIteration(std::uint64_t number) {
    while (job_->gate().Look().switching || job_->gate().Look().iteration->number() != number) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  }

  std::vector<job::IterationEnded> ended() {
    const std::lock_guard lock(ended_mutex_);
    return ended_;
  }

  std::int64_t elements_of_a_ = 3;
  bool hold_records_ = false;  // as a slow disk would
  test::RedisProcess redis_;
  net::EventLoops loops_{2};
  std::shared_ptr<BufferPool> pool_ = BufferPool::Create(1 << 20);
  collective::Exchange exchange_{"round test", kNodeId, pool_};
  ServerOptions options_;
  std::unique_ptr<cache::RedisClient> client_;
  std::unique_ptr<cache::JobStore> store_;
  std::unique_ptr<job::Job> job_;
  std::unique_ptr<RoundContext> context_;
  std::vector<net::HttpRoute> routes_;
  std::future<std::string> running_;  // what made it impossible to go on

 private:
  static model::Feature MakeFeature(const std::string& name, std::vector<std::int64_t> shape,
                                    bool require_aggr) {
    model::Feature feature;
    feature.name = name;
    feature.elements = 1;
    for (const std::int64_t extent : shape) feature.elements *= static_cast<std::size_t>(extent);
    feature.shape = std::move(shape);
    feature.require_aggr = require_aggr;
    return feature;
  }

  std::mutex ended_mutex_;
  std::vector<job::IterationEnded> ended_;
};

}  // namespace msfl::rounds
