#include "job/decision.h"

namespace msfl::job {

std::string ContributorLostReason(std::uint64_t iteration) {
  return "Server that processed updateModel requests exited, current iteration: " + std::to_string(iteration);
}

std::string AggregationFailedReason(std::uint64_t iteration) {
  return "Weight aggregation failed, current iteration: " + std::to_string(iteration);
}

std::string TimeoutReason(const std::string& window, std::uint64_t updates, std::uint64_t threshold) {
  return window + " timeout! " + std::to_string(updates) + " of " + std::to_string(threshold) +
         " updates have come and are aggregated. This iteration is valid. Proceed to next iteration.";
}

Decision Decide(const Standing& mine, const cache::Snapshot& seen) {
  using cache::InstanceState;
  if (!seen.known) return {Move::kRecreate, {}, 0, {}};
  if (seen.status.state == InstanceState::kStop) return {Move::kStop, {}, 0, {}};
  if (!(seen.status.current == mine.current) || seen.status.state != mine.state)
    return {Move::kAdopt, {}, 0, {}};
  if (mine.state != InstanceState::kRunning) return {};
  // A lost contributor comes before the count: its counted updates are in the count and their sum is gone.
  if (seen.contributor_lost) return {Move::kFail, ContributorLostReason(mine.current.number), 0, {}};
  const std::uint64_t expected = seen.target.value_or(mine.update_threshold);
  if (seen.counted >= expected && seen.orphans.empty()) {
    return {Move::kAggregate,
            expected < mine.update_threshold ? TimeoutReason(seen.timed_out, expected, mine.update_threshold)
                                             : kAggregatedReason,
            expected, seen.contributors};
  }
  return {};
}

}  // namespace msfl::job
