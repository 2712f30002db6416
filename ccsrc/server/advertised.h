// Where a Server listens and what others are told are two things: behind a wildcard, a NAT or in a container
// the address that is bound is not the one by which a Server is reached.
#pragma once

#include <string>

#include "base/error.h"
#include "options/server_options.h"

namespace msfl::server {

struct Advertised {
  std::string tcp_host, http_host;  // as in a URL: IPv6 in brackets
};

// `advertise_host`, where it is given and needed; else what is bound. Errc::kInvalidArgument: a wildcard is
// bound and nothing is advertised, or what shall be advertised is no host.
Result<Advertised> Advertise(const ServerOptions& options);

}  // namespace msfl::server
