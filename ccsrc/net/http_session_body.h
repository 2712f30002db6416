// HttpSession, the part that reads bodies: with a length and chunked. http_session_waste.h has those that are
// not kept.
#pragma once

#include <algorithm>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/this_coro.hpp>
#include <cstring>
#include <new>

#include "net/http_session.h"
#include "net/transfer_clock.h"

namespace msfl::net {

// Bodies up to here need no room in the budget.
inline constexpr std::size_t kSmallBody = 16 * 1024;
// Read and scanned in pieces that fit into the cache.
inline constexpr std::size_t kBodyPiece = 256 * 1024;
// What a session may read of a body in one turn. Bodies that come in one after the other are summed while
// they are still in the cache; those that come in all at once, a piece of each in turn, are not.
inline constexpr std::size_t kBodyBurst = std::size_t{4} << 20;
// With kSmallBody within the 64 KB that a connection may take beside the budget (docs/limits.md).
inline constexpr std::size_t kChunkedInput = 32 * 1024;
// How often a session that waits for room looks whether its peer is still there. Nothing else tells, because
// nothing is read meanwhile.
inline constexpr std::chrono::seconds kWatchPeriod{1};

template <class Stream>
bool HttpSession<Stream>::TakeRoom(std::uint64_t bytes) noexcept {
  try {
    return room_.Take(bytes);
  } catch (const std::bad_alloc&) {
    return false;
  }
}

// Waits for room, the socket unread: the peer's writes block. `missing` bytes of the body are still to come.
template <class Stream>
auto HttpSession<Stream>::AwaitRoom(std::uint64_t bytes, std::uint64_t missing) -> Task<Room> {
  const auto deadline = SteadyClock::now() + context_->options.body_wait;
  const Executor executor = co_await asio::this_coro::executor;
  WaitForever();
  // Shared with the one who gives room, who may come when this session is gone.
  const auto timer = std::make_shared<Timer>(executor);
  waiting_ = timer;
  room_.Await(bytes, [timer, executor] { asio::post(executor, [timer] { timer->cancel(); }); });
  bool lost = false;
  while (!lost && room_.waiting()) {
    const auto now = SteadyClock::now();
    if (now >= deadline) break;
    timer->expires_at(std::min<SteadyClock::time_point>(deadline, now + kWatchPeriod));
    error_code ec;
    co_await timer->async_wait(asio::redirect_error(kAwait, ec));
    lost = closed_ || HungUp(stream_, missing);
  }
  waiting_.reset();
  const bool held = room_.Leave();
  if (closed_ || lost) co_return Room::kLost;
  co_return held ? Room::kHeld : Room::kNone;
}

// Whoever waits to be asked for a body is asked when it is clear that the body will be read.
template <class Stream>
bool HttpSession<Stream>::MustAsk() const {
  return parser_->expect() == HttpRequestParser::Expect::kContinue && parser_->version() >= 11 && in_.empty();
}

template <class Stream>
Task<bool> HttpSession<Stream>::AskForBody() {
  static constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
  GatherBuffers pending;
  pending.Add(kContinue.data(), kContinue.size());
  const bool asked = co_await Flush(pending, 0);
  co_return asked;
}

// Null if the machine has no memory.
template <class Stream>
std::uint8_t* HttpSession<Stream>::BodyBytes(std::uint64_t length) noexcept {
  try {
    non_finite_.Reset(length);
    if (length > kSmallBody) return room_.buffer().data();
    if (small_.capacity() == 0) small_ = Buffer(kSmallBody);
    return small_.data();
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}

template <class Stream>
auto HttpSession<Stream>::ReadBody(std::uint64_t length) -> Task<Body> {
  Room room = length <= kSmallBody || TakeRoom(length) ? Room::kHeld : Room::kNone;
  if (room == Room::kNone)
    room = co_await AwaitRoom(length, length - std::min<std::uint64_t>(length, in_.size()));
  if (room == Room::kLost) co_return Body::kLost;
  // Asked for even if it can't be kept: the handler of what is too much wants to know whose it was.
  if (MustAsk() && !co_await AskForBody()) co_return Body::kLost;
  std::uint8_t* const data = room == Room::kHeld ? BodyBytes(length) : nullptr;
  if (data == nullptr) {
    room_.Release();  // which is there without memory if the machine has none
    SaveTarget();
    BeginOverload();
    const bool skipped = co_await SkipBody(length, sample_.get());
    co_return skipped ? Body::kOverloaded : Body::kLost;
  }
  std::size_t got = std::min<std::size_t>(in_.size(), length);
  if (got > 0) {
    std::memcpy(data, in_.data(), got);
    in_.Pass(got);
    non_finite_.Scan(data, 0, got);
  }
  const TransferClock clock(context_->options, SteadyClock::now());
  std::size_t burst = 0;
  while (got < length) {
    const asio::mutable_buffer piece(data + got, std::min<std::size_t>(length - got, kBodyPiece));
    error_code ec = asio::error::would_block;
    std::size_t received = burst < kBodyBurst ? TryRead(stream_, piece, ec) : 0;
    burst += received;
    if (ec == asio::error::would_block || ec == asio::error::try_again) {
      burst = 0;
      WaitUntil(clock.Next(SteadyClock::now(), got), HttpLimit::kBodyTime);
      received = co_await stream_.async_read_some(piece, asio::redirect_error(kAwait, ec));
    }
    if (ec) co_return Body::kLost;
    non_finite_.Scan(data, got, got + received);
    got += received;
  }
  body_ = {data, got};
  co_return Body::kComplete;
}

// What is read of a chunked body.
template <class Stream>
struct HttpSession<Stream>::Chunks {
  std::uint8_t* data = nullptr;
  std::size_t capacity = 0;
  std::size_t held = 0;
  bool has_room = false;  // in the budget
};

template <class Stream>
std::size_t HttpSession<Stream>::TakeChunk(std::string_view piece, Chunks& chunks) {
  std::size_t taken = piece.size();
  if (sample_) {
    sample_->Add({reinterpret_cast<const std::uint8_t*>(piece.data()), taken});
  } else {
    taken = std::min(taken, chunks.capacity - chunks.held);
    if (taken > 0) std::memcpy(chunks.data + chunks.held, piece.data(), taken);
    chunks.held += taken;
  }
  parser_->body_bytes_left -= taken;
  return taken;
}

// A larger piece of memory. Only the first takes its place in the queue: whoever waited with memory in its
// hands would keep it from those that it waits for.
template <class Stream>
auto HttpSession<Stream>::GrowChunks(Chunks& chunks) -> Task<Room> {
  const std::uint64_t wanted = std::min<std::uint64_t>(std::max(kChunkedInput, chunks.capacity * 2),
                                                       std::max<std::uint64_t>(body_limit_, 1));
  if (!chunks.has_room) {
    Room room = TakeRoom(wanted) ? Room::kHeld : Room::kNone;
    if (room == Room::kNone) room = co_await AwaitRoom(wanted, 0);
    if (room != Room::kHeld) co_return room;
    chunks.has_room = true;
  }
  try {
    if (chunks.data == small_.data()) {
      Buffer& memory = room_.buffer();
      std::memcpy(memory.data(), small_.data(), chunks.held);
    } else if (!room_.Grow(wanted, chunks.held)) {
      co_return Room::kNone;
    }
    chunks.data = room_.buffer().data();
    chunks.capacity = wanted;
    co_return Room::kHeld;
  } catch (const std::bad_alloc&) {
    co_return Room::kNone;
  }
}

template <class Stream>
auto HttpSession<Stream>::ReadChunkedBody() -> Task<Body> {
  SaveTarget();
  if (small_.capacity() == 0) small_ = Buffer(kSmallBody);
  Chunks chunks;
  chunks.data = small_.data();
  chunks.capacity = kSmallBody;
  parser_->body_bytes_left = body_limit_;
  parser_->on_chunk = [this, &chunks](std::string_view piece) { return TakeChunk(piece, chunks); };
  if (MustAsk()) {
    // Nobody knows its length: who asks first gets room for a start.
    const Room room = co_await GrowChunks(chunks);
    if (room == Room::kLost) co_return Body::kLost;
    if (room == Room::kNone) BeginOverload();
    if (!co_await AskForBody()) co_return Body::kLost;
  }
  in_.Reserve(std::max(kChunkedInput, context_->options.max_header_bytes));
  TransferClock clock(context_->options, SteadyClock::now());
  std::uint64_t arrived = 0;
  error_code ec;
  while (!parser_->is_done()) {
    if (ec == boost::beast::http::error::need_more || in_.empty()) {
      // Chunk data are taken as they come, so what fills the input without an end is a line or a trailer.
      if (!in_.MakeRoom(0, kChunkedInput)) co_return Body::kMalformed;
      WaitUntil(clock.Next(SteadyClock::now(), arrived), HttpLimit::kBodyTime);
      const std::size_t received = co_await stream_.async_read_some(
          asio::buffer(in_.room(), in_.room_bytes()), asio::redirect_error(kAwait, ec));
      if (ec) co_return Body::kLost;
      in_.Commit(received);
      arrived += received;
    }
    // Beast takes for granted that two bytes more than this are there when it looks again.
    if (std::string_view(in_.data(), in_.size()) == "0\r\n") {
      ec = boost::beast::http::error::need_more;
      continue;
    }
    in_.Consume(parser_->put(asio::const_buffer(in_.data(), in_.size()), ec));
    if (ec == boost::beast::http::error::body_limit) co_return Body::kTooLong;
    if (ec == boost::beast::http::error::need_buffer) {
      const SteadyClock::time_point asked = SteadyClock::now();
      const Room room = co_await GrowChunks(chunks);
      if (room == Room::kLost) co_return Body::kLost;
      clock.Exclude(SteadyClock::now() - asked);
      if (room == Room::kNone) {
        BeginOverload();
        sample_->Add({chunks.data, chunks.held});
        room_.Release();
      }
    } else if (ec && ec != boost::beast::http::error::need_more) {
      co_return Body::kMalformed;
    }
  }
  in_.Reserve(InputBuffer::kInitialBytes);
  if (sample_) co_return Body::kOverloaded;
  non_finite_.Reset(chunks.held);
  non_finite_.Scan(chunks.data, 0, chunks.held);
  body_ = {chunks.data, chunks.held};
  co_return Body::kComplete;
}

}  // namespace msfl::net
