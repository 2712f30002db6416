// Whose the parts of an iteration are: taking over those of Servers that are gone, and giving this Server's
// own to others when it goes. Steps of Collect.
#include <algorithm>
#include <utility>

#include "base/clock.h"
#include "base/log.h"
#include "job/job.h"

namespace msfl::job {
namespace {

// And some more for a large sum.
constexpr std::chrono::seconds kTendingPatience(4);
constexpr std::size_t kTendingRate = 100'000'000;  // bytes per second
constexpr std::int64_t kSilentMs = 2'500;          // a heartbeat comes each second

}  // namespace

Task<> Phases::TakeOver(Job& job, std::vector<cache::Orphan> orphans) {
  for (const cache::Orphan& orphan : orphans) {
    const cache::Node node = *job.node();
    if (orphan.heir != node.id) continue;
    recovery::PartKey key{job.status_.current.instance, job.status_.current.number, orphan.part};
    const auto taken = co_await job.replication_->TakeOver(std::move(key), node);
    if (!taken) {
      MSFL_LOG(kWarning, "the updates of a Server that is gone can't be taken over yet: node="
                             << orphan.part << ": " << taken.error().text);
      job.unheard_.push_back(orphan);
    } else if (*taken != nullptr) {
      job.iteration_->TakeOver(*taken);
    }
    job.look_now_ = true;
  }
}

Task<> Phases::Reclaim(Job& job) {
  std::vector<cache::Orphan> orphans;
  for (const recovery::PartKey& key : std::exchange(job.reclaimable_, {})) {
    const cache::Node node = *job.node();
    if (job.status_.state != cache::InstanceState::kRunning || key.in() != job.status_.current) continue;
    const recovery::PartKey wanted = key;
    Result<bool> claimed = co_await job.replication_->Claim(wanted, node);
    for (const auto until = SteadyClock::now() + kTendingPatience;
         !claimed && !job.stop_requested_ && SteadyClock::now() < until;) {
      co_await job.wakeup_.Wait(SteadyClock::now() + std::chrono::milliseconds(200));
      claimed = co_await job.replication_->Claim(wanted, node);
    }
    if (!claimed || !*claimed) {
      MSFL_LOG(kWarning, "updates that were found on the disk can't be used: node="
                             << key.part << (claimed ? "" : ": " + claimed.error().text));
      continue;
    }
    orphans.push_back(cache::Orphan{key.part, node.id});
  }
  co_await TakeOver(job, std::move(orphans));
  for (const auto& part : job.iteration_->taken_over()) part->holders.SetOnDisk(true);
}

Task<> Phases::TendHolders(Job& job) {
  const std::uint64_t wanted = job.replication_->replicas();
  if (wanted == 0 || job.status_.state != cache::InstanceState::kRunning) co_return;
  std::vector<std::shared_ptr<recovery::Part>> parts = job.iteration_->taken_over();
  if (!job.iteration_->superseded && job.iteration_->sum.uploads() > 0) parts.push_back(job.iteration_->part);
  for (const auto& part : parts) {
    for (const recovery::Holder& holder : part->holders.Get()) {
      if (!job.IsListed(holder.node_id)) part->holders.Drop(holder.node_id);
    }
    // Not for long: meanwhile this Server sees neither windows nor a cache that is away.
    const std::chrono::seconds for_size(part->sum.sums().size_bytes() / kTendingRate);
    const auto stop = [&job, until = SteadyClock::now() + kTendingPatience + for_size] {
      return job.stop_requested_ || SteadyClock::now() >= until;
    };
    static_cast<void>(co_await job.replication_->Arrange(part, job.OwnerNode(), wanted, stop));
  }
}

Task<std::optional<Phase>> Phases::GiveUpPart(Job& job) {
  const cache::IterationKey current = job.status_.current;
  Result<cache::YieldVerdict> yielded(cache::YieldVerdict::kNoHeir);
  // Alone, nobody would count anything any more in this iteration.
  if (job.HasOthers()) {
    const std::string part = job.iteration_->part->key.part;
    yielded = co_await job.store_.YieldPart(current, part);
  }
  if (!yielded) co_return Phase::kFailure;
  if (*yielded == cache::YieldVerdict::kNoHeir) {
    const std::string reason = ContributorLostReason(current.number);
    const Phase next = co_await EndIteration(job, false, reason, std::string());
    co_return next;
  }
  if (*yielded == cache::YieldVerdict::kYielded) {
    MSFL_LOG(kWarning, "this Server was taken for dead; another one answers for its updates: iteration="
                           << current.number);
    job.iteration_->Supersede();
  }
  job.look_now_ = true;
  co_return std::nullopt;
}

// Whoever still adds is waited for, and counted; who comes later is sent to another Server. The copies that
// others hold are taken over by them once this Server is out of the cluster.
Task<Phase> Phases::HandOver(Job& job) {
  constexpr std::chrono::seconds kPatience(6);
  const SteadyClock::time_point until = SteadyClock::now() + kPatience;
  Iteration& iteration = *job.iteration_;
  const bool fault = [&] {
    const std::lock_guard lock(job.fault_mutex_);
    return !job.fault_.empty();
  }();
  const bool nothing =
      iteration.taken_over().empty() && (iteration.superseded || iteration.sum.uploads() == 0);
  if (nothing || fault || job.options_.as_release_0_2 || !job.opened_) co_return Phase::kShutdown;
  recovery::Ledger& ledger = iteration.part->ledger;
  const bool paused = co_await ledger.Pause(until);
  if (!paused) co_return Phase::kShutdown;
  static_cast<void>(iteration.sum.Seal(iteration.sum.uploads()));
  ledger.Resume();
  const bool settled = co_await ledger.AwaitSettled(until);
  const std::optional<Phase> next = co_await LookAtCache(job);
  // What can't be combined in time is combined by others.
  if (next && (*next != Phase::kAggregate || !job.combined_in_vain_)) co_return *next;
  std::vector<std::shared_ptr<recovery::Part>> parts = iteration.taken_over();
  if (settled && !iteration.spoilt && !iteration.superseded && iteration.sum.uploads() > 0)
    parts.push_back(iteration.part);
  const std::size_t wanted = std::max<std::size_t>(job.replication_->replicas(), 1);
  const auto stop = [until] { return SteadyClock::now() >= until; };
  bool all_held = true;
  for (const auto& part : parts) {
    co_await DropSilentHolders(job, part);
    const auto held = co_await job.replication_->Arrange(part, job.OwnerNode(), wanted, stop);
    if (held && *held > 0) {
      MSFL_LOG(kWarning, "this Server stops and leaves its updates to another one: updates="
                             << part->sum.uploads() << " iteration=" << part->key.iteration);
      continue;
    }
    all_held = false;
    const bool kept = co_await job.replication_->KeepOnDisk(part, job.OwnerNode(), stop);
    if (kept) {
      MSFL_LOG(kWarning, "this Server stops, the last one, and leaves its updates on the disk: updates="
                             << part->sum.uploads() << " iteration=" << part->key.iteration);
    } else {
      MSFL_LOG(kWarning, "no other Server can take the updates of this one, which are lost: updates="
                             << part->sum.uploads() << " iteration=" << part->key.iteration);
    }
  }
  if (all_held && !parts.empty()) job.replication_->ForgetDisk();
  co_return Phase::kShutdown;
}

// One that has just died is still listed, and nobody would notice any more.
Task<> Phases::DropSilentHolders(Job& job, std::shared_ptr<recovery::Part> part) {
  const auto servers = co_await job.store_.ListServers();
  if (!servers) co_return;
  for (const recovery::Holder& holder : part->holders.Get()) {
    const auto is_it = [&](const auto& server) { return server.node.id == holder.node_id; };
    const auto found = std::ranges::find_if(*servers, is_it);
    if (found == servers->end() || found->silent_ms > kSilentMs) part->holders.Drop(holder.node_id);
  }
}

}  // namespace msfl::job
