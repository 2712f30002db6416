// Switch: the cluster stands elsewhere (job.next_status_). Store the model of the iteration that ended, have
// it recorded on disk, and only then open the next one: a device that sees iteration N + 1 can rely on the
// files of N.
#include "base/clock.h"
#include "base/log.h"
#include "job/job.h"

namespace msfl::job {
namespace {

// The iteration that ended is the one this Server was in and the cluster has left by one step.
bool EndedHere(const cache::Status& was, const cache::Status& now) {
  return was.current.instance == now.current.instance && was.current.number + 1 == now.current.number;
}

}  // namespace

Task<Phase> Phases::Switch(Job& job) {
  job.gate_.Shut();
  const cache::Status was = job.status_;
  const cache::Status now = job.next_status_;
  // The verdict is the cluster's: an aggregate of our own counts only if the iteration is valid for
  // everybody.
  const bool valid = now.last_valid && job.aggregate_ != nullptr && EndedHere(was, now);
  const std::shared_ptr<const model::Model> model = valid ? job.aggregate_ : job.history_.Latest().model;
  job.aggregate_ = nullptr;

  if (was.current.instance != now.current.instance) {
    const Result<cache::JobStore::Opened> opened = co_await job.store_.Open(now, job.hyper_);
    if (!opened) co_return Phase::kFailure;
    const Result<Rules> rules = MakeRules(job.options_, opened->hyper);
    if (!rules) {
      MSFL_LOG(kError, "the new instance keeps its old parameters: " << rules.error().text);
    } else {
      job.rules_ = *rules;
      job.store_.SetRules(job.rules_.windows, job.rules_.thresholds, job.rules_.iterations);
    }
    job.hyper_ = opened->hyper;
    job.history_.Restart(now.current.number - 1, model);
  } else if (was.current.number != now.current.number) {
    job.history_.Store(now.current.number - 1, model);
  }

  if (EndedHere(was, now)) {
    IterationEnded ended;
    ended.key = was.current;
    ended.state = now.state == cache::InstanceState::kDisable ? now.state : was.state;
    ended.iterations = job.rules_.iterations;
    ended.valid = valid;
    ended.reason = now.last_reason;
    ended.started_ms = job.iteration().began_ms;
    ended.ended_ms = WallMillis();
    ended.metrics = job.iteration().MeanMetrics();
    ended.visits = job.iteration().visits.Summary();
    ended.model = model;
    MSFL_LOG(kInfo, "iteration " << was.current.number << " is " << (valid ? "valid: " : "invalid: ")
                                 << now.last_reason);
    job.recorded_ = 0;
    job.on_iteration_ended_(std::move(ended));
    const SteadyClock::time_point patience =
        SteadyClock::now() + std::chrono::milliseconds(job.options_.record_patience_ms);
    while (job.recorded_ != was.current.number && !job.stop_requested_ && SteadyClock::now() < patience) {
      co_await job.wakeup_.Wait(patience);
    }
    if (job.recorded_ != was.current.number && !job.stop_requested_) {
      MSFL_LOG(kError, "the files of iteration " << was.current.number
                                                 << " are not written yet; it is served without them");
    }
  }

  job.Adopt(now, job.rules_);
  job.OpenGate();
  job.look_now_ = true;  // what was noted during the switch may concern the new iteration
  if (job.stop_requested_) co_return Phase::kShutdown;
  co_return now.state == cache::InstanceState::kRunning ? Phase::kCollect : Phase::kRest;
}

}  // namespace msfl::job
