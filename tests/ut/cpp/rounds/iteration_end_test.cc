#include "rounds/plain_text.h"
#include "rounds/round_fixture.h"

namespace msfl::rounds {
namespace {

class IterationEndTest : public RoundTest {
 protected:
  void RunIteration(int number) {
    EXPECT_EQ(StartJob("d1", 1)->retcode(), 200);
    EXPECT_EQ(StartJob("d2", 1)->retcode(), 200);
    EXPECT_EQ(Update("d1", number, AllWeights(1))->retcode(), 200);
    EXPECT_EQ(Update("d2", number, AllWeights(static_cast<float>(number)))->retcode(), 200);
    AwaitIteration(static_cast<std::uint64_t>(number) + 1);
  }
};

TEST_F(IterationEndTest, AfterTheLastOneOnlyModelsAreServed) {
  Start();
  for (int number = 1; number <= 3; ++number) RunIteration(number);
  EXPECT_EQ(AskText("startFLJob", StartRequest("d1", 1)), kDisabledText);
  EXPECT_EQ(AskText("updateModel", UpdateRequest("d1", 3, AllWeights(1))), kDisabledText);
  EXPECT_EQ(Model(3)->retcode(), 200);
  EXPECT_EQ(Values(Model(3)->feature_map()).at("s"), std::vector<float>{8});
  EXPECT_EQ(Result_(3)->retcode(), 200);
  EXPECT_EQ(Model(4)->retcode(), 201);
}

TEST_F(IterationEndTest, ThreeModelsAreKeptAndAnythingElseIsTheLatest) {
  ServerOptions options = Options();
  options.iterations = 10;
  Start(options);
  for (int number = 1; number <= 5; ++number) RunIteration(number);
  const auto scalar = [this](int iteration) { return Values(Model(iteration)->feature_map()).at("s")[0]; };
  EXPECT_EQ(scalar(3), 8);
  EXPECT_EQ(scalar(4), 10);
  EXPECT_EQ(scalar(5), 12);
  for (const int other : {2, 0, -1, 7}) EXPECT_EQ(scalar(other), 12);
}

TEST_F(IterationEndTest, AWindowThatIsOverFailsTheIteration) {
  ServerOptions options = Options();
  options.round.start_fl_job_time_window = 300;
  Start(options);
  StartJob("d1", 1);
  Update("d1", 1, AllWeights(9));
  AwaitIteration(2);
  ASSERT_EQ(ended().size(), 1U);
  EXPECT_FALSE(ended()[0].valid);
  EXPECT_EQ(ended()[0].reason,
            "Round startFLJob timeout! This iteration is invalid. Proceed to next iteration.");
  EXPECT_EQ(Values(Model(1)->feature_map()).at("s"), std::vector<float>{4});  // model 0 again
  EXPECT_EQ(StartJob("d1", 1)->iteration(), 2);
}

TEST_F(IterationEndTest, TheUpdateAndTheGlobalWindowToo) {
  ServerOptions options = Options();
  options.round.update_model_time_window = 300;
  Start(options);
  StartJob("d1", 1);
  StartJob("d2", 1);
  Update("d1", 1, AllWeights(9));
  AwaitIteration(2);
  EXPECT_EQ(ended()[0].reason,
            "Round updateModel timeout! This iteration is invalid. Proceed to next iteration.");
}

TEST_F(IterationEndTest, TheGlobalWindowStartsWithTheFirstDevice) {
  ServerOptions options = Options();
  options.round.global_iteration_time_window = 300;
  Start(options);
  StartJob("d1", 1);
  AwaitIteration(2);
  EXPECT_EQ(ended()[0].reason, "Global timer timeout! This iteration is invalid. Proceed to next iteration.");
}

TEST_F(IterationEndTest, DisableRefusesEverythingAndEnableGoesOnInTheNextIteration) {
  Start();
  StartJob("d1", 1);
  const cache::IterationKey current = job_->gate().Look().iteration->key();
  ASSERT_TRUE(OnControl(store_->SetState(current, cache::InstanceState::kDisable)));
  AwaitIteration(2);
  for (const char* round : {"startFLJob", "updateModel", "getModel", "getResult"}) {
    EXPECT_EQ(AskText(round, StartRequest("d1", 1)), kDisabledText);
  }
  EXPECT_EQ(ended()[0].reason, "Disable instance");
  EXPECT_EQ(ended()[0].state, cache::InstanceState::kDisable);
  const cache::IterationKey next = job_->gate().Look().iteration->key();
  ASSERT_TRUE(OnControl(store_->SetState(next, cache::InstanceState::kRunning)));
  while (job_->gate().Look().service != job::Service::kServing)
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  EXPECT_EQ(StartJob("d1", 1)->iteration(), 2);
}

TEST_F(IterationEndTest, RedisThatComesBackEmptyCostsOneIteration) {
  Start();
  StartJob("d1", 1);
  Update("d1", 1, AllWeights(9));
  redis_.Kill();
  while (AskText("startFLJob", StartRequest("d2", 1)) != kSafemodeText) {
  }
  EXPECT_EQ(Model(0)->retcode(), 200);  // models are served on
  redis_.Start();
  AwaitIteration(2);
  EXPECT_EQ(ended()[0].reason,
            "The instance status info stored in distributed cache is empty, current iteration: 1");
  const auto answer = StartJob("d1", 1);
  EXPECT_EQ(answer->iteration(), 2);
  EXPECT_EQ(Values(answer->feature_map()).at("s"), std::vector<float>{4});
  StartJob("d2", 1);
  Update("d1", 2, AllWeights(1));
  Update("d2", 2, AllWeights(1));
  AwaitIteration(3);
  EXPECT_TRUE(ended()[1].valid);
}

TEST_F(IterationEndTest, RedisThatWasOnlySilentCostsNothing) {
  Start();
  StartJob("d1", 1);
  StartJob("d2", 1);
  Update("d1", 1, AllWeights(1));
  redis_.Pause();
  while (AskText("startFLJob", StartRequest("d3", 1)) == kSafemodeText) {
    redis_.Continue();
  }
  redis_.Continue();
  while (AskText("updateModel", UpdateRequest("d2", 1, AllWeights(3))) == kSafemodeText) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  AwaitIteration(2);
  EXPECT_TRUE(ended()[0].valid);
  EXPECT_EQ(Values(Model(1)->feature_map()).at("s"), std::vector<float>{8});
}

TEST_F(IterationEndTest, APlaceWhoseAnswerWasLostIsGivenBack) {
  Start();
  StartJob("d1", 1);
  StartJob("d2", 1);
  Update("d1", 1, AllWeights(1));
  // Redis has the request, but is too slow to answer; it runs it when it goes on.
  redis_.Pause();
  EXPECT_EQ(AskText("updateModel", UpdateRequest("d2", 1, AllWeights(3))), kSafemodeText);
  redis_.Continue();
  while (AskText("updateModel", UpdateRequest("d2", 1, AllWeights(3))) == kSafemodeText) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  AwaitIteration(2);
  EXPECT_TRUE(ended()[0].valid);
  EXPECT_EQ(Values(Model(1)->feature_map()).at("s"), std::vector<float>{8});
}

TEST_F(IterationEndTest, SoIsTheOneOfStartFlJob) {
  Start();
  StartJob("d1", 1);
  redis_.Pause();
  EXPECT_EQ(AskText("startFLJob", StartRequest("d2", 1)), kSafemodeText);
  redis_.Continue();
  while (AskText("startFLJob", StartRequest("d2", 1)) == kSafemodeText) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  // d2 or, if its request was withdrawn later than repeated, anybody has the second place: the round is full.
  EXPECT_EQ(StartJob("d3", 1)->retcode(), 300);
}

TEST_F(IterationEndTest, WhoAsksWhileTheFilesAreWrittenWaitsForTheNextIteration) {
  ServerOptions options = Options();
  options.round.start_fl_job_threshold = 1;
  options.iterations = 100;
  Start(options);
  // Devices that hammer the Server see each iteration number exactly once and no safemode text.
  for (int number = 1; number <= 30; ++number) {
    const auto answer = StartJob("d1", 1);
    EXPECT_EQ(answer->retcode(), 200);
    EXPECT_EQ(answer->iteration(), number);
    EXPECT_EQ(Update("d1", number, AllWeights(1))->retcode(), 200);
    while (Model(number)->retcode() == 201) {
    }
  }
}

TEST_F(IterationEndTest, AStoppedJobIsOverForTheDevicesAndEndsTheServer) {
  Start();
  const cache::IterationKey current = job_->gate().Look().iteration->key();
  ASSERT_TRUE(OnControl(store_->SetState(current, cache::InstanceState::kStop)));
  running_.wait();
  for (const char* round : {"startFLJob", "updateModel", "getModel", "getResult"}) {
    EXPECT_EQ(AskText(round, StartRequest("d1", 1)), kDisabledText);
  }
}

TEST_F(IterationEndTest, AStoppingServerSaysSafemode) {
  Start();
  job_->RequestStop();
  for (const char* round : {"startFLJob", "updateModel", "getModel", "getResult"}) {
    EXPECT_EQ(AskText(round, StartRequest("d1", 1)), kSafemodeText);
  }
}

}  // namespace
}  // namespace msfl::rounds
