// One HTTP connection: a loop of header, body, handler, answer, written as one coroutine over any stream.
#pragma once

#include <boost/asio/basic_waitable_timer.hpp>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/non_finite.h"
#include "net/address_key.h"
#include "net/body_memory.h"
#include "net/body_sample.h"
#include "net/http_context.h"
#include "net/http_parser.h"
#include "net/input_buffer.h"
#include "net/session_list.h"
#include "net/stream.h"
#include "net/transfer_clock.h"

namespace msfl::net {

template <class Stream>
class HttpSession final : public Session {
 public:
  // Counts as an open connection from here on. `loop` is the index of the stream's loop.
  // `address`: whom what it takes is counted against.
  HttpSession(Stream stream, std::shared_ptr<HttpContext> context, std::size_t loop,
              const AddressKey& address = {});
  ~HttpSession() override;

  // To be started on the stream's loop. Never throws; ends with the connection.
  static Task<> Run(std::shared_ptr<HttpSession> self);
  void Close() noexcept override;
  void Abort() noexcept override;

 private:
  enum class Body { kComplete, kOverloaded, kTooLong, kMalformed, kLost };
  enum class Room { kHeld, kNone, kLost };
  enum class After { kNext, kClose, kDrainAndClose };
  struct Chunks;
  using Timer = asio::basic_waitable_timer<SteadyClock, asio::wait_traits<SteadyClock>, Executor>;

  // http_session_impl.h
  Task<> Serve();
  Task<bool> ReadHeader();
  Task<After> Answer();
  bool Keep() const;

  // http_session_body.h
  bool TakeRoom(std::uint64_t bytes) noexcept;
  Task<Room> AwaitRoom(std::uint64_t bytes, std::uint64_t missing);
  bool MustAsk() const;
  Task<bool> AskForBody();
  std::uint8_t* BodyBytes(std::uint64_t length) noexcept;
  Task<Body> ReadBody(std::uint64_t length);
  std::size_t TakeChunk(std::string_view piece, Chunks& chunks);
  Task<Room> GrowChunks(Chunks& chunks);
  Task<Body> ReadChunkedBody();

  // http_session_waste.h
  void SaveTarget();
  void BeginOverload();
  Task<HttpReply> ReplyOverloaded(const HttpRoute& route, std::string_view path);
  Task<std::span<const std::uint8_t>> Waste(std::uint64_t most, std::size_t& burst);
  Task<bool> SkipBody(std::uint64_t length, BodySample* sample);
  Task<> Drain();

  // http_session_reply.h
  Task<bool> Send(HttpReply& reply, bool keep_alive);
  Task<bool> Flush(GatherBuffers& pending, std::uint64_t written);
  std::int64_t Taken() noexcept;
  SteadyClock::time_point FlushedBy(SteadyClock::time_point now) const noexcept;
  SteadyClock::time_point Reprieve(SteadyClock::time_point now) noexcept override;

  Stream stream_;
  const std::shared_ptr<HttpContext> context_;
  HttpContext::Loop& loop_;
  const AddressKey address_;
  InputBuffer in_;
  std::optional<HttpRequestParser> parser_;
  std::size_t requests_of_turn_ = 0;
  std::string out_;                          // header block of the answer
  std::string saved_method_, saved_target_;  // of a request whose input moves on
  Buffer small_;                             // bodies up to kSmallBody, one after another
  BodyRoom room_;                            // the others
  std::shared_ptr<Timer> waiting_;           // while it waits for room
  std::unique_ptr<BodySample> sample_;       // of a body that finds none
  std::uint64_t body_limit_ = 0;             // of the route
  std::uint64_t unread_ = 0;  // of the body, when the connection is to be closed before its end
  bool endless_ = false;      // the same, but how much it is nobody knows
  bool closed_ = false;
  std::optional<TransferClock> flushing_;  // while an answer waits for its peer
  std::uint64_t flushing_written_ = 0;     // of the answer, to the system
  std::int64_t taken_ = 0;                 // of the answer, by the peer, at the last look
  std::span<const std::uint8_t> body_;
  NonFiniteMap non_finite_;
};

extern template class HttpSession<TcpStream>;

}  // namespace msfl::net
