#include "recovery/held_parts.h"

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>
#include <cstring>
#include <utility>

#include "base/log.h"
#include "base/lost_coroutine.h"

namespace msfl::recovery {

namespace {

using Code = schema::PeerRefusalCode;

// Of all Servers together; more than one that a job has.
constexpr std::size_t kMostMirrors = 1024;
constexpr std::uint64_t kMostLedgerBytes = 1 << 28;
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

PartKey KeyOf(const schema::PartName& name) {
  return PartKey{name.instance()->str(), name.iteration(), name.part()->str()};
}

cache::HeldUpdate HeldUpdateOf(const schema::LedgerEntry& entry) {
  return cache::HeldUpdate{entry.fl_id()->str(), entry.nonce()->str(), entry.digest()->str()};
}

struct PieceName {
  explicit PieceName(const schema::PeerRequest& request, const schema::Piece& piece)
      : node_id(request.sender() != nullptr ? request.sender()->str() : std::string()),
        address(piece.address()->str()),
        name(piece.name()->str()),
        bytes(piece.bytes()) {}
  const std::string node_id, address, name;
  const std::uint64_t bytes;
};

}  // namespace

struct HeldParts::HoldMessage {
  HoldMessage(const schema::PeerRequest& request, const schema::HoldQuestion& question)
      : key(KeyOf(*question.of())),
        piece(request, *question.piece()),
        features(question.features()),
        sequence(question.entry()->sequence()),
        update(HeldUpdateOf(*question.entry())),
        data_size(question.data_size()),
        eval_data_size(question.eval_data_size()),
        loss(question.loss()),
        accuracy(question.accuracy()) {}
  // Where in its piece the values of each feature are. False if it makes no sense.
  bool ReadValues(const model::Layout& layout, std::span<const std::uint8_t> bytes,
                  std::vector<model::Contribution>& values) const {
    if (features > layout.features().size()) return false;
    const std::uint64_t table = features * 2 * sizeof(std::uint64_t);
    if (table > bytes.size()) return false;
    const std::span<const std::uint8_t> floats = bytes.subspan(table);
    for (std::uint64_t i = 0; i < features; ++i) {
      std::uint64_t row[2];
      std::memcpy(row, bytes.data() + i * sizeof row, sizeof row);
      const bool known = row[0] < layout.features().size();
      const std::uint64_t size = known ? layout.features()[row[0]].elements * sizeof(float) : 0;
      if (!known || row[1] % sizeof(float) != 0 || row[1] > floats.size() || size > floats.size() - row[1])
        return false;
      values.push_back({row[0], reinterpret_cast<const float*>(floats.data() + row[1])});
    }
    return true;
  }

  const PartKey key;
  const PieceName piece;
  const std::uint64_t features, sequence;
  const cache::HeldUpdate update;
  const std::uint64_t data_size, eval_data_size;
  const float loss, accuracy;
};

struct HeldParts::CopyMessage {
  CopyMessage(const schema::PeerRequest& request, const schema::CopyQuestion& question)
      : key(KeyOf(*question.of())),
        piece(request, *question.piece()),
        uploads(question.uploads()),
        number(question.number()),
        ledger_bytes(question.ledger_bytes()) {
    metrics.loss = question.loss();
    metrics.accuracy = question.accuracy();
    metrics.data_size = question.data_size();
    metrics.eval_data_size = question.eval_data_size();
  }

  // What its piece makes. Null if that is of another model.
  std::shared_ptr<Mirror> Make(std::shared_ptr<const model::Layout> layout, BufferPool& pool,
                               std::span<const std::uint8_t> bytes) const {
    const auto part = std::make_shared<Part>(key, layout, pool);
    part->SetMetrics(metrics);
    const auto mirror = std::make_shared<Mirror>(part);
    mirror->giver = piece.node_id;
    mirror->copy = number;
    if (uploads == 0) return mirror;
    std::vector<std::uint64_t> sizes(layout->features().size());
    const std::size_t table = sizes.size() * sizeof(std::uint64_t);
    const std::size_t sum_bytes = layout->aggregated_elements() * sizeof(double);
    if (ledger_bytes > bytes.size() || bytes.size() - ledger_bytes != table + sum_bytes) return nullptr;
    // Read in place: it may begin anywhere.
    const std::vector<std::uint8_t> ledger(bytes.begin() + static_cast<std::ptrdiff_t>(table),
                                           bytes.begin() + static_cast<std::ptrdiff_t>(table + ledger_bytes));
    flatbuffers::Verifier verifier(ledger.data(), ledger.size(), 64, UINT32_MAX);
    if (!verifier.VerifyBuffer<schema::Ledger>(nullptr)) return nullptr;
    const auto* const entries = flatbuffers::GetRoot<schema::Ledger>(ledger.data())->entries();
    for (flatbuffers::uoffset_t i = 0; entries != nullptr && i < entries->size(); ++i)
      mirror->unsettled.emplace(entries->Get(i)->sequence(), HeldUpdateOf(*entries->Get(i)));
    std::memcpy(sizes.data(), bytes.data(), table);
    const std::span<double> sums = part->sum.Restore(sizes, uploads);
    std::memcpy(sums.data(), bytes.data() + table + ledger_bytes, sums.size_bytes());
    return mirror;
  }

  const PartKey key;
  const PieceName piece;
  const std::uint64_t uploads, number, ledger_bytes;
  model::MetricSums metrics;
};

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
    auto& under_way = self->fetches_[key];
    begins = under_way == nullptr;
    if (begins) under_way = std::make_shared<Fetch>();
    fetch = under_way;
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
    auto& under_way = self->fetches_[key];
    begins = under_way == nullptr;
    if (begins) under_way = std::make_shared<Fetch>();
    fetch = under_way;
  }
  if (begins) {
    const Executor executor = co_await asio::this_coro::executor;
    asio::co_spawn(executor, FetchCopy(self, fetch, copy, net::LiveHold(self->live_)), asio::detached);
  }
  const std::uint32_t wait = request.wait_ms();
  co_return co_await Await(self, fetch, wait);
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

void HeldParts::End(const FetchKey& key, Fetch& fetch, std::string fault) {
  const std::lock_guard lock(mutex_);
  if (fetch.done) return;
  fetch.done = true;
  fetch.fault = std::move(fault);
  fetches_.erase(key);
  waiters_.WakeAll();
}

Peers::Question HeldParts::Piece(const std::string& node_id, const std::string& address,
                                 const std::string& name, std::span<std::uint8_t> into,
                                 std::shared_ptr<Fetch> fetch) {
  Peers::Question question;
  question.peer = Peer{node_id, address};
  question.into = into;
  question.encode = [name](const collective::Envelope& envelope) {
    flatbuffers::FlatBufferBuilder builder;
    const auto text = builder.CreateString(name);
    return collective::EncodeRequest(builder, envelope, schema::CreatePieceQuestion(builder, text));
  };
  question.progress = [this, fetch] {
    const std::lock_guard lock(mutex_);
    ++fetch->progress;
  };
  return question;
}

Task<> HeldParts::FetchUpdate(std::shared_ptr<HeldParts> self, std::shared_ptr<Mirror> mirror,
                              std::shared_ptr<Fetch> fetch, std::shared_ptr<const HoldMessage> update,
                              net::LiveHold) {
  const FetchKey key(update->key, update->piece.node_id + " " + update->piece.name);
  LostCoroutine lost([&] { self->End(key, *fetch, "there may be no memory for it"); });
  std::string fault;
  try {
    const bool readable =
        update->features <= self->layout_->features().size() &&
        update->piece.bytes <= LargestUpdate(*self->layout_) + update->features * 2 * sizeof(std::uint64_t);
    if (!readable) {
      fault = "the update is larger than the model";
    } else {
      co_await AwaitRoom(self, fetch, update->piece.bytes);
      LostCoroutine room([&] { self->LeaveRoom(update->piece.bytes); });  // whatever comes
      Buffer memory = self->pool_->Take(std::max<std::size_t>(update->piece.bytes, 1));
      const std::span<std::uint8_t> bytes(memory.data(), update->piece.bytes);
      Peers::Question question =
          self->Piece(update->piece.node_id, update->piece.address, update->piece.name, bytes, fetch);
      const Result<void> fetched = co_await Peers::Ask(self->peers_, std::move(question));
      if (!fetched) {
        fault = fetched.error().text;
      } else {
        fault = co_await Add(self, mirror, update, bytes);
      }
    }
  } catch (const std::exception& error) {
    fault = std::string("there may be no memory for it: ") + error.what();
  }
  lost.Ended();
  self->End(key, *fetch, std::move(fault));
}

// Who asks is told of progress meanwhile: it is this Server that is in need of time.
Task<> HeldParts::AwaitRoom(std::shared_ptr<HeldParts> self, std::shared_ptr<Fetch> fetch,
                            std::uint64_t bytes) {
  const auto room = [&] {
    ++fetch->progress;
    if (self->fetching_bytes_ > 0 && self->fetching_bytes_ + bytes > self->memory_) return false;
    self->fetching_bytes_ += bytes;
    return true;
  };
  while (true) {
    const SteadyClock::time_point until = SteadyClock::now() + std::chrono::milliseconds(500);
    const bool there = co_await self->waiters_.Wait(self->mutex_, until, room);
    if (there) co_return;
  }
}

void HeldParts::LeaveRoom(std::uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  fetching_bytes_ -= bytes;
  waiters_.WakeAll();
}

Task<std::string> HeldParts::Add(std::shared_ptr<HeldParts> self, std::shared_ptr<Mirror> mirror,
                                 std::shared_ptr<const HoldMessage> update,
                                 std::span<const std::uint8_t> bytes) {
  std::vector<model::Contribution> values;
  if (!update->ReadValues(*self->layout_, bytes, values)) co_return std::string("the update can't be read");
  {
    const std::lock_guard lock(self->mutex_);
    if (mirror->taken || mirror->broken) co_return std::string("it does not hold that part");
    ++mirror->adding;
  }
  bool complete = false;
  LostCoroutine unfinished([&] {
    const std::lock_guard lock(self->mutex_);
    mirror->broken = mirror->broken || !complete;
    --mirror->adding;
    self->waiters_.WakeAll();
  });
  model::RunningSum::Addition addition(mirror->part->sum, values, update->data_size);
  while (!addition.Step()) {
    const Executor executor = co_await asio::this_coro::executor;
    co_await asio::post(executor, kAwait);
  }
  mirror->part->AddMetrics(update->loss, update->data_size, update->accuracy, update->eval_data_size);
  const std::lock_guard lock(self->mutex_);
  mirror->unsettled.emplace(update->sequence, update->update);
  complete = true;
  unfinished.Ended();
  --mirror->adding;
  self->waiters_.WakeAll();
  co_return std::string();
}

// Why a copy is not to take the place of what is there; empty if that is the same one.
std::optional<std::string> HeldParts::FaultOfCopy(const Mirror& there, const CopyMessage& copy) const {
  if (there.taken) return "it is taking that part over";
  const std::string& giver = copy.piece.node_id;
  if (there.giver != giver && giver == copy.key.part) return "it holds that part for another Server";
  if (there.giver == giver && there.copy > copy.number) return "it has been given a newer one";
  if (there.giver == giver && there.copy == copy.number && !there.broken) return std::string();
  return std::nullopt;
}

Task<> HeldParts::FetchCopy(std::shared_ptr<HeldParts> self, std::shared_ptr<Fetch> fetch,
                            std::shared_ptr<const CopyMessage> copy, net::LiveHold) {
  const FetchKey key(copy->key, copy->piece.node_id + " " + copy->piece.name);
  LostCoroutine lost([&] { self->End(key, *fetch, "there may be no memory for it"); });
  std::string fault;
  try {
    const std::uint64_t expected = self->layout_->features().size() * sizeof(std::uint64_t) +
                                   self->layout_->aggregated_elements() * sizeof(double) + copy->ledger_bytes;
    Buffer memory;
    std::span<std::uint8_t> bytes;
    const std::uint64_t size = copy->uploads > 0 ? copy->piece.bytes : 0;
    if (copy->uploads > 0 && (size != expected || copy->ledger_bytes > kMostLedgerBytes))
      fault = "its model has another size";
    const std::uint64_t room_taken = fault.empty() ? size : 0;
    co_await AwaitRoom(self, fetch, room_taken);
    const LostCoroutine room([self, room_taken] { self->LeaveRoom(room_taken); });  // whatever comes
    if (size > 0 && fault.empty()) {
      memory = self->pool_->Take(size);
      bytes = std::span<std::uint8_t>(memory.data(), size);
      Peers::Question question =
          self->Piece(copy->piece.node_id, copy->piece.address, copy->piece.name, bytes, fetch);
      const Result<void> fetched = co_await Peers::Ask(self->peers_, std::move(question));
      if (!fetched) fault = fetched.error().text;
    }
    std::shared_ptr<Mirror> mirror;
    if (fault.empty()) mirror = copy->Make(self->layout_, *self->pool_, bytes);
    if (fault.empty() && mirror == nullptr) fault = "it can't be read";
    if (fault.empty()) {
      const std::lock_guard lock(self->mutex_);
      auto& place = self->mirrors_[copy->key];
      const std::optional<std::string> known = place ? self->FaultOfCopy(*place, *copy) : std::nullopt;
      if (known) {
        fault = *known;
      } else {
        place = mirror;
      }
    }
  } catch (const std::exception& error) {
    fault = std::string("there may be no memory for it: ") + error.what();
  }
  lost.Ended();
  self->End(key, *fetch, std::move(fault));
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
