#include "net/peer_link.h"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <utility>

#include "net/peer_frame.h"

namespace msfl::net {

namespace {

Error Unavailable(std::string text) { return Error{Errc::kPeerUnavailable, std::move(text)}; }

}  // namespace

Task<Result<void>> PeerLink::Open(Self self, PeerAddress address, SteadyClock::time_point until) {
  const error_code fault = co_await PeerSocket::Connect(self->socket_, address, until);
  if (!fault) co_return Result<void>();
  self->Close();
  const bool late = fault == asio::error::timed_out;
  co_return Unavailable("can't connect: " + (late ? "no answer in time" : PeerSocket::Text(fault)));
}

Task<Result<PeerReply>> PeerLink::Ask(Self self, std::span<const std::uint8_t> frame,
                                      std::uint64_t payload_bytes, std::chrono::milliseconds patience) {
  self->asked_ = true;
  GatherBuffers question;
  question.Add(frame.data(), frame.size());
  const PeerPace pace(patience, patience, kPeerMinimumRate);
  const error_code unsent = co_await PeerSocket::Write(self->socket_, question, pace);
  if (unsent) {
    self->Close();
    co_return Unavailable(PeerSocket::Text(unsent));
  }
  PeerFrameReader::Expected expected;
  expected.answer_payload_bytes = payload_bytes;
  PeerFrameReader reader(expected);
  const auto until = SteadyClock::now() + patience;
  while (!reader.complete()) {
    const auto came = co_await PeerSocket::ReadSome(self->socket_, reader.Wanted(), until);
    if (!came.fault) reader.Received(came.bytes);
    if (!came.fault && reader.fault() == PeerFrameReader::Fault::kNone) continue;
    self->Close();
    if (came.fault) co_return Unavailable(PeerSocket::Text(came.fault));
    co_return Unavailable(PeerFrameReader::Text(reader.fault()));
  }
  PeerReply reply;
  reply.refused = reader.frame().kind == PeerFrameKind::kRefusal;
  reply.head.assign(reader.head().begin(), reader.head().end());
  self->asked_ = false;
  self->payload_left_ = reader.frame().payload_bytes;
  co_return reply;
}

Task<PeerSocket::Transfer> PeerLink::Read(Self self, std::span<std::uint8_t> into, PeerPace& pace) {
  const auto came = co_await PeerSocket::Read(self->socket_, into, pace);
  self->payload_left_ -= came.bytes;
  if (came.fault) self->Close();
  co_return came;
}

std::shared_ptr<PeerLink> PeerLinks::Take(const std::string& address, const Executor& executor) {
  const std::lock_guard lock(mutex_);
  Sweep(executor);
  while (true) {
    const auto found = std::ranges::find_if(idle_, [&](const Idle& idle) {
      return idle.address == address && idle.link->executor() == executor;
    });
    if (found == idle_.end()) return nullptr;
    std::shared_ptr<PeerLink> link = std::move(found->link);
    idle_.erase(found);
    if (!link->socket_->Stale()) return link;
  }
}

// Those to Servers that are gone. It costs a call to the system for each, which a hundred Servers that take
// two each should not pay for every one of them.
void PeerLinks::Sweep(const Executor& executor) {
  const auto now = SteadyClock::now();
  if (now - swept_ < kSweepInterval) return;
  swept_ = now;
  std::erase_if(idle_, [&](const Idle& idle) {
    return idle.link->executor() == executor && idle.link->socket_->Stale();
  });
}

void PeerLinks::GiveBack(const std::string& address, std::shared_ptr<PeerLink> link) {
  if (!link->idle()) {
    link->Close();
    return;
  }
  link->reused_ = true;
  const std::lock_guard lock(mutex_);
  const auto same = std::ranges::count(idle_, address, &Idle::address);
  if (closed_ || idle_.size() >= kMaxIdle || same >= static_cast<std::ptrdiff_t>(kMaxIdlePerAddress)) {
    link->Close();
  } else {
    idle_.push_back(Idle{address, std::move(link)});
  }
}

void PeerLinks::Close() {
  const std::lock_guard lock(mutex_);
  closed_ = true;
  for (Idle& idle : idle_) {
    asio::post(idle.link->executor(), [link = idle.link] { link->Close(); });
  }
  idle_.clear();
}

}  // namespace msfl::net
