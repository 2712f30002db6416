#include "device_load/exchange_loop.h"

#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <stdexcept>
#include <system_error>

namespace msfl::device_load {

namespace {

constexpr std::chrono::milliseconds kPause{1};

}  // namespace

ExchangeLoop::ExchangeLoop(std::uint16_t port, std::size_t connections, Clock::time_point deadline)
    : epoll_(epoll_create1(EPOLL_CLOEXEC)), deadline_(deadline), exchange_of_(connections) {
  if (epoll_ < 0) throw std::system_error(errno, std::generic_category(), "epoll_create1");
  for (std::size_t i = 0; i < connections; ++i) {
    connections_.push_back(std::make_unique<Connection>(port, epoll_, static_cast<std::uint32_t>(i)));
  }
}

ExchangeLoop::~ExchangeLoop() { close(epoll_); }

std::uint64_t ExchangeLoop::bytes_sent() const {
  std::uint64_t all = 0;
  for (const auto& connection : connections_) all += connection->bytes_sent();
  return all;
}

void ExchangeLoop::Run(const Phase& phase) {
  next_ = done_ = 0;
  for (std::size_t i = 0; i < connections_.size() && next_ < phase.exchanges; ++i) {
    exchange_of_[i] = next_++;
    Start(i, phase);
  }
  std::array<epoll_event, 256> events;
  while (done_ < phase.exchanges) {
    auto now = Clock::now();
    if (now >= deadline_) throw std::runtime_error("the deadline has passed");
    while (!paused_.empty() && paused_.begin()->first <= now) {
      const std::size_t connection = paused_.begin()->second;
      paused_.erase(paused_.begin());
      Start(connection, phase);
    }
    const int wait_ms = paused_.empty() ? 100 : 1;
    const int count = epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), wait_ms);
    if (count < 0 && errno != EINTR) throw std::system_error(errno, std::generic_category(), "epoll_wait");
    for (int i = 0; i < count; ++i) {
      const std::size_t connection = events[static_cast<std::size_t>(i)].data.u32;
      Handle(connection, connections_[connection]->OnReady(), phase);
    }
  }
}

void ExchangeLoop::Start(std::size_t connection, const Phase& phase) {
  Handle(connection,
         connections_[connection]->Send(phase.make(exchange_of_[connection]), phase.round_has_iteration),
         phase);
}

void ExchangeLoop::Handle(std::size_t connection, Connection::Progress progress, const Phase& phase) {
  if (progress == Connection::Progress::kPending) return;
  if (progress == Connection::Progress::kBroken) {
    throw std::runtime_error("a connection broke: " + connections_[connection]->fault());
  }
  const Answer& answer = connections_[connection]->answer();
  bytes_received_ += answer.bytes;
  if (phase.judge(exchange_of_[connection], answer) == Verdict::kAgain) {
    ++repeated_;
    paused_.emplace(Clock::now() + kPause, connection);
    return;
  }
  ++done_;
  if (next_ < phase.exchanges) {
    exchange_of_[connection] = next_++;
    Start(connection, phase);
  }
}

}  // namespace msfl::device_load
