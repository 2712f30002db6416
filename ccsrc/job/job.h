// The job on this Server: its place in the cluster, its iterations one after the other, and the doors to
// them.
//
//             +------> Collect --all updates counted--> Aggregate --+
//             |           |                                         |
//             |           +--window over, contributor lost, --------+--> Switch --+--> Collect
//             |           |  record gone, moved by others                         |
//             |           |                                                       +--> Rest
//   Rest -----+           +--cache unreachable--> Failure --back--> Collect or Rest
//
//   Rest: the job is disabled or finished
//   Collect, when this process is stopped and has updates --hand over--> Shutdown
//   any phase, when this process or the job is stopped --> Shutdown
//   any phase, when a new instance began --> Switch --> Collect, in iteration 1
//
// One file for each phase. Every move of the cluster is a compare-and-set in the cache, so any Server may
// make it.
//
// Faults. The process dies: its leases are given back when its heartbeat expires; its counted updates are
// taken over by a Server that holds them, too (recovery/replication.h), or they are gone, so the iteration
// fails and the next begins; the other Servers go on. A Server that was away for a
// while finds its moves refused, adopts what the cluster has done, and takes the model from a peer. The cache
// is lost: requests get the safemode text, the sum waits. The cache comes back empty: the record is written
// again from memory and the iteration fails, since its counts are gone. A defect, or no memory left, throws
// in a phase or in the heartbeat: devices get the safemode text, the Server leaves the cluster as if it had
// been stopped, so that the next one need not wait for its heartbeat to expire, and Run() says what it was.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>

#include "base/buffer.h"
#include "cache/job_store.h"
#include "collective/exchange.h"
#include "job/decision.h"
#include "job/gate.h"
#include "job/iteration_ended.h"
#include "job/wakeup.h"
#include "model/history.h"
#include "net/event_loops.h"
#include "options/server_options.h"
#include "recovery/replication.h"

namespace msfl::job {

// Called on the control loop when an iteration has ended. Where this Server is the writer, the switch goes on
// after NoteRecorded() was called.
using OnIterationEnded = std::function<void(IterationEnded)>;

enum class Phase { kCollect, kAggregate, kSwitch, kRest, kFailure, kShutdown };

class Job {
 public:
  Job(net::EventLoops& loops, cache::JobStore& store, collective::Exchange& exchange,
      std::shared_ptr<BufferPool> pool, const ServerOptions& options, OnIterationEnded on_iteration_ended);

  // Start-up, in this order, on the control loop. `first_iteration` counts only when the cache does not know
  // the job.
  Task<Result<void>> Open(std::uint64_t first_iteration);
  Task<Result<void>> AgreeOnModel(const model::Layout& layout);
  // What is wrong with a model without features: that the job has another one, or that it is empty.
  Task<Result<void>> RefuseEmptyModel();
  void SetStartModel(std::shared_ptr<const model::Model> model);
  // Enters the cluster. `http_address` may be empty. Beat() and Run() begin after it.
  Task<Result<void>> Join(std::string node_id, std::string tcp_address, std::string http_address);
  // Reads what processes that are gone have left on the disk. Blocks; after Join(), before Run().
  void Recover() { reclaimable_ = replication_->Recover(); }
  // Waits until Run() has opened the gate, which it does once this Server holds the model that the cluster
  // goes on from. Errc::kStopping.
  Task<Result<void>> AwaitEntered();

  // The phases, until the end, and out of the cluster: empty if the job was stopped, else the fault that made
  // it impossible to go on. On the control loop.
  Task<std::string> Run();
  // The heartbeat, beside it, on a loop that never waits for work. A fault of it ends Run().
  Task<> Beat();
  // From any thread: ends Run() and Beat() in order.
  void RequestStop();
  // The same, because the Server can't go on for another reason: Run() says it. The first one counts.
  void Fail(const char* text) noexcept;

  // --- for the rounds, from any loop ---
  Gate& gate() { return gate_; }
  const Gate& gate() const { return gate_; }
  const model::History& history() const { return history_; }
  std::shared_ptr<const cache::Node> node() const;
  // A window began: it ends in `in_ms` at the earliest.
  void NoteDeadline(std::int64_t in_ms);
  // Things have moved on, or every update is counted: time to look.
  void NoteMoved();
  // Its sum on this Server holds an update that is not counted: the iteration can't become valid.
  void NoteSpoilt(Iteration& iteration);
  bool stopping() const { return stop_requested_.load(); }
  // An update that was added to the iteration's own part and is to be counted: others hold it, too, as far as
  // the job wants that. False if this Server has to stop before.
  Task<bool> Hold(const Iteration& iteration, recovery::Update update);
  // Null before Join().
  recovery::Replication* replication() { return replication_ready_.load() ? replication_.get() : nullptr; }
  // An operator has asked this Server to leave the cluster, and it will.
  bool leaving() const { return leaving_.load(); }
  // What peers may ask for, from any loop: the newest models that this Server holds.
  std::shared_ptr<const model::Model> FindModel(std::string_view digest) const;

  // Devices that have joined the current iteration, and updates counted in it, as the cache said last.
  struct Progress {
    std::uint64_t started = 0, counted = 0;
  };
  Progress progress() const { return {seen_started_.load(), seen_counted_.load()}; }

  // The Python layer has the files of `iteration` on disk. From any thread.
  void NoteRecorded(std::uint64_t iteration);

  // As given, with what Open() has adopted from the running instance.
  const ServerOptions& options() const { return options_; }

 private:
  friend struct Phases;

  Task<> RunPhases();
  Task<> Enter();
  // Of the exception that is being handled; the first one counts.
  void NoteFault() noexcept;
  Iteration& iteration() { return *iteration_; }
  Standing standing() const;
  void NoteEvent(const cache::JobEvent& event);
  // Renews this Server's place in the cluster, with a new epoch if it had lost it. False when the cache can't
  // be reached. Ends the job here when the cluster has other settings.
  Task<bool> RenewNode(cache::IterationKey current);
  // Who has come and gone since the last heartbeat is in the log.
  void TellOfOthers(const std::vector<std::string>& servers);
  void Adopt(const cache::Status& status, Rules rules);
  void OpenGate();
  void ArmDeadline(std::optional<std::int64_t> in_ms);
  // As the last heartbeat has heard; true before the first one.
  bool IsListed(const std::string& node_id) const;
  bool HasOthers() const;
  // Of the running iteration, if it may be left without a loss: nothing that this Server holds was counted.
  bool MayLeave();
  // How this Server stands in the cluster, for who arranges holders.
  recovery::Replication::OwnerNode OwnerNode() {
    return [this] { return *node(); };
  }
  // Some seconds after the stop was requested: what is under way may still come to its end.
  std::function<bool()> StopInAWhile();

  // current_model.cc
  struct NamedModel {
    std::shared_ptr<const model::Model> model;
    std::string digest;
  };
  // From here on peers can have it, for as long as somebody holds it.
  void MakeKnown(const NamedModel& model);
  void SetCurrent(NamedModel current);
  bool HoldsModelOf(const cache::Status& status) const {
    return status.digest.empty() || status.digest == current_.digest;
  }
  // Makes the model that `now` names the current one; false when the job has moved on or is being stopped.
  Task<bool> TakeModel(cache::Status now);
  struct Search {
    std::shared_ptr<const model::Model> found;
    bool nobody_has_it = false;  // all Servers alive have said so
    bool eldest = false;         // this Server is in the cluster longest of those listed
    std::string fault;           // why one that may have it could not be asked
  };
  Task<Search> AskPeers(std::string digest);

  net::EventLoops& loops_;
  cache::JobStore& store_;
  collective::Exchange& exchange_;
  const std::shared_ptr<BufferPool> pool_;
  ServerOptions options_;  // changes in Open() only
  const OnIterationEnded on_iteration_ended_;

  std::unique_ptr<recovery::Replication> replication_;
  std::atomic<bool> replication_ready_{false};
  Gate gate_;
  model::History history_;
  Wakeup wakeup_, beat_wakeup_;
  mutable std::mutex node_mutex_;
  std::shared_ptr<const cache::Node> node_;
  std::set<std::string> servers_;  // listed at the last heartbeat

  // Written by any thread, read by the phases.
  std::atomic<bool> stop_requested_{false}, look_now_{false}, beat_ended_{false};
  std::atomic<bool> may_be_unlisted_{false};  // the cache was away: it may have forgotten who is there
  std::atomic<bool> leaving_{false};          // an operator has asked this Server to
  std::atomic<std::int64_t> cache_missed_ns_{INT64_MIN};  // steady clock: a heartbeat got no answer
  std::atomic<std::int64_t> deadline_ns_{INT64_MAX};      // steady clock
  std::atomic<std::uint64_t> recorded_{0};
  std::atomic<std::int64_t> unrecorded_{0};  // iterations that ended and whose files are not written yet
  std::atomic<std::uint64_t> seen_started_{0}, seen_counted_{0};
  std::mutex fault_mutex_;
  std::string fault_;
  struct Known {
    std::string digest;
    std::weak_ptr<const model::Model> model;
  };
  mutable std::mutex known_mutex_;
  std::vector<Known> known_;  // newest last
  std::string model_fault_;   // why the current model is not here yet
  std::optional<SteadyClock::time_point> model_fault_since_;

  // The control loop's own.
  cache::Status status_;
  Rules rules_;
  std::map<std::string, std::string> hyper_;
  std::string description_;
  std::shared_ptr<Iteration> iteration_;
  NamedModel current_;         // what the iteration starts from
  NamedModel aggregate_;       // Aggregate -> Switch
  Decision decision_;          // Collect -> Aggregate
  cache::Status next_status_;  // any phase -> Switch
  bool moved_while_combining_ = false;
  bool nodes_have_changed_ = false;  // since a combination has begun
  bool not_to_be_combined_ = false;  // what the sums hold, whoever holds them
  bool combined_in_vain_ = false;    // since the stop was requested
  bool opened_ = false;              // the gate, for iteration_: this Server holds its model
  // All updates are counted and others have them: since when they are awaited.
  std::optional<SteadyClock::time_point> awaiting_since_;
  // Of the iteration that ended last: this Server's summary, and the Servers whose own is waited for.
  cache::IterationKey last_ended_;
  std::string last_summary_;
  std::optional<std::vector<std::string>> awaited_;
  std::vector<recovery::PartKey> reclaimable_;  // found on the disk at start
  std::vector<cache::Orphan> unheard_;          // that were to be taken over, without an answer
};

// The phases; a struct only so that Job can name one friend.
struct Phases {
  static Task<Phase> Collect(Job& job);
  static Task<Phase> Aggregate(Job& job);
  static Task<Phase> Switch(Job& job);
  static Task<Phase> Rest(Job& job);
  static Task<Phase> Failure(Job& job);
  static Task<> Shutdown(Job& job);
  static Task<> LetOthersFollow(Job& job);

  // The evaluation vectors of the iteration that has ended are in the cache.
  static Task<> AwaitEvaluations(Job& job);
  // What this Server has seen of the current iteration, which ends because the cluster stands in `now`;
  // without verdict and model.
  static IterationEnded Ended(const Job& job, const cache::Status& now);
  // Has it written down by one of the Servers, and waits for that.
  static Task<> Record(Job& job, IterationEnded ended);
  static Task<> Summarise(Job& job, IterationEnded& ended);
  static Task<bool> AllHaveTold(Job& job, const cache::Summaries& told);
  static Task<> Write(Job& job, IterationEnded ended);
  // To where the cluster stands; another instance may be one that has to be replaced.
  static Task<Phase> GoTo(Job& job, cache::Status stands);
  // Writes the job's record again from memory; the outcome is in job.next_status_.
  static Task<Phase> Recreate(Job& job, std::string found_instance);
  // Parts of the iteration that were found on the disk.
  static Task<> Reclaim(Job& job);
  // Those parts of the iteration whose owner is gone and that this Server holds.
  static Task<> TakeOver(Job& job, std::vector<cache::Orphan> orphans);
  // As many Servers hold what this one answers for as are wanted, also when no update comes any more.
  static Task<> TendHolders(Job& job);
  // Its sum holds something that is not counted: another Server that holds the rest answers for the part; if
  // there is none, the iteration fails.
  static Task<std::optional<Phase>> GiveUpPart(Job& job);
  // This Server is about to stop: another one gets what it answers for.
  static Task<Phase> HandOver(Job& job);
  static Task<> DropSilentHolders(Job& job, std::shared_ptr<recovery::Part> part);
  // The mean of all updates of the iteration, on whatever Servers they are; null when there is none.
  static Task<std::optional<collective::Combined>> Combine(Job& job);
  static bool MayCombineAgain(Job& job);
  // Those who hold the updates combine them; for a Server without any.
  static Task<std::optional<Phase>> AwaitOthers(Job& job);
  // Ends the current iteration in the cache, whatever it takes; the outcome is in job.next_status_.
  static Task<Phase> EndIteration(Job& job, bool valid, std::string reason, std::string digest);
  // Looks at the cache and says where to go; nothing when everything is as it was.
  static Task<std::optional<Phase>> LookAtCache(Job& job);
};

}  // namespace msfl::job
