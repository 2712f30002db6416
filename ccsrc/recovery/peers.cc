#include "recovery/peers.h"

#include <algorithm>
#include <boost/asio/this_coro.hpp>
#include <utility>

#include "collective/peer_call.h"
#include "collective/undertaking.h"

namespace msfl::recovery {

namespace {

constexpr std::size_t kStepBytes = 1 << 20;

// Who reads a piece holds up an update, or all of them.
constexpr std::chrono::milliseconds kStall{3'000};
constexpr std::uint64_t kMinimumRate = 10'000'000;  // bytes per second

SteadyClock::duration TimeAllowed(std::uint64_t bytes) {
  return 3 * kStall + net::TimeOf(bytes, kMinimumRate);
}

Error Stopping() { return {Errc::kStopping, "this Server is stopping"}; }

}  // namespace

Task<Result<void>> Peers::Ask(std::shared_ptr<Peers> self, Question question) {
  const Executor executor = co_await asio::this_coro::executor;
  const auto ask = [self, stop = question.stop]() -> std::optional<Error> {
    if (self->cancelled() || (stop && stop())) return Stopping();
    return std::nullopt;
  };
  const auto undertaking = std::make_shared<collective::Undertaking>(executor, ask);
  undertaking->Start();
  const SteadyClock::time_point until =
      SteadyClock::now() + TimeAllowed(std::max<std::uint64_t>(question.into.size(), question.bytes));
  collective::PeerCall call(undertaking, self->links_, question.peer.node_id, question.peer.address,
                            question.patience, until);
  collective::Envelope envelope;
  envelope.fl_name = self->fl_name_;
  envelope.sender = self->node_id_;
  envelope.receiver = question.peer.node_id;
  envelope.wait = call.wait();
  const collective::Bytes frame = question.encode(envelope);
  std::size_t read = 0;
  do {
    const bool asked = co_await call.Ask(frame, question.into.size());
    if (!asked) co_return *undertaking->ended();
    read = 0;  // a connection that broke begins from the first byte
    while (read < question.into.size()) {
      const std::span<std::uint8_t> step =
          question.into.subspan(read, std::min(kStepBytes, question.into.size() - read));
      const bool came = co_await call.Read(step);
      if (!came) break;
      read += step.size();
      if (question.progress) question.progress();
    }
  } while (read < question.into.size());
  call.Finish();
  undertaking->End(Stopping());  // nothing is to be ended any more
  co_return Result<void>();
}

Peers::Offer::Offer(Peers& peers, std::string name, net::GatherBuffers payload)
    : peers_(peers), name_(std::move(name)) {
  auto piece = std::make_shared<Piece>();
  piece->payload = payload;
  const std::lock_guard lock(peers_.mutex_);
  peers_.pieces_[name_] = std::move(piece);
}

Peers::Offer::~Offer() {
  const std::lock_guard lock(peers_.mutex_);
  peers_.pieces_.erase(name_);
}

Task<> Peers::Offer::Withdraw() {
  std::shared_ptr<Piece> piece;
  {
    const std::lock_guard lock(peers_.mutex_);
    const auto found = peers_.pieces_.find(name_);
    if (found == peers_.pieces_.end()) co_return;
    piece = found->second;
    peers_.pieces_.erase(found);
  }
  // Each reader is given up when it stalls.
  const auto unread = [&piece] { return piece->readers == 0; };
  static_cast<void>(co_await peers_.waiters_.Wait(peers_.mutex_, SteadyClock::time_point::max(), unread));
}

net::PeerAnswer Peers::AnswerPiece(std::shared_ptr<Peers> self, const std::string& name) {
  net::PeerAnswer answer;
  const auto read = [self](Piece* piece) {
    const std::lock_guard lock(self->mutex_);
    if (--piece->readers == 0) self->waiters_.WakeAll();
  };
  // Made before it counts as a reader, since it may find no memory.
  const auto reader = std::make_shared<std::shared_ptr<Piece>>();
  {
    const std::lock_guard lock(self->mutex_);
    const auto found = self->pieces_.find(name);
    if (!self->cancelled_ && found != self->pieces_.end()) {
      *reader = found->second;
      ++found->second->readers;
    }
  }
  if (*reader == nullptr) {
    collective::Refusal refusal;
    refusal.code = collective::schema::PeerRefusalCode::Gone;
    refusal.text = "it offers no such piece any more";
    answer.refused = true;
    answer.head = collective::EncodeRefusal(refusal);
    return answer;
  }
  answer.payload = (*reader)->payload;
  std::uint64_t bytes = 0;
  for (const asio::const_buffer& piece : answer.payload) bytes += piece.size();
  answer.stall = kStall;
  answer.limit = TimeAllowed(bytes);
  answer.owner =
      std::shared_ptr<const void>(reader.get(), [reader, read](const void*) { read(reader->get()); });
  return answer;
}

void Peers::Cancel() {
  {
    const std::lock_guard lock(mutex_);
    cancelled_ = true;
  }
  links_->Close();
}

bool Peers::cancelled() const {
  const std::lock_guard lock(mutex_);
  return cancelled_;
}

}  // namespace msfl::recovery
