#include <array>

#include "net/peer_fixture.h"

namespace msfl::net {
namespace {

constexpr std::uint8_t kForeign = 'f', kEmpty = 0;

class PeerLimitsTest : public PeerServerTest {
 protected:
  // A Server's, from its first request on.
  tcp::socket Join(const std::string& from) {
    tcp::socket socket = Connect(from);
    Request(socket, kEmpty);
    ExpectAnswer(socket);
    return socket;
  }
  static bool IsOpen(tcp::socket& socket) {
    char byte = 0;
    error_code ec;
    socket.non_blocking(true);
    socket.receive(asio::buffer(&byte, 1), asio::socket_base::message_peek, ec);
    socket.non_blocking(false);
    return ec == asio::error::would_block;
  }
};

TEST_F(PeerLimitsTest, WhoFloodsThePortDisplacesItself) {
  PeerServerOptions options;
  options.max_strangers = 8;
  options.header_timeout = kLong;
  Serve(options);
  tcp::socket other = Connect("127.0.0.2");
  AwaitConnections(1);
  std::vector<tcp::socket> flood;
  for (int i = 0; i < 100; ++i) flood.push_back(Connect("127.0.0.3"));
  AwaitStrikes(PeerLimit::kStrangerDisplaced, 93);
  for (int i = 0; i < 93; ++i) ExpectClosed(flood[static_cast<std::size_t>(i)]);
  EXPECT_EQ(server->strikes().Of(PeerLimit::kStrangerDisplaced).last, asio::ip::make_address("127.0.0.3"));
  EXPECT_TRUE(IsOpen(other));
  EXPECT_TRUE(IsOpen(flood.back()));
  EXPECT_EQ(server->connections(), 8U);
  // Among addresses that hold the same, it is the oldest that goes.
  flood.clear();
  AwaitConnections(1);
  for (int i = 10; i < 18; ++i) flood.push_back(Connect("127.0.0." + std::to_string(i)));
  ExpectClosed(other);
  EXPECT_FALSE(Ask(1).error);
}

TEST_F(PeerLimitsTest, StrangersTakeNothingFromServers) {
  PeerServerOptions options;
  options.max_strangers = 4;
  options.max_servers = 4;
  options.address_share = 1;
  options.header_timeout = kLong;
  Serve(options);
  std::vector<tcp::socket> servers, flood;
  for (int i = 0; i < 4; ++i) servers.push_back(Join("127.0.0.1"));
  for (int i = 0; i < 50; ++i) flood.push_back(Connect("127.0.0.1"));
  AwaitStrikes(PeerLimit::kStrangerDisplaced, 46);
  for (tcp::socket& socket : servers) {
    Request(socket, kEmpty);
    ExpectAnswer(socket);
  }
}

TEST_F(PeerLimitsTest, OneAddressHoldsItsShare) {
  PeerServerOptions options;
  options.max_servers = 8;
  options.address_share = 0.5;
  Serve(options);
  std::vector<tcp::socket> servers;
  for (int i = 0; i < 4; ++i) servers.push_back(Join("127.0.0.2"));
  tcp::socket fifth = Connect("127.0.0.2");
  Request(fifth, kEmpty);
  ExpectClosed(fifth);
  EXPECT_EQ(Strikes(PeerLimit::kAddressConnections), 1U);
  EXPECT_EQ(server->strikes().Of(PeerLimit::kAddressConnections).last, asio::ip::make_address("127.0.0.2"));
  EXPECT_FALSE(Ask(1).error);
  servers.pop_back();
  AwaitConnections(4);
  servers.push_back(Join("127.0.0.2"));
}

TEST_F(PeerLimitsTest, NoMoreServersThanAllowed) {
  PeerServerOptions options;
  options.max_servers = 2;
  options.address_share = 1;
  Serve(options);
  tcp::socket first = Join("127.0.0.1"), second = Join("127.0.0.2"), third = Connect("127.0.0.3");
  Request(third, kEmpty);
  ExpectClosed(third);
  EXPECT_EQ(Strikes(PeerLimit::kConnections), 1U);
  first.close();
  AwaitConnections(1);
  EXPECT_FALSE(Ask(1).error);
}

TEST_F(PeerLimitsTest, AHundredServersOfOneHost) {
  Serve();
  std::vector<tcp::socket> sockets;
  for (int i = 0; i < 200; ++i) sockets.push_back(Connect());  // all strangers for a moment
  for (int round = 0; round < 2; ++round) {
    for (tcp::socket& socket : sockets) Request(socket, kEmpty);
    for (tcp::socket& socket : sockets) ExpectAnswer(socket);
  }
  EXPECT_EQ(server->connections(), 200U);
  EXPECT_EQ(Strikes(PeerLimit::kStrangerDisplaced), 0U);
}

TEST_F(PeerLimitsTest, RequestsOfAnotherJobGiveAStrangerNoTime) {
  PeerServerOptions options;
  options.header_timeout = milliseconds(200);
  options.idle_timeout = kLong;
  Serve(options);
  tcp::socket known = Join("127.0.0.1"), stranger = Connect();
  error_code ec;
  const auto frame = EncodePeerFrame(PeerFrameKind::kRequest, std::vector<std::uint8_t>{kForeign}, 0);
  while (!ec) {
    asio::write(stranger, asio::buffer(frame), ec);
    std::this_thread::sleep_for(milliseconds(10));
  }
  EXPECT_EQ(Strikes(PeerLimit::kStrangerTime), 1U);
  EXPECT_GT(requests, 1);
  EXPECT_TRUE(IsOpen(known));
}

TEST_F(PeerLimitsTest, ARequestThatTrickles) {
  PeerServerOptions options;
  options.header_timeout = milliseconds(100);
  Serve(options);
  tcp::socket known = Join("127.0.0.1");
  const auto frame = EncodePeerFrame(PeerFrameKind::kRequest, std::vector<std::uint8_t>(1000), 0);
  error_code ec;
  for (std::size_t i = 0; i < frame.size() && !ec; ++i) {
    asio::write(known, asio::buffer(frame.data() + i, 1), ec);
    std::this_thread::sleep_for(milliseconds(10));
  }
  EXPECT_TRUE(ec);
  EXPECT_EQ(Strikes(PeerLimit::kRequestTime), 1U);
  EXPECT_EQ(requests, 1);
}

TEST_F(PeerLimitsTest, WhoTakesAnAnswerByteByByteIsClosed) {
  PeerServerOptions options;
  options.write_stall_timeout = kLong;
  options.write_grace = milliseconds(100);
  options.minimum_rate = 100'000'000;
  Serve(options);
  tcp::socket socket = Connect();
  Request(socket, 100);
  char byte = 0;
  while (Strikes(PeerLimit::kAnswerTime) == 0) {
    error_code ec;
    socket.read_some(asio::buffer(&byte, 1), ec);
    ASSERT_FALSE(ec);
    std::this_thread::sleep_for(milliseconds(5));
  }
  AwaitConnections(0);
}

TEST_F(PeerLimitsTest, WhatIsTakenGivesTime) {
  PeerServerOptions options;
  options.write_grace = milliseconds(300);
  options.minimum_rate = 1'000'000;
  Serve(options);
  tcp::socket socket = Connect();
  const auto begun = SteadyClock::now();
  Request(socket, 40);
  std::vector<char> bytes(kUnit);
  for (int i = 0; i < 40; ++i) {
    asio::read(socket, asio::buffer(bytes));
    std::this_thread::sleep_for(milliseconds(15));
  }
  EXPECT_GT(SteadyClock::now() - begun, 2 * options.write_grace);
  ExpectAnswer(socket);  // as many bytes are left
  EXPECT_EQ(Strikes(PeerLimit::kAnswerTime), 0U);
}

TEST_F(PeerLimitsTest, AReplyWhoseHeadTrickles) {
  tcp::acceptor acceptor(context, tcp::endpoint(asio::ip::make_address("127.0.0.1"), 0));
  address = "127.0.0.1:" + std::to_string(acceptor.local_endpoint().port());
  patience = milliseconds(200);
  std::thread slow([&] {
    tcp::socket socket = acceptor.accept();
    const auto refusal = EncodePeerFrame(PeerFrameKind::kRefusal, std::vector<std::uint8_t>(60'000), 0);
    error_code ec;
    for (std::size_t i = 0; i < refusal.size() && !ec; ++i) {
      asio::write(socket, asio::buffer(refusal.data() + i, 1), ec);
      std::this_thread::sleep_for(milliseconds(10));
    }
  });
  const Outcome outcome = Ask(1);
  slow.join();
  ASSERT_TRUE(outcome.error);
  EXPECT_EQ(outcome.error->code, Errc::kPeerUnavailable);
}

TEST_F(PeerLimitsTest, BytesAreCountedOnBothSides) {
  Serve();
  EXPECT_FALSE(Ask(2).error);
  constexpr std::uint64_t kRequest = PeerFrame::kPreludeBytes + 1,
                          kAnswer = PeerFrame::kPreludeBytes + 2 * kUnit;
  EXPECT_EQ(links.traffic().sent, kRequest);
  EXPECT_EQ(links.traffic().received, kAnswer);
  EXPECT_EQ(server->traffic().received, kRequest);
  while (server->traffic().sent < kAnswer) std::this_thread::yield();
  EXPECT_EQ(server->traffic().sent, kAnswer);
}

TEST(PeerPace, WhatHasComeGivesTimeUpToTheGrace) {
  SteadyClock::time_point now{};
  PeerPace pace(milliseconds(5'000), milliseconds(10'000), 1000);
  const auto left = [&] { return pace.Next() - now; };
  const auto wait = [&](int ms, std::uint64_t bytes) {
    now += milliseconds(ms);
    pace.Moved(now, bytes);
  };
  pace.Resume(now);
  EXPECT_EQ(left(), milliseconds(5'000));
  wait(4'000, 0);
  wait(4'000, 1'000);
  EXPECT_EQ(left(), milliseconds(3'000));
  // What it has sent fast before does not excuse that it trickles.
  wait(1, UINT64_MAX);
  wait(4'000, 1);
  wait(4'000, 1);
  EXPECT_EQ(left(), milliseconds(2'002));
  // The time in which it was not waited for does not count.
  now += std::chrono::hours(1);
  pace.Resume(now);
  EXPECT_EQ(left(), milliseconds(2'002));
  pace.SetLimit(now + milliseconds(500));
  EXPECT_EQ(left(), milliseconds(500));
  EXPECT_FALSE(pace.TooSlow());
  wait(2'002, 0);
  EXPECT_TRUE(pace.TooSlow());
}

}  // namespace
}  // namespace msfl::net
