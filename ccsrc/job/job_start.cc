// Job, start-up: its record in the cache, agreement with the Servers that were there before, a place among
// them.
#include <utility>

#include "base/clock.h"
#include "base/log.h"
#include "job/job.h"
#include "job/model_description.h"
#include "model/digest.h"

namespace msfl::job {
namespace {

// Servers that were killed are alive for others until their heartbeats have run out.
constexpr std::chrono::milliseconds kOthersPatience(2'000);
constexpr std::chrono::milliseconds kOthersLook(500);

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

void Job::SetStartModel(std::shared_ptr<const model::Model> model) {
  std::string digest = model::Digest(*model);
  SetCurrent(NamedModel{std::move(model), std::move(digest)});
}

Task<Result<void>> Job::Join(std::string node_id, std::string tcp_address, std::string http_address) {
  cache::IterationKey current = status_.current;
  std::string digest = current_.digest;
  bool told = false, silent_are_gone = false;
  const std::chrono::milliseconds dead_after(options_.dead_after_ms);
  const SteadyClock::time_point others_by = SteadyClock::now() + dead_after + kOthersPatience;
  Result<cache::Registered> registered =
      co_await store_.Register(node_id, tcp_address, http_address, current, digest);
  while (registered && registered->other_settings) {
    const Error other = OtherSettings(options_.cluster_settings, *registered->other_settings);
    if (stop_requested_) co_return Error{Errc::kStopping, "stopped while it was starting"};
    if (silent_are_gone) co_return other;
    if (!told) {
      MSFL_LOG(kWarning, "there are Servers with other settings; waiting whether they are alive");
      told = true;
    }
    co_await wakeup_.Wait(SteadyClock::now() + kOthersLook);
    const Result<cache::Snapshot> seen = co_await store_.Observe(current);
    if (!seen) co_return seen.error();
    // What this Server has adopted in Open() is of that instance.
    if (!seen->known || seen->status.current.instance != current.instance) co_return other;
    if (seen->status.current.number != current.number) digest.clear();  // its model is another one by now
    status_ = seen->status;
    current = status_.current;
    // Redis may have been away from them, and their heartbeats run out: by now they would be back.
    silent_are_gone = SteadyClock::now() > others_by;
    registered =
        co_await store_.Register(node_id, tcp_address, http_address, current, digest, silent_are_gone);
  }
  if (!registered) co_return registered.error();
  status_.digest = registered->digest;
  {
    const std::lock_guard lock(node_mutex_);
    node_ = std::make_shared<const cache::Node>(registered->node);
  }
  store_.Watch([this](const cache::JobEvent& event) { NoteEvent(event); },
               [this] {
                 iteration_->start_fl_job_full =
                     false;  // it may have opened again unheard: the cache is asked
                 may_be_unlisted_ = true;
                 NoteMoved();
               });
  recovery::ReplicationOptions replication;
  replication.fl_name = options_.fl_name;
  replication.node_id = node()->id;
  replication.tcp_address = node()->tcp_address;
  replication.replicas = options_.recovery_replicas;
  replication.folder = options_.recovery_folder;
  replication.journal = options_.recovery_journal && !replication.folder.empty();
  replication.fetch_memory = options_.limits.body_memory / 4;
  replication_ = std::make_unique<recovery::Replication>(store_, pool_, std::move(replication));
  replication_->SetLayout(current_.model->layout_ptr());
  replication_ready_ = true;
  history_.Restart(status_.current.number - 1, current_.model);
  Adopt(status_, rules_);
  gate_.Place(iteration_);
  if (status_.digest.empty() || status_.digest == current_.digest) OpenGate();
  co_return Result<void>();
}

Task<> Job::Enter() {
  while (gate_.Look().switching && !stop_requested_) {
    const cache::Status now = status_;
    const bool agreed = co_await TakeModel(now);
    if (!agreed) {
      const cache::IterationKey current = status_.current;
      const Result<cache::Snapshot> seen = co_await store_.Observe(current);
      // Gone, or an instance with other rules: the phases see to both, from what stands here.
      const bool follows = seen && seen->known && seen->status.current.instance == current.instance;
      if (seen && !follows) co_return;
      if (follows) status_ = seen->status;
      continue;
    }
    status_.digest = current_.digest;
    history_.Restart(status_.current.number - 1, current_.model);
    Adopt(status_, rules_);
    OpenGate();
  }
}

Task<Result<void>> Job::AwaitEntered() {
  constexpr std::chrono::seconds kLook(1), kPatience(60);
  while (!stop_requested_) {
    const Gate::View view = co_await gate_.Enter(kLook);
    if (!view.switching && !stop_requested_) co_return Result<void>();
    const std::lock_guard lock(known_mutex_);
    if (model_fault_since_ && SteadyClock::now() > *model_fault_since_ + kPatience) {
      co_return Error{Errc::kPeerUnavailable, "this Server can't take part in the job: " + model_fault_};
    }
  }
  const std::lock_guard lock(fault_mutex_);
  if (!fault_.empty()) co_return Error{Errc::kDisagreement, fault_};
  co_return Error{Errc::kStopping, "stopped while it was starting"};
}

}  // namespace msfl::job
