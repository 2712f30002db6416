#include "rounds/round_statistics.h"

#include "rounds/plain_text.h"
#include "rounds/round_fixture.h"

namespace msfl::rounds {
namespace {

using Ending = RoundStatistics::Ending;
using Stats = std::map<std::string, std::uint64_t>;

TEST(RoundStatisticsTest, LatenciesAreCumulative) {
  RoundStatistics statistics;
  const auto note = [&](std::int64_t us, Ending ending) {
    statistics.Note(RoundName::kUpdateModel, ending, std::chrono::microseconds(us), 10, 3);
  };
  note(0, Ending::kAccepted);
  note(1000, Ending::kAccepted);
  note(1001, Ending::kRejected);
  note(20'000'000, Ending::kAccepted);
  note(5, Ending::kSafemode);
  note(5, Ending::kDisabled);
  note(5, Ending::kDisabled);
  Stats stats;
  statistics.AddTo(stats);
  EXPECT_EQ(stats.at("update_model_accepted_total"), 3U);
  EXPECT_EQ(stats.at("update_model_rejected_total"), 1U);
  EXPECT_EQ(stats.at("update_model_latency_us_total"), 20'002'001U);
  EXPECT_EQ(stats.at("update_model_latency_le_1000_total"), 2U);
  EXPECT_EQ(stats.at("update_model_latency_le_5000_total"), 3U);
  EXPECT_EQ(stats.at("update_model_latency_le_10000000_total"), 3U);
  EXPECT_EQ(stats.at("get_result_latency_le_10000000_total"), 0U);
  EXPECT_EQ(stats.at("refused_safemode_total"), 1U);
  EXPECT_EQ(stats.at("refused_disabled_total"), 2U);
  EXPECT_EQ(stats.at("round_bytes_received"), 70U);
  EXPECT_EQ(stats.at("round_bytes_sent"), 21U);
}

class RoundStatisticsOfRounds : public RoundTest {
 protected:
  Stats Now() const {
    Stats stats;
    context_->statistics.AddTo(stats);
    return stats;
  }
};

TEST_F(RoundStatisticsOfRounds, EachAnswerCountsOnce) {
  Start();
  const Bytes8 request = StartRequest("d1", 10);
  const std::uint64_t sent = Ask("startFLJob", request).size();
  EXPECT_EQ(Now().at("round_bytes_received"), request.size());
  EXPECT_EQ(Now().at("round_bytes_sent"), sent);
  StartJob("d1", 10);
  StartJob("d2", 0);
  Update("stranger", 1, AllWeights(1));
  Update("d1", 1, AllWeights(1));
  Model(1);
  Model(0);
  Result_(1);
  Ask("exportModel", {});  // no round of a device
  const Stats stats = Now();
  EXPECT_EQ(stats.at("start_fl_job_accepted_total"), 1U);
  EXPECT_EQ(stats.at("start_fl_job_rejected_total"), 2U);
  EXPECT_EQ(stats.at("update_model_accepted_total"), 1U);
  EXPECT_EQ(stats.at("update_model_rejected_total"), 1U);
  EXPECT_EQ(stats.at("get_model_accepted_total"), 1U);
  EXPECT_EQ(stats.at("get_model_rejected_total"), 1U);
  EXPECT_EQ(stats.at("get_result_accepted_total"), 0U);
  EXPECT_EQ(stats.at("get_result_rejected_total"), 1U);
  EXPECT_EQ(stats.at("refused_safemode_total"), 0U);
}

TEST_F(RoundStatisticsOfRounds, RefusalsByStateCountApart) {
  Start();
  const cache::IterationKey current = job_->gate().Look().iteration->key();
  ASSERT_TRUE(OnControl(store_->SetState(current, cache::InstanceState::kDisable)));
  AwaitIteration(2);
  EXPECT_EQ(AskText("getModel", StartRequest("d1", 1)), kDisabledText);
  job_->RequestStop();
  running_.wait();
  Ask("startFLJob", StartRequest("d1", 1));
  const Stats stats = Now();
  EXPECT_EQ(stats.at("refused_disabled_total"), 1U);
  EXPECT_EQ(stats.at("refused_safemode_total"), 1U);
  EXPECT_EQ(stats.at("start_fl_job_rejected_total"), 0U);
}

}  // namespace
}  // namespace msfl::rounds
