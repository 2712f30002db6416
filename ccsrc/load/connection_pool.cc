#include "load/connection_pool.h"

#include <poll.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace msfl::load {

namespace {

// A Server's backlog is not the load's concern.
constexpr std::size_t kMaxConnecting = 256;
// Of the process: Python's own files, and some air.
constexpr std::size_t kOtherDescriptors = 100;
// One source address has some 28,000 ports towards one destination.
constexpr std::size_t kConnectionsPerSource = 20'000;
constexpr std::chrono::milliseconds kFirstPause{100};
// Of all connections. Left alone the system takes up to 4 MB for each; thousands of them bring its TCP to the
// limit of its memory, and then everybody's packets are lost, those of a Server on the same machine as well.
constexpr std::uint64_t kSendBuffers = std::uint64_t{128} << 20, kLeastSendBuffer = 64 << 10;
// A few connections are left alone: what may be asked for is less than what the system takes by itself.
constexpr std::uint64_t kMostSendBuffer = 1 << 20;

Result<void> AllowDescriptors(std::size_t count) {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= count) return {};
  const rlim_t soft = limit.rlim_cur;
  limit.rlim_cur = limit.rlim_max == RLIM_INFINITY ? count : std::min<rlim_t>(count, limit.rlim_max);
  if (limit.rlim_cur < count || setrlimit(RLIMIT_NOFILE, &limit) != 0) {
    return Error{Errc::kInvalidArgument, "so many connections need " + std::to_string(count) +
                                             " file descriptors; this process may have " +
                                             std::to_string(soft) + ", at most " +
                                             std::to_string(limit.rlim_max) + " ('ulimit -Hn')"};
  }
  return {};
}

int SendBuffer(std::uint64_t connections) {
  const std::uint64_t each = kSendBuffers / std::max<std::uint64_t>(1, connections);
  return each > kMostSendBuffer ? 0 : static_cast<int>(std::max(each, kLeastSendBuffer));
}

}  // namespace

ConnectionPool::ConnectionPool(const LoadOptions& options)
    : options_(options),
      size_(options.connections + options.idle_connections),
      send_buffer_(SendBuffer(options.connections)) {}

ConnectionPool::~ConnectionPool() {
  if (epoll_ >= 0) close(epoll_);
}

Result<void> ConnectionPool::Prepare() {
  for (const Target& target : options_.targets) {
    const Result<SocketAddress> address = ResolveNumeric(target);
    if (!address) return address.error();
    addresses_.push_back(*address);
  }
  const Result<void> allowed = AllowDescriptors(size_ + kOtherDescriptors);
  if (!allowed) return allowed;
  epoll_ = epoll_create1(EPOLL_CLOEXEC);
  if (epoll_ < 0) return Error{Errc::kInvalidArgument, std::string("epoll: ") + std::strerror(errno)};
  slots_ = std::make_unique<Slot[]>(size_);
  for (std::size_t i = 0; i < size_; ++i) {
    slots_[i].target = i % addresses_.size();
  }
  return {};
}

void ConnectionPool::ListAll() {
  for (std::uint32_t i = 0; i < load_size(); ++i) PutBack(i);
}

bool ConnectionPool::MayOpen() const { return connecting_ < kMaxConnecting; }

std::optional<std::uint32_t> ConnectionPool::Acquire(TimePoint now) {
  while (!ready_.empty()) {
    const std::uint32_t index = ready_.front();
    ready_.pop_front();
    if (slots_[index].connection.is_free()) return index;
    closed_.push_front(index);  // by the Server, meanwhile
  }
  // The one that failed first may be tried first.
  if (closed_.empty() || !MayOpen() || slots_[closed_.front()].retry_at > now) return std::nullopt;
  const std::uint32_t index = closed_.front();
  closed_.pop_front();
  return index;
}

void ConnectionPool::PutBack(std::uint32_t index) {
  (slots_[index].connection.is_free() ? ready_ : closed_).push_front(index);
}

void ConnectionPool::Release(std::uint32_t index) {
  slots_[index].exchange.reset();
  (slots_[index].connection.is_free() ? ready_ : closed_).push_back(index);
}

void ConnectionPool::ReleaseFailed(std::uint32_t index, TimePoint now) {
  Slot& slot = slots_[index];
  slot.failures = static_cast<std::uint8_t>(std::min(slot.failures + 1, 5));
  slot.retry_at = now + kFirstPause * (1 << (slot.failures - 1));
  Release(index);
}

Connection::Progress ConnectionPool::Open(std::uint32_t index, TimePoint now) {
  Slot& slot = slots_[index];
  slot.began = now;
  slot.deadline = now + Seconds(options_.timeout);
  const SocketAddress& address = addresses_[slot.target];
  std::uint8_t source = 0;
  const std::size_t sources =
      std::max<std::size_t>(options_.source_addresses, (size_ - 1) / kConnectionsPerSource + 1);
  if (address.loopback4 && sources > 1)
    source = static_cast<std::uint8_t>(1 + index % std::min<std::size_t>(sources, 250));
  const Connection::Progress progress = slot.connection.Open(address, source, send_buffer_, epoll_, index);
  if (progress == Connection::Progress::kPending) ++connecting_;
  return progress;
}

std::span<const epoll_event> ConnectionPool::Wait(TimePoint until, bool& interrupted) {
  // epoll_wait counts in milliseconds, which an open loop would pay for.
  const auto left = std::max<Clock::duration>(until - Clock::now(), Clock::duration(0));
  if (left > Clock::duration(0)) {
    const auto nanoseconds = std::chrono::duration_cast<std::chrono::nanoseconds>(left).count();
    timespec wait{};
    wait.tv_sec = nanoseconds / 1'000'000'000;
    wait.tv_nsec = nanoseconds % 1'000'000'000;
    pollfd ready{epoll_, POLLIN, 0};
    if (ppoll(&ready, 1, &wait, nullptr) < 0 && errno == EINTR) {
      interrupted = true;
      return {};
    }
  }
  const int count = epoll_wait(epoll_, events_.data(), static_cast<int>(events_.size()), 0);
  if (count < 0) interrupted = true;
  return {events_.data(), static_cast<std::size_t>(std::max(count, 0))};
}

}  // namespace msfl::load
