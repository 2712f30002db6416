// An iteration whose sum holds an update that is not counted ends as failed, whatever has become of the
// cache.
#include "rounds/round_fixture.h"

namespace msfl::rounds {
namespace {

class SpoiltIterationTest : public RoundTest {};

TEST_F(SpoiltIterationTest, Fails) {
  Start();
  EXPECT_EQ(StartJob("d1", 1)->retcode(), 200);
  job_->NoteSpoilt(*job_->gate().Look().iteration);
  AwaitIteration(2);
  EXPECT_FALSE(ended().at(0).valid);
}

TEST_F(SpoiltIterationTest, FailsWhenTheRecordIsGone) {
  Start();
  EXPECT_EQ(StartJob("d1", 1)->retcode(), 200);
  const auto iteration = job_->gate().Look().iteration;
  ASSERT_TRUE(OnControl(client_->Command({"FLUSHALL"})));
  job_->NoteSpoilt(*iteration);
  AwaitIteration(2);
  EXPECT_FALSE(ended().at(0).valid);
}

}  // namespace
}  // namespace msfl::rounds
