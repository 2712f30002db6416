#include "base/clock.h"
#include "rounds/plain_text.h"
#include "rounds/round_fixture.h"

namespace msfl::rounds {
namespace {

class StartFlJobTest : public RoundTest {};

TEST_F(StartFlJobTest, AnAcceptedDeviceGetsTheModelAndThePlan) {
  ServerOptions options = Options();
  options.client.epochs = 7;
  options.client.batch_size = 16;
  options.client.learning_rate = 0.25F;
  Start(options);
  const auto answer = StartJob("d1");
  EXPECT_EQ(answer->retcode(), 200);
  EXPECT_EQ(answer->reason()->str(), "success");
  EXPECT_EQ(answer->iteration(), 1);
  EXPECT_TRUE(answer->is_selected());
  EXPECT_EQ(answer->download_compress_type(), schema::CompressType::NO_COMPRESS);
  EXPECT_EQ(answer->upload_compress_type(), schema::CompressType::NO_COMPRESS);
  EXPECT_EQ(answer->unsupervised_eval_flg()->str(), "NOT_EVAL");
  EXPECT_EQ(Values(answer->feature_map()), (Weights{{"a", {1, 2, 3}}, {"s", {4}}, {"z", {5, 6}}}));
  const auto* plan = answer->fl_plan_config();
  EXPECT_EQ(plan->server_mode()->str(), "FEDERATED_LEARNING");
  EXPECT_EQ(plan->fl_name()->str(), "round test");
  EXPECT_EQ(plan->iterations(), 3);
  EXPECT_EQ(plan->epochs(), 7);
  EXPECT_EQ(plan->mini_batch(), 16);
  EXPECT_EQ(plan->lr(), 0.25F);
  EXPECT_EQ(plan->cipher()->encrypt_type()->str(), "NOT_ENCRYPT");
  EXPECT_EQ(plan->cipher()->pw_params()->prime()->size(), 33U);
  ASSERT_NE(plan->cipher()->ds_params(), nullptr);
}

TEST_F(StartFlJobTest, EveryRefusalCarriesThePlanAndATimeInTheFuture) {
  Start();
  StartJob("d1");
  for (const auto& answer : {StartJob("d2", 0), StartJob("d1"), StartJob("d3", 65536)}) {
    EXPECT_EQ(answer->retcode(), 300);
    EXPECT_FALSE(answer->is_selected());
    EXPECT_EQ(answer->iteration(), 1);
    EXPECT_EQ(answer->feature_map()->size(), 0U);
    ASSERT_NE(answer->fl_plan_config()->cipher()->ds_params(), nullptr);
    EXPECT_GT(std::stoll(answer->next_req_time()->str()), WallMillis());
  }
}

TEST_F(StartFlJobTest, ChecksInTheSpecifiedOrder) {
  Start();
  EXPECT_EQ(StartJob("d1")->retcode(), 200);
  EXPECT_EQ(StartJob("d1", 0)->reason()->str(), "FL job data size is not enough.");  // before the duplicate
  EXPECT_EQ(StartJob("d2", 65536)->reason()->str(), "FL job data size is too large.");
  EXPECT_EQ(StartJob("d2", -1)->reason()->str(), "FL job data size is too large.");
  EXPECT_EQ(StartJob("d1")->reason()->str(), "Updating device metadata failed for fl id d1");
  EXPECT_EQ(StartJob("d2", 65535)->retcode(), 200);
  // From now on everybody, whatever else is wrong.
  for (const int data_size : {10, 0, 65536}) {
    const auto answer = StartJob("d1", data_size);
    EXPECT_EQ(answer->retcode(), 300);
    EXPECT_EQ(answer->reason()->str(),
              "Current amount for startFLJob has reached the threshold. Please startFLJob later.");
  }
  EXPECT_EQ(StartJob("d3")->retcode(), 300);
}

TEST_F(StartFlJobTest, AnUnreadableRequestIsRefusedWithoutATime) {
  Start();
  const auto answer = AskTable<schema::ResponseFLJob>("startFLJob", Bytes8{1, 2, 3, 4, 5, 6, 7, 8});
  EXPECT_EQ(answer->retcode(), 400);
  EXPECT_EQ(answer->reason()->str(), "The schema of RequestFLJob is invalid.");
  EXPECT_EQ(answer->next_req_time()->str(), "");
  ASSERT_NE(answer->fl_plan_config(), nullptr);
}

TEST_F(StartFlJobTest, AbsentMandatoryFieldsGetThePlainText) {
  Start();
  for (int absent = 0; absent < 3; ++absent) {
    flatbuffers::FlatBufferBuilder builder;
    const auto text = builder.CreateString("x");
    schema::RequestFLJobBuilder request(builder);
    if (absent != 0) request.add_fl_name(text);
    if (absent != 1) request.add_fl_id(text);
    if (absent != 2) request.add_timestamp(text);
    request.add_data_size(1);
    builder.Finish(request.Finish());
    EXPECT_EQ(AskText("startFLJob", Bytes(builder)), kStartFieldsText);
  }
}

TEST_F(StartFlJobTest, EveryTruncationIsAnAnswerAndNoCrash) {
  Start();
  const Bytes8 good = StartRequest("d1", 0);
  for (std::size_t length = 1; length < good.size(); ++length) {
    EXPECT_FALSE(
        Ask("startFLJob", Bytes8(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(length))).empty());
  }
}

}  // namespace
}  // namespace msfl::rounds
