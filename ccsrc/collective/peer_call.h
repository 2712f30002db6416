// One peer being asked, as part of an undertaking: again and again, by new connections if need be, until it
// answers, refuses for good, or does not move on for longer than patience lasts.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "base/clock.h"
#include "base/error.h"
#include "base/task.h"
#include "collective/messages.h"
#include "collective/undertaking.h"
#include "net/peer_link.h"

namespace msfl::collective {

class PeerCall {
 public:
  // `until`: the whole undertaking's limit.
  PeerCall(std::shared_ptr<Undertaking> undertaking, std::shared_ptr<net::PeerLinks> links,
           std::string node_id, std::string address, std::chrono::milliseconds patience,
           SteadyClock::time_point until = SteadyClock::time_point::max());
  ~PeerCall() { Drop(); }
  PeerCall(const PeerCall&) = delete;
  PeerCall& operator=(const PeerCall&) = delete;

  // True when an answer of exactly `payload_bytes` begins. False ends the undertaking, or it has ended.
  Task<bool> Ask(std::span<const std::uint8_t> frame, std::uint64_t payload_bytes);
  // The next bytes of the answer. False: the connection broke, or was ended; Ask() again knows more.
  Task<bool> Read(std::span<std::uint8_t> into);
  bool answering() const { return link_ != nullptr; }
  // The answer is complete: the connection may be kept for the next question.
  void Finish();
  // The peer has done its part so far, so patience starts anew.
  void Renew();
  // What came can't be accepted.
  void Fail(Errc code, const std::string& what);

  // How long the peer may wait until it has what it is asked for.
  std::chrono::milliseconds wait() const { return wait_; }

 private:
  void Drop();
  void Broke(const std::string& what);
  bool OutOfPatience();
  bool TooSlow();
  bool OutOfTime();
  // False: it may be asked again.
  bool Refused(std::span<const std::uint8_t> head);
  Task<bool> Connect();

  const std::shared_ptr<Undertaking> undertaking_;
  const std::shared_ptr<net::PeerLinks> links_;
  const std::string node_id_, address_;
  const std::chrono::milliseconds patience_, wait_, stall_;
  const SteadyClock::time_point until_;
  std::shared_ptr<net::PeerLink> link_;
  SteadyClock::time_point moved_ = SteadyClock::now();
  // A connection that breaks at the same byte again and again is no progress.
  std::uint64_t received_ = 0, furthest_ = 0;
  // While this Server reads from others the peer can't go on, and that is not the peer's time.
  net::PeerPace pace_;
  bool has_sent_ = false;       // something of an answer
  bool at_work_ = false;        // as the peer told last
  std::uint64_t progress_ = 0;  // as the peer told
  std::string last_;            // what happened last
  Errc last_code_ = Errc::kPeerUnavailable;
  bool pause_ = false;
};

}  // namespace msfl::collective
