// HttpSession, the part that sends answers.
#pragma once

#include <linux/sockios.h>
#include <sys/ioctl.h>

#include <boost/asio/redirect_error.hpp>

#include "net/http_session.h"
#include "net/transfer_clock.h"

namespace msfl::net {

// An answer of up to this size is copied behind its header: cheaper than a second piece for the kernel.
inline constexpr std::size_t kInlineReply = 2048;

template <class Stream>
Task<bool> HttpSession<Stream>::Send(HttpReply& reply, bool keep_alive) {
  HttpConnection connection = HttpConnection::kClose;
  if (keep_alive)
    connection = parser_->version() >= 11 ? HttpConnection::kUnsaid : HttpConnection::kKeepAlive;
  WriteHttpHeader(out_, reply, loop_.date.Now(), connection);
  GatherBuffers pending;
  std::uint64_t bytes = 0;
  if (parser_->verb() == boost::beast::http::verb::head) {
    pending.Add(out_.data(), out_.size());
  } else {
    const bool inlined = reply.head.size() <= kInlineReply;
    if (inlined) out_.append(reply.head.begin(), reply.head.end());
    pending.Add(out_.data(), out_.size());
    if (!inlined) pending.Add(reply.head.data(), reply.head.size());
    pending.Add(reply.tail.data(), reply.tail.size());
    bytes = reply.head.size() + reply.tail.size();
    context_->stats.bytes_sent.fetch_add(bytes, std::memory_order_relaxed);
  }
  error_code ec;
  pending.Consume(TryWrite(stream_, pending, ec));
  if (pending.empty()) co_return true;
  if (ec && ec != asio::error::would_block && ec != asio::error::try_again) co_return false;
  WaitUnless(reply.withdrawn);
  const bool sent = co_await Flush(pending, bytes);
  WaitUnless(nullptr);
  co_return sent;
}

// `bytes`: the length of the answer that this is the rest of.
template <class Stream>
Task<bool> HttpSession<Stream>::Flush(GatherBuffers& pending, std::uint64_t bytes) {
  flushing_.emplace(context_->options, SteadyClock::now());
  flushing_bytes_ = bytes;
  error_code ec;
  while (!ec && !pending.empty()) {
    unacknowledged_ = Unacknowledged();
    WaitUntil(flushing_->Next(SteadyClock::now(), bytes), HttpLimit::kReplyTime);
    const std::size_t sent = co_await stream_.async_write_some(pending, asio::redirect_error(kAwait, ec));
    pending.Consume(sent);
  }
  flushing_.reset();
  co_return !ec;
}

// Bytes that the system still holds for the peer.
template <class Stream>
int HttpSession<Stream>::Unacknowledged() noexcept {
  int bytes = 0;
  if constexpr (requires(Stream& stream) { Socket(stream).native_handle(); }) {  // no stream of a test
    if (::ioctl(Socket(stream_).native_handle(), SIOCOUTQ, &bytes) != 0) bytes = 0;
  }
  return bytes;
}

// The system lets a session write again only when a good part of what it holds is gone. Until then a peer
// that reads slowly but steadily looks like one that reads nothing.
template <class Stream>
SteadyClock::time_point HttpSession<Stream>::Reprieve(SteadyClock::time_point now) noexcept {
  if (!flushing_) return now;
  const int left = Unacknowledged();
  if (left >= unacknowledged_) return now;
  unacknowledged_ = left;
  return flushing_->Next(now, flushing_bytes_);
}

}  // namespace msfl::net
