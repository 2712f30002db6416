// All devices go through each round together, as fast as connections are free; then the next iteration
// begins.
//
//   start --all answered--> update --> switch --a device finds the iteration over--> result --> model --+
//     ^                                                                                                |
//     +---- next iteration; after a pause if the round was full for everybody -------------------------+
//
// Rounds that were not asked for are left out; `switch` needs updates and one of the last two.
#pragma once

#include <vector>

#include "load/patience.h"
#include "load/schedule.h"

namespace msfl::load {

class ClosedLoop : public Schedule {
 public:
  ClosedLoop(const LoadOptions& options, TimePoint now);

  std::optional<Exchange> Next(TimePoint now, bool learnt) override;
  TimePoint NextDue(TimePoint now) const override;
  void Answered(const Exchange& exchange, const Answer& answer, TimePoint now) override;
  void Broken(const Exchange& exchange, TimePoint now) override;
  void StopArrivals(TimePoint now) override;
  std::optional<Ending> ended(TimePoint now) const override;
  std::uint64_t Overdue(TimePoint now) const override;
  Phase phase() const override { return phase_; }
  void Fill(LoadReport& report) const override;

 private:
  bool Wants(Round round) const { return options_.rounds[Index(round)]; }
  bool HasPhase(Phase phase) const;
  Round RoundOf(Phase phase) const;
  bool TakesPart(std::uint64_t device) const;
  Exchange Make(std::uint64_t device, TimePoint now) const;
  void Again(Exchange exchange, TimePoint due);
  void Drop(const Exchange& exchange);
  void Advance(TimePoint now);
  void EndPass(TimePoint now);
  void EndSwitch(const Exchange& exchange, TimePoint now);
  void Enter(Phase phase, TimePoint now);
  Clock::duration SwitchPoll(TimePoint now) const;

  const LoadOptions& options_;
  Phase phase_ = Phase::kStart;
  std::vector<std::int32_t> iteration_of_;  // that a device takes part in; 0: in none
  std::uint64_t next_ = 0, under_way_ = 0;
  LaterExchanges later_;
  TimePoint resume_at_, phase_began_, last_update_;
  Patience patience_;
  std::int64_t next_req_time_ = 0;  // Unix ms, as the last refusal said
  std::uint64_t pass_accepted_ = 0, pass_refused_ = 0, pass_answers_ = 0;
  bool probing_ = false;  // a switch's one question is made
  std::optional<TimePoint> stopped_at_;
  std::uint64_t passes_ = 0, begun_ = 0;
  std::vector<double> switch_ms_;
  std::optional<Ending> ending_;
};

}  // namespace msfl::load
