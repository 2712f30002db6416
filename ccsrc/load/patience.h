// When a run has heard nothing new for too long, and what was missing.
#pragma once

#include <cstdint>

#include "load/load_options.h"

namespace msfl::load {

class Patience {
 public:
  enum class State : std::uint8_t {
    kLasts,
    kSilent,  // over: nobody answers any more
    kStuck,   // over: there are answers, but none that is progress
  };

  Patience(const LoadOptions& options, TimePoint now)
      : length_(Seconds(options.patience)), last_answer_(now), last_progress_(now) {}

  void NoteAnswer(bool progress, TimePoint now) {
    last_answer_ = now;
    if (progress) last_progress_ = now;
    broken_ = false;
  }
  void NoteBroken() { broken_ = true; }
  // Nothing was waited for until now.
  void Restart(TimePoint now) { last_answer_ = last_progress_ = now; }

  bool broken() const { return broken_; }  // the last outcome was a broken connection

  State At(TimePoint now) const {
    if (now - last_progress_ <= length_) return State::kLasts;
    // What was said before connections broke is not the last word.
    return broken_ || now - last_answer_ > length_ ? State::kSilent : State::kStuck;
  }

 private:
  const Clock::duration length_;
  TimePoint last_answer_, last_progress_;
  bool broken_ = false;
};

}  // namespace msfl::load
