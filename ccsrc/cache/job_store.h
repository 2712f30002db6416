// The job's record in the cache, and the decisions taken on it. Redis holds decisions, never tensors.
//
// Every decision is one atomic script, idempotent and keyed by (instance, iteration, fl_id), so that any
// Server can take it, and one that is sent twice counts once. Rows of the record, all below
// `ms_fl:{<fl_name>}:` (the braces keep a job on one node of a Redis Cluster; `{`, `}` and `%` inside the
// name are written %7B, %7D and %25):
//
// clang-format off
//   instance                text    the current instance's name
//   model                   bytes   ModelDescription (schema/store.fbs) published by the first Server
//   epoch                   number  counts registrations; a Server's epoch fences its leases
//   nodes                   hash    node id -> "<SERVER|WORKER> <tcp address> <http address> <epoch>"; the http
//                                   address is `http://host:port<prefix>`, ends in `/`, and is `-` if unknown
//   alive:<node id>         text    heartbeat, expires: "<ms of Redis' clock since when the node was never away>
//                                   <SHA-1 of its settings>"
//   leaving                 set     ids of the nodes that an operator has asked to leave, until they are gone
//   forgotten               set     instances that `msfl reset` has removed, for a day
//   settings                text    JobStoreOptions::settings of the Servers that live
//   <instance>:status       hash    iteration, state (0 running, 1 disable, 2 finish, 3 stop), valid (0|1), reason,
//                                   digest (32 hex digits: the model that the iteration starts from),
//                                   opened (the first iteration of an instance that was begun from nothing;
//                                   empty: of one that somebody else had begun);
//                                   moved_by, created_by and set_by (set_from: the state before) name the
//                                   call that did it
//   <instance>:hyper        hash    hyper-parameter -> text
//   <instance>:<n>:round    hash    started, leased, counted, counted:<node id>, leased:<epoch>, began_ms and the
//                                   deadlines start_by, update_by, global_by (ms of Redis' clock); the nonces
//                                   first_join, last_join, first_lease, full_lease, last_commit. Once a window has
//                                   ended with enough: target, the number of updates the iteration now waits for,
//                                   closed (no place is reserved any more), minimum, timeout (the window).
//                                   Of parts, each named by the node it is counted under: owner:<node id>, once it
//                                   is another one (`-`: nobody), and holders:<node id>, ids with blanks between; one
//                                   of them may be `disk`: the owner's; claimed:<node id>, who has found it there
//   <instance>:<n>:devices  hash    fl_id -> "<data_size> <eval_data_size> <arrival ms> <nonce>"
//   <instance>:<n>:updates  hash    fl_id -> "leased <node id> <epoch> <nonce>" or "counted <node id> <epoch> <nonce>
//                                   <digest>"
//   <instance>:<n>:summary  hash    of an iteration that has ended: node id -> what it has to say on it; writer (the
//                                   node that writes all down), recorded (it has)
//   <instance>:evaluation   list    evaluation vectors of devices, newest first, float32 little-endian;
//                                   beside it <instance>:evaluation:<nonce>, a minute long, for each that is in it
//   events                  channel what moves the cluster, published by the scripts, see JobEvent
// clang-format on
//
// Expiry: job and instance rows 7 days + the global window, renewed by Heartbeat; iteration rows 30 min + the
// global window, cut to 60 s when the iteration ends; the summary 10 min after the last one has looked at it.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cache/job_types.h"
#include "cache/redis_client.h"

namespace msfl::cache {

struct JobStoreOptions {
  std::string fl_name;
  Windows windows;  // may be replaced, see SetRules
  Thresholds thresholds;
  std::uint64_t iterations = 0;  // fl_iteration_num: moving beyond it sets state Finish
  std::chrono::milliseconds heartbeat_expiry{10'000};
  std::string settings;  // what must be the same on all Servers that live
};

JobEvent ParseJobEvent(std::string_view line);

// Thread-safe; to be awaited on an event loop. All calls: kCacheUnavailable or kCacheRefused when Redis
// fails; Advance, Expire and SetState: kDisagreement when the record is gone. Texts that are passed as views
// stay valid until the call is over.
class JobStore {
 public:
  JobStore(RedisClient& redis, JobStoreOptions options);
  ~JobStore();

  // Thresholds, windows and number of iterations of the instance, after adopting the cached ones.
  void SetRules(Windows windows, Thresholds thresholds, std::uint64_t iterations);

  struct Opened {
    Status status;
    bool created = false;                      // no record was there: `candidate` was written
    std::map<std::string, std::string> hyper;  // as cached now
  };
  // Adopts the job's instance, or creates it with `candidate` (and its hyper-parameters) if there is none.
  Task<Result<Opened>> Open(Status candidate, std::map<std::string, std::string> hyper);
  // The same for an instance that others have begun: should it be lost meanwhile, `candidate` does not count
  // as begun from nothing.
  Task<Result<Opened>> Follow(Status candidate, std::map<std::string, std::string> hyper);
  // Publishes the model's description if there is none; answers the one that holds.
  Task<Result<std::string>> AgreeOnModel(std::string description);

  // Enters the node with a fresh epoch. `Unregister` removes it at once. `digest` names the model that this
  // Server would start `current` from: it holds unless there is one, or it is empty. Nothing is entered when
  // there are Servers with other settings; then those are answered. A Server that is listed and without a
  // heartbeat is one of them unless `silent_are_gone`.
  Task<Result<Registered>> Register(std::string node_id, std::string tcp_address, std::string http_address,
                                    IterationKey current, std::string digest, bool silent_are_gone = false);
  Task<Result<void>> Unregister(Node node);
  struct ListedServer {
    Node node;
    std::int64_t heartbeat_left_ms = 0;  // until it counts as dead unless it is renewed; 0: dead
    std::int64_t silent_ms = 0;          // since its heartbeat was renewed
  };
  // The Servers that have entered and not left, dead ones as well.
  Task<Result<std::vector<ListedServer>>> ListServers();
  // Renews the node and the expiry of the job's rows, removes nodes without a heartbeat and gives the leases
  // of dead nodes back. If this node was removed itself it is entered again with a new epoch, which the
  // answer holds. A node removes others only when it was there itself for a whole expiry: after an outage of
  // Redis, when all heartbeats have run out, the first one back must not bury the rest. Nothing is done when
  // other Servers have entered meanwhile, with other settings: the answer holds those.
  Task<Result<HeartbeatAnswer>> Heartbeat(Node node, IterationKey current);

  Task<Result<JoinAnswer>> Join(JoinRequest request);
  Task<Result<ReserveAnswer>> Reserve(ReserveRequest request, const Node& node);
  // `digest` is what the update is known by if the device sends it again, see FindUpdate.
  Task<Result<CommitAnswer>> Commit(IterationKey iteration, std::string_view fl_id, std::string_view nonce,
                                    const Node& node, std::string_view digest);
  // In the running iteration or one that ended less than a minute ago.
  Task<Result<FoundUpdate>> FindUpdate(IterationKey iteration, std::string_view fl_id);

  // For a Join or Reserve whose answer was lost: undoes what it did, and if it is yet to run it will do
  // nothing (kMoved). An update that is counted stays counted. The device of an update that is withdrawn may
  // start again in the same iteration: it keeps its place, whatever the threshold.
  Task<Result<void>> Withdraw(IterationKey iteration, std::string fl_id, std::string nonce);

  // `holders` have all of the part that `owner` owns, and everything that is counted in it from now on;
  // `disk` is that of the owner.
  Task<Result<SetHoldersVerdict>> SetHolders(IterationKey iteration, std::string part, const Node& owner,
                                             std::vector<std::string> holders);
  // The part goes to a holder though its owner is there.
  Task<Result<YieldVerdict>> YieldPart(IterationKey iteration, std::string part);
  // `node` has found the part on its disk, where its owner can't be any more: true if it is its heir now.
  Task<Result<bool>> ClaimPart(IterationKey iteration, std::string part, const Node& node);
  // `heir` holds `uploads`, of which it does not know whether `unsettled` are counted: those that are not yet
  // are counted now.
  Task<Result<TakeOverAnswer>> TakeOver(IterationKey iteration, std::string part, const Node& heir,
                                        std::uint64_t uploads, std::vector<HeldUpdate> unsettled);

  // Puts a device's vector at the head of the instance's list, of which the newest `kept` stay. The nonce is
  // that of its update.
  Task<Result<void>> PushEvaluation(std::string instance, std::string_view vector, std::string_view nonce,
                                    std::uint64_t kept);

  // Compare-and-set from `from` to the next iteration, which starts from the model `digest` if this one was
  // valid, and from the same model as this one if it failed or the digest is empty.
  Task<Result<AdvanceAnswer>> Advance(IterationKey from, bool valid, std::string reason, std::string digest);
  // Compare-and-set of the digest in the iteration `current`, for a model that nobody has any more. Answers
  // the digest that holds after the call, wherever the job is; empty when the record is gone.
  Task<Result<std::string>> ReplaceDigest(IterationKey current, std::string from, std::string to);
  // Moves on as failed if a deadline of `from` has passed; with Thresholds::minimum it may go on with what
  // has come, see Snapshot::target. No deadline in the answer when the job is elsewhere by now or every
  // update is counted.
  Task<Result<ExpireAnswer>> Expire(IterationKey from);
  Task<Result<Snapshot>> Observe(IterationKey current);
  // After the record was lost: writes it again from memory unless somebody did. `status.current` is what this
  // Server was in; the record continues with the next iteration, failed for the reason given in rounds.md
  // section 3. The same when `found_instance` is another one that a Server has begun since, having found no
  // record, and whose first iteration still lasts: the job goes on, with this Server's settings, and that
  // Server adopts it. kStopping when an operator has made the cache forget the job.
  Task<Result<Status>> Recreate(Status status, std::map<std::string, std::string> hyper,
                                std::string description, std::string found_instance);
  struct StateAnswer {
    Status status;  // after the call
    InstanceState before = InstanceState::kRunning;
  };
  // Running <-> Disable, Stop -> Running, anything -> Stop; with Disable the running iteration is moved on as
  // failed (`Disable instance`).
  Task<Result<StateAnswer>> SetState(IterationKey current, InstanceState state);
  // From any state: the job goes on as the instance `name`, Running, in iteration 1, with the current
  // hyper-parameters except for `changed`. kDisagreement when the record is gone.
  Task<Result<Status>> NewInstance(std::string name, std::map<std::string, std::string> changed);

  // Gives the text of one node on an iteration that has ended, and looks at all of them; to be called again
  // to look again. The first node is the writer; when it leaves before all is recorded, the next one that
  // looks.
  Task<Result<Summaries>> Summarise(IterationKey ended, std::string node_id, std::string text);
  Task<Result<void>> MarkRecorded(IterationKey ended);

  // The rows of an iteration as they are in the cache; for tests and for looking into a job.
  struct Rows {
    std::map<std::string, std::string> nodes, status, hyper, round, devices, updates;
  };
  Task<Result<Rows>> Read(IterationKey iteration);

  // Events of the job, on the control loop; `on_gap` when some may have been missed.
  void Watch(std::function<void(const JobEvent&)> on_event, std::function<void()> on_gap);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace msfl::cache
