// Aggregate: every expected update is counted, and each was summed before it was counted, so the sum is
// complete and at rest. Requests wait at the gate from here to the end of the switch.
#include "base/log.h"
#include "job/job.h"

namespace msfl::job {

Task<Phase> Phases::Aggregate(Job& job) {
  job.gate_.Shut();
  const std::uint64_t expected = job.decision_.updates;
  std::shared_ptr<const model::Model> average;
  // Updates that other Servers hold can't be combined yet; FLServerJob refuses to start beside a living
  // Server.
  // One more than were counted: its lease was given away, and it may be half added.
  if (job.iteration().sum.uploads() == expected) {
    average = job.iteration().sum.Average(*job.iteration().start_model(), *job.pool_);
  } else {
    MSFL_LOG(kError, "this Server's sum holds other updates than were counted: iteration="
                         << job.iteration().number() << " here=" << job.iteration().sum.uploads()
                         << " expected=" << expected);
  }
  const bool valid = average != nullptr;
  job.aggregate_ = average;
  const std::string reason = valid ? job.decision_.reason : AggregationFailedReason(job.iteration().number());
  const Phase next = co_await EndIteration(job, valid, reason);
  co_return next;
}

}  // namespace msfl::job
