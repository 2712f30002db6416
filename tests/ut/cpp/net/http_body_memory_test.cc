// The memory for bodies over real connections: who waits, what is told to those who waited in vain, and who
// is not concerned.
#include <thread>

#include "net/http_fixture.h"

namespace msfl::net {
namespace {

constexpr std::size_t kMegabyte = 1 << 20;

std::string ChunkedRequest(std::string_view path, std::string_view body, std::size_t piece) {
  std::string text = "POST " + std::string(path) + " HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
  for (std::size_t at = 0; at < body.size(); at += piece) {
    char size[32];
    std::snprintf(size, sizeof size, "%zx\r\n", std::min(piece, body.size() - at));
    text += size;
    text += body.substr(at, piece);
    text += "\r\n";
  }
  return text + "0\r\n\r\n";
}

class HttpBodyMemory : public HttpServerTest {
 protected:
  HttpBodyMemory() {
    options.max_body_bytes = 64 * kMegabyte;
    options.body_memory = 4 * kMegabyte;
    options.body_wait = std::chrono::minutes(10);
    options.header_timeout = options.idle_timeout = options.body_stall_timeout = std::chrono::minutes(10);
  }

  void Serve(const std::string& host = "127.0.0.1") {
    auto routes = Routes();
    for (HttpRoute& route : routes) {
      if (route.path == "/echo") {
        route.overloaded = [](const OverloadedRequest& request) { return Overloaded(request); };
      }
    }
    server = std::make_unique<HttpServer>(loops, pool, options, std::move(routes));
    loops.Start();
    const auto listening = server->Listen(host, 0);
    ASSERT_TRUE(listening.has_value()) << listening.error().text;
  }

  static Task<HttpReply> Overloaded(const OverloadedRequest& request) {
    std::string text(request.path);
    text += ' ' + std::to_string(request.body_bytes) + ' ';
    text.append(request.first.begin(), request.first.end());
    text += ' ';
    text.append(request.last.begin(), request.last.end());
    co_return TextReply(text);
  }
  static std::string OverloadedText(std::string_view body) {
    constexpr std::size_t kKept = OverloadedRequest::kSampleBytes;
    return "/echo " + std::to_string(body.size()) + ' ' + std::string(body.substr(0, kKept)) + ' ' +
           std::string(body.substr(body.size() - kKept));
  }

  // A request in its handler that holds all there is, until `released`.
  HttpClient Exhaust(std::size_t bytes = 4 * kMegabyte) {
    auto client = Client();
    client.Send(HttpClient::Format("POST", "/hold", std::string(bytes, 'h')));
    AwaitHeld(1);
    EXPECT_EQ(server->stats().body_memory_used, bytes);
    return client;
  }
  void AwaitWaiting(std::uint64_t count) {
    while (server->stats().bodies_waiting != count) std::this_thread::sleep_for(milliseconds(1));
  }
  std::uint64_t Struck(HttpLimit limit) { return server->stats().Limit(limit); }
};

TEST_F(HttpBodyMemory, IsNeverExceededByAHundredAtOnce) {
  options.body_memory = 8 * kMegabyte;
  Serve();
  std::atomic<bool> done{false};
  std::uint64_t most = 0, most_idle = 0;
  std::thread watcher([&] {
    while (!done) {
      most = std::max<std::uint64_t>(most, server->stats().body_memory_used);
      most_idle = std::max<std::uint64_t>(most_idle, pool->idle_bytes());
      std::this_thread::sleep_for(std::chrono::microseconds(50));
    }
  });
  const std::string body = Noise(kMegabyte);
  const auto device_body = [&](int device) { return body.substr(static_cast<std::size_t>(device) * 1000); };
  // All begin: eight find room.
  std::vector<HttpClient> clients;
  for (int i = 0; i < 90; ++i) {
    clients.push_back(Client());
    clients.back().Send(HttpClient::Format("POST", "/echo", device_body(i)).substr(0, 1000));
  }
  AwaitWaiting(82);
  EXPECT_EQ(server->stats().body_memory_used, options.body_memory);
  std::atomic<int> whole{0};
  std::vector<std::thread> devices;
  for (int i = 0; i < 100; ++i) {
    devices.emplace_back([&, i] {
      const std::string mine = device_body(i);
      if (i < 90) {
        HttpClient& client = clients[static_cast<std::size_t>(i)];
        client.Send(HttpClient::Format("POST", "/echo", mine).substr(1000));
        if (client.Receive().body == mine) ++whole;
      } else {
        auto client = Client();
        client.Send(ChunkedRequest("/echo", mine, 50'000));
        const std::string answer = client.Receive().body;
        // Whoever can't grow is told so: it doesn't wait with memory in its hands.
        if (answer == mine || answer == OverloadedText(mine)) ++whole;
      }
    });
  }
  for (auto& device : devices) device.join();
  done = true;
  watcher.join();
  EXPECT_EQ(whole, 100);
  EXPECT_LE(most, options.body_memory);
  EXPECT_EQ(most, options.body_memory);
  EXPECT_LE(most_idle, options.body_memory);
  EXPECT_EQ(server->stats().body_memory_used, 0U);
  EXPECT_EQ(server->stats().bodies_waiting, 0U);
}

TEST_F(HttpBodyMemory, WithoutRoomTheSocketIsLeftUnreadUntilThereIsSome) {
  options.max_body_bytes = 64 * kMegabyte;
  options.body_memory = 64 * kMegabyte;
  Serve();
  auto holder = Exhaust(64 * kMegabyte);
  const std::string body = Noise(50'000'000);
  std::atomic<bool> sent{false};
  auto client = Client();
  std::thread device([&] {
    client.Send(HttpClient::Format("POST", "/echo", body));
    sent = true;
  });
  AwaitWaiting(1);
  std::this_thread::sleep_for(milliseconds(300));
  EXPECT_FALSE(sent);  // the sockets between them hold a few megabytes
  released = true;
  device.join();
  EXPECT_TRUE(client.Receive().body == body);
  EXPECT_EQ(holder.Receive().body, "released");
  EXPECT_EQ(Struck(HttpLimit::kBodyMemory), 0U);
}

TEST_F(HttpBodyMemory, WhoWaitedInVainIsAnsweredAfterSendingItAllAndTheConnectionStays) {
  options.body_wait = milliseconds(50);
  Serve();
  auto holder = Exhaust();
  auto client = Client();
  for (const std::size_t size : {20'000UL, 3'000'000UL, 50'000'000UL}) {
    const std::string body = Noise(size);
    EXPECT_TRUE(client.Post("/echo", body).body == OverloadedText(body)) << size;
    EXPECT_EQ(client.Post("/echo", "small").body, "small");
  }
  EXPECT_EQ(Struck(HttpLimit::kBodyMemory), 3U);
  EXPECT_EQ(client.Post("/fl/describe", Noise(20'000)).status, 503);  // a route without words of its own
  EXPECT_EQ(client.Post("/echo", "small").body, "small");
  released = true;
  EXPECT_EQ(holder.Receive().body, "released");
  const std::string body = Noise(3'000'000);
  EXPECT_TRUE(client.Post("/echo", body).body == body);
}

TEST_F(HttpBodyMemory, WithoutPatienceTheAnswerComesAtOnceInTheMidstOfOthers) {
  options.body_wait = milliseconds(0);
  Serve();
  auto holder = Exhaust();
  const std::string body = Noise(100'000);
  const std::string all = HttpClient::Format("POST", "/echo", "before") +
                          HttpClient::Format("POST", "/echo", body) + ChunkedRequest("/echo", body, 999) +
                          HttpClient::Format("POST", "/echo", "after");
  for (const std::size_t piece : {all.size(), std::size_t{3001}}) {
    auto client = Client();
    client.SendPieces(all, piece);
    EXPECT_EQ(client.Receive().body, "before");
    EXPECT_TRUE(client.Receive().body == OverloadedText(body));
    EXPECT_TRUE(client.Receive().body == OverloadedText(body));
    EXPECT_EQ(client.Receive().body, "after");
  }
}

TEST_F(HttpBodyMemory, SmallBodiesNeedNone) {
  Serve();
  auto holder = Exhaust();
  auto waiting = Client();
  waiting.Send(HttpClient::Format("POST", "/echo", Noise(20'000)));
  AwaitWaiting(1);
  auto client = Client();
  for (const std::size_t size : {1UL, 1000UL, 16'384UL}) {
    const std::string body = Noise(size);
    EXPECT_EQ(client.Post("/echo", body).body, body);
    client.Send(ChunkedRequest("/echo", body, 700));
    EXPECT_EQ(client.Receive().body, body);
  }
  EXPECT_EQ(server->stats().bodies_waiting, 1U);
  released = true;
  EXPECT_EQ(waiting.Receive().body, Noise(20'000));
}

TEST_F(HttpBodyMemory, AChunkedBodyWaitsBeforeItsFirstPieceAndIsDroppedWhenItCanNotGrow) {
  Serve();
  const std::string body = Noise(2'000'000);
  {
    auto holder = Exhaust();
    auto client = Client();
    client.Send(ChunkedRequest("/echo", body.substr(0, 100'000), 5000));
    AwaitWaiting(1);
    released = true;
    EXPECT_TRUE(client.Receive().body == body.substr(0, 100'000));
    EXPECT_EQ(holder.Receive().body, "released");
  }
  released = false;
  held = 0;
  auto holder = Exhaust(3 * kMegabyte);
  auto client = Client();
  client.Send(ChunkedRequest("/echo", body, 70'000));
  EXPECT_TRUE(client.Receive().body == OverloadedText(body));
  EXPECT_EQ(server->stats().body_memory_used, 3 * kMegabyte);
  client.Send(ChunkedRequest("/echo", body.substr(0, 900'000), 70'000));
  EXPECT_TRUE(client.Receive().body == body.substr(0, 900'000));
  client.Send(ChunkedRequest("/echo", std::string(70 * kMegabyte, 'x'), 1'000'000));
  EXPECT_EQ(client.Receive().body, kBadBody);  // kept or not, the limit is the limit
}

TEST_F(HttpBodyMemory, ChunkedBodiesAsLargeAsTheBudgetGetIn) {
  options.max_body_bytes = options.body_memory = 5'000'001;
  Serve();
  auto client = Client();
  const std::string body = Noise(5'000'001);
  for (int i = 0; i < 2; ++i) {
    client.Send(ChunkedRequest("/echo", body, 100'000));
    EXPECT_TRUE(client.Receive().body == body);
    EXPECT_TRUE(client.Post("/echo", body).body == body);
  }
}

TEST_F(HttpBodyMemory, IsThereBeforeABodyIsAskedFor) {
  options.body_wait = std::chrono::minutes(10);
  Serve();
  auto holder = Exhaust();
  const std::string body = Noise(30'000);
  auto client = Client(), chunked = Client();
  client.Send("POST /echo HTTP/1.1\r\nContent-Length: 30000\r\nExpect: 100-continue\r\n\r\n");
  AwaitWaiting(1);
  chunked.Send("POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n");
  AwaitWaiting(2);
  EXPECT_FALSE(client.Readable());
  EXPECT_FALSE(chunked.Readable());
  released = true;
  EXPECT_EQ(client.Receive().status, 100);
  client.Send(body);
  EXPECT_EQ(client.Receive().body, body);
  EXPECT_EQ(chunked.Receive().status, 100);
  chunked.Send("3\r\nabc\r\n0\r\n\r\n");
  EXPECT_EQ(chunked.Receive().body, "abc");
}

TEST_F(HttpBodyMemory, WhoExpectsToBeAskedIsToldAfterAllAlsoWithoutRoom) {
  options.body_wait = milliseconds(0);
  Serve();
  auto holder = Exhaust();
  const std::string body = Noise(30'000);
  auto client = Client();
  client.Send("POST /echo HTTP/1.1\r\nContent-Length: 30000\r\nExpect: 100-continue\r\n\r\n");
  EXPECT_EQ(client.Receive().status, 100);
  client.Send(body);
  EXPECT_EQ(client.Receive().body, OverloadedText(body));
  EXPECT_EQ(client.Post("/echo", "next").body, "next");
}

TEST_F(HttpBodyMemory, WhoHangsUpLeavesTheQueue) {
  Serve();
  auto holder = Exhaust();
  const std::string request = HttpClient::Format("POST", "/echo", Noise(3'000'000));
  {
    auto reset = Client(), finished = Client();
    reset.Send(request.substr(0, 50'000));
    finished.Send(request.substr(0, 50'000));
    AwaitWaiting(2);
    reset.Reset();
    AwaitWaiting(1);
    finished.FinishSending();  // with less than it announced
    AwaitWaiting(0);
    EXPECT_TRUE(finished.Closed());
  }
  AwaitConnections(1);
  // Who has sent it all and reads on, is served.
  auto patient = Client();
  patient.Send(HttpClient::Format("POST", "/echo", Noise(30'000)));
  patient.FinishSending();
  AwaitWaiting(1);
  std::this_thread::sleep_for(milliseconds(1500));
  EXPECT_EQ(server->stats().bodies_waiting, 1U);
  released = true;
  EXPECT_EQ(patient.Receive().body, Noise(30'000));
}

TEST_F(HttpBodyMemory, AStopEndsWaitingWithAnAnswer) {
  Serve();
  auto holder = Exhaust();
  auto client = Client();
  const std::string body = Noise(3'000'000);
  std::thread device([&] { client.Send(HttpClient::Format("POST", "/echo", body)); });
  AwaitWaiting(1);
  std::thread stop([&] { server->Stop(std::chrono::minutes(1)); });
  const HttpAnswer answer = client.Receive();
  EXPECT_TRUE(answer.body == OverloadedText(body));
  EXPECT_EQ(answer.headers.at("connection"), "close");
  device.join();
  released = true;
  EXPECT_EQ(holder.Receive().body, "released");
  stop.join();
}

TEST_F(HttpBodyMemory, AnImpatientStopClosesWhoWaits) {
  Serve();
  auto holder = Exhaust();
  auto client = Client();
  client.Send("POST /echo HTTP/1.1\r\nContent-Length: 3000000\r\n\r\nstart");
  AwaitWaiting(1);
  std::thread stop([&] { server->Stop(milliseconds(0)); });
  EXPECT_TRUE(client.Closed());
  released = true;
  stop.join();
  EXPECT_EQ(server->stats().bodies_waiting, 0U);
  EXPECT_EQ(server->stats().body_memory_used, 0U);
}

TEST_F(HttpBodyMemory, OneAddressLeavesSomeToOthers) {
  options.address_share = 0.5;
  Serve("::");
  auto first = Client(), second = Client();
  const std::string request = HttpClient::Format("POST", "/hold", std::string(2 * kMegabyte, 'h'));
  first.Send(request);
  AwaitHeld(1);
  second.Send(HttpClient::Format("POST", "/echo", Noise(100'000)));
  AwaitWaiting(1);
  auto other = HttpClient::OverIpv6(server->port());
  EXPECT_TRUE(other.Post("/echo", Noise(2'000'000)).body == Noise(2'000'000));
  EXPECT_EQ(server->stats().bodies_waiting, 1U);
  released = true;
  EXPECT_EQ(first.Receive().body, "released");
  EXPECT_TRUE(second.Receive().body == Noise(100'000));
}

TEST_F(HttpBodyMemory, ABodyThatIsTooLongIsReadToItsEndWhereThatIsNear) {
  options.max_body_bytes = 30'000'000;
  options.body_memory = std::uint64_t{1} << 30;
  Serve();
  const std::string body(59'000'000, 'x');
  for (const std::string path : {"/echo", "/unknown"}) {
    auto client = Client();
    client.SendPieces(HttpClient::Format("POST", path, body), 20'000'000);
    EXPECT_EQ(client.Receive().status, path == "/echo" ? 500 : 404);
    EXPECT_TRUE(client.Closed());
  }
  auto chunked = Client();
  chunked.Send(ChunkedRequest("/echo", body, 1'000'000));
  EXPECT_EQ(chunked.Receive().body, kBadBody);
}

TEST_F(HttpBodyMemory, TwoGigabytesAreNotReadForNothing) {
  options.max_body_bytes = 1'000'000;
  Serve();
  auto client = Client();
  client.Send("POST /echo HTTP/1.1\r\nContent-Length: 2147483648\r\n\r\n");
  EXPECT_EQ(client.Receive().body, kBadBody);  // at once
  const std::string piece(1'000'000, 'x');
  int taken = 0;
  while (taken < 2147 && client.TrySend(piece)) ++taken;
  EXPECT_LT(taken, 200);
}

}  // namespace
}  // namespace msfl::net
