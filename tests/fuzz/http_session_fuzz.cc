// One HTTP connection from its first byte to its end: what the session takes for requests is compared with
// what RFC 9112 says, its answers with the requests, and what routes are promised is checked in a route.
//
// The input: a byte of switches (1: the peer falls silent instead of closing; 4: others hold the room for
// bodies, which is waited for, or not: 2), a byte that says how many bytes of piece sizes follow, those, and
// what the peer sends.
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/this_coro.hpp>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>

#include "base/log.h"
#include "memory_stream.h"
#include "net/http_session_impl.h"
#include "strict_http.h"

namespace {

namespace asio = boost::asio;
using namespace msfl::net;
using msfl::Task;
using msfl::fuzz::MemoryStream;
using msfl::fuzz::ReadStrictly;
using msfl::fuzz::StrictRequest;
using msfl::fuzz::StrictStream;
using msfl::fuzz::Wire;

constexpr std::size_t kMaxHeader = 2048, kMaxBody = 24'000, kBodyMemory = 64 * 1024;

struct Call {
  std::string method, path, body;
  bool overloaded = false;
};

std::vector<Call>& Calls() {
  static auto* const calls = new std::vector<Call>;
  return *calls;
}

[[noreturn]] void Broken(const std::string& promise) {
  std::fprintf(stderr, "==BROKEN PROMISE== %s\n", promise.c_str());
  std::abort();
}
void Promise(bool holds, const char* promise) {
  if (!holds) Broken(promise);
}

// The map marks a block exactly if a float of it is not finite.
void CheckMap(const HttpRequest& request) {
  Promise(request.body.empty() == (request.non_finite == nullptr), "a body has its map");
  if (request.body.empty()) return;
  Promise(reinterpret_cast<std::uintptr_t>(request.body.data()) % 64 == 0, "a body is aligned");
  const std::size_t size = request.body.size();
  bool any = false;
  for (std::size_t block = 0; block < size; block += msfl::NonFiniteMap::kBlockBytes) {
    const std::size_t end = std::min(size, block + msfl::NonFiniteMap::kBlockBytes);
    bool marked = false;
    for (std::size_t word = block; word + sizeof(float) <= end; word += sizeof(float)) {
      float value = 0;
      std::memcpy(&value, request.body.data() + word, sizeof value);
      marked = marked || !std::isfinite(value);
    }
    Promise(request.non_finite->MayContain(block, end) == marked, "the map of a body is right");
    any = any || marked;
  }
  Promise(request.non_finite->any() == any, "the map of a body is right as a whole");
}

HttpReply ReplyOf(std::size_t call, std::size_t head, std::size_t tail) {
  HttpReply reply;
  const std::string text = "call " + std::to_string(call) + "\n";
  reply.head.assign(text.begin(), text.end());
  reply.head.resize(std::max(head, text.size()), '.');
  if (tail > 0) {
    const auto owner = std::make_shared<std::vector<std::uint8_t>>(tail, '-');
    reply.tail = *owner;
    reply.tail_owner = owner;
  }
  return reply;
}

Task<HttpReply> Note(const HttpRequest& request, int turns, std::size_t head, std::size_t tail) {
  CheckMap(request);
  Promise(request.body.size() <= kMaxBody, "a body is within its limit");
  const std::string body(request.body.begin(), request.body.end());
  for (int i = 0; i < turns; ++i) {
    const msfl::Executor executor = co_await asio::this_coro::executor;
    co_await asio::post(executor, msfl::kAwait);
  }
  // After the turns: they are views.
  Calls().push_back({std::string(request.method), std::string(request.path), body, false});
  Promise(std::equal(body.begin(), body.end(), request.body.begin(), request.body.end(),
                     [](char a, std::uint8_t b) { return static_cast<std::uint8_t>(a) == b; }),
          "a body stays as it is while it is worked on");
  co_return ReplyOf(Calls().size() - 1, head, tail);
}

// Of a body that found no room nothing but its ends is known.
Task<HttpReply> NoteOverload(const OverloadedRequest& request) {
  Promise(request.body_bytes <= kMaxBody, "a body is within its limit");
  const std::size_t size = request.body_bytes;
  const std::size_t first = std::min(size, OverloadedRequest::kSampleBytes);
  Promise(request.first.size() == first &&
              request.last.size() == std::min(size - first, OverloadedRequest::kSampleBytes),
          "the ends of a body are kept");
  Call call;
  call.overloaded = true;
  call.path = request.path;
  call.body.assign(request.first.begin(), request.first.end());
  call.body.append(size - first - request.last.size(), '\0');
  call.body.append(request.last.begin(), request.last.end());
  Calls().push_back(std::move(call));
  co_return ReplyOf(Calls().size() - 1, 0, 0);
}

std::vector<HttpRoute> Routes() {
  std::vector<HttpRoute> routes;
  routes.push_back({"/a", [](const HttpRequest& request) { return Note(request, 0, 0, 0); }});
  routes.push_back({"/late", [](const HttpRequest& request) { return Note(request, 3, 0, 0); }});
  routes.push_back({"/long", [](const HttpRequest& request) { return Note(request, 0, 3000, 9000); }});
  HttpRoute empty{"/empty", [](const HttpRequest& request) { return Note(request, 0, 0, 0); }};
  empty.takes_empty_body = true;
  routes.push_back(std::move(empty));
  routes.push_back({"/throw", [](const HttpRequest& request) -> Task<HttpReply> {
                      const HttpReply reply = co_await Note(request, 0, 0, 0);
                      throw std::runtime_error(std::string(reply.head.begin(), reply.head.end()));
                    }});
  for (HttpRoute& route : routes) route.overloaded = &NoteOverload;
  return routes;
}

bool ReachesHandler(const HttpContext& context, const StrictRequest& request) {
  static constexpr std::array<std::string_view, 5> kMethods{"POST", "GET", "HEAD", "PUT", "DELETE"};
  const HttpRoute* route = context.Find(request.path);
  return std::find(kMethods.begin(), kMethods.end(), request.method) != kMethods.end() && route != nullptr &&
         (route->takes_empty_body || !request.body.empty()) && request.body.size() <= kMaxBody &&
         !request.expects_unknown;
}

// Of an overload the middle of the body was not kept.
bool IsOf(const Call& call, const StrictRequest& request) {
  if (call.path != request.path || call.body.size() != request.body.size()) return false;
  if (!call.overloaded) return call.method == request.method && call.body == request.body;
  constexpr std::size_t kEnd = OverloadedRequest::kSampleBytes;
  const std::size_t size = call.body.size(), first = std::min(size, kEnd),
                    last = std::min(size - first, kEnd);
  return call.body.compare(0, first, request.body, 0, first) == 0 &&
         call.body.compare(size - last, last, request.body, size - last, last) == 0;
}

struct Reply {
  int status = 0;
  bool closes = false;
  std::string body;
};

// Reads one reply off `left`; false when it is cut.
bool ReadReply(std::string_view& left, bool of_head, Reply& reply) {
  while (left.starts_with("HTTP/1.1 100 Continue\r\n\r\n")) left.remove_prefix(25);
  const std::size_t end = left.find("\r\n\r\n");
  if (end == std::string_view::npos) return false;
  const std::string_view header = left.substr(0, end + 2);
  Promise(header.starts_with("HTTP/1.1 "), "an answer begins with its status line");
  reply.status = std::atoi(std::string(header.substr(9, 3)).c_str());
  const std::size_t length_at = header.find("\r\nContent-Length: ");
  Promise(length_at != std::string_view::npos, "an answer has a length");
  const auto length = std::strtoull(std::string(header.substr(length_at + 18, 20)).c_str(), nullptr, 10);
  reply.closes = header.find("\r\nConnection: close\r\n") != std::string_view::npos;
  left.remove_prefix(end + 4);
  // Of a header that is refused nobody but the session knows whether it has read that it is a HEAD.
  const bool refused = reply.status == 400 || reply.status == 431;
  if (of_head && (!refused || left.empty())) return true;
  if (left.size() < length) return false;
  reply.body = left.substr(0, length);
  left.remove_prefix(length);
  return true;
}

void CheckAnswers(const Wire& wire, const StrictStream& strict) {
  std::string_view left = wire.output;
  std::size_t answers = 0, next_call = 0;
  bool closed = false;
  while (!left.empty()) {
    Promise(!closed, "nothing follows an answer that closes");
    const bool known = answers < strict.requests.size();
    Reply reply;
    std::string_view rest = left;
    const bool head = known ? strict.requests[answers].method == "HEAD" : false;
    const bool whole = ReadReply(rest, head, reply);
    // Of a request that was refused half way nobody but the session knows whether it was a HEAD.
    if (!whole && !known) return;
    if (!whole) Broken("an answer is whole");
    left = rest;
    closed = reply.closes;
    ++answers;
    const std::size_t at = reply.body.find("call ");
    if (at == std::string::npos) continue;
    const std::size_t call = std::strtoull(reply.body.c_str() + at + 5, nullptr, 10);
    Promise(call >= next_call && call < Calls().size(), "answers come in order");
    next_call = call + 1;
  }
}

}  // namespace

template class msfl::net::HttpSession<MemoryStream>;

namespace {

std::shared_ptr<HttpContext> Context(std::chrono::milliseconds body_wait) {
  msfl::SetLogSink([](const msfl::LogLine&) {});
  HttpOptions options;
  options.max_header_bytes = kMaxHeader;
  options.max_body_bytes = kMaxBody;
  options.body_memory = kBodyMemory;
  options.body_wait = body_wait;
  return std::make_shared<HttpContext>(msfl::BufferPool::Create(0), options, Routes(), 1);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static auto* const loop = new asio::io_context(1);
  static auto* const work = new asio::executor_work_guard(asio::make_work_guard(*loop));
  // One whose sessions wait for room until there is some, and one whose sessions don't wait.
  static const auto patient = Context(std::chrono::hours(1)), hasty = Context(std::chrono::milliseconds(0));
  static_cast<void>(work);
  if (size < 2) return 0;
  const std::uint8_t switches = data[0];
  const auto& context = (switches & 2U) != 0 ? hasty : patient;
  // Others may hold all the room that there is.
  BodyRoom others(context->bodies, AddressKey());
  if ((switches & 4U) != 0) Promise(others.Take(kBodyMemory - 1024), "there is room at first");
  const std::size_t sizes = std::min<std::size_t>(data[1] % 16, size - 2);
  const auto wire = std::make_shared<Wire>();
  wire->ends = (switches & 1U) == 0;
  for (std::size_t i = 0; i < sizes; ++i) {
    const std::size_t piece = data[2 + i];
    wire->pieces.push_back(piece < 200 ? piece : (piece - 199) * 512);
  }
  wire->input.assign(reinterpret_cast<const char*>(data) + 2 + sizes, size - 2 - sizes);
  Calls().clear();

  const StrictStream strict = ReadStrictly(wire->input);
  {
    auto session =
        std::make_shared<HttpSession<MemoryStream>>(MemoryStream(*loop, wire), context, 0, AddressKey());
    asio::co_spawn(*loop, HttpSession<MemoryStream>::Run(std::move(session)), asio::detached);
  }
  // A turn moves at least a byte in or out, or is one of a handler's.
  std::size_t turns = 0;
  const std::size_t most = 1000 + 4 * size + 16'000 * (strict.requests.size() + 1);
  while (loop->poll_one() != 0) Promise(++turns < most, "a session never goes in circles");
  others.Release();
  while (loop->poll_one() != 0) Promise(++turns < most, "a session never goes in circles");
  if (context->stats.connections_open != 0) {
    Promise(!wire->ends && wire->read == wire->input.size(), "a session ends when its peer has gone");
    context->loops[0].sessions.CloseAll();
    while (loop->poll_one() != 0) Promise(++turns < most, "a session that is closed ends");
  }
  Promise(context->stats.connections_open == 0, "a session that is closed is gone");
  Promise(context->stats.body_memory_used == 0 && context->stats.bodies_waiting == 0,
          "a session gives its memory back");

  // What was handled is the beginning of what was asked.
  std::vector<const StrictRequest*> expected;
  bool all_plain = strict.end == StrictStream::End::kClean;
  for (const StrictRequest& request : strict.requests) {
    const bool reaches = ReachesHandler(*context, request);
    if (reaches) expected.push_back(&request);
    all_plain = all_plain && reaches && request.plain && request.header_bytes < kMaxHeader / 2;
  }
  Promise(Calls().size() <= expected.size(), "only requests that RFC 9112 allows are handled");
  for (std::size_t i = 0; i < Calls().size(); ++i) {
    Promise(IsOf(Calls()[i], *expected[i]), "requests are handled as RFC 9112 reads them");
  }
  if (all_plain) Promise(Calls().size() == expected.size(), "requests that are in order are handled");
  CheckAnswers(*wire, strict);
  return 0;
}
