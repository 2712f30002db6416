#include "net/socket_options.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

namespace msfl::net {
namespace {

// Whether a peer that says nothing, while its request is worked on, is still there. No TCP_USER_TIMEOUT: it
// would take the place of the number of probes (tcp(7)), and cut off slow readers whose window is smaller
// than a segment.
constexpr int kProbeAfterSeconds = 30, kProbeEverySeconds = 10, kProbes = 3;

void Set(int socket, int level, int name, int value) {
  static_cast<void>(::setsockopt(socket, level, name, &value, sizeof value));
}

}  // namespace

void SetInheritedOptions(int listener) {
  Set(listener, IPPROTO_TCP, TCP_NODELAY, 1);
  Set(listener, SOL_SOCKET, SO_KEEPALIVE, 1);
  Set(listener, IPPROTO_TCP, TCP_KEEPIDLE, kProbeAfterSeconds);
  Set(listener, IPPROTO_TCP, TCP_KEEPINTVL, kProbeEverySeconds);
  Set(listener, IPPROTO_TCP, TCP_KEEPCNT, kProbes);
}

void BoundKernelMemory(int connection) {
  // A size of its own ends the kernel's growing of it. Twice this is taken, for its bookkeeping.
  Set(connection, SOL_SOCKET, SO_RCVBUF, kUnreadBytes);
  Set(connection, IPPROTO_TCP, TCP_NOTSENT_LOWAT, kUnsentBytes);
}

}  // namespace msfl::net
