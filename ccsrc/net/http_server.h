// HTTP/1.1 server on the event loops: keep-alive, pipelining, Expect, chunked bodies, limits and deadlines.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/buffer.h"
#include "base/error.h"
#include "net/event_loops.h"
#include "net/http_message.h"

namespace msfl::net {

struct HttpOptions {
  std::size_t max_header_bytes = 16 * 1024;
  std::uint64_t max_body_bytes = 1 << 20;
  std::size_t max_connections = 10000;
  // Memory for bodies that arrive or are worked on, and for what the pool keeps for the next ones. A body
  // takes its whole length from it before it is read. At least max_body_bytes.
  std::uint64_t body_memory = std::uint64_t{1} << 30;
  // How long a request waits, unread, for room in it; then it is read without being kept, and told to come
  // back (HttpRoute::overloaded).
  std::chrono::milliseconds body_wait{20'000};
  // What one address (IPv6: one /64) may hold at a time of connections and of body memory.
  double address_share = 1.0;
  std::chrono::milliseconds header_timeout{
      10'000};  // from the first byte of a request to the end of its headers
  std::chrono::milliseconds idle_timeout{50'000};  // between requests
  std::chrono::milliseconds body_stall_timeout{
      30'000};  // without a byte of a body, or of a reply taken by the peer
  // A body or a reply is done within body_stall_timeout + length / minimum_rate (bytes/s; 0: no such bound),
  // and within transfer_timeout.
  std::uint64_t minimum_rate = 0;
  std::chrono::milliseconds transfer_timeout{3'600'000};
  // Called when the server can't go on, because it has no memory to accept or to watch over deadlines.
  std::function<void()> on_lost;
};

// Why the server closed a connection, or refused one.
enum class HttpLimit {
  kConnections,         // all places taken, and no idle connection to close instead
  kAddressConnections,  // one address holds its share of the places
  kIdleEvicted,         // an idle connection gave its place to a newcomer
  kHeaderTime,
  kIdleTime,
  kBodyTime,        // stall, minimum rate or transfer time of a body
  kReplyTime,       // the same of a reply
  kReplyWithdrawn,  // HttpReply::withdrawn
  kBodyMemory,      // a body was read without being kept
  kCount
};

struct HttpStats {  // all since the start, but those that say "now"
  std::atomic<std::uint64_t> connections_open{0} /* now */, requests{0};
  std::atomic<std::uint64_t> bytes_received{0}, bytes_sent{0};        // bodies
  std::atomic<std::uint64_t> body_memory_used{0}, bodies_waiting{0};  // now
  std::array<std::atomic<std::uint64_t>, static_cast<std::size_t>(HttpLimit::kCount)> limits{};

  std::atomic<std::uint64_t>& Limit(HttpLimit limit) { return limits[static_cast<std::size_t>(limit)]; }
  std::uint64_t Limit(HttpLimit limit) const { return limits[static_cast<std::size_t>(limit)]; }
};

class HttpServer {
 public:
  HttpServer(EventLoops& loops, std::shared_ptr<BufferPool> pool, HttpOptions options,
             std::vector<HttpRoute> routes);
  ~HttpServer();

  // Binds and starts accepting. `host` is an IP address or a name; port 0 takes a free one.
  Result<void> Listen(const std::string& host, std::uint16_t port);
  std::uint16_t port() const;
  const HttpStats& stats() const;

  // Takes no new connection; lets requests in progress end until `grace` is over; then closes everything.
  // Returns when no session is left. Called from a thread that is not a loop.
  void Stop(std::chrono::milliseconds grace);

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace msfl::net
