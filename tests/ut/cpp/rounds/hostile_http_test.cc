// What stands around a message: lengths nobody can have, requests within requests, other protocols, ends in
// the middle. A device "smuggled" must never get in.
#include "rounds/hostile_fixture.h"

namespace msfl::rounds {
namespace {

class HostileHttp : public HostileTest {
 protected:
  // The statuses of all answers until the server closes, which it does at the latest when it has read the
  // end.
  std::vector<int> Statuses(const std::string& bytes) {
    test::HttpClient client = Connect();
    client.TrySend(bytes);
    client.FinishSending();
    std::vector<int> statuses;
    while (!client.Closed()) statuses.push_back(client.Receive().status);
    return statuses;
  }
  void AwaitNoConnection() {
    while (http_->stats().connections_open != 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  // Nobody else was seen, not even to be refused.
  void HonestIteration() {
    AwaitNoConnection();
    JoinBoth();
    Finish();
    EXPECT_EQ(ended().back().visits.at("startFLJobTotalClientNum"), 2U);
    EXPECT_EQ(ended().back().visits.at("updateModelTotalClientNum"), 2U);
  }
  static std::string Smuggled() {
    const Bytes8 body = StartRequest("smuggled", 10);
    return test::HttpClient::Format("POST", "/startFLJob", Text(body));
  }
  static std::string Chunk(std::string_view bytes) {
    char size[20];
    std::snprintf(size, sizeof size, "%zx\r\n", bytes.size());
    return size + std::string(bytes) + "\r\n";
  }
};

TEST_F(HostileHttp, LengthsThatNobodyCanHave) {
  Serve();
  const auto answer_to = [&](const std::string& length, const std::string& method = "POST") {
    test::HttpClient client = Connect();
    client.Send(method + " /updateModel HTTP/1.1\r\nHost: x\r\nContent-Length:" + length + "\r\n\r\n");
    const test::HttpAnswer answer = client.Receive();  // without a byte of the body
    EXPECT_EQ(answer.headers.at("connection"), "close");
    if (answer.status == 500) {
      EXPECT_EQ(answer.body, kBadBody);
    }
    return answer.status;
  };
  // 2 GiB, 2^32, 2^63 - 1, 2^63, 2^64 - 1
  for (const std::string length : {" 2147483647", " 2147483648", " 2147483649", " 4294967296",
                                   " 9223372036854775807", " 9223372036854775808", " 18446744073709551615"}) {
    EXPECT_EQ(answer_to(length), 500) << length;
    EXPECT_EQ(answer_to(length, "GET"), 500) << length;
    EXPECT_EQ(answer_to("  \t" + length + " \t "), 500) << length;
  }
  for (const std::string length : {" 18446744073709551616", " 18446744073709551621", " 99999999999999999999",
                                   " 100000000000000000000000", " -1", " -5", " +5", " 0x10", " 1e3", " 5.0",
                                   " 5 5", " 5, 6", " 5;", " five", " 5\v", " \"5\"", " 0b1"}) {
    EXPECT_EQ(answer_to(length), 400) << length;
  }
  HonestIteration();
}

TEST_F(HostileHttp, AnEmptyBodyIsNoMessage) {
  Serve();
  for (const char* length : {"0", "00", "000000000000000000000000000"}) {
    test::HttpClient client = Connect();
    client.Send(std::string("POST /startFLJob HTTP/1.1\r\nHost: x\r\nContent-Length: ") + length +
                "\r\n\r\n");
    const test::HttpAnswer answer = client.Receive();
    EXPECT_TRUE(answer.status == 500 || answer.status == 400) << length;
  }
  EXPECT_EQ(Connect().Post("/updateModel", "").body, kBadBody);
  EXPECT_EQ(Statuses("POST /startFLJob HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
            std::vector<int>{500});
  HonestIteration();
}

TEST_F(HostileHttp, TwoLengthsOrALengthAndChunks) {
  Serve();
  const std::string inner = Smuggled(), begin = "POST /getModel HTTP/1.1\r\nHost: x\r\n";
  const std::string length = "Content-Length: " + std::to_string(inner.size() + 5) + "\r\n";
  const std::string chunked = "Transfer-Encoding: chunked\r\n", chunks = "\r\n0\r\n\r\n" + inner;
  for (const std::string& headers :
       {// CL.TE, TE.CL
        length + chunked, chunked + length, "Content-Length: 0\r\n" + chunked,
        chunked + "Content-Length: 4\r\n",
        // TE.TE and other spellings
        std::string("Transfer-Encoding: identity\r\n"),
        std::string("Transfer-Encoding: chunked, identity\r\n"),
        std::string("Transfer-Encoding: identity, chunked\r\n"),
        std::string("Transfer-Encoding: xchunked\r\n"),
        std::string("Transfer-Encoding: chunked, chunked\r\n"), chunked + "Transfer-Encoding: x\r\n",
        "Transfer-Encoding: x\r\n" + chunked, std::string("Transfer-Encoding: \"chunked\"\r\n"),
        std::string("Transfer-Encoding : chunked\r\n"), std::string("Transfer-Encoding: gzip\r\n"),
        std::string("Transfer-Encoding: chunked;x\r\n"), std::string("Transfer-Encoding: chu\0nked\r\n", 29),
        std::string("Transfer-Encoding:\x0b"
                    "chunked\r\n"),
        // CL.CL
        length + "Content-Length: 4\r\n", "Content-Length: 4\r\n" + length, "Content-Length: 0\r\n" + length,
        length + length, std::string("Content-Length : 4\r\n"), std::string("Content-Length: 4, 4\r\n"),
        std::string("Content\0Length: 4\r\n", 20), std::string("Content-Length: 4\0\r\n", 20),
        std::string("Content-Length: 4\n")}) {
    EXPECT_EQ(Statuses(begin + headers + chunks), std::vector<int>{400}) << headers;
  }
  HonestIteration();
}

TEST_F(HostileHttp, LinesThatEndOtherwise) {
  Serve();
  const std::string inner = Smuggled();
  for (const std::string& request :
       {"POST /getModel HTTP/1.1\nHost: x\nContent-Length: 4\n\nabcd" + inner,
        "POST /getModel HTTP/1.1\rHost: x\rContent-Length: 4\r\rabcd" + inner,
        "POST /getModel HTTP/1.1\r\nHost: x\r\nX: a\rContent-Length: 9\r\nContent-Length: 4\r\n\r\nabcd" +
            inner,
        "POST /getModel HTTP/1.1\r\nHost: x\r\nX: a\nContent-Length: 9\r\nContent-Length: 4\r\n\r\nabcd" +
            inner,
        "POST /getModel HTTP/1.1\r\nHost\r\nContent-Length: 4\r\n\r\nabcd" + inner,
        "POST /getModel HTTP/1.1\r\n: x\r\nContent-Length: 4\r\n\r\nabcd" + inner,
        "POST /getModel HTTP/1.1\r\nHost: x\r\nX: " + std::string("a\0b", 3) +
            "\r\nContent-Length: 4\r\n\r\nabcd" + inner,
        "POST /getModel HTTP/1.1\r\nHost: x\r\nX\xff: a\r\nContent-Length: 4\r\n\r\nabcd" + inner,
        "POST\t/getModel\tHTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nabcd" + inner,
        "POST /getModel  HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nabcd" + inner,
        "POST /get Model HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nabcd" + inner}) {
    EXPECT_EQ(Statuses(request), std::vector<int>{400}) << request.substr(0, 80);
  }
  HonestIteration();
}

// A length that fits into the number may come; what has come by then is nothing.
TEST_F(HostileHttp, AChunkOfTheLargestLengthIsNeverWhole) {
  Serve();
  const std::string begin = "POST /updateModel HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
  for (const char* size : {"ffffffffffffffff", "7fffffffffffffff", "80000000"}) {
    // Refused for what it claims, before any of it has come.
    EXPECT_EQ(Statuses(begin + size + "\r\n"), std::vector<int>{500}) << size;
    EXPECT_EQ(Statuses(begin + size + "\r\n" + Smuggled()), std::vector<int>{500}) << size;
    EXPECT_EQ(Statuses(begin + "5\r\nhello\r\n" + size + "\r\n"), std::vector<int>{500}) << size;
  }
  HonestIteration();
}

// A header that goes on in a second line could be another request to a proxy.
TEST_F(HostileHttp, FoldedHeadersHideNothing) {
  Serve();
  const std::string inner = Smuggled(), size = std::to_string(inner.size());
  for (const std::string& headers :
       {"X: a\r\n Content-Length: 3\r\nContent-Length: " + size + "\r\n",
        "Content-Length:\r\n " + size + "\r\n",
        "X: a\r\n\tTransfer-Encoding: chunked\r\nContent-Length: " + size + "\r\n",
        std::string(" Transfer-Encoding: chunked\r\n"), std::string("Transfer-Encoding:\r\n chunked\r\n")}) {
    EXPECT_EQ(Statuses("POST /getModel HTTP/1.1\r\nHost: x\r\n" + headers + "\r\n" + inner),
              std::vector<int>{400})
        << headers;
  }
  HonestIteration();
}

TEST_F(HostileHttp, ChunksThatLie) {
  Serve();
  const std::string begin = "POST /updateModel HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
  for (const std::string& chunks :
       {std::string("10000000000000000\r\nab"), std::string("FFFFFFFFFFFFFFFFF\r\nab"),
        std::string("-1\r\na"), std::string("+2\r\nab\r\n"), std::string("0x2\r\nab\r\n"),
        std::string(" 2\r\nab\r\n"), std::string("\r\nab\r\n"), std::string("2\r\nabc\r\n0\r\n\r\n"),
        std::string("2\nab\n0\n\n"), std::string("g\r\nab\r\n"),
        "2;" + std::string(100'000, 'x') + "\r\nab\r\n0\r\n\r\n",
        "2\r\nab\r\n0\r\nX: " + std::string(100'000, 'x') + "\r\n\r\n"}) {
    const std::vector<int> statuses = Statuses(begin + chunks + Smuggled());
    // A chunk that is longer than any body may be is a bad body, a number that nobody can read is not.
    ASSERT_EQ(statuses.size(), 1U) << chunks.substr(0, 40);
    EXPECT_TRUE(statuses[0] == 400 || statuses[0] == 500) << chunks.substr(0, 40) << statuses[0];
  }
  HonestIteration();
}

TEST_F(HostileHttp, ChunksWithExtensionsAndTrailersAreTheirData) {
  Serve();
  JoinBoth();
  const Bytes8 body = GoodUpload("h", 40);
  const std::string_view text = Text(body);
  std::string request = "POST /updateModel HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: Chunked\r\n\r\n";
  for (std::size_t at = 0; at < text.size(); at += 7) {
    std::string chunk = Chunk(text.substr(at, 7));
    chunk.insert(chunk.find('\r'), ";name=value;flag");
    request += chunk;
  }
  // What steers a connection has no place behind the body.
  EXPECT_EQ(Statuses(request + "0\r\nContent-Length: 3\r\n\r\n"), std::vector<int>{400});
  EXPECT_EQ(Statuses(request + "0\r\nTransfer-Encoding: chunked\r\n\r\n"), std::vector<int>{400});
  EXPECT_EQ(Statuses(request + "0\r\nX: y\r\nExpect: y\r\n\r\n"), std::vector<int>{200});
  FinishWith(40, 1);
}

TEST_F(HostileHttp, TargetsOfEveryForm) {
  Serve();
  const Bytes8 body = UpdateRequest("nobody", 1, AllWeights(1));
  const auto status = [&](const std::string& method, const std::string& target) {
    return Statuses(test::HttpClient::Format(method, target, Text(body)));
  };
  EXPECT_EQ(status("POST", "http://elsewhere:99/updateModel?x=1"), std::vector<int>{200});
  EXPECT_EQ(status("POST", "http://elsewhere"), std::vector<int>{404});
  EXPECT_EQ(status("POST", "https://elsewhere/updateModel"), std::vector<int>{404});
  EXPECT_EQ(status("POST", "*"), std::vector<int>{404});
  EXPECT_EQ(status("OPTIONS", "*"), std::vector<int>{501});
  EXPECT_EQ(status("CONNECT", "elsewhere:443"), std::vector<int>{501});
  EXPECT_EQ(status("TRACE", "/updateModel"), std::vector<int>{501});
  EXPECT_EQ(status("POST", "/" + std::string(8192, 'x')), std::vector<int>{404});
  EXPECT_EQ(status("POST", "/updateModel?" + std::string(8192, 'x')), std::vector<int>{200});
  EXPECT_EQ(status("POST", "/" + std::string(20'000, 'x')), std::vector<int>{431});
  EXPECT_EQ(status("POST", "/x/../updateModel"), std::vector<int>{404});
  AwaitNoConnection();
  JoinBoth();
  Finish();
}

TEST_F(HostileHttp, OtherProtocols) {
  Serve();
  const std::string hello("\x16\x03\x01\x00\xc8\x01\x00\x00\xc4\x03\x03", 11);
  for (const std::string& bytes :
       {std::string("GET /startFLJob\r\n\r\n"), std::string("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        std::string("POST /startFLJob HTTP/3.0\r\n\r\n"), std::string("POST /startFLJob http/1.1\r\n\r\n"),
        std::string("POST /startFLJob HTTP/1.1.1\r\n\r\n"), std::string("*1\r\n$4\r\nPING\r\n"),
        hello + std::string(200, 'x'), std::string(100, '\0') + "\r\n\r\n",
        std::string("SSH-2.0-x\r\n\r\n")}) {
    EXPECT_EQ(Statuses(bytes), std::vector<int>{400}) << bytes;
  }
  HonestIteration();
}

TEST_F(HostileHttp, AnEndAtEveryByte) {
  Serve();
  const auto cut_everywhere = [&](const std::string& round, const Bytes8& body) {
    const std::string request = test::HttpClient::Format("POST", "/" + round, Text(body));
    for (std::size_t size = 0; size < request.size(); ++size) {
      test::HttpClient closes = Connect(), resets = Connect();
      closes.Send(request.substr(0, size));
      resets.Send(request.substr(0, size));
      closes.Close();
      resets.Reset();
    }
    AwaitNoConnection();
  };
  cut_everywhere("startFLJob", StartRequest("h", 10));
  JoinBoth();
  cut_everywhere("updateModel", GoodUpload("h", 40));
  Finish();
  EXPECT_EQ(ended().back().visits.at("startFLJobTotalClientNum"), 2U);
  EXPECT_EQ(ended().back().visits.at("updateModelTotalClientNum"), 2U);
}

// Whoever does not wait for the answer has been counted all the same, once.
TEST_F(HostileHttp, AnEndBeforeTheAnswer) {
  Serve();
  JoinBoth();
  const std::string request = test::HttpClient::Format("POST", "/updateModel", Text(GoodUpload("h", 40)));
  for (int i = 0; i < 50; ++i) {
    test::HttpClient client = Connect();
    client.Send(request);
    i % 2 == 0 ? client.Close() : client.FinishSending();
  }
  AwaitNoConnection();
  FinishWith(40, 1);
}

}  // namespace
}  // namespace msfl::rounds
