// HttpSession, the part that takes one request after another. Whoever wants sessions over a stream of its own
// includes this and has the template instantiated; for TcpStream that is done in http_session.cc.
#pragma once

#include <algorithm>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <cstring>
#include <exception>
#include <utility>

#include "base/log.h"
#include "net/http_session.h"
#include "net/http_session_body.h"
#include "net/http_session_reply.h"
#include "net/http_session_waste.h"

namespace msfl::net {

// A body that nobody wants is read to its end if it is this short, so that the connection can stay.
inline constexpr std::uint64_t kSkipBytes = 64 * 1024;

// Before a request. More is no slip of a client.
inline constexpr std::size_t kEmptyLineBytes = 64;
// Of those that came in together, before others have their turn.
inline constexpr std::size_t kRequestsPerTurn = 16;

inline bool IsSupported(boost::beast::http::verb verb) {
  using Verb = boost::beast::http::verb;
  return verb == Verb::post || verb == Verb::get || verb == Verb::head || verb == Verb::put ||
         verb == Verb::delete_;
}

inline std::string_view PathOf(std::string_view target) {
  if (target.starts_with("http://")) {  // as sent to a proxy
    const std::size_t slash = target.find('/', 7);
    target = slash == std::string_view::npos ? "/" : target.substr(slash);
  }
  return target.substr(0, target.find('?'));
}

template <class Stream>
HttpSession<Stream>::HttpSession(Stream stream, std::shared_ptr<HttpContext> context, std::size_t loop,
                                 const AddressKey& address)
    : Session(context->loops[loop].sessions),
      stream_(std::move(stream)),
      context_(std::move(context)),
      loop_(context_->loops[loop]),
      address_(address),
      room_(context_->bodies, address) {
  context_->stats.connections_open.fetch_add(1, std::memory_order_relaxed);
  context_->live->Add();
}

template <class Stream>
HttpSession<Stream>::~HttpSession() {
  Close();
  Unregister();
  context_->stats.connections_open.fetch_sub(1, std::memory_order_relaxed);
  context_->live->Done();
}

template <class Stream>
void HttpSession<Stream>::Close() noexcept {
  closed_ = true;
  if (waiting_) waiting_->cancel();
  error_code ignored;
  static_cast<void>(Socket(stream_).close(ignored));
}

template <class Stream>
void HttpSession<Stream>::Abort() noexcept {
  if constexpr (requires(Stream& stream) { Socket(stream).native_handle(); }) {  // no stream of a test
    error_code ignored;
    static_cast<void>(Socket(stream_).set_option(asio::socket_base::linger(true, 0), ignored));
  }
  Close();
}

template <class Stream>
Task<> HttpSession<Stream>::Run(std::shared_ptr<HttpSession> self) {
  self->Register();
  try {
    co_await self->Serve();
  } catch (const std::exception& e) {
    MSFL_LOG(kError, "a connection ends: " << e.what());
  } catch (...) {
    MSFL_LOG(kError, "a connection ends by an unknown exception");
  }
}

template <class Stream>
Task<> HttpSession<Stream>::Serve() {
  while (co_await ReadHeader()) {
    const After after = co_await Answer();
    room_.Release();
    sample_.reset();
    if (after == After::kDrainAndClose) co_await Drain();
    if (after != After::kNext) co_return;
  }
}

// False if the connection is to be closed without another word.
template <class Stream>
Task<bool> HttpSession<Stream>::ReadHeader() {
  const HttpOptions& options = context_->options;
  parser_.emplace(options.max_header_bytes);
  std::size_t passed = 0;  // bytes of this header that are parsed
  std::size_t empty_lines = 0;
  bool begun = false;
  error_code ec;
  in_.Consume(0);  // nobody looks at the request before any more
  if (++requests_of_turn_ > kRequestsPerTurn) {
    co_await asio::post(kAwait);
    requests_of_turn_ = 0;
  }
  SetIdle(true);
  WaitUntil(SteadyClock::now() + options.idle_timeout, HttpLimit::kIdleTime);
  while (true) {
    // Some clients end a body with an empty line that belongs to nothing.
    while (!begun && !in_.empty() && (in_.data()[0] == '\r' || in_.data()[0] == '\n')) {
      if (++empty_lines > kEmptyLineBytes) break;  // what the parser refuses
      in_.Consume(1);
    }
    if (!in_.empty()) {
      const std::size_t used = parser_->put(asio::const_buffer(in_.data(), in_.size()), ec);
      in_.Pass(used);
      passed += used;
      unsigned refusal = 0;
      if (ec == boost::beast::http::error::header_limit || passed > options.max_header_bytes) {
        refusal = 431;
      } else if (ec && ec != boost::beast::http::error::need_more) {
        refusal = 400;
      } else if (!ec) {
        SetIdle(false);
        co_return true;
      } else if (passed + in_.size() >= options.max_header_bytes) {
        refusal = 431;
      }
      if (refusal != 0) {
        SetIdle(false);
        HttpReply reply = PageReply(refusal);
        if (co_await Send(reply, false)) co_await Drain();
        co_return false;
      }
      if (!begun) {
        begun = true;
        SetIdle(false);
        WaitUntil(SteadyClock::now() + options.header_timeout, HttpLimit::kHeaderTime);
      }
    }
    if (!begun && context_->stopping.load(std::memory_order_relaxed)) co_return false;
    const char* const before = in_.data();
    if (!in_.MakeRoom(passed, options.max_header_bytes)) co_return false;
    parser_->Rebase(before, in_.data());
    const std::size_t received = co_await stream_.async_read_some(asio::buffer(in_.room(), in_.room_bytes()),
                                                                  asio::redirect_error(kAwait, ec));
    if (ec) co_return false;
    in_.Commit(received);
    requests_of_turn_ = 0;
  }
}

template <class Stream>
bool HttpSession<Stream>::Keep() const {
  return parser_->keep_alive() && !context_->stopping.load(std::memory_order_relaxed);
}

template <class Stream>
auto HttpSession<Stream>::Answer() -> Task<After> {
  const HttpOptions& options = context_->options;
  const bool chunked = parser_->chunked();
  const std::uint64_t length = chunked ? 0 : parser_->content_length().value_or(0);
  const bool has_body = chunked || length > 0;
  HttpRequest request;
  request.method = parser_->method();
  request.path = PathOf(parser_->target());
  request.address = address_;
  const HttpRoute* const route = context_->Find(request.path);
  context_->stats.requests.fetch_add(1, std::memory_order_relaxed);

  body_limit_ = std::min(options.max_body_bytes, route == nullptr ? 0 : route->max_body_bytes);

  HttpReply reply;
  bool refused = true;
  unread_ = 0;
  endless_ = false;
  if (!IsSupported(parser_->verb())) {
    reply = PageReply(501);
  } else if (route == nullptr) {
    reply = PageReply(404);
  } else if ((!has_body && !route->takes_empty_body) || length > body_limit_) {
    reply = BadBodyReply();
  } else if (parser_->expect() == HttpRequestParser::Expect::kUnknown) {
    reply = PageReply(417);
  } else if (chunked && parser_->version() == 10) {
    reply = PageReply(400);
  } else {
    refused = false;
  }
  if (refused) {
    // Whoever waits for "100 Continue" may send the body or not: only a new connection is clear.
    const bool comes = has_body && parser_->expect() == HttpRequestParser::Expect::kNothing;
    const bool skippable = !has_body || (comes && !chunked && length <= kSkipBytes);
    if (skippable) {
      if (has_body && !co_await SkipBody(length, nullptr)) co_return After::kClose;
      const bool keep = Keep();
      if (!co_await Send(reply, keep)) co_return After::kClose;
      co_return keep ? After::kNext : After::kClose;
    }
    if (comes) unread_ = length;
    endless_ = comes && chunked;
    if (!co_await Send(reply, false)) co_return After::kClose;
    co_return After::kDrainAndClose;
  }

  Body outcome = Body::kComplete;
  body_ = {};
  if (!has_body) {
    // Nothing to read.
  } else if (chunked) {
    outcome = co_await ReadChunkedBody();
  } else if (length <= kSmallBody && in_.size() >= length) {
    if (small_.capacity() == 0) small_ = Buffer(kSmallBody);
    std::memcpy(small_.data(), in_.data(), length);  // to where it is aligned
    in_.Pass(length);
    non_finite_.Reset(length);
    non_finite_.Scan(small_.data(), 0, length);
    body_ = {small_.data(), length};
  } else {
    outcome = co_await ReadBody(length);
  }
  if (outcome == Body::kLost) co_return After::kClose;
  if (outcome == Body::kMalformed || outcome == Body::kTooLong) {
    room_.Release();
    reply = outcome == Body::kTooLong ? BadBodyReply() : PageReply(400);
    endless_ = outcome == Body::kTooLong;
    if (!co_await Send(reply, false)) co_return After::kClose;
    co_return After::kDrainAndClose;
  }
  if (chunked || outcome == Body::kOverloaded) {  // the input has moved on
    request.method = saved_method_;
    request.path = PathOf(saved_target_);
  }
  context_->stats.bytes_received.fetch_add(outcome == Body::kOverloaded ? sample_->bytes() : body_.size(),
                                           std::memory_order_relaxed);

  if (outcome == Body::kOverloaded) {
    reply = co_await ReplyOverloaded(*route, request.path);
  } else if (body_.empty() && !route->takes_empty_body) {
    reply = BadBodyReply();
  } else {
    request.body = body_;
    if (!body_.empty()) request.non_finite = &non_finite_;
    WaitForever();
    try {
      reply = co_await route->handler(request);
    } catch (const std::exception& e) {
      reply = ErrorReply(e.what());
    } catch (...) {
      reply = ErrorReply("unknown exception");
    }
  }
  room_.Release();
  const bool keep = Keep();
  if (!co_await Send(reply, keep)) co_return After::kClose;
  co_return keep ? After::kNext : After::kClose;
}

}  // namespace msfl::net
