// Windows that end with enough devices or updates: the iteration goes on with what has come.
#include <atomic>
#include <cmath>
#include <random>

#include "rounds/round_fixture.h"

namespace msfl::rounds {
namespace {

class TimeoutTest : public RoundTest {
 protected:
  static ServerOptions Options(std::uint64_t minimum) {
    ServerOptions options = RoundTest::Options();
    options.round.start_fl_job_threshold = 3;
    options.round.minimum = minimum;
    return options;
  }
  std::uint64_t Target() {
    const cache::IterationKey current = job_->gate().Look().iteration->key();
    const auto seen = OnControl(store_->Observe(current));
    return seen && seen->target ? *seen->target : 0;
  }
};

TEST_F(TimeoutTest, WhenTheStartWindowEndsTheOthersTrain) {
  ServerOptions options = Options(2);
  options.round.start_fl_job_time_window = 1000;
  Start(options);
  EXPECT_EQ(StartJob("d1", 1)->retcode(), 200);
  EXPECT_EQ(StartJob("d2", 3)->retcode(), 200);
  while (Target() == 0) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  const auto late = StartJob("d3", 1);
  EXPECT_EQ(late->retcode(), 300);
  EXPECT_EQ(late->reason()->str(),
            "Current amount for startFLJob has reached the threshold. Please startFLJob later.");
  EXPECT_EQ(Update("d1", 1, AllWeights(1))->retcode(), 200);
  EXPECT_EQ(Model(1)->retcode(), 201);
  EXPECT_EQ(Update("d2", 1, AllWeights(7))->retcode(), 200);
  AwaitIteration(2);
  EXPECT_TRUE(ended()[0].valid);
  EXPECT_EQ(ended()[0].reason,
            "Round startFLJob timeout! 2 of 3 updates have come and are aggregated. This iteration is valid. "
            "Proceed to next iteration.");
  EXPECT_EQ(Values(Model(1)->feature_map()).at("s"), std::vector<float>{8});
  // The next one waits for three again.
  for (const char* id : {"d1", "d2", "d3"}) EXPECT_EQ(StartJob(id, 1)->retcode(), 200);
  for (const char* id : {"d1", "d2", "d3"}) EXPECT_EQ(Update(id, 2, AllWeights(1))->retcode(), 200);
  AwaitIteration(3);
  EXPECT_EQ(ended()[1].reason, job::kAggregatedReason);
}

TEST_F(TimeoutTest, WhoHasAlreadyUploadedIsAllThatIsWaitedFor) {
  ServerOptions options = Options(1);
  options.round.start_fl_job_time_window = 1000;
  Start(options);
  EXPECT_EQ(StartJob("d1", 1)->retcode(), 200);
  EXPECT_EQ(Update("d1", 1, AllWeights(2))->retcode(), 200);
  AwaitIteration(2);
  EXPECT_TRUE(ended()[0].valid);
  EXPECT_EQ(Values(Model(1)->feature_map()).at("s"), std::vector<float>{8});
}

TEST_F(TimeoutTest, WhenTheUpdateWindowEndsItsUpdatesAreUsed) {
  ServerOptions options = Options(2);
  options.round.update_model_time_window = 1000;
  Start(options);
  for (const char* id : {"d1", "d2", "d3"}) EXPECT_EQ(StartJob(id, 1)->retcode(), 200);
  EXPECT_EQ(Update("d1", 1, AllWeights(1))->retcode(), 200);
  EXPECT_EQ(Update("d2", 1, AllWeights(3))->retcode(), 200);
  AwaitIteration(2);
  EXPECT_TRUE(ended()[0].valid);
  EXPECT_EQ(
      ended()[0].reason,
      "Round updateModel timeout! 2 of 3 updates have come and are aggregated. This iteration is valid. "
      "Proceed to next iteration.");
  EXPECT_EQ(Values(Model(1)->feature_map()).at("s"), std::vector<float>{8});
  EXPECT_EQ(Update("d3", 1, AllWeights(9))->retcode(), 300);
}

TEST_F(TimeoutTest, TheGlobalWindowToo) {
  ServerOptions options = Options(1);
  options.round.global_iteration_time_window = 1000;
  Start(options);
  EXPECT_EQ(StartJob("d1", 1)->retcode(), 200);
  EXPECT_EQ(Update("d1", 1, AllWeights(2))->retcode(), 200);
  AwaitIteration(2);
  EXPECT_TRUE(ended()[0].valid);
  EXPECT_EQ(ended()[0].reason,
            "Global timer timeout! 1 of 3 updates have come and are aggregated. This iteration is valid. "
            "Proceed to next iteration.");
}

TEST_F(TimeoutTest, TooFewFailAsEver) {
  ServerOptions options = Options(2);
  options.round.update_model_time_window = 300;
  Start(options);
  for (const char* id : {"d1", "d2", "d3"}) EXPECT_EQ(StartJob(id, 1)->retcode(), 200);
  EXPECT_EQ(Update("d1", 1, AllWeights(1))->retcode(), 200);
  AwaitIteration(2);
  EXPECT_FALSE(ended()[0].valid);
  EXPECT_EQ(ended()[0].reason,
            "Round updateModel timeout! This iteration is invalid. Proceed to next iteration.");
}

TEST_F(TimeoutTest, ANewInstanceMayChangeTheMinimum) {
  ServerOptions options = Options(0);
  options.round.update_model_time_window = 300;
  Start(options);
  const std::map<std::string, std::string> changed{{"round_minimum", "1"}};
  ASSERT_TRUE(OnControl(store_->NewInstance("i_2", changed)));
  while (job_->gate().Look().iteration->key().instance != "i_2") {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  EXPECT_EQ(StartJob("d1", 1)->retcode(), 200);
  EXPECT_EQ(Update("d1", 1, AllWeights(2))->retcode(), 200);
  AwaitIteration(2);
  EXPECT_TRUE(ended().back().valid);
}

// Uploads arrive while the window ends. The model is the mean of exactly those that were told that they
// count.
TEST_F(TimeoutTest, TheSumIsThatOfTheAcknowledgedUpdates) {
  constexpr int kDevices = 20, kIterations = 6;
  ServerOptions options = Options(1);
  options.iterations = 100;
  options.round.start_fl_job_threshold = kDevices + 1;  // never reached: the window ends every iteration
  options.round.update_model_time_window = 60;
  Start(options);
  std::mt19937 random(7);
  int refused = 0;
  for (int number = 1; number <= kIterations; ++number) {
    for (int device = 0; device < kDevices; ++device) {
      ASSERT_EQ(StartJob("d" + std::to_string(device), 1)->iteration(), number);
    }
    std::vector<std::future<bool>> uploads;
    for (int device = 0; device < kDevices; ++device) {
      const std::chrono::milliseconds pause(random() % 90);
      uploads.push_back(std::async(std::launch::async, [this, device, number, pause] {
        std::this_thread::sleep_for(pause);
        const float value = std::ldexp(1.0F, device);
        return Update("d" + std::to_string(device), number, AllWeights(value))->retcode() == 200;
      }));
    }
    double sum = 0;
    int counted = 0;
    for (int device = 0; device < kDevices; ++device) {
      if (!uploads[static_cast<std::size_t>(device)].get()) {
        ++refused;
        continue;
      }
      sum += std::ldexp(1.0, device);
      ++counted;
    }
    AwaitIteration(static_cast<std::uint64_t>(number) + 1);
    ASSERT_TRUE(ended().back().valid) << ended().back().reason;
    ASSERT_GT(counted, 0);
    EXPECT_EQ(ended().back().visits.at("updateModelAcceptClientNum"), static_cast<std::uint64_t>(counted));
    EXPECT_EQ(Values(Model(number)->feature_map()).at("a")[0], static_cast<float>(sum / counted));
  }
  EXPECT_GT(refused, 0);
}

}  // namespace
}  // namespace msfl::rounds
