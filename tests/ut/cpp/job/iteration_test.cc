#include "job/iteration.h"

#include <gtest/gtest.h>

#include "base/clock.h"

namespace msfl::job {
namespace {

class IterationTest : public testing::Test {
 protected:
  IterationTest() : pool(BufferPool::Create(0)) {
    model::Feature feature;
    feature.name = "w";
    feature.elements = 1;
    model = model::Model::Make(*model::Layout::Make({feature}), *pool);
  }
  std::shared_ptr<BufferPool> pool;
  std::shared_ptr<model::Model> model;
};

TEST_F(IterationTest, LossAndAccuracyAreMeansWeightedByTheirData) {
  Iteration iteration({"i", 1}, Rules{}, model, *pool);
  iteration.AddMetrics(1.0F, 10, 0.5F, 2);
  iteration.AddMetrics(9.0F, 40, 1.0F, 6);
  EXPECT_FLOAT_EQ(static_cast<float>(iteration.metric_sums().Mean().loss), 7.4F);
  EXPECT_DOUBLE_EQ(iteration.metric_sums().Mean().accuracy, 0.875);
}

TEST_F(IterationTest, WithoutDataTheMeansAreZeroAndNotNaN) {
  Iteration iteration({"i", 1}, Rules{}, model, *pool);
  EXPECT_EQ(iteration.metric_sums().Mean().loss, 0);
  iteration.AddMetrics(1.0F, 10, 0.5F, 0);
  EXPECT_EQ(iteration.metric_sums().Mean().accuracy, 0);
}

TEST_F(IterationTest, TheNextRequestTimeStartsWithTheFirstDeviceAndIsNeverGivenAsPast) {
  Rules rules;
  rules.round_window_sum = 1500;
  Iteration iteration({"i", 1}, rules, model, *pool);
  iteration.began_ms = 5'000;  // long ago
  EXPECT_EQ(iteration.NextRequestTime(), 6'500);
  EXPECT_GT(iteration.FutureRequestTime(), WallMillis());
  iteration.NoteBegin();  // only the first one counts
  EXPECT_EQ(iteration.began_ms, 5'000);
}

TEST_F(IterationTest, VisitsAreNamedAsInTheMetricsFile) {
  Iteration iteration({"i", 1}, Rules{}, model, *pool);
  iteration.visits.start_fl_job.Count(true);
  iteration.visits.start_fl_job.Count(false);
  iteration.visits.update_model.Count(true);
  iteration.visits.update_model.Uncount(true);
  const auto summary = iteration.visits.Summary();
  EXPECT_EQ(summary.size(), 15U);
  EXPECT_EQ(summary.at("startFLJobTotalClientNum"), 2U);
  EXPECT_EQ(summary.at("startFLJobAcceptClientNum"), 1U);
  EXPECT_EQ(summary.at("startFLJobRejectClientNum"), 1U);
  EXPECT_EQ(summary.at("updateModelAcceptClientNum"), 0U);
}

}  // namespace
}  // namespace msfl::job
