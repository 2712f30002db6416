// Shutdown: leave the cluster at once, so that nobody waits for this Server's heartbeat to expire. Requests
// already get the safemode text. The same after a fault. The end is delayed by
// three seconds at most for other Servers that still need this one's model, and by the deadlines of a command
// or two if the cache can't be reached.
#include "base/clock.h"
#include "base/log.h"
#include "job/job.h"

namespace msfl::job {

// Other Servers may still need the model of the iteration that this one has ended: each tells when it has it.
Task<> Phases::LetOthersFollow(Job& job) {
  const SteadyClock::time_point patience = SteadyClock::now() + std::chrono::seconds(3);
  while (!job.last_ended_.instance.empty() && SteadyClock::now() < patience) {
    const cache::IterationKey key = job.last_ended_;
    const std::string id = job.node()->id, text = job.last_summary_;
    const Result<cache::Summaries> told = co_await job.store_.Summarise(key, id, text);
    if (!told) break;
    const bool all = co_await AllHaveTold(job, *told);
    if (all) break;
    co_await job.wakeup_.Wait(SteadyClock::now() + std::chrono::milliseconds(100));
  }
}

Task<> Phases::Shutdown(Job& job) {
  // A heartbeat still on its way would enter the node again.
  const SteadyClock::time_point patience = SteadyClock::now() + std::chrono::seconds(3);
  while (!job.beat_ended_ && SteadyClock::now() < patience) co_await job.wakeup_.Wait(patience);
  co_await LetOthersFollow(job);
  const cache::Node mine = *job.node();
  const Result<void> left = co_await job.store_.Unregister(mine);
  if (!left) {
    MSFL_LOG(kWarning, "left without telling the cluster, which will notice when the heartbeat expires: "
                           << left.error().text);
  }
}

}  // namespace msfl::job
