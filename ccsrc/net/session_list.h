// The open sessions of one loop, touched by that loop's thread alone. Deadlines are fields that the sessions
// move; one sweep looks at them all, so that a request costs no timer.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "base/clock.h"
#include "net/address_shares.h"
#include "net/http_server.h"

namespace msfl::net {

class SessionList;

class Session {
 public:
  explicit Session(SessionList& list) : list_(list) {}
  virtual ~Session() = default;
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  // Whatever the session waits for on its stream fails soon after.
  virtual void Close() noexcept = 0;
  // The same, and the peer gets nothing of what the system still has to send.
  virtual void Abort() noexcept { Close(); }
  // A later deadline, if its peer has moved on in a way that the session was not told of; else `now`.
  virtual SteadyClock::time_point Reprieve(SteadyClock::time_point now) noexcept { return now; }

  // The place it holds until it is closed. Before the session starts.
  void TakePlace(AddressShares::Hold place) { place_ = std::move(place); }

 protected:
  void Register();
  void Unregister();  // in the destructor of the derived class, which may own the list
  // The sweep closes it after `deadline`, and counts `limit` as struck (kBodyTime and so on; kCount: none).
  void WaitUntil(SteadyClock::time_point deadline, HttpLimit limit = HttpLimit::kCount) {
    deadline_ = deadline;
    limit_ = limit;
  }
  void WaitForever() { deadline_ = SteadyClock::time_point::max(); }
  // The sweep aborts it when *withdrawn becomes true. Null: never.
  void WaitUnless(const std::atomic<bool>* withdrawn) { withdrawn_ = withdrawn; }
  // Idle is between requests: whoever is it for longest gives its place to a newcomer.
  void SetIdle(bool idle);

 private:
  friend class SessionList;
  void EnterIdle();
  void LeaveIdle();

  struct Links {
    Session* previous = nullptr;
    Session* next = nullptr;
  };

  SessionList& list_;
  Links all_, among_idle_;
  bool registered_ = false;
  bool idle_ = false;
  HttpLimit limit_ = HttpLimit::kCount;
  const std::atomic<bool>* withdrawn_ = nullptr;
  SteadyClock::time_point deadline_ = SteadyClock::time_point::max();
  SteadyClock::time_point idle_since_;
  AddressShares::Hold place_;
};

// Aligned, since other loops read what is idle here.
class alignas(64) SessionList {
 public:
  static constexpr std::int64_t kNoneIdle = INT64_MAX;

  void CloseOverdue(SteadyClock::time_point now, HttpStats& stats);
  void CloseIdle();
  void CloseAll();
  // Closes the one that is idle for longest; its place is free on return. False if none is idle.
  bool EvictIdle();

  // From any thread; a moment old.
  std::int64_t idle_since() const { return idle_since_.load(std::memory_order_relaxed); }  // kNoneIdle: none
  std::size_t idle_count() const { return idle_count_.load(std::memory_order_relaxed); }

 private:
  friend class Session;
  void PublishIdle(std::ptrdiff_t change);

  Session* first_ = nullptr;
  Session* longest_idle_ = nullptr;
  Session* shortest_idle_ = nullptr;
  std::atomic<std::int64_t> idle_since_{kNoneIdle};
  std::atomic<std::size_t> idle_count_{0};
};

}  // namespace msfl::net
