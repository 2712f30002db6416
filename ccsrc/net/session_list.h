// The open sessions of one loop, touched by that loop's thread alone. Deadlines are fields that the sessions
// move; one sweep looks at them all, so that a request costs no timer.
#pragma once

#include <cstddef>

#include "base/clock.h"

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

 protected:
  void Register();
  void Unregister();  // in the destructor of the derived class, which may own the list
  void WaitUntil(SteadyClock::time_point deadline) { deadline_ = deadline; }
  void WaitForever() { deadline_ = SteadyClock::time_point::max(); }
  void SetIdle(bool idle) { idle_ = idle; }

 private:
  friend class SessionList;
  SessionList& list_;
  Session* previous_ = nullptr;
  Session* next_ = nullptr;
  bool registered_ = false;
  bool idle_ = true;
  SteadyClock::time_point deadline_ = SteadyClock::time_point::max();
};

class SessionList {
 public:
  void CloseOverdue(SteadyClock::time_point now);
  void CloseIdle();
  void CloseAll();
  std::size_t size() const { return size_; }

 private:
  friend class Session;
  Session* first_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace msfl::net
