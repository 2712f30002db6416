// What the kernel is asked to do for a server's sockets: probes of silent peers, and how much of its own
// memory a connection may hold.
#pragma once

#include <cstddef>

namespace msfl::net {

// While no more are open, each connection has the buffers that the kernel finds best for it, which a few fast
// peers profit from. They grow to megabytes; a thousand of those bring the kernel's TCP to the limit of its
// memory (net.ipv4.tcp_mem), where it drops everybody's packets. So later ones are bounded.
inline constexpr std::size_t kUnboundedConnections = 64;
// What a bounded connection may hold of a request that is not read yet: 10 MB/s over 12 ms, 1 MB/s over 125.
inline constexpr int kUnreadBytes = 128 * 1024;
// And of an answer, beyond what is on its way.
inline constexpr int kUnsentBytes = 512 * 1024;

// Set on a listening socket, before it is bound: connections inherit these, which saves the calls for each of
// them. None is vital, so nothing is reported.
void SetInheritedOptions(int listener);

// To be called for each connection that is let in beyond kUnboundedConnections.
void BoundKernelMemory(int connection);

}  // namespace msfl::net
