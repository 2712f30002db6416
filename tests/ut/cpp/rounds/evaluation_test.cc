// Evaluation vectors of counted updates, kept for the score of the iteration.
#include <cstring>
#include <limits>

#include "rounds/evaluation_vector.h"
#include "rounds/round_fixture.h"

namespace msfl::rounds {
namespace {

using Items = std::vector<std::vector<float>>;

class EvaluationTest : public RoundTest {
 protected:
  void StartWith(std::uint64_t kept, std::uint64_t threshold = 3) {
    ServerOptions options = Options();
    options.round.start_fl_job_threshold = threshold;
    options.evaluation_items = kept;
    options.hyper_parameters["privacy_eval_type"] = "LAPLACE";
    options.iterations = 10;
    Start(options);
  }

  static Bytes8 EvaluatedUpdate(const std::string& fl_id, int iteration, const Items& items) {
    flatbuffers::FlatBufferBuilder builder;
    std::vector<flatbuffers::Offset<schema::FeatureMap>> features;
    for (const auto& [name, values] : AllWeights(1)) {
      const auto text = builder.CreateString(name);
      features.push_back(schema::CreateFeatureMap(builder, text, builder.CreateVector(values)));
    }
    std::vector<flatbuffers::Offset<schema::UnsupervisedEvalItem>> evaluated;
    for (const std::vector<float>& item : items) {
      const auto text = builder.CreateString("item");
      evaluated.push_back(schema::CreateUnsupervisedEvalItem(builder, text, builder.CreateVector(item)));
    }
    const auto all = schema::CreateUnsupervisedEvalItems(builder, builder.CreateVector(evaluated));
    const auto map = builder.CreateVector(features);
    const auto id = builder.CreateString(fl_id);
    const auto time = builder.CreateString("any");
    schema::RequestUpdateModelBuilder request(builder);
    request.add_fl_id(id);
    request.add_iteration(iteration);
    request.add_feature_map(map);
    request.add_timestamp(time);
    request.add_unsupervised_eval_items(all);
    builder.Finish(request.Finish());
    return Bytes(builder);
  }
  Answer<schema::ResponseUpdateModel> UpdateEvaluated(const std::string& fl_id, int iteration,
                                                      const Items& items) {
    return AskTable<schema::ResponseUpdateModel>("updateModel", EvaluatedUpdate(fl_id, iteration, items));
  }

  std::string Instance() const { return job_->gate().Look().iteration->key().instance; }
  std::string Row() const { return "ms_fl:{round test}:" + Instance() + ":evaluation"; }
  cache::RedisValue Tell(std::vector<std::string> words) {
    return OnControl(client_->Command(std::move(words))).value();
  }
  std::vector<std::vector<float>> Kept() {
    std::vector<std::vector<float>> vectors;
    for (const cache::RedisValue& one : Tell({"LRANGE", Row(), "0", "-1"}).array) {
      std::vector<float> values(one.text.size() / sizeof(float));
      std::memcpy(values.data(), one.text.data(), one.text.size());
      vectors.push_back(values);
    }
    return vectors;
  }
};

TEST_F(EvaluationTest, ItemsBecomeOneVectorNewestFirstAndTheNewestAreKept) {
  StartWith(2);
  for (const char* fl_id : {"d1", "d2", "d3"}) StartJob(fl_id, 1);
  EXPECT_EQ(UpdateEvaluated("d1", 1, {{1, 2}, {3}})->retcode(), 200);
  EXPECT_EQ(Kept(), (Items{{1, 2, 3}}));
  EXPECT_GT(Tell({"PTTL", Row()}).integer, 24 * 3'600'000);
  EXPECT_EQ(UpdateEvaluated("d2", 1, {{4}})->retcode(), 200);
  EXPECT_EQ(UpdateEvaluated("d3", 1, {{5, 6}})->retcode(), 200);
  EXPECT_EQ(Kept(), (Items{{5, 6}, {4}}));
  AwaitIteration(2);  // of the instance, not of the iteration
  EXPECT_EQ(Kept(), (Items{{5, 6}, {4}}));
}

TEST_F(EvaluationTest, AllOfAnIterationAreThereWhenItIsRecorded) {
  StartWith(100, 1);
  for (int number = 1; number < 10; ++number) {
    StartJob("d", 1);
    EXPECT_EQ(UpdateEvaluated("d", number, {{static_cast<float>(number)}})->retcode(), 200);
    AwaitIteration(static_cast<std::uint64_t>(number) + 1);
    EXPECT_EQ(Kept().size(), static_cast<std::size_t>(number));
  }
}

TEST_F(EvaluationTest, OnlyOfCountedUpdates) {
  StartWith(5);
  StartJob("d1", 1);
  EXPECT_EQ(UpdateEvaluated("stranger", 1, {{1}})->retcode(), 300);
  EXPECT_EQ(UpdateEvaluated("d1", 2, {{1}})->retcode(), 300);
  EXPECT_TRUE(Kept().empty());
  EXPECT_EQ(UpdateEvaluated("d1", 1, {{1}})->retcode(), 200);
  EXPECT_EQ(UpdateEvaluated("d1", 1, {{2}})->retcode(), 300);
  EXPECT_EQ(Kept(), (Items{{1}}));
}

TEST_F(EvaluationTest, WhatIsNoVectorCostsTheUpdateNothing) {
  StartWith(5);
  for (const char* fl_id : {"d1", "d2", "d3"}) StartJob(fl_id, 1);
  EXPECT_EQ(UpdateEvaluated("d1", 1, {})->retcode(), 200);
  EXPECT_EQ(UpdateEvaluated("d2", 1, {std::vector<float>(kMaxEvaluationFloats), {1}})->retcode(), 200);
  EXPECT_TRUE(Kept().empty());
  EXPECT_EQ(UpdateEvaluated("d3", 1, {std::vector<float>(kMaxEvaluationFloats)})->retcode(), 200);
  ASSERT_EQ(Kept().size(), 1U);
  EXPECT_EQ(Kept()[0].size(), kMaxEvaluationFloats);
}

TEST_F(EvaluationTest, WhatIsNoNumberIsRefused) {
  StartWith(5);
  StartJob("d1", 1);
  for (const float value :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    const auto answer = UpdateEvaluated("d1", 1, {{1}, {value}});
    EXPECT_EQ(answer->retcode(), 400);
    EXPECT_EQ(answer->reason()->str(), "Verify flatbuffers schema failed for RequestUpdateModel.");
  }
  EXPECT_TRUE(Kept().empty());
}

TEST_F(EvaluationTest, AListThatCannotBeWrittenCostsTheUpdateNothing) {
  StartWith(5);
  for (const char* fl_id : {"d1", "d2", "d3"}) StartJob(fl_id, 1);
  Tell({"SET", Row(), "no list"});
  EXPECT_EQ(UpdateEvaluated("d1", 1, {{1}})->retcode(), 200);
  EXPECT_EQ(UpdateEvaluated("d2", 1, {{1}})->retcode(), 200);
  EXPECT_EQ(UpdateEvaluated("d3", 1, {{1}})->retcode(), 200);
  AwaitIteration(2);
  EXPECT_TRUE(ended()[0].valid);
}

TEST_F(EvaluationTest, DevicesAreToldWhetherAndHow) {
  StartWith(5);
  EXPECT_EQ(StartJob("d1", 1)->unsupervised_eval_flg()->str(), "LAPLACE");
}

TEST_F(EvaluationTest, WithoutItNothingIsKept) {
  StartWith(0);
  const auto started = StartJob("d1", 1);
  EXPECT_EQ(started->unsupervised_eval_flg()->str(), "NOT_EVAL");
  EXPECT_EQ(UpdateEvaluated("d1", 1, {{1}})->retcode(), 200);
  EXPECT_EQ(Tell({"EXISTS", Row()}).integer, 0);
}

TEST_F(EvaluationTest, PushedTwiceItIsThereOnce) {
  StartWith(5);
  const std::string bytes(8, 'x');
  for (const char* nonce : {"n1", "n1", "n2", "n1"}) {
    ASSERT_TRUE(OnControl(store_->PushEvaluation(Instance(), bytes, nonce, 5)));
  }
  EXPECT_EQ(Tell({"LLEN", Row()}).integer, 2);
}

}  // namespace
}  // namespace msfl::rounds
