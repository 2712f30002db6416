// Runs many exchanges over keep-alive connections: each connection takes the next one as soon as it is free.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "device_load/connection.h"

namespace msfl::device_load {

enum class Verdict {
  kDone,
  kAgain
};  // kAgain: send a fresh request for the same exchange after a short pause

struct Phase {
  std::size_t exchanges = 0;
  bool round_has_iteration = true;
  std::function<Request(std::size_t)> make;
  std::function<Verdict(std::size_t, const Answer&)> judge;
};

class ExchangeLoop {
 public:
  using Clock = std::chrono::steady_clock;
  // Throws std::system_error when a connection can't be made.
  ExchangeLoop(std::uint16_t port, std::size_t connections, Clock::time_point deadline);
  ~ExchangeLoop();

  // Returns when all exchanges are done. Throws std::runtime_error at the deadline or when a connection
  // breaks.
  void Run(const Phase& phase);

  std::uint64_t bytes_sent() const;
  std::uint64_t bytes_received() const { return bytes_received_; }  // bodies of answers
  std::uint64_t repeated() const { return repeated_; }

 private:
  void Start(std::size_t connection, const Phase& phase);
  void Handle(std::size_t connection, Connection::Progress progress, const Phase& phase);

  int epoll_;
  Clock::time_point deadline_;
  std::vector<std::unique_ptr<Connection>> connections_;
  std::vector<std::size_t> exchange_of_;  // what each connection works on
  std::multimap<Clock::time_point, std::size_t> paused_;
  std::size_t next_ = 0, done_ = 0;
  std::uint64_t bytes_received_ = 0, repeated_ = 0;
};

}  // namespace msfl::device_load
