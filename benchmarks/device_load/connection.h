// One keep-alive HTTP/1.1 connection without blocking: one exchange at a time.
#pragma once

#include <sys/uio.h>

#include <array>
#include <cstdint>
#include <string>

#include "device_load/requests.h"

namespace msfl::device_load {

class Connection {
 public:
  // Registers itself, edge-triggered, with `epoll` under `tag`. Throws std::system_error.
  Connection(std::uint16_t port, int epoll, std::uint32_t tag);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  enum class Progress { kPending, kAnswered, kBroken };
  // Precondition: no exchange is under way.
  Progress Send(Request request, bool round_has_iteration);
  // Call when the socket became ready.
  Progress OnReady();

  const Answer& answer() const { return answer_; }
  const std::string& fault() const { return fault_; }  // why it is broken
  std::uint64_t bytes_sent() const { return bytes_sent_; }

 private:
  Progress Write();
  Progress Read();
  Progress Broken(std::string why);
  bool ParseHeader();  // false: not complete yet

  int socket_;
  bool busy_ = false, round_has_iteration_ = false;
  Request request_;
  std::size_t sent_ = 0;
  std::array<std::uint8_t, 8192> start_;  // header and first bytes of the body
  std::size_t start_bytes_ = 0, header_bytes_ = 0;
  std::uint64_t received_ = 0, bytes_sent_ = 0;  // received_: header and body
  Answer answer_;
  std::string fault_;
};

}  // namespace msfl::device_load
