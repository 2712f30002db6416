// Bodies: how they arrive, what the handler sees of them, and what is not let in.
#include <cmath>
#include <limits>

#include "net/http_fixture.h"

namespace msfl::net {
namespace {

std::string Chunked(std::string_view body, std::size_t piece, std::string_view trailers = {}) {
  std::string text;
  for (std::size_t at = 0; at < body.size(); at += piece) {
    char size[32];
    std::snprintf(size, sizeof size, "%zx", std::min(piece, body.size() - at));
    text += size;
    if (at % 2 == 1) text += ";name=value";
    text += "\r\n";
    text += body.substr(at, piece);
    text += "\r\n";
  }
  text += "0\r\n";
  text += trailers;
  return text + "\r\n";
}

std::string ChunkedHeader(std::string_view path, std::string_view extra = {}) {
  return "POST " + std::string(path) + " HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" + std::string(extra) +
         "\r\n";
}

class HttpBody : public HttpServerTest {
 protected:
  // Refused as too long or empty: the literal answer of the field.
  static void ExpectBadBody(const HttpAnswer& answer) {
    EXPECT_EQ(answer.status, 500);
    EXPECT_EQ(answer.status_text, "Client");
    EXPECT_EQ(answer.body, kBadBody);
    EXPECT_FALSE(answer.has("content-type"));
  }
};

TEST_F(HttpBody, OfEverySizeArrivesUnchangedAndAligned) {
  options.max_body_bytes = 1 << 20;
  Listen();
  auto client = Client();
  for (const std::size_t size : {1UL, 2UL, 63UL, 4000UL, 4096UL, 16383UL, 16384UL, 16385UL, 262144UL,
                                 262145UL, 1048575UL, 1048576UL}) {
    const std::string body = Noise(size);
    EXPECT_EQ(client.Post("/echo", body).body, body) << size;
    EXPECT_EQ(client.Post("/fl/describe", body).body,
              "POST /fl/describe " + std::to_string(size) + " aligned");
  }
}

TEST_F(HttpBody, OfFiftyMegabytesComesBackWhole) {
  options.max_body_bytes = 50'000'000;
  Listen();
  auto client = Client();
  const std::string body = Noise(50'000'000);
  EXPECT_TRUE(client.Post("/echo", body).body == body);
  EXPECT_TRUE(client.Post("/echo", body).body == body);  // in memory that was used before
}

TEST_F(HttpBody, EmptyIsRefusedAndTheConnectionStays) {
  Listen();
  auto client = Client();
  ExpectBadBody(client.Post("/echo", ""));
  client.Send("GET /echo HTTP/1.1\r\n\r\n");
  ExpectBadBody(client.Receive());
  client.Send(ChunkedHeader("/echo") + "0\r\n\r\n");
  ExpectBadBody(client.Receive());
  client.Send("HEAD /echo HTTP/1.1\r\n\r\n");
  EXPECT_EQ(client.Receive(true).status, 500);
  EXPECT_EQ(client.Post("/echo", "x").body, "x");
}

TEST_F(HttpBody, OverTheLimitIsRefusedAndTheAnswerCanBeReadAfterSendingItAll) {
  options.max_body_bytes = 1000;
  Listen();
  for (const std::size_t size : {1001UL, 100'000UL, 8'000'000UL}) {
    auto client = Client();
    const HttpAnswer answer = client.Post("/echo", Noise(size));
    ExpectBadBody(answer);
    if (size > 65536) {
      EXPECT_EQ(answer.headers.at("connection"), "close");
      client.FinishSending();
      EXPECT_TRUE(client.Closed());
    } else {
      EXPECT_EQ(client.Post("/echo", "goes on").body, "goes on");
    }
  }
}

TEST_F(HttpBody, ARouteMayTakeLessThanTheServer) {
  options.max_body_bytes = 200'000;
  small_route = 1000;
  Listen();
  auto client = Client();
  EXPECT_EQ(client.Post("/small", std::string(1000, 'x')).body, "POST /small 1000 aligned");
  ExpectBadBody(client.Post("/small", std::string(1001, 'x')));
  EXPECT_EQ(client.Post("/echo", std::string(200'000, 'x')).body.size(), 200'000U);
  client.Send(ChunkedHeader("/small") + "3e8\r\n" + std::string(1000, 'x') + "\r\n0\r\n\r\n");
  EXPECT_EQ(client.Receive().body, "POST /small 1000 aligned");
  client.Send(ChunkedHeader("/small") + "3e9\r\n" + std::string(1001, 'x') + "\r\n0\r\n\r\n");
  ExpectBadBody(client.Receive());
}

TEST_F(HttpBody, LengthThatNobodyCanHaveIsRefusedWithoutReadingIt) {
  Listen();
  auto client = Client();
  client.Send("POST /echo HTTP/1.1\r\nContent-Length: 18446744073709551615\r\n\r\n");
  ExpectBadBody(client.Receive());
}

TEST_F(HttpBody, CutShortEndsTheConnectionWithoutAHandler) {
  Listen();
  for (const std::size_t size : {10UL, 20'000UL, 500'000UL}) {
    const std::string request = HttpClient::Format("POST", "/echo", Noise(size));
    const std::size_t header = request.size() - size;
    for (const std::size_t cut :
         {std::size_t{1}, header / 2, header - 1, header, header + 1, header + size / 2, header + size - 1}) {
      auto client = Client();
      client.Send(request.substr(0, cut));
      client.FinishSending();
      EXPECT_TRUE(client.Closed()) << size << " cut at " << cut;
    }
  }
  EXPECT_EQ(server->stats().bytes_received, 0U);
  AwaitConnections(0);
}

TEST_F(HttpBody, ChunkedInPiecesOfAnySize) {
  options.max_body_bytes = 1 << 20;
  Listen();
  auto client = Client();
  for (const std::size_t size : {1UL, 1000UL, 65'536UL, 200'000UL, 1048576UL}) {
    const std::string body = Noise(size);
    for (const std::size_t piece : {std::max<std::size_t>(1, size / 1000), std::size_t{4099}, size}) {
      client.Send(ChunkedHeader("/echo") + Chunked(body, piece));
      EXPECT_TRUE(client.Receive().body == body) << size << " in chunks of " << piece;
    }
  }
  EXPECT_EQ(client.Post("/echo", "with a length").body, "with a length");
}

TEST_F(HttpBody, ChunkedByteForByteWithTrailersBetweenOtherRequests) {
  Listen();
  auto client = Client();
  const std::string all = HttpClient::Format("POST", "/echo", "before") + ChunkedHeader("/fl/describe?x") +
                          Chunked("0123456789", 3, "Checksum: 12\r\nX-More: yes\r\n") +
                          HttpClient::Format("POST", "/echo", "after");
  for (const std::size_t piece : {all.size(), std::size_t{1}, std::size_t{7}}) {
    client.SendPieces(all, piece);
    EXPECT_EQ(client.Receive().body, "before");
    EXPECT_EQ(client.Receive().body, "POST /fl/describe 10 aligned");
    EXPECT_EQ(client.Receive().body, "after");
  }
}

TEST_F(HttpBody, ChunkedOverTheLimitIsRefused) {
  options.max_body_bytes = 100'000;
  Listen();
  auto fits = Client();
  const std::string body = Noise(100'000);
  fits.Send(ChunkedHeader("/echo") + Chunked(body, 999));
  EXPECT_TRUE(fits.Receive().body == body);
  for (const std::size_t size : {100'001UL, 4'000'000UL}) {
    auto client = Client();
    client.Send(ChunkedHeader("/echo") + Chunked(Noise(size), 999));
    ExpectBadBody(client.Receive());
  }
}

TEST_F(HttpBody, ChunkedNonsenseIsABadRequest) {
  Listen();
  for (const std::string& nonsense :
       {std::string("xyz\r\n"), std::string("3\r\nabcdef\r\n"), std::string("11111111111111111\r\n"),
        "5;" + std::string(100'000, 'e'), "0\r\n" + std::string(100'000, 't')}) {
    auto client = Client();
    client.TrySend(ChunkedHeader("/echo") + nonsense);
    EXPECT_EQ(client.Receive().status, 400) << nonsense.substr(0, 20);
  }
}

TEST_F(HttpBody, ExpectedIsAskedForWhenItIsWelcome) {
  Listen();
  auto client = Client();
  const std::string body = Noise(30'000);
  const std::string request = HttpClient::Format("POST", "/echo", body, "Expect: 100-Continue\r\n");
  client.Send(request.substr(0, request.size() - body.size()));
  const HttpAnswer go_on = client.Receive();
  EXPECT_EQ(go_on.status, 100);
  EXPECT_TRUE(go_on.headers.empty());
  client.Send(body);
  EXPECT_TRUE(client.Receive().body == body);

  client.Send(ChunkedHeader("/echo", "Expect: 100-continue\r\n"));
  EXPECT_EQ(client.Receive().status, 100);
  client.Send(Chunked("abc", 2));
  EXPECT_EQ(client.Receive().body, "abc");

  client.Send(HttpClient::Format("POST", "/echo", "sent at once", "Expect: 100-continue\r\n"));
  EXPECT_EQ(client.Receive().body, "sent at once");
}

TEST_F(HttpBody, ExpectedIsRefusedBeforeItIsSentWhenItIsNot) {
  options.max_body_bytes = 1000;
  Listen();
  const auto refused = [this](const std::string& path, int length, const std::string& expectation) {
    auto client = Client();
    client.Send("POST " + path + " HTTP/1.1\r\nContent-Length: " + std::to_string(length) +
                "\r\nExpect: " + expectation + "\r\n\r\n");
    const HttpAnswer answer = client.Receive();
    EXPECT_EQ(answer.headers.at("connection"), "close");
    return answer;
  };
  ExpectBadBody(refused("/echo", 1001, "100-continue"));
  EXPECT_EQ(refused("/unknown", 10, "100-continue").status, 404);
  EXPECT_EQ(refused("/echo", 10, "a-miracle").status, 417);
}

TEST_F(HttpBody, OfVersion10IsNeverAskedFor) {
  Listen();
  auto client = Client();
  client.Send("POST /echo HTTP/1.0\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n");
  client.Send("ok");
  EXPECT_EQ(client.Receive().body, "ok");
}

TEST_F(HttpBody, WithNonFiniteNumbersIsMarkedHoweverItArrives) {
  options.max_body_bytes = 1 << 20;
  Listen();
  auto client = Client();
  for (const std::size_t floats : {2000UL, 4096UL, 100'003UL}) {  // small, at the boundary, large
    std::vector<float> numbers(floats, 0.25F);
    numbers[1] = std::numeric_limits<float>::quiet_NaN();
    numbers[floats - 1] = -std::numeric_limits<float>::infinity();
    const std::string body(reinterpret_cast<const char*>(numbers.data()), numbers.size() * 4);
    const std::string expected = "some: 0 " + std::to_string((floats - 1) * 4 / 4096);
    for (const std::size_t piece : {body.size(), std::size_t{1449}, std::size_t{10'007}}) {
      client.SendPieces(HttpClient::Format("POST", "/blocks", body), piece);
      EXPECT_EQ(client.Receive().body, expected) << floats << " in pieces of " << piece;
      client.SendPieces(ChunkedHeader("/blocks") + Chunked(body, piece), 5000);
      EXPECT_EQ(client.Receive().body, expected) << floats << " in chunks of " << piece;
    }
    EXPECT_EQ(client.Post("/blocks", std::string(floats * 4, 'a')).body, "none:");
  }
}

TEST_F(HttpBody, OfAnAnswerMayBeLargeAndSharedAndReadSlowly) {
  const std::string noise = Noise(20'000'000);
  tail->assign(noise.begin(), noise.end());
  Listen();
  HttpClient client(server->port(), 4096);
  const std::string body = client.Post("/tail", "x").body;
  EXPECT_TRUE(body == "head" + noise);
  EXPECT_EQ(client.Post("/echo", "next").body, "next");
  EXPECT_EQ(tail.use_count(), 1);
}

}  // namespace
}  // namespace msfl::net
