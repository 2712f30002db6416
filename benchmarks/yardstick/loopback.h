// What the bare loops share: a loopback connection to a child process, and CPU time.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <string>

namespace msfl::yardstick {

inline double ClockSeconds(clockid_t clock) {
  timespec now{};
  clock_gettime(clock, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}
inline double CpuSeconds() { return ClockSeconds(CLOCK_PROCESS_CPUTIME_ID); }

[[noreturn]] inline void Die(const char* what) {
  std::perror(what);
  std::_Exit(1);
}

inline void WriteAll(int socket, const void* data, std::size_t size) {
  const char* at = static_cast<const char*>(data);
  while (size > 0) {
    const ssize_t sent = write(socket, at, size);
    if (sent <= 0) Die("write");
    at += sent;
    size -= static_cast<std::size_t>(sent);
  }
}

inline void ReadAll(int socket, void* data, std::size_t size) {
  char* at = static_cast<char*>(data);
  while (size > 0) {
    const ssize_t got = read(socket, at, size);
    if (got <= 0) Die("read");
    at += got;
    size -= static_cast<std::size_t>(got);
  }
}

// Runs `peer(socket)` in a child and returns this side's socket.
template <class Peer>
int ConnectToChild(Peer peer, pid_t& child) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  auto* const generic = reinterpret_cast<sockaddr*>(&address);
  const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (listener < 0 || bind(listener, generic, length) != 0 || listen(listener, 1) != 0 ||
      getsockname(listener, generic, &length) != 0) {
    Die("listen");
  }
  child = fork();
  if (child < 0) Die("fork");
  if (child == 0) {
    const int out = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (out < 0 || connect(out, generic, length) != 0) Die("connect");
    peer(out);
    std::_Exit(0);
  }
  const int in = accept(listener, nullptr, nullptr);
  if (in < 0) Die("accept");
  close(listener);
  return in;
}

inline void WaitForChild(pid_t child) {
  int status = 0;
  if (waitpid(child, &status, 0) != child || status != 0) {
    std::fputs("the child process failed\n", stderr);
    std::_Exit(1);
  }
}

struct Sizes {
  std::size_t bytes;
  std::size_t count;
};

// <program> BYTES COUNT
inline Sizes ParseSizes(int argc, char** argv) {
  char* end = nullptr;
  Sizes sizes{0, 0};
  if (argc == 3) sizes.bytes = std::strtoull(argv[1], &end, 10) / sizeof(float) * sizeof(float);
  if (argc == 3 && *end == '\0') sizes.count = std::strtoull(argv[2], &end, 10);
  if (argc != 3 || *end != '\0' || sizes.bytes == 0 || sizes.count == 0) {
    std::fprintf(stderr, "usage: %s BYTES COUNT   (BYTES of at least 4, COUNT of at least 1)\n", argv[0]);
    std::exit(2);
  }
  return sizes;
}

inline void Report(const char* name, const Sizes& sizes, double cpu_seconds, double check) {
  std::printf(
      "{\"yardstick\": \"%s\", \"bytes\": %zu, \"count\": %zu, \"cpu_s_per_gb\": %.5f, \"check\": %g}\n",
      name, sizes.bytes, sizes.count, cpu_seconds / (1e-9 * static_cast<double>(sizes.bytes * sizes.count)),
      check);
}

}  // namespace msfl::yardstick
