// The job on this Server: its place in the cluster, its iterations one after the other, and the doors to
// them.
//
//             +------> Collect --all updates counted--> Aggregate --+
//             |           |                                         |
//             |           +--window over, contributor lost, --------+--> Switch --+--> Collect
//             |           |  record gone, moved by others                         +--> Rest (disabled,
//             finished)
//   Rest -----+           +--cache unreachable--> Failure --back--> Collect or Rest
//   any phase, when this process or the job is stopped --> Shutdown
//   any phase, when a new instance began --> Switch --> Collect, in iteration 1
//
// One file for each phase. Every move of the cluster is a compare-and-set in the cache, so any Server may
// make it.
//
// Faults. The process dies: its leases are given back when its heartbeat expires; its counted updates are
// gone, so the iteration fails and the next begins. The cache is lost: requests get the safemode text, the
// sum waits. The cache comes back empty: the record is written again from memory and the iteration fails,
// since its counts are gone. A defect, or no memory left, throws in a phase or in the heartbeat: devices get
// the safemode text, the Server leaves the cluster as if it had been stopped, so that the next one need not
// wait for its heartbeat to expire, and Run() says what it was.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "base/buffer.h"
#include "cache/job_store.h"
#include "job/decision.h"
#include "job/gate.h"
#include "job/wakeup.h"
#include "model/history.h"
#include "net/event_loops.h"
#include "options/server_options.h"

namespace msfl::job {

struct IterationEnded {
  cache::IterationKey key;
  cache::InstanceState state = cache::InstanceState::kRunning;
  std::uint64_t iterations = 0;
  bool valid = false;
  std::string reason;
  std::int64_t started_ms = 0, ended_ms = 0;  // Unix ms; started 0: no device came
  Iteration::Metrics metrics;
  std::map<std::string, std::uint64_t> visits;
  std::shared_ptr<const model::Model> model;  // model `key.number`
};

// Called on the control loop when an iteration has ended; the switch goes on after `recorded()` was called.
using OnIterationEnded = std::function<void(IterationEnded)>;

enum class Phase { kCollect, kAggregate, kSwitch, kRest, kFailure, kShutdown };

class Job {
 public:
  Job(net::EventLoops& loops, cache::JobStore& store, std::shared_ptr<BufferPool> pool,
      const ServerOptions& options, OnIterationEnded on_iteration_ended);

  // Start-up, in this order, on the control loop. `first_iteration` counts only when the cache does not know
  // the job.
  Task<Result<void>> Open(std::uint64_t first_iteration);
  Task<Result<void>> AgreeOnModel(const model::Layout& layout);
  // What is wrong with a model without features: that the job has another one, or that it is empty.
  Task<Result<void>> RefuseEmptyModel();
  // Servers of one job can't combine their sums yet: waits until a dead one's heartbeat has run out, and
  // refuses (Errc::kDisagreement) beside a living one.
  Task<Result<void>> AwaitAlone();
  void SetStartModel(std::shared_ptr<const model::Model> model);
  // Errc::kDisagreement when another Server has been faster since. `http_address` may be empty.
  Task<Result<void>> Join(std::string node_id, std::string tcp_address, std::string http_address);

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
  // This Server's sum of `key` holds an update that is not counted: the iteration can't become valid.
  void NoteSpoilt(const cache::IterationKey& key);
  bool stopping() const { return stop_requested_.load(); }

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
  // Of the exception that is being handled; the first one counts.
  void NoteFault() noexcept;
  Iteration& iteration() { return *iteration_; }
  Standing standing() const;
  Error NotAlone(const std::string& other) const;
  void NoteEvent(const cache::JobEvent& event);
  // Renews this Server's place in the cluster, with a new epoch if it had lost it.
  Task<> RenewNode();
  void Adopt(const cache::Status& status, Rules rules);
  void OpenGate();
  void ArmDeadline(std::optional<std::int64_t> in_ms);

  net::EventLoops& loops_;
  cache::JobStore& store_;
  const std::shared_ptr<BufferPool> pool_;
  ServerOptions options_;  // changes in Open() only
  const OnIterationEnded on_iteration_ended_;

  Gate gate_;
  model::History history_;
  Wakeup wakeup_, beat_wakeup_;
  mutable std::mutex node_mutex_;
  std::shared_ptr<const cache::Node> node_;

  // Written by any thread, read by the phases.
  std::atomic<bool> stop_requested_{false}, look_now_{false}, beat_ended_{false};
  std::atomic<std::int64_t> deadline_ns_{INT64_MAX};  // steady clock
  std::atomic<std::uint64_t> recorded_{0};
  std::atomic<std::int64_t> unrecorded_{0};  // iterations that ended and whose files are not written yet
  std::atomic<std::uint64_t> seen_started_{0}, seen_counted_{0};
  std::mutex spoilt_mutex_;
  cache::IterationKey spoilt_;
  std::mutex fault_mutex_;
  std::string fault_;

  // The control loop's own.
  cache::Status status_;
  Rules rules_;
  std::map<std::string, std::string> hyper_;
  std::string description_;
  std::shared_ptr<Iteration> iteration_;
  std::shared_ptr<const model::Model> aggregate_;  // Aggregate -> Switch
  Decision decision_;                              // Collect -> Aggregate
  cache::Status next_status_;                      // any phase -> Switch
};

// The phases; a struct only so that Job can name one friend.
struct Phases {
  static Task<Phase> Collect(Job& job);
  static Task<Phase> Aggregate(Job& job);
  static Task<Phase> Switch(Job& job);
  static Task<Phase> Rest(Job& job);
  static Task<Phase> Failure(Job& job);
  static Task<> Shutdown(Job& job);

  // The evaluation vectors of the iteration that has ended are in the cache.
  static Task<> AwaitEvaluations(Job& job);
  // What is told about the current iteration, which ends because the cluster stands in `now`; without verdict
  // and model.
  static IterationEnded Ended(const Job& job, const cache::Status& now);
  // Has it written down, and waits for that.
  static Task<> Record(Job& job, IterationEnded ended);
  // Ends the current iteration in the cache, whatever it takes; the outcome is in job.next_status_.
  static Task<Phase> EndIteration(Job& job, bool valid, std::string reason);
  // Looks at the cache and says where to go; nothing when everything is as it was.
  static Task<std::optional<Phase>> LookAtCache(Job& job);
};

}  // namespace msfl::job
