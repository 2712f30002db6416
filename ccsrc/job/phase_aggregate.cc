// Aggregate: every expected update is counted, and each was summed before it was counted, so the sums are
// complete and at rest. The Servers that hold them, and no others, combine them: who they are stands in the
// cache beside the counts, so all of them know the same ones. Requests wait at the gate from here to the end
// of the switch.
//
// One of them dies, stalls or can't be reached: the others notice within seconds and end the iteration as
// failed. If it was ended as valid before, by a Server that had everything, that verdict holds: who has lost
// the combination takes the model from there.
#include <algorithm>

#include "base/log.h"
#include "job/job.h"

namespace msfl::job {
namespace {

constexpr std::chrono::seconds kGrace(2);
constexpr std::chrono::milliseconds kAgain(100);

// For the others to combine what they hold. Those that die are noticed by their heartbeats, and those that
// stall by the others: this is for what nobody has thought of, so it is longer than any combination may take
// (exchange.h: 12 bytes of an element at 1 MB/s).
SteadyClock::duration OthersPatience(const model::Model& model) {
  const std::size_t megabytes = 12 * model.layout().aggregated_elements() / 1'000'000;
  return std::chrono::minutes(10) + std::chrono::seconds(megabytes);
}

}  // namespace

Task<std::optional<collective::Combined>> Phases::Combine(Job& job) {
  collective::CombineRequest request;
  request.instance = job.status_.current.instance;
  request.iteration = job.status_.current.number;
  request.start_model = job.iteration().start_model();
  request.sum = job.iteration().WholeSum();
  // Another Server has ended the iteration: that verdict holds, but if it is valid, the rest is a moment
  // away, and less than the whole model. The same when this Server is to stop: what all have counted is not
  // to be lost for it.
  job.moved_while_combining_ = false;
  request.stop = [&job, until = SteadyClock::time_point::max()]() mutable {
    if (job.nodes_have_changed_ && job.replication_->replicas() > 0) return true;
    if (!job.stop_requested_ && !job.moved_while_combining_) return false;
    until = std::min(until, SteadyClock::now() + kGrace);
    return SteadyClock::now() >= until;
  };
  for (const cache::Contributor& contributor : job.decision_.contributors) {
    request.members.push_back({contributor.node_id, contributor.tcp_address, contributor.counted});
  }
  job.not_to_be_combined_ = false;
  const std::uint64_t number = request.iteration;
  const auto combined = co_await job.exchange_.Combine(std::move(request));
  const bool given_up = job.stop_requested_ || job.moved_while_combining_ || job.nodes_have_changed_;
  if (!combined && given_up && combined.error().code == Errc::kStopping) co_return std::nullopt;
  if (!combined) {
    const Errc code = combined.error().code;
    job.not_to_be_combined_ = code == Errc::kNotFinite || code == Errc::kDisagreement;
    MSFL_LOG(kError, "the sums of iteration " << number << " can't be combined: " << combined.error().text);
    co_return std::nullopt;
  }
  co_return *combined;
}

// A member that can't be reached may be dead, and another Server may hold its part: that is known once its
// heartbeat has run out. Until then this Server asks it again and again. One that has left may have given its
// part to another.
bool Phases::MayCombineAgain(Job& job) {
  if (job.not_to_be_combined_ || (job.replication_->replicas() == 0 && !job.nodes_have_changed_))
    return false;
  const SteadyClock::time_point now = SteadyClock::now();
  if (!job.awaiting_since_) job.awaiting_since_ = now;
  return now < *job.awaiting_since_ + OthersPatience(*job.iteration().start_model());
}

Task<std::optional<Phase>> Phases::AwaitOthers(Job& job) {
  const SteadyClock::time_point now = SteadyClock::now();
  job.gate_.Shut();
  if (!job.awaiting_since_) job.awaiting_since_ = now;
  if (now < *job.awaiting_since_ + OthersPatience(*job.iteration().start_model())) co_return std::nullopt;
  const Phase next =
      co_await EndIteration(job, false, AggregationFailedReason(job.status_.current.number), std::string());
  co_return next;
}

Task<Phase> Phases::Aggregate(Job& job) {
  job.gate_.Shut();
  std::optional<collective::Combined> average = co_await Combine(job);
  if (job.stop_requested_ && !average) {
    job.combined_in_vain_ = true;
    const Phase next = co_await HandOver(job);
    co_return next;
  }
  if (!average && MayCombineAgain(job)) {
    job.look_now_ = true;
    co_await job.wakeup_.Wait(SteadyClock::now() + kAgain);
    co_return Phase::kCollect;
  }
  const bool valid = average.has_value();
  job.aggregate_ = {};
  if (valid) {
    job.aggregate_ = Job::NamedModel{std::move(average->model), std::move(average->digest)};
    // Before the record names it: others may hear of the verdict before this Server has its own answer, and a
    // model that no Server knows of is given up.
    job.MakeKnown(job.aggregate_);
  }
  const std::string reason = valid ? job.decision_.reason : AggregationFailedReason(job.iteration().number());
  const std::string digest = job.aggregate_.digest;
  const Phase next = co_await EndIteration(job, valid, reason, digest);
  co_return next;
}

}  // namespace msfl::job
