#include "load/open_loop.h"

#include <algorithm>

namespace msfl::load {

namespace {

// Beyond so many errors and nothing else a run is not worth going on with.
constexpr std::uint64_t kHopeless = 1000;
// The same before the model is known, when devices begin one by one.
constexpr std::uint64_t kHopelessLearners = 10;

}  // namespace

OpenLoop::OpenLoop(const LoadOptions& options, TimePoint now)
    : options_(options), total_(options.devices * options.iterations), patience_(options, now) {
  while (!Wants(first_)) first_ = static_cast<Round>(Index(first_) + 1);
}

// From the beginning, so that rounding does not add up.
TimePoint OpenLoop::Arrival(std::uint64_t device) const {
  return *began_ + Seconds(static_cast<double>(device) / options_.rate);
}

std::optional<Exchange> OpenLoop::Next(TimePoint now, bool learnt) {
  if (ending_) return std::nullopt;
  Exchange exchange;
  const bool must_learn = Wants(Round::kUpdateModel) && !learnt;
  // The device that learns the model arrives before time begins, or again if it was refused.
  if (must_learn && under_way_ > 0) return std::nullopt;
  if (must_learn && stopped_at_) {
    given_up_ = true;
    return std::nullopt;
  }
  if (!must_learn && !began_) began_ = now;
  if (!later_.empty() && later_.top().not_before <= now) {
    exchange = later_.top();
    later_.pop();
  } else if (must_learn) {
    if (!later_.empty() || now < learn_at_) return std::nullopt;
    exchange.round = first_;
    exchange.device = arrived_++;
    exchange.due = now;
    ++learners_;
  } else if (!AllArrived() && Arrival(arrived_ - learners_) <= now) {
    if (under_way_ == 0 && later_.empty() && !patience_.broken()) patience_.Restart(now);
    exchange.round = first_;
    exchange.due = Arrival(arrived_ - learners_);
    exchange.device = arrived_++;
  } else {
    return std::nullopt;
  }
  ++under_way_;
  return exchange;
}

TimePoint OpenLoop::NextDue(TimePoint now) const {
  TimePoint due = later_.empty() ? TimePoint::max() : later_.top().not_before;
  if (began_ && !AllArrived()) due = std::min(due, Arrival(arrived_ - learners_));
  if (!began_ && learn_at_ > now) due = std::min(due, learn_at_);
  return due;
}

void OpenLoop::Continue(const Exchange& exchange, std::int32_t iteration, TimePoint now) {
  for (std::size_t i = Index(exchange.round) + 1; i < kRounds; ++i) {
    if (!options_.rounds[i]) continue;
    Exchange next = exchange;
    next.round = static_cast<Round>(i);
    // Without an update the newest model is the one of the iteration before.
    if (exchange.round == Round::kStartFlJob) {
      next.iteration = Wants(Round::kUpdateModel) ? iteration : iteration - 1;
    }
    next.attempt = 0;
    next.due = next.not_before = now;
    later_.push(next);
    return;
  }
}

void OpenLoop::Answered(const Exchange& exchange, const Answer& answer, TimePoint now) {
  --under_way_;
  // Before the model is learnt only that is progress; afterwards whatever ends a device's waiting.
  const bool waits = answer.verdict == Verdict::kNotReady || answer.verdict == Verdict::kSafemode;
  patience_.NoteAnswer(answer, answer.verdict == Verdict::kAccepted || (began_ && !waits), now);
  switch (answer.verdict) {
    case Verdict::kAccepted:
      Continue(exchange, answer.iteration, now);
      break;
    case Verdict::kNotReady:
    case Verdict::kSafemode: {
      if (stopped_at_) break;
      // A question of its own: that the model takes its time is not the Server's latency.
      Exchange again = exchange;
      again.due = again.not_before = now + Seconds(options_.poll);
      later_.push(again);
      break;
    }
    case Verdict::kOver:
      ending_ = Ending::kJobOver;
      break;
    case Verdict::kRefused:
      learn_at_ = now + kRetryPause;
      break;
    case Verdict::kError:
      learn_at_ = now + kRetryPause;
      if (patience_.only_errors() && patience_.errors() >= (began_ ? kHopeless : kHopelessLearners)) {
        ending_ = Ending::kErrors;
      }
      break;
  }
}

void OpenLoop::Broken(const Exchange& exchange, TimePoint now) {
  --under_way_;
  patience_.NoteBroken();
  learn_at_ = now + kRetryPause;
  if (exchange.attempt + 1 >= kAttempts) return;
  Exchange again = exchange;
  ++again.attempt;
  // Due as before: the device has been waiting ever since.
  again.not_before = now + kRetryPause;
  later_.push(again);
}

void OpenLoop::StopArrivals(TimePoint now) { stopped_at_ = now; }

std::optional<Ending> OpenLoop::ended(TimePoint now) const {
  if (ending_) return ending_;
  const bool nothing_left = under_way_ == 0 && (later_.empty() || given_up_);
  if ((AllArrived() && nothing_left) || (stopped_at_ && now >= *stopped_at_ + kAfterwards)) {
    return patience_.AtTheEnd(now);
  }
  // Between arrivals nothing has to happen.
  if (nothing_left && began_) return std::nullopt;
  return patience_.At(now);
}

std::uint64_t OpenLoop::Overdue(TimePoint now) const {
  std::uint64_t overdue = 0;
  auto waiting = later_;
  for (; !waiting.empty() && waiting.top().not_before <= now; waiting.pop()) ++overdue;
  if (!began_) return overdue;
  const double due = ToSeconds(std::min(now, stopped_at_.value_or(now)) - *began_) * options_.rate;
  std::uint64_t arrivals = due <= 0 ? 0 : static_cast<std::uint64_t>(due) + 1;
  if (total_ != 0) arrivals = std::min(arrivals, total_);
  const std::uint64_t sent = arrived_ - learners_;
  return overdue + (arrivals > sent ? arrivals - sent : 0);
}

void OpenLoop::Fill(LoadReport& report) const { report.arrivals = arrived_; }

}  // namespace msfl::load
