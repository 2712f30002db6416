#include "model/answer_head.h"

#include <gtest/gtest.h>

#include <random>

#include "model/make_model.h"
#include "schema/fl_job_generated.h"

namespace msfl::model {
namespace {

namespace schema = mindspore_federated::schema;

// As a device receives it: one contiguous, aligned message.
Buffer Join(const std::vector<std::uint8_t>& head, const Model::Tail& tail) {
  Buffer message(head.size() + tail.bytes.size());
  std::copy(head.begin(), head.end(), message.data());
  std::copy(tail.bytes.begin(), tail.bytes.end(), message.data() + head.size());
  return message;
}

template <class Response>
const Response* Verified(const Buffer& message) {
  flatbuffers::Verifier verifier(message.data(), message.size(), 64, 1'000'000);
  EXPECT_TRUE(verifier.VerifyBuffer<Response>(nullptr));
  return flatbuffers::GetRoot<Response>(message.data());
}

Buffer GetModelAnswer(const Model& model, bool only_aggregated, const std::string& reason) {
  flatbuffers::FlatBufferBuilder builder;
  const auto text = builder.CreateString(reason);
  schema::ResponseGetModelBuilder response(builder);
  response.add_retcode(200);
  response.add_reason(text);
  MarkTail(builder, schema::ResponseGetModel::VT_FEATURE_MAP);
  response.add_iteration(7);
  builder.Finish(response.Finish());
  const Model::Tail tail = model.tail(only_aggregated);
  const auto head = SealHead(builder, schema::ResponseGetModel::VT_FEATURE_MAP, tail);
  EXPECT_EQ(head.size() % Layout::kAlignment, 0U);
  return Join(head, tail);
}

using Wire = flatbuffers::Vector<flatbuffers::Offset<schema::FeatureMap>>;

void ExpectSame(const Wire* wire, const Model& model, bool only_aggregated) {
  std::vector<std::size_t> expected;
  for (std::size_t i = 0; i < model.layout().features().size(); ++i) {
    if (!only_aggregated || model.layout().features()[i].require_aggr) expected.push_back(i);
  }
  ASSERT_NE(wire, nullptr);
  ASSERT_EQ(wire->size(), expected.size());
  for (flatbuffers::uoffset_t i = 0; i < wire->size(); ++i) {
    const schema::FeatureMap& feature = *wire->Get(i);
    ASSERT_EQ(feature.weight_fullname()->str(), model.layout().features()[expected[i]].name);
    const auto values = model.values(expected[i]);
    ASSERT_EQ(feature.data()->size(), values.size());
    ASSERT_TRUE(std::equal(values.begin(), values.end(), feature.data()->begin()));
  }
}

class AnswerHead : public testing::Test {
 protected:
  std::shared_ptr<BufferPool> pool_ = BufferPool::Create(1 << 20);
};

TEST_F(AnswerHead, ResponseGetModelReadsAsOrdinaryFlatBuffers) {
  const auto model = MakeModel(
      MakeLayout({Declare("w", {3, 4}), Declare("frozen", {5}, false), Declare("b", {}), Declare("a", {7})}),
      *pool_);
  for (const bool only_aggregated : {false, true}) {
    for (std::size_t length = 0; length < 70; ++length) {  // every padding of the head
      const Buffer message = GetModelAnswer(*model, only_aggregated, std::string(length, 'r'));
      const auto* response = Verified<schema::ResponseGetModel>(message);
      EXPECT_EQ(response->retcode(), 200);
      EXPECT_EQ(response->iteration(), 7);
      EXPECT_EQ(response->reason()->size(), length);
      ExpectSame(response->feature_map(), *model, only_aggregated);
    }
  }
}

TEST_F(AnswerHead, ResponseFLJobWithItsPlan) {
  const auto model = MakeModel(MakeLayout({Declare("w", {300}), Declare("frozen", {5}, false)}), *pool_);
  flatbuffers::FlatBufferBuilder builder;
  const auto plan = schema::CreateFLPlanDirect(builder, "FEDERATED_LEARNING", "job", 10, 1, 0, 32);
  const auto reason = builder.CreateString("success");
  schema::ResponseFLJobBuilder response(builder);
  response.add_retcode(200);
  response.add_reason(reason);
  response.add_is_selected(true);
  response.add_fl_plan_config(plan);
  MarkTail(builder, schema::ResponseFLJob::VT_FEATURE_MAP);
  builder.Finish(response.Finish());
  const Model::Tail tail = model->tail(false);
  const Buffer message = Join(SealHead(builder, schema::ResponseFLJob::VT_FEATURE_MAP, tail), tail);
  const auto* read = Verified<schema::ResponseFLJob>(message);
  EXPECT_TRUE(read->is_selected());
  EXPECT_EQ(read->fl_plan_config()->fl_name()->str(), "job");
  EXPECT_EQ(read->fl_plan_config()->mini_batch(), 32);
  ExpectSame(read->feature_map(), *model, false);
}

TEST_F(AnswerHead, RandomLayouts) {
  std::mt19937 random(20240229);
  for (int round = 0; round < 60; ++round) {
    std::vector<Feature> features;
    const int count = 1 + static_cast<int>(random() % 40);
    for (int i = 0; i < count; ++i) {
      std::string name = std::to_string(i) + std::string(random() % 9, 'n');
      features.push_back(
          Declare(std::move(name), {1 + static_cast<std::int64_t>(random() % 50)}, random() % 3 != 0));
    }
    const auto model = MakeModel(MakeLayout(std::move(features)), *pool_);
    for (const bool only_aggregated : {false, true}) {
      const Buffer message = GetModelAnswer(*model, only_aggregated, "ok");
      ExpectSame(Verified<schema::ResponseGetModel>(message)->feature_map(), *model, only_aggregated);
    }
  }
}

TEST_F(AnswerHead, NoAggregatedFeatureIsAnEmptyVector) {
  const auto model = MakeModel(MakeLayout({Declare("frozen", {5}, false)}), *pool_);
  const Buffer message = GetModelAnswer(*model, true, "ok");
  EXPECT_EQ(Verified<schema::ResponseGetModel>(message)->feature_map()->size(), 0U);
}

TEST_F(AnswerHead, ThousandsOfTinyFeatures) {
  std::vector<Feature> features;
  for (int i = 0; i < 5000; ++i)
    features.push_back(Declare("f" + std::to_string(i), {1 + i % 2}, i % 5 != 0));
  const auto model = MakeModel(MakeLayout(std::move(features)), *pool_);
  for (const bool only_aggregated : {false, true}) {
    const Buffer message = GetModelAnswer(*model, only_aggregated, "ok");
    ExpectSame(Verified<schema::ResponseGetModel>(message)->feature_map(), *model, only_aggregated);
  }
}

TEST_F(AnswerHead, ModelsFromReusedMemoryAreWhole) {
  const auto layout = MakeLayout({Declare("a", {100}), Declare("b", {50}, false)});
  {
    Buffer dirty = pool_->Take(layout->tail_bytes());
    std::fill_n(dirty.data(), dirty.size(), std::uint8_t{0xFF});
  }
  const auto model = MakeModel(layout, *pool_, 0.5F);
  const Buffer message = GetModelAnswer(*model, false, "ok");
  ExpectSame(Verified<schema::ResponseGetModel>(message)->feature_map(), *model, false);
}

TEST_F(AnswerHead, SealingAnUnmarkedFieldIsAMistake) {
  const auto model = MakeModel(MakeLayout({Declare("a", {1})}), *pool_);
  flatbuffers::FlatBufferBuilder builder;
  schema::ResponseGetModelBuilder response(builder);
  response.add_retcode(200);
  builder.Finish(response.Finish());
  EXPECT_THROW(SealHead(builder, schema::ResponseGetModel::VT_FEATURE_MAP, model->tail(false)),
               std::logic_error);
}

}  // namespace
}  // namespace msfl::model
