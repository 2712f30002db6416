#include "recovery/held_parts.h"

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/this_coro.hpp>
#include <utility>

#include "base/log.h"
#include "recovery/held_messages.h"

namespace msfl::recovery {

namespace {

using Code = schema::PeerRefusalCode;

// Of all Servers together; more than one that a job has.
constexpr std::size_t kMostMirrors = 1024;
constexpr std::chrono::milliseconds kLongestWait{10'000};

net::PeerAnswer Refuse(Code code, std::string text, std::uint64_t progress = 0) {
  collective::Refusal refusal;
  refusal.code = code;
  refusal.text = std::move(text);
  refusal.progress = progress;
  net::PeerAnswer answer;
  answer.refused = true;
  answer.head = collective::EncodeRefusal(refusal);
  return answer;
}

}  // namespace

void HeldParts::SetLayout(std::shared_ptr<const model::Layout> layout) {
  const std::lock_guard lock(mutex_);
  layout_.swap(layout);
}

void HeldParts::Enter(const std::string& instance, std::uint64_t iteration) {
  std::vector<std::shared_ptr<Mirror>> gone;  // let go without the lock: it is much memory
  const std::lock_guard lock(mutex_);
  entered_.instance = instance;
  entered_.number = iteration;
  for (auto at = mirrors_.begin(); at != mirrors_.end();) {
    const bool of_before = at->first.instance != instance || at->first.iteration < iteration;
    if (of_before) gone.push_back(at->second);
    at = of_before ? mirrors_.erase(at) : std::next(at);
  }
}

Task<net::PeerAnswer> HeldParts::AnswerHold(std::shared_ptr<HeldParts> self,
                                            const schema::PeerRequest& request) {
  const auto update = std::make_shared<const HoldMessage>(request, *request.question_as_HoldQuestion());
  const FetchKey key(update->key, update->piece.node_id + " " + update->piece.name);
  std::shared_ptr<Fetch> fetch;
  std::shared_ptr<Mirror> mirror;
  bool begins = false;
  {
    const std::lock_guard lock(self->mutex_);
    const auto found = self->mirrors_.find(update->key);
    if (found == self->mirrors_.end() || found->second->taken || found->second->broken)
      co_return Refuse(Code::NotHeld, "it does not hold that part");
    // One that another Server has taken over meanwhile is that one's.
    if (found->second->giver != update->piece.node_id)
      co_return Refuse(Code::NotHeld, "it holds that part for another Server");
    mirror = found->second;
    auto& unsettled = mirror->unsettled;
    const std::uint64_t settled_below = request.question_as_HoldQuestion()->settled_below();
    unsettled.erase(unsettled.begin(), unsettled.lower_bound(settled_below));
    if (unsettled.contains(update->sequence)) co_return net::PeerAnswer();
    begins = !self->fetches_.contains(key);
    fetch = self->Join(key);
  }
  if (begins) {
    const Executor executor = co_await asio::this_coro::executor;
    asio::co_spawn(executor, FetchUpdate(self, mirror, fetch, update, net::LiveHold(self->live_)),
                   asio::detached);
  }
  const std::uint32_t wait = request.wait_ms();
  co_return co_await Await(self, fetch, wait);
}

Task<net::PeerAnswer> HeldParts::AnswerCopy(std::shared_ptr<HeldParts> self,
                                            const schema::PeerRequest& request) {
  const auto copy = std::make_shared<const CopyMessage>(request, *request.question_as_CopyQuestion());
  const FetchKey key(copy->key, copy->piece.node_id + " " + copy->piece.name);
  std::shared_ptr<Fetch> fetch;
  bool begins = false;
  {
    const std::lock_guard lock(self->mutex_);
    const bool beyond =
        self->entered_.instance == copy->key.instance && self->entered_.number > copy->key.iteration;
    if (beyond) co_return Refuse(Code::Gone, "it has left that iteration");
    if (self->layout_ == nullptr) co_return Refuse(Code::NotYet, "it has no model yet");
    const bool other = !self->entered_.instance.empty() && self->entered_.instance != copy->key.instance;
    if (other) co_return Refuse(Code::NotYet, "it is in another instance");
    const auto found = self->mirrors_.find(copy->key);
    if (found != self->mirrors_.end()) {
      const std::optional<std::string> fault = self->FaultOfCopy(*found->second, *copy);
      if (fault && fault->empty()) co_return net::PeerAnswer();  // it has it already
      if (fault) co_return Refuse(Code::NotHeld, *fault);
    }
    if (self->mirrors_.size() >= kMostMirrors) co_return Refuse(Code::NotHeld, "it holds too many parts");
    begins = !self->fetches_.contains(key);
    fetch = self->Join(key);
  }
  if (begins) {
    const Executor executor = co_await asio::this_coro::executor;
    asio::co_spawn(executor, FetchCopy(self, fetch, copy, net::LiveHold(self->live_)), asio::detached);
  }
  const std::uint32_t wait = request.wait_ms();
  co_return co_await Await(self, fetch, wait);
}

std::shared_ptr<HeldParts::Fetch> HeldParts::Join(const FetchKey& key) {
  std::shared_ptr<Fetch>& fetch = fetches_[key];
  if (fetch == nullptr) fetch = std::make_shared<Fetch>();
  return fetch;
}

Task<net::PeerAnswer> HeldParts::Await(std::shared_ptr<HeldParts> self, std::shared_ptr<Fetch> fetch,
                                       std::uint32_t wait_ms) {
  const SteadyClock::time_point until =
      SteadyClock::now() + std::min(kLongestWait, std::chrono::milliseconds(wait_ms));
  std::string fault;
  std::uint64_t progress = 0;
  const auto done = [&] {
    fault = fetch->fault;
    progress = fetch->progress;
    return fetch->done;
  };
  const bool ended = co_await self->waiters_.Wait(self->mutex_, until, done);
  if (!ended) co_return Refuse(Code::NotYet, "it is fetching it", progress);
  if (!fault.empty()) co_return Refuse(Code::NotHeld, fault);
  co_return net::PeerAnswer();
}

std::string HeldParts::Replay(std::span<const std::uint8_t> head, std::span<const std::uint8_t> payload) {
  const schema::PeerRequest* const request = collective::VerifyRequest(head);
  if (request == nullptr) return "it can't be read";
  if (request->question_type() == schema::PeerQuestion::CopyQuestion) {
    const CopyMessage copy(*request, *request->question_as_CopyQuestion());
    const std::shared_ptr<Mirror> mirror = copy.Make(layout_, *pool_, payload);
    if (mirror == nullptr) return "it is of another model";
    const std::lock_guard lock(mutex_);
    mirrors_[copy.key] = mirror;
    return {};
  }
  if (request->question_type() != schema::PeerQuestion::HoldQuestion) return "it can't be read";
  const HoldMessage update(*request, *request->question_as_HoldQuestion());
  std::vector<model::Contribution> values;
  if (!update.ReadValues(*layout_, payload, values)) return "it is of another model";
  const std::lock_guard lock(mutex_);
  const auto found = mirrors_.find(update.key);
  if (found == mirrors_.end()) return "it does not begin at its beginning";
  Mirror& mirror = *found->second;
  mirror.part->sum.Add(values, update.data_size);
  mirror.part->AddMetrics(update.loss, update.data_size, update.accuracy, update.eval_data_size);
  const std::uint64_t settled_below = request->question_as_HoldQuestion()->settled_below();
  mirror.unsettled.erase(mirror.unsettled.begin(), mirror.unsettled.lower_bound(settled_below));
  mirror.unsettled.emplace(update.sequence, update.update);
  return {};
}

std::vector<PartKey> HeldParts::Keys() const {
  std::vector<PartKey> keys;
  const std::lock_guard lock(mutex_);
  for (const auto& [key, mirror] : mirrors_) keys.push_back(key);
  return keys;
}

Task<std::optional<HeldParts::Taken>> HeldParts::Take(std::shared_ptr<HeldParts> self, PartKey key) {
  std::shared_ptr<Mirror> mirror;
  {
    const std::lock_guard lock(self->mutex_);
    const auto found = self->mirrors_.find(key);
    if (found != self->mirrors_.end()) mirror = found->second;
    if (mirror != nullptr) mirror->taken = true;
  }
  std::optional<Taken> answer;
  if (mirror == nullptr) co_return answer;
  const auto at_rest = [&] { return mirror->adding == 0; };
  const SteadyClock::time_point until = SteadyClock::now() + kLongestWait;
  const bool rests = co_await self->waiters_.Wait(self->mutex_, until, at_rest);
  if (!rests) {
    self->GiveBack(key);
    answer.emplace();
    co_return answer;
  }
  const std::lock_guard lock(self->mutex_);
  if (mirror->broken) co_return answer;
  answer.emplace();
  answer->part = mirror->part;
  for (const auto& [sequence, update] : mirror->unsettled) answer->unsettled.push_back(update);
  co_return answer;
}

void HeldParts::GiveBack(const PartKey& key) {
  const std::lock_guard lock(mutex_);
  const auto found = mirrors_.find(key);
  if (found != mirrors_.end()) found->second->taken = false;
}

void HeldParts::Forget(const PartKey& key) {
  std::shared_ptr<Mirror> gone;
  const std::lock_guard lock(mutex_);
  const auto found = mirrors_.find(key);
  if (found == mirrors_.end()) return;
  gone = found->second;
  mirrors_.erase(found);
}

std::size_t HeldParts::count() const {
  const std::lock_guard lock(mutex_);
  return mirrors_.size();
}

void HeldParts::WaitForNone() {
  while (!live_->WaitForNone(std::chrono::seconds(1)))
    MSFL_LOG(kWarning, "waiting for copies of other Servers' sums that are under way");
}

}  // namespace msfl::recovery
