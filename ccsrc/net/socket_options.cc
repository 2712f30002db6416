#include "net/socket_options.h"

#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <chrono>
#include <climits>

namespace msfl::net {
namespace {

// Whether a peer that says nothing, while its request is worked on, is still there. It is given up when it
// has been silent for TCP_USER_TIMEOUT, which stands in for a number of probes (tcp(7)).
constexpr int kProbeAfterSeconds = 30, kProbeEverySeconds = 10;
// The server's own deadline for answers comes first, and is counted.
constexpr std::chrono::seconds kUnacknowledgedMargin{5};

void Set(int socket, int level, int name, int value) {
  static_cast<void>(::setsockopt(socket, level, name, &value, sizeof value));
}

}  // namespace

void SetInheritedOptions(int listener, const HttpOptions& options) {
  Set(listener, IPPROTO_TCP, TCP_NODELAY, 1);
  Set(listener, SOL_SOCKET, SO_KEEPALIVE, 1);
  Set(listener, IPPROTO_TCP, TCP_KEEPIDLE, kProbeAfterSeconds);
  Set(listener, IPPROTO_TCP, TCP_KEEPINTVL, kProbeEverySeconds);
  // A slow reader is given up when it has taken nothing from one look at it to the next.
  const std::chrono::milliseconds unacknowledged = 2 * options.body_stall_timeout + kUnacknowledgedMargin;
  Set(listener, IPPROTO_TCP, TCP_USER_TIMEOUT,
      static_cast<int>(std::min<std::chrono::milliseconds::rep>(unacknowledged.count(), INT_MAX)));
}

void BoundKernelMemory(int connection) {
  // A size of its own ends the kernel's growing of it. Twice this is taken, for its bookkeeping.
  Set(connection, SOL_SOCKET, SO_RCVBUF, kUnreadBytes);
  Set(connection, IPPROTO_TCP, TCP_NOTSENT_LOWAT, kUnsentBytes);
}

}  // namespace msfl::net
