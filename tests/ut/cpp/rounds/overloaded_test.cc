// Devices whose messages found no room are told so in words that they come back after, and have their places
// when they do.
#include "rounds/overloaded.h"

#include "rounds/plain_text.h"
#include "rounds/round_fixture.h"

namespace msfl::rounds {
namespace {

class OverloadedTest : public RoundTest {
 protected:
  // As if the body had found no room.
  std::string AskInVain(const std::string& round, const Bytes8& body) {
    const std::size_t first = std::min(body.size(), net::OverloadedRequest::kSampleBytes);
    const std::size_t last = std::min(body.size() - first, net::OverloadedRequest::kSampleBytes);
    net::OverloadedRequest request;
    const std::string path = "/" + round;
    request.path = path;
    request.body_bytes = body.size();
    request.first = std::span(body).first(first);
    request.last = std::span(body).last(last);
    for (const net::HttpRoute& route : routes_) {
      if (route.path != path) continue;
      const net::HttpReply reply =
          asio::co_spawn(loops_.loop(0), route.overloaded(request), asio::use_future).get();
      EXPECT_EQ(reply.status, 200U);
      return {reply.head.begin(), reply.head.end()};
    }
    ADD_FAILURE() << "no route " << path;
    return {};
  }
  // An upload of which most is in neither sample.
  static Bytes8 LargeUpdate(const std::string& fl_id, int iteration) {
    Weights weights = AllWeights(1);
    weights["a"].resize(100'000);
    return UpdateRequest(fl_id, iteration, weights);
  }
  std::uint64_t Statistic(const std::string& name) {
    std::map<std::string, std::uint64_t> stats;
    context_->statistics.AddTo(stats);
    return stats.at(name);
  }
};

TEST_F(OverloadedTest, AnUploadIsToldSafemodeAndItsDeviceKeepsItsPlace) {
  Start();
  StartJob("d1");
  StartJob("d2");
  EXPECT_EQ(StartJob("d3")->retcode(), 300);
  EXPECT_EQ(AskInVain("updateModel", LargeUpdate("d1", 1)), kSafemodeText);
  EXPECT_EQ(Statistic("refused_safemode_total"), 1U);
  EXPECT_GE(Statistic("round_bytes_received"), 400'000U);
  // Nobody else gets in; it does, and is counted once.
  EXPECT_EQ(StartJob("d3")->retcode(), 300);
  EXPECT_EQ(StartJob("d1")->retcode(), 200);
  EXPECT_EQ(Update("d1", 1, AllWeights(10))->retcode(), 200);
  EXPECT_EQ(Update("d2", 1, AllWeights(30))->retcode(), 200);
  AwaitIteration(2);
  EXPECT_EQ(Values(Model(1)->feature_map()).at("a")[0], 2);
}

TEST_F(OverloadedTest, AnUploadThatIsCountedStaysCounted) {
  Start();
  StartJob("d1");
  StartJob("d2");
  EXPECT_EQ(Update("d1", 1, AllWeights(10))->retcode(), 200);
  EXPECT_EQ(AskInVain("updateModel", LargeUpdate("d1", 1)), kSafemodeText);
  EXPECT_EQ(Update("d2", 1, AllWeights(30))->retcode(), 200);
  AwaitIteration(2);
  EXPECT_EQ(Values(Model(1)->feature_map()).at("a")[0], 2);
}

TEST_F(OverloadedTest, AnUploadOfAnotherIterationOrOfNobodyChangesNothing) {
  Start();
  StartJob("d1");
  StartJob("d2");
  EXPECT_EQ(AskInVain("updateModel", LargeUpdate("d1", 2)), kSafemodeText);
  EXPECT_EQ(AskInVain("updateModel", LargeUpdate("d9", 1)), kSafemodeText);
  EXPECT_EQ(AskInVain("updateModel", LargeUpdate("", 1)), kSafemodeText);
  EXPECT_EQ(AskInVain("updateModel", LargeUpdate(std::string(257, 'x'), 1)), kSafemodeText);
  EXPECT_EQ(AskInVain("updateModel", Bytes8(100'000, 0)), kSafemodeText);
  EXPECT_EQ(AskInVain("updateModel", Bytes8(100'000, 0xFF)), kSafemodeText);
  EXPECT_EQ(AskInVain("updateModel", {}), kSafemodeText);
  EXPECT_EQ(StartJob("d1")->retcode(), 300);
  EXPECT_EQ(StartJob("d9")->retcode(), 300);
}

TEST_F(OverloadedTest, AStartIsRememberedToo) {
  Start();
  const std::string certificate(20'000, 'c');
  flatbuffers::FlatBufferBuilder builder;
  builder.Finish(
      schema::CreateRequestFLJobDirect(builder, "job", "d1", 0, 1, "now", nullptr, certificate.c_str()));
  EXPECT_EQ(AskInVain("startFLJob", Bytes(builder)), kSafemodeText);
  EXPECT_NE(context_->returning.HasReturned(HashDevice("d1"), 1, WallMillis() + 5'000), true);
  EXPECT_EQ(context_->returning.HasReturned(HashDevice("d1"), 1, WallMillis() + 10'000), true);
  EXPECT_EQ(StartJob("d1")->retcode(), 200);
}

TEST_F(OverloadedTest, OtherRoundsAreToldTheSame) {
  Start();
  for (const char* round : {"getModel", "getResult"}) {
    EXPECT_EQ(AskInVain(round, Bytes8(50'000, 1)), kSafemodeText);
  }
  EXPECT_EQ(Statistic("refused_safemode_total"), 2U);
}

}  // namespace
}  // namespace msfl::rounds
