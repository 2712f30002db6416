// With `compatibility: "0.2"`: what ours does better for devices, and how 0.2 did it.
#include "base/clock.h"
#include "rounds/plain_text.h"
#include "rounds/round_fixture.h"

namespace msfl::rounds {
namespace {

class Release02Test : public RoundTest {
 protected:
  static ServerOptions As02() {
    ServerOptions options = Options();
    options.as_release_0_2 = true;
    return options;
  }
};

TEST_F(Release02Test, WhoComesBackIsRefusedAtOnce) {
  Start(As02());
  for (const char* id : {"d1", "d2"}) EXPECT_EQ(StartJob(id, 1)->retcode(), 200);
  for (int again = 0; again < 3; ++again) {
    for (const char* id : {"d1", "d3"}) {
      const auto refused = StartJob(id, 1, 0, /*claimed=*/1);
      EXPECT_EQ(refused->retcode(), 300);
      EXPECT_EQ(refused->reason()->str(),
                "Current amount for startFLJob has reached the threshold. Please startFLJob later.");
    }
    context_->returning.Note(HashDevice("d3"), 1, 0);
  }
}

TEST_F(Release02Test, TheRequestTimeIsThatOfTheWindowsEvenIfItIsOver) {
  ServerOptions options = As02();
  options.round.start_fl_job_time_window = 1'500;
  options.round.update_model_time_window = 1'000;
  Start(options);
  job_->gate().Look().iteration->began_ms = WallMillis() - 60'000;
  const std::int64_t began = job_->gate().Look().iteration->began_ms;
  EXPECT_EQ(StartJob("d1", 0)->next_req_time()->str(), std::to_string(began + 2'500));
}

TEST_F(Release02Test, AServerThatStopsSaysThatTheJobIsOver) {
  Start(As02());
  EXPECT_EQ(StartJob("d1", 1)->retcode(), 200);
  job_->RequestStop();
  EXPECT_EQ(AskText("startFLJob", StartRequest("d2", 1)), kDisabledText);
}

}  // namespace
}  // namespace msfl::rounds
