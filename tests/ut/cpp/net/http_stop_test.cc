// Listening, and an orderly end whatever the connections are doing.
#include <thread>

#include "net/http_fixture.h"

namespace msfl::net {
namespace {

class HttpStop : public HttpServerTest {};

TEST_F(HttpStop, ClosesIdleConnectionsAtOnce) {
  Listen();
  auto fresh = Client();
  auto used = Client();
  EXPECT_EQ(used.Post("/echo", "x").body, "x");
  AwaitConnections(2);
  server->Stop(std::chrono::hours(1));
  EXPECT_EQ(server->stats().connections_open, 0U);
  EXPECT_TRUE(fresh.Closed());
  EXPECT_TRUE(used.Closed());
  EXPECT_THROW(Client(), std::runtime_error);
}

TEST_F(HttpStop, LetsARequestInItsHandlerEnd) {
  Listen();
  auto client = Client();
  client.Send(HttpClient::Format("POST", "/hold", "x") + HttpClient::Format("POST", "/echo", "too late"));
  AwaitHeld(1);
  std::thread stopping([this] { server->Stop(std::chrono::hours(1)); });
  std::this_thread::sleep_for(milliseconds(50));
  EXPECT_EQ(server->stats().connections_open, 1U);
  released = true;
  const HttpAnswer answer = client.Receive();
  EXPECT_EQ(answer.body, "released");
  EXPECT_EQ(answer.headers.at("connection"), "close");
  EXPECT_TRUE(client.Closed());
  stopping.join();
  EXPECT_EQ(server->stats().connections_open, 0U);
}

TEST_F(HttpStop, LetsABodyArrive) {
  Listen();
  auto client = Client();
  client.Send("POST /echo HTTP/1.1\r\nContent-Length: 50000\r\n\r\n");
  AwaitConnections(1);
  while (server->stats().requests == 0) std::this_thread::sleep_for(milliseconds(1));
  std::thread stopping([this] { server->Stop(std::chrono::hours(1)); });
  std::this_thread::sleep_for(milliseconds(50));
  client.Send(std::string(50'000, 'b'));
  const HttpAnswer answer = client.Receive();
  EXPECT_EQ(answer.body.size(), 50'000U);
  EXPECT_EQ(answer.headers.at("connection"), "close");
  stopping.join();
}

TEST_F(HttpStop, ClosesWhatStallsWhenGraceIsOver) {
  tail->resize(100'000'000);
  Listen();
  auto header = Client();
  header.Send("POST /echo HT");
  auto body = Client();
  body.Send("POST /echo HTTP/1.1\r\nContent-Length: 50000\r\n\r\nb");
  HttpClient answer(server->port(), 4096);
  answer.Send(HttpClient::Format("POST", "/tail", "x"));
  auto refused = Client();
  refused.Send("POST /unknown HTTP/1.1\r\nContent-Length: 5000000\r\n\r\nb");
  while (server->stats().requests < 3) std::this_thread::sleep_for(milliseconds(1));
  AwaitConnections(4);
  server->Stop(milliseconds(100));
  EXPECT_EQ(server->stats().connections_open, 0U);
  EXPECT_EQ(tail.use_count(), 1);
}

TEST_F(HttpStop, WaitsForAHandlerThatOutlivesGrace) {
  Listen();
  auto client = Client();
  client.Send(HttpClient::Format("POST", "/hold", "x"));
  AwaitHeld(1);
  std::thread releasing([this] {
    std::this_thread::sleep_for(milliseconds(300));
    released = true;
  });
  server->Stop(milliseconds(10));
  EXPECT_TRUE(released);
  EXPECT_EQ(server->stats().connections_open, 0U);
  EXPECT_TRUE(client.Closed());
  releasing.join();
}

TEST_F(HttpStop, IsSafeInTheMiddleOfTraffic) {
  for (int trial = 0; trial < 10; ++trial) {
    EventLoops own_loops(2);
    HttpServer own(own_loops, pool, options, Routes());
    own_loops.Start();
    ASSERT_TRUE(own.Listen("127.0.0.1", 0).has_value());
    std::atomic<int> answered{0};
    std::vector<std::thread> threads;
    for (unsigned t = 0; t < 3; ++t) {
      threads.emplace_back([&, t] {
        try {
          while (true) {
            HttpClient client(own.port());
            for (int i = 0; i < 20; ++i) {
              const std::string body = Noise(1 + t * 30'000, t);
              const HttpAnswer answer = client.Post("/echo", body);
              ASSERT_TRUE(answer.body == body);
              ++answered;
              if (answer.has("connection")) break;
            }
          }
        } catch (const std::runtime_error&) {
          // the end that the test is about
        }
      });
    }
    while (answered < 20) std::this_thread::yield();
    own.Stop(milliseconds(trial % 2 == 0 ? 0 : 1000));
    EXPECT_EQ(own.stats().connections_open, 0U);
    if (trial % 3 == 0) own_loops.Stop();
    for (auto& thread : threads) thread.join();
  }
}

TEST_F(HttpStop, MayComeAgainOrFirstOrAfterTheLoops) {
  {
    EventLoops never_started(1);
    HttpServer unused(never_started, pool, options, {});
    unused.Stop(kGrace);
    unused.Stop(kGrace);
    EXPECT_TRUE(unused.Listen("127.0.0.1", 0).has_error());
  }
  {
    EventLoops never_started(1);
    HttpServer listening(never_started, pool, options, {});
    EXPECT_TRUE(listening.Listen("127.0.0.1", 0).has_value());
  }
  {
    EventLoops quick(1);
    quick.Start();
    for (int i = 0; i < 50; ++i) {
      HttpServer listening(quick, pool, options, {});
      EXPECT_TRUE(listening.Listen("127.0.0.1", 0).has_value());
    }
  }
  Listen();
  auto busy = Client();
  busy.Send(HttpClient::Format("POST", "/hold", "x"));
  AwaitHeld(1);
  loops.Stop();
  server->Stop(kGrace);
}

TEST_F(HttpStop, TwoCannotListenOnOnePort) {
  Listen();
  HttpServer second(loops, pool, options, {});
  const auto failed = second.Listen("127.0.0.1", server->port());
  ASSERT_TRUE(failed.has_error());
  EXPECT_EQ(failed.error().code, Errc::kAddressInUse);
  EXPECT_EQ(failed.error().text,
            "can't listen on 127.0.0.1:" + std::to_string(server->port()) + ": Address already in use");
  EXPECT_TRUE(second.Listen("127.0.0.1", 0).has_value());
  EXPECT_NE(second.port(), server->port());
  EXPECT_EQ(second.Listen("127.0.0.1", 0).error().code, Errc::kInvalidArgument);
}

TEST_F(HttpStop, PortIsFreeAgainAtOnce) {
  Listen();
  auto client = Client();
  EXPECT_EQ(client.Post("/echo", "x", "Connection: close\r\n").body, "x");
  const std::uint16_t port = server->port();
  server->Stop(kGrace);
  server = std::make_unique<HttpServer>(loops, pool, options, Routes());
  ASSERT_TRUE(server->Listen("127.0.0.1", port).has_value());
  EXPECT_EQ(Client().Post("/echo", "again").body, "again");
}

TEST_F(HttpStop, ListensOnNamesButNotOnNonsense) {
  HttpServer named(loops, pool, options, Routes());
  loops.Start();
  EXPECT_TRUE(named.Listen("localhost", 0).has_value());
  HttpServer nowhere(loops, pool, options, Routes());
  const auto unknown = nowhere.Listen("no such host", 80);
  ASSERT_TRUE(unknown.has_error());
  EXPECT_EQ(unknown.error().code, Errc::kInvalidArgument);
  EXPECT_NE(unknown.error().text.find("no such host:80"), std::string::npos);
  const auto foreign = nowhere.Listen("192.0.2.1", 0);  // an address of nobody's, for documentation
  ASSERT_TRUE(foreign.has_error());
  EXPECT_EQ(foreign.error().code, Errc::kAddressInUse);
}

}  // namespace
}  // namespace msfl::net
