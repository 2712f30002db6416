// Asking other Servers for what recovery needs, and the pieces of memory that they fetch for it.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>

#include "base/error.h"
#include "base/task.h"
#include "base/wait_list.h"
#include "collective/messages.h"
#include "net/peer_link.h"
#include "net/peer_server.h"

namespace msfl::recovery {

struct Peer {
  std::string node_id, address;
};

// Thread-safe.
class Peers {
 public:
  Peers(std::string fl_name, std::string node_id, std::string address)
      : fl_name_(std::move(fl_name)), node_id_(std::move(node_id)), address_(std::move(address)) {}

  const std::string& fl_name() const { return fl_name_; }
  const std::string& node_id() const { return node_id_; }
  const std::string& address() const { return address_; }

  struct Question {
    Peer peer;
    std::function<collective::Bytes(const collective::Envelope&)> encode;
    std::span<std::uint8_t> into;               // the whole payload of the answer
    std::uint64_t bytes = 0;                    // that the peer has to fetch before it can answer
    std::function<void()> progress;             // called while it comes; may be empty
    std::function<bool()> stop;                 // asked every few milliseconds
    std::chrono::milliseconds patience{3'000};  // without moving on
  };
  // On the caller's loop. Errors as those of Exchange::FetchModel.
  static Task<Result<void>> Ask(std::shared_ptr<Peers> self, Question question);

  // Memory that peers may fetch under its name, until Withdraw() has returned.
  class Offer {
   public:
    Offer(Peers& peers, std::string name, net::GatherBuffers payload);
    ~Offer();
    Offer(const Offer&) = delete;
    Offer& operator=(const Offer&) = delete;
    // Nobody begins to read it any more, and nobody is reading it. Has to be called before the memory goes.
    Task<> Withdraw();

   private:
    Peers& peers_;
    const std::string name_;
  };
  static net::PeerAnswer AnswerPiece(std::shared_ptr<Peers> self, const std::string& name);

  // From here on everything that is asked ends soon.
  void Cancel();
  bool cancelled() const;

 private:
  struct Piece {
    net::GatherBuffers payload;
    std::size_t readers = 0;
  };

  const std::string fl_name_, node_id_, address_;
  const std::shared_ptr<net::PeerLinks> links_ = std::make_shared<net::PeerLinks>();
  mutable std::mutex mutex_;
  WaitList waiters_;
  bool cancelled_ = false;
  std::map<std::string, std::shared_ptr<Piece>> pieces_;
};

}  // namespace msfl::recovery
