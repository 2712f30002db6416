// Job: the model that an iteration starts from. The record in the cache names it by its digest; a Server that
// holds another one takes it from a peer before it serves anything.
//
// Nobody alive holds it (its Servers died before another one had it, or all start again from checkpoints):
// the Server that has been in the cluster longest puts its own in its place, so that all serve the same one,
// whatever is lost.
#include <algorithm>
#include <utility>

#include "base/clock.h"
#include "base/log.h"
#include "job/job.h"

namespace msfl::job {
namespace {

constexpr std::chrono::milliseconds kPause(200);
constexpr std::chrono::seconds kLongestPause(5);
// Of one peer without a byte: another one may have it, and a dead one is soon no longer listed.
constexpr std::chrono::milliseconds kFetchPatience(3000), kDeadPatience(300);
constexpr std::size_t kKnown = model::History::kKept + 1;

}  // namespace

std::shared_ptr<const model::Model> Job::FindModel(std::string_view digest) const {
  const std::lock_guard lock(known_mutex_);
  for (const Known& known : known_) {
    if (known.digest == digest) return known.model.lock();
  }
  return nullptr;
}

void Job::MakeKnown(const NamedModel& model) {
  const std::lock_guard lock(known_mutex_);
  const auto is_of_no_use = [&](const Known& known) {
    return known.digest == model.digest || known.model.expired();
  };
  std::erase_if(known_, is_of_no_use);
  if (known_.size() >= kKnown) known_.erase(known_.begin());
  known_.push_back(Known{model.digest, model.model});
}

void Job::SetCurrent(NamedModel current) {
  MakeKnown(current);
  current_ = std::move(current);
}

Task<Job::Search> Job::AskPeers(std::string digest) {
  Search search;
  const std::string mine = node()->id;
  const std::uint64_t epoch = node()->epoch;
  auto servers = co_await store_.ListServers();
  if (!servers) co_return search;
  // One without a heartbeat may be there all the same, after an outage of the cache; a dead one only costs
  // time.
  const auto alive = [](const cache::JobStore::ListedServer& server) { return server.heartbeat_left_ms > 0; };
  std::ranges::stable_partition(*servers, alive);
  search.nobody_has_it = true;
  search.eldest = true;
  for (const cache::JobStore::ListedServer& server : *servers) {
    if (server.node.id == mine || stop_requested_) continue;
    collective::FetchRequest request;
    request.tcp_address = server.node.tcp_address;
    request.node_id = server.node.id;
    request.digest = digest;
    request.layout = current_.model->layout_ptr();
    request.patience = alive(server) ? kFetchPatience : kDeadPatience;
    request.stop = [this] { return stop_requested_.load(); };
    const auto fetched = co_await exchange_.FetchModel(std::move(request));
    if (fetched) {
      MSFL_LOG(kDebug, "the current model comes from another Server: node=" << server.node.id);
      search.found = *fetched;
      co_return search;
    }
    if (!alive(server) && fetched.error().code == Errc::kPeerUnavailable) continue;
    if (server.node.epoch < epoch) search.eldest = false;
    if (fetched.error().code == Errc::kModelUnknown) continue;
    search.nobody_has_it = false;
    search.fault = "the current model can't be had from node " + server.node.id + " at " +
                   server.node.tcp_address + ": " + fetched.error().text;
  }
  co_return search;
}

Task<bool> Job::TakeModel(cache::Status now) {
  std::string wanted = now.digest;
  SteadyClock::duration pause = kPause;
  while (!wanted.empty() && wanted != current_.digest) {
    if (const auto known = FindModel(wanted)) {
      SetCurrent(NamedModel{known, wanted});
      break;
    }
    const Search search = co_await AskPeers(wanted);
    if (stop_requested_) co_return false;
    if (search.found) {
      SetCurrent(NamedModel{search.found, wanted});
      break;
    }
    if (!search.fault.empty()) MSFL_LOG(kWarning, search.fault);
    {
      const std::lock_guard lock(known_mutex_);
      model_fault_ = search.fault;
      if (search.fault.empty()) model_fault_since_.reset();
      if (!search.fault.empty() && !model_fault_since_) model_fault_since_ = SteadyClock::now();
    }
    if (leaving_) {
      RequestStop();
      co_return false;
    }
    const cache::IterationKey key = now.current;
    if (search.nobody_has_it && search.eldest) {
      const std::string own = current_.digest;
      const Result<std::string> replaced = co_await store_.ReplaceDigest(key, wanted, own);
      if (replaced && *replaced == own && now.current.number > 1) {
        MSFL_LOG(kWarning, "no Server holds the job's current model any more; iteration "
                               << now.current.number
                               << " starts from the one of this Server: digest=" << own);
      }
    }
    const Result<cache::Snapshot> seen = co_await store_.Observe(key);
    if (seen) {
      if (!seen->known || !(seen->status.current == key)) co_return false;
      wanted = seen->status.digest;
      if (wanted == current_.digest) break;
    }
    const SteadyClock::time_point next = SteadyClock::now() + pause;
    pause = std::min<SteadyClock::duration>(2 * pause, kLongestPause);
    while (!stop_requested_ && SteadyClock::now() < next) co_await wakeup_.Wait(next);
    if (stop_requested_) co_return false;
  }
  co_return true;
}

}  // namespace msfl::job
