// Where another Server can be reached.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/error.h"

namespace msfl::net {

struct PeerAddress {
  std::string host;  // an IP address or a name
  std::uint16_t port = 0;

  // "ip:port", "[v6]:port" or "name:port".
  static Result<PeerAddress> Parse(std::string_view text);
};

}  // namespace msfl::net
