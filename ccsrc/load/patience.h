// When a run has heard nothing new for too long, and how it ends then.
#pragma once

#include <algorithm>
#include <chrono>
#include <optional>

#include "load/answer.h"
#include "load/load_options.h"
#include "load/tally.h"

namespace msfl::load {

class Patience {
 public:
  Patience(const LoadOptions& options, TimePoint now)
      : length_(Seconds(options.patience)), last_answer_(now), last_progress_(now) {}

  void NoteAnswer(const Answer& answer, bool progress, TimePoint now) {
    last_answer_ = now;
    if (progress) last_progress_ = now;
    const bool is_error = answer.verdict == Verdict::kError;
    progressed_ = progressed_ || (progress && !is_error);
    ++(is_error ? errors_ : good_);
    broken_ = false;
    if (!is_error) last_verdict_ = answer.verdict;
  }
  void NoteBroken() { broken_ = true; }
  // Nothing was waited for until now.
  void Restart(TimePoint now) { last_answer_ = last_progress_ = now; }

  bool broken() const { return broken_; }  // the last outcome was a broken connection

  bool only_errors() const { return errors_ > 0 && good_ == 0; }
  std::uint64_t errors() const { return errors_; }

  // Nothing while there is still hope.
  std::optional<Ending> At(TimePoint now) const {
    if (now - last_progress_ <= length_) return std::nullopt;
    return now - last_answer_ > length_ || HasFallenSilent(now) ? Ending::kSilent : Stuck();
  }

  // When there is nothing left to wait for.
  Ending AtTheEnd(TimePoint now) const {
    if (HasFallenSilent(now)) return Ending::kSilent;
    if (progressed_) return Ending::kDone;
    return good_ + errors_ == 0 ? Ending::kSilent : Stuck();
  }

 private:
  // What was said before connections broke is not the last word; but some break while others are answered.
  bool HasFallenSilent(TimePoint now) const {
    return broken_ &&
           now - last_answer_ > std::clamp<Clock::duration>(length_ / 10, kShortestLull, kLongestLull);
  }
  Ending Stuck() const {
    if (only_errors()) return Ending::kErrors;
    return last_verdict_ == Verdict::kRefused ? Ending::kFull : Ending::kNotReady;
  }

  static constexpr std::chrono::milliseconds kShortestLull{100}, kLongestLull{1000};
  const Clock::duration length_;
  TimePoint last_answer_, last_progress_;
  bool progressed_ = false, broken_ = false;
  Verdict last_verdict_ = Verdict::kNotReady;
  std::uint64_t good_ = 0, errors_ = 0;  // answers
};

}  // namespace msfl::load
