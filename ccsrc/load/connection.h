// One keep-alive HTTP/1.1 connection without blocking: one exchange at a time.
#pragma once

#include <sys/socket.h>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "load/answer.h"
#include "load/device_messages.h"

namespace msfl::load {

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t size = 0;
  bool loopback4 = false;  // in 127.0.0.0/8
};

// Errc::kInvalidArgument: no numeric address.
Result<SocketAddress> ResolveNumeric(const Target& target);

class Connection {
 public:
  Connection() = default;
  ~Connection() { Close(); }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  enum class Progress : std::uint8_t { kPending, kConnected, kAnswered, kBroken };

  // Registers itself, edge-triggered, with `epoll` under `tag`. `source`: last number of the address
  // 127.0.0.x that it comes from; 0: the system chooses. `send_buffer`: bytes that the system may hold; 0: as
  // many as it likes.
  Progress Open(const SocketAddress& address, std::uint8_t source, int send_buffer, int epoll,
                std::uint32_t tag);
  // Precondition: is_free(). With `whole` the body is kept and not only its start.
  Progress Send(Request request, bool whole);
  // Call when the socket became ready.
  Progress OnReady();
  void Close();

  bool is_open() const { return socket_ >= 0; }
  bool is_connecting() const { return state_ == State::kConnecting; }
  bool is_free() const { return state_ == State::kFree; }

  // After kAnswered, until the next Send.
  int status() const { return header_.status; }
  std::span<const std::uint8_t> body_start() const { return body_; }  // all of it if it was wanted whole
  std::uint64_t received() const { return received_; }  // bytes of the answer so far, with its header
  std::uint64_t sent() const { return sent_; }          // of the request so far
  const std::string& fault() const { return fault_; }   // after kBroken

 private:
  enum class State : std::uint8_t { kClosed, kConnecting, kFree, kBusy };
  Progress Exchange();
  int Write();  // errno, or 0
  Progress Read();
  Progress ReadStart();
  Progress NoteIdleEvent();
  Progress Broken(std::string why);
  Progress Finish();

  int socket_ = -1;
  State state_ = State::kClosed;
  bool whole_ = false, has_header_ = false;
  Request request_;
  std::uint64_t sent_ = 0, received_ = 0;
  AnswerHeader header_;
  std::vector<std::uint8_t> start_;  // header and the first bytes of the body
  std::vector<std::uint8_t> body_;
  std::string fault_;
};

}  // namespace msfl::load
