// A Server that can't go on: it leaves the cluster at once, and says what made it impossible.
#include <future>
#include <stdexcept>

#include "base/log.h"
#include "schema/fl_job_generated.h"
#include "server/server_fixture.h"
#include "support/http_client.h"

namespace msfl::server {
namespace {

namespace schema = mindspore_federated::schema;

class ServerFaultTest : public ServerTest {
 protected:
  void TearDown() override { SetLogSink({}); }

  // Its record of an iteration fails as `record` does.
  std::unique_ptr<Server> StartOne(job::OnIterationEnded record) {
    ServerOptions options = Options();
    options.iterations = 3;
    options.round.start_fl_job_threshold = 2;
    options.round.start_fl_job_time_window = 100;
    auto server = std::make_unique<Server>(options, std::move(record),
                                           [this](std::string fault) { told_.set_value(std::move(fault)); });
    const Result<void> started = Start(*server);
    EXPECT_TRUE(started) << started.error().text;
    return server;
  }
  // One of two devices: the iteration ends when its window does.
  static void BeginIteration(const Server& server) {
    flatbuffers::FlatBufferBuilder builder;
    const auto text = builder.CreateString("d1");
    schema::RequestFLJobBuilder request(builder);
    request.add_fl_name(text);
    request.add_fl_id(text);
    request.add_timestamp(text);
    request.add_data_size(1);
    builder.Finish(request.Finish());
    const std::string body(reinterpret_cast<const char*>(builder.GetBufferPointer()), builder.GetSize());
    test::HttpClient client(server.http_port());
    EXPECT_EQ(client.Post("/startFLJob", body).status, 200U);
  }
  static std::string Ask(const Server& server) {
    test::HttpClient client(server.http_port());
    return client.Post("/getModel", "x").body;
  }
  // Nobody has to wait for its heartbeat to expire.
  void ExpectLeft(const Server& server) {
    EXPECT_TRUE(Tell({"HKEYS", Key("nodes")}).array.empty());
    EXPECT_EQ(Tell({"EXISTS", Key("alive:" + server.node_id())}).integer, 0);
  }

  std::promise<std::string> told_;
};

TEST_F(ServerFaultTest, OfThePhases) {
  const auto server = StartOne([](job::IterationEnded) { throw std::runtime_error("the record is lost"); });
  BeginIteration(*server);
  EXPECT_EQ(told_.get_future().get(), "the record is lost");
  EXPECT_EQ(server->service(), "stopping");
  EXPECT_EQ(Ask(*server), "The cluster is in safemode.");
  ExpectLeft(*server);
  server->Stop();

  told_ = {};
  const auto next = StartOne([](job::IterationEnded) {});
  EXPECT_EQ(next->service(), "serving");
  next->Stop();
  EXPECT_EQ(told_.get_future().get(), "") << "it was stopped";
}

TEST_F(ServerFaultTest, ThatIsNoStandardException) {
  const auto server = StartOne([](job::IterationEnded) { throw 7; });
  BeginIteration(*server);
  EXPECT_EQ(told_.get_future().get(), "unknown exception");
  ExpectLeft(*server);
}

TEST_F(ServerFaultTest, OfTheHeartbeat) {
  const auto server = StartOne([](job::IterationEnded) {});
  SetLogSink([](const LogLine& line) {
    if (line.text.find("has entered the cluster again") != std::string::npos) {
      throw std::runtime_error("the heartbeat is lost");
    }
  });
  Tell({"HDEL", Key("nodes"), server->node_id()});
  EXPECT_EQ(told_.get_future().get(), "the heartbeat is lost");
  EXPECT_EQ(Ask(*server), "The cluster is in safemode.");
  ExpectLeft(*server);
}

TEST_F(ServerFaultTest, WhileTheCacheIsGone) {
  const auto server = StartOne([this](job::IterationEnded) {
    redis_.Kill();
    throw std::runtime_error("the record is lost");
  });
  BeginIteration(*server);
  EXPECT_EQ(told_.get_future().get(), "the record is lost");
}

}  // namespace
}  // namespace msfl::server
