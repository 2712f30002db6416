// Peers that fall silent lose their connection; those who wait for a handler don't.
#include <thread>

#include "net/http_fixture.h"

namespace msfl::net {
namespace {

class HttpDeadline : public HttpServerTest {
 protected:
  HttpDeadline() {
    // Long, except where a test says otherwise: what ends a connection is the deadline tested.
    options.header_timeout = options.idle_timeout = options.body_stall_timeout = std::chrono::minutes(10);
  }
};

TEST_F(HttpDeadline, EndsAHeaderThatDoesNotEnd) {
  options.header_timeout = milliseconds(200);
  Listen();
  auto client = Client();
  client.Send("POST /echo HTTP/1.1\r\nContent-");
  EXPECT_TRUE(client.Closed());
  EXPECT_EQ(server->stats().Limit(HttpLimit::kHeaderTime), 1U);
}

TEST_F(HttpDeadline, EndsAHeaderThatTricklesIn) {
  options.header_timeout = milliseconds(200);
  Listen();
  auto client = Client();
  client.Send("POST /echo HTTP/1.1\r\n");
  bool taken = true;
  for (int i = 0; i < 500 && taken; ++i) {
    taken = client.TrySend("A: b\r\n");
    std::this_thread::sleep_for(milliseconds(10));
  }
  EXPECT_FALSE(taken);
  EXPECT_EQ(server->stats().Limit(HttpLimit::kHeaderTime), 1U);
}

TEST_F(HttpDeadline, EndsEmptyLinesThatTrickleIn) {
  options.idle_timeout = milliseconds(200);
  Listen();
  auto client = Client();
  for (int i = 0; i < 20; ++i) {
    if (!client.TrySend("\n")) break;
    std::this_thread::sleep_for(milliseconds(20));
  }
  AwaitConnections(0);
  EXPECT_EQ(server->stats().Limit(HttpLimit::kIdleTime), 1U);
}

TEST_F(HttpDeadline, EndsAConnectionWithoutRequests) {
  options.idle_timeout = milliseconds(200);
  Listen();
  auto silent = Client();
  auto once = Client();
  EXPECT_EQ(once.Post("/echo", "x").body, "x");
  EXPECT_TRUE(silent.Closed());
  EXPECT_TRUE(once.Closed());
  AwaitConnections(0);
  EXPECT_EQ(server->stats().Limit(HttpLimit::kIdleTime), 2U);
}

TEST_F(HttpDeadline, EndsABodyThatStalls) {
  options.body_stall_timeout = milliseconds(200);
  Listen();
  for (const std::size_t length : {100UL, 300'000UL}) {
    auto client = Client();
    client.Send("POST /echo HTTP/1.1\r\nContent-Length: " + std::to_string(length) + "\r\n\r\nstart");
    EXPECT_TRUE(client.Closed());
  }
  auto chunked = Client();
  chunked.Send("POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nst");
  EXPECT_TRUE(chunked.Closed());
  auto skipped = Client();
  skipped.Send("POST /unknown HTTP/1.1\r\nContent-Length: 100\r\n\r\nstart");
  EXPECT_TRUE(skipped.Closed());
}

TEST_F(HttpDeadline, ABodyThatMovesMayTakeLonger) {
  options.body_stall_timeout = milliseconds(1000);
  Listen();
  auto client = Client();
  client.Send("POST /echo HTTP/1.1\r\nContent-Length: 20\r\n\r\n");
  for (int i = 0; i < 20; ++i) {
    client.Send("x");
    std::this_thread::sleep_for(milliseconds(75));
  }
  EXPECT_EQ(client.Receive().body, std::string(20, 'x'));
}

TEST_F(HttpDeadline, EndsAnAnswerThatNobodyTakes) {
  options.body_stall_timeout = milliseconds(300);
  tail->resize(100'000'000);
  Listen();
  HttpClient client(server->port(), 4096);
  client.Send(HttpClient::Format("POST", "/tail", "x"));
  AwaitConnections(1);
  AwaitConnections(0);
  EXPECT_EQ(tail.use_count(), 1);
}

TEST_F(HttpDeadline, EndsAnAnswerThatIsWithdrawn) {
  tail->resize(100'000'000);
  Listen();
  HttpClient slow(server->port(), 4096);
  slow.Send(HttpClient::Format("POST", "/tail", "x"));
  auto idle = Client();
  EXPECT_EQ(idle.Post("/echo", "x").body, "x");
  EXPECT_EQ(slow.ReceiveSome(1).size(), 1U);
  withdrawn = true;
  AwaitLimit(HttpLimit::kReplyWithdrawn);
  AwaitConnections(1);
  EXPECT_EQ(tail.use_count(), 1);
  // What the system had taken is lost as well.
  EXPECT_THROW(while (!slow.ReceiveSome(1 << 20).empty()){}, std::runtime_error);
  // A short answer is sent before anybody can look.
  tail->resize(100);
  EXPECT_EQ(idle.Post("/tail", "x").body.size(), 104U);
  EXPECT_EQ(idle.Post("/echo", "x").body, "x");
  EXPECT_EQ(server->stats().Limit(HttpLimit::kReplyWithdrawn), 1U);
}

TEST_F(HttpDeadline, DoesNotTouchARequestInItsHandler) {
  options.header_timeout = options.idle_timeout = options.body_stall_timeout = milliseconds(100);
  Listen();
  auto client = Client();
  client.Send(HttpClient::Format("POST", "/hold", "x"));
  AwaitHeld(1);
  std::this_thread::sleep_for(milliseconds(1000));
  released = true;
  EXPECT_EQ(client.Receive().body, "released");
}

}  // namespace
}  // namespace msfl::net
