#include "server/limit_report.h"

#include <gtest/gtest.h>

#include <vector>

#include "base/log.h"

namespace msfl::server {
namespace {

class LimitReportTest : public testing::Test {
 protected:
  LimitReportTest() {
    SetLogSink([this](const LogLine& line) { lines.push_back(line.text); });
  }
  ~LimitReportTest() override { SetLogSink({}); }
  void Strike(net::PeerLimit limit, const char* address) {
    peers.Note(limit, boost::asio::ip::make_address(address));
  }

  std::vector<std::string> lines;
  net::HttpStats http;
  net::PeerStrikes peers;
  LimitReport report;
};

TEST_F(LimitReportTest, OneLineForEachLimitThatHasStruckSince) {
  report.Log(http, peers);
  EXPECT_TRUE(lines.empty());
  for (int i = 0; i < 1000; ++i) Strike(net::PeerLimit::kStrangerTime, "10.0.0.7");
  Strike(net::PeerLimit::kAddressConnections, "fd00::1");
  ++http.Limit(net::HttpLimit::kConnections);
  report.Log(http, peers);
  const std::vector<std::string> expected{
      "A limit has struck: connections refused, all places are taken (client.connection_num), 1 time, 1 "
      "since "
      "the start",
      "A limit has struck: connections of other Servers refused, their address has its share of the places, "
      "1 "
      "time, 1 since the start, last from fd00::1",
      "A limit has struck: strangers at the port for other Servers closed, no request of this job came, 1000 "
      "times, 1000 since the start, last from 10.0.0.7"};
  EXPECT_EQ(lines, expected);

  report.Log(http, peers);
  EXPECT_EQ(lines, expected);
  Strike(net::PeerLimit::kStrangerTime, "10.0.0.8");
  report.Log(http, peers);
  EXPECT_NE(lines.back().find("1 time, 1001 since the start, last from 10.0.0.8"), std::string::npos)
      << lines.back();
}

TEST_F(LimitReportTest, DailyBusinessIsCountedAndNotLogged) {
  Strike(net::PeerLimit::kIdleTime, "10.0.0.7");
  Strike(net::PeerLimit::kMessage, "10.0.0.7");
  ++http.Limit(net::HttpLimit::kIdleTime);
  report.Log(http, peers);
  EXPECT_TRUE(lines.empty());
  std::map<std::string, std::uint64_t> stats;
  AddLimits(http, peers, stats);
  EXPECT_EQ(stats.at("limit_idle_time"), 1U);
  EXPECT_EQ(stats.at("limit_peer_idle_time"), 1U);
  EXPECT_EQ(stats.at("limit_peer_message"), 1U);
  EXPECT_EQ(stats.at("limit_peer_connections"), 0U);
}

}  // namespace
}  // namespace msfl::server
