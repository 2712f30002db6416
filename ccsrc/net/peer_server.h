// Answers the framed requests of other Servers. Knows nothing of what they ask for.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/error.h"
#include "base/task.h"
#include "net/event_loops.h"
#include "net/peer_pace.h"
#include "net/peer_socket.h"
#include "net/peer_strikes.h"
#include "net/stream.h"

namespace msfl::net {

struct PeerAnswer {
  bool refused = false;
  std::vector<std::uint8_t> head;
  GatherBuffers payload;              // up to two pieces
  std::shared_ptr<const void> owner;  // of the payload's memory
  // Without a byte of it taken by the peer, where that is to be less than usual; 0: as usual.
  std::chrono::milliseconds stall{0};
  SteadyClock::duration limit{0};  // for all of it; 0: none
};

// Called on the session's loop.
struct PeerHandler {
  // `head` lives until the answer is there. It may wait, if it minds its time.
  std::function<Task<PeerAnswer>(std::span<const std::uint8_t> head)> answer;
  // Whether whoever asks so knows whom it asks. Till then it is a stranger.
  std::function<bool(std::span<const std::uint8_t> head)> recognises;
};

struct PeerServerOptions {
  std::size_t max_servers = 1024;   // connections of Servers; each other Server has up to two
  double address_share = 0.75;      // of those, that one address (IPv6: one /64) may have
  std::size_t max_strangers = 256;  // connections beside them that have not sent a request yet
  // From the first byte of a request to its last; also until the first one of a stranger.
  std::chrono::milliseconds header_timeout{10'000};
  std::chrono::milliseconds idle_timeout{60'000};         // between requests
  std::chrono::milliseconds write_stall_timeout{30'000};  // without a byte of an answer taken by the peer
  // How far who takes an answer may be behind the minimum rate (bytes per second).
  std::chrono::milliseconds write_grace{30'000};
  std::uint64_t minimum_rate = kPeerMinimumRate;
};

class PeerServer {
 public:
  PeerServer(EventLoops& loops, PeerServerOptions options, PeerHandler handler);
  ~PeerServer();

  // Binds and starts accepting, on an IP address; port 0 takes a free one.
  Result<void> Listen(const std::string& ip, std::uint16_t port);
  std::uint16_t port() const;
  std::size_t connections() const;
  const PeerStrikes& strikes() const;
  const PeerTraffic& traffic() const;

  // Closes everything and returns when no session is left. What handlers wait for is to be ended before.
  // Called from a thread that is not a loop.
  void Stop();

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace msfl::net
