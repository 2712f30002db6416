// Devices in the field quit the job when they are refused twice in an iteration: who came back as it was told
// waits.
#include "rounds/plain_text.h"
#include "rounds/round_fixture.h"

namespace msfl::rounds {
namespace {

class RefusedAgainTest : public RoundTest {
 protected:
  using Started = Answer<schema::ResponseFLJob>;

  std::future<Started> StartLater(const std::string& fl_id) {
    return std::async(std::launch::async, [this, fl_id] { return StartJob(fl_id, 1); });
  }
  // It was refused in this iteration, and the time that it was told has come.
  void ComesBack(const std::string& fl_id, std::uint64_t iteration) {
    context_->returning.Note(HashDevice(fl_id), iteration, 0);
  }
  void EndIteration(int number) {
    Update("d1", number, AllWeights(1));
    Update("d2", number, AllWeights(3));
  }
  std::uint64_t Refused(std::size_t iteration) {
    return ended().at(iteration).visits.at("startFLJobRejectClientNum");
  }
};

TEST_F(RefusedAgainTest, AFullIteration) {
  Start();
  for (const char* id : {"d1", "d2"}) EXPECT_EQ(StartJob(id, 1)->retcode(), 200);
  EXPECT_EQ(StartJob("d3", 1)->retcode(), 300);
  EXPECT_EQ(StartJob("d3", 1)->retcode(), 300) << "before its time";
  ComesBack("d3", 1);
  std::future<Started> third = StartLater("d3");
  AwaitHeld(1);
  EndIteration(1);
  const Started started = third.get();
  EXPECT_EQ(started->retcode(), 200);
  EXPECT_EQ(started->iteration(), 2);
  EXPECT_EQ(context_->held->held(), 0U);
}

// Another Server refused it, or this one before it was restarted, or in the iteration of that number before a
// new instance: its request says so.
TEST_F(RefusedAgainTest, ByAnotherServer) {
  Start();
  for (const char* id : {"d1", "d2"}) EXPECT_EQ(StartJob(id, 1)->retcode(), 200);
  std::future<Started> third =
      std::async(std::launch::async, [this] { return StartJob("d3", 1, 0, /*claimed=*/1); });
  AwaitHeld(1);
  EXPECT_EQ(StartJob("d4", 1, 0, /*claimed=*/0)->retcode(), 300) << "was not in this iteration yet";
  EXPECT_EQ(StartJob("d4", 1, 0, /*claimed=*/1)->retcode(), 300) << "comes before the time that it was told";
  EndIteration(1);
  EXPECT_EQ(third.get()->iteration(), 2);
}

// Some may take their places again, so the cache is asked who they are although the round is full.
TEST_F(RefusedAgainTest, WhileOthersMayStartAgain) {
  Start();
  for (const char* id : {"d1", "d2"}) EXPECT_EQ(StartJob(id, 1)->retcode(), 200);
  EXPECT_EQ(StartJob("d3", 1)->retcode(), 300);
  redis_.Pause();
  EXPECT_EQ(AskText("updateModel", UpdateRequest("d1", 1, AllWeights(1))), kSafemodeText);
  redis_.Continue();
  while (context_->withdrawing() || job_->gate().Look().service != job::Service::kServing) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  EXPECT_TRUE(job_->gate().Look().iteration->some_start_again);
  EXPECT_EQ(StartJob("d4", 1)->retcode(), 300) << "who was told nothing";
  ComesBack("d3", 1);
  std::future<Started> third = StartLater("d3");
  AwaitHeld(1);
  EXPECT_EQ(StartJob("d1", 1)->retcode(), 200) << "it has its place";
  EndIteration(1);
  const Started started = third.get();
  EXPECT_EQ(started->retcode(), 200);
  EXPECT_EQ(started->iteration(), 2);
  EXPECT_FALSE(job_->gate().Look().iteration->some_start_again);
}

TEST_F(RefusedAgainTest, ASilentCacheIsOwedNoMoreThanThereAreConnections) {
  ServerOptions options = Options();
  options.round.start_fl_job_threshold = 4;
  options.connection_limit = 2;
  Start(options);
  for (const char* id : {"d1", "d2", "d3", "d4"}) EXPECT_EQ(StartJob(id, 1)->retcode(), 200);
  redis_.Pause();
  while (job_->gate().Look().service == job::Service::kServing) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  for (const char* id : {"d1", "d2", "d3", "d4"}) {
    EXPECT_EQ(AskText("updateModel", UpdateRequest(id, 1, AllWeights(1))), kSafemodeText);
  }
  redis_.Continue();
  while (context_->withdrawing() || job_->gate().Look().service != job::Service::kServing) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  for (const char* id : {"d1", "d2"}) EXPECT_EQ(StartJob(id, 1)->retcode(), 200);
  for (const char* id : {"d3", "d4"}) EXPECT_EQ(StartJob(id, 1)->retcode(), 300);
}

// Its answer to startFLJob was lost, and the request by which it asked again met a silent cache.
TEST_F(RefusedAgainTest, AStartThatWasGivenUpKeepsItsPlaceInAFullIteration) {
  Start();
  for (const char* id : {"d1", "d2"}) EXPECT_EQ(StartJob(id, 1)->retcode(), 200);
  // What the cache has told of the full round is heard before its answer to the second question.
  for (int i = 0; i < 2; ++i) ASSERT_TRUE(OnControl(client_->Command({"PING"})));
  job_->gate().Look().iteration->start_fl_job_full = false;  // as if it had opened again unheard
  redis_.Pause();
  EXPECT_EQ(AskText("startFLJob", StartRequest("d1", 1)), kSafemodeText);
  redis_.Continue();
  while (context_->withdrawing() || job_->gate().Look().service != job::Service::kServing) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  job_->gate().Look().iteration->start_fl_job_full = true;
  const Started again = StartJob("d1", 1);
  EXPECT_EQ(again->retcode(), 200);
  EXPECT_EQ(again->iteration(), 1);
  EndIteration(1);
  AwaitIteration(2);
  EXPECT_TRUE(ended()[0].valid);
}

// Its update came too late: it is told when to start again, and does.
TEST_F(RefusedAgainTest, AnUpdateBeyondTheThreshold) {
  ServerOptions options = Options();
  options.round.start_fl_job_threshold = 4;
  options.round.update_model_ratio = 0.75;
  Start(options);
  for (const char* id : {"d1", "d2", "d3", "d4"}) EXPECT_EQ(StartJob(id, 1)->retcode(), 200);
  EndIteration(1);
  job_->gate().Look().iteration->update_model_full = true;  // as other Servers' updates would have it
  const auto late = Update("d3", 1, AllWeights(5));
  EXPECT_EQ(late->retcode(), 300);
  EXPECT_EQ(late->reason()->str(), "Current amount for updateModel is enough. Please retry later.");
  job_->gate().Look().iteration->update_model_full = false;
  ComesBack("d3", 1);
  std::future<Started> third = StartLater("d3");
  AwaitHeld(1);
  EXPECT_EQ(Update("d4", 1, AllWeights(5))->retcode(), 200);
  EXPECT_EQ(third.get()->iteration(), 2);
}

// It started at another Server, where the next iteration was open first. Here the last update was counted, so
// this one knows without the cache that the iteration is full; which iteration is another matter.
TEST_F(RefusedAgainTest, AnUpdateOfTheNextIterationAtAServerThatIsNotThereYet) {
  hold_records_ = true;
  Start();
  for (const char* id : {"d1", "d2"}) EXPECT_EQ(StartJob(id, 1)->retcode(), 200);
  const cache::IterationKey first = job_->gate().Look().iteration->key();
  EndIteration(1);
  while (ended().empty()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  cache::JoinRequest elsewhere;
  elsewhere.iteration = {first.instance, 2};
  elsewhere.fl_id = "d1";
  elsewhere.data_size = 1;
  elsewhere.nonce = "elsewhere";
  const auto joined = OnControl(store_->Join(elsewhere));
  ASSERT_TRUE(joined);
  EXPECT_EQ(joined->verdict, cache::JoinVerdict::kAccepted);

  EXPECT_EQ(Update("d3", 1, AllWeights(5))->reason()->str(),
            "Current amount for updateModel is enough. Please retry later.");
  auto early = std::async(std::launch::async, [this] { return Update("d1", 2, AllWeights(5)); });
  EXPECT_EQ(early.wait_for(std::chrono::milliseconds(30)), std::future_status::timeout);
  job_->NoteRecorded(1);
  EXPECT_EQ(early.get()->retcode(), 200);
}

TEST_F(RefusedAgainTest, ALittleEarly) {
  ServerOptions options = Options();
  options.round.start_fl_job_time_window = 1000;
  options.round.update_model_time_window = 1000;
  Start(options);
  for (const char* id : {"d1", "d2"}) EXPECT_EQ(StartJob(id, 1)->retcode(), 200);
  const std::int64_t told = std::stoll(StartJob("d3", 1)->next_req_time()->str());
  while (WallMillis() < told - 400) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  std::future<Started> third = StartLater("d3");
  AwaitHeld(1);
  EndIteration(1);
  EXPECT_EQ(third.get()->iteration(), 2);
}

TEST_F(RefusedAgainTest, ItsOwnRequestThatItKnowsNothingOf) {
  Start();
  EXPECT_EQ(StartJob("d1", 1)->retcode(), 200);
  EXPECT_EQ(StartJob("d1", 1)->reason()->str(), "Updating device metadata failed for fl id d1");
  ComesBack("d1", 1);
  std::future<Started> again = StartLater("d1");
  AwaitHeld(1);
  EXPECT_EQ(StartJob("d2", 1)->retcode(), 200);
  EndIteration(1);
  const Started started = again.get();
  EXPECT_EQ(started->retcode(), 200);
  EXPECT_EQ(started->iteration(), 2);
  EXPECT_EQ(Refused(0), 1U) << "the answers that were given";
}

TEST_F(RefusedAgainTest, HalfOfTheConnectionsAreLeftToOthers) {
  ServerOptions options = Options();
  options.connection_limit = 5;
  options.hold_ms = 600'000;
  Start(options);
  for (const char* id : {"d1", "d2"}) EXPECT_EQ(StartJob(id, 1)->retcode(), 200);
  std::vector<std::future<Started>> held;
  for (const char* id : {"d3", "d4"}) {
    ComesBack(id, 1);
    held.push_back(StartLater(id));
  }
  AwaitHeld(2);
  ComesBack("d5", 1);
  EXPECT_EQ(StartJob("d5", 1)->retcode(), 300);
  EXPECT_EQ(Result_(1)->retcode(), 201);
  EndIteration(1);
  for (auto& one : held) EXPECT_EQ(one.get()->retcode(), 200);
}

TEST_F(RefusedAgainTest, NotBeyondAStop) {
  Start();
  EXPECT_EQ(StartJob("d1", 1)->retcode(), 200);
  ComesBack("d1", 1);
  auto again =
      std::async(std::launch::async, [this] { return AskText("startFLJob", StartRequest("d1", 1)); });
  AwaitHeld(1);
  job_->RequestStop();
  EXPECT_EQ(again.get(), kSafemodeText);
}

}  // namespace
}  // namespace msfl::rounds
