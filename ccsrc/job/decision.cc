#include "job/decision.h"

namespace msfl::job {

std::string ContributorLostReason(std::uint64_t iteration) {
  return "Server that processed updateModel requests exited, current iteration: " + std::to_string(iteration);
}

std::string AggregationFailedReason(std::uint64_t iteration) {
  return "Weight aggregation failed, current iteration: " + std::to_string(iteration);
}

Decision Decide(const Standing& mine, const cache::Snapshot& seen) {
  using cache::InstanceState;
  if (!seen.known) return {Move::kRecreate, {}};
  if (seen.status.state == InstanceState::kStop) return {Move::kStop, {}};
  if (!(seen.status.current == mine.current) || seen.status.state != mine.state) return {Move::kAdopt, {}};
  if (mine.state != InstanceState::kRunning) return {};
  // A lost contributor comes before the count: its counted updates are in the count and their sum is gone.
  if (seen.contributor_lost) return {Move::kFail, ContributorLostReason(mine.current.number)};
  if (seen.counted >= mine.update_threshold) return {Move::kAggregate, {}};
  return {};
}

}  // namespace msfl::job
