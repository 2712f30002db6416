// A connection between Servers. Nothing on it waits without a deadline; what misses it is closed.
#pragma once

#include <atomic>
#include <boost/asio/basic_waitable_timer.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "base/clock.h"
#include "base/task.h"
#include "net/peer_address.h"
#include "net/peer_pace.h"
#include "net/stream.h"

namespace msfl::net {

// Bytes of any kind; shared by sockets.
struct PeerTraffic {
  std::atomic<std::uint64_t> received{0}, sent{0};
};

// Used on the loop of its stream alone.
class PeerSocket : public std::enable_shared_from_this<PeerSocket> {
 public:
  PeerSocket(TcpStream stream, std::shared_ptr<PeerTraffic> traffic)
      : stream_(std::move(stream)), timer_(stream_.get_executor()), traffic_(std::move(traffic)) {}

  struct Transfer {
    std::size_t bytes = 0;
    error_code fault;  // timed_out: the deadline
  };
  using Self = std::shared_ptr<PeerSocket>;

  static Task<error_code> Connect(Self self, PeerAddress address, SteadyClock::time_point until);
  // What is there, at least a byte.
  static Task<Transfer> ReadSome(Self self, std::span<std::uint8_t> into, SteadyClock::time_point until);
  // All of it, or the peer misses its pace, which has to live so long. `bytes` came even if there is a fault.
  static Task<Transfer> Read(Self self, std::span<std::uint8_t> into, PeerPace& pace);
  static Task<error_code> Write(Self self, GatherBuffers buffers, PeerPace pace);

  // What is waited for fails soon after.
  void Close() noexcept;
  bool open() const { return !closed_; }
  // The other side has closed it, or sent what nobody asked for.
  bool Stale();

  Executor executor() { return stream_.get_executor(); }
  static std::string Text(const error_code& fault);

 private:
  using Timer = asio::basic_waitable_timer<SteadyClock, asio::wait_traits<SteadyClock>, Executor>;
  struct Lookup;

  static Task<error_code> Resolve(Self self, PeerAddress address, SteadyClock::time_point until,
                                  std::shared_ptr<Lookup> lookup);
  void WaitUntil(SteadyClock::time_point until);
  void WaitForever() { until_ = SteadyClock::time_point::max(); }
  void Arm();
  error_code Fault(const error_code& fault) const;

  TcpStream stream_;
  // One wait of the timer lasts over many reads: it looks whether the deadline has moved when it ends.
  Timer timer_;
  SteadyClock::time_point until_ = SteadyClock::time_point::max();
  bool armed_ = false, late_ = false, closed_ = false;
  const std::shared_ptr<PeerTraffic> traffic_;
  std::weak_ptr<Lookup> lookup_;
};

}  // namespace msfl::net
