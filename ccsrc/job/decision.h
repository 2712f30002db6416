// What a Server does next, decided from where it stands and what it sees in the cache. Free of I/O and of
// time, so that every case can be listed in a test.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cache/job_store.h"

namespace msfl::job {

struct Standing {
  cache::IterationKey current;
  cache::InstanceState state = cache::InstanceState::kRunning;
  std::uint64_t update_threshold = 0;
};

enum class Move {
  kStay,       // nothing has changed
  kAggregate,  // every expected update is counted
  kFail,       // end the current iteration as failed, for `reason`
  kAdopt,      // the cache stands elsewhere (iteration, instance or state): go there
  kRecreate,   // the record is gone: write it again
  kStop,       // the job is being stopped
};

struct Decision {
  Move move = Move::kStay;
  std::string reason;         // of the iteration's end, with kAggregate (if it is valid) and kFail
  std::uint64_t updates = 0;  // with kAggregate: how many the sums hold together
  std::vector<cache::Contributor> contributors;  // with kAggregate: whose sums those are
};

Decision Decide(const Standing& mine, const cache::Snapshot& seen);

// Reasons of a failed iteration, literal (rounds.md, section 3).
std::string ContributorLostReason(std::uint64_t iteration);
std::string AggregationFailedReason(std::uint64_t iteration);
// Our own: `window` (as the cache names it) ended with `updates` of `threshold`, which are used.
std::string TimeoutReason(const std::string& window, std::uint64_t updates, std::uint64_t threshold);
inline constexpr char kNewInstanceReason[] = "New instance";
inline constexpr char kAggregatedReason[] =
    "Weight aggregation finished! This iteration is valid. Proceed to next iteration.";

}  // namespace msfl::job
