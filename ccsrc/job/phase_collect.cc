// Collect: devices join and upload. Left when every expected update is counted, a window is over, or the
// cluster has moved. News are pushed; the look once a second is the safety net.
#include <algorithm>
#include <utility>

#include "base/clock.h"
#include "base/log.h"
#include "job/job.h"

namespace msfl::job {
namespace {

constexpr std::chrono::seconds kSafetyLook(1);

// The cache's clock and ours may drift apart within a window: a deadline that is not over there yet is asked
// for again.
constexpr std::chrono::milliseconds kDeadlineRetry(20);

bool Contains(const std::vector<cache::Contributor>& contributors, const std::string& node_id) {
  const auto is_it = [&](const cache::Contributor& contributor) { return contributor.node_id == node_id; };
  return std::ranges::any_of(contributors, is_it);
}

}  // namespace

Task<std::optional<Phase>> Phases::LookAtCache(Job& job) {
  const cache::IterationKey current = job.status_.current;
  job.nodes_have_changed_ = false;
  const Result<cache::Snapshot> seen = co_await job.store_.Observe(current);
  if (!seen) {
    MSFL_LOG(kWarning, "the distributed cache can't be reached: " << seen.error().text);
    co_return Phase::kFailure;
  }
  // What has happened since may have made this Server the owner of parts, of which it has not heard.
  if (!job.unheard_.empty()) {
    std::vector<cache::Orphan> unheard = std::exchange(job.unheard_, {});
    co_await TakeOver(job, std::move(unheard));
    if (!job.unheard_.empty()) co_return Phase::kFailure;
  }
  if (seen->known && seen->status.current == current) {
    job.seen_started_ = seen->started;
    job.seen_counted_ = seen->counted;
  }
  const Decision decision = Decide(job.standing(), *seen);
  switch (decision.move) {
    case Move::kStay:
      if (!seen->orphans.empty()) co_await TakeOver(job, seen->orphans);
      job.ArmDeadline(seen->deadline_in_ms);
      if (!job.HoldsModelOf(seen->status)) {
        job.next_status_ = seen->status;
        co_return Phase::kSwitch;
      }
      // Failure leaves it shut for a move that has become needless since.
      if (job.gate_.Look().switching) job.OpenGate();
      co_return std::nullopt;
    case Move::kAggregate: {
      job.decision_ = decision;
      if (Contains(decision.contributors, job.node()->id)) co_return Phase::kAggregate;
      const std::optional<Phase> next = co_await AwaitOthers(job);
      co_return next;
    }
    case Move::kAdopt: {
      const Phase next = co_await GoTo(job, seen->status);
      co_return next;
    }
    case Move::kStop:
      MSFL_LOG(kWarning, "the job is being stopped: instance=" << current.instance);
      job.gate_.Close(Service::kDisabled);  // the job is over for the devices, not only this process
      job.RequestStop();
      co_return Phase::kShutdown;
    case Move::kFail: {
      const Phase next = co_await EndIteration(job, false, decision.reason, std::string());
      co_return next;
    }
    case Move::kRecreate: {
      MSFL_LOG(kWarning, "the job's record in the distributed cache is gone and is written again: iteration="
                             << current.number);
      const Phase next = co_await Recreate(job, current.instance);
      co_return next;
    }
  }
  co_return std::nullopt;
}

// The record from this Server's memory, where the cache has lost it; otherwise where the job stands. It may
// have been lost although there is one: a Server that started in that moment has begun another instance.
Task<Phase> Phases::Recreate(Job& job, std::string found_instance) {
  cache::Status status = job.status_;
  // A Server that does not hold the job's model must not make its own the job's.
  if (status.digest.empty()) status.digest = job.current_.digest;
  const std::string mine = status.current.instance;
  // The list of nodes is gone as well. Before anybody can see the record: who does not find this Server there
  // would take its own model for the job's. Nor may a node that is not listed count an update.
  static_cast<void>(co_await job.RenewNode(job.status_.current));
  Result<cache::Status> stands =
      co_await job.store_.Recreate(status, job.hyper_, job.description_, found_instance);
  // Begun since the look that has found none.
  if (stands && found_instance == mine && stands->current.instance != mine) {
    found_instance = stands->current.instance;
    stands = co_await job.store_.Recreate(status, job.hyper_, job.description_, found_instance);
  }
  if (!stands && stands.error().code == Errc::kStopping) {
    job.Fail(stands.error().text.c_str());
    co_return Phase::kShutdown;
  }
  if (!stands) co_return Phase::kFailure;
  if (found_instance != mine && stands->current.instance == mine) {
    MSFL_LOG(kWarning,
             "the distributed cache had lost the job's record; the instance that a Server has begun "
             "since is replaced by it: replaced="
                 << found_instance);
  }
  job.next_status_ = *stands;
  co_return Phase::kSwitch;
}

Task<Phase> Phases::GoTo(Job& job, cache::Status stands) {
  if (stands.current.instance != job.status_.current.instance) {
    const Phase next = co_await Recreate(job, stands.current.instance);
    co_return next;
  }
  job.next_status_ = std::move(stands);
  co_return Phase::kSwitch;
}

Task<Phase> Phases::EndIteration(Job& job, bool valid, std::string reason, std::string digest) {
  const cache::IterationKey from = job.status_.current;
  const Result<cache::AdvanceAnswer> answer =
      co_await job.store_.Advance(from, valid, std::move(reason), std::move(digest));
  // The record is gone. Written again it goes on with the next iteration, so this one ends all the same; to
  // look first would come to nothing where the caller has found its own sum spoilt.
  if (!answer && answer.error().code == Errc::kDisagreement) {
    const Phase next = co_await Recreate(job, from.instance);
    co_return next;
  }
  // Unreachable cache: the phase that called is entered again when it is back, and decides anew.
  if (!answer) {
    MSFL_LOG(kWarning, "iteration " << from.number << " can't be ended yet: " << answer.error().text);
    co_return Phase::kFailure;
  }
  const Phase next = co_await GoTo(job, answer->status);
  co_return next;
}

Task<Phase> Phases::Collect(Job& job) {
  SteadyClock::time_point next_look = SteadyClock::now();
  while (!job.stop_requested_) {
    if (job.MayLeave()) {
      job.RequestStop();
      break;
    }
    if (job.leaving_ && job.gate_.Look().service == Service::kServing) job.OpenGate();
    if (job.iteration_->spoilt) {
      const std::optional<Phase> next = co_await GiveUpPart(job);
      if (next) co_return *next;
    }
    // At once, since what a Server that is not listed has added counts for nothing.
    if (job.may_be_unlisted_.exchange(false)) {
      const bool renewed = co_await job.RenewNode(job.status_.current);
      if (!renewed) job.may_be_unlisted_ = true;
    }
    if (job.look_now_.exchange(false) || SteadyClock::now() >= next_look) {
      const std::optional<Phase> next = co_await LookAtCache(job);
      if (next) co_return *next;
      co_await TendHolders(job);
      next_look = SteadyClock::now() + kSafetyLook;
    }
    const SteadyClock::time_point deadline{SteadyClock::duration(job.deadline_ns_.load())};
    if (SteadyClock::now() >= deadline) {
      const cache::IterationKey current = job.status_.current;
      const Result<cache::ExpireAnswer> answer = co_await job.store_.Expire(current);
      if (!answer) co_return Phase::kFailure;
      if (answer->expired || !(answer->status.current == current)) {
        const Phase next = co_await GoTo(job, answer->status);
        co_return next;
      }
      job.look_now_ = true;  // the iteration may go on with what has come
      job.deadline_ns_ = INT64_MAX;
      job.ArmDeadline(answer->deadline_in_ms);
      if (SteadyClock::now().time_since_epoch().count() >= job.deadline_ns_.load()) {
        job.deadline_ns_ = (SteadyClock::now() + kDeadlineRetry).time_since_epoch().count();
      }
      continue;
    }
    co_await job.wakeup_.Wait(std::min(next_look, deadline));
  }
  const Phase next = co_await HandOver(job);
  co_return next;
}

}  // namespace msfl::job
