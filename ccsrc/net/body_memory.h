// Who may hold memory for a body, and in which order: a budget over all loops, a queue for those that find no
// room in it. Does no I/O; whoever waits is woken by a function of its own.
//
// A body takes what its buffer holds, so that bodies and what the pool keeps idle are within the budget
// together. The queue is served in the order of arrival, and nobody overtakes; those who only wait because
// their address holds its share are passed over, so that one address can't make the others wait.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <unordered_map>

#include "base/buffer.h"
#include "net/address_key.h"
#include "net/http_server.h"

namespace msfl::net {

class BodyMemory;

// The place of one session: nothing, a place in the queue, or room with its buffer. Used by its session
// alone, on the session's loop.
class BodyRoom {
 public:
  BodyRoom(BodyMemory& memory, const AddressKey& address) : memory_(memory), address_(address) {}
  ~BodyRoom() { Release(); }
  BodyRoom(const BodyRoom&) = delete;
  BodyRoom& operator=(const BodyRoom&) = delete;

  // Takes room for a body of so many bytes, if there is some now and nobody has come before. Precondition:
  // Release() since the last time.
  bool Take(std::size_t bytes);
  // The same, or enters the queue: `wake` is then called, on any thread and under a lock, when waiting has
  // ended by anything but Leave() and Release(). It must not call back.
  void Await(std::size_t bytes, std::function<void()> wake);
  bool waiting() const;
  // Ends waiting. True if there is room.
  bool Leave();

  // Memory for the body. Precondition: there is room. Throws std::bad_alloc.
  Buffer& buffer();
  // More room, without waiting, and a larger buffer with the first `keep` bytes of the old one. False, and
  // nothing is changed, if there is none.
  bool Grow(std::size_t bytes, std::size_t keep);
  // Gives back whatever it is: memory, room, the place in the queue.
  void Release() noexcept;

 private:
  friend class BodyMemory;
  enum class State { kNothing, kWaiting, kHeld };

  BodyMemory& memory_;
  const AddressKey address_;
  bool engaged_ = false;  // since Take or Await; the session's alone
  // All below under the lock of memory_, but what is the session's alone once it holds room.
  State state_ = State::kNothing;
  std::size_t bytes_ = 0;   // of the body
  std::uint64_t cost_ = 0;  // counted for it
  std::uint64_t ticket_ = 0;
  BodyRoom* previous_ = nullptr;  // in the queue of its address
  BodyRoom* next_ = nullptr;
  Buffer buffer_;
  std::function<void()> wake_;
};

class BodyMemory {
 public:
  // `address_share`: of the budget, for one address. It is let in beyond that if it holds nothing yet.
  // From 1.0 on there are no addresses. Keeps HttpStats::body_memory_used and bodies_waiting.
  BodyMemory(std::shared_ptr<BufferPool> pool, std::uint64_t budget, double address_share, HttpStats& stats);
  ~BodyMemory();

  // From now on nobody waits.
  void EndWaiting() noexcept;

 private:
  friend class BodyRoom;
  struct Holder;  // an address with bodies or waiters
  // The first waiters of the addresses below their share, by their tickets.
  using Ready = std::map<std::uint64_t, Holder*>;

  Holder& HolderOf(const BodyRoom& room);
  bool Fits(const Holder& holder, std::uint64_t cost) const;
  AddressKey KeyOf(const BodyRoom& room) const;
  bool Take(BodyRoom& room, std::size_t bytes, BufferPool::Surplus& surplus);
  void Enqueue(BodyRoom& room);
  void Leave(BodyRoom& room, BufferPool::Surplus& surplus) noexcept;
  void GiveBack(BodyRoom& room, BufferPool::Surplus& surplus) noexcept;
  bool Grow(BodyRoom& room, std::size_t bytes, BufferPool::Surplus& surplus) noexcept;
  void Grant(BodyRoom& room, Holder& holder, BufferPool::Surplus& surplus) noexcept;
  void Unlink(BodyRoom& room, Holder& holder) noexcept;
  static void Wake(BodyRoom& room) noexcept;
  void Serve(BufferPool::Surplus& surplus) noexcept;
  void Update(Holder& holder) noexcept;
  void Occupy(Holder& holder, std::uint64_t more, std::uint64_t less, BufferPool::Surplus& surplus) noexcept;

  const std::shared_ptr<BufferPool> pool_;
  const std::uint64_t budget_;
  const bool shared_;  // by address
  const std::uint64_t share_;
  HttpStats& stats_;
  mutable std::mutex mutex_;
  std::uint64_t used_ = 0;
  std::uint64_t next_ticket_ = 0;
  bool ended_ = false;
  std::unordered_map<AddressKey, Holder, AddressKeyHash> holders_;
  Ready ready_;
};

}  // namespace msfl::net
