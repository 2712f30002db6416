#include "load/load_run.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <functional>
#include <random>
#include <string>
#include <thread>

namespace msfl::load {
namespace {

class Listener {
 public:
  explicit Listener(int backlog) : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    address_.sin_family = AF_INET;
    address_.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address_;
    EXPECT_EQ(bind(socket_, generic(), size), 0);
    EXPECT_EQ(listen(socket_, backlog), 0);
    EXPECT_EQ(getsockname(socket_, generic(), &size), 0);
  }
  ~Listener() { close(socket_); }
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;
  int socket() const { return socket_; }
  std::uint16_t port() const { return ntohs(address_.sin_port); }
  int Connect() const {
    const int peer = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    EXPECT_EQ(connect(peer, reinterpret_cast<const sockaddr*>(&address_), sizeof address_), 0);
    return peer;
  }

 private:
  sockaddr* generic() { return reinterpret_cast<sockaddr*>(&address_); }

  int socket_;
  sockaddr_in address_{};
};

// Answers each connection once, in pieces, and closes it.
class Stranger {
 public:
  explicit Stranger(std::function<std::string()> answer)
      : answer_(std::move(answer)), thread_([this] { Serve(); }) {}
  ~Stranger() {
    shutdown(listener_.socket(), SHUT_RDWR);
    thread_.join();
  }
  std::uint16_t port() const { return listener_.port(); }

 private:
  void Serve() {
    for (;;) {
      const int peer = accept(listener_.socket(), nullptr, nullptr);
      if (peer < 0) return;
      std::array<char, 4096> request;
      if (recv(peer, request.data(), request.size(), 0) > 0) {
        const std::string answer = answer_();
        for (std::size_t at = 0; at < answer.size(); at += 7) {
          const std::size_t piece = std::min<std::size_t>(7, answer.size() - at);
          if (send(peer, answer.data() + at, piece, MSG_NOSIGNAL) < 0) break;
        }
      }
      close(peer);
    }
  }

  std::function<std::string()> answer_;
  const Listener listener_{64};
  std::thread thread_;
};

LoadOptions OptionsFor(std::uint16_t port) {
  LoadOptions options;
  options.targets = {Target{"127.0.0.1", port, "localhost", "/"}};
  options.devices = 3;
  options.connections = 1;  // a stranger has time for one
  options.patience = 0.2;
  return options;
}

Result<LoadReport> RunLoad(const LoadOptions& options) {
  return LoadRun(options, [](const LoadReport&) { return true; }).Run();
}

TEST(LoadRun, WhateverAStrangerSaysIsCountedByCause) {
  std::mt19937 random(3);
  const Stranger stranger([&random] {
    std::string answer = random() % 2 == 0 ? "HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\n" : "";
    for (unsigned size = random() % 60; size > 0; --size) answer += static_cast<char>(random() % 24);
    return answer;
  });
  LoadOptions options = OptionsFor(stranger.port());
  options.devices = 40;
  const Result<LoadReport> report = RunLoad(options);
  ASSERT_TRUE(report);
  EXPECT_FALSE(report->tally.errors.counts.empty());
  EXPECT_EQ(report->tally.rounds[Index(Round::kStartFlJob)].accepted, 0U);
  EXPECT_NE(report->ending, Ending::kDone);
}

TEST(LoadRun, ASilentServerTimesOut) {
  const Stranger stranger([] {
    std::this_thread::sleep_for(std::chrono::milliseconds(400));
    return std::string();
  });
  LoadOptions options = OptionsFor(stranger.port());
  options.timeout = 0.05;
  const Result<LoadReport> report = RunLoad(options);
  ASSERT_TRUE(report);
  EXPECT_EQ(report->ending, Ending::kSilent);
  EXPECT_GT(report->tally.errors.counts.at("startFLJob: timed out"), 0U);
}

TEST(LoadRun, TheCallerEndsIt) {
  const Stranger stranger([] {
    return "HTTP/1.1 200 OK\r\nContent-Length: 27\r\nConnection: close\r\n\r\nThe cluster is in safemode.";
  });
  LoadOptions options = OptionsFor(stranger.port());
  options.patience = 60;
  int told = 0;
  const Result<LoadReport> report = LoadRun(options, [&told](const LoadReport&) { return ++told < 3; }).Run();
  ASSERT_TRUE(report);
  EXPECT_EQ(report->ending, Ending::kInterrupted);
  EXPECT_EQ(report->tally.errors.counts.size(), 0U);
}

TEST(LoadRun, AConnectionThatTheServerHasClosedIsNotCountedAsOpen) {
  constexpr int kAccepted = 3;
  const Listener closing(kAccepted), full(0);  // the latter answers no connect() after the first
  const int filler = full.Connect();
  std::atomic<bool> closed{false};
  std::thread server([&] {
    for (int i = 0; i < kAccepted; ++i) close(accept(closing.socket(), nullptr, nullptr));
    closed = true;
  });
  LoadOptions options = OptionsFor(closing.port());
  options.targets.push_back(options.targets[0]);
  options.targets[1].port = full.port();
  options.idle_connections = 4;  // with the other one in turn: closing, full, closing, full, closing
  options.timeout = 0.3;
  const Result<LoadReport> report = LoadRun(options, [&closed](const LoadReport&) {
                                      while (!closed) std::this_thread::yield();
                                      return true;
                                    }).Run();
  server.join();
  close(filler);
  ASSERT_TRUE(report);
  EXPECT_EQ(report->ending, Ending::kNobody);
  EXPECT_EQ(report->idle_connections, 0U);
  EXPECT_EQ(report->tally.errors.counts.at("connect: timed out"), 2U);
  EXPECT_EQ(report->tally.errors.counts.at("closed by the Server between requests"), 3U);
}

TEST(LoadRun, RefusesWhatItCannotDo) {
  LoadOptions options = OptionsFor(1);
  options.targets[0].address = "localhost";
  EXPECT_NE(RunLoad(options).error().text.find("'localhost'"), std::string::npos);
  options = OptionsFor(1);
  options.connections = std::uint64_t{1} << 40;
  EXPECT_NE(RunLoad(options).error().text.find("file descriptors"), std::string::npos);
  options = OptionsFor(1);
  options.rounds = {false, true, false, false};
  EXPECT_FALSE(RunLoad(options));
  options.targets.clear();
  EXPECT_FALSE(RunLoad(options));
}

}  // namespace
}  // namespace msfl::load
