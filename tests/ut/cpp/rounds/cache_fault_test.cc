// Redis that goes away, falls silent or refuses, at the steps of an iteration.
#include <algorithm>
#include <chrono>
#include <mutex>

#include "base/clock.h"
#include "base/log.h"
#include "rounds/plain_text.h"
#include "rounds/round_fixture.h"

namespace msfl::rounds {
namespace {

class CacheFaultTest : public RoundTest {
 protected:
  void SetUp() override {
    SetLogSink([this](const LogLine& line) {
      const std::lock_guard lock(lines_mutex_);
      lines_.push_back(line.text);
    });
  }
  void TearDown() override {
    RoundTest::TearDown();
    SetLogSink({});
  }

  std::ptrdiff_t LinesWith(const std::string& text) {
    const std::lock_guard lock(lines_mutex_);
    return std::ranges::count_if(
        lines_, [&](const std::string& line) { return line.find(text) != std::string::npos; });
  }
  void AwaitLines(const std::string& text, std::ptrdiff_t count) {
    while (LinesWith(text) < count) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  void Tell(std::vector<std::string> command) {
    const Result<cache::RedisValue> answer = OnControl(client_->Command(std::move(command)));
    ASSERT_TRUE(answer) << answer.error().text;
  }

 private:
  std::mutex lines_mutex_;
  std::vector<std::string> lines_;
};

TEST_F(CacheFaultTest, AFinishedJobSaysSoWithoutTheCache) {
  ServerOptions options = Options();
  options.iterations = 1;
  options.round.start_fl_job_threshold = 1;
  Start(options);
  StartJob("d1", 1);
  Update("d1", 1, AllWeights(1));
  AwaitIteration(2);
  redis_.Kill();
  AwaitLines("the distributed cache can't be reached", 1);
  EXPECT_EQ(AskText("startFLJob", StartRequest("d1", 1)), kDisabledText);
  EXPECT_EQ(Model(1)->retcode(), 200);
}

TEST_F(CacheFaultTest, ACacheThatRefusesToWriteIsAskedWithPauses) {
  ServerOptions options = Options();
  options.round.start_fl_job_time_window = 100;
  Start(options);
  const SteadyClock::time_point began = SteadyClock::now();
  EXPECT_EQ(StartJob("d1", 1)->retcode(), 200);
  Tell({"CONFIG", "SET", "min-replicas-to-write", "1"});
  AwaitLines("the distributed cache is back", 3);
  const auto tries = LinesWith("the distributed cache is back");
  EXPECT_LE(tries, (SteadyClock::now() - began) / std::chrono::milliseconds(200));
  EXPECT_EQ(AskText("startFLJob", StartRequest("d2", 1)), kSafemodeText);
  Tell({"CONFIG", "SET", "min-replicas-to-write", "0"});
  AwaitIteration(2);
  EXPECT_EQ(StartJob("d1", 1)->iteration(), 2);
}

TEST_F(CacheFaultTest, AGateThatWasLeftShutOpensAgain) {
  Start();
  job_->gate().Shut();
  job_->NoteMoved();
  EXPECT_EQ(StartJob("d1", 1)->retcode(), 200);
}

// As when a lease was given away while its holder was still adding.
TEST_F(CacheFaultTest, AnUpdateThatIsAddedButNotCountedIsInNoModel) {
  Start();
  StartJob("d1", 1);
  StartJob("d2", 1);
  const std::shared_ptr<job::Iteration> iteration = job_->gate().Look().iteration;
  const std::vector<float> values{1, 1, 1};
  const std::vector<model::Contribution> upload{{0, values.data()}};
  model::RunningSum::Addition unfinished(iteration->sum, upload, 1000);
  Update("d1", 1, AllWeights(1));
  Update("d2", 1, AllWeights(1));
  AwaitIteration(2);
  EXPECT_FALSE(ended()[0].valid);
  EXPECT_EQ(ended()[0].reason, job::AggregationFailedReason(1));
  EXPECT_EQ(Values(Model(1)->feature_map()).at("s"), std::vector<float>{4});
}

TEST(VerifiedRootTest, RefusesMoreBytesThanOffsetsCanReach) {
  const std::uint8_t byte = 0;
  net::HttpRequest request;
  request.body = {&byte, FLATBUFFERS_MAX_BUFFER_SIZE};  // refused before it is read
  EXPECT_EQ(VerifiedRoot<schema::RequestGetModel>(request), nullptr);
}

}  // namespace
}  // namespace msfl::rounds
