// Job, start-up: its record in the cache, agreement with the Servers that were there before, a place among
// them.
#include <utility>

#include "base/clock.h"
#include "base/log.h"
#include "job/job.h"
#include "job/model_description.h"

namespace msfl::job {
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
  const cache::IterationKey current = status_.current;
  const std::string digest;
  const auto registered = co_await store_.Register(std::move(node_id), std::move(tcp_address),
                                                   std::move(http_address), current, digest);
  if (!registered) co_return registered.error();
  const cache::Node* const node = &registered->node;
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

}  // namespace msfl::job
