#include "net/peer_server.h"

#include "net/peer_fixture.h"

namespace msfl::net {
namespace {

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
  PeerServer other(loops, {}, Handler());
  EXPECT_EQ(other.Listen("127.0.0.1", server->port()).error().code, Errc::kAddressInUse);
  EXPECT_EQ(other.Listen("nowhere", 0).error().code, Errc::kInvalidArgument);
  EXPECT_FALSE(other.Listen("::1", 0).has_error());
}

}  // namespace
}  // namespace msfl::net
