// Answers the framed requests of other Servers. Knows nothing of what they ask for.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/task.h"
#include "net/event_loops.h"
#include "net/stream.h"

namespace msfl::net {

struct PeerAnswer {
  bool refused = false;
  std::vector<std::uint8_t> head;
  GatherBuffers payload;              // up to two pieces
  std::shared_ptr<const void> owner;  // of the payload's memory
};

// Called on the session's loop; `head` lives until the answer is there. It may wait, if it minds its time.
using PeerHandler = std::function<Task<PeerAnswer>(std::span<const std::uint8_t> head)>;

struct PeerServerOptions {
  std::size_t max_connections = 64;
  // From the first byte of a request to its last; also until the first request of a connection is complete.
  std::chrono::milliseconds header_timeout{10'000};
  std::chrono::milliseconds idle_timeout{60'000};         // between requests
  std::chrono::milliseconds write_stall_timeout{10'000};  // without a byte of an answer taken by the peer
};

class PeerServer {
 public:
  PeerServer(EventLoops& loops, PeerServerOptions options, PeerHandler handler);
  ~PeerServer();

  // Binds and starts accepting, on an IP address; port 0 takes a free one.
  Result<void> Listen(const std::string& ip, std::uint16_t port);
  std::uint16_t port() const;
  std::size_t connections() const;

  // Closes everything and returns when no session is left. What handlers wait for is to be ended before.
  // Called from a thread that is not a loop.
  void Stop();

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace msfl::net
