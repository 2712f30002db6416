#include "job/job.h"

#include <stdexcept>
#include <utility>

#include "base/clock.h"
#include "base/log.h"
#include "base/lost_coroutine.h"

namespace msfl::job {

Job::Job(net::EventLoops& loops, cache::JobStore& store, collective::Exchange& exchange,
         std::shared_ptr<BufferPool> pool, const ServerOptions& options, OnIterationEnded on_iteration_ended)
    : loops_(loops),
      store_(store),
      exchange_(exchange),
      pool_(std::move(pool)),
      options_(options),
      on_iteration_ended_(std::move(on_iteration_ended)),
      history_(options_.limits.body_memory / 4),
      wakeup_(loops.control()),
      beat_wakeup_(loops.loop(0)) {
  exchange_.SetModelSource([this](std::string_view digest) { return FindModel(digest); });
}

Task<std::string> Job::Run() {
  try {
    co_await RunPhases();
  } catch (...) {
    NoteFault();
  }
  try {
    co_await Phases::Shutdown(*this);
  } catch (...) {
    NoteFault();
  }
  const std::lock_guard lock(fault_mutex_);
  co_return fault_;
}

void Job::Fail(const char* text) noexcept {
  try {
    throw std::runtime_error(text);
  } catch (...) {
    NoteFault();
  }
}

void Job::NoteFault() noexcept {
  try {
    // Before anything that can fail: no device shall be answered as if things went on.
    RequestStop();
    std::string text = "unknown exception";
    try {
      throw;
    } catch (const std::exception& error) {
      if (*error.what() != '\0') text = error.what();  // empty is the orderly end
    } catch (...) {
    }
    {
      const std::lock_guard lock(fault_mutex_);
      if (fault_.empty()) fault_ = text;
    }
    MSFL_LOG(kError, "the job ends: " << text);
  } catch (...) {
    const std::lock_guard lock(fault_mutex_);
    if (fault_.empty()) fault_ = "no memory";  // so short that it needs none
  }
}

Task<> Job::RunPhases() {
  co_await Enter();
  co_await Phases::Reclaim(*this);
  if (status_.state == cache::InstanceState::kFinish) {
    MSFL_LOG(kWarning,
             "the job has finished before: devices are served its model and train no more. To train "
             "again start a new instance (/newInstance of the Scheduler), or choose another fl_name");
  }
  Phase phase = status_.state == cache::InstanceState::kRunning ? Phase::kCollect : Phase::kRest;
  while (phase != Phase::kShutdown) {
    switch (phase) {
      case Phase::kCollect:
        phase = co_await Phases::Collect(*this);
        break;
      case Phase::kAggregate:
        phase = co_await Phases::Aggregate(*this);
        break;
      case Phase::kSwitch:
        phase = co_await Phases::Switch(*this);
        break;
      case Phase::kRest:
        phase = co_await Phases::Rest(*this);
        break;
      case Phase::kFailure:
        phase = co_await Phases::Failure(*this);
        break;
      case Phase::kShutdown:
        break;
    }
  }
}

Task<> Job::Beat() {
  constexpr std::chrono::seconds kInterval(1);
  LostCoroutine lost([this] {
    Fail("the heartbeat can't go on, there may be no memory");
    beat_ended_ = true;
    wakeup_.Notify();
  });
  try {
    while (!stop_requested_) {
      const cache::IterationKey current = gate_.Look().iteration->key();
      static_cast<void>(co_await RenewNode(current));
      co_await beat_wakeup_.Wait(SteadyClock::now() + kInterval);
    }
  } catch (...) {
    NoteFault();
  }
  lost.Ended();
  beat_ended_ = true;
  wakeup_.Notify();
}

Task<bool> Job::RenewNode(cache::IterationKey current) {
  const cache::Node mine = *node();
  const Result<cache::HeartbeatAnswer> renewed = co_await store_.Heartbeat(mine, current);
  if (!renewed) {
    cache_missed_ns_ = SteadyClock::now().time_since_epoch().count();
    co_return false;
  }
  // Entered while this Server was away, so nobody had refused them; the cluster is theirs by now.
  if (renewed->other_settings) {
    Fail(OtherSettings(options_.cluster_settings, *renewed->other_settings).text.c_str());
    co_return true;
  }
  if (renewed->node.leaving && !leaving_.exchange(true)) NoteMoved();
  TellOfOthers(renewed->servers);
  if (renewed->node.epoch == mine.epoch) co_return true;
  {
    const std::lock_guard lock(node_mutex_);
    node_ = std::make_shared<const cache::Node>(renewed->node);
  }
  MSFL_LOG(kWarning, "this Server was no longer listed and has entered the cluster again: node=" << mine.id);
  co_return true;
}

void Job::TellOfOthers(const std::vector<std::string>& servers) {
  const std::lock_guard lock(node_mutex_);
  std::set<std::string> now(servers.begin(), servers.end());
  for (const std::string& id : now) {
    if (id != node_->id && !servers_.contains(id)) {
      MSFL_LOG(kWarning, "a Server is in the cluster: node=" << id << " servers=" << now.size());
    }
  }
  for (const std::string& id : servers_) {
    if (!now.contains(id)) {
      MSFL_LOG(kWarning, "a Server has left the cluster, or its heartbeat has run out: node="
                             << id << " servers=" << now.size());
    }
  }
  servers_ = std::move(now);
}

bool Job::IsListed(const std::string& node_id) const {
  const std::lock_guard lock(node_mutex_);
  return servers_.empty() || servers_.contains(node_id);
}

bool Job::HasOthers() const {
  const std::lock_guard lock(node_mutex_);
  return servers_.size() > 1;
}

void Job::RequestStop() {
  stop_requested_ = true;
  gate_.Close(Service::kStopping);
  wakeup_.Notify();
  beat_wakeup_.Notify();
}

std::shared_ptr<const cache::Node> Job::node() const {
  const std::lock_guard lock(node_mutex_);
  return node_;
}

void Job::NoteEvent(const cache::JobEvent& event) {
  using Kind = cache::JobEvent::Kind;
  const bool beyond =
      event.iteration.instance != status_.current.instance || event.iteration.number > status_.current.number;
  if (event.kind == Kind::kMoved && beyond) moved_while_combining_ = true;
  if (event.kind == Kind::kOther) nodes_have_changed_ = true;
  if (event.kind == Kind::kLeave) beat_wakeup_.Notify();  // whose heartbeat tells whether it is this one
  if (event.iteration == status_.current &&
      (event.kind == Kind::kStartFull || event.kind == Kind::kStartOpen)) {
    iteration_->start_fl_job_full = event.kind == Kind::kStartFull;
  }
  NoteMoved();
}

void Job::NoteMoved() {
  look_now_ = true;
  wakeup_.Notify();
}

void Job::NoteDeadline(std::int64_t in_ms) {
  ArmDeadline(in_ms);
  wakeup_.Notify();
}

void Job::NoteSpoilt(Iteration& iteration) {
  iteration.spoilt = true;
  NoteMoved();
}

void Job::NoteRecorded(std::uint64_t iteration) {
  recorded_ = iteration;
  --unrecorded_;
  wakeup_.Notify();
}

Standing Job::standing() const {
  return Standing{status_.current, status_.state, rules_.thresholds.update_model};
}

void Job::Adopt(const cache::Status& status, Rules rules) {
  const bool follows = iteration_ != nullptr && status_.current.instance != status.current.instance;
  status_ = status;
  rules_ = rules;
  iteration_ =
      std::make_shared<Iteration>(status_.current, rules_, history_.Latest().model, *pool_, node()->id);
  iteration_->follows_instance = follows;
  unheard_.clear();
  replication_->Enter(*iteration_->part);
  awaiting_since_.reset();
  opened_ = false;
  deadline_ns_ = INT64_MAX;
  seen_started_ = 0;
  seen_counted_ = 0;
}

void Job::OpenGate() {
  opened_ = true;
  Service service = Service::kServing;
  if (status_.state == cache::InstanceState::kFinish) service = Service::kFinished;
  if (status_.state == cache::InstanceState::kDisable || status_.state == cache::InstanceState::kStop) {
    service = Service::kDisabled;
  }
  // Its models are still served, but nothing that would be lost with it is taken any more.
  if (service == Service::kServing && leaving_) service = Service::kSafemode;
  gate_.Open(service, iteration_);
}

bool Job::MayLeave() {
  if (!leaving_) return false;
  // From here on no update can be added, so none is counted that leaves with this Server.
  const bool running = status_.state == cache::InstanceState::kRunning;
  if (running && !iteration_->taken_over().empty()) return false;
  if (running && !iteration_->superseded && !iteration_->sum.Seal(0)) return false;
  MSFL_LOG(kWarning, "this Server leaves, as it was asked to: node=" << node()->id);
  return true;
}

Task<bool> Job::Hold(const Iteration& iteration, recovery::Update update) {
  if (!replication_->guards()) co_return true;
  const std::shared_ptr<recovery::Part> part = iteration.part;
  co_return co_await replication_->Hold(part, std::move(update), OwnerNode(), StopInAWhile());
}

std::function<bool()> Job::StopInAWhile() {
  return [this, until = SteadyClock::time_point::max()]() mutable {
    constexpr std::chrono::seconds kWhile(6);
    if (!stop_requested_) return false;
    until = std::min(until, SteadyClock::now() + kWhile);
    return SteadyClock::now() >= until;
  };
}

void Job::ArmDeadline(std::optional<std::int64_t> in_ms) {
  if (!in_ms) return;
  const SteadyClock::time_point at = SteadyClock::now() + std::chrono::milliseconds(*in_ms);
  deadline_ns_ = at.time_since_epoch().count();
}

}  // namespace msfl::job
