#include "collective/peer_call.h"

#include <algorithm>
#include <utility>

namespace msfl::collective {

namespace {

using schema::PeerRefusalCode;
using std::chrono::milliseconds;

constexpr milliseconds kConnect{3'000}, kStall{5'000}, kLongestWait{2'000}, kPause{50};

Errc CodeOf(PeerRefusalCode code) {
  switch (code) {
    case PeerRefusalCode::NotYet:
      return Errc::kPeerUnavailable;
    case PeerRefusalCode::OtherUploads:
      return Errc::kDisagreement;
    case PeerRefusalCode::NotFinite:
      return Errc::kNotFinite;
    case PeerRefusalCode::ModelUnknown:
      return Errc::kModelUnknown;
    case PeerRefusalCode::Invalid:
    case PeerRefusalCode::WrongReceiver:
    case PeerRefusalCode::OtherMembers:
    case PeerRefusalCode::Gone:
    case PeerRefusalCode::Failed:
    case PeerRefusalCode::Stopping:
    case PeerRefusalCode::NotHeld:
      break;
  }
  return Errc::kPeerRefused;
}

}  // namespace

PeerCall::PeerCall(std::shared_ptr<Undertaking> undertaking, std::shared_ptr<net::PeerLinks> links,
                   std::string node_id, std::string address, milliseconds patience,
                   SteadyClock::time_point until)
    : undertaking_(std::move(undertaking)),
      links_(std::move(links)),
      node_id_(std::move(node_id)),
      address_(std::move(address)),
      patience_(patience),
      wait_(std::min(kLongestWait, patience / 3)),
      stall_(std::min(kStall, patience)),
      until_(until),
      pace_(stall_, patience, net::kPeerMinimumRate) {
  pace_.SetLimit(until);
}

Task<bool> PeerCall::Ask(std::span<const std::uint8_t> frame, std::uint64_t payload_bytes) {
  received_ = 0;
  while (!undertaking_->ended() && !TooSlow() && !OutOfTime() && !OutOfPatience()) {
    if (std::exchange(pause_, false)) co_await Undertaking::Pause(undertaking_, kPause);
    const bool connected = co_await Connect();
    if (!connected) continue;
    const auto asked_at = SteadyClock::now();
    const auto reply = co_await net::PeerLink::Ask(link_, frame, payload_bytes, wait_ + stall_);
    if (!reply) {
      // The peer may have closed a connection that was kept, just then.
      const bool reused = link_->reused();
      Broke(reply.error().text);
      pause_ = !reused;
      continue;
    }
    if (!reply->refused) co_return true;
    Finish();
    if (Refused(reply->head)) break;
    pause_ = SteadyClock::now() - asked_at < kPause;
  }
  co_return false;
}

Task<bool> PeerCall::Connect() {
  if (undertaking_->ended()) co_return false;
  link_ = links_->Take(address_, undertaking_->executor());
  if (link_ != nullptr) {
    undertaking_->Watch(link_);
    co_return true;
  }
  const Result<net::PeerAddress> address = net::PeerAddress::Parse(address_);
  if (!address) {
    Fail(Errc::kInvalidArgument, address.error().text);
    co_return false;
  }
  link_ = links_->Make(undertaking_->executor());
  undertaking_->Watch(link_);
  const auto until = SteadyClock::now() + std::min(kConnect, patience_);
  const Result<void> opened = co_await net::PeerLink::Open(link_, *address, until);
  if (!opened.has_error()) co_return true;
  Broke(opened.error().text);
  co_return false;
}

Task<bool> PeerCall::Read(std::span<std::uint8_t> into) {
  const auto came = co_await net::PeerLink::Read(link_, into, pace_);
  has_sent_ = has_sent_ || came.bytes > 0;
  received_ += came.bytes;
  if (received_ > furthest_) {
    furthest_ = received_;
    moved_ = SteadyClock::now();
  }
  if (!came.fault) co_return true;
  Broke(net::PeerSocket::Text(came.fault));
  co_return false;
}

void PeerCall::Finish() {
  if (link_ == nullptr) return;
  undertaking_->Unwatch(link_);
  links_->GiveBack(address_, std::exchange(link_, nullptr));
}

void PeerCall::Renew() {
  moved_ = SteadyClock::now();
  received_ = furthest_ = 0;
}

void PeerCall::Drop() {
  if (link_ == nullptr) return;
  undertaking_->Unwatch(link_);
  std::exchange(link_, nullptr)->Close();
}

void PeerCall::Broke(const std::string& what) {
  Drop();
  last_ = what;
  last_code_ = Errc::kPeerUnavailable;
  at_work_ = false;
  pause_ = true;
}

void PeerCall::Fail(Errc code, const std::string& what) {
  Drop();
  undertaking_->End(Error{code, "Server '" + node_id_ + "' at " + address_ + ": " + what});
}

bool PeerCall::TooSlow() {
  if (!pace_.TooSlow()) return false;
  Fail(Errc::kPeerUnavailable,
       "sends too slowly, fewer than " + std::to_string(net::kPeerMinimumRate) + " bytes a second");
  return true;
}

bool PeerCall::OutOfTime() {
  // One that has nothing to send yet may wait for the very peer whose answers last too long.
  const auto later = has_sent_ ? milliseconds(0) : kLongestWait;
  if (until_ == SteadyClock::time_point::max() || SteadyClock::now() < until_ + later) return false;
  Fail(Errc::kPeerUnavailable,
       "is not done, and the time for all of it is over" + (last_.empty() ? std::string() : ": " + last_));
  return true;
}

bool PeerCall::OutOfPatience() {
  // One that is at work gives up itself whom it waits for, and then can tell who that is.
  const milliseconds patience = at_work_ ? 2 * patience_ : patience_;
  if (last_.empty() || SteadyClock::now() - moved_ < patience) return false;
  Fail(last_code_, "has not moved on for " + std::to_string(patience.count()) + " ms: " + last_);
  return true;
}

bool PeerCall::Refused(std::span<const std::uint8_t> head) {
  const std::optional<Refusal> refusal = DecodeRefusal(head);
  if (!refusal) {
    Fail(Errc::kPeerRefused, "refuses, in a form that can't be read");
    return true;
  }
  last_ = refusal->text;
  last_code_ = CodeOf(refusal->code);
  at_work_ = refusal->code == PeerRefusalCode::NotYet && refusal->progress > 0;
  if (!refusal->final()) {
    if (refusal->progress > progress_) {
      progress_ = refusal->progress;
      moved_ = SteadyClock::now();
    }
    return false;
  }
  Fail(last_code_, "refuses: " + refusal->text);
  return true;
}

}  // namespace msfl::collective
