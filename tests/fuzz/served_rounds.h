// The rounds of one Server, served in this process without a network, and what every answer is held against.
//
// Real: the routes, the gate, the job and its phases, the store, the sum, the model. Not real: the cache, see
// redis_in_memory.h. A broken promise ends the process by abort(), with a line that says which.
#pragma once

#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "cache/job_store.h"
#include "job/job.h"
#include "net/event_loops.h"
#include "redis_in_memory.h"
#include "rounds/round_context.h"
#include "rounds/routes.h"
#include "upload_oracle.h"

namespace msfl::fuzz {

[[noreturn]] void Broken(const std::string& promise);
inline void Promise(bool holds, const char* promise) {
  if (!holds) Broken(promise);
}

struct RoundRules {
  std::uint64_t start_threshold = 1000, update_threshold = 1000, iterations = 5;
  std::uint64_t hold_ms = 0;
};

class ServedRounds {
 public:
  explicit ServedRounds(RoundRules rules);

  // A new instance, in iteration 1 and with the start model; whoever still waits must have been answered.
  void Begin(bool everybody_joined);

  // Asks and compares answer, sum and model with what has to come of it. The round's name is its path.
  void Ask(std::string_view round, ByteView body);

  // The same when there is no memory for the body: only its ends are kept.
  void FindNoRoom(std::string_view round, ByteView body);

  // What others do to the job, through the cache.
  void EndIterationAsFailed();
  void Disable();
  void Enable();

 private:
  // One request under way. Its body lies alone in memory, so that a read beyond its end is seen.
  struct Asked {
    ~Asked();
    std::uint8_t* body = nullptr;
    std::size_t size = 0;
    NonFiniteMap non_finite;
    net::HttpRequest request;
    std::string path;
    bool done = false;
    std::exception_ptr thrown;
    Bytes answer;
  };
  struct Expected {
    std::int32_t retcode = 0;
    std::string reason;  // its beginning
    std::string plain;   // the whole answer, if it is plain text
  };

  void Turn();
  // The cluster stands elsewhere; the job follows.
  void Follow();
  void Settle();
  void CheckSum(const job::Iteration& iteration) const;
  void CheckModel(const model::Model& model, const Values& expected, const char* promise) const;
  Values AverageNow(const Values& previous) const;
  std::string Refusal(std::string_view round) const;
  const net::HttpRoute& RouteOf(const std::string& path) const;
  std::shared_ptr<Asked> Send(std::string_view round, ByteView body);
  void AskStart(ByteView body);
  void AskUpdate(ByteView body);
  void AskModel(ByteView body, bool result);
  void Compare(const Asked& asked, const std::optional<Answer>& answer, const Expected& expected) const;
  const Values& ModelOf(std::int64_t iteration) const;

  const RoundRules rules_;
  ModelRules model_rules_;
  Values start_values_;
  net::EventLoops loops_{1};
  std::shared_ptr<BufferPool> pool_ = BufferPool::Create(1 << 20);
  collective::Exchange exchange_{"fuzz", "127.0.0.1:1::fuzz", pool_};
  cache::RedisClient client_;
  std::unique_ptr<cache::JobStore> store_;
  std::unique_ptr<job::Job> job_;
  std::unique_ptr<rounds::RoundContext> context_;
  std::vector<net::HttpRoute> routes_;
  std::shared_ptr<model::Model> start_model_;
  std::uint64_t instances_ = 0;
  std::list<std::shared_ptr<Asked>> waiting_;

  // What must be true of the current iteration.
  std::map<std::string, std::vector<double>> sums_;
  std::map<std::string, std::uint64_t> divisors_;
  std::uint64_t accepted_ = 0;
  std::map<std::uint64_t, Values> models_;  // by iteration, all of them
};

}  // namespace msfl::fuzz
