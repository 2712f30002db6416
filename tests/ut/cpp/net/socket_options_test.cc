// What a server's sockets have, read from themselves: they belong to this process too.
#include "net/socket_options.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <optional>

#include "net/http_fixture.h"

namespace msfl::net {
namespace {

class SocketOptions : public HttpServerTest {
 protected:
  static int Option(int socket, int level, int name) {
    int value = -1;
    socklen_t length = sizeof value;
    EXPECT_EQ(::getsockopt(socket, level, name, &value, &length), 0);
    return value;
  }
  // The end of a client's connection that the server has.
  std::optional<int> ServerEnd(std::uint16_t client_port) {
    constexpr int kMostDescriptors = 4096;
    for (int fd = 3; fd < kMostDescriptors; ++fd) {
      sockaddr_in own{}, peer{};
      socklen_t length = sizeof own, peer_length = sizeof peer;
      if (::getsockname(fd, reinterpret_cast<sockaddr*>(&own), &length) != 0 || own.sin_family != AF_INET)
        continue;
      if (::getpeername(fd, reinterpret_cast<sockaddr*>(&peer), &peer_length) != 0) continue;
      if (ntohs(own.sin_port) == server->port() && ntohs(peer.sin_port) == client_port) return fd;
    }
    return std::nullopt;
  }
};

TEST_F(SocketOptions, TheFirstConnectionsHaveTheBuffersOfTheSystemTheOthersAreBounded) {
  options.address_share = 1;
  options.max_body_bytes = 1 << 22;
  Listen();
  std::vector<std::unique_ptr<HttpClient>> clients;
  for (std::size_t i = 0; i <= kUnboundedConnections; ++i) {
    clients.push_back(std::make_unique<HttpClient>(server->port()));
    EXPECT_EQ(clients.back()->Post("/echo", "x").body, "x");
  }
  const std::optional<int> first = ServerEnd(clients.front()->port());
  const std::optional<int> last = ServerEnd(clients.back()->port());
  ASSERT_TRUE(first && last);
  const int of_the_system = Option(*first, IPPROTO_TCP, TCP_NOTSENT_LOWAT);
  EXPECT_NE(of_the_system, kUnsentBytes);
  EXPECT_EQ(Option(*last, IPPROTO_TCP, TCP_NOTSENT_LOWAT), kUnsentBytes);
  EXPECT_EQ(Option(*last, SOL_SOCKET, SO_RCVBUF), 2 * kUnreadBytes);
  // More than is held unread, in both directions.
  const std::string large = Noise(4'000'000);
  EXPECT_TRUE(clients.back()->Post("/echo", large).body == large);
}

TEST_F(SocketOptions, SilentPeersAreProbed) {
  Listen();
  auto client = Client();
  EXPECT_EQ(client.Post("/echo", "x").body, "x");
  const std::optional<int> end = ServerEnd(client.port());
  ASSERT_TRUE(end);
  EXPECT_NE(Option(*end, IPPROTO_TCP, TCP_NODELAY), 0);
  EXPECT_NE(Option(*end, SOL_SOCKET, SO_KEEPALIVE), 0);
  EXPECT_EQ(Option(*end, IPPROTO_TCP, TCP_KEEPIDLE), 30);
  EXPECT_EQ(Option(*end, IPPROTO_TCP, TCP_KEEPINTVL), 10);
  EXPECT_EQ(Option(*end, IPPROTO_TCP, TCP_KEEPCNT), 3);
}

}  // namespace
}  // namespace msfl::net
