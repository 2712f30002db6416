// What the HTTP server hands to its routes and takes back. Knows nothing of federated learning.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/buffer.h"
#include "base/non_finite.h"
#include "base/task.h"
#include "net/address_key.h"

namespace msfl::net {

struct HttpRequest {
  std::string_view method;                   // valid until the handler's Task is done
  std::string_view path;                     // without the query string
  std::span<const std::uint8_t> body;        // 64-byte aligned; empty only where the route takes that
  const NonFiniteMap* non_finite = nullptr;  // of the body; null when there is none
  AddressKey address;                        // that it came from
};

// Status line, headers, then `head`, then `tail`; the two are sent without being copied together.
struct HttpReply {
  unsigned status = 200;
  std::string_view status_text;  // empty: the usual text of the status; otherwise a literal
  std::string_view content_type = "text/html; charset=ISO-8859-1";  // a literal; empty: no such header
  std::vector<std::uint8_t> head;
  std::shared_ptr<const void> tail_owner;  // keeps `tail` alive until it is sent
  std::span<const std::uint8_t> tail;
  // Once true, a peer that is still reading `tail` is cut off, so that a slow one can't keep it for ever.
  // Lives in what tail_owner owns; null: never.
  const std::atomic<bool>* withdrawn = nullptr;
};

// May be called on several loops at once. An exception that escapes becomes status 500 with
// {"code":"1","error_message":"<what()>"}.
using HttpHandler = std::function<Task<HttpReply>(const HttpRequest&)>;

// A request whose body found no room in memory and was read without being kept.
struct OverloadedRequest {
  std::string_view path;
  std::uint64_t body_bytes = 0;
  // What was kept of it: its first and its last bytes, up to kSampleBytes each; they don't overlap.
  static constexpr std::size_t kSampleBytes = 8 * 1024;
  std::span<const std::uint8_t> first, last;
};
using OverloadedHandler = std::function<Task<HttpReply>(const OverloadedRequest&)>;

struct HttpRoute {
  std::string path;  // full path, exact match
  HttpHandler handler;
  std::uint64_t max_body_bytes = UINT64_MAX;  // less than the server's own limit, if it needs less
  bool takes_empty_body = false;           // otherwise such a request is refused before the handler sees it
  OverloadedHandler overloaded = nullptr;  // empty: status 503
};

}  // namespace msfl::net
