// Shutdown: leave the cluster at once, so that nobody waits for this Server's heartbeat to expire. Requests
// already get the safemode text. The same after a fault. A cache that can't be reached delays the end by the
// deadlines of a command or two, no more.
#include "base/clock.h"
#include "base/log.h"
#include "job/job.h"

namespace msfl::job {

Task<> Phases::Shutdown(Job& job) {
  // A heartbeat still on its way would enter the node again.
  const SteadyClock::time_point patience = SteadyClock::now() + std::chrono::seconds(3);
  while (!job.beat_ended_ && SteadyClock::now() < patience) co_await job.wakeup_.Wait(patience);
  const cache::Node mine = *job.node();
  const Result<void> left = co_await job.store_.Unregister(mine);
  if (!left) {
    MSFL_LOG(kWarning, "left without telling the cluster, which will notice when the heartbeat expires: "
                           << left.error().text);
  }
}

}  // namespace msfl::job
