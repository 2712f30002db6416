#include <atomic>
#include <boost/asio/detached.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/write.hpp>

#include "collective/cluster.h"
#include "net/stream.h"

namespace msfl::collective {
namespace {

using asio::ip::tcp;
using net::TcpStream;

// Stands before a Server and cuts what comes from it: the n-th connection after `first` + n * `step` bytes.
class Cutter {
 public:
  Cutter(std::uint16_t target, std::size_t first, std::size_t step, std::size_t cuts)
      : target_(target),
        first_(first),
        step_(step),
        cuts_(cuts),
        acceptor_(loops_.loop(0), tcp::endpoint(tcp::v4(), 0)) {
    loops_.Start();
    asio::co_spawn(loops_.loop(0), Accept(this), asio::detached);
  }
  ~Cutter() { loops_.Stop(); }
  std::string address() const { return "127.0.0.1:" + std::to_string(acceptor_.local_endpoint().port()); }
  std::size_t made() const { return made_; }

 private:
  struct Pair {
    explicit Pair(asio::io_context& loop) : client(loop), server(loop) {}
    TcpStream client, server;
    void Close() {
      boost::system::error_code ignored;
      client.close(ignored);
      server.close(ignored);
    }
  };
  static Task<> Accept(Cutter* self) {
    while (true) {
      const auto pair = std::make_shared<Pair>(self->loops_.loop(0));
      boost::system::error_code ec;
      co_await self->acceptor_.async_accept(pair->client, asio::redirect_error(kAwait, ec));
      if (ec) co_return;
      const std::size_t number = ++self->made_;
      const tcp::endpoint target(asio::ip::make_address("127.0.0.1"), self->target_);
      co_await pair->server.async_connect(target, asio::redirect_error(kAwait, ec));
      const std::size_t limit = number <= self->cuts_ ? self->first_ + number * self->step_ : SIZE_MAX;
      asio::co_spawn(self->loops_.loop(0), Relay(pair, true, SIZE_MAX), asio::detached);
      asio::co_spawn(self->loops_.loop(0), Relay(pair, false, limit), asio::detached);
    }
  }
  static Task<> Relay(std::shared_ptr<Pair> pair, bool forth, std::size_t limit) {
    TcpStream& from = forth ? pair->client : pair->server;
    TcpStream& to = forth ? pair->server : pair->client;
    std::vector<char> bytes(64 * 1024);
    boost::system::error_code ec;
    while (limit > 0 && !ec) {
      const std::size_t got = co_await from.async_read_some(
          asio::buffer(bytes.data(), std::min(bytes.size(), limit)), asio::redirect_error(kAwait, ec));
      if (ec) break;
      limit -= got;
      co_await asio::async_write(to, asio::buffer(bytes.data(), got), asio::redirect_error(kAwait, ec));
    }
    pair->Close();
  }

  const std::uint16_t target_;
  const std::size_t first_, step_, cuts_;
  std::atomic<std::size_t> made_{0};
  net::EventLoops loops_{1};
  asio::basic_socket_acceptor<tcp, Executor> acceptor_;
};

class BrokenConnectionTest : public ClusterTest {
 protected:
  static constexpr std::int64_t kElements = 400'000;
  BrokenConnectionTest() {
    SetLayout({Declare("a", {kElements}), Declare("b", {7}), Declare("frozen", {100}, false)});
    StartNodes(2);
    for (std::size_t node = 0; node < 2; ++node) {
      std::vector<float> values(kElements);
      for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i * (node + 1));
      Upload(node, {values, std::vector<float>(7, 3)}, 1);
    }
  }
  std::vector<ModelResult> CombineThrough(const Cutter& cutter, milliseconds patience) {
    CombineRequest request = Request(0, patience);
    request.members[1].tcp_address = cutter.address();
    auto first = nodes[0]->Combine(std::move(request)), second = nodes[1]->Combine(Request(1, patience));
    std::vector<ModelResult> results{first.get(), second.get()};
    return results;
  }
};

TEST_F(BrokenConnectionTest, ItGoesOnWhereItBroke) {
  const Cutter cutter(nodes[1]->server->port(), 0, 200'001, 8);
  const auto model = TheSame(CombineThrough(cutter, kLong));
  ASSERT_NE(model, nullptr);
  EXPECT_GT(cutter.made(), 3U);
  for (std::size_t i = 0; i < static_cast<std::size_t>(kElements); ++i)
    ASSERT_EQ(model->values(0)[i], static_cast<float>((static_cast<double>(static_cast<float>(i)) +
                                                       static_cast<double>(static_cast<float>(2 * i))) /
                                                      2));
  EXPECT_EQ(std::memcmp(model->tail(false).bytes.data(), start->tail(false).bytes.data(),
                        layout->skeleton().size() + sizeof(std::uint32_t)),
            0);
}

TEST_F(BrokenConnectionTest, ThoseThatAreKeptAreReopened) {
  const auto cutter = std::make_unique<Cutter>(nodes[1]->server->port(), 0, 1, 0);
  ASSERT_NE(TheSame(CombineThrough(*cutter, kLong)), nullptr);
  const std::string address = nodes[1]->address;
  nodes[1]->server->Stop();
  nodes[1]->server = std::make_unique<net::PeerServer>(nodes[1]->loops, net::PeerServerOptions{},
                                                       nodes[1]->exchange->Handler());
  ASSERT_FALSE(nodes[1]->server->Listen("127.0.0.1", 0).has_error());
  nodes[1]->address = "127.0.0.1:" + std::to_string(nodes[1]->server->port());
  EXPECT_NE(TheSame(CombineAll()), nullptr);
}

TEST_F(BrokenConnectionTest, OneThatAlwaysBreaksIsGivenUp) {
  for (const std::size_t bytes : {1, 16, 100}) {
    const Cutter cutter(nodes[1]->server->port(), bytes, 0, 1'000'000);
    const auto results = CombineThrough(cutter, kShort);
    ASSERT_FALSE(results[0]);
    EXPECT_NE(results[0].error().text.find("'S2'"), std::string::npos) << results[0].error().text;
  }
}

}  // namespace
}  // namespace msfl::collective
