// Rest: the instance is disabled or finished. Nothing is collected; the cache tells when that changes.
#include "base/clock.h"
#include "job/job.h"

namespace msfl::job {

Task<Phase> Phases::Rest(Job& job) {
  while (!job.stop_requested_) {
    if (job.MayLeave()) {
      job.RequestStop();
      break;
    }
    job.look_now_ = false;
    const std::optional<Phase> next = co_await LookAtCache(job);
    if (next) co_return *next;
    co_await job.wakeup_.Wait(SteadyClock::now() + std::chrono::seconds(1));
  }
  co_return Phase::kShutdown;
}

}  // namespace msfl::job
