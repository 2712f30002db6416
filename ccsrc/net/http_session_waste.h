// HttpSession, the part that reads what it does not keep: bodies without room, bodies that nobody wants, and
// what a peer still sends when its connection is about to be closed.
#pragma once

#include <algorithm>
#include <boost/asio/redirect_error.hpp>

#include "net/http_session.h"
#include "net/http_session_body.h"
#include "net/transfer_clock.h"

namespace msfl::net {

// Before a connection is closed under a peer that still sends: see Drain().
inline constexpr std::uint64_t kDrainBytes = std::uint64_t{32} << 20;
inline constexpr std::chrono::seconds kDrainTime{5};

template <class Stream>
void HttpSession<Stream>::SaveTarget() {
  saved_method_ = parser_->method();
  saved_target_ = parser_->target();
}

// From here on the body is read without being kept. Precondition: SaveTarget().
template <class Stream>
void HttpSession<Stream>::BeginOverload() {
  context_->stats.Limit(HttpLimit::kBodyMemory).fetch_add(1, std::memory_order_relaxed);
  sample_ = std::make_unique<BodySample>();
}

template <class Stream>
Task<HttpReply> HttpSession<Stream>::ReplyOverloaded(const HttpRoute& route, std::string_view path) {
  HttpReply reply = PageReply(503);
  if (route.overloaded) {
    OverloadedRequest request;
    request.path = path;
    request.body_bytes = sample_->bytes();
    request.first = sample_->first();
    request.last = sample_->last();
    WaitForever();
    try {
      reply = co_await route.overloaded(request);
    } catch (const std::exception& e) {
      reply = ErrorReply(e.what());
    } catch (...) {
      reply = ErrorReply("unknown exception");
    }
  }
  sample_.reset();
  co_return reply;
}

// Receives up to `most` bytes that nobody keeps. What it returns may be looked at until the next wait, since
// the memory is everybody's. Empty: the end. Precondition: in_ is empty.
template <class Stream>
auto HttpSession<Stream>::Waste(std::uint64_t most, std::size_t& burst)
    -> Task<std::span<const std::uint8_t>> {
  Buffer& waste = loop_.Waste();
  error_code ec = asio::error::would_block;
  std::span<const std::uint8_t> piece;
  if (burst < kBodyBurst) {
    const asio::mutable_buffer room(waste.data(), std::min<std::uint64_t>(most, waste.size()));
    const std::size_t received = TryRead(stream_, room, ec);
    burst += received;
    piece = {waste.data(), received};
  }
  if (ec == asio::error::would_block || ec == asio::error::try_again) {
    burst = 0;
    in_.MakeRoom(0, InputBuffer::kInitialBytes);
    // Its own memory: what the loop shares may be written by others before this session is resumed.
    const asio::mutable_buffer room(in_.room(), std::min<std::uint64_t>(most, in_.room_bytes()));
    const std::size_t received = co_await stream_.async_read_some(room, asio::redirect_error(kAwait, ec));
    piece = {in_.room(), received};
  }
  if (ec) piece = {};
  co_return piece;
}

// Reads the rest of a body of `length` bytes, under the deadlines of a body, with the same patience whether
// it is kept or not. False if the peer is gone.
template <class Stream>
Task<bool> HttpSession<Stream>::SkipBody(std::uint64_t length, BodySample* sample) {
  const std::size_t step = std::min<std::uint64_t>(length, in_.size());
  if (sample != nullptr) sample->Add({reinterpret_cast<const std::uint8_t*>(in_.data()), step});
  in_.Consume(step);
  std::uint64_t left = length - step;
  const TransferClock clock(context_->options, SteadyClock::now());
  std::size_t burst = 0;
  while (left > 0) {
    if (burst == 0) WaitUntil(clock.Next(SteadyClock::now(), length - left), HttpLimit::kBodyTime);
    const std::span<const std::uint8_t> piece = co_await Waste(left, burst);
    if (piece.empty()) co_return false;
    if (sample != nullptr) sample->Add(piece);
    left -= piece.size();
  }
  co_return true;
}

// After an answer that ends the connection. An answer is lost in a reset if the socket is closed while bytes
// arrive, and many a client reads only when it has sent everything. Therefore:
//  * A body whose length is known and at most twice what is allowed (or kDrainBytes) is read to its end, as
//    patiently as one that is welcome: it is one of this job's devices, with another model or a wrong path.
//  * A chunked one that became too long is read up to the same length, as long as it does not pause.
//  * Anything else, like the 2 GiB that somebody claims to send, is read for kDrainTime and kDrainBytes.
//    That is enough for a peer that heeds an answer while it sends; another one gets a reset, which is
//    answer enough.
template <class Stream>
Task<> HttpSession<Stream>::Drain() {
  error_code ec;
  static_cast<void>(Socket(stream_).shutdown(asio::ip::tcp::socket::shutdown_send, ec));
  const std::uint64_t reach = 2 * std::max(context_->options.max_body_bytes, kDrainBytes / 2);
  const bool to_its_end = unread_ > 0 && unread_ <= reach;
  if (to_its_end && !co_await SkipBody(unread_, nullptr)) co_return;
  std::uint64_t left = endless_ ? reach : kDrainBytes;
  const TransferClock clock(context_->options, SteadyClock::now());
  in_.Consume(in_.size());
  WaitUntil(SteadyClock::now() + kDrainTime);
  std::size_t burst = 0;
  while (left > 0) {
    if (endless_ && burst == 0) {
      const auto now = SteadyClock::now();
      WaitUntil(std::min<SteadyClock::time_point>(now + kDrainTime, clock.Next(now, reach - left)));
    }
    const std::span<const std::uint8_t> piece = co_await Waste(left, burst);
    if (piece.empty()) co_return;
    left -= piece.size();
  }
}

}  // namespace msfl::net
