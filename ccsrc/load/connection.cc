#include "load/connection.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <string_view>
#include <utility>

namespace msfl::load {

namespace {

constexpr std::size_t kStartBytes = 4096;      // header and what is read of a body
constexpr std::size_t kMaxHeaderBytes = 2048;  // leaves room for the root table
// Beyond this the window of a load generator with one connection would limit it.
constexpr std::size_t kDrainBytes = 1 << 20;

}  // namespace

Result<SocketAddress> ResolveNumeric(const Target& target) {
  SocketAddress address;
  auto* const four = reinterpret_cast<sockaddr_in*>(&address.storage);
  auto* const six = reinterpret_cast<sockaddr_in6*>(&address.storage);
  if (inet_pton(AF_INET, target.address.c_str(), &four->sin_addr) == 1) {
    four->sin_family = AF_INET;
    four->sin_port = htons(target.port);
    address.size = sizeof *four;
    address.loopback4 = ntohl(four->sin_addr.s_addr) >> 24 == 127;
  } else if (inet_pton(AF_INET6, target.address.c_str(), &six->sin6_addr) == 1) {
    six->sin6_family = AF_INET6;
    six->sin6_port = htons(target.port);
    address.size = sizeof *six;
  } else {
    return Error{Errc::kInvalidArgument,
                 "a target's address is '" + target.address + "'; a numeric IPv4 or IPv6 address is allowed"};
  }
  return address;
}

void Connection::Close() {
  if (socket_ >= 0) close(socket_);
  socket_ = -1;
  state_ = State::kClosed;
  request_ = {};
}

Connection::Progress Connection::Broken(std::string why) {
  fault_ = std::move(why);
  Close();
  return Progress::kBroken;
}

Connection::Progress Connection::Open(const SocketAddress& address, std::uint8_t source, int send_buffer,
                                      int epoll, std::uint32_t tag) {
  Close();
  sent_ = received_ = 0;
  const auto broken = [this](const char* what) { return Broken(std::string(what) + std::strerror(errno)); };
  socket_ = socket(address.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (socket_ < 0) return broken("socket: ");
  const int on = 1;
  setsockopt(socket_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (send_buffer > 0) setsockopt(socket_, SOL_SOCKET, SO_SNDBUF, &send_buffer, sizeof send_buffer);
  if (source != 0) {
    sockaddr_in from{};
    from.sin_family = AF_INET;
    from.sin_addr.s_addr = htonl(0x7F000000U + source);
    // The port is chosen by connect(): one port serves for many destinations.
    setsockopt(socket_, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    if (bind(socket_, reinterpret_cast<const sockaddr*>(&from), sizeof from) != 0) return broken("bind: ");
  }
  state_ = State::kConnecting;
  if (connect(socket_, reinterpret_cast<const sockaddr*>(&address.storage), address.size) != 0 &&
      errno != EINPROGRESS) {
    return broken("connect: ");
  }
  epoll_event event{};
  event.events = EPOLLIN | EPOLLOUT | EPOLLET;
  event.data.u32 = tag;
  if (epoll_ctl(epoll, EPOLL_CTL_ADD, socket_, &event) != 0) return broken("epoll: ");
  return Progress::kPending;
}

Connection::Progress Connection::Send(Request request, bool whole) {
  request_ = std::move(request);
  whole_ = whole;
  has_header_ = false;
  sent_ = received_ = 0;
  start_.clear();
  body_.clear();
  state_ = State::kBusy;
  const int error = Write();
  return error == 0 ? Progress::kPending : Exchange();
}

Connection::Progress Connection::Exchange() {
  const int error = Write();
  // What can't be sent any more may have been answered: a Server that refuses may close early.
  const Progress progress = Read();
  if (progress == Progress::kPending && error != 0) {
    return Broken(std::string("send: ") + std::strerror(error));
  }
  return progress;
}

Connection::Progress Connection::OnReady() {
  switch (state_) {
    case State::kClosed:
      return Progress::kPending;
    case State::kConnecting: {
      int error = 0;
      socklen_t size = sizeof error;
      getsockopt(socket_, SOL_SOCKET, SO_ERROR, &error, &size);
      if (error != 0) return Broken(std::string("connect: ") + std::strerror(error));
      sockaddr_storage peer{};
      size = sizeof peer;
      if (getpeername(socket_, reinterpret_cast<sockaddr*>(&peer), &size) != 0) return Progress::kPending;
      state_ = State::kFree;
      // If the Server has closed it already, no other event will say so.
      return NoteIdleEvent() == Progress::kBroken ? Progress::kBroken : Progress::kConnected;
    }
    case State::kFree:
      return NoteIdleEvent();
    case State::kBusy:
      break;
  }
  return Exchange();
}

// Between exchanges the Server may only close.
Connection::Progress Connection::NoteIdleEvent() {
  std::array<char, 64> bytes;
  const ssize_t got = recv(socket_, bytes.data(), bytes.size(), MSG_DONTWAIT);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return Progress::kPending;
  if (got > 0) return Broken("bytes that nobody asked for");
  return Broken("closed by the Server between requests");
}

int Connection::Write() {
  const std::size_t head_bytes = request_.head.size();
  const std::size_t all = request_.bytes();
  while (sent_ < all) {
    std::array<iovec, 2> parts;
    std::size_t count = 0;
    if (sent_ < head_bytes) parts[count++] = {request_.head.data() + sent_, head_bytes - sent_};
    const std::size_t tail_sent = sent_ < head_bytes ? 0 : sent_ - head_bytes;
    if (tail_sent < request_.tail.size()) {
      parts[count++] = {const_cast<std::uint8_t*>(request_.tail.data()) + tail_sent,
                        request_.tail.size() - tail_sent};
    }
    msghdr message{};
    message.msg_iov = parts.data();
    message.msg_iovlen = count;
    const ssize_t sent = sendmsg(socket_, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0 && errno == EAGAIN) return 0;
    if (sent < 0) return errno;
    sent_ += static_cast<std::size_t>(sent);
  }
  return 0;
}

Connection::Progress Connection::ReadStart() {
  const std::string_view text(reinterpret_cast<const char*>(start_.data()), start_.size());
  std::string fault;
  const auto header = ParseHeader(text, fault);
  if (!fault.empty()) return Broken(fault);
  if (!header) {
    if (start_.size() >= kMaxHeaderBytes) return Broken("the header of the answer is too long");
    return Progress::kPending;
  }
  header_ = *header;
  has_header_ = true;
  body_.assign(start_.begin() + static_cast<std::ptrdiff_t>(header_.bytes), start_.end());
  start_.clear();
  return Progress::kPending;
}

Connection::Progress Connection::Read() {
  std::array<std::uint8_t, kStartBytes> piece;
  for (;;) {
    ssize_t got = 0;
    const std::size_t kept = has_header_ ? body_.size() : start_.size();
    const bool drops = has_header_ && !whole_ && kept >= kStartBytes - kMaxHeaderBytes;
    if (drops) {
      // MSG_TRUNC drops the bytes inside the kernel: the generator must not be what limits a download.
      got = recv(socket_, nullptr, kDrainBytes, MSG_DONTWAIT | MSG_TRUNC);
    } else {
      got = recv(socket_, piece.data(), has_header_ ? piece.size() : kMaxHeaderBytes - start_.size(),
                 MSG_DONTWAIT);
    }
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == EAGAIN) return Progress::kPending;
    if (got < 0) return Broken(std::string("receive: ") + std::strerror(errno));
    if (got == 0) {
      return Broken(received_ == 0 ? "closed by the Server instead of an answer"
                                   : "closed by the Server inside an answer");
    }
    received_ += static_cast<std::size_t>(got);
    if (!drops) {
      std::vector<std::uint8_t>& into = has_header_ ? body_ : start_;
      into.insert(into.end(), piece.begin(), piece.begin() + got);
    }
    if (!has_header_ && ReadStart() == Progress::kBroken) return Progress::kBroken;
    if (!has_header_) continue;
    const std::uint64_t all = header_.bytes + header_.body_bytes;
    if (received_ > all) return Broken("more bytes than the answer has");
    if (received_ == all) return Finish();
  }
}

Connection::Progress Connection::Finish() {
  const bool early = sent_ < request_.bytes();
  request_ = {};
  state_ = State::kFree;
  // The rest of a request that was answered early can't be followed by another one.
  if (header_.closes || early) Close();
  return Progress::kAnswered;
}

}  // namespace msfl::load
