// A port for other Servers, with real sockets to it.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/connect.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/use_future.hpp>
#include <boost/asio/write.hpp>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "net/peer_frame.h"
#include "net/peer_link.h"
#include "net/peer_server.h"

namespace msfl::net {

using asio::ip::tcp;
using std::chrono::milliseconds;

inline constexpr milliseconds kLong(20'000), kShort(50);

// Answers with as many bytes as the first of the head says (times 1 MB), or refuses an "r". An "f" comes from
// one of another job, and is refused as well.
class PeerServerTest : public testing::Test {
 protected:
  PeerServerTest() { loops.Start(); }
  ~PeerServerTest() override {
    links.Close();
    server.reset();
    loops.Stop();
  }

  void Serve(PeerServerOptions options = {}) {
    server = std::make_unique<PeerServer>(loops, options, Handler());
    const auto listening = server->Listen("127.0.0.1", 0);
    ASSERT_FALSE(listening.has_error());
    ASSERT_NE(server->port(), 0);
    address = "127.0.0.1:" + std::to_string(server->port());
  }

  PeerHandler Handler() {
    PeerHandler handler;
    handler.answer = [this](std::span<const std::uint8_t> head) { return Answer(this, head); };
    handler.recognises = [](std::span<const std::uint8_t> head) { return head[0] != 'f'; };
    return handler;
  }
  static Task<PeerAnswer> Answer(PeerServerTest* test, std::span<const std::uint8_t> head) {
    PeerAnswer answer;
    ++test->requests;
    if (head[0] == 'r' || head[0] == 'f') {
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
      link = test->links.Make(executor);
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
      PeerPace pace(kLong, kLong, kPeerMinimumRate);
      const auto came = co_await PeerLink::Read(link, outcome.payload, pace);
      EXPECT_FALSE(came.fault) << came.fault.message();
    }
    test->links.GiveBack(test->address, link);
    co_return outcome;
  }
  Outcome Ask(std::uint8_t units) {
    const std::vector<std::uint8_t> head{units};
    return asio::co_spawn(loops.control(), Ask(this, head, units * kUnit), asio::use_future).get();
  }

  // Linux has all of 127.0.0.0/8.
  tcp::socket Connect(const std::string& from = "127.0.0.1") {
    tcp::socket socket(context, tcp::v4());
    socket.bind(tcp::endpoint(asio::ip::make_address(from), 0));
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
  static void Request(tcp::socket& socket, std::uint8_t head) {
    const auto frame = EncodePeerFrame(PeerFrameKind::kRequest, std::vector<std::uint8_t>{head}, 0);
    asio::write(socket, asio::buffer(frame));
  }
  // Of one that was let in; its answer has no payload.
  static void ExpectAnswer(tcp::socket& socket) {
    std::array<std::uint8_t, PeerFrame::kPreludeBytes> prelude{};
    asio::read(socket, asio::buffer(prelude));
  }
  std::uint64_t Strikes(PeerLimit limit) const { return server->strikes().Of(limit).times; }
  void AwaitStrikes(PeerLimit limit, std::uint64_t times) const {
    while (Strikes(limit) < times) std::this_thread::sleep_for(milliseconds(1));
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

}  // namespace msfl::net
