// What the HTTP server hands to its routes and takes back. Knows nothing of federated learning.
#pragma once

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

namespace msfl::net {

struct HttpRequest {
  std::string_view method;                   // valid until the handler's Task is done
  std::string_view path;                     // without the query string
  std::span<const std::uint8_t> body;        // 64-byte aligned; empty only where the route takes that
  const NonFiniteMap* non_finite = nullptr;  // of the body; null when there is none
};

// Status line, headers, then `head`, then `tail`; the two are sent without being copied together.
struct HttpReply {
  unsigned status = 200;
  std::string_view status_text;  // empty: the usual text of the status; otherwise a literal
  std::string_view content_type = "text/html; charset=ISO-8859-1";  // a literal; empty: no such header
  std::vector<std::uint8_t> head;
  std::shared_ptr<const void> tail_owner;  // keeps `tail` alive until it is sent
  std::span<const std::uint8_t> tail;
};

// May be called on several loops at once. An exception that escapes becomes status 500 with
// {"code":"1","error_message":"<what()>"}.
using HttpHandler = std::function<Task<HttpReply>(const HttpRequest&)>;

struct HttpRoute {
  std::string path;  // full path, exact match
  HttpHandler handler;
  bool takes_empty_body = false;  // otherwise such a request is refused before the handler sees it
};

}  // namespace msfl::net
