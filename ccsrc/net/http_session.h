// One HTTP connection: a loop of header, body, handler, answer, written as one coroutine over any stream.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/buffer.h"
#include "base/non_finite.h"
#include "net/http_context.h"
#include "net/http_parser.h"
#include "net/input_buffer.h"
#include "net/session_list.h"
#include "net/stream.h"

namespace msfl::net {

template <class Stream>
class HttpSession final : public Session {
 public:
  // Counts as an open connection from here on. `loop` is the index of the stream's loop.
  HttpSession(Stream stream, std::shared_ptr<HttpContext> context, std::size_t loop);
  ~HttpSession() override;

  // To be started on the stream's loop. Never throws; ends with the connection.
  static Task<> Run(std::shared_ptr<HttpSession> self);
  void Close() noexcept override;
  void Abort() noexcept override;

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
  bool Keep() const;

  Stream stream_;
  const std::shared_ptr<HttpContext> context_;
  HttpContext::Loop& loop_;
  InputBuffer in_;
  std::optional<HttpRequestParser> parser_;
  std::size_t requests_of_turn_ = 0;
  std::string out_;                              // header block of the answer
  std::string chunked_method_, chunked_target_;  // of a chunked request, whose input moves on
  Buffer small_;                                 // bodies up to kSmallBody, one after another
  Buffer large_;                                 // the others
  std::span<const std::uint8_t> body_;
  NonFiniteMap non_finite_;
};

extern template class HttpSession<TcpStream>;

}  // namespace msfl::net
