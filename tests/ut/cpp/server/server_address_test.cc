// Where a Server listens, and what others are told about it.
#include "server/server_fixture.h"
#include "support/http_client.h"

namespace msfl::server {
namespace {

using test::HttpClient;

class ServerAddressTest : public ServerTest {
 protected:
  // What the node's row says, without the epoch, once the Server is up; with its ports as <tcp> and <http>.
  std::string RowOf(const ServerOptions& options) {
    server_ = Make(options);
    const Result<void> started = Start(*server_);
    EXPECT_TRUE(started) << started.error().text;
    if (!started) return {};
    std::string row = NodeRow(*server_);
    row.erase(row.rfind(' '));
    const std::string http = ":" + std::to_string(server_->http_port()) + "/";
    row.replace(row.find(http), http.size(), ":<http>/");
    const std::size_t end = row.find(' ', row.find(' ') + 1), colon = row.rfind(':', end);
    EXPECT_EQ(server_->node_id().find(row.substr(7, end - 7) + "::"), 0U) << server_->node_id();
    row.replace(colon + 1, end - colon - 1, "<tcp>");
    return row;
  }
  Error RefusalOf(const ServerOptions& options) {
    server_ = Make(options);
    const Result<void> started = Start(*server_);
    EXPECT_FALSE(started);
    return started ? Error{} : started.error();
  }
  static bool Answers(HttpClient client, const std::string& path) {
    const test::HttpAnswer answer = client.Post(path, "x");
    return answer.status == 200;
  }

  std::unique_ptr<Server> server_;
};

TEST_F(ServerAddressTest, WhatIsBoundIsTold) {
  EXPECT_EQ(RowOf(Options()), "SERVER 127.0.0.1:<tcp> http://127.0.0.1:<http>/");
  EXPECT_TRUE(Answers(HttpClient(server_->http_port()), "/getModel"));
}

TEST_F(ServerAddressTest, AWildcardIsToldByTheAdvertisedHost) {
  ServerOptions options = Options();
  options.http_host = "0.0.0.0";
  options.tcp_server_ip = "0.0.0.0";
  options.advertise_host = "server-1.example";
  EXPECT_EQ(RowOf(options), "SERVER server-1.example:<tcp> http://server-1.example:<http>/");
  EXPECT_TRUE(Answers(HttpClient(server_->http_port()), "/getModel"));
}

TEST_F(ServerAddressTest, AnAddressBehindANatIsToldToPeersAndAConcreteHttpAddressStays) {
  ServerOptions options = Options();
  options.advertise_host = "203.0.113.7";
  EXPECT_EQ(RowOf(options), "SERVER 203.0.113.7:<tcp> http://127.0.0.1:<http>/");
}

TEST_F(ServerAddressTest, Ipv6StandsInBrackets) {
  ServerOptions options = Options();
  options.http_host = "::1";
  options.tcp_server_ip = "::1";
  options.http_url_prefix = "fl";
  EXPECT_EQ(RowOf(options), "SERVER [::1]:<tcp> http://[::1]:<http>/fl/");
  EXPECT_TRUE(Answers(HttpClient::OverIpv6(server_->http_port()), "/fl/getModel"));
}

TEST_F(ServerAddressTest, TheIpv6WildcardServesBoth) {
  ServerOptions options = Options();
  options.http_host = "::";
  options.tcp_server_ip = "::";
  options.advertise_host = "2001:db8::1";
  EXPECT_EQ(RowOf(options), "SERVER [2001:db8::1]:<tcp> http://[2001:db8::1]:<http>/");
  EXPECT_TRUE(Answers(HttpClient::OverIpv6(server_->http_port()), "/getModel"));
  EXPECT_TRUE(Answers(HttpClient(server_->http_port()), "/getModel"));
}

TEST_F(ServerAddressTest, AHostName) {
  ServerOptions options = Options();
  options.http_host = "localhost";
  EXPECT_EQ(RowOf(options), "SERVER 127.0.0.1:<tcp> http://localhost:<http>/");
}

TEST_F(ServerAddressTest, APrefixWithAndWithoutSlashes) {
  for (const char* prefix : {"fl/v1", "/fl/v1", "fl/v1/", "/fl/v1/"}) {
    ServerOptions options = Options();
    options.http_url_prefix = prefix;
    EXPECT_EQ(RowOf(options), "SERVER 127.0.0.1:<tcp> http://127.0.0.1:<http>/fl/v1/");
    EXPECT_TRUE(Answers(HttpClient(server_->http_port()), "/fl/v1/exportModel"));
    server_->Stop();
  }
  for (const char* none : {"", "/"}) {
    ServerOptions options = Options();
    options.http_url_prefix = none;
    EXPECT_EQ(RowOf(options), "SERVER 127.0.0.1:<tcp> http://127.0.0.1:<http>/");
    server_->Stop();
  }
}

TEST_F(ServerAddressTest, AWildcardTellsNobodyAnything) {
  ServerOptions options = Options();
  options.http_host = "0.0.0.0";
  Error refusal = RefusalOf(options);
  EXPECT_EQ(refusal.code, Errc::kInvalidArgument);
  EXPECT_NE(refusal.text.find("http_server_address '0.0.0.0'"), std::string::npos) << refusal.text;
  options = Options();
  options.tcp_server_ip = "::";
  refusal = RefusalOf(options);
  EXPECT_EQ(refusal.code, Errc::kInvalidArgument);
  EXPECT_NE(refusal.text.find("tcp_server_ip '::'"), std::string::npos) << refusal.text;
}

TEST_F(ServerAddressTest, WhatIsNoHostIsNotAdvertised) {
  for (const char* host : {"0.0.0.0", "::", "a b", "[::1]", "host:80", "http://host", "a/b"}) {
    ServerOptions options = Options();
    options.advertise_host = host;
    const Error refusal = RefusalOf(options);
    EXPECT_EQ(refusal.code, Errc::kInvalidArgument) << host;
    EXPECT_NE(refusal.text.find(std::string("'") + host + "'"), std::string::npos) << refusal.text;
  }
}

TEST_F(ServerAddressTest, APortThatIsTaken) {
  RowOf(Options());
  ServerOptions options = Options();
  options.fl_name = "another job";
  options.http_port = server_->http_port();
  const std::unique_ptr<Server> second = Make(options);
  const Result<void> refused = Start(*second);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::kAddressInUse);
  EXPECT_EQ(refused.error().text.find("Http server starting failed."), 0U) << refused.error().text;
}

TEST_F(ServerAddressTest, ANodeThatWasRemovedEntersAgainAsItWas) {
  const std::string before = RowOf(Options());
  const std::string row = NodeRow(*server_);
  Tell({"HDEL", Key("nodes"), server_->node_id()});
  std::string again;
  while ((again = NodeRow(*server_)).empty()) {
  }
  again.erase(again.rfind(' '));
  EXPECT_EQ(again, row.substr(0, row.rfind(' ')));
}

}  // namespace
}  // namespace msfl::server
