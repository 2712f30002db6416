// A redis-server of a test's own, on a socket in a private folder; ended and removed with the object.
#pragma once

#include <sys/types.h>

#include <string>

namespace msfl::test {

class RedisProcess {
 public:
  RedisProcess();
  ~RedisProcess();
  RedisProcess(const RedisProcess&) = delete;
  RedisProcess& operator=(const RedisProcess&) = delete;

  const std::string& socket_path() const { return socket_path_; }
  std::string address() const { return "unix:" + socket_path_; }
  void Kill();   // SIGKILL; the data is gone, since nothing is written to disk
  void Start();  // again, empty, on the same socket
  void Pause();  // SIGSTOP: connected, but silent
  void Continue();

 private:
  std::string folder_, socket_path_;
  pid_t pid_ = -1;
};

}  // namespace msfl::test
