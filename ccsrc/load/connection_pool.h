// The connections of a run: opened a few at a time, opened again when the Server has closed them.
#pragma once

#include <sys/epoll.h>

#include <array>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "load/connection.h"
#include "load/schedule.h"

namespace msfl::load {

struct Slot {
  Connection connection;
  std::size_t target = 0;
  std::uint8_t failures = 0;  // to open it, in a row
  TimePoint retry_at;         // not before, after a failure
  TimePoint began, deadline;  // of the connecting, or of the request with its answer
  std::optional<Exchange> exchange;
};

class ConnectionPool {
 public:
  explicit ConnectionPool(const LoadOptions& options);
  ~ConnectionPool();
  ConnectionPool(const ConnectionPool&) = delete;
  ConnectionPool& operator=(const ConnectionPool&) = delete;

  // Errc::kInvalidArgument: a wrong address, or more connections than this process may have descriptors.
  Result<void> Prepare();

  // Slots for load come first, those of idle connections after them.
  std::size_t size() const { return size_; }
  std::size_t load_size() const { return options_.connections; }
  Slot& operator[](std::size_t index) { return slots_[index]; }

  // Once the slots for load have been opened, or tried: from now on they can be acquired.
  void ListAll();

  // A slot for load that is connected, or may be opened now; taken until it is given back.
  std::optional<std::uint32_t> Acquire(TimePoint now);
  // Unused.
  void PutBack(std::uint32_t index);
  // After an exchange, or a failure, which has to pause.
  void Release(std::uint32_t index);
  void ReleaseFailed(std::uint32_t index, TimePoint now);

  Connection::Progress Open(std::uint32_t index, TimePoint now);
  void NoteConnectingOver() { --connecting_; }
  bool MayOpen() const;

  // Waits until a socket is ready or `until`; an interruption by a signal ends it too, and is told.
  std::span<const epoll_event> Wait(TimePoint until, bool& interrupted);

 private:
  const LoadOptions& options_;
  std::vector<SocketAddress> addresses_;
  int epoll_ = -1;
  std::size_t size_ = 0;
  const int send_buffer_;
  std::unique_ptr<Slot[]> slots_;
  std::deque<std::uint32_t> ready_, closed_;
  std::size_t connecting_ = 0;
  std::array<epoll_event, 256> events_;
};

}  // namespace msfl::load
