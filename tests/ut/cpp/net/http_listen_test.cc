// Where a server listens, and routes that take a request without a body.
#include "net/http_fixture.h"

namespace msfl::net {
namespace {

class HttpListen : public HttpServerTest {
 protected:
  Result<void> ListenOn(const std::string& host, std::uint16_t port = 0) {
    std::vector<HttpRoute> routes = Routes();
    HttpRoute bodiless{"/bodiless", [](const HttpRequest& request) { return Size(request); }};
    bodiless.takes_empty_body = true;
    routes.push_back(bodiless);
    server = std::make_unique<HttpServer>(loops, pool, options, std::move(routes));
    loops.Start();
    return server->Listen(host, port);
  }
  static Task<HttpReply> Size(const HttpRequest& request) {
    const bool map = request.non_finite != nullptr;
    co_return TextReply(std::to_string(request.body.size()) + (map ? " scanned" : ""));
  }
};

TEST_F(HttpListen, OnIpv6) {
  ASSERT_TRUE(ListenOn("::1"));
  HttpClient client = HttpClient::OverIpv6(server->port());
  EXPECT_EQ(client.Post("/echo", "hello").body, "hello");
}

TEST_F(HttpListen, TheIpv6WildcardIsEveryAddress) {
  ASSERT_TRUE(ListenOn("::"));
  HttpClient six = HttpClient::OverIpv6(server->port());
  EXPECT_EQ(six.Post("/echo", "six").body, "six");
  HttpClient four(server->port());
  EXPECT_EQ(four.Post("/echo", "four").body, "four");
}

TEST_F(HttpListen, OnAName) {
  ASSERT_TRUE(ListenOn("localhost"));
  EXPECT_NE(server->port(), 0);
}

TEST_F(HttpListen, OnAPortThatIsTaken) {
  ASSERT_TRUE(ListenOn("::1"));
  HttpServer second(loops, pool, options, Routes());
  const Result<void> refused = second.Listen("::1", server->port());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::kAddressInUse);
  const std::string where = "[::1]:" + std::to_string(server->port());
  EXPECT_NE(refused.error().text.find("can't listen on " + where + ": "), std::string::npos)
      << refused.error().text;
}

TEST_F(HttpListen, ABodyIsOptionalWhereTheRouteSaysSo) {
  ASSERT_TRUE(ListenOn("127.0.0.1"));
  HttpClient client = Client();
  EXPECT_EQ(client.Post("/echo", "before").body, "before");
  client.Send("GET /bodiless HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_EQ(client.Receive().body, "0");
  client.Send(HttpClient::Format("GET", "/bodiless", ""));
  EXPECT_EQ(client.Receive().body, "0");
  client.Send("POST /bodiless HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
  EXPECT_EQ(client.Receive().body, "0");
  client.Send("HEAD /bodiless HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_EQ(client.Receive(true).headers.at("content-length"), "1");
  EXPECT_EQ(client.Post("/bodiless", "12345").body, "5 scanned");
  client.Send("GET /echo HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_EQ(client.Receive().body, kBadBody);
}

}  // namespace
}  // namespace msfl::net
