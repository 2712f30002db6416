// One run: opens the connections, lets the schedule say what is sent, counts what comes back.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "load/connection_pool.h"
#include "load/device_messages.h"
#include "load/phase_account.h"
#include "load/schedule.h"
#include "load/tally.h"

namespace msfl::load {

class LoadRun {
 public:
  // Told some four times a second, and when a signal came; false ends the run.
  using Progress = std::function<bool(const LoadReport&)>;

  LoadRun(LoadOptions options, Progress progress);

  // On the calling thread, once. Errc::kInvalidArgument: options that can't be used.
  Result<LoadReport> Run();

 private:
  Result<void> Check() const;
  bool OpenAll();
  void Loop();
  // Sends what is due. False if it was not asked what that is, since no connection is free.
  bool Dispatch();
  void Begin(std::uint32_t index, const Exchange& exchange);
  void SendNow(std::uint32_t index);
  void Handle(std::uint32_t index);
  void HandleOpening(std::uint32_t index, Connection::Progress progress);
  void Complete(std::uint32_t index);
  void Fail(std::uint32_t index, const std::string& cause);
  void CountBytes(Slot& slot);
  void CutOverdue(TimePoint now);
  bool Tick(TimePoint now, bool interrupted);
  void Finish();
  bool Opening() const { return schedule_ == nullptr; }

  const LoadOptions options_;
  const Progress progress_;
  ConnectionPool pool_;
  DeviceMessages messages_;
  std::unique_ptr<Schedule> schedule_;  // none while connections are opened
  PhaseAccount account_;
  LoadReport report_;
  std::optional<Ending> ending_;
  std::size_t open_ = 0;  // connections that stood when all had been tried
  TimePoint began_, next_tick_, next_progress_;
  double began_cpu_ = 0, began_server_cpu_ = 0;
};

}  // namespace msfl::load
