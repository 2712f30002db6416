// What requests may do now, and the iteration they do it in. During a switch the gate is shut and requests
// wait at it: a switch takes milliseconds, and a refused device would come back only after seconds.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>

#include "base/clock.h"
#include "base/task.h"
#include "base/wait_list.h"
#include "job/iteration.h"

namespace msfl::job {

enum class Service {
  kServing,   // instance Running
  kDisabled,  // instance Disable or Stop: nothing is served
  kFinished,  // instance Finish: only models are served
  kSafemode,  // the cache can't be reached: only models are served
  kStopping,  // this process is on its way out
};

class Gate {
 public:
  struct View {
    Service service = Service::kStopping;
    bool switching = false;  // the switch outlasted the caller's patience
    std::shared_ptr<Iteration> iteration;
  };

  // Waits, on the caller's loop, while the gate is shut, at most `patience`. A caller that was told by the
  // store that its iteration is over names it as `stale` and waits for the next one as well.
  Task<View> Enter(std::chrono::milliseconds patience, const Iteration* stale = nullptr);
  // Waits, on the caller's loop, until `running` has ended and the gate is open again, or nothing is served
  // any more, but not beyond `until`. Never `switching`: whose patience ends during a switch has seen no end.
  Task<View> AwaitEnd(const Iteration* running, SteadyClock::time_point until);
  // The same without waiting.
  View Look() const;

  void Shut();
  // The iteration that Look() tells of while the gate has not been opened yet.
  void Place(std::shared_ptr<Iteration> iteration);
  void Open(Service service, std::shared_ptr<Iteration> iteration);
  // Opens for good: from now on everybody gets the answer of `service`. The first call counts.
  void Close(Service service);

  struct Switches {
    std::uint64_t count = 0;
    std::chrono::microseconds time{0};  // altogether, from shut to open
  };
  // How often it was shut for one iteration and opened for another.
  Switches switches() const;

 private:
  // mutex_ held:
  bool MayPass(const Iteration* stale) const;
  bool HasEnded(const Iteration* running) const;

  mutable std::mutex mutex_;
  bool shut_ = true, closed_ = false;
  Service service_ = Service::kSafemode;
  std::shared_ptr<Iteration> iteration_;
  WaitList waiters_;
  SteadyClock::time_point shut_at_;
  Switches switches_;
};

}  // namespace msfl::job
