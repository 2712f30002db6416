#include <atomic>
#include <boost/asio/detached.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/write.hpp>
#include <map>

#include "collective/cluster.h"
#include "net/stream.h"

namespace msfl::collective {
namespace {

using asio::ip::tcp;
using net::TcpStream;

// Stands before a Server and passes on what comes from it in pieces of so many bytes, one each interval. All
// its connections share them.
class Throttle {
 public:
  Throttle(std::uint16_t target, std::size_t piece, milliseconds interval)
      : target_(target),
        piece_(piece),
        interval_(interval),
        acceptor_(loops_.loop(0), tcp::endpoint(tcp::v4(), 0)) {
    loops_.Start();
    asio::co_spawn(loops_.loop(0), Accept(this), asio::detached);
  }
  ~Throttle() { loops_.Stop(); }
  std::string address() const { return "127.0.0.1:" + std::to_string(acceptor_.local_endpoint().port()); }

 private:
  using Timer = asio::basic_waitable_timer<SteadyClock, asio::wait_traits<SteadyClock>, Executor>;
  struct Pair {
    explicit Pair(asio::io_context& loop) : client(loop), server(loop) {}
    TcpStream client, server;
    void Close() {
      boost::system::error_code ignored;
      client.close(ignored);
      server.close(ignored);
    }
  };
  static Task<> Accept(Throttle* self) {
    while (true) {
      const auto pair = std::make_shared<Pair>(self->loops_.loop(0));
      boost::system::error_code ec;
      co_await self->acceptor_.async_accept(pair->client, asio::redirect_error(kAwait, ec));
      if (ec) co_return;
      const tcp::endpoint target(asio::ip::make_address("127.0.0.1"), self->target_);
      co_await pair->server.async_connect(target, asio::redirect_error(kAwait, ec));
      asio::co_spawn(self->loops_.loop(0), Relay(self, pair, true), asio::detached);
      asio::co_spawn(self->loops_.loop(0), Relay(self, pair, false), asio::detached);
    }
  }
  static Task<> Relay(Throttle* self, std::shared_ptr<Pair> pair, bool forth) {
    TcpStream& from = forth ? pair->client : pair->server;
    TcpStream& to = forth ? pair->server : pair->client;
    std::vector<char> bytes(forth ? 64 * 1024 : self->piece_);
    Timer timer(self->loops_.loop(0));
    boost::system::error_code ec;
    while (!ec) {
      const std::size_t got =
          co_await from.async_read_some(asio::buffer(bytes), asio::redirect_error(kAwait, ec));
      if (ec) break;
      co_await asio::async_write(to, asio::buffer(bytes.data(), got), asio::redirect_error(kAwait, ec));
      if (forth) continue;
      self->next_ = std::max(self->next_, SteadyClock::now()) + self->interval_;
      timer.expires_at(self->next_);
      co_await timer.async_wait(asio::redirect_error(kAwait, ec));
    }
    pair->Close();
  }

  const std::uint16_t target_;
  const std::size_t piece_;
  const milliseconds interval_;
  SteadyClock::time_point next_;
  net::EventLoops loops_{1};
  asio::basic_socket_acceptor<tcp, Executor> acceptor_;
};

class SlowPeerTest : public ClusterTest {
 protected:
  static constexpr std::size_t kElements = 400'000;
  void StartAndUpload(std::size_t count) {
    SetLayout({Declare("a", {static_cast<std::int64_t>(kElements)})});
    StartNodes(count);
    for (std::size_t node = 0; node < count; ++node) Upload(node, {std::vector<float>(kElements, 1)}, 1);
  }
  // All reach the last one through `throttle`.
  std::vector<ModelResult> CombineThrough(const Throttle& throttle, milliseconds patience) {
    std::vector<std::future<ModelResult>> futures;
    for (std::size_t i = 0; i < nodes.size(); ++i) {
      CombineRequest request = Request(i, patience);
      request.members.back().tcp_address = throttle.address();
      futures.push_back(nodes[i]->Combine(std::move(request)));
    }
    std::vector<ModelResult> results;
    for (auto& future : futures) results.push_back(future.get());
    return results;
  }
  static std::uint64_t Statistic(const Node& node, const std::string& name) {
    std::map<std::string, std::uint64_t> stats;
    node.exchange->statistics().AddTo(stats);
    return stats.at(name);
  }
};

TEST_F(SlowPeerTest, AnAnswerThatTricklesIsGivenUpAndNamed) {
  StartAndUpload(2);
  const Throttle throttle(nodes[1]->server->port(), 1, milliseconds(5));
  const auto begun = SteadyClock::now();
  const auto results = CombineThrough(throttle, kShort);
  EXPECT_LT(SteadyClock::now() - begun, std::chrono::seconds(5));
  ASSERT_FALSE(results[0]);
  EXPECT_EQ(results[0].error().code, Errc::kPeerUnavailable);
  EXPECT_NE(results[0].error().text.find("Server 'S2' at " + throttle.address()), std::string::npos)
      << results[0].error().text;
  EXPECT_FALSE(results[1]);
  EXPECT_EQ(Statistic(*nodes[0], "combinations_unavailable_total"), 1U);
  EXPECT_EQ(Statistic(*nodes[0], "combinations_done_total"), 0U);
}

TEST_F(SlowPeerTest, ARateBelowTheMinimumIsGivenUp) {
  StartAndUpload(2);
  const Throttle throttle(nodes[1]->server->port(), 500, milliseconds(10));
  const auto results = CombineThrough(throttle, kShort);
  ASSERT_FALSE(results[0]);
  EXPECT_EQ(results[0].error().code, Errc::kPeerUnavailable);
  EXPECT_NE(results[0].error().text.find("Server 'S2'"), std::string::npos) << results[0].error().text;
  EXPECT_NE(results[0].error().text.find("sends too slowly"), std::string::npos) << results[0].error().text;
}

TEST_F(SlowPeerTest, TheWholeHasALimitThatGrowsWithTheModel) {
  StartAndUpload(2);
  // Above what one answer needs, but 2.4 MB would take 10 s of the 3.3 s that they may.
  const Throttle throttle(nodes[1]->server->port(), 12'500, milliseconds(50));
  const auto begun = SteadyClock::now();
  const auto results = CombineThrough(throttle, kShort);
  const auto took = SteadyClock::now() - begun;
  EXPECT_GT(took, std::chrono::seconds(3));
  EXPECT_LT(took, std::chrono::seconds(8));
  ASSERT_FALSE(results[0]);
  EXPECT_EQ(results[0].error().code, Errc::kPeerUnavailable);
  EXPECT_NE(results[0].error().text.find("Server 'S2'"), std::string::npos) << results[0].error().text;
  EXPECT_NE(results[0].error().text.find("the time for all of it is over"), std::string::npos)
      << results[0].error().text;
}

TEST_F(SlowPeerTest, OneThatIsFastEnoughIsWaitedFor) {
  StartAndUpload(2);
  const Throttle throttle(nodes[1]->server->port(), 60'000, milliseconds(25));
  const auto begun = SteadyClock::now();
  ASSERT_NE(TheSame(CombineThrough(throttle, milliseconds(900))), nullptr);
  EXPECT_GT(SteadyClock::now() - begun, milliseconds(900));
  for (const auto& node : nodes) {
    EXPECT_EQ(Statistic(*node, "combinations_done_total"), 1U);
    EXPECT_GT(Statistic(*node, "combination_us_total"), 900'000U);
  }
}

TEST_F(SlowPeerTest, OneThatWaitsForASlowOneMovesOnWithIt) {
  StartAndUpload(3);
  // A chunk of sums takes a second of these, and nobody waits so long for one that does not move on.
  const Throttle throttle(nodes[2]->server->port(), 50'000, milliseconds(50));
  EXPECT_NE(TheSame(CombineThrough(throttle, milliseconds(400))), nullptr);
}

TEST_F(SlowPeerTest, WhoeverWaitsForASlowOneIsNotBlamedForIt) {
  StartAndUpload(4);
  const Throttle throttle(nodes[3]->server->port(), 500, milliseconds(10));
  for (const ModelResult& result : CombineThrough(throttle, kShort)) {
    ASSERT_FALSE(result);
    EXPECT_NE(result.error().text.find("'S4'"), std::string::npos) << result.error().text;
  }
}

TEST_F(SlowPeerTest, AModelThatTricklesIsGivenUp) {
  StartAndUpload(2);
  const std::string digest = model::Digest(*start);
  nodes[1]->exchange->SetModelSource([this](std::string_view) { return start; });
  for (const bool slow : {true, false}) {
    const Throttle throttle(nodes[1]->server->port(), slow ? 500 : 100'000, milliseconds(10));
    FetchRequest request;
    request.tcp_address = throttle.address();
    request.node_id = "S2";
    request.digest = digest;
    request.layout = layout;
    request.patience = kShort;
    const ModelResult fetched = nodes[0]->Fetch(std::move(request)).get();
    EXPECT_EQ(fetched.has_value(), !slow);
    if (fetched) continue;
    EXPECT_EQ(fetched.error().code, Errc::kPeerUnavailable);
    EXPECT_NE(fetched.error().text.find("Server 'S2'"), std::string::npos) << fetched.error().text;
  }
  EXPECT_EQ(Statistic(*nodes[0], "model_fetches_unavailable_total"), 1U);
  EXPECT_EQ(Statistic(*nodes[0], "model_fetches_done_total"), 1U);
}

}  // namespace
}  // namespace msfl::collective
