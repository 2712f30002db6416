// Failure: the cache can't be reached, or refuses to write. Rounds that need a decision get the safemode
// text, models are served on; the sum stays, so that the iteration goes on where it was if the cache comes
// back with its data. A job that was disabled or finished goes on saying so.
#include "base/clock.h"
#include "base/log.h"
#include "job/job.h"

namespace msfl::job {

Task<Phase> Phases::Failure(Job& job) {
  constexpr std::chrono::milliseconds kInterval(200);
  // A half-done switch is taken up again by Collect, which sees that the cluster has moved; so the gate opens
  // with the iteration this Server still stands in.
  // Not with one whose model this Server does not hold: it would pass another for it.
  if (job.opened_ && job.status_.state == cache::InstanceState::kRunning) {
    job.gate_.Open(Service::kSafemode, job.iteration_);
  } else if (job.opened_) {
    job.OpenGate();
  }
  while (true) {
    // Before the look: a cache that answers and only refuses to write would be asked without a pause.
    const SteadyClock::time_point next = SteadyClock::now() + kInterval;
    while (!job.stop_requested_ && SteadyClock::now() < next) co_await job.wakeup_.Wait(next);
    if (job.stop_requested_) co_return Phase::kShutdown;
    const cache::IterationKey current = job.status_.current;
    const Result<cache::Snapshot> seen = co_await job.store_.Observe(current);
    if (seen) {
      static_cast<void>(co_await job.RenewNode(current));
      MSFL_LOG(kWarning, "the distributed cache is back: iteration=" << current.number);
      // When the record is gone or stands elsewhere, the next phase moves there before anything is served.
      if (Decide(job.standing(), *seen).move == Move::kStay && job.HoldsModelOf(seen->status)) {
        job.OpenGate();
      } else {
        job.gate_.Shut();
      }
      job.look_now_ = true;
      co_return job.status_.state == cache::InstanceState::kRunning ? Phase::kCollect : Phase::kRest;
    }
  }
}

}  // namespace msfl::job
