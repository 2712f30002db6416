// HeldParts: fetching what it is asked to hold, each by a coroutine of its own.
#include <algorithm>
#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>
#include <utility>

#include "base/lost_coroutine.h"
#include "recovery/held_messages.h"

namespace msfl::recovery {

namespace {

constexpr std::uint64_t kMostLedgerBytes = 1 << 28;

}  // namespace

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

}  // namespace msfl::recovery
