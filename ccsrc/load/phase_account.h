// Whose time it is: wall time and CPU time of the Servers, by the phase of the schedule that used it.
#pragma once

#include <sys/types.h>

#include <ctime>
#include <vector>

#include "base/error.h"
#include "load/schedule.h"
#include "load/tally.h"

namespace msfl::load {

// Of a process or thread, in seconds.
double CpuSeconds(clockid_t clock);

class PhaseAccount {
 public:
  // Errc::kInvalidArgument: the CPU time of a process can't be read.
  Result<void> Watch(const std::vector<pid_t>& servers);
  double ServerCpu();  // of all together; never less than before, also if one is gone

  void Begin(Schedule::Phase phase);
  // What has passed since the last call belongs to the phase that was.
  void Note(Schedule::Phase phase, LoadReport& report);
  void End(LoadReport& report) { Note(Schedule::Phase::kMixed, report); }

 private:
  struct ServerClock {
    clockid_t clock = 0;
    double seconds = 0;  // at the last look
  };
  std::vector<ServerClock> servers_;
  Schedule::Phase phase_ = Schedule::Phase::kMixed;
  TimePoint began_;
  double began_cpu_ = 0;
};

}  // namespace msfl::load
