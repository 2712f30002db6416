// What every round has at hand, and the frame around all of them.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "cache/job_store.h"
#include "job/job.h"
#include "net/address_shares.h"
#include "net/http_message.h"
#include "options/server_options.h"
#include "rounds/returning_devices.h"
#include "rounds/round_statistics.h"
#include "rounds/withdrawals.h"

namespace msfl::rounds {

// An answer that many devices get alike, made once for each iteration and `next_req_time`.
class SharedAnswer {
 public:
  template <class Make>
  std::vector<std::uint8_t> Get(const cache::IterationKey& key, std::int64_t next_req_time,
                                const Make& make) {
    const std::lock_guard lock(mutex_);
    if (bytes_.empty() || next_req_time_ != next_req_time || !(key_ == key)) {
      bytes_ = make();
      key_ = key;
      next_req_time_ = next_req_time;
    }
    return bytes_;
  }

 private:
  std::mutex mutex_;
  cache::IterationKey key_;
  std::int64_t next_req_time_ = 0;
  std::vector<std::uint8_t> bytes_;
};

struct RoundContext {
  // Requests that wait keep their connections, and what they wait for may have to come over others: at most
  // half of them wait at a time.
  static std::size_t MostHeld(const ServerOptions& options) { return options.connection_limit / 2; }

  RoundContext(job::Job& the_job, cache::JobStore& the_store, const ServerOptions& the_options);

  job::Job& job;
  cache::JobStore& store;
  const ServerOptions options;
  SharedAnswer start_accepted, start_refused, update_refused;
  RoundStatistics statistics;
  ReturningDevices returning;
  // Requests that wait for what is not there yet, and what one address may hold of them.
  const std::shared_ptr<net::AddressShares> held;

  // For a request that the cache did not answer in time. True, after a pause, if it is worth asking again
  // under the same nonce while the device waits. Otherwise it is given up, and from then on will have no
  // effect, whether it ran or still will: a place that nobody knows of would hold up the iteration.
  Task<bool> MayAskAgain(SteadyClock::time_point asked_first, const cache::IterationKey& iteration,
                         std::string_view fl_id, std::string_view nonce);

  // For an update that is refused although its device is in the iteration: it is told to start again, and may
  // (JobStore::Withdraw). Does not wait for a cache that is away, nor are there then more of them than
  // connections.
  Task<> LetStartAgain(const cache::IterationKey& iteration, std::string_view fl_id);

  // A device's next request waits a while for those of its requests that were given up: it may be refused for
  // its own earlier one.
  bool withdrawing() const { return withdrawals_->size() != 0; }
  Task<> AwaitWithdrawals(DeviceHash device);

  // Names one request, so that a script that is sent twice counts once. Unique in the cluster.
  std::string NewNonce();

 private:
  Task<> BeginWithdrawal(cache::IterationKey iteration, std::string fl_id, std::string nonce);
  // Goes on until the cache has answered.
  static Task<> Withdraw(RoundContext& context, cache::IterationKey iteration, std::string fl_id,
                         std::string nonce, Withdrawals::Entry entry);

  const std::shared_ptr<Withdrawals> withdrawals_ = std::make_shared<Withdrawals>();
  const std::string nonce_prefix_;
  std::atomic<std::uint64_t> nonce_count_{0};
};

// Whom a refusal told to come back at `next_req_time`, and the iteration that its request claims.
struct ToldToReturn {
  DeviceHash device;
  std::int64_t claimed = -1;  // read of starts only
};

// A round's answer and its sense, or `moved`: the iteration was over when the store was asked; ask again in
// the next one.
struct Outcome {
  using Ending = RoundStatistics::Ending;
  Outcome(Ending the_ending, net::HttpReply the_reply, std::optional<ToldToReturn> told = std::nullopt)
      : ending(the_ending), reply(std::move(the_reply)), told_to_return(told) {}
  static Outcome Moved() {
    Outcome outcome(Ending::kRejected, net::HttpReply());
    outcome.moved = true;
    return outcome;
  }
  Ending ending;
  net::HttpReply reply;
  std::optional<ToldToReturn> told_to_return;
  bool moved = false;
};

Outcome SafemodeOutcome();

// Whose request it was: that of an upload, or of a start.
struct Sender {
  std::string_view fl_id;    // empty: not known
  std::int64_t claimed = 0;  // the iteration that the request claims
  bool uploads = false;
};

// A device was told safemode, so it comes back and starts again. `withdrawn`: by its round, which had asked
// the cache in vain; otherwise no round has seen the request.
Task<> NoteSafemode(RoundContext& context, job::Iteration& iteration, const Sender& sender, bool withdrawn);

using Round = Task<Outcome> (*)(RoundContext& context, const net::HttpRequest& request,
                                job::Iteration& iteration);

Task<> Pause(std::chrono::milliseconds time);

Task<Outcome> StartFlJob(RoundContext& context, const net::HttpRequest& request, job::Iteration& iteration);
Task<Outcome> UpdateModel(RoundContext& context, const net::HttpRequest& request, job::Iteration& iteration);
Task<Outcome> GetModel(RoundContext& context, const net::HttpRequest& request, job::Iteration& iteration);
Task<Outcome> GetResult(RoundContext& context, const net::HttpRequest& request, job::Iteration& iteration);

// Whether the request asks for the model, or the result, of the iteration that is running.
bool AsksForRunning(Round round, const net::HttpRequest& request, const job::Iteration& iteration);

// The newest model, whole: what the management plane hands on. `iteration` is the current one.
net::HttpReply ExportModel(const job::Iteration& iteration);

}  // namespace msfl::rounds
