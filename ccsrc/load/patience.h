// When a run has heard nothing new for too long, and what was missing.
#pragma once

#include <cstdint>

#include "load/answer.h"
#include "load/load_options.h"

namespace msfl::load {

class Patience {
 public:
  enum class State : std::uint8_t {
    kLasts,
    kSilent,  // nobody answers any more
    kErrors,  // there are answers, but nothing except errors
    kStuck,   // there are others as well, but none that is progress
  };

  Patience(const LoadOptions& options, TimePoint now)
      : length_(Seconds(options.patience)), last_answer_(now), last_progress_(now) {}

  void NoteAnswer(const Answer& answer, bool progress, TimePoint now) {
    last_answer_ = now;
    if (progress) last_progress_ = now;
    const bool is_error = answer.verdict == Verdict::kError;
    progressed_ = progressed_ || (progress && !is_error);
    ++(is_error ? errors_ : good_);
    broken_ = false;
  }
  void NoteBroken() { broken_ = true; }
  // Nothing was waited for until now.
  void Restart(TimePoint now) { last_answer_ = last_progress_ = now; }

  bool broken() const { return broken_; }  // the last outcome was a broken connection

  bool only_errors() const { return errors_ > 0 && good_ == 0; }
  std::uint64_t errors() const { return errors_; }

  State At(TimePoint now) const {
    if (now - last_progress_ <= length_) return State::kLasts;
    // What was said before connections broke is not the last word.
    return broken_ || now - last_answer_ > length_ ? State::kSilent : State::kStuck;
  }

  // When there is nothing left to wait for: kLasts if it was not all in vain.
  State AtTheEnd() const {
    if (progressed_) return State::kLasts;
    if (only_errors()) return State::kErrors;
    return broken_ || good_ == 0 ? State::kSilent : State::kStuck;
  }

 private:
  const Clock::duration length_;
  TimePoint last_answer_, last_progress_;
  bool progressed_ = false, broken_ = false;
  std::uint64_t good_ = 0, errors_ = 0;  // answers
};

}  // namespace msfl::load
