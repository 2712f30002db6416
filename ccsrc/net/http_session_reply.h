// HttpSession, the part that sends answers.
#pragma once

#include <linux/sockios.h>
#include <sys/ioctl.h>

#include <algorithm>
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
  if (parser_->verb() == boost::beast::http::verb::head) {
    pending.Add(out_.data(), out_.size());
  } else {
    const bool inlined = reply.head.size() <= kInlineReply;
    if (inlined) out_.append(reply.head.begin(), reply.head.end());
    pending.Add(out_.data(), out_.size());
    if (!inlined) pending.Add(reply.head.data(), reply.head.size());
    pending.Add(reply.tail.data(), reply.tail.size());
    context_->stats.bytes_sent.fetch_add(reply.head.size() + reply.tail.size(), std::memory_order_relaxed);
  }
  error_code ec;
  const std::size_t written = TryWrite(stream_, pending, ec);
  pending.Consume(written);
  if (pending.empty()) co_return true;
  if (ec && ec != asio::error::would_block && ec != asio::error::try_again) co_return false;
  WaitUnless(reply.withdrawn);
  const bool sent = co_await Flush(pending, written);
  WaitUnless(nullptr);
  co_return sent;
}

// `written`: what the system has of the answer that this is the rest of.
template <class Stream>
Task<bool> HttpSession<Stream>::Flush(GatherBuffers& pending, std::uint64_t written) {
  flushing_.emplace(context_->options, SteadyClock::now());
  flushing_written_ = written;
  error_code ec;
  while (!ec && !pending.empty()) {
    taken_ = Taken();
    WaitUntil(FlushedBy(SteadyClock::now()), HttpLimit::kReplyTime);
    const std::size_t sent = co_await stream_.async_write_some(pending, asio::redirect_error(kAwait, ec));
    pending.Consume(sent);
    flushing_written_ += sent;
  }
  flushing_.reset();
  co_return !ec;
}

// What the peer has got of the answer: the system still holds the rest of what was written. Negative while it
// holds something of answers before this one.
template <class Stream>
std::int64_t HttpSession<Stream>::Taken() noexcept {
  int held = 0;
  if constexpr (requires(Stream& stream) { Socket(stream).native_handle(); }) {  // no stream of a test
    if (::ioctl(Socket(stream_).native_handle(), SIOCOUTQ, &held) != 0) held = 0;
  }
  return static_cast<std::int64_t>(flushing_written_) - held;
}

template <class Stream>
SteadyClock::time_point HttpSession<Stream>::FlushedBy(SteadyClock::time_point now) const noexcept {
  return flushing_->Next(now, static_cast<std::uint64_t>(std::max<std::int64_t>(taken_, 0)));
}

// The system lets a session write again only when a good part of what it holds is gone. Until then a peer
// that reads slowly but steadily looks like one that reads nothing.
template <class Stream>
SteadyClock::time_point HttpSession<Stream>::Reprieve(SteadyClock::time_point now) noexcept {
  if (!flushing_) return now;
  const std::int64_t taken = Taken();
  if (taken <= taken_) return now;
  taken_ = taken;
  return FlushedBy(now);
}

}  // namespace msfl::net
