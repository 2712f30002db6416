#include "net/peer_server.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/connect.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/use_future.hpp>
#include <boost/asio/write.hpp>
#include <future>
#include <thread>

#include "net/peer_frame.h"
#include "net/peer_link.h"

namespace msfl::net {
namespace {

using asio::ip::tcp;
using std::chrono::milliseconds;

constexpr milliseconds kLong(20'000), kShort(50);

// Answers with as many bytes as the first of the head says (times 1 MB), or refuses an "r".
class PeerServerTest : public testing::Test {
 protected:
  PeerServerTest() { loops.Start(); }
  ~PeerServerTest() override {
    links.Close();
    server.reset();
    loops.Stop();
  }

  void Serve(PeerServerOptions options = {}) {
    const auto handler = [this](std::span<const std::uint8_t> head) { return Answer(this, head); };
    server = std::make_unique<PeerServer>(loops, options, handler);
    const auto listening = server->Listen("127.0.0.1", 0);
    ASSERT_FALSE(listening.has_error());
    ASSERT_NE(server->port(), 0);
    address = "127.0.0.1:" + std::to_string(server->port());
  }

  static Task<PeerAnswer> Answer(PeerServerTest* test, std::span<const std::uint8_t> head) {
    PeerAnswer answer;
    ++test->requests;
    if (head[0] == 'r') {
      answer.refused = true;
      answer.head.assign(head.begin(), head.end());
      co_return answer;
    }
    const auto memory = std::make_shared<std::vector<std::uint8_t>>(head[0] * kUnit);
    for (std::size_t i = 0; i < memory->size(); ++i)
      (*memory)[i] = static_cast<std::uint8_t>(i * 31 + i / 256);
    const std::size_t first = memory->size() / 3;
    answer.payload.Add(memory->data(), first);
    answer.payload.Add(memory->data() + first, memory->size() - first);
    answer.owner = memory;
    co_return answer;
  }

  struct Outcome {
    std::optional<Error> error;
    PeerReply reply;
    std::vector<std::uint8_t> payload;
    bool reused = false;
  };
  static Task<Outcome> Ask(PeerServerTest* test, std::vector<std::uint8_t> head, std::uint64_t expected) {
    Outcome outcome;
    const Executor executor = test->loops.control().get_executor();
    auto link = test->links.Take(test->address, executor);
    if (link == nullptr) {
      link = std::make_shared<PeerLink>(executor);
      const auto opened =
          co_await PeerLink::Open(link, *PeerAddress::Parse(test->address), SteadyClock::now() + kLong);
      if (opened.has_error()) {
        outcome.error = opened.error();
        co_return outcome;
      }
    }
    outcome.reused = link->reused();
    const auto frame = EncodePeerFrame(PeerFrameKind::kRequest, head, 0);
    auto reply = co_await PeerLink::Ask(link, frame, expected, test->patience);
    if (!reply) {
      outcome.error = reply.error();
      co_return outcome;
    }
    outcome.reply = *reply;
    if (!reply->refused) {
      outcome.payload.resize(expected);
      const auto came = co_await PeerLink::Read(link, outcome.payload, kLong);
      EXPECT_FALSE(came.fault) << came.fault.message();
    }
    test->links.GiveBack(test->address, link);
    co_return outcome;
  }
  Outcome Ask(std::uint8_t units) {
    const std::vector<std::uint8_t> head{units};
    return asio::co_spawn(loops.control(), Ask(this, head, units * kUnit), asio::use_future).get();
  }

  tcp::socket Connect() {
    tcp::socket socket(context);
    socket.connect(tcp::endpoint(asio::ip::make_address("127.0.0.1"), server->port()));
    return socket;
  }
  // The server ends it.
  static void ExpectClosed(tcp::socket& socket) {
    std::vector<char> bytes(1 << 20);
    error_code ec;
    while (!ec) socket.read_some(asio::buffer(bytes), ec);
    EXPECT_TRUE(ec == asio::error::eof || ec == asio::error::connection_reset) << ec.message();
  }
  void AwaitConnections(std::size_t count) {
    while (server->connections() != count) std::this_thread::sleep_for(milliseconds(1));
  }

  static constexpr std::size_t kUnit = 1 << 20;
  EventLoops loops{2};
  asio::io_context context;
  PeerLinks links;
  std::unique_ptr<PeerServer> server;
  std::string address;
  std::atomic<int> requests{0};
  milliseconds patience = kLong;
};

TEST_F(PeerServerTest, AnswersOnAConnectionThatIsKept) {
  Serve();
  for (const std::uint8_t units : {1, 7, 0, 3}) {
    const Outcome outcome = Ask(units);
    ASSERT_FALSE(outcome.error) << outcome.error->text;
    EXPECT_EQ(outcome.payload.size(), units * kUnit);
    for (std::size_t i = 0; i < outcome.payload.size(); i += 1009)
      ASSERT_EQ(outcome.payload[i], static_cast<std::uint8_t>(i * 31 + i / 256));
    EXPECT_EQ(outcome.reused, units != 1);
  }
  const Outcome refused = Ask('r');
  ASSERT_FALSE(refused.error);
  EXPECT_TRUE(refused.reply.refused);
  EXPECT_EQ(refused.reply.head, std::vector<std::uint8_t>{'r'});
  EXPECT_EQ(server->connections(), 1U);
  EXPECT_EQ(requests, 5);
}

TEST_F(PeerServerTest, AnAnswerOfAnotherLengthIsAFault) {
  Serve();
  const std::vector<std::uint8_t> head{2};
  const Outcome outcome = asio::co_spawn(loops.control(), Ask(this, head, kUnit), asio::use_future).get();
  ASSERT_TRUE(outcome.error);
  EXPECT_EQ(outcome.error->code, Errc::kPeerUnavailable);
  EXPECT_FALSE(Ask(2).error);
}

TEST_F(PeerServerTest, GarbageIsClosedAndOthersAreServed) {
  Serve();
  for (const std::string& bytes :
       {std::string("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), std::string(1000, '\0'), std::string(5000, 'x')}) {
    tcp::socket socket = Connect();
    asio::write(socket, asio::buffer(bytes));
    ExpectClosed(socket);
  }
  tcp::socket reset = Connect();
  reset.set_option(asio::socket_base::linger(true, 0));
  reset.close();
  EXPECT_FALSE(Ask(1).error);
  EXPECT_EQ(requests, 1);
}

TEST_F(PeerServerTest, SilentAndHalfOpenConnectionsAreClosed) {
  PeerServerOptions options;
  options.header_timeout = kShort;
  options.idle_timeout = kLong;
  Serve(options);
  tcp::socket silent = Connect(), half = Connect(), finished = Connect();
  const auto frame = EncodePeerFrame(PeerFrameKind::kRequest, std::vector<std::uint8_t>{1}, 0);
  asio::write(half, asio::buffer(frame.data(), frame.size() - 1));
  finished.shutdown(tcp::socket::shutdown_send);
  ExpectClosed(silent);
  ExpectClosed(half);
  ExpectClosed(finished);
  EXPECT_EQ(requests, 0);
}

TEST_F(PeerServerTest, IdleConnectionsAreClosedAndReopened) {
  PeerServerOptions options;
  options.idle_timeout = kShort;
  Serve(options);
  EXPECT_FALSE(Ask(1).error);
  AwaitConnections(0);
  const Outcome again = Ask(1);
  EXPECT_FALSE(again.error);
  EXPECT_FALSE(again.reused);
}

TEST_F(PeerServerTest, WhoDoesNotReadIsClosed) {
  PeerServerOptions options;
  options.write_stall_timeout = kShort;
  Serve(options);
  tcp::socket socket = Connect();
  const auto frame = EncodePeerFrame(PeerFrameKind::kRequest, std::vector<std::uint8_t>{100}, 0);
  asio::write(socket, asio::buffer(frame));
  AwaitConnections(1);
  AwaitConnections(0);
}

TEST_F(PeerServerTest, NoMoreConnectionsThanAllowed) {
  PeerServerOptions options;
  options.max_connections = 2;
  options.header_timeout = kLong;
  Serve(options);
  tcp::socket first = Connect(), second = Connect();
  AwaitConnections(2);
  tcp::socket third = Connect();
  ExpectClosed(third);
  first.close();
  AwaitConnections(1);
  EXPECT_FALSE(Ask(1).error);
}

TEST_F(PeerServerTest, APeerThatDoesNotAnswerIsGivenUp) {
  tcp::acceptor deaf(context, tcp::endpoint(asio::ip::make_address("127.0.0.1"), 0));
  address = "127.0.0.1:" + std::to_string(deaf.local_endpoint().port());
  patience = kShort;
  const Outcome outcome = Ask(1);
  ASSERT_TRUE(outcome.error);
  EXPECT_EQ(outcome.error->code, Errc::kPeerUnavailable);
}

TEST_F(PeerServerTest, NobodyThere) {
  tcp::acceptor closed(context, tcp::endpoint(asio::ip::make_address("127.0.0.1"), 0));
  const std::string port = std::to_string(closed.local_endpoint().port());
  closed.close();
  for (const std::string& host :
       {std::string("127.0.0.1:"), std::string("localhost:"), std::string("no.such.host.invalid:")}) {
    address = host + port;
    const Outcome outcome = Ask(1);
    ASSERT_TRUE(outcome.error) << address;
    EXPECT_EQ(outcome.error->code, Errc::kPeerUnavailable);
    EXPECT_NE(outcome.error->text.find("can't connect"), std::string::npos) << outcome.error->text;
  }
}

TEST_F(PeerServerTest, HostNamesAreResolved) {
  Serve();
  address = "localhost:" + std::to_string(server->port());
  const Outcome outcome = Ask(1);
  EXPECT_FALSE(outcome.error) << outcome.error->text;
}

TEST_F(PeerServerTest, StopEndsEverySession) {
  Serve();
  tcp::socket silent = Connect(), slow = Connect();
  const auto frame = EncodePeerFrame(PeerFrameKind::kRequest, std::vector<std::uint8_t>{100}, 0);
  asio::write(slow, asio::buffer(frame));
  EXPECT_FALSE(Ask(1).error);
  AwaitConnections(3);
  server->Stop();
  EXPECT_EQ(server->connections(), 0U);
  ExpectClosed(silent);
  ExpectClosed(slow);
  EXPECT_TRUE(Ask(1).error);
}

TEST_F(PeerServerTest, ListensOnceOnAnAddressOfItsOwn) {
  Serve();
  EXPECT_TRUE(server->Listen("127.0.0.1", 0).has_error());
  const auto handler = [this](std::span<const std::uint8_t> head) { return Answer(this, head); };
  PeerServer other(loops, {}, handler);
  EXPECT_EQ(other.Listen("127.0.0.1", server->port()).error().code, Errc::kAddressInUse);
  EXPECT_EQ(other.Listen("nowhere", 0).error().code, Errc::kInvalidArgument);
  EXPECT_FALSE(other.Listen("::1", 0).has_error());
}

}  // namespace
}  // namespace msfl::net
