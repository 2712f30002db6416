// Switch: the cluster stands elsewhere (job.next_status_). Hold the model that it goes on from, store it,
// have the iteration that ended recorded on disk, and only then open the next one: a device that sees
// iteration N + 1 can rely on the files of N. A new instance begins with the latest model as its model 0 and
// with the parameters in the cache.
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

// No longer than a command may take: they matter less than the next iteration.
Task<> Phases::AwaitEvaluations(Job& job) {
  const SteadyClock::time_point patience = SteadyClock::now() + std::chrono::seconds(3);
  while (job.iteration().evaluations_under_way != 0 && !job.stop_requested_ &&
         SteadyClock::now() < patience) {
    co_await job.wakeup_.Wait(patience);
  }
}

IterationEnded Phases::Ended(const Job& job, const cache::Status& now) {
  const cache::Status& was = job.status_;
  IterationEnded ended;
  ended.key = was.current;
  const bool by_new_instance = was.current.instance != now.current.instance;
  const bool disabled = !by_new_instance && now.state == cache::InstanceState::kDisable;
  ended.state = disabled ? now.state : was.state;
  ended.iterations = job.rules_.iterations;
  ended.reason = by_new_instance ? kNewInstanceReason : now.last_reason;
  ended.started_ms = job.iteration_->began_ms;
  ended.ended_ms = WallMillis();
  ended.metric_sums = job.iteration_->metric_sums();
  ended.visits = job.iteration_->visits.Summary();
  return ended;
}

Task<Phase> Phases::Switch(Job& job) {
  job.gate_.Shut();
  const cache::Status was = job.status_;
  cache::Status now = job.next_status_;
  const bool new_instance = was.current.instance != now.current.instance;
  const bool dropped = new_instance && was.state == cache::InstanceState::kRunning;
  Rules rules = job.rules_;
  if (new_instance) {
    const Result<cache::JobStore::Opened> opened = co_await job.store_.Follow(now, job.hyper_);
    if (!opened) co_return Phase::kFailure;
    // It may be another Server's that has found an emptied cache, with another model.
    const Result<void> same_model = co_await job.AgreeOnModel(job.current_.model->layout());
    const Result<void> goes_together =
        same_model ? CompareHyperParameters(job.options_.hyper_parameters, opened->hyper) : same_model;
    if (!goes_together && goes_together.error().code != Errc::kDisagreement) co_return Phase::kFailure;
    if (!goes_together) {
      job.Fail(goes_together.error().text.c_str());
      co_return Phase::kShutdown;
    }
    now = opened->status;  // it may have moved on since
    const Result<Rules> fresh = MakeRules(job.options_, opened->hyper);
    if (fresh) {
      rules = *fresh;
    } else {
      MSFL_LOG(kError, "the new instance keeps its old parameters: " << fresh.error().text);
    }
    job.hyper_ = opened->hyper;
    MSFL_LOG(kInfo, "a new instance begins: instance=" << now.current.instance
                                                       << " iteration=" << now.current.number);
  }

  // The verdict is the cluster's: an aggregate of our own counts only if it is what the cluster goes on from.
  if (job.aggregate_.model != nullptr && job.aggregate_.digest == now.digest) job.SetCurrent(job.aggregate_);
  job.aggregate_ = {};
  // Others may have ended the iteration, or this Server may have been away: then it holds another model than
  // they do.
  const cache::Status target = now;
  const bool agreed = co_await job.TakeModel(target);
  if (!agreed && job.stop_requested_) co_return Phase::kShutdown;
  if (agreed) now.digest = job.current_.digest;
  const std::shared_ptr<const model::Model> model = job.current_.model;

  // The job has moved on meanwhile, and this Server knows nothing of the model in between: the gate stays
  // shut, and the next look goes where the job stands by then.
  if (agreed && (dropped || EndedHere(was, now))) {
    co_await AwaitEvaluations(job);
    IterationEnded ended = Ended(job, now);
    ended.valid = now.last_valid && EndedHere(was, now);
    ended.model = model;
    co_await Record(job, std::move(ended));
  }
  // Only now, since a request that had passed the gate before may still look for the latest model.
  if (new_instance) {
    job.store_.SetRules(rules.windows, rules.thresholds, rules.iterations);
    job.history_.Restart(now.current.number - 1, model);
    // Its Servers may have other settings; then this one has no place among them.
    static_cast<void>(co_await job.RenewNode(now.current));
    if (job.stop_requested_) co_return Phase::kShutdown;
  } else if (agreed && (was.current.number != now.current.number || job.history_.Latest().model != model)) {
    job.history_.Store(now.current.number - 1, model);
  }

  if (new_instance || was.current.number < now.current.number) {
    job.exchange_.Leave(was.current.instance, was.current.number);
  }
  // A cache that came back with older data may name an earlier instance, too.
  if (new_instance || now.current.number < was.current.number) {
    job.exchange_.GoBack(now.current.instance, now.current.number);
  }
  job.Adopt(now, rules);
  if (agreed) job.OpenGate();
  job.look_now_ = true;  // what was noted during the switch may concern the new iteration
  if (job.stop_requested_) co_return Phase::kShutdown;
  co_return now.state == cache::InstanceState::kRunning ? Phase::kCollect : Phase::kRest;
}

}  // namespace msfl::job
