#include "served_rounds.h"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/use_future.hpp>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "base/log.h"
#include "rounds/plain_text.h"

namespace msfl::fuzz {
namespace {

ServerOptions OptionsOf(const RoundRules& rules) {
  ServerOptions options;
  options.fl_name = "fuzzed";
  options.iterations = rules.iterations;
  options.round.start_fl_job_threshold = rules.start_threshold;
  options.round.update_model_ratio =
      static_cast<double>(rules.update_threshold) / static_cast<double>(rules.start_threshold);
  options.round.start_fl_job_time_window = options.round.update_model_time_window =
      options.round.global_iteration_time_window = 600'000;
  options.hold_ms = rules.hold_ms;
  options.evaluation_items = 4;
  return options;
}

model::Feature MakeFeature(const std::string& name, std::size_t elements, bool aggregated) {
  model::Feature feature;
  feature.name = name;
  feature.elements = elements;
  if (elements > 1) feature.shape = {static_cast<std::int64_t>(elements)};
  feature.require_aggr = aggregated;
  return feature;
}

// A model or a sum compared to the bit.
bool Equal(float a, float b) { return std::memcmp(&a, &b, sizeof a) == 0; }

}  // namespace

void Broken(const std::string& promise) {
  std::fprintf(stderr, "==BROKEN PROMISE== %s\n", promise.c_str());
  std::abort();
}

ServedRounds::Asked::~Asked() { std::free(body); }

ServedRounds::ServedRounds(RoundRules rules) : rules_(rules), client_(loops_, cache::RedisOptions()) {
  // Lines are made, so that what is in them is read, and go nowhere.
  SetLogSink([](const LogLine&) {});
  model_rules_ = {{"a", {3, true}}, {"layer.weight", {40, true}}, {"s", {1, true}}, {"z", {2, false}}};
  std::vector<model::Feature> features;
  float next = 1;
  for (const auto& [name, rule] : model_rules_) {
    features.push_back(MakeFeature(name, rule.elements, rule.aggregated));
    for (std::size_t i = 0; i < rule.elements; ++i) start_values_[name].push_back(next++);
  }
  const auto layout = *model::Layout::Make(features);
  start_model_ = model::Model::Make(layout, *pool_);
  for (std::size_t i = 0; i < layout->features().size(); ++i) {
    const std::vector<float>& values = start_values_.at(layout->features()[i].name);
    std::copy(values.begin(), values.end(), start_model_->values(i).begin());
  }

  const ServerOptions options = OptionsOf(rules_);
  cache::JobStoreOptions store_options;
  store_options.fl_name = options.fl_name;
  store_ = std::make_unique<cache::JobStore>(client_, store_options);
  job_ = std::make_unique<job::Job>(
      loops_, *store_, exchange_, pool_, options,
      [this](const job::IterationEnded& ended) { job_->NoteRecorded(ended.key.number); });
  const auto run = [this](Task<Result<void>> task) {
    auto outcome = asio::co_spawn(loops_.control(), std::move(task), asio::use_future);
    Turn();
    if (!outcome.get()) Broken("the job starts");
  };
  run(job_->Open(1));
  run(job_->AgreeOnModel(*layout));
  job_->SetStartModel(start_model_);
  run(job_->Join("127.0.0.1:1::fuzz", "127.0.0.1:1", ""));
  context_ = std::make_unique<rounds::RoundContext>(*job_, *store_, options);
  routes_ = rounds::MakeRoutes(*context_);
  asio::co_spawn(loops_.control(), job_->Run(), asio::detached);
  Turn();
}

void ServedRounds::Turn() {
  constexpr int kMostTurns = 10'000;
  for (int turn = 0; turn < kMostTurns; ++turn) {
    if (loops_.loop(0).poll() + loops_.control().poll() == 0) return;
  }
  Broken("the loops come to rest");
}

void ServedRounds::Follow() {
  job_->NoteMoved();
  Turn();
  const job::Gate::View view = job_->gate().Look();
  const CacheRecord& record = Cache();
  Promise(view.iteration != nullptr && !view.switching, "the gate is open when nothing moves");
  Promise(view.iteration->key().instance == record.instance && view.iteration->number() == record.iteration,
          "the Server follows the cache");
}

void ServedRounds::Begin(bool everybody_joined) {
  const CacheRecord& now = Cache();
  if (instances_ > 0 && now.everybody_joined == everybody_joined && now.iteration == 1 && now.state == 0 &&
      now.devices.empty() && now.updates.empty() && waiting_.empty()) {
    return;  // most inputs leave no trace
  }
  // Of those with one name, and of a crowd, an iteration takes some; the others wait for the next one.
  std::erase_if(waiting_, [](const auto& asked) { return asked->done; });
  while (Cache().state == 0 && !waiting_.empty()) {
    const std::size_t waited = waiting_.size();
    EndIterationAsFailed();
    std::erase_if(waiting_, [](const auto& asked) { return asked->done; });
    Promise(waiting_.size() < waited, "of those who wait some are answered when the iteration ends");
  }
  // Whatever a step before left in another state, the job must not be stuck in it.
  job_->SetStartModel(start_model_);
  Cache().BeginInstance("i" + std::to_string(++instances_));
  Cache().everybody_joined = everybody_joined;
  Follow();
  for (const auto& asked : waiting_) Promise(asked->done, "who waits is answered when the iteration ends");
  waiting_.clear();
  context_->returning = rounds::ReturningDevices(16);
  Promise(context_->held->held() == 0, "nobody is counted as held who is not");
  Promise(!context_->withdrawing(), "withdrawals end");
  models_ = {{0, start_values_}};
  sums_.clear();
  divisors_.clear();
  accepted_ = 0;
  CheckModel(*job_->gate().Look().iteration->start_model(), start_values_, "a new instance has the model");
}

void ServedRounds::EndIterationAsFailed() {
  CacheRecord& record = Cache();
  if (record.state != 0) return;
  models_[record.iteration] = ModelOf(-1);
  record.BeginIteration(record.iteration + 1);
  if (record.iteration > rules_.iterations) record.state = 2;
  record.valid = false;
  sums_.clear();
  divisors_.clear();
  accepted_ = 0;
  Follow();
}

void ServedRounds::Disable() {
  if (Cache().state != 0) return;
  EndIterationAsFailed();
  Cache().state = 1;
  Follow();
}

void ServedRounds::Enable() {
  if (Cache().state != 1) return;
  Cache().state = Cache().iteration > rules_.iterations ? 2 : 0;
  Follow();
}

const Values& ServedRounds::ModelOf(std::int64_t iteration) const {
  const std::uint64_t latest = models_.rbegin()->first;
  const bool kept = iteration >= 0 && static_cast<std::uint64_t>(iteration) <= latest &&
                    static_cast<std::uint64_t>(iteration) + 3 > latest;
  const auto found = kept ? models_.find(static_cast<std::uint64_t>(iteration)) : models_.end();
  return found == models_.end() ? models_.rbegin()->second : found->second;
}

Values ServedRounds::AverageNow(const Values& previous) const {
  Values average = previous;
  for (const auto& [name, sums] : sums_) {
    const auto divisor = static_cast<double>(divisors_.at(name));
    for (std::size_t i = 0; i < sums.size(); ++i) average[name][i] = static_cast<float>(sums[i] / divisor);
  }
  return average;
}

void ServedRounds::CheckModel(const model::Model& model, const Values& expected, const char* promise) const {
  for (std::size_t i = 0; i < model.layout().features().size(); ++i) {
    const std::span<const float> values = model.values(i);
    const std::vector<float>& wanted = expected.at(model.layout().features()[i].name);
    Promise(values.size() == wanted.size(), promise);
    for (std::size_t j = 0; j < values.size(); ++j) {
      Promise(std::isfinite(values[j]), "the model is finite");
      Promise(Equal(values[j], wanted[j]), promise);
    }
  }
}

void ServedRounds::CheckSum(const job::Iteration& iteration) const {
  Promise(iteration.sum.uploads() == accepted_, "the sum holds as many uploads as were acknowledged");
  const auto& features = iteration.start_model()->layout().features();
  for (std::size_t i = 0; i < features.size(); ++i) {
    const auto divisor = divisors_.find(features[i].name);
    Promise(iteration.sum.data_size(i) == (divisor == divisors_.end() ? 0 : divisor->second),
            "the divisor of each feature is the data that arrived for it");
  }
  const auto average = iteration.sum.Average(*iteration.start_model(), *pool_);
  Promise(average != nullptr, "the average of finite updates is finite");
  CheckModel(*average, AverageNow(ModelOf(-1)), "the sum equals what was acknowledged");
}

const net::HttpRoute& ServedRounds::RouteOf(const std::string& path) const {
  for (const net::HttpRoute& route : routes_) {
    if (route.path == path) return route;
  }
  Broken("there is a route " + path);
}

void ServedRounds::FindNoRoom(std::string_view round, ByteView body) {
  constexpr std::size_t kKept = 64;
  const net::HttpRoute& route = RouteOf("/" + std::string(round));
  net::OverloadedRequest request;
  request.path = route.path;
  request.body_bytes = body.size();
  request.first = body.first(std::min(kKept, body.size()));
  request.last = body.last(std::min(kKept, body.size() - request.first.size()));
  Asked asked;
  asked.path = route.path;
  asio::co_spawn(loops_.loop(0), route.overloaded(request),
                 [&asked](const std::exception_ptr& thrown, net::HttpReply reply) {
                   asked.done = thrown == nullptr;
                   asked.answer = std::move(reply.head);
                 });
  Turn();
  Promise(asked.done, "who finds no room is answered at once");
  Expected expected;
  expected.plain = Refusal(round);
  if (expected.plain.empty()) expected.plain = rounds::kSafemodeText;
  Compare(asked, std::nullopt, expected);
  CheckSum(*job_->gate().Look().iteration);
}

std::shared_ptr<ServedRounds::Asked> ServedRounds::Send(std::string_view round, ByteView body) {
  const auto asked = std::make_shared<Asked>();
  void* memory = nullptr;
  if (::posix_memalign(&memory, 64, body.size()) != 0) std::abort();
  asked->body = static_cast<std::uint8_t*>(memory);
  asked->size = body.size();
  std::memcpy(asked->body, body.data(), body.size());
  asked->non_finite.Reset(body.size());
  asked->non_finite.Scan(asked->body, 0, body.size());
  asked->path = "/" + std::string(round);
  asked->request.method = "POST";
  asked->request.path = asked->path;
  asked->request.body = {asked->body, asked->size};
  asked->request.non_finite = &asked->non_finite;
  asio::co_spawn(loops_.loop(0), RouteOf(asked->path).handler(asked->request),
                 [asked](std::exception_ptr thrown, net::HttpReply reply) {
                   asked->done = true;
                   asked->thrown = std::move(thrown);
                   asked->answer = std::move(reply.head);
                   asked->answer.insert(asked->answer.end(), reply.tail.begin(), reply.tail.end());
                 });
  Turn();
  Promise(asked->thrown == nullptr, "no exception leaves a round");
  if (!asked->done) waiting_.push_back(asked);
  return asked;
}

}  // namespace msfl::fuzz
