#include "job/job.h"

#include <utility>

#include "base/clock.h"
#include "base/log.h"
#include "job/model_description.h"

namespace msfl::job {

Job::Job(net::EventLoops& loops, cache::JobStore& store, std::shared_ptr<BufferPool> pool,
         const ServerOptions& options, OnIterationEnded on_iteration_ended)
    : loops_(loops),
      store_(store),
      pool_(std::move(pool)),
      options_(options),
      on_iteration_ended_(std::move(on_iteration_ended)),
      history_(options_.limits.body_memory / 4),
      wakeup_(loops.control()),
      beat_wakeup_(loops.loop(0)) {}

namespace {

Result<void> AgreesWith(const std::vector<model::Feature>& features, const std::string& published) {
  const Result<void> agreed = CompareModelDescription(features, published);
  if (agreed) return agreed;
  return Error{agreed.error().code, agreed.error().text +
                                        "\nStart with the job's own model; to begin anew with this one run "
                                        "`msfl reset`, or choose another fl_name"};
}

void TellAdoptedValues(const std::vector<std::string>& values) {
  if (values.empty()) return;
  std::string text;
  for (const std::string& value : values) text += (text.empty() ? "" : "; ") + value;
  MSFL_LOG(kWarning, "the job goes on with the values of its running instance: "
                         << text
                         << ". The Scheduler's /newInstance changes those of round, client and "
                            "fl_iteration_num; `msfl reset` forgets them all");
}

}  // namespace

Task<Result<void>> Job::Open(std::uint64_t first_iteration) {
  cache::Status candidate;
  candidate.current.instance = "i_" + NameTime();
  candidate.current.number = first_iteration;
  if (first_iteration > options_.iterations) candidate.state = cache::InstanceState::kFinish;
  std::map<std::string, std::string> hyper = options_.hyper_parameters;
  Result<cache::JobStore::Opened> opened = co_await store_.Open(candidate, hyper);
  if (!opened) co_return opened.error();
  if (opened->status.state == cache::InstanceState::kStop) {
    co_return Error{Errc::kStopping, "Fl job " + options_.fl_name +
                                         " is stopping, please retry again later. To go on, enable it or "
                                         "start a new instance at the Scheduler (/enableFLS, /newInstance); "
                                         "to begin anew run `msfl reset`"};
  }
  const Result<void> agreed = CompareHyperParameters(hyper, opened->hyper);
  if (!agreed) co_return agreed.error();
  Result<Rules> rules = MakeRules(options_, opened->hyper);
  if (!rules) co_return rules.error();
  Result<ServerOptions> adopted = AdoptCipher(options_, opened->hyper);
  if (!adopted) co_return adopted.error();
  options_ = std::move(*adopted);
  TellAdoptedValues(AdoptedValues(hyper, opened->hyper));
  hyper_ = opened->hyper;
  rules_ = *rules;
  status_ = opened->status;
  store_.SetRules(rules_.windows, rules_.thresholds, rules_.iterations);
  co_return Result<void>();
}

Task<Result<void>> Job::AgreeOnModel(const model::Layout& layout) {
  description_ = EncodeModelDescription(layout);
  Result<std::string> published = co_await store_.AgreeOnModel(description_);
  if (!published) co_return published.error();
  co_return AgreesWith(layout.features(), *published);
}

Task<Result<void>> Job::RefuseEmptyModel() {
  const std::string none;
  Result<std::string> published = co_await store_.AgreeOnModel(none);
  if (!published) co_return published.error();
  if (!published->empty()) co_return AgreesWith({}, *published);
  co_return Error{Errc::kInvalidArgument, "the model has no feature; it needs at least one"};
}

Task<Result<void>> Job::AwaitAlone() {
  // A heartbeat that was renewed between two looks has lost less time than has passed.
  constexpr std::chrono::milliseconds kLook(1200);
  constexpr std::int64_t kSlackMs = 400;
  std::map<std::string, std::int64_t> before;
  bool told = false;
  while (!stop_requested_) {
    const auto servers = co_await store_.ListServers();
    if (!servers) co_return servers.error();
    std::map<std::string, std::int64_t> now;
    for (const cache::JobStore::ListedServer& server : *servers) {
      const std::string& id = server.node.id;
      if (server.heartbeat_left_ms == 0) {
        MSFL_LOG(kWarning, "taking the place of a Server that is gone: node=" << id);
        const cache::Node dead = server.node;
        const Result<void> removed = co_await store_.Unregister(dead);
        if (!removed) co_return removed.error();
        continue;
      }
      now[id] = server.heartbeat_left_ms;
      const auto known = before.find(id);
      if (known != before.end() && now[id] > known->second - kLook.count() + kSlackMs) {
        co_return NotAlone(id);
      }
    }
    if (now.empty()) co_return Result<void>();
    // Not at the first look: the second one tells a living Server, beside which there is nothing to wait for.
    if (!before.empty() && !std::exchange(told, true)) {
      MSFL_LOG(kWarning, "waiting for the heartbeat of a Server that seems gone to run out: node="
                             << now.begin()->first << " seconds=" << now.begin()->second / 1000 + 1);
    }
    before = std::move(now);
    const SteadyClock::time_point next = SteadyClock::now() + kLook;
    while (SteadyClock::now() < next && !stop_requested_) co_await wakeup_.Wait(next);
  }
  co_return Error{Errc::kStopping, "stopped while it was starting"};
}

Error Job::NotAlone(const std::string& other) const {
  return Error{Errc::kDisagreement, "Server " + other + " of fl job " + options_.fl_name +
                                        " is alive, and several Servers for one job are not available "
                                        "in this version. Stop it first, or choose another fl_name"};
}

void Job::SetStartModel(std::shared_ptr<const model::Model> model) {
  history_.Restart(status_.current.number - 1, std::move(model));
}

Task<Result<void>> Job::Join(std::string node_id, std::string tcp_address, std::string http_address) {
  Result<cache::Node> node =
      co_await store_.Register(std::move(node_id), std::move(tcp_address), std::move(http_address));
  if (!node) co_return node.error();
  // Two that start at the same moment have both found themselves alone: the first to register stays.
  const auto servers = co_await store_.ListServers();
  if (!servers) co_return servers.error();
  for (const cache::JobStore::ListedServer& server : *servers) {
    if (server.node.epoch >= node->epoch || server.heartbeat_left_ms == 0) continue;
    const cache::Node mine = *node;
    static_cast<void>(co_await store_.Unregister(mine));
    co_return NotAlone(server.node.id);
  }
  {
    const std::lock_guard lock(node_mutex_);
    node_ = std::make_shared<const cache::Node>(*node);
  }
  store_.Watch([this](const cache::JobEvent& event) { NoteEvent(event); },
               [this] {
                 iteration_->start_fl_job_full =
                     false;  // it may have opened again unheard: the cache is asked
                 NoteMoved();
               });
  Adopt(status_, rules_);
  OpenGate();
  co_return Result<void>();
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

void Job::NoteFault() noexcept {
  try {
    // Before anything that can fail: no device shall be answered as if things went on.
    RequestStop();
    std::string text = "unknown exception";
    try {
      throw;
    } catch (const std::exception& error) {
      text = error.what();
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
  try {
    while (!stop_requested_) {
      co_await RenewNode();
      co_await beat_wakeup_.Wait(SteadyClock::now() + kInterval);
    }
  } catch (...) {
    NoteFault();
  }
  beat_ended_ = true;
  wakeup_.Notify();
}

Task<> Job::RenewNode() {
  const cache::Node mine = *node();
  const cache::IterationKey current = gate_.Look().iteration->key();
  const Result<cache::Node> renewed = co_await store_.Heartbeat(mine, current);
  if (!renewed || renewed->epoch == mine.epoch) co_return;
  {
    const std::lock_guard lock(node_mutex_);
    node_ = std::make_shared<const cache::Node>(*renewed);
  }
  MSFL_LOG(kWarning, "this Server was no longer listed and has entered the cluster again: node=" << mine.id);
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

void Job::NoteSpoilt(const cache::IterationKey& key) {
  {
    const std::lock_guard lock(spoilt_mutex_);
    spoilt_ = key;
  }
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
  iteration_ = std::make_shared<Iteration>(status_.current, rules_, history_.Latest().model, *pool_);
  iteration_->follows_instance = follows;
  deadline_ns_ = INT64_MAX;
  seen_started_ = 0;
  seen_counted_ = 0;
}

void Job::OpenGate() {
  Service service = Service::kServing;
  if (status_.state == cache::InstanceState::kFinish) service = Service::kFinished;
  if (status_.state == cache::InstanceState::kDisable || status_.state == cache::InstanceState::kStop) {
    service = Service::kDisabled;
  }
  gate_.Open(service, iteration_);
}

void Job::ArmDeadline(std::optional<std::int64_t> in_ms) {
  if (!in_ms) return;
  const SteadyClock::time_point at = SteadyClock::now() + std::chrono::milliseconds(*in_ms);
  deadline_ns_ = at.time_since_epoch().count();
}

}  // namespace msfl::job
