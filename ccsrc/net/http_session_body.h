// HttpSession, the part that reads bodies: with a length, chunked, and those that nobody wants.
#pragma once

#include <algorithm>
#include <boost/asio/redirect_error.hpp>
#include <cstring>
#include <new>
#include <utility>

#include "net/http_session.h"

namespace msfl::net {

inline constexpr std::size_t kSmallBody = 16 * 1024;
// Read and scanned in pieces that fit into the cache.
inline constexpr std::size_t kBodyPiece = 256 * 1024;
// What a session may read of a body in one turn. Bodies that come in one after the other are summed while
// they are still in the cache; those that come in all at once, a piece of each in turn, are not.
inline constexpr std::size_t kBodyBurst = std::size_t{4} << 20;
inline constexpr std::size_t kChunkedInput = 64 * 1024;
// Before a connection is closed under a peer that still sends: without reading, the answer is lost in a
// reset.
inline constexpr std::uint64_t kDrainBytes = std::uint64_t{32} << 20;
inline constexpr std::chrono::seconds kDrainTime{5};

template <class Stream>
auto HttpSession<Stream>::ReadBody(std::uint64_t length) -> Task<Body> {
  std::uint8_t* data = nullptr;
  try {
    non_finite_.Reset(length);
    if (length <= kSmallBody) {
      if (small_.capacity() == 0) small_ = Buffer(kSmallBody);
      data = small_.data();
    } else {
      large_ = context_->pool->Take(length);
      data = large_.data();
    }
  } catch (const std::bad_alloc&) {
    co_return Body::kNoMemory;
  }
  std::size_t got = std::min<std::size_t>(in_.size(), length);
  if (got > 0) {
    std::memcpy(data, in_.data(), got);
    in_.Pass(got);
    non_finite_.Scan(data, 0, got);
  }
  std::size_t burst = 0;
  while (got < length) {
    const asio::mutable_buffer piece(data + got, std::min<std::size_t>(length - got, kBodyPiece));
    error_code ec = asio::error::would_block;
    std::size_t received = burst < kBodyBurst ? TryRead(stream_, piece, ec) : 0;
    burst += received;
    if (ec == asio::error::would_block || ec == asio::error::try_again) {
      burst = 0;
      WaitUntil(SteadyClock::now() + context_->options.body_stall_timeout);
      received = co_await stream_.async_read_some(piece, asio::redirect_error(kAwait, ec));
    }
    if (ec) co_return Body::kLost;
    non_finite_.Scan(data, got, got + received);
    got += received;
  }
  body_ = {data, got};
  co_return Body::kComplete;
}

template <class Stream>
bool HttpSession<Stream>::TakeChunk(std::string_view piece) {
  const std::size_t held = large_.size();
  if (piece.size() > context_->options.max_body_bytes - held) return false;
  if (held + piece.size() > large_.capacity()) {
    Buffer grown =
        context_->pool->Take(std::max({kChunkedInput, large_.capacity() * 2, held + piece.size()}));
    if (held > 0) std::memcpy(grown.data(), large_.data(), held);
    large_ = std::move(grown);
  }
  std::memcpy(large_.data() + held, piece.data(), piece.size());
  large_.Resize(held + piece.size());
  return true;
}

template <class Stream>
auto HttpSession<Stream>::ReadChunkedBody() -> Task<Body> {
  chunked_method_ = parser_->method();
  chunked_target_ = parser_->target();
  large_ = context_->pool->Take(kChunkedInput);
  large_.Resize(0);
  parser_->on_chunk = [this](std::string_view piece) { return TakeChunk(piece); };
  in_.Reserve(std::max(kChunkedInput, context_->options.max_header_bytes));
  error_code ec;
  while (!parser_->is_done()) {
    if (ec == boost::beast::http::error::need_more || in_.empty()) {
      // Chunk data are taken as they come, so what fills the input without an end is a line or a trailer.
      if (!in_.MakeRoom(0, kChunkedInput)) co_return Body::kMalformed;
      WaitUntil(SteadyClock::now() + context_->options.body_stall_timeout);
      const std::size_t received = co_await stream_.async_read_some(
          asio::buffer(in_.room(), in_.room_bytes()), asio::redirect_error(kAwait, ec));
      if (ec) co_return Body::kLost;
      in_.Commit(received);
    }
    try {
      in_.Consume(parser_->put(asio::const_buffer(in_.data(), in_.size()), ec));
    } catch (const std::bad_alloc&) {
      co_return Body::kNoMemory;
    }
    if (ec == boost::beast::http::error::body_limit) co_return Body::kTooLong;
    if (ec && ec != boost::beast::http::error::need_more) co_return Body::kMalformed;
  }
  in_.Reserve(InputBuffer::kInitialBytes);
  non_finite_.Reset(large_.size());
  non_finite_.Scan(large_.data(), 0, large_.size());
  body_ = large_.bytes();
  co_return Body::kComplete;
}

template <class Stream>
Task<bool> HttpSession<Stream>::SkipBody(std::uint64_t length) {
  std::uint64_t left = length;
  error_code ec;
  while (true) {
    const std::size_t step = std::min<std::uint64_t>(left, in_.size());
    in_.Consume(step);
    left -= step;
    if (left == 0) co_return true;
    WaitUntil(SteadyClock::now() + context_->options.body_stall_timeout);
    in_.MakeRoom(0, InputBuffer::kInitialBytes);
    const std::size_t received = co_await stream_.async_read_some(asio::buffer(in_.room(), in_.room_bytes()),
                                                                  asio::redirect_error(kAwait, ec));
    if (ec) co_return false;
    in_.Commit(received);
  }
}

// Lets the peer finish sending, within limits, so that it reads the answer instead of a reset.
template <class Stream>
Task<> HttpSession<Stream>::Drain() {
  error_code ec;
  static_cast<void>(Socket(stream_).shutdown(asio::ip::tcp::socket::shutdown_send, ec));
  WaitUntil(SteadyClock::now() + kDrainTime);
  Buffer waste = context_->pool->Take(kChunkedInput);
  std::uint64_t drained = 0;
  while (!ec && drained < kDrainBytes) {
    const std::size_t received = co_await stream_.async_read_some(asio::buffer(waste.data(), waste.size()),
                                                                  asio::redirect_error(kAwait, ec));
    drained += received;
  }
}

}  // namespace msfl::net
