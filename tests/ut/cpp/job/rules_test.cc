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
  EXPECT_EQ(rules->round_window_sum, 1200U);
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

TEST(MakeRulesTest, TheMinimumIsNeverMoreThanWhatCompletesAnIteration) {
  ServerOptions options;
  options.round.start_fl_job_threshold = 4;
  options.round.update_model_ratio = 0.5;
  for (const auto& [minimum, effective] :
       {std::pair<std::uint64_t, std::uint64_t>{0, 0}, {1, 1}, {2, 2}, {9, 2}}) {
    options.round.minimum = minimum;
    EXPECT_EQ(MakeRules(options, {})->thresholds.minimum, effective);
  }
  EXPECT_EQ(MakeRules(options, {{"round_minimum", "0"}})->thresholds.minimum, 0U);
  EXPECT_EQ(MakeRules(options, {{"round_minimum", "1"}})->thresholds.minimum, 1U);
}

TEST(AdoptCipherTest, DevicesAreToldWhatTheRunningInstanceHas) {
  ServerOptions options;
  options.dp_eps = 1;
  options.upload_sparse_rate = 0.5F;
  const Result<ServerOptions> adopted = AdoptCipher(
      options, {{"encrypt_type", "DP_ENCRYPT"}, {"dp_eps", "2.5"}, {"sign_dim_out", "7"}, {"other", "x"}});
  ASSERT_TRUE(adopted);
  EXPECT_EQ(adopted->encrypt_type, "DP_ENCRYPT");
  EXPECT_EQ(adopted->dp_eps, 2.5F);
  EXPECT_EQ(adopted->sign_dim_out, 7);
  EXPECT_EQ(adopted->upload_sparse_rate, 0.5F);
  EXPECT_FALSE(AdoptCipher(options, {{"dp_eps", "much"}}));
}

TEST(CompareHyperParametersTest, TlsAndDeviceCertificatesMustBeEqual) {
  for (const char* name : {"enable_ssl", "pki_verify"}) {
    const HyperParameters file{{name, "true"}, {"fl_iteration_num", "1"}};
    EXPECT_TRUE(CompareHyperParameters(file, file));
    EXPECT_TRUE(CompareHyperParameters(file, {}));
    const Result<void> compared = CompareHyperParameters(file, {{name, "false"}, {"fl_iteration_num", "2"}});
    ASSERT_FALSE(compared);
    EXPECT_EQ(compared.error().code, Errc::kDisagreement);
    EXPECT_EQ(compared.error().text.find(std::string("Context '") + name +
                                         "' true of local != that false declared in distributed cache."),
              0U);
    EXPECT_NE(compared.error().text.find("`msfl reset`"), std::string::npos);
  }
}

TEST(OtherSettingsTest, EachDifferenceIsNamed) {
  const HyperParameters file{{"compatibility", ""}, {"new", "1"}, {"server_mode", "A"}, {"same", "x=y"}};
  const HyperParameters theirs{{"compatibility", "0.2"}, {"old", "2"}, {"server_mode", "B"}, {"same", "x=y"}};
  const Error error = OtherSettings(file, SettingsText(theirs));
  EXPECT_EQ(error.code, Errc::kDisagreement);
  EXPECT_EQ(error.text,
            "the Servers of this job that are running have other settings:"
            "\n  compatibility: this Server's file says '', they have '0.2'"
            "\n  new: this Server's file says '1', they have none"
            "\n  server_mode: this Server's file says 'A', they have 'B'"
            "\n  old: this Server's file says nothing, they have '2'"
            "\nStart every Server of a job alike, or end the others first");
}

TEST(MakeRulesTest, Release02CutsWindowsToWholeSeconds) {
  ServerOptions options;
  options.as_release_0_2 = true;
  options.round.start_fl_job_time_window = 2'999;
  options.round.update_model_time_window = 999;
  const Result<Rules> rules = MakeRules(options, {{"global_iteration_time_window", "30000"}});
  ASSERT_TRUE(rules);
  EXPECT_EQ(rules->windows.start_fl_job, 2'000U);
  EXPECT_EQ(rules->windows.update_model, 1U);
  EXPECT_EQ(rules->windows.global_iteration, 30'000U);
  EXPECT_EQ(rules->round_window_sum, 3'998U) << "devices are told the whole windows";
}

TEST(AdoptedValuesTest, EachThatDiffersIsNamed) {
  const HyperParameters file{{"client_learning_rate", "0.01"}, {"dp_eps", "50.0"},
                             {"encrypt_type", "NOT_ENCRYPT"},  {"fl_iteration_num", "16777217"},
                             {"round_minimum", "1"},           {"start_fl_job_threshold", "2"}};
  EXPECT_TRUE(AdoptedValues(file, file).empty());
  EXPECT_TRUE(AdoptedValues(file, {}).empty());
  const HyperParameters cached{{"client_learning_rate", "0.029999999329447746"},
                               {"dp_eps", "50"},
                               {"encrypt_type", "DP_ENCRYPT"},
                               {"fl_iteration_num", "16777216"},
                               {"start_fl_job_threshold", "2"}};
  EXPECT_EQ(AdoptedValues(file, cached),
            (std::vector<std::string>{
                "client_learning_rate: file says 0.01, the running instance has 0.029999999329447746",
                "encrypt_type: file says NOT_ENCRYPT, the running instance has DP_ENCRYPT",
                "fl_iteration_num: file says 16777217, the running instance has 16777216"}));
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
