// The asking side of a connection between Servers, and the connections that are kept for the next question.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/task.h"
#include "net/peer_socket.h"

namespace msfl::net {

struct PeerReply {
  bool refused = false;
  std::vector<std::uint8_t> head;
};

// One question at a time. All on the loop of `executor`. Errors say what happened, not to whom.
class PeerLink {
 public:
  PeerLink(const Executor& executor, std::shared_ptr<PeerTraffic> traffic)
      : socket_(std::make_shared<PeerSocket>(TcpStream(executor), std::move(traffic))) {}
  ~PeerLink() { socket_->Close(); }
  using Self = std::shared_ptr<PeerLink>;

  static Task<Result<void>> Open(Self self, PeerAddress address, SteadyClock::time_point until);
  // `frame` is from EncodePeerFrame. The reply is one of exactly `payload_bytes`, or a refusal; its head has
  // to be there within `patience`.
  static Task<Result<PeerReply>> Ask(Self self, std::span<const std::uint8_t> frame,
                                     std::uint64_t payload_bytes, std::chrono::milliseconds patience);
  // The next bytes of the payload; `bytes` of them came even if there is a fault.
  static Task<PeerSocket::Transfer> Read(Self self, std::span<std::uint8_t> into, PeerPace& pace);

  void Close() noexcept { socket_->Close(); }
  Executor executor() const { return socket_->executor(); }
  bool reused() const { return reused_; }

 private:
  friend class PeerLinks;
  bool idle() const { return socket_->open() && !asked_ && payload_left_ == 0; }

  const std::shared_ptr<PeerSocket> socket_;
  std::uint64_t payload_left_ = 0;
  bool asked_ = false;   // and the reply's head has not come
  bool reused_ = false;  // it has carried a question before
};

// Thread-safe.
class PeerLinks {
 public:
  // One that is not open yet.
  std::shared_ptr<PeerLink> Make(const Executor& executor) {
    return std::make_shared<PeerLink>(executor, traffic_);
  }
  const PeerTraffic& traffic() const { return *traffic_; }
  // An idle link of that loop to the address, or null.
  std::shared_ptr<PeerLink> Take(const std::string& address, const Executor& executor);
  // Keeps it, if its last answer is complete.
  void GiveBack(const std::string& address, std::shared_ptr<PeerLink> link);
  // For good.
  void Close();

 private:
  static constexpr std::size_t kMaxIdle = 1024, kMaxIdlePerAddress = 2;
  static constexpr std::chrono::seconds kSweepInterval{10};
  struct Idle {
    std::string address;
    std::shared_ptr<PeerLink> link;
  };
  void Sweep(const Executor& executor);

  const std::shared_ptr<PeerTraffic> traffic_ = std::make_shared<PeerTraffic>();
  std::mutex mutex_;
  std::vector<Idle> idle_;
  SteadyClock::time_point swept_ = SteadyClock::now();
  bool closed_ = false;
};

}  // namespace msfl::net
