#include "device_load/connection.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <string_view>
#include <system_error>
#include <utility>

namespace msfl::device_load {

namespace {

// Beyond this the window of a load generator with one connection would limit it.
constexpr std::size_t kDrainBytes = 1 << 20;

[[noreturn]] void Throw(const char* what) { throw std::system_error(errno, std::generic_category(), what); }

}  // namespace

Connection::Connection(std::uint16_t port, int epoll, std::uint32_t tag)
    : socket_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const int on = 1;
  if (socket_ < 0 || connect(socket_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      setsockopt(socket_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0) {
    Throw("connect");
  }
  epoll_event event{};
  event.events = EPOLLIN | EPOLLOUT | EPOLLET;
  event.data.u32 = tag;
  if (epoll_ctl(epoll, EPOLL_CTL_ADD, socket_, &event) != 0) Throw("epoll_ctl");
}

Connection::~Connection() { close(socket_); }

Connection::Progress Connection::Broken(std::string why) {
  busy_ = false;
  fault_ = std::move(why);
  return Progress::kBroken;
}

Connection::Progress Connection::Send(Request request, bool round_has_iteration) {
  request_ = std::move(request);
  round_has_iteration_ = round_has_iteration;
  busy_ = true;
  sent_ = start_bytes_ = header_bytes_ = 0;
  received_ = 0;
  return Write();
}

Connection::Progress Connection::OnReady() {
  if (!busy_) return Progress::kPending;
  if (Write() == Progress::kBroken) return Progress::kBroken;
  return Read();
}

Connection::Progress Connection::Write() {
  const std::size_t head_bytes = request_.head.size();
  const std::size_t all = head_bytes + request_.tail.size();
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
    if (sent < 0 && errno == EAGAIN) return Progress::kPending;
    if (sent < 0) return Broken(std::string("send: ") + std::strerror(errno));
    sent_ += static_cast<std::size_t>(sent);
    bytes_sent_ += static_cast<std::size_t>(sent);
  }
  return Progress::kPending;
}

bool Connection::ParseHeader() {
  const std::string_view text(reinterpret_cast<const char*>(start_.data()), start_bytes_);
  const std::size_t end = text.find("\r\n\r\n");
  if (end == std::string_view::npos) return false;
  header_bytes_ = end + 4;
  const auto number_after = [&](std::string_view name, auto& value) {
    const auto* it = std::ranges::search(text.substr(0, end), name, [](char a, char b) {
                       return (a >= 'A' && a <= 'Z' ? a + 32 : a) == b;
                     }).end();
    while (it < text.data() + end && *it == ' ') ++it;
    std::from_chars(it, text.data() + end, value);
  };
  answer_.status = 0;
  answer_.bytes = 0;
  number_after("http/1.1 ", answer_.status);
  number_after("content-length:", answer_.bytes);
  return true;
}

Connection::Progress Connection::Read() {
  for (;;) {
    ssize_t got = 0;
    if (start_bytes_ < start_.size()) {
      got = recv(socket_, start_.data() + start_bytes_, start_.size() - start_bytes_, MSG_DONTWAIT);
    } else {
      // MSG_TRUNC drops the bytes inside the kernel: the generator must not be what limits a download.
      got = recv(socket_, nullptr, kDrainBytes, MSG_DONTWAIT | MSG_TRUNC);
    }
    if (got < 0 && errno == EAGAIN) return Progress::kPending;
    if (got < 0) return Broken(std::string("receive: ") + std::strerror(errno));
    if (got == 0) return Broken("closed by the Server");
    received_ += static_cast<std::size_t>(got);
    if (start_bytes_ < start_.size()) start_bytes_ += static_cast<std::size_t>(got);
    if (header_bytes_ == 0 && !ParseHeader()) {
      if (start_bytes_ == start_.size()) return Broken("header of the answer too long");
      continue;
    }
    if (received_ < header_bytes_ + answer_.bytes) continue;
    if (received_ > header_bytes_ + answer_.bytes) return Broken("more bytes than the answer has");
    busy_ = false;
    ReadAnswer(std::span(start_).subspan(header_bytes_, start_bytes_ - header_bytes_), round_has_iteration_,
               answer_);
    return Progress::kAnswered;
  }
}

}  // namespace msfl::device_load
