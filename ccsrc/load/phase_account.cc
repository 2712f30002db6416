#include "load/phase_account.h"

#include <algorithm>
#include <array>
#include <optional>
#include <string>

namespace msfl::load {

double CpuSeconds(clockid_t clock) {
  timespec now{};
  if (clock_gettime(clock, &now) != 0) return 0;
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

Result<void> PhaseAccount::Watch(const std::vector<pid_t>& servers) {
  for (const pid_t pid : servers) {
    clockid_t clock = 0;
    if (clock_getcpuclockid(pid, &clock) != 0) {
      return Error{Errc::kInvalidArgument,
                   "the CPU time of process " + std::to_string(pid) + " can't be read"};
    }
    servers_.push_back({clock});
  }
  return {};
}

double PhaseAccount::ServerCpu() {
  double all = 0;
  for (ServerClock& server : servers_) {
    server.seconds = std::max(server.seconds, CpuSeconds(server.clock));  // what it had when it died
    all += server.seconds;
  }
  return all;
}

void PhaseAccount::Begin(Schedule::Phase phase) {
  phase_ = phase;
  began_ = Clock::now();
  began_cpu_ = ServerCpu();
}

void PhaseAccount::Note(Schedule::Phase phase, LoadReport& report) {
  if (phase == phase_) return;
  const Schedule::Phase was = phase_;
  const TimePoint began = began_;
  const double cpu = began_cpu_;
  Begin(phase);
  constexpr std::array<std::optional<Round>, 5> kRoundOf{Round::kStartFlJob, Round::kUpdateModel,
                                                         std::nullopt, Round::kGetResult, Round::kGetModel};
  if (was == Schedule::Phase::kSwitch) {
    report.switch_server_cpu_seconds += began_cpu_ - cpu;
  } else if (was != Schedule::Phase::kMixed) {
    RoundTally& tally = report.tally.rounds[Index(*kRoundOf[static_cast<std::size_t>(was)])];
    tally.seconds += ToSeconds(began_ - began);
    tally.server_cpu_seconds += began_cpu_ - cpu;
  }
}

}  // namespace msfl::load
