// Bodies and answers that move, but too slowly.
#include <sstream>
#include <thread>

#include "net/http_fixture.h"

namespace msfl::net {
namespace {

class HttpTransfer : public HttpServerTest {
 protected:
  HttpTransfer() {
    options.header_timeout = options.idle_timeout = options.body_stall_timeout = std::chrono::minutes(10);
    options.transfer_timeout = std::chrono::hours(1);
    options.max_body_bytes = 1 << 24;
  }

  // A byte, and another, until the server has enough of it.
  static void Trickle(HttpClient& client, std::string_view byte) {
    for (int i = 0; i < 3000; ++i) {
      if (!client.TrySend(byte)) return;
      std::this_thread::sleep_for(milliseconds(5));
    }
    FAIL() << "nobody ends it";
  }
  // Reads slowly until the connection ends, one way or another; how much it got.
  static std::size_t Sip(HttpClient& client) {
    std::size_t got = 0;
    try {
      while (true) {
        const std::size_t piece = client.ReceiveSome(2000).size();
        if (piece == 0) return got;
        got += piece;
        std::this_thread::sleep_for(milliseconds(5));
      }
    } catch (const std::runtime_error&) {
      return got;  // reset
    }
  }
  // Asks for 20 MB and hardly reads them: the system must not hold all of it.
  std::unique_ptr<HttpClient> SlowReader() {
    tail->resize(20'000'000);
    Listen();
    auto client = std::make_unique<HttpClient>(server->port(), 4096);
    client->Send(HttpClient::Format("POST", "/tail", "x"));
    return client;
  }
  void ExpectSipIsCutOff() {
    const auto client = SlowReader();
    EXPECT_LT(Sip(*client), 20'000'000U);
    AwaitConnections(0);
    EXPECT_EQ(Struck(HttpLimit::kReplyTime), 1U);
  }
  std::uint64_t Struck(HttpLimit limit) { return server->stats().Limit(limit); }
};

TEST_F(HttpTransfer, ABodyBelowTheMinimumRateIsCutOff) {
  options.body_stall_timeout = milliseconds(300);
  options.minimum_rate = 10'000;  // it sends 200
  Listen();
  for (const std::string start : {"POST /echo HTTP/1.1\r\nContent-Length: 10000\r\n\r\n",
                                  "POST /echo HTTP/1.1\r\nContent-Length: 16000000\r\n\r\n",
                                  "POST /unknown HTTP/1.1\r\nContent-Length: 10000\r\n\r\n"}) {
    auto client = Client();
    client.Send(start);
    Trickle(client, "x");
  }
  auto chunked = Client();
  chunked.Send("POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n");
  Trickle(chunked, "1\r\nx\r\n");
  EXPECT_EQ(Struck(HttpLimit::kBodyTime), 4U);
  auto client = Client();
  EXPECT_EQ(client.Post("/echo", "fast").body, "fast");
  EXPECT_EQ(server->stats().body_memory_used, 0U);
}

TEST_F(HttpTransfer, ABodyMayTakeNoLongerThanATransferWhateverItsRate) {
  options.transfer_timeout = milliseconds(300);
  options.minimum_rate = 1;
  Listen();
  auto client = Client();
  client.Send("POST /echo HTTP/1.1\r\nContent-Length: 10000\r\n\r\n");
  Trickle(client, "x");
  EXPECT_EQ(Struck(HttpLimit::kBodyTime), 1U);
}

TEST_F(HttpTransfer, AChunkedBodyIsOneTransferHoweverOftenItNeedsMoreRoom) {
  options.transfer_timeout = milliseconds(500);
  Listen();
  auto client = Client();
  client.Send("POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n4e20\r\n" + std::string(0x4e20, 'x'));
  bool taken = true;
  for (std::size_t size = 0x4e20; size < 8'000'000 && taken; size *= 2) {
    std::this_thread::sleep_for(milliseconds(300));
    std::ostringstream chunk;
    chunk << "\r\n" << std::hex << size << "\r\n" << std::string(size, 'x');
    taken = client.TrySend(chunk.str());
  }
  EXPECT_FALSE(taken);
  EXPECT_EQ(Struck(HttpLimit::kBodyTime), 1U);
}

TEST_F(HttpTransfer, ALongBodyMayTakeItsTime) {
  options.body_stall_timeout = milliseconds(500);
  options.minimum_rate = 1000;
  Listen();
  auto client = Client();
  client.Send("POST /echo HTTP/1.1\r\nContent-Length: 20000\r\n\r\n");
  for (int i = 0; i < 20; ++i) {
    client.Send(std::string(1000, 'x'));
    std::this_thread::sleep_for(milliseconds(75));
  }
  EXPECT_EQ(client.Receive().body, std::string(20'000, 'x'));
  EXPECT_EQ(Struck(HttpLimit::kBodyTime), 0U);
}

TEST_F(HttpTransfer, AnAnswerReadTooSlowlyIsCutOff) {
  options.body_stall_timeout = milliseconds(300);
  options.minimum_rate = 100'000'000;
  ExpectSipIsCutOff();
  EXPECT_EQ(tail.use_count(), 1);
}

// The system tells the server nothing of bytes taken until it holds many fewer.
TEST_F(HttpTransfer, AnAnswerReadSlowlyButSteadilyIsSentToItsEnd) {
  options.body_stall_timeout = milliseconds(500);
  tail->resize(8'000'000);
  Listen();
  HttpClient client(server->port(), 16'384);
  client.Send(HttpClient::Format("POST", "/tail", "x"));
  std::size_t got = 0;
  for (int i = 0; i < 60; ++i) {  // 3 s, that is 6 times the patience
    got += client.ReceiveSome(8192).size();
    std::this_thread::sleep_for(milliseconds(50));
  }
  while (got < 8'000'000) {
    const std::size_t piece = client.ReceiveSome(1 << 20).size();
    ASSERT_GT(piece, 0U);
    got += piece;
  }
  EXPECT_EQ(Struck(HttpLimit::kReplyTime), 0U);
}

TEST_F(HttpTransfer, AnAnswerThatNobodyReadsIsCutOff) {
  options.body_stall_timeout = milliseconds(300);
  const auto client = SlowReader();
  AwaitLimit(HttpLimit::kReplyTime, 1);
  AwaitConnections(0);
}

TEST_F(HttpTransfer, AnAnswerMayTakeNoLongerThanATransfer) {
  options.transfer_timeout = milliseconds(300);
  ExpectSipIsCutOff();
}

}  // namespace
}  // namespace msfl::net
