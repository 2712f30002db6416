#include "job/rules.h"

#include <gtest/gtest.h>

namespace msfl::job {
namespace {

TEST(UpdateThresholdTest, IsTheCeilingOfAFloat32Product) {
  EXPECT_EQ(UpdateThreshold(1, 1.0), 1U);
  EXPECT_EQ(UpdateThreshold(3, 0.5), 2U);
  EXPECT_EQ(UpdateThreshold(10, 0.1), 1U);  // in float64, 0.1F * 10 would be just above 1
  EXPECT_EQ(UpdateThreshold(1000, 0.001), 1U);
  EXPECT_EQ(UpdateThreshold(7, 0.999), 7U);
}

TEST(MakeRulesTest, TakesTheOptionsWhenTheCacheIsSilent) {
  ServerOptions options;
  options.iterations = 5;
  options.round.start_fl_job_threshold = 4;
  options.round.update_model_ratio = 0.5;
  options.round.start_fl_job_time_window = 500;  // windows keep their milliseconds
  options.round.update_model_time_window = 700;
  const Result<Rules> rules = MakeRules(options, {});
  ASSERT_TRUE(rules);
  EXPECT_EQ(rules->thresholds.start_fl_job, 4U);
  EXPECT_EQ(rules->thresholds.update_model, 2U);
  EXPECT_EQ(rules->round_window_sum(), 1200U);
  EXPECT_EQ(rules->iterations, 5U);
}

TEST(MakeRulesTest, AdoptsEveryNumberTheCacheNames) {
  const Result<Rules> rules = MakeRules(ServerOptions{}, {{"start_fl_job_threshold", "10"},
                                                          {"update_model_ratio", "0.3"},
                                                          {"global_iteration_time_window", "9000"},
                                                          {"fl_iteration_num", "77"},
                                                          {"client_learning_rate", "0.25"},
                                                          {"client_batch_size", "8"},
                                                          {"secure_aggregation", "false"}});
  ASSERT_TRUE(rules);
  EXPECT_EQ(rules->thresholds.update_model, 3U);
  EXPECT_EQ(rules->windows.global_iteration, 9000U);
  EXPECT_EQ(rules->iterations, 77U);
  EXPECT_EQ(rules->plan.learning_rate, 0.25F);
  EXPECT_EQ(rules->plan.batch_size, 8);
}

TEST(MakeRulesTest, RefusesACachedValueThatIsNoNumber) {
  for (const char* text : {"", "12x", "-3", "many"}) {
    const Result<Rules> rules = MakeRules(ServerOptions{}, {{"start_fl_job_threshold", text}});
    ASSERT_FALSE(rules) << text;
    EXPECT_EQ(rules.error().code, Errc::kDisagreement);
    EXPECT_NE(rules.error().text.find("start_fl_job_threshold"), std::string::npos);
  }
}

TEST(MakeRulesTest, RefusesWhatNoIterationCanRunBy) {
  const std::pair<const char*, const char*> values[] = {
      {"start_fl_job_threshold", "0"}, {"start_fl_job_threshold", "4294967296"},
      {"update_model_ratio", "0"},     {"update_model_ratio", "-0.5"},
      {"update_model_ratio", "1.5"},   {"update_model_ratio", "nan"},
      {"update_model_ratio", "inf"}};
  for (const auto& [key, value] : values) {
    const Result<Rules> rules = MakeRules(ServerOptions{}, {{key, value}});
    ASSERT_FALSE(rules) << key << ' ' << value;
    EXPECT_EQ(rules.error().code, Errc::kDisagreement);
    EXPECT_NE(rules.error().text.find(key), std::string::npos);
  }
}

}  // namespace
}  // namespace msfl::job
