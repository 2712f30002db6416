// Devices arrive at times that are fixed in advance, whatever the Server does, and go through their rounds
// one by one. Each is another device. What has no connection yet waits, and its latency runs.
#pragma once

#include <optional>

#include "load/patience.h"
#include "load/schedule.h"

namespace msfl::load {

class OpenLoop : public Schedule {
 public:
  OpenLoop(const LoadOptions& options, TimePoint now);

  std::optional<Exchange> Next(TimePoint now, bool learnt) override;
  TimePoint NextDue(TimePoint now) const override;
  void Answered(const Exchange& exchange, const Answer& answer, TimePoint now) override;
  void Broken(const Exchange& exchange, TimePoint now) override;
  void StopArrivals(TimePoint now) override;
  std::optional<Ending> ended(TimePoint now) const override;
  std::uint64_t Overdue(TimePoint now) const override;
  Phase phase() const override { return Phase::kMixed; }
  void Fill(LoadReport& report) const override;

 private:
  bool Wants(Round round) const { return options_.rounds[Index(round)]; }
  bool AllArrived() const { return stopped_at_ || (total_ != 0 && arrived_ - learners_ == total_); }
  TimePoint Arrival(std::uint64_t device) const;
  // The exchange after one that was accepted, due now.
  void Continue(const Exchange& exchange, std::int32_t iteration, TimePoint now);

  const LoadOptions& options_;
  Round first_ = Round::kStartFlJob;
  std::uint64_t total_ = 0;  // 0: until StopArrivals
  std::optional<TimePoint> began_;
  std::uint64_t arrived_ = 0, under_way_ = 0;
  std::uint64_t learners_ = 0;  // devices that began before time did, until one had learnt the model
  TimePoint learn_at_;          // when the next of them may begin
  std::optional<TimePoint> stopped_at_;
  bool given_up_ = false;  // stopped before the model was learnt; what is in later_ won't be sent
  LaterExchanges later_;
  Patience patience_;
  std::optional<Ending> ending_;
};

}  // namespace msfl::load
