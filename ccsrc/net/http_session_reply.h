// HttpSession, the part that sends answers.
#pragma once

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
  const TransferClock clock(context_->options, SteadyClock::now());
  error_code ec;
  while (!pending.empty()) {
    WaitUntil(clock.Next(SteadyClock::now(), bytes), HttpLimit::kReplyTime);
    const std::size_t sent = co_await stream_.async_write_some(pending, asio::redirect_error(kAwait, ec));
    if (ec) co_return false;
    pending.Consume(sent);
  }
  co_return true;
}

}  // namespace msfl::net
