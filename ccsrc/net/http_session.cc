#include "net/http_session.h"

#include <boost/asio/redirect_error.hpp>
#include <cstring>
#include <exception>
#include <new>
#include <utility>

#include "base/log.h"

namespace msfl::net {
namespace {

namespace http = boost::beast::http;

constexpr std::size_t kSmallBody = 16 * 1024;
// Read and scanned in pieces that fit into the cache.
constexpr std::size_t kBodyPiece = 256 * 1024;
// What a session may read of a body in one turn. Bodies that come in one after the other are summed while
// they are still in the cache; those that come in all at once, a piece of each in turn, are not.
constexpr std::size_t kBodyBurst = std::size_t{4} << 20;
constexpr std::size_t kChunkedInput = 64 * 1024;
// An answer of up to this size is copied behind its header: cheaper than a second piece for the kernel.
constexpr std::size_t kInlineReply = 2048;
// A body that nobody wants is read to its end if it is this short, so that the connection can stay.
constexpr std::uint64_t kSkipBytes = 64 * 1024;
// Before a connection is closed under a peer that still sends: without reading, the answer is lost in a
// reset.
constexpr std::uint64_t kDrainBytes = std::uint64_t{32} << 20;
constexpr std::chrono::seconds kDrainTime{5};

bool Supported(http::verb verb) {
  return verb == http::verb::post || verb == http::verb::get || verb == http::verb::head ||
         verb == http::verb::put || verb == http::verb::delete_;
}

std::string_view PathOf(std::string_view target) {
  if (target.starts_with("http://")) {  // as sent to a proxy
    const std::size_t slash = target.find('/', 7);
    target = slash == std::string_view::npos ? "/" : target.substr(slash);
  }
  return target.substr(0, target.find('?'));
}

}  // namespace

template <class Stream>
HttpSession<Stream>::HttpSession(Stream stream, std::shared_ptr<HttpContext> context, std::size_t loop)
    : Session(context->loops[loop].sessions),
      stream_(std::move(stream)),
      context_(std::move(context)),
      loop_(context_->loops[loop]) {
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
  error_code ignored;
  static_cast<void>(Socket(stream_).close(ignored));
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
  bool begun = false;
  error_code ec;
  in_.Consume(0);  // nobody looks at the request before any more
  SetIdle(true);
  WaitUntil(SteadyClock::now() + options.idle_timeout);
  while (true) {
    // Some clients end a body with an empty line that belongs to nothing.
    while (!begun && !in_.empty() && (in_.data()[0] == '\r' || in_.data()[0] == '\n')) in_.Consume(1);
    if (!in_.empty()) {
      const std::size_t used = parser_->put(asio::const_buffer(in_.data(), in_.size()), ec);
      in_.Pass(used);
      passed += used;
      unsigned refusal = 0;
      if (ec == http::error::header_limit || passed > options.max_header_bytes) {
        refusal = 431;
      } else if (ec && ec != http::error::need_more) {
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
        WaitUntil(SteadyClock::now() + options.header_timeout);
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
  const HttpRoute* const route = context_->Find(request.path);
  context_->stats.requests.fetch_add(1, std::memory_order_relaxed);

  HttpReply reply;
  bool refused = true;
  if (!Supported(parser_->verb())) {
    reply = PageReply(501);
  } else if (route == nullptr) {
    reply = PageReply(404);
  } else if ((!has_body && !route->takes_empty_body) || length > options.max_body_bytes) {
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
    const bool skippable = !has_body || (!chunked && length <= kSkipBytes &&
                                         parser_->expect() == HttpRequestParser::Expect::kNothing);
    if (skippable) {
      if (has_body && !co_await SkipBody(length)) co_return After::kClose;
      const bool keep = Keep();
      if (!co_await Send(reply, keep)) co_return After::kClose;
      co_return keep ? After::kNext : After::kClose;
    }
    if (!co_await Send(reply, false)) co_return After::kClose;
    co_return After::kDrainAndClose;
  }

  if (parser_->expect() == HttpRequestParser::Expect::kContinue && parser_->version() >= 11 && in_.empty()) {
    static constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
    GatherBuffers pending;
    pending.Add(kContinue.data(), kContinue.size());
    if (!co_await Flush(pending)) co_return After::kClose;
  }

  Body outcome = Body::kComplete;
  body_ = {};
  if (!has_body) {
    // Nothing to read.
  } else if (chunked) {
    outcome = co_await ReadChunkedBody();
    request.method = chunked_method_;
    request.path = PathOf(chunked_target_);
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
  if (outcome != Body::kComplete) {
    if (outcome == Body::kLost) co_return After::kClose;
    if (outcome == Body::kMalformed) {
      reply = PageReply(400);
    } else if (outcome == Body::kNoMemory) {
      reply = PageReply(503);
    } else {
      reply = BadBodyReply();
    }
    large_ = Buffer();
    if (!co_await Send(reply, false)) co_return After::kClose;
    co_return After::kDrainAndClose;
  }
  context_->stats.bytes_received.fetch_add(body_.size(), std::memory_order_relaxed);

  if (body_.empty() && !route->takes_empty_body) {
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
  large_ = Buffer();
  const bool keep = Keep();
  if (!co_await Send(reply, keep)) co_return After::kClose;
  co_return keep ? After::kNext : After::kClose;
}

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
    if (ec == http::error::need_more || in_.empty()) {
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
    if (ec == http::error::body_limit) co_return Body::kTooLong;
    if (ec && ec != http::error::need_more) co_return Body::kMalformed;
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

template <class Stream>
Task<bool> HttpSession<Stream>::Send(HttpReply& reply, bool keep_alive) {
  HttpConnection connection = HttpConnection::kClose;
  if (keep_alive)
    connection = parser_->version() >= 11 ? HttpConnection::kUnsaid : HttpConnection::kKeepAlive;
  WriteHttpHeader(out_, reply, loop_.date.Now(), connection);
  GatherBuffers pending;
  if (parser_->verb() == http::verb::head) {
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
  pending.Consume(TryWrite(stream_, pending, ec));
  if (pending.empty()) co_return true;
  if (ec && ec != asio::error::would_block && ec != asio::error::try_again) co_return false;
  const bool sent = co_await Flush(pending);
  co_return sent;
}

template <class Stream>
Task<bool> HttpSession<Stream>::Flush(GatherBuffers& pending) {
  error_code ec;
  while (!pending.empty()) {
    WaitUntil(SteadyClock::now() + context_->options.body_stall_timeout);
    const std::size_t sent = co_await stream_.async_write_some(pending, asio::redirect_error(kAwait, ec));
    if (ec) co_return false;
    pending.Consume(sent);
  }
  co_return true;
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

template class HttpSession<TcpStream>;

}  // namespace msfl::net
