// What the sessions of one HTTP server share.
#pragma once

#include <atomic>
#include <cstddef>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "base/buffer.h"
#include "net/body_memory.h"
#include "net/http_message.h"
#include "net/http_reply.h"
#include "net/http_server.h"
#include "net/live_count.h"
#include "net/session_list.h"

namespace msfl::net {

struct HttpContext {
  HttpContext(std::shared_ptr<BufferPool> pool, HttpOptions options_, std::vector<HttpRoute> routes_,
              std::size_t loop_count)
      : options(options_),
        routes(std::move(routes_)),
        bodies(std::move(pool), options.body_memory, options.address_share, stats),
        loops(loop_count) {}

  const HttpRoute* Find(std::string_view path) const {
    for (const HttpRoute& route : routes) {  // a dozen: comparing lengths settles most
      if (route.path == path) return &route;
    }
    return nullptr;
  }

  const HttpOptions options;
  const std::vector<HttpRoute> routes;
  HttpStats stats;
  BodyMemory bodies;
  std::atomic<bool> stopping{false};
  const std::shared_ptr<LiveCount> live = std::make_shared<LiveCount>();

  struct Loop {  // its thread's own
    SessionList sessions;
    HttpDate date;
    // For what is received and not kept: a session uses it between two waits.
    Buffer& Waste() {
      if (waste.data() == nullptr) waste = Buffer(kWasteBytes);
      return waste;
    }
    static constexpr std::size_t kWasteBytes = 64 * 1024;
    Buffer waste;
  };
  std::vector<Loop> loops;
};

}  // namespace msfl::net
