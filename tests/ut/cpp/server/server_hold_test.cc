// Held requests over real connections.
#include "schema/fl_job_generated.h"
#include "server/server_fixture.h"
#include "support/http_client.h"

namespace msfl::server {
namespace {

namespace schema = mindspore_federated::schema;

class ServerHoldTest : public ServerTest {
 protected:
  std::unique_ptr<Server> StartHolding(std::uint64_t hold_ms) {
    ServerOptions options = Options();
    options.hold_ms = hold_ms;
    std::unique_ptr<Server> server = Make(options);
    const Result<void> started = Start(*server);
    EXPECT_TRUE(started) << started.error().text;
    return server;
  }
  // getResult of the running iteration.
  static std::string Request() {
    flatbuffers::FlatBufferBuilder builder;
    builder.Finish(schema::CreateRequestGetResult(builder, 0, 1));
    const std::string_view body(reinterpret_cast<const char*>(builder.GetBufferPointer()), builder.GetSize());
    return test::HttpClient::Format("POST", "/getResult", body);
  }
  static void AwaitRequests(const Server& server, std::uint64_t count) {
    while (server.Stats().at("requests") < count) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
};

TEST_F(ServerHoldTest, APeerThatHangsUpIsForgottenWhenTheTimeIsOver) {
  const auto server = StartHolding(300);
  {
    test::HttpClient client(server->http_port());
    client.Send(Request());
    AwaitRequests(*server, 1);
  }
  while (server->Stats().at("connections_open") != 0)
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  EXPECT_EQ(server->Stats().at("get_result_rejected_total"), 1U);
}

TEST_F(ServerHoldTest, AServerThatStopsWaitsForNone) {
  const auto server = StartHolding(600'000);
  std::vector<test::HttpClient> clients;
  for (int i = 0; i < 20; ++i) {
    clients.emplace_back(server->http_port());
    clients.back().Send(Request());
  }
  AwaitRequests(*server, 20);
  server->Stop();
  for (test::HttpClient& client : clients) EXPECT_EQ(client.Receive().body, "The cluster is in safemode.");
}

}  // namespace
}  // namespace msfl::server
