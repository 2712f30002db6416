#include <atomic>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/write.hpp>
#include <future>

#include "cache/store_fixture.h"

namespace msfl::cache {
namespace {

using asio::ip::tcp;
using std::chrono::milliseconds;

// A TCP port of the test's own; what it does with a connection, on a thread of its own, is the test's
// business.
class Port {
 public:
  explicit Port(std::function<void(tcp::socket&)> serve)
      : acceptor_(context_, tcp::endpoint(asio::ip::address_v4::loopback(), 0)),
        acceptor_thread_([this, serve] {
          while (true) {
            tcp::socket socket(context_);
            boost::system::error_code fault;
            acceptor_.accept(socket, fault);
            if (fault || stop_) return;
            served_.emplace_back([serve, held = std::move(socket)]() mutable { serve(held); });
          }
        }) {}
  // Precondition: the other sides have closed, or `serve` ends by itself.
  ~Port() {
    stop_ = true;
    asio::io_context context;
    tcp::socket knock(context);
    boost::system::error_code ignored;
    knock.connect(acceptor_.local_endpoint(), ignored);
    acceptor_thread_.join();
    for (auto& thread : served_) thread.join();
  }
  std::string address() const { return "127.0.0.1:" + std::to_string(acceptor_.local_endpoint().port()); }

 private:
  asio::io_context context_;
  tcp::acceptor acceptor_;
  std::atomic<bool> stop_{false};
  std::vector<std::thread> served_;
  std::thread acceptor_thread_;
};

class Client : public RedisFixture {
 protected:
  Error ConnectFault(RedisOptions options, milliseconds patience = milliseconds(60'000)) {
    RedisClient client(loops, std::move(options));
    const auto connected = client.Connect(patience);
    EXPECT_FALSE(connected);
    EXPECT_FALSE(client.available());
    return connected ? Error() : connected.error();
  }
};

TEST_F(Client, CommandsOfEveryKind) {
  const auto client = MakeClient();
  EXPECT_TRUE(client->available());
  EXPECT_EQ(Call(*client, {"PING"})->text, "PONG");
  EXPECT_EQ(Call(*client, {"SET", "k", std::string("\0\r\n", 3)})->text, "OK");
  EXPECT_EQ(Call(*client, {"GET", "k"}, 2)->text, std::string("\0\r\n", 3));
  EXPECT_EQ(Call(*client, {"GET", "none"})->kind, RedisValue::Kind::kNil);
  EXPECT_EQ(Call(*client, {"INCR", "n"})->integer, 1);
  EXPECT_EQ(Call(*client, {"MGET", "k", "none"})->array.size(), 2U);
  const std::string large(3'000'000, 'x');
  EXPECT_EQ(Call(*client, {"SET", "large", large})->text, "OK");
  EXPECT_EQ(Call(*client, {"GET", "large"})->text, large);
  const auto refused = Call(*client, {"INCR", "k"});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::kCacheRefused);
  EXPECT_NE(refused.error().text.find("not an integer"), std::string::npos);
}

TEST_F(Client, ScriptsAreSentWhenUnknown) {
  const auto client = MakeClient();
  const Script script("sum", "return redis.call('INCRBY', KEYS[1], ARGV[1])");
  const Script broken("broken", "this is no Lua");
  const std::array<std::string_view, 1> keys{"n"}, arguments{"5"};
  EXPECT_EQ(Sync(loops, client->Run(script, keys, arguments))->integer, 5);
  EXPECT_EQ(Sync(loops, client->Run(script, keys, arguments))->integer, 10);
  Call(*client, {"SCRIPT", "FLUSH"}).value();
  EXPECT_EQ(Sync(loops, client->Run(script, keys, arguments), 1)->integer, 15);
  const auto refused = Sync(loops, client->Run(broken, keys, arguments));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::kCacheRefused);
  EXPECT_NE(refused.error().text.find("compiling"), std::string::npos) << refused.error().text;
}

TEST_F(Client, DatabaseAndPassword) {
  const auto client = MakeClient();
  Call(*client, {"SET", "where", "zero"}).value();
  auto options = OptionsFor(redis.address());
  options.address.database = 3;
  const auto third = MakeClient(options);
  EXPECT_EQ(Call(*third, {"GET", "where"})->kind, RedisValue::Kind::kNil);

  Call(*client, {"CONFIG", "SET", "requirepass", "secret"}).value();
  Call(*client, {"ACL", "SETUSER", "me", "on", ">mine", "~*", "+@all"}).value();
  const auto none = ConnectFault(OptionsFor(redis.address()));
  EXPECT_EQ(none.code, Errc::kCacheRefused);
  EXPECT_NE(none.text.find("NOAUTH"), std::string::npos) << none.text;
  options = OptionsFor(redis.address());
  options.address.password = "wrong-one";
  const auto wrong = ConnectFault(options);
  EXPECT_EQ(wrong.code, Errc::kCacheRefused);
  EXPECT_EQ(wrong.text.find("wrong-one"), std::string::npos);
  options.address.password = "secret";
  EXPECT_EQ(Call(*MakeClient(options), {"PING"})->text, "PONG");
  options.address.user = "me";
  options.address.password = "mine";
  EXPECT_EQ(Call(*MakeClient(options), {"ACL", "WHOAMI"})->text, "me");
}

TEST_F(Client, NobodyThereIsTriedAgain) {
  redis.Kill();
  EXPECT_EQ(ConnectFault(OptionsFor(redis.address()), milliseconds(0)).code, Errc::kCacheUnavailable);
  RedisClient client(loops, OptionsFor(redis.address()));
  auto connected = std::async(std::launch::async, [&] { return client.Connect(milliseconds(60'000)); });
  std::this_thread::sleep_for(milliseconds(50));
  redis.Start();
  EXPECT_TRUE(connected.get());
  EXPECT_EQ(Call(client, {"PING"})->text, "PONG");
}

TEST_F(Client, WhatIsNotRedisIsToldAtOnce) {
  const Port http([](tcp::socket& socket) {
    boost::system::error_code ignored;
    std::array<char, 100> bytes;
    socket.read_some(asio::buffer(bytes), ignored);
    asio::write(socket, asio::buffer(std::string("HTTP/1.1 400 Bad Request\r\n\r\n")), ignored);
  });
  const auto foreign = ConnectFault(OptionsFor(http.address()));
  EXPECT_EQ(foreign.code, Errc::kCacheRefused);
  EXPECT_NE(foreign.text.find(http.address()), std::string::npos) << foreign.text;

  const Port closing([](tcp::socket& socket) { socket.close(); });
  EXPECT_EQ(ConnectFault(OptionsFor(closing.address())).code, Errc::kCacheUnavailable);

  const Port silent([](tcp::socket& socket) {
    boost::system::error_code fault;
    std::array<char, 100> bytes;
    while (!fault) socket.read_some(asio::buffer(bytes), fault);
  });
  auto options = OptionsFor(silent.address());
  options.connect_timeout = milliseconds(100);
  const auto silence = ConnectFault(options);
  EXPECT_EQ(silence.code, Errc::kCacheUnavailable);
  EXPECT_NE(silence.text.find("deadline"), std::string::npos) << silence.text;
}

TEST_F(Client, OverTcpByNameAndNumber) {
  // Each connection is relayed to the real Redis, request by request.
  const Port relay([this](tcp::socket& from) {
    asio::io_context context;
    asio::local::stream_protocol::socket to(context);
    boost::system::error_code fault;
    to.connect(asio::local::stream_protocol::endpoint(redis.socket_path()), fault);
    std::array<char, 4096> bytes;
    while (!fault) {
      std::size_t size = from.read_some(asio::buffer(bytes), fault);
      if (!fault) asio::write(to, asio::buffer(bytes.data(), size), fault);
      if (!fault) size = to.read_some(asio::buffer(bytes), fault);
      if (!fault) asio::write(from, asio::buffer(bytes.data(), size), fault);
    }
  });
  const auto client = MakeClient(OptionsFor(relay.address()));
  EXPECT_EQ(Call(*client, {"PING"})->text, "PONG");
  const std::string port = relay.address().substr(relay.address().rfind(':'));
  const auto by_name = MakeClient(OptionsFor("localhost" + port));
  EXPECT_EQ(Call(*by_name, {"PING"})->text, "PONG");
}

TEST_F(Client, SilentRedisIsUnavailableInTimeAndRecovers) {
  auto options = OptionsFor(redis.address());
  options.command_timeout = milliseconds(200);
  options.connect_timeout = milliseconds(200);
  const auto client = MakeClient(options);
  redis.Pause();
  const auto late = Call(*client, {"INCR", "n"});
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code, Errc::kCacheUnavailable);
  // Once a new connection has failed too, commands are refused without waiting.
  EXPECT_TRUE(Eventually([&] {
    const auto refused = Call(*client, {"PING"});
    return !refused && refused.error().text.find("down") != std::string::npos;
  }));
  EXPECT_FALSE(client->available());
  redis.Continue();
  EXPECT_TRUE(Eventually([&] { return Call(*client, {"PING"}).has_value(); }));
  EXPECT_TRUE(Eventually([&] { return client->available(); }));
}

TEST_F(Client, RestartedEmptyRedisLearnsTheScriptsAgain) {
  const auto client = MakeClient();
  const Script script("count", "return redis.call('INCR', KEYS[1])");
  const std::array<std::string_view, 1> keys{"n"};
  const std::span<const std::string_view> none;
  EXPECT_EQ(Sync(loops, client->Run(script, keys, none))->integer, 1);
  redis.Kill();
  redis.Start();
  Result<RedisValue> answer = Error{Errc::kCacheUnavailable, ""};
  EXPECT_TRUE(Eventually([&] {
    answer = Sync(loops, client->Run(script, keys, none));
    return answer.has_value();
  }));
  EXPECT_EQ(answer->integer, 1);
}

TEST_F(Client, CommandsInFlightSurviveABrokenConnection) {
  const auto client = MakeClient(), admin = MakeClient();
  Many<Result<RedisValue>> running;
  for (int i = 0; i < 200; ++i) {
    std::vector<std::string> words;
    words.push_back("SADD");
    words.push_back("set");
    words.push_back(std::to_string(i));
    running.Start(loops, 0, client->Command(std::move(words)));
    if (i % 20 == 0) {
      Call(*admin, {"CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"}, 1).value();
      // One that is broken while it connects counts as down, and a link that is down refuses.
      ASSERT_TRUE(Call(*client, {"PING"}));
    }
  }
  for (const auto& answer : running.Wait()) {
    EXPECT_TRUE(answer) << answer.error().text;
  }
  EXPECT_EQ(Call(*admin, {"SCARD", "set"})->integer, 200);
}

TEST_F(Client, TooManyWaitingAreRefused) {
  auto options = OptionsFor(redis.address());
  options.max_pending = 10;
  options.command_timeout = milliseconds(300);
  options.connect_timeout = milliseconds(300);
  const auto client = MakeClient(options);
  redis.Pause();
  Many<Result<RedisValue>> running;
  for (int i = 0; i < 11; ++i) {
    std::vector<std::string> words(1, "PING");
    running.Start(loops, 0, client->Command(std::move(words)));
  }
  int full = 0;
  for (const auto& answer : running.Wait()) {
    ASSERT_FALSE(answer);
    full += answer.error().text.find("10 commands wait") != std::string::npos;
  }
  EXPECT_EQ(full, 1);
  redis.Continue();
}

TEST_F(Client, StopEndsWhatIsInFlight) {
  const auto client = MakeClient();
  redis.Pause();
  Many<Result<RedisValue>> running;
  for (std::size_t i = 0; i < 30; ++i) {
    std::vector<std::string> words(1, "PING");
    running.Start(loops, i, client->Command(std::move(words)));
  }
  client->Subscribe(
      "c", [](std::string_view) {}, [] {});
  client->Stop();
  for (const auto& one : running.Wait()) EXPECT_EQ(one.error().code, Errc::kCacheUnavailable);
  EXPECT_EQ(Call(*client, {"PING"}).error().code, Errc::kCacheUnavailable);
  loops.Stop();
  redis.Continue();
}

TEST_F(Client, LoopsMayStopFirst) {
  const auto client = MakeClient();
  redis.Pause();
  std::vector<std::string> words(1, "PING");
  Many<Result<RedisValue>> never;
  never.Start(loops, 0, client->Command(std::move(words)));
  loops.Stop();
  client->Stop();
  redis.Continue();
}

TEST_F(Client, UnconnectedIsUnavailable) {
  RedisClient client(loops, OptionsFor(redis.address()));
  EXPECT_EQ(Call(client, {"PING"}).error().code, Errc::kCacheUnavailable);
  client.Stop();
  client.Stop();
  net::EventLoops idle(1);
  RedisClient early(idle, OptionsFor(redis.address()));
  EXPECT_EQ(early.Connect(milliseconds(0)).error().code, Errc::kStopping);
}

TEST_F(Client, SubscriptionTellsOfGaps) {
  const auto client = MakeClient();
  std::atomic<int> gaps{0}, messages{0};
  client->Subscribe(
      "channel", [&](std::string_view text) { messages += text == "hello"; }, [&] { ++gaps; });
  ASSERT_TRUE(Eventually([&] { return gaps == 1; }));
  EXPECT_EQ(Call(*client, {"PUBLISH", "channel", "hello"})->integer, 1);
  EXPECT_EQ(Call(*client, {"PUBLISH", "other", "hello"})->integer, 0);
  EXPECT_TRUE(Eventually([&] { return messages == 1; }));
  EXPECT_EQ(Call(*client, {"CLIENT", "KILL", "TYPE", "pubsub"})->integer, 1);
  ASSERT_TRUE(Eventually([&] { return gaps == 2; }));
  Call(*client, {"PUBLISH", "channel", "hello"}).value();
  EXPECT_TRUE(Eventually([&] { return messages == 2; }));
  redis.Kill();
  redis.Start();
  ASSERT_TRUE(Eventually([&] { return gaps == 3; }));
  client->Stop();
}

TEST_F(Client, SilentSubscriptionIsReplaced) {
  auto options = OptionsFor(redis.address());
  options.command_timeout = milliseconds(200);
  options.connect_timeout = milliseconds(200);
  const auto client = MakeClient(options);
  std::atomic<int> gaps{0};
  client->Subscribe(
      "channel", [](std::string_view) {}, [&] { ++gaps; });
  ASSERT_TRUE(Eventually([&] { return gaps == 1; }));
  redis.Pause();
  EXPECT_TRUE(Eventually([&] { return !Call(*client, {"PING"}); }));
  std::this_thread::sleep_for(milliseconds(1500));  // the subscription asks once a second
  redis.Continue();
  EXPECT_TRUE(Eventually([&] { return gaps >= 2; }));
  client->Stop();
}

}  // namespace
}  // namespace msfl::cache
