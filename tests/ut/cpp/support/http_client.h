// A small blocking HTTP/1.1 client over one socket, which can also send what no real client would.
// Every failure, and ten seconds without a byte, throws.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <map>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

namespace msfl::test {

struct HttpAnswer {
  int status = 0;
  std::string status_text;
  std::map<std::string, std::string> headers;  // names in lower case
  std::string body;

  bool has(const std::string& header) const { return headers.count(header) != 0; }
};

class HttpClient {
 public:
  explicit HttpClient(std::uint16_t port, int receive_buffer = 0)
      : HttpClient(Unconnected{}, receive_buffer) {
    Connect(port);
  }
  // A socket without a connection yet; Connect() needs no new descriptor.
  static HttpClient Prepared() { return HttpClient(Unconnected{}, 0); }
  static HttpClient OverIpv6(std::uint16_t port) {
    HttpClient client(Unconnected{}, 0, AF_INET6);
    sockaddr_in6 address{};
    address.sin6_family = AF_INET6;
    address.sin6_port = htons(port);
    address.sin6_addr = in6addr_loopback;
    if (::connect(client.fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) Fail("connect");
    return client;
  }
  // From another of this host's addresses, such as 127.0.0.2.
  static HttpClient From(const char* source, std::uint16_t port) {
    HttpClient client(Unconnected{}, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    if (::inet_pton(AF_INET, source, &address.sin_addr) != 1) Fail("inet_pton");
    if (::bind(client.fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) Fail("bind");
    client.Connect(port);
    return client;
  }
  HttpClient(HttpClient&& other) noexcept
      : fd_(std::exchange(other.fd_, -1)), received_(std::move(other.received_)) {}
  HttpClient& operator=(HttpClient&&) = delete;
  ~HttpClient() { Close(); }

  void Connect(std::uint16_t port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) Fail("connect");
  }

  // Of its own end.
  std::uint16_t port() const {
    sockaddr_in own{};
    socklen_t length = sizeof own;
    if (::getsockname(fd_, reinterpret_cast<sockaddr*>(&own), &length) != 0) Fail("getsockname");
    return ntohs(own.sin_port);
  }

  void Close() {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
  }
  // Closes with RST instead of FIN: bytes under way in both directions are lost.
  void Reset() {
    const linger at_once{1, 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    Close();
  }
  void FinishSending() { ::shutdown(fd_, SHUT_WR); }

  void Send(std::string_view bytes) {
    if (!TrySend(bytes)) Fail("send");
  }
  // False if the server closed before it took everything.
  bool TrySend(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t sent = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) return false;
      bytes.remove_prefix(static_cast<std::size_t>(sent));
    }
    return true;
  }
  // In pieces of `piece` bytes with pauses, so that they (nearly always) arrive one by one.
  void SendPieces(std::string_view bytes, std::size_t piece) {
    while (!bytes.empty()) {
      Send(bytes.substr(0, piece));
      bytes.remove_prefix(std::min(piece, bytes.size()));
      std::this_thread::sleep_for(std::chrono::microseconds(200));
    }
  }

  static std::string Format(std::string_view method, std::string_view path, std::string_view body,
                            std::string_view extra_headers = {}) {
    std::string text(method);
    text += ' ';
    text += path;
    text += " HTTP/1.1\r\nHost: localhost\r\nContent-Length: " + std::to_string(body.size()) + "\r\n";
    text += extra_headers;
    text += "\r\n";
    text += body;
    return text;
  }
  HttpAnswer Post(std::string_view path, std::string_view body, std::string_view extra_headers = {}) {
    Send(Format("POST", path, body, extra_headers));
    return Receive();
  }

  // One answer. `head`: it answers a HEAD request, so no body follows.
  HttpAnswer Receive(bool head = false) {
    HttpAnswer answer;
    const std::string block = Take(Find("\r\n\r\n") + 4);
    std::size_t at = block.find("\r\n");
    const std::string line = block.substr(0, at);
    if (line.rfind("HTTP/1.1 ", 0) != 0) throw std::runtime_error("not a status line: " + line);
    answer.status = std::stoi(line.substr(9, 3));
    answer.status_text = line.size() > 13 ? line.substr(13) : "";
    for (at += 2; at + 2 < block.size();) {
      const std::size_t end = block.find("\r\n", at);
      const std::size_t colon = block.find(": ", at);
      if (colon == std::string::npos || colon > end)
        throw std::runtime_error("not a header: " + block.substr(at));
      std::string name = block.substr(at, colon - at);
      std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return std::tolower(c); });
      if (!answer.headers.emplace(name, block.substr(colon + 2, end - colon - 2)).second) {
        throw std::runtime_error("twice the header " + name);
      }
      at = end + 2;
    }
    if (answer.status != 100 && !head) answer.body = Take(std::stoull(answer.headers.at("content-length")));
    return answer;
  }

  // Waits for the server's end of the connection; false if there is more to read.
  bool Closed() {
    if (!received_.empty()) return false;
    char byte;
    const ssize_t got = ::recv(fd_, &byte, 1, 0);
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
      throw std::runtime_error("neither data nor an end");
    if (got > 0) received_.push_back(byte);
    return got <= 0;
  }
  // Whether there is something to read, or an end, right now.
  bool Readable() {
    pollfd state{fd_, POLLIN, 0};
    return !received_.empty() || ::poll(&state, 1, 0) > 0;
  }
  // The next bytes, at least one; empty at the end of the connection.
  std::string ReceiveSome(std::size_t most) {
    if (received_.empty()) {
      received_.resize(most);
      const ssize_t got = ::recv(fd_, received_.data(), most, 0);
      received_.resize(static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
      if (got < 0) Fail("recv");
    }
    std::string some = received_.substr(0, most);
    received_.erase(0, some.size());
    return some;
  }

 private:
  struct Unconnected {};
  HttpClient(Unconnected, int receive_buffer, int family = AF_INET)
      : fd_(::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    if (fd_ < 0) Fail("socket");
    const timeval patience{10, 0};
    const int yes = 1;
    ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    ::setsockopt(fd_, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    ::setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    if (receive_buffer > 0) ::setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
  }

  [[noreturn]] static void Fail(const char* what) {
    throw std::runtime_error(std::string(what) + ": " + std::strerror(errno));
  }
  void More(std::size_t room) {
    const std::size_t held = received_.size();
    received_.resize(held + room);
    const ssize_t got = ::recv(fd_, received_.data() + held, room, 0);
    received_.resize(held + static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
    if (got == 0) throw std::runtime_error("the server closed the connection");
    if (got < 0) Fail("recv");
  }
  std::size_t Find(const char* text) {
    std::size_t at;
    while ((at = received_.find(text)) == std::string::npos) More(4096);
    return at;
  }
  std::string Take(std::size_t size) {
    while (received_.size() < size) More(std::clamp<std::size_t>(size - received_.size(), 1, 1 << 20));
    std::string taken = received_.substr(0, size);
    received_.erase(0, size);
    return taken;
  }

  int fd_;
  std::string received_;
};

}  // namespace msfl::test
