// What a Server tells its monitoring.
#include <atomic>

#include "schema/fl_job_generated.h"
#include "server/server_fixture.h"
#include "support/http_client.h"

namespace msfl::server {
namespace {

namespace schema = mindspore_federated::schema;
using Stats = std::map<std::string, std::uint64_t>;

class ServerStatsTest : public ServerTest {
 protected:
  static std::string Text(const flatbuffers::FlatBufferBuilder& builder) {
    return {reinterpret_cast<const char*>(builder.GetBufferPointer()), builder.GetSize()};
  }
  static std::string StartRequest(const std::string& fl_id) {
    flatbuffers::FlatBufferBuilder builder;
    const auto name = builder.CreateString("any");
    const auto id = builder.CreateString(fl_id);
    builder.Finish(schema::CreateRequestFLJob(builder, name, id, 0, 10, name));
    return Text(builder);
  }
  static std::string UpdateRequest(const std::string& fl_id, int iteration) {
    flatbuffers::FlatBufferBuilder builder;
    const auto name = builder.CreateString("w");
    const auto feature = schema::CreateFeatureMap(builder, name, builder.CreateVector<float>({1, 2}));
    const auto map = builder.CreateVector(&feature, 1);
    const auto id = builder.CreateString(fl_id);
    schema::RequestUpdateModelBuilder request(builder);
    request.add_fl_id(id);
    request.add_iteration(iteration);
    request.add_feature_map(map);
    request.add_timestamp(name);
    builder.Finish(request.Finish());
    return Text(builder);
  }
  static std::string GetRequest(int iteration) {
    flatbuffers::FlatBufferBuilder builder;
    builder.Finish(schema::CreateRequestGetResult(builder, 0, iteration));
    return Text(builder);
  }
};

TEST_F(ServerStatsTest, OfAnIteration) {
  ServerOptions options = Options();
  options.iterations = 1;
  const auto server = Make(options);
  recorder_ = server.get();
  const Stats nothing = server->Stats();
  EXPECT_EQ(server->service(), "starting");
  EXPECT_EQ(server->http_port(), 0);
  EXPECT_EQ(nothing.at("iteration"), 0U);
  EXPECT_EQ(nothing.at("cache_connected"), 0U);
  ASSERT_TRUE(Start(*server));
  EXPECT_EQ(server->service(), "serving");
  EXPECT_EQ(server->Stats().at("iteration"), 1U);
  EXPECT_EQ(server->Stats().at("iterations"), 1U);
  EXPECT_EQ(server->Stats().at("cache_connected"), 1U);

  test::HttpClient client(server->http_port());
  client.Post("/startFLJob", StartRequest("d1"));
  while (server->Stats().at("started") != 1) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  EXPECT_EQ(server->Stats().at("counted"), 0U);
  client.Post("/updateModel", UpdateRequest("d1", 1));
  client.Post("/getResult", GetRequest(1));  // waits for the end of the switch, or asks too early
  while (server->service() != "finished") std::this_thread::sleep_for(std::chrono::milliseconds(1));
  client.Post("/startFLJob", StartRequest("d1"));
  const Stats stats = server->Stats();
  EXPECT_EQ(stats.size(), nothing.size());
  EXPECT_EQ(stats.at("iteration"), 2U);
  EXPECT_EQ(stats.at("iterations_valid_total"), 1U);
  EXPECT_EQ(stats.at("iterations_failed_total"), 0U);
  EXPECT_EQ(stats.at("switches_total"), 1U);
  EXPECT_GT(stats.at("switch_us_total"), 0U);
  EXPECT_EQ(stats.at("combinations_done_total"), 1U);
  EXPECT_GT(stats.at("combination_us_total"), 0U);
  EXPECT_EQ(stats.at("model_fetches_done_total"), 0U);
  EXPECT_EQ(stats.at("peer_connections_open"), 0U);
  EXPECT_EQ(stats.at("peer_bytes_sent"), 0U);
  EXPECT_EQ(stats.at("start_fl_job_accepted_total"), 1U);
  EXPECT_EQ(stats.at("update_model_accepted_total"), 1U);
  EXPECT_EQ(stats.at("get_result_accepted_total") + stats.at("get_result_rejected_total"), 1U);
  EXPECT_EQ(stats.at("refused_disabled_total"), 1U);
  EXPECT_EQ(stats.at("requests"), 4U);
  EXPECT_EQ(stats.at("round_bytes_received"), stats.at("bytes_received"));
  EXPECT_EQ(stats.at("round_bytes_sent"), stats.at("bytes_sent"));
  server->Stop();
  EXPECT_EQ(server->service(), "stopping");
  EXPECT_EQ(server->Stats().at("update_model_accepted_total"), 1U);
}

TEST_F(ServerStatsTest, SaysWhenTheCacheIsAway) {
  ServerOptions options = Options();
  options.iterations = 5;
  const auto server = Make(options);
  recorder_ = server.get();
  ASSERT_TRUE(Start(*server));
  redis_.Kill();
  while (server->service() != "safemode") std::this_thread::sleep_for(std::chrono::milliseconds(5));
  while (server->Stats().at("cache_connected") != 0)
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  redis_.Start();
  while (server->service() != "serving") std::this_thread::sleep_for(std::chrono::milliseconds(5));
  EXPECT_EQ(server->Stats().at("iterations_failed_total"), 1U);
}

TEST_F(ServerStatsTest, MayBeAskedAtAnyTime) {
  const auto server = Make(Options());
  std::atomic<bool> over{false};
  std::thread monitoring([&] {
    while (!over) {
      static_cast<void>(server->Stats());
      static_cast<void>(server->service());
    }
  });
  EXPECT_TRUE(Start(*server));
  server->Stop();
  over = true;
  monitoring.join();
}

}  // namespace
}  // namespace msfl::server
