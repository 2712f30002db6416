// A server on a free port with routes that show what a handler sees, and clients for it.
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <boost/asio/basic_waitable_timer.hpp>
#include <boost/asio/post.hpp>
#include <chrono>
#include <cstring>
#include <future>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "net/event_loops.h"
#include "net/http_server.h"
#include "support/http_client.h"

namespace msfl::net {

using std::chrono::milliseconds;
using test::HttpAnswer;
using test::HttpClient;

inline HttpReply TextReply(std::string_view text) {
  HttpReply reply;
  reply.head.assign(text.begin(), text.end());
  return reply;
}

class HttpServerTest : public testing::Test {
 protected:
  static constexpr milliseconds kGrace{5000};

  ~HttpServerTest() override {
    released = true;
    server.reset();
    loops.Stop();
  }

  void Listen() {
    server = std::make_unique<HttpServer>(loops, pool, options, Routes());
    loops.Start();
    const auto listening = server->Listen("127.0.0.1", 0);
    ASSERT_TRUE(listening.has_value()) << listening.error().text;
  }
  HttpClient Client() { return HttpClient(server->port()); }

  virtual std::vector<HttpRoute> Routes() {
    HttpRoute small{"/small", [](const HttpRequest& request) { return Describe(request); }};
    small.max_body_bytes = small_route;
    return {
        std::move(small),
        {"/echo", [](const HttpRequest& request) { return Echo(request); }},
        {"/fl/describe", [](const HttpRequest& request) { return Describe(request); }},
        {"/blocks", [](const HttpRequest& request) { return Blocks(request); }},
        {"/throw", [](const HttpRequest& request) { return Throw(request); }},
        {"/tail", [this](const HttpRequest&) { return Tail(); }},
        {"/hold", [this](const HttpRequest&) { return Hold(); }},
    };
  }

  // The body, in head and tail alike.
  static Task<HttpReply> Echo(const HttpRequest& request) {
    HttpReply reply;
    const std::size_t half = request.body.size() / 2;
    reply.head.assign(request.body.begin(), request.body.begin() + static_cast<std::ptrdiff_t>(half));
    auto rest = std::make_shared<std::vector<std::uint8_t>>(
        request.body.begin() + static_cast<std::ptrdiff_t>(half), request.body.end());
    reply.tail = {rest->data(), rest->size()};
    reply.tail_owner = std::move(rest);
    co_return reply;
  }

  static Task<HttpReply> Describe(const HttpRequest& request) {
    std::string text(request.method);
    text += ' ';
    text += request.path;
    text += ' ' + std::to_string(request.body.size());
    text += reinterpret_cast<std::uintptr_t>(request.body.data()) % 64 == 0 ? " aligned" : " not aligned";
    co_return TextReply(text);
  }

  // The numbers of the blocks that may hold something that is no number.
  static Task<HttpReply> Blocks(const HttpRequest& request) {
    std::string text = request.non_finite->any() ? "some:" : "none:";
    for (std::size_t at = 0; at < request.body.size(); at += NonFiniteMap::kBlockBytes) {
      if (request.non_finite->MayContain(at, at + 1))
        text += ' ' + std::to_string(at / NonFiniteMap::kBlockBytes);
    }
    co_return TextReply(text);
  }

  static Task<HttpReply> Throw(const HttpRequest& request) {
    const std::string text(request.body.begin(), request.body.end());
    if (text == "int") throw 7;
    throw std::runtime_error(text);
    co_return HttpReply();
  }

  Task<HttpReply> Tail() {
    HttpReply reply = TextReply("head");
    reply.tail_owner = tail;
    reply.tail = {tail->data(), tail->size()};
    reply.withdrawn = &withdrawn;
    co_return reply;
  }

  Task<HttpReply> Hold() {
    ++held;
    asio::basic_waitable_timer<SteadyClock, asio::wait_traits<SteadyClock>, Executor> timer(
        loops.loop(EventLoops::Current()).get_executor());
    while (!released) {
      timer.expires_after(milliseconds(1));
      co_await timer.async_wait(kAwait);
    }
    co_return TextReply("released");
  }
  void AwaitHeld(int count) {
    while (held < count) std::this_thread::sleep_for(milliseconds(1));
  }
  // Returns when the loops have done what they had to do at the call.
  void Settle() {
    for (std::size_t i = 0; i < loops.io_count(); ++i) {
      std::promise<void> reached;
      asio::post(loops.loop(i), [&reached] { reached.set_value(); });
      reached.get_future().wait();
    }
  }
  void AwaitLimit(HttpLimit limit, std::uint64_t count = 1) {
    while (server->stats().Limit(limit) < count) std::this_thread::sleep_for(milliseconds(1));
  }
  void AwaitConnections(std::uint64_t count) {
    while (server->stats().connections_open != count) std::this_thread::sleep_for(milliseconds(1));
  }

  std::atomic<int> held{0};
  std::atomic<bool> released{false}, withdrawn{false};
  std::shared_ptr<std::vector<std::uint8_t>> tail = std::make_shared<std::vector<std::uint8_t>>();
  std::uint64_t small_route = UINT64_MAX;  // what /small takes
  HttpOptions options;
  std::shared_ptr<BufferPool> pool = BufferPool::Create(64 << 20);
  EventLoops loops{2};
  std::unique_ptr<HttpServer> server;
};

inline constexpr char kBadBody[] = R"({"code":"1","error_message":"Get post message failed"})";

// Bytes without a pattern that a shift would repeat.
inline std::string Noise(std::size_t size, std::uint32_t seed = 1) {
  std::string text(size, '\0');
  for (char& c : text) {
    seed = seed * 1664525U + 1013904223U;
    c = static_cast<char>(seed >> 24);
  }
  return text;
}

}  // namespace msfl::net
