// One HTTP connection: a loop of header, body, handler, answer, written as one coroutine over any stream.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/buffer.h"
#include "base/non_finite.h"
#include "net/http_parser.h"
#include "net/http_reply.h"
#include "net/http_server.h"
#include "net/input_buffer.h"
#include "net/session_list.h"
#include "net/stream.h"

namespace msfl::net {

// Counts what must have ended before a server may go.
class LiveCount {
 public:
  void Add() {
    const std::lock_guard lock(mutex_);
    ++count_;
  }
  void Done() {
    const std::lock_guard lock(mutex_);
    if (--count_ == 0) none_.notify_all();
  }
  // False if there is still one after `patience`.
  bool WaitForNone(std::chrono::milliseconds patience) {
    std::unique_lock lock(mutex_);
    return none_.wait_for(lock, patience, [this] { return count_ == 0; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable none_;
  std::size_t count_ = 0;
};

class LiveHold {
 public:
  explicit LiveHold(std::shared_ptr<LiveCount> count) : count_(std::move(count)) { count_->Add(); }
  LiveHold(LiveHold&& other) noexcept = default;
  ~LiveHold() {
    if (count_) count_->Done();
  }

 private:
  std::shared_ptr<LiveCount> count_;  // its own: GCC destroys a coroutine's parameters first to last
};

// What the sessions of a server share.
struct HttpContext {
  HttpContext(std::shared_ptr<BufferPool> pool_, HttpOptions options_, std::vector<HttpRoute> routes_,
              std::size_t loop_count)
      : pool(std::move(pool_)), options(options_), routes(std::move(routes_)), loops(loop_count) {}

  const HttpRoute* Find(std::string_view path) const {
    for (const HttpRoute& route : routes) {  // a dozen: comparing lengths settles most
      if (route.path == path) return &route;
    }
    return nullptr;
  }

  const std::shared_ptr<BufferPool> pool;
  const HttpOptions options;
  const std::vector<HttpRoute> routes;
  HttpStats stats;
  std::atomic<bool> stopping{false};
  const std::shared_ptr<LiveCount> live = std::make_shared<LiveCount>();

  struct Loop {  // its thread's own
    SessionList sessions;
    HttpDate date;
  };
  std::vector<Loop> loops;
};

template <class Stream>
class HttpSession final : public Session {
 public:
  // Counts as an open connection from here on. `loop` is the index of the stream's loop.
  HttpSession(Stream stream, std::shared_ptr<HttpContext> context, std::size_t loop);
  ~HttpSession() override;

  // To be started on the stream's loop. Never throws; ends with the connection.
  static Task<> Run(std::shared_ptr<HttpSession> self);
  void Close() noexcept override;

 private:
  enum class Body { kComplete, kTooLong, kMalformed, kNoMemory, kLost };
  enum class After { kNext, kClose, kDrainAndClose };

  Task<> Serve();
  Task<bool> ReadHeader();
  Task<After> Answer();
  Task<Body> ReadBody(std::uint64_t length);
  Task<Body> ReadChunkedBody();
  bool TakeChunk(std::string_view piece);
  Task<bool> SkipBody(std::uint64_t length);
  Task<bool> Send(HttpReply& reply, bool keep_alive);
  Task<bool> Flush(GatherBuffers& pending);
  Task<> Drain();
  void SetReplyHeader(const HttpReply& reply, bool keep_alive);
  bool Keep() const;

  Stream stream_;
  const std::shared_ptr<HttpContext> context_;
  HttpContext::Loop& loop_;
  InputBuffer in_;
  std::optional<HttpRequestParser> parser_;
  std::string out_;                              // header block of the answer
  std::string chunked_method_, chunked_target_;  // of a chunked request, whose input moves on
  Buffer small_;                                 // bodies up to kSmallBody, one after another
  Buffer large_;                                 // the others
  std::span<const std::uint8_t> body_;
  NonFiniteMap non_finite_;
};

extern template class HttpSession<TcpStream>;

}  // namespace msfl::net
