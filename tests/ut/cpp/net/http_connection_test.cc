// Requests and answers on a connection that stays, or does not.
#include <regex>
#include <thread>

#include "base/log.h"
#include "net/http_fixture.h"

namespace msfl::net {
namespace {

class HttpConnection : public HttpServerTest {
 protected:
  std::vector<HttpRoute> Routes() override {
    std::vector<HttpRoute> routes = HttpServerTest::Routes();
    routes.push_back({"/turn", [this](const HttpRequest&) { return Turn(); }});
    return routes;
  }

  // Counts the requests that one turn of the loop serves.
  Task<HttpReply> Turn() {
    if (in_turn++ == 0) {
      asio::post(loops.loop(EventLoops::Current()), [this] {
        most_in_turn = std::max(most_in_turn.load(), in_turn.load());
        in_turn = 0;
      });
    }
    ++turns_requests;
    co_return TextReply("x");
  }
  std::atomic<int> in_turn{0}, most_in_turn{0}, turns_requests{0};
};

TEST_F(HttpConnection, AnswersWithStatusHeadersAndBody) {
  Listen();
  auto client = Client();
  const HttpAnswer answer = client.Post("/fl/describe", "abc");
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.status_text, "OK");
  EXPECT_EQ(answer.body, "POST /fl/describe 3 aligned");
  EXPECT_EQ(answer.headers.at("content-type"), "text/html; charset=ISO-8859-1");
  EXPECT_TRUE(std::regex_match(answer.headers.at("date"),
                               std::regex(R"([A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT)")));
  EXPECT_EQ(answer.headers.size(), 3U);  // and the length
}

TEST_F(HttpConnection, StaysForTheNextRequest) {
  Listen();
  auto client = Client();
  for (int i = 0; i < 100; ++i) {
    const std::string body = Noise(1 + static_cast<std::size_t>(i) * 400, static_cast<std::uint32_t>(i));
    EXPECT_EQ(client.Post("/echo", body).body, body);
  }
  EXPECT_EQ(server->stats().requests, 100U);
  EXPECT_EQ(server->stats().bytes_received, server->stats().bytes_sent);
  EXPECT_EQ(server->stats().connections_open, 1U);
}

TEST_F(HttpConnection, ClosesWhenAsked) {
  Listen();
  auto client = Client();
  const HttpAnswer answer = client.Post("/echo", "x", "Connection: close\r\n");
  EXPECT_EQ(answer.headers.at("connection"), "close");
  EXPECT_TRUE(client.Closed());
}

TEST_F(HttpConnection, OfVersion10ClosesUnlessAskedToStay) {
  Listen();
  auto stays = Client();
  for (int i = 0; i < 2; ++i) {
    stays.Send("POST /echo HTTP/1.0\r\nConnection: Keep-Alive\r\nContent-Length: 1\r\n\r\nx");
    const HttpAnswer answer = stays.Receive();
    EXPECT_EQ(answer.body, "x");
    EXPECT_EQ(answer.headers.at("connection"), "keep-alive");
  }
  auto goes = Client();
  goes.Send("POST /echo HTTP/1.0\r\nContent-Length: 1\r\n\r\nx");
  EXPECT_EQ(goes.Receive().headers.at("connection"), "close");
  EXPECT_TRUE(goes.Closed());
}

TEST_F(HttpConnection, PathIsWhatStandsBeforeTheQuery) {
  Listen();
  auto client = Client();
  EXPECT_EQ(client.Post("/fl/describe?a=1&b=/echo", "x").body, "POST /fl/describe 1 aligned");
  EXPECT_EQ(client.Post("http://some.host:80/fl/describe?q", "x").body, "POST /fl/describe 1 aligned");
  EXPECT_EQ(client.Post("http://some.host", "x").status, 404);
  EXPECT_EQ(client.Post("/fl/describe/", "x").status, 404);
}

TEST_F(HttpConnection, LooksAtNoHeaderThatItDoesNotNeed) {
  Listen();
  auto client = Client();
  client.Send(
      "POST /echo HTTP/1.1\r\ncontent-LENGTH:   2  \r\nX-Empty:\r\nCookie: a=\"b\"\r\n\r\nhi");  // nor for
                                                                                                 // Host
  EXPECT_EQ(client.Receive().body, "hi");
}

TEST_F(HttpConnection, AnswersTheFiveMethods) {
  Listen();
  auto client = Client();
  for (const char* method : {"GET", "POST", "PUT", "DELETE"}) {
    client.Send(HttpClient::Format(method, "/fl/describe", "body"));
    EXPECT_EQ(client.Receive().body, std::string(method) + " /fl/describe 4 aligned");
  }
}

TEST_F(HttpConnection, HeadGetsTheHeadersOnly) {
  Listen();
  auto client = Client();
  client.Send(HttpClient::Format("HEAD", "/echo", "1234567"));
  const HttpAnswer answer = client.Receive(true);
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.headers.at("content-length"), "7");
  EXPECT_EQ(client.Post("/echo", "next").body, "next");
}

TEST_F(HttpConnection, AnswersPipelinedRequestsInOrder) {
  Listen();
  auto client = Client();
  std::string all;
  for (int i = 0; i < 500; ++i) all += HttpClient::Format("POST", "/echo", "request " + std::to_string(i));
  client.Send(all);
  for (int i = 0; i < 500; ++i) EXPECT_EQ(client.Receive().body, "request " + std::to_string(i));
}

TEST_F(HttpConnection, DoesNotCareWhereSegmentsEnd) {
  Listen();
  auto client = Client();
  const std::string all = HttpClient::Format("POST", "/echo", "first") +
                          HttpClient::Format("GET", "/unknown", "second") +
                          HttpClient::Format("PUT", "/fl/describe", std::string(100, 'z'));
  const auto expect_all = [&](std::size_t split) {
    SCOPED_TRACE(split);
    EXPECT_EQ(client.Receive().body, "first");
    EXPECT_EQ(client.Receive().status, 404);
    EXPECT_EQ(client.Receive().body, "PUT /fl/describe 100 aligned");
  };
  for (std::size_t split = 0; split <= all.size(); ++split) {
    client.Send(all.substr(0, split));
    std::this_thread::sleep_for(std::chrono::microseconds(300));
    client.Send(all.substr(split));
    expect_all(split);
  }
  client.SendPieces(all, 1);
  expect_all(1);
}

TEST_F(HttpConnection, PathSurvivesAHeaderThatOutgrowsItsBuffer) {
  Listen();
  auto client = Client();
  std::string request = "POST /fl/describe HTTP/1.1\r\nContent-Length: 3\r\n";
  for (int i = 0; i < 100; ++i)
    request += "X-Field-" + std::to_string(i) + ": " + std::string(100, 'v') + "\r\n";
  request += "\r\nabc";
  for (const std::size_t piece : {std::size_t{100}, std::size_t{1000}, std::size_t{4095}, request.size()}) {
    client.SendPieces(HttpClient::Format("POST", "/echo", "before") + request, piece);
    EXPECT_EQ(client.Receive().body, "before");
    EXPECT_EQ(client.Receive().body, "POST /fl/describe 3 aligned");
  }
}

TEST_F(HttpConnection, ToleratesEmptyLinesBetweenRequests) {
  Listen();
  auto client = Client();
  client.Send(HttpClient::Format("POST", "/echo", "a") + "\r\n" + HttpClient::Format("POST", "/echo", "b"));
  EXPECT_EQ(client.Receive().body, "a");
  EXPECT_EQ(client.Receive().body, "b");
}

TEST_F(HttpConnection, EndsEmptyLinesWithoutARequest) {
  Listen();
  auto client = Client();
  client.Send(std::string(1000, '\n'));
  EXPECT_EQ(client.Receive().status, 400);
  auto other = Client();
  for (int i = 0; i < 500; ++i) {
    if (!other.TrySend("\r\n")) break;
  }
  EXPECT_EQ(other.Receive().status, 400);
}

TEST_F(HttpConnection, OthersHaveTheirTurnBetweenPipelinedRequests) {
  Listen();
  auto client = Client();
  std::string all;
  int count = 0;
  for (; all.size() < 4000; ++count) all += "POST /turn HTTP/1.1\r\nContent-Length: 1\r\n\r\nx";
  client.Send(all);
  for (int i = 0; i < count; ++i) EXPECT_EQ(client.Receive().status, 200);
  Settle();
  EXPECT_EQ(turns_requests, count);
  EXPECT_LT(most_in_turn, count / 2);
}

TEST_F(HttpConnection, AFloodOfRequestsIsAnsweredToItsEnd) {
  Listen();
  auto client = Client();
  constexpr int kRequests = 10'000;
  std::string all;
  for (int i = 0; i < kRequests; ++i) all += "GET /unknown HTTP/1.1\r\n\r\n";
  std::thread sender([&] { client.Send(all); });
  auto other = Client();
  EXPECT_EQ(other.Post("/echo", "meanwhile").body, "meanwhile");
  auto third = Client();
  EXPECT_EQ(third.Post("/echo", "meanwhile").body, "meanwhile");
  for (int i = 0; i < kRequests; ++i) ASSERT_EQ(client.Receive().status, 404);
  sender.join();
}

TEST_F(HttpConnection, ReadsOnWhenThePeerHasFinishedSending) {
  Listen();
  auto client = Client();
  client.Send(HttpClient::Format("POST", "/echo", "a") + HttpClient::Format("POST", "/echo", "b"));
  client.FinishSending();
  EXPECT_EQ(client.Receive().body, "a");
  EXPECT_EQ(client.Receive().body, "b");
  EXPECT_TRUE(client.Closed());
}

TEST_F(HttpConnection, ConnectionsSpreadOverTheLoops) {
  Listen();
  auto first = Client();
  auto second = Client();
  first.Send(HttpClient::Format("POST", "/hold", "x"));
  second.Send(HttpClient::Format("POST", "/hold", "x"));
  AwaitHeld(2);
  auto third = Client();
  EXPECT_EQ(third.Post("/echo", "not held up").body, "not held up");
  released = true;
  EXPECT_EQ(first.Receive().body, "released");
  EXPECT_EQ(second.Receive().body, "released");
}

TEST_F(HttpConnection, ManyClientsOnSeveralThreads) {
  Listen();
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < 4; ++t) {
    threads.emplace_back([this, t] {
      std::vector<HttpClient> clients;
      for (int i = 0; i < 8; ++i) clients.push_back(Client());
      for (unsigned i = 0; i < 50; ++i) {
        const std::string body = Noise(1 + i * 700, t);
        for (auto& client : clients) client.Send(HttpClient::Format("POST", "/echo", body));
        for (auto& client : clients) ASSERT_EQ(client.Receive().body, body);
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(server->stats().requests, 4U * 8U * 50U);
  AwaitConnections(0);
}

TEST_F(HttpConnection, WaitsWhenThereAreNoMoreDescriptors) {
  Listen();
  std::atomic<int> complaints{0};
  SetLogSink([&](const LogLine&) { ++complaints; });
  auto client = HttpClient::Prepared();
  std::vector<int> taken;
  for (int fd; (fd = ::dup(0)) >= 0 || errno == EINTR;) taken.push_back(fd);
  client.Connect(server->port());
  client.Send(HttpClient::Format("POST", "/echo", "patience"));
  while (complaints == 0) std::this_thread::sleep_for(milliseconds(1));
  for (const int fd : taken) ::close(fd);
  EXPECT_EQ(client.Receive().body, "patience");
  SetLogSink({});
}

}  // namespace
}  // namespace msfl::net
