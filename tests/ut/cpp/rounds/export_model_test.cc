#include "rounds/plain_text.h"
#include "rounds/round_fixture.h"

namespace msfl::rounds {
namespace {

class ExportModelTest : public RoundTest {
 protected:
  Answer<schema::ResponseGetModel> Export() { return AskTable<schema::ResponseGetModel>("exportModel", {}); }

  Task<net::HttpReply> GetModelOf(job::Iteration& iteration, const net::HttpRequest& request) {
    Outcome outcome = co_await GetModel(*context_, request, iteration);
    co_return std::move(outcome.reply);
  }

  void RunIteration(int number) {
    StartJob("d1", 1);
    StartJob("d2", 1);
    Update("d1", number, AllWeights(1));
    Update("d2", number, AllWeights(3));
    AwaitIteration(static_cast<std::uint64_t>(number) + 1);
  }
};

TEST_F(ExportModelTest, IsTheNewestModelWithAllFeatures) {
  Start();
  const auto first = Export();
  EXPECT_EQ(first->retcode(), 200);
  EXPECT_EQ(first->iteration(), 0);
  const Weights start{{"a", {1, 2, 3}}, {"s", {4}}, {"z", {5, 6}}};
  EXPECT_EQ(Values(first->feature_map()), start);
  RunIteration(1);
  const auto next = Export();
  EXPECT_EQ(next->iteration(), 1);
  const Weights average{{"a", {2, 4, 6}}, {"s", {8}}, {"z", {5, 6}}};
  EXPECT_EQ(Values(next->feature_map()), average);
}

TEST_F(ExportModelTest, SendsTheModelsOwnBytes) {
  Start();
  net::HttpRequest request;
  const std::string path = "/exportModel";
  request.path = path;
  const auto route = std::find_if(routes_.begin(), routes_.end(),
                                  [&](const net::HttpRoute& one) { return one.path == path; });
  ASSERT_NE(route, routes_.end());
  EXPECT_TRUE(route->takes_empty_body);
  const net::HttpReply reply =
      asio::co_spawn(loops_.loop(0), route->handler(request), asio::use_future).get();
  EXPECT_EQ(reply.tail.data(), job_->history().Latest().model->tail(false).bytes.data());
}

TEST_F(ExportModelTest, AlsoWhenFinished) {
  Start();
  for (int number = 1; number <= 3; ++number) RunIteration(number);
  EXPECT_EQ(Export()->iteration(), 3);
  EXPECT_EQ(Values(Export()->feature_map()).at("s"), std::vector<float>{8});
}

TEST_F(ExportModelTest, AlsoWhenDisabled) {
  Start();
  const cache::IterationKey current = job_->gate().Look().iteration->key();
  ASSERT_TRUE(OnControl(store_->SetState(current, cache::InstanceState::kDisable)));
  AwaitIteration(2);
  EXPECT_EQ(AskText("getModel", StartRequest("d1", 1)), kDisabledText);
  EXPECT_EQ(Export()->iteration(), 1);
  EXPECT_EQ(Values(Export()->feature_map()).at("s"), std::vector<float>{4});
}

TEST_F(ExportModelTest, AlsoWithoutTheCache) {
  Start();
  redis_.Kill();
  while (AskText("startFLJob", StartRequest("d1", 1)) != kSafemodeText) {
  }
  EXPECT_EQ(Export()->retcode(), 200);
}

TEST_F(ExportModelTest, WaitsForTheEndOfASwitch) {
  hold_records_ = true;
  Start();
  StartJob("d1", 1);
  StartJob("d2", 1);
  Update("d1", 1, AllWeights(1));
  Update("d2", 1, AllWeights(3));
  while (ended().empty()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  auto exported = std::async(std::launch::async, [this] { return Export(); });
  EXPECT_EQ(exported.wait_for(std::chrono::milliseconds(30)), std::future_status::timeout);
  job_->NoteRecorded(1);
  EXPECT_EQ(exported.get()->iteration(), 1);
}

TEST_F(ExportModelTest, AStoppingServerSaysSafemode) {
  Start();
  const cache::IterationKey current = job_->gate().Look().iteration->key();
  ASSERT_TRUE(OnControl(store_->SetState(current, cache::InstanceState::kStop)));
  running_.wait();
  EXPECT_EQ(AskText("exportModel", {}), kSafemodeText);
}

// A request that has passed the gate when the switch begins.
TEST_F(ExportModelTest, NobodySeesTheNextModelBeforeItsFilesAreWritten) {
  hold_records_ = true;
  Start();
  const std::shared_ptr<job::Iteration> running = job_->gate().Look().iteration;
  StartJob("d1", 1);
  StartJob("d2", 1);
  Update("d1", 1, AllWeights(1));
  Update("d2", 1, AllWeights(3));
  while (ended().empty()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  flatbuffers::FlatBufferBuilder builder;
  builder.Finish(schema::CreateRequestGetModel(builder, 0, -1));  // the latest there is
  const Bytes8 body = Bytes(builder);
  net::HttpRequest request;
  request.body = body;
  const net::HttpReply reply =
      asio::co_spawn(loops_.loop(0), GetModelOf(*running, request), asio::use_future).get();
  EXPECT_EQ(reply.tail.data(), running->start_model()->tail(true).bytes.data());
  job_->NoteRecorded(1);
  AwaitIteration(2);
}

TEST(UrlPrefixTest, SlashesAroundItAreOptional) {
  for (const char* text : {"", "/", "//"}) EXPECT_EQ(UrlPrefix(text), "/");
  for (const char* text : {"fl", "/fl", "fl/", "/fl/", "//fl//"}) EXPECT_EQ(UrlPrefix(text), "/fl/");
  EXPECT_EQ(UrlPrefix("/a/b"), "/a/b/");
}

}  // namespace
}  // namespace msfl::rounds
