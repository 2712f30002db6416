// The answers that the server gives by itself.
#include <thread>

#include "net/http_fixture.h"

namespace msfl::net {
namespace {

class HttpRefusal : public HttpServerTest {
 protected:
  // Sends, and expects an answer with this status and then the end of the connection.
  void ExpectRefused(const std::string& bytes, int status) {
    SCOPED_TRACE(bytes.substr(0, 60));
    auto client = Client();
    client.TrySend(bytes);
    client.FinishSending();
    const HttpAnswer answer = client.Receive();
    EXPECT_EQ(answer.status, status);
    EXPECT_EQ(answer.headers.at("connection"), "close");
    EXPECT_TRUE(client.Closed());
  }
};

TEST_F(HttpRefusal, UnknownPathGetsAPageAndTheConnectionStays) {
  Listen();
  auto client = Client();
  for (const std::string& body : {std::string(), std::string("x"), Noise(60'000)}) {
    const HttpAnswer answer = client.Post("/nothing", body);
    EXPECT_EQ(answer.status, 404);
    EXPECT_EQ(answer.status_text, "Not Found");
    EXPECT_EQ(answer.headers.at("content-type"), "text/html; charset=ISO-8859-1");
    EXPECT_NE(answer.body.find("<html>"), std::string::npos);
  }
  EXPECT_EQ(client.Post("/echo", "x").body, "x");
}

TEST_F(HttpRefusal, UnknownPathWithALongBodyEndsTheConnection) {
  Listen();
  auto client = Client();
  const HttpAnswer answer = client.Post("/nothing", Noise(5'000'000));
  EXPECT_EQ(answer.status, 404);
  EXPECT_EQ(answer.headers.at("connection"), "close");
  client.FinishSending();
  EXPECT_TRUE(client.Closed());
}

TEST_F(HttpRefusal, OtherMethodsAreNotImplemented) {
  Listen();
  auto client = Client();
  for (const char* method : {"OPTIONS", "PATCH", "TRACE", "BREW", "post"}) {
    client.Send(HttpClient::Format(method, "/echo", "x"));
    EXPECT_EQ(client.Receive().status, 501) << method;
  }
  EXPECT_EQ(client.Post("/echo", "x").body, "x");
}

TEST_F(HttpRefusal, ExceptionOfAHandlerIsAnswered) {
  Listen();
  auto client = Client();
  const HttpAnswer answer = client.Post("/throw", "no \"luck\"\n\\ today");
  EXPECT_EQ(answer.status, 500);
  EXPECT_EQ(answer.status_text, "Internal Server Error");
  EXPECT_EQ(answer.body, R"({"code":"1","error_message":"no \"luck\"\u000a\\ today"})");
  EXPECT_FALSE(answer.has("content-type"));
  EXPECT_EQ(client.Post("/throw", "int").body, R"({"code":"1","error_message":"unknown exception"})");
  EXPECT_EQ(client.Post("/echo", "x").body, "x");
}

TEST_F(HttpRefusal, MalformedRequestsEndTheConnection) {
  Listen();
  ExpectRefused("nonsense\r\n\r\n", 400);
  ExpectRefused("POST /echo HTTP/2.0\r\n\r\n", 400);
  ExpectRefused("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400);
  ExpectRefused("POST /echo\r\n\r\n", 400);
  ExpectRefused("POST /echo HTTP/1.1\r\nno colon\r\n\r\n", 400);
  ExpectRefused("POST /echo HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400);
  ExpectRefused("POST /echo HTTP/1.1\r\nContent-Length: 1x\r\n\r\n", 400);
  ExpectRefused("POST /echo HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n", 400);
  ExpectRefused(std::string("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11) + std::string(200, '\x7f'),
                400);
}

TEST_F(HttpRefusal, BodiesWhoseEndIsAmbiguousEndTheConnection) {
  Listen();
  ExpectRefused("POST /echo HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                400);
  ExpectRefused("POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
                400);
  ExpectRefused("POST /echo HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", 400);
  ExpectRefused("POST /echo HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\nabcd", 400);
  ExpectRefused("POST /echo HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 400);
  ExpectRefused("POST /echo HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400);
}

TEST_F(HttpRefusal, HeadersOverTheLimitEndTheConnection) {
  options.max_header_bytes = 8000;
  Listen();
  const std::string start = "POST /echo HTTP/1.1\r\nContent-Length: 1\r\n";
  const std::string rest = "\r\n\r\nx";
  auto client = Client();
  client.Send(start + "X: " + std::string(7900, 'x') + rest);
  EXPECT_EQ(client.Receive().body, "x");
  ExpectRefused(start + "X: " + std::string(8000, 'x') + rest, 431);
  ExpectRefused(start + "X: " + std::string(1'000'000, 'x'), 431);
  ExpectRefused("POST /" + std::string(9000, 'x'), 431);
  std::string many = start;
  for (int i = 0; i < 400; ++i) many += "X-" + std::to_string(i) + ": a short field\r\n";
  ExpectRefused(many + rest, 431);
}

// Each field is complete as it comes, only together they are too long.
TEST_F(HttpRefusal, HeadersOverTheLimitAreFoundHoweverSlowlyTheyCome) {
  options.max_header_bytes = 2000;
  Listen();
  auto client = Client();
  client.Send("POST /echo HTTP/1.1\r\n");
  for (int i = 0; i < 300; ++i) {
    if (!client.TrySend("X-" + std::to_string(i) + ": a short field\r\n")) break;
    std::this_thread::sleep_for(std::chrono::microseconds(300));
  }
  EXPECT_EQ(client.Receive().status, 431);
}

}  // namespace
}  // namespace msfl::net
