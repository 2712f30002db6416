#include "rounds/round_fixture.h"

namespace msfl::rounds {
namespace {

class RepeatedUpdateTest : public RoundTest {
 protected:
  // What a device hears of its update, and then of the same one again.
  std::string Repeat(const std::string& fl_id, int iteration, const Weights& weights) {
    const auto answer = Update(fl_id, iteration, weights);
    return std::to_string(answer->retcode()) + " " + answer->reason()->str();
  }
  // How often a field was read from a hash.
  std::uint64_t Looks() {
    std::vector<std::string> words{"INFO", "commandstats"};
    const std::string text = OnControl(client_->Command(std::move(words)))->text;
    const std::string name = "cmdstat_hget:calls=";
    const std::size_t at = text.find(name);
    return at == std::string::npos ? 0 : std::stoull(text.substr(at + name.size()));
  }
  void JoinAll() {
    StartJob("d1");
    StartJob("d2", 30);
  }
  static constexpr char kAccepted[] = "200 success not ready";
};

TEST_F(RepeatedUpdateTest, IsAcceptedAndCountsOnce) {
  Start();
  JoinAll();
  for (int time = 0; time < 3; ++time) EXPECT_EQ(Repeat("d1", 1, AllWeights(10)), kAccepted);
  EXPECT_EQ(job_->gate().Look().iteration->sum.uploads(), 1U);
  EXPECT_EQ(job_->gate().Look().iteration->visits.Summary().at("updateModelAcceptClientNum"), 1U);
  EXPECT_EQ(Repeat("d2", 1, AllWeights(30)), kAccepted);
  AwaitIteration(2);
  EXPECT_EQ(Values(StartJob("d1")->feature_map()), (Weights{{"a", {1, 2, 3}}, {"s", {4}}, {"z", {5, 6}}}));
}

TEST_F(RepeatedUpdateTest, IsAcceptedAfterItsIterationHasEnded) {
  Start();
  JoinAll();
  Update("d1", 1, AllWeights(10));
  Update("d2", 1, AllWeights(30));
  AwaitIteration(2);
  EXPECT_EQ(Repeat("d2", 1, AllWeights(30)), kAccepted) << "it has not started in this iteration";
  StartJob("d2");
  EXPECT_EQ(Repeat("d2", 1, AllWeights(30)), kAccepted);
  EXPECT_EQ(Update("d2", 1, AllWeights(31))->retcode(), 300);
  EXPECT_EQ(job_->gate().Look().iteration->sum.uploads(), 0U);
  EXPECT_EQ(Repeat("d2", 2, AllWeights(30)), kAccepted) << "the same weights in the next iteration";
  EXPECT_EQ(job_->gate().Look().iteration->sum.uploads(), 1U);
}

TEST_F(RepeatedUpdateTest, IsAcceptedWhenTheRoundIsFull) {
  ServerOptions options = Options();
  options.round.update_model_ratio = 0.5;
  hold_records_ = true;
  Start(options);
  JoinAll();
  EXPECT_EQ(Repeat("d1", 1, AllWeights(10)), kAccepted);
  EXPECT_EQ(Repeat("d1", 1, AllWeights(10)), kAccepted);
  EXPECT_EQ(Repeat("d2", 1, AllWeights(10)),
            "300 Current amount for updateModel is enough. Please retry later.");
  while (ended().empty()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  job_->NoteRecorded(1);
  AwaitIteration(2);
}

TEST_F(RepeatedUpdateTest, AnotherOneUnderTheSameNameIsRefused) {
  Start();
  JoinAll();
  EXPECT_EQ(Repeat("d1", 1, AllWeights(10)), kAccepted);
  const std::string refused = "300 Updating metadata of UpdateModelClientList failed for fl id d1";
  EXPECT_EQ(Repeat("d1", 1, AllWeights(11)), refused);
  EXPECT_EQ(Repeat("d1", 1, {{"a", {10, 20, 30}}}), refused) << "a feature less";
  EXPECT_EQ(Repeat("d1", 1, AllWeights(10)), kAccepted) << "that was none";
}

TEST_F(RepeatedUpdateTest, IsRefusedAsRelease02Does) {
  ServerOptions options = Options();
  options.as_release_0_2 = true;
  Start(options);
  JoinAll();
  EXPECT_EQ(Repeat("d1", 1, AllWeights(10)), kAccepted);
  EXPECT_EQ(Repeat("d1", 1, AllWeights(10)),
            "300 Updating metadata of UpdateModelClientList failed for fl id d1");
}

// The connection of the first request is gone, its place is not: it may still be counted.
TEST_F(RepeatedUpdateTest, WaitsForTheFirstRequest) {
  Start();
  JoinAll();
  const cache::IterationKey key = job_->gate().Look().iteration->key();
  const cache::Node node = *job_->node();
  cache::ReserveRequest reserve;
  reserve.iteration = key;
  reserve.claimed_iteration = 1;
  reserve.fl_id = "d1";
  reserve.nonce = "first";
  ASSERT_EQ(OnControl(store_->Reserve(reserve, node))->verdict, cache::ReserveVerdict::kReserved);
  std::future<std::string> repeated =
      std::async(std::launch::async, [this] { return Repeat("d1", 1, AllWeights(10)); });
  // It looks every 20 ms; the heartbeat and others a few times a second.
  const std::uint64_t looks = Looks();
  while (Looks() < looks + 40) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  EXPECT_EQ(repeated.wait_for(std::chrono::seconds(0)), std::future_status::timeout);
  ASSERT_TRUE(OnControl(store_->Withdraw(key, "d1", "first")));
  EXPECT_TRUE(repeated.get().starts_with("300 ")) << "it was not counted: the device comes again";
}

}  // namespace
}  // namespace msfl::rounds
