#include <cmath>
#include <limits>

#include "base/clock.h"
#include "rounds/plain_text.h"
#include "rounds/round_fixture.h"

namespace msfl::rounds {
namespace {

class UpdateModelTest : public RoundTest {};

bool StartsWith(const std::string& text, const std::string& prefix) { return text.rfind(prefix, 0) == 0; }

TEST_F(UpdateModelTest, TheModelIsTheSumDividedByTheData) {
  Start();
  EXPECT_EQ(StartJob("d1", 16)->retcode(), 200);
  EXPECT_EQ(StartJob("d2", 8)->retcode(), 200);
  const auto first = Update("d1", 1, AllWeights(24));
  EXPECT_EQ(first->retcode(), 200);
  EXPECT_EQ(first->reason()->str(), "success not ready");
  EXPECT_EQ(Model(1)->retcode(), 201);
  EXPECT_EQ(Result_(1)->retcode(), 201);
  EXPECT_EQ(Update("d2", 1, AllWeights(48))->retcode(), 200);
  AwaitIteration(2);
  const auto model = Model(1);
  EXPECT_EQ(model->retcode(), 200);
  EXPECT_EQ(model->reason()->str(), "Get model for iteration 1");
  EXPECT_EQ(model->iteration(), 2);
  EXPECT_EQ(Values(model->feature_map()),
            (Weights{{"a", {3, 6, 9}}, {"s", {12}}}));  // 72 / 24, only aggregated ones
  EXPECT_EQ(Result_(1)->reason()->str(), "Get result for iteration 1");
  // The next iteration starts from it; what is not aggregated keeps its value.
  EXPECT_EQ(Values(StartJob("d1")->feature_map()), (Weights{{"a", {3, 6, 9}}, {"s", {12}}, {"z", {5, 6}}}));
}

TEST_F(UpdateModelTest, EachFeatureIsDividedByTheDataThatArrivedForIt) {
  Start();
  StartJob("d1", 10);
  StartJob("d2", 30);
  EXPECT_EQ(Update("d1", 1, {{"a", {10, 10, 10}}})->retcode(), 200);
  EXPECT_EQ(Update("d2", 1, {{"a", {30, 70, 110}}, {"z", {7, 7}}})->retcode(), 200);
  AwaitIteration(2);
  // Nobody sent `s`: it keeps its value. What was sent for `z` is ignored.
  EXPECT_EQ(Values(StartJob("d1")->feature_map()), (Weights{{"a", {1, 2, 3}}, {"s", {4}}, {"z", {5, 6}}}));
}

TEST_F(UpdateModelTest, ChecksInTheSpecifiedOrder) {
  Start();
  StartJob("d1");
  StartJob("d2");
  const Weights wrong = {{"a", {1, 2}}};
  // Not joined comes before the iteration, the iteration before the content, the content before the
  // duplicate.
  EXPECT_EQ(Update("d9", 2, wrong)->reason()->str(), "devices_meta for d9 is not set. Please retry later.");
  const std::string iteration = Update("d1", 2, wrong)->reason()->str();
  EXPECT_TRUE(StartsWith(
      iteration, "UpdateModel iteration number is invalid:2, current iteration:1, Retry later at time: "))
      << iteration;
  EXPECT_NE(iteration.find(", fl id is d1"), std::string::npos);
  const auto content = Update("d1", 1, wrong);
  EXPECT_EQ(content->retcode(), 400);
  EXPECT_TRUE(StartsWith(content->reason()->str(), "Verify model feature map failed, retry later at time: "));
  // A refusal leaves no trace.
  EXPECT_EQ(Update("d1", 1, AllWeights(1))->retcode(), 200);
  EXPECT_EQ(Update("d1", 1, wrong)->retcode(), 400);
  const auto again = Update("d1", 1, AllWeights(2));
  EXPECT_EQ(again->retcode(), 300);
  EXPECT_EQ(again->reason()->str(), "Updating metadata of UpdateModelClientList failed for fl id d1");
  EXPECT_GT(std::stoll(again->next_req_time()->str()), WallMillis());
}

TEST_F(UpdateModelTest, BeyondTheThresholdEverythingIsEnoughWhileTheSwitchGoesOn) {
  ServerOptions options = Options();
  options.round.update_model_ratio = 0.5;
  hold_records_ = true;
  Start(options);
  StartJob("d1");
  StartJob("d2");
  EXPECT_EQ(Update("d1", 1, AllWeights(1))->retcode(), 200);
  for (const std::string fl_id : {"d1", "d2", "d9"}) {
    const auto answer = Update(fl_id, 1, AllWeights(2));
    EXPECT_EQ(answer->retcode(), 300);
    EXPECT_EQ(answer->reason()->str(), "Current amount for updateModel is enough. Please retry later.");
  }
  while (ended().empty()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  job_->NoteRecorded(1);
  AwaitIteration(2);
}

TEST_F(UpdateModelTest, ContentThatIsNotTheModelsIsRefused) {
  Start();
  StartJob("d1");
  const float nan = std::numeric_limits<float>::quiet_NaN(), inf = std::numeric_limits<float>::infinity();
  const std::vector<Weights> bad = {
      {},                                                         // nothing
      {{"unknown", {1}}},                                         // a name the model does not have
      {{"a", {1, 2, 3, 4}}},                                      // a wrong size
      {{"a", {}}},                                                // no value
      {{"z", {1}}},                                               // a wrong size, though not aggregated
      {{"a", {1, nan, 3}}},                                       // not a number
      {{"a", {1, 2, 3}}, {"s", {-inf}}},                          // infinite
      {{"a", {1, 2, 3}}, {"b", {1}}, {"s", {1}}, {"z", {1, 2}}},  // more features than the model
  };
  for (const Weights& weights : bad) {
    const auto answer = Update("d1", 1, weights);
    EXPECT_EQ(answer->retcode(), 400);
    EXPECT_TRUE(
        StartsWith(answer->reason()->str(), "Verify model feature map failed, retry later at time: "));
  }
  EXPECT_EQ(Update("d1", 1, AllWeights(1))->retcode(), 200);
}

TEST_F(UpdateModelTest, TheSameFeatureTwiceIsRefused) {
  Start();
  StartJob("d1");
  flatbuffers::FlatBufferBuilder builder;
  const auto name = builder.CreateString("s");
  const auto data = builder.CreateVector(std::vector<float>{1});
  const std::vector<flatbuffers::Offset<schema::FeatureMap>> twice = {
      schema::CreateFeatureMap(builder, name, data), schema::CreateFeatureMap(builder, name, data)};
  const auto map = builder.CreateVector(twice);
  const auto id = builder.CreateString("d1");
  schema::RequestUpdateModelBuilder request(builder);
  request.add_fl_id(id);
  request.add_iteration(1);
  request.add_feature_map(map);
  request.add_timestamp(id);
  builder.Finish(request.Finish());
  EXPECT_EQ(AskTable<schema::ResponseUpdateModel>("updateModel", Bytes(builder))->retcode(), 400);
}

TEST_F(UpdateModelTest, MalformedFieldsAreRefusedBeforeAnythingElse) {
  Start();
  const std::string reason = "Verify flatbuffers schema failed for RequestUpdateModel.";
  const float nan = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(Update("nobody", 9, AllWeights(1), nan)->reason()->str(), reason);
  EXPECT_EQ(Update("nobody", 9, AllWeights(1), 0, nan)->reason()->str(), reason);
  for (int absent = 0; absent < 3; ++absent) {
    flatbuffers::FlatBufferBuilder builder;
    const auto text = builder.CreateString("x");
    const auto map = builder.CreateVector(std::vector<flatbuffers::Offset<schema::FeatureMap>>());
    schema::RequestUpdateModelBuilder request(builder);
    if (absent != 0) request.add_fl_id(text);
    if (absent != 1) request.add_timestamp(text);
    if (absent != 2) request.add_feature_map(map);
    builder.Finish(request.Finish());
    const auto answer = AskTable<schema::ResponseUpdateModel>("updateModel", Bytes(builder));
    EXPECT_EQ(answer->retcode(), 400);
    EXPECT_EQ(answer->reason()->str(), reason);
    EXPECT_EQ(answer->next_req_time()->str(), "");
  }
  const auto unreadable = AskTable<schema::ResponseUpdateModel>("updateModel", Bytes8(64, 0xFF));
  EXPECT_EQ(unreadable->reason()->str(), "The schema of RequestUpdateModel is invalid.");
}

TEST_F(UpdateModelTest, ACompressedOrSignedUploadThatIsNotConfiguredIsRefusedAndNoCrash) {
  Start();
  StartJob("d1");
  flatbuffers::FlatBufferBuilder builder;
  const auto text = builder.CreateString("d1");
  const std::vector<std::int8_t> values = {1, 2, 3};
  const auto data = builder.CreateVector(values);
  const auto feature = schema::CreateCompressFeatureMap(builder, text, data, 0, 1);
  const auto map = builder.CreateVector(&feature, 1);
  const auto names = builder.CreateVector(&text, 1);
  schema::RequestUpdateModelBuilder request(builder);
  request.add_fl_id(text);
  request.add_iteration(1);
  request.add_timestamp(text);
  request.add_upload_compress_type(schema::CompressType::DIFF_SPARSE_QUANT);
  request.add_compress_feature_map(map);
  request.add_name_vec(names);
  builder.Finish(request.Finish());
  const auto answer = AskTable<schema::ResponseUpdateModel>("updateModel", Bytes(builder));
  EXPECT_TRUE(StartsWith(answer->reason()->str(), "Verify model feature map failed"));
}

TEST_F(UpdateModelTest, WithRequireAllFeaturesAPartialUploadIsRefused) {
  ServerOptions options = Options();
  options.round.require_all_features = true;
  Start(options);
  StartJob("d1");
  const auto answer = Update("d1", 1, {{"a", {1, 2, 3}}});
  EXPECT_EQ(answer->retcode(), 400);
  EXPECT_EQ(answer->reason()->str(), "The updated weight of parameter s is missing, fl id: d1");
  EXPECT_EQ(Update("d1", 1, AllWeights(1))->retcode(), 200);  // `z` is not aggregated and may be missing
}

TEST_F(UpdateModelTest, AnOldIterationNumberAfterwardsIsAnUnknownDevice) {
  ServerOptions options = Options();
  options.round.start_fl_job_threshold = 1;
  Start(options);
  StartJob("d1");
  Update("d1", 1, AllWeights(1));
  AwaitIteration(2);
  EXPECT_EQ(Update("d1", 1, AllWeights(2))->reason()->str(),
            "devices_meta for d1 is not set. Please retry later.");
}

TEST_F(UpdateModelTest, AModelThatOverflowsFailsTheIterationAndKeepsThePreviousOne) {
  ServerOptions options = Options();
  Start(options);
  StartJob("d1", 1);
  StartJob("d2", 1);
  const float huge = std::numeric_limits<float>::max();
  Update("d1", 1, {{"s", {huge}}});
  Update("d2", 1, {{"s", {huge}}});  // 2 * max / 2 is finite in float64
  AwaitIteration(2);
  EXPECT_TRUE(ended()[0].valid);
  EXPECT_EQ(Values(Model(1)->feature_map()).at("s"), std::vector<float>{huge});
}

TEST_F(UpdateModelTest, TheLineOfTheIterationKnowsLossAccuracyAndVisits) {
  Start();
  StartJob("d1", 10, 2);
  StartJob("d2", 40, 6);
  StartJob("d3", 40);
  Update("d1", 1, AllWeights(1), 1.0F, 0.5F);
  Update("d1", 1, AllWeights(2), 1.0F, 0.5F);
  Update("d2", 1, AllWeights(1), 9.0F, 1.0F);
  AwaitIteration(2);
  ASSERT_EQ(ended().size(), 1U);
  const job::IterationEnded line = ended()[0];
  EXPECT_TRUE(line.valid);
  EXPECT_EQ(line.reason, "Weight aggregation finished! This iteration is valid. Proceed to next iteration.");
  EXPECT_FLOAT_EQ(static_cast<float>(line.metric_sums.Mean().loss), 7.4F);
  EXPECT_DOUBLE_EQ(line.metric_sums.Mean().accuracy, 0.875);
  EXPECT_EQ(line.visits.at("startFLJobTotalClientNum"), 3U);
  EXPECT_EQ(line.visits.at("startFLJobAcceptClientNum"), 2U);
  EXPECT_EQ(line.visits.at("updateModelTotalClientNum"), 3U);
  EXPECT_EQ(line.visits.at("updateModelAcceptClientNum"), 2U);
  EXPECT_EQ(line.visits.at("updateModelRejectClientNum"), 1U);
  EXPECT_EQ(line.visits.at("participationTimeLevel1"), 2U);
  EXPECT_EQ(line.visits.at("participationTimeLevel3"), 2U);
}

TEST_F(UpdateModelTest, EveryTruncationIsAnAnswerAndNoCrash) {
  Start();
  StartJob("d1");
  const Bytes8 good = UpdateRequest("d1", 2, AllWeights(1));
  for (std::size_t length = 1; length < good.size(); ++length) {
    EXPECT_FALSE(
        Ask("updateModel", Bytes8(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(length))).empty());
  }
}

}  // namespace
}  // namespace msfl::rounds
