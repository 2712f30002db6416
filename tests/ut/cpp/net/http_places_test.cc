// Who gets a place when there are few: newcomers, idle connections, and addresses that hold many.
#include <algorithm>
#include <thread>

#include "base/log.h"
#include "net/http_fixture.h"

namespace msfl::net {
namespace {

class HttpPlaces : public HttpServerTest {
 protected:
  HttpPlaces() {
    options.header_timeout = options.idle_timeout = options.body_stall_timeout = std::chrono::minutes(10);
  }
  std::uint64_t Limit(HttpLimit limit) const { return server->stats().Limit(limit); }
  static bool Answers(HttpClient& client) { return client.Post("/echo", "x").body == "x"; }
};

TEST_F(HttpPlaces, TheLongestIdleGivesItsPlace) {
  options.max_connections = 3;
  Listen();
  auto first = Client();
  auto second = Client();
  auto third = Client();
  for (HttpClient* client : {&second, &first, &third}) {
    EXPECT_TRUE(Answers(*client));
    Settle();
  }
  auto fourth = Client();
  EXPECT_TRUE(Answers(fourth));
  EXPECT_TRUE(second.Closed());
  EXPECT_TRUE(Answers(third));
  Settle();
  auto fifth = Client();
  EXPECT_TRUE(Answers(fifth));
  EXPECT_TRUE(first.Closed());
  EXPECT_TRUE(Answers(third));
  EXPECT_TRUE(Answers(fourth));
  EXPECT_EQ(Limit(HttpLimit::kIdleEvicted), 2U);
  EXPECT_EQ(Limit(HttpLimit::kConnections), 0U);
  AwaitConnections(3);
}

TEST_F(HttpPlaces, OneThatHasSaidNothingIsIdle) {
  options.max_connections = 2;
  Listen();
  auto first = Client();
  auto second = Client();
  AwaitConnections(2);
  Settle();
  auto third = Client();
  EXPECT_TRUE(Answers(third));
  EXPECT_TRUE(first.Closed());
  EXPECT_TRUE(Answers(second));
}

TEST_F(HttpPlaces, WithoutAnIdleOneTheNewcomerIsClosed) {
  options.max_connections = 2;
  Listen();
  auto held_up = Client();
  held_up.Send(HttpClient::Format("POST", "/hold", "x"));
  AwaitHeld(1);
  auto uploading = Client();
  uploading.Send("POST /echo HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
  EXPECT_EQ(uploading.Receive().status, 100);
  for (std::uint64_t i = 1; i <= 3; ++i) {
    auto newcomer = Client();
    EXPECT_TRUE(newcomer.Closed());
    EXPECT_EQ(Limit(HttpLimit::kConnections), i);
  }
  EXPECT_EQ(Limit(HttpLimit::kIdleEvicted), 0U);
  uploading.Send("12345");
  EXPECT_EQ(uploading.Receive().body, "12345");
  Settle();
  auto newcomer = Client();
  EXPECT_TRUE(Answers(newcomer));
  EXPECT_TRUE(uploading.Closed());
  released = true;
  EXPECT_EQ(held_up.Receive().body, "released");
}

TEST_F(HttpPlaces, APlaceComesFreeWithItsConnection) {
  options.max_connections = 2;
  Listen();
  auto first = Client();
  auto second = Client();
  EXPECT_TRUE(Answers(first));
  EXPECT_TRUE(Answers(second));
  first.Close();
  AwaitConnections(1);
  auto third = Client();
  EXPECT_TRUE(Answers(third));
  EXPECT_TRUE(Answers(second));
  EXPECT_EQ(Limit(HttpLimit::kIdleEvicted), 0U);
}

TEST_F(HttpPlaces, AnAddressHoldsItsShareAtMost) {
  options.max_connections = 5;
  options.address_share = 0.5;
  Listen();
  auto first = Client();
  auto second = Client();
  EXPECT_TRUE(Answers(first));
  EXPECT_TRUE(Answers(second));
  auto refused = Client();
  EXPECT_TRUE(refused.Closed());
  EXPECT_EQ(Limit(HttpLimit::kAddressConnections), 1U);
  auto other = HttpClient::From("127.0.0.2", server->port());
  auto another = HttpClient::From("127.0.0.2", server->port());
  EXPECT_TRUE(Answers(other));
  EXPECT_TRUE(Answers(another));
  auto refused_too = HttpClient::From("127.0.0.2", server->port());
  EXPECT_TRUE(refused_too.Closed());
  EXPECT_EQ(Limit(HttpLimit::kAddressConnections), 2U);
  EXPECT_TRUE(Answers(first));
  EXPECT_EQ(Limit(HttpLimit::kIdleEvicted), 0U);

  second.Close();
  AwaitConnections(3);
  auto next = Client();
  EXPECT_TRUE(Answers(next));
}

TEST_F(HttpPlaces, ASmallShareIsOneConnection) {
  options.max_connections = 3;
  options.address_share = 0.01;
  Listen();
  auto first = Client();
  EXPECT_TRUE(Answers(first));
  auto second = Client();
  EXPECT_TRUE(second.Closed());
  auto other = HttpClient::From("127.0.0.3", server->port());
  EXPECT_TRUE(Answers(other));
}

TEST_F(HttpPlaces, AnAddressIsTheSameOverBothFamilies) {
  options.max_connections = 3;
  options.address_share = 0.4;
  loops.Start();
  server = std::make_unique<HttpServer>(loops, pool, options, Routes());
  const auto listening = server->Listen("::", 0);
  if (!listening.has_value()) GTEST_SKIP() << "no IPv6 here: " << listening.error().text;
  auto over_v4 = Client();
  EXPECT_TRUE(Answers(over_v4));
  auto again = Client();
  EXPECT_TRUE(again.Closed());
  auto over_v6 = HttpClient::OverIpv6(server->port());
  EXPECT_TRUE(Answers(over_v6));
  auto over_v6_again = HttpClient::OverIpv6(server->port());
  EXPECT_TRUE(over_v6_again.Closed());
  EXPECT_EQ(Limit(HttpLimit::kAddressConnections), 2U);
}

TEST_F(HttpPlaces, WithoutDescriptorsAnIdleOneIsClosed) {
  Listen();
  std::atomic<int> complaints{0};
  SetLogSink([&](const LogLine&) { ++complaints; });
  auto idle = Client();
  EXPECT_TRUE(Answers(idle));
  Settle();
  auto newcomer = HttpClient::Prepared();
  std::vector<int> taken;
  for (int fd; (fd = ::dup(0)) >= 0 || errno == EINTR;) taken.push_back(fd);
  newcomer.Connect(server->port());
  EXPECT_TRUE(Answers(newcomer));
  EXPECT_TRUE(idle.Closed());
  for (const int fd : taken) ::close(fd);
  EXPECT_EQ(Limit(HttpLimit::kIdleEvicted), 1U);
  EXPECT_EQ(complaints, 1);
  SetLogSink({});
}

TEST_F(HttpPlaces, CrowdsOfNewcomersGetThoseOfEachOther) {
  constexpr std::size_t kPlaces = 8;
  options.max_connections = kPlaces;
  Listen();
  std::atomic<int> answered{0};
  std::atomic<bool> done{false};
  std::uint64_t most = 0;
  std::thread watcher([&] {
    while (!done) most = std::max<std::uint64_t>(most, server->stats().connections_open);
  });
  std::vector<std::thread> crowd;
  for (int t = 0; t < 4; ++t) {
    crowd.emplace_back([&] {
      std::vector<HttpClient> clients;
      for (int i = 0; i < 300; ++i) {
        try {
          clients.push_back(Client());
          if (Answers(clients.back())) ++answered;
        } catch (const std::runtime_error&) {
          // Its place went to another before it spoke.
        }
      }
    });
  }
  for (auto& thread : crowd) thread.join();
  AwaitConnections(0);
  done = true;
  watcher.join();
  EXPECT_GT(answered, 0);
  EXPECT_GE(Limit(HttpLimit::kIdleEvicted), 1U);
  EXPECT_LT(most, 1200U);
  auto client = Client();
  EXPECT_TRUE(Answers(client));
}

TEST_F(HttpPlaces, StopWhileTheCrowdComes) {
  options.max_connections = 2;
  Listen();
  std::atomic<bool> done{false};
  std::vector<std::thread> crowd;
  for (int t = 0; t < 4; ++t) {
    crowd.emplace_back([&, port = server->port()] {
      while (!done) {
        try {
          HttpClient client(port);
          client.Closed();
        } catch (const std::runtime_error&) {
          done = true;  // nobody listens any more
        }
      }
    });
  }
  AwaitLimit(HttpLimit::kIdleEvicted, 20);
  server->Stop(kGrace);
  EXPECT_EQ(server->stats().connections_open, 0U);
  server.reset();
  for (auto& thread : crowd) thread.join();
}

}  // namespace
}  // namespace msfl::net
