// Well-formed messages that say what no device would: types that are not configured, tensors of another
// model, numbers at the ends of their ranges, rounds that this mode has not.
#include "rounds/hostile_fixture.h"

namespace msfl::rounds {
namespace {

class HostileMessage : public HostileTest {
 protected:
  void ExpectContentRefused(Upload upload) {
    upload.iteration = Now();
    ExpectUpdate(upload.Build(), 400, kContentReason);
  }
};

TEST_F(HostileMessage, AnUploadTypeThatIsNotConfiguredOrNotDefined) {
  Serve();
  JoinBoth();
  for (const int type : {1, 2, 3, 99, 127, -1, -128}) {
    for (const bool features : {true, false}) {
      for (const bool compressed : {true, false}) {
        for (const bool names : {true, false}) {
          Upload upload;
          upload.compress_type = type;
          upload.compressed = compressed;
          upload.names = names;
          if (!features) upload.features.reset();
          const bool complete = compressed && names;
          ExpectUpdate(upload.Build(), 400, complete ? kContentReason : kFieldsReason);
        }
      }
    }
  }
  Finish();
}

TEST_F(HostileMessage, ASignThatIsNotConfigured) {
  Serve();
  JoinBoth();
  constexpr int kMost = std::numeric_limits<int>::max(), kLeast = std::numeric_limits<int>::min();
  for (const int sign : {1, -1, 2, kMost, kLeast}) {
    Upload upload;
    upload.sign = sign;
    ExpectContentRefused(upload);
    upload.index_array = {0, 1, -1, kMost, kLeast};
    ExpectContentRefused(upload);
    upload.index_array.assign(1000, 0);
    ExpectContentRefused(upload);
    upload.features->push_back({"unknown", {1}});
    ExpectContentRefused(upload);
  }
  // Without a sign nobody looks at the indexes.
  Upload plain;
  plain.index_array = {kMost, kLeast};
  ExpectUpdate(plain.Build(), 200, "success not ready");
  FinishWith(10, 1);
}

TEST_F(HostileMessage, TensorsThatAreNotTheModels) {
  Serve();
  JoinBoth();
  const auto refused = [&](std::vector<std::pair<std::string, std::vector<float>>> features) {
    Upload upload;
    upload.features = std::move(features);
    ExpectContentRefused(upload);
  };
  refused({});
  refused({{"a", {1, 2, 3}}, {"a", {1, 2, 3}}});
  refused({{"s", {1}}, {"a", {1, 2, 3}}, {"s", {1}}});
  refused({{"z", {1, 2}}, {"z", {1, 2}}});  // not aggregated, but once
  refused({{"unknown", {1}}});
  refused({{"a", {1, 2, 3}}, {"unknown", {1}}});
  refused({{"", {1}}});
  refused({{"A", {1, 2, 3}}});
  refused({{std::string("a\0", 2), {1, 2, 3}}});
  refused({{std::string(100'000, 'a'), {1, 2, 3}}});
  refused({{"a", {}}});
  refused({{"a", {1, 2}}});
  refused({{"a", std::vector<float>(200'000, 1)}});
  std::vector<std::pair<std::string, std::vector<float>>> many;
  for (int i = 0; i < 20'000; ++i) many.push_back({"a", {1}});
  refused(many);
  Finish();
}

TEST_F(HostileMessage, ManyEntriesThatAreAllTheSameTensor) {
  Serve();
  JoinBoth();
  for (const std::size_t entries : {4UL, 1000UL, 250'000UL}) {
    flatbuffers::FlatBufferBuilder builder;
    const auto name = builder.CreateString("a");
    const auto feature = schema::CreateFeatureMap(builder, name, builder.CreateVector<float>({1, 2, 3}));
    const auto map = builder.CreateVector(std::vector(entries, feature));
    const auto id = builder.CreateString("h");
    schema::RequestUpdateModelBuilder request(builder);
    request.add_fl_id(id);
    request.add_timestamp(id);
    request.add_iteration(1);
    request.add_feature_map(map);
    builder.Finish(request.Finish());
    ExpectUpdate(Bytes(builder), 400, kContentReason);
  }
  Finish();
}

// Read one by one, these would be 1.6e10 values in a message of a megabyte.
TEST_F(HostileMessage, ManyEvaluationItemsThatAreAllTheSameVectorCostNoMoreThanTheirBytes) {
  Serve();
  JoinBoth();
  flatbuffers::FlatBufferBuilder builder;
  const auto name = builder.CreateString("eval");
  const auto data = builder.CreateVector(std::vector<float>(125'000, 1));
  const auto item = schema::CreateUnsupervisedEvalItem(builder, name, data);
  const auto items =
      schema::CreateUnsupervisedEvalItems(builder, builder.CreateVector(std::vector(125'000, item)));
  const auto id = builder.CreateString("h");
  const auto feature = schema::CreateFeatureMap(builder, builder.CreateString("s"), data);
  const auto map = builder.CreateVector(&feature, 1);
  schema::RequestUpdateModelBuilder request(builder);
  request.add_fl_id(id);
  request.add_timestamp(id);
  request.add_iteration(1);
  request.add_feature_map(map);
  request.add_unsupervised_eval_items(items);
  builder.Finish(request.Finish());
  ExpectUpdate(Bytes(builder), 400, kFieldsReason);
  Finish();
}

TEST_F(HostileMessage, MoreEvaluationItemsThanAreKeptAreIgnored) {
  Serve();
  JoinBoth();
  Upload upload;
  upload.evaluation = {{"huge", std::vector<float>(65'537, 1)}};
  ExpectUpdate(upload.Build(), 200, "success not ready");
  FinishWith(10, 1);
}

TEST_F(HostileMessage, NumbersAtTheEndsOfTheirRanges) {
  Serve();
  constexpr int kMost = std::numeric_limits<int>::max(), kLeast = std::numeric_limits<int>::min();
  for (const int data_size : {0, -1, kLeast, 65'536, kMost}) {
    ExpectStart(StartRequest("h", data_size), 300,
                data_size == 0 ? "FL job data size is not enough." : "FL job data size is too large.");
  }
  // Not checked, but counted as what they can be.
  ExpectStart(StartRequest("h", 10, kLeast), 200, "success");
  ExpectStart(StartRequest("d", 30, kMost), 200, "success");
  for (const int iteration : {0, -1, 2, 65'535, 65'536, kMost, kLeast}) {
    Upload upload;
    upload.iteration = iteration;
    ExpectUpdate(upload.Build(), 300,
                 "UpdateModel iteration number is invalid:" + std::to_string(iteration) +
                     ", current iteration:1, Retry later at time: ");
  }
  Upload upload;
  upload.loss = upload.accuracy = std::numeric_limits<float>::max();
  ExpectUpdate(upload.Build(), 200, "success not ready");
  FinishWith(10, 1);
  const job::IterationEnded line = ended().back();
  EXPECT_TRUE(std::isfinite(static_cast<float>(line.metric_sums.Mean().loss)));
  EXPECT_DOUBLE_EQ(line.metric_sums.Mean().accuracy, 0);  // of 2^31-1 evaluation samples that say 0
}

TEST_F(HostileMessage, DataSizesAtTheEndsOfTheRangeCount) {
  Serve();
  ExpectStart(StartRequest("h", 1, -1), 200, "success");
  ExpectStart(StartRequest("d", 65'535, 65'536), 200, "success");
  ExpectUpdate(UpdateRequest("h", 1, {{"a", {1, 1, 1}}}), 200, "success not ready");
  ExpectUpdate(UpdateRequest("d", 1, {{"a", {65'535, 0, 65'535}}}), 200, "success not ready");
  AwaitIteration(2);
  const auto answer = StartJob("later");
  EXPECT_EQ(Values(answer->feature_map()).at("a"), (std::vector<float>{1, 1.0F / 65'536, 1}));
}

TEST_F(HostileMessage, AModelOfAnIterationThatNeverWas) {
  Serve();
  constexpr int kMost = std::numeric_limits<int>::max(), kLeast = std::numeric_limits<int>::min();
  for (const int iteration : {0, -1, 2, 65'535, 65'536, kMost, kLeast}) {
    flatbuffers::FlatBufferBuilder model, result;
    model.Finish(schema::CreateRequestGetModel(model, 0, iteration));
    result.Finish(schema::CreateRequestGetResult(result, 0, iteration));
    const auto found = PostTable<schema::ResponseGetModel>("getModel", Bytes(model));
    EXPECT_EQ(found->retcode(), 200);
    EXPECT_EQ(found->iteration(), 1);
    EXPECT_EQ(Values(found->feature_map()).at("a"), (std::vector<float>{1, 2, 3}));
    EXPECT_EQ(PostTable<schema::ResponseGetResult>("getResult", Bytes(result))->retcode(), 200);
  }
  JoinBoth();
  Finish();
}

TEST_F(HostileMessage, RoundsOfWorkersAndOfOtherModesAreNotThere) {
  Serve();
  JoinBoth();
  flatbuffers::FlatBufferBuilder weights, pull, metrics;
  const auto name = weights.CreateString("a");
  const auto feature = schema::CreateFeatureMap(weights, name, weights.CreateVector<float>({9, 9, 9}));
  weights.Finish(schema::CreateRequestPushWeight(weights, 1, weights.CreateVector(&feature, 1)));
  pull.Finish(schema::CreateRequestPullWeight(pull, 1));
  metrics.Finish(schema::CreateRequestPushMetrics(metrics, 0.5F, 0.5F));
  const std::pair<const char*, Bytes8> requests[] = {{"/pushWeight", Bytes(weights)},
                                                     {"/pullWeight", Bytes(pull)},
                                                     {"/pushMetrics", Bytes(metrics)},
                                                     {"/exchangeKeys", Bytes(metrics)},
                                                     {"/getKeys", Bytes(metrics)},
                                                     {"/shareSecrets", Bytes(metrics)},
                                                     {"/getSecrets", Bytes(metrics)},
                                                     {"/getClientList", Bytes(metrics)},
                                                     {"/pushListSign", Bytes(metrics)},
                                                     {"/getListSign", Bytes(metrics)},
                                                     {"/reconstructSecrets", Bytes(metrics)},
                                                     {"/startFLJob/", StartRequest("x", 1)},
                                                     {"//startFLJob", StartRequest("x", 1)},
                                                     {"/STARTFLJOB", StartRequest("x", 1)},
                                                     {"/start%46LJob", StartRequest("x", 1)}};
  for (const auto& [path, body] : requests) {
    EXPECT_EQ(Connect().Post(path, Text(body)).status, 404) << path;
  }
  Finish();
}

}  // namespace
}  // namespace msfl::rounds
