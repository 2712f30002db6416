// Something on a TCP port that speaks as Redis and answers what a test says.
#pragma once

#include <atomic>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/write.hpp>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "cache/reply_reader.h"

namespace msfl::cache {

class ScriptedRedis {
 public:
  using Words = std::vector<std::string>;
  // The answer on the wire; none: the connection is closed. Called by several threads, one at a time.
  using Answer = std::function<std::string(const Words&)>;

  explicit ScriptedRedis(Answer answer)
      : answer_(std::move(answer)),
        acceptor_(context_, asio::ip::tcp::endpoint(asio::ip::address_v4::loopback(), 0)),
        accepting_([this] { Accept(); }) {}
  // Precondition: the other sides have closed.
  ~ScriptedRedis() {
    stop_ = true;
    asio::io_context context;
    asio::ip::tcp::socket knock(context);
    boost::system::error_code ignored;
    knock.connect(acceptor_.local_endpoint(), ignored);
    accepting_.join();
    for (auto& thread : serving_) thread.join();
  }

  std::string port() const { return std::to_string(acceptor_.local_endpoint().port()); }
  std::string address() const { return "127.0.0.1:" + port(); }
  // The commands so far, their words joined by spaces, without AUTH, PING and SELECT.
  std::vector<std::string> heard() {
    const std::lock_guard lock(mutex_);
    return heard_;
  }
  void Become(Answer answer) {
    const std::lock_guard lock(mutex_);
    answer_ = std::move(answer);
  }

  static std::string Text(const std::string& text) {
    return "$" + std::to_string(text.size()) + "\r\n" + text + "\r\n";
  }

 private:
  void Accept() {
    while (true) {
      asio::ip::tcp::socket socket(context_);
      boost::system::error_code fault;
      acceptor_.accept(socket, fault);
      if (fault || stop_) return;
      serving_.emplace_back([this, held = std::move(socket)]() mutable { Serve(held); });
    }
  }

  void Serve(asio::ip::tcp::socket& socket) {
    ReplyReader reader;  // a command has the form of a reply
    Reply command;
    std::array<char, 4096> bytes;
    boost::system::error_code fault;
    while (!fault) {
      if (reader.Next(command) != ReplyReader::Step::kReply) {
        const std::size_t size = socket.read_some(asio::buffer(bytes), fault);
        if (!fault) reader.Feed(bytes.data(), size);
        continue;
      }
      Words words;
      for (const RedisValue& word : command.value.array) words.push_back(word.text);
      const std::string answer = Answered(words);
      if (answer.empty()) return;
      asio::write(socket, asio::buffer(answer), fault);
    }
  }

  std::string Answered(const Words& words) {
    const std::lock_guard lock(mutex_);
    if (words[0] == "AUTH" || words[0] == "SELECT") return "+OK\r\n";
    if (words[0] == "PING") return "+PONG\r\n";
    std::string line;
    for (const std::string& word : words) line += (line.empty() ? "" : " ") + word;
    heard_.push_back(line);
    return answer_(words);
  }

  std::mutex mutex_;  // guards answer_ and heard_
  Answer answer_;
  std::vector<std::string> heard_;
  asio::io_context context_;
  asio::ip::tcp::acceptor acceptor_;
  std::atomic<bool> stop_{false};
  std::vector<std::thread> serving_;
  std::thread accepting_;
};

}  // namespace msfl::cache
