// HTTP/1.1 server on the event loops: keep-alive, pipelining, Expect, chunked bodies, limits and deadlines.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
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
  std::chrono::milliseconds header_timeout{
      10'000};  // from the first byte of a request to the end of its headers
  std::chrono::milliseconds idle_timeout{50'000};  // between requests
  std::chrono::milliseconds body_stall_timeout{
      30'000};  // without a byte of a body, or of a reply taken by the peer
};

struct HttpStats {  // all since the start
  std::atomic<std::uint64_t> connections_open{0}, connections_refused{0}, requests{0};
  std::atomic<std::uint64_t> bytes_received{0}, bytes_sent{0};  // bodies
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
