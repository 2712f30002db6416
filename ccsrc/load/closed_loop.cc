#include "load/closed_loop.h"

#include <algorithm>
#include <limits>

#include "base/clock.h"

namespace msfl::load {

namespace {

using Phase = Schedule::Phase;

constexpr auto kShortestPoll = std::chrono::milliseconds(1);
constexpr auto kLongestPoll = std::chrono::milliseconds(500);
// A full round is asked again at next_req_time, but no later: iterations of a load test are short.
constexpr auto kLongestPause = std::chrono::milliseconds(1000);
// With so many errors and nothing else an iteration is not worth going on with.
constexpr std::uint64_t kHopeless = 1000;

}  // namespace

ClosedLoop::ClosedLoop(const LoadOptions& options, TimePoint now)
    : options_(options), iteration_of_(options.devices), resume_at_(now), patience_(options, now) {
  Phase first = Phase::kStart;
  while (!HasPhase(first)) first = static_cast<Phase>(static_cast<int>(first) + 1);
  Enter(first, now);
}

bool ClosedLoop::HasPhase(Phase phase) const {
  switch (phase) {
    case Phase::kStart:
      return Wants(Round::kStartFlJob);
    case Phase::kUpdate:
      return Wants(Round::kUpdateModel);
    case Phase::kSwitch:
      return Wants(Round::kUpdateModel) && (Wants(Round::kGetResult) || Wants(Round::kGetModel));
    case Phase::kResult:
      return Wants(Round::kGetResult);
    case Phase::kModel:
      return Wants(Round::kGetModel);
    case Phase::kMixed:
      break;
  }
  return false;
}

Round ClosedLoop::RoundOf(Phase phase) const {
  if (phase == Phase::kStart) return Round::kStartFlJob;
  if (phase == Phase::kUpdate) return Round::kUpdateModel;
  if (phase == Phase::kModel) return Round::kGetModel;
  return Wants(Round::kGetResult) ? Round::kGetResult : Round::kGetModel;
}

void ClosedLoop::Enter(Phase phase, TimePoint now) {
  phase_ = phase;
  phase_began_ = now;
  next_ = 0;
  probing_ = false;
}

bool ClosedLoop::TakesPart(std::uint64_t device) const {
  if (phase_ == Phase::kStart || !Wants(Round::kStartFlJob)) return true;
  return iteration_of_[device] > 0;
}

Exchange ClosedLoop::Make(std::uint64_t device, TimePoint now) const {
  Exchange exchange;
  exchange.round = RoundOf(phase_);
  exchange.device = device;
  exchange.due = exchange.not_before = now;
  const std::int32_t joined = iteration_of_[device];
  // Without an update the newest model is the one of the iteration before.
  exchange.iteration = Wants(Round::kUpdateModel) ? joined : std::max(joined - 1, 0);
  return exchange;
}

std::optional<Exchange> ClosedLoop::Next(TimePoint now, bool learnt) {
  if (ending_ || stopped_at_ || now < resume_at_) return std::nullopt;
  if (!later_.empty() && later_.top().not_before <= now) {
    Exchange exchange = later_.top();
    later_.pop();
    ++under_way_;
    return exchange;
  }
  const bool alone = phase_ == Phase::kSwitch || (Wants(Round::kUpdateModel) && !learnt);
  if (alone && (under_way_ > 0 || !later_.empty() || probing_)) return std::nullopt;
  while (next_ < options_.devices && !TakesPart(next_)) ++next_;
  if (next_ < options_.devices) {
    ++under_way_;
    if (phase_ == Phase::kStart) ++begun_;
    probing_ = phase_ == Phase::kSwitch;
    return Make(next_++, now);
  }
  if (under_way_ == 0 && later_.empty()) {
    Advance(now);
    return Next(now, learnt);
  }
  return std::nullopt;
}

TimePoint ClosedLoop::NextDue(TimePoint now) const {
  if (stopped_at_) return TimePoint::max();
  if (now < resume_at_) return resume_at_;
  return later_.empty() ? TimePoint::max() : later_.top().not_before;
}

void ClosedLoop::Again(Exchange exchange, TimePoint due) {
  exchange.due = exchange.not_before = due;
  later_.push(exchange);
}

// A device that failed or was refused sits out the rest of the iteration.
void ClosedLoop::Drop(const Exchange& exchange) {
  if (exchange.round == Round::kStartFlJob || exchange.round == Round::kUpdateModel) {
    iteration_of_[exchange.device] = 0;
  }
}

// One device asks, soon at first: how long a switch takes is a figure of its own.
Clock::duration ClosedLoop::SwitchPoll(TimePoint now) const {
  return std::clamp<Clock::duration>((now - phase_began_) / 20, kShortestPoll, kLongestPoll);
}

void ClosedLoop::Answered(const Exchange& exchange, const Answer& answer, TimePoint now) {
  --under_way_;
  ++pass_answers_;
  // Refusals alone are no progress where updates are wanted.
  patience_.NoteAnswer(answer,
                       answer.verdict == Verdict::kAccepted ||
                           (answer.verdict == Verdict::kRefused && !Wants(Round::kUpdateModel)),
                       now);
  switch (answer.verdict) {
    case Verdict::kAccepted:
      ++pass_accepted_;
      if (exchange.round == Round::kStartFlJob) iteration_of_[exchange.device] = answer.iteration;
      if (exchange.round == Round::kUpdateModel) last_update_ = now;
      if (phase_ == Phase::kSwitch) {
        switch_ms_.push_back(1e3 * ToSeconds(now - last_update_));
        EndSwitch(exchange, now);
      }
      break;
    case Verdict::kNotReady:
    case Verdict::kSafemode:
      Again(exchange, now + (phase_ == Phase::kSwitch ? SwitchPoll(now) : kRetryPause));
      break;
    case Verdict::kRefused:
      ++pass_refused_;
      next_req_time_ = answer.next_req_time;
      Drop(exchange);
      if (phase_ == Phase::kSwitch) EndSwitch(exchange, now);
      break;
    case Verdict::kOver:
      ending_ = Ending::kJobOver;
      break;
    case Verdict::kError:
      Drop(exchange);
      if (phase_ == Phase::kSwitch) EndSwitch(exchange, now);
      if (pass_accepted_ == 0 && pass_refused_ == 0 && pass_answers_ >= kHopeless) ending_ = Ending::kErrors;
      break;
  }
}

// The device that asked has had its turn.
void ClosedLoop::EndSwitch(const Exchange& exchange, TimePoint now) {
  Enter(exchange.round == Round::kGetResult ? Phase::kResult : Phase::kModel, now);
  next_ = exchange.device + 1;
}

void ClosedLoop::Broken(const Exchange& exchange, TimePoint now) {
  --under_way_;
  patience_.NoteBroken();
  if (exchange.attempt + 1 < kAttempts || phase_ == Phase::kSwitch) {
    Exchange again = exchange;
    again.attempt = static_cast<std::uint8_t>(std::min(again.attempt + 1, kAttempts - 1));
    Again(again, now + kRetryPause);
  } else {
    Drop(exchange);
  }
}

void ClosedLoop::Advance(TimePoint now) {
  auto phase = static_cast<int>(phase_) + 1;
  for (; phase < static_cast<int>(Phase::kMixed); ++phase) {
    if (HasPhase(static_cast<Phase>(phase))) return Enter(static_cast<Phase>(phase), now);
  }
  EndPass(now);
}

void ClosedLoop::EndPass(TimePoint now) {
  const bool silent = pass_answers_ == 0;
  if (!silent && pass_accepted_ == 0 && pass_refused_ == 0) {
    ending_ = Ending::kErrors;
    return;
  }
  // Nobody there, or full for everybody: not an iteration of ours.
  if (silent || (pass_accepted_ == 0 && Wants(Round::kUpdateModel))) {
    const auto told = std::chrono::milliseconds(std::max<std::int64_t>(next_req_time_ - WallMillis(), 1));
    resume_at_ = now + std::min<Clock::duration>(told, kLongestPause);
  } else if (++passes_ == options_.iterations) {
    ending_ = Ending::kDone;
  }
  pass_accepted_ = pass_refused_ = pass_answers_ = 0;
  std::ranges::fill(iteration_of_, 0);
  Phase first = Phase::kStart;
  while (!HasPhase(first)) first = static_cast<Phase>(static_cast<int>(first) + 1);
  Enter(first, now);
}

void ClosedLoop::StopArrivals(TimePoint now) { stopped_at_ = now; }

std::optional<Ending> ClosedLoop::ended(TimePoint now) const {
  if (ending_) return ending_;
  if (stopped_at_ && (under_way_ == 0 || now >= *stopped_at_ + kAfterwards)) {
    return patience_.AtTheEnd(now);
  }
  return patience_.At(now);
}

std::uint64_t ClosedLoop::Overdue(TimePoint) const { return 0; }

void ClosedLoop::Fill(LoadReport& report) const {
  report.iterations = passes_;
  report.arrivals = begun_;
  report.switch_ms = switch_ms_;
}

}  // namespace msfl::load
