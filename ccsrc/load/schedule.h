// Which device sends what, and when. Without I/O: the loop asks for the next exchange and tells what came of
// it.
#pragma once

#include <cstdint>
#include <optional>
#include <queue>
#include <vector>

#include "load/answer.h"
#include "load/load_options.h"
#include "load/tally.h"

namespace msfl::load {

struct Exchange {
  Round round = Round::kStartFlJob;
  std::uint64_t device = 0;
  std::int32_t iteration = 0;
  std::uint8_t attempt = 0;
  TimePoint due;         // an open loop measures from here
  TimePoint not_before;  // the earliest time to send it
};

struct IsLater {
  bool operator()(const Exchange& a, const Exchange& b) const { return a.not_before > b.not_before; }
};
using LaterExchanges = std::priority_queue<Exchange, std::vector<Exchange>, IsLater>;

// A request whose connection broke is sent again, that often altogether.
inline constexpr std::uint8_t kAttempts = 3;
inline constexpr auto kRetryPause = std::chrono::milliseconds(100);
// What is under way when the time is over may still be answered.
inline constexpr auto kAfterwards = std::chrono::seconds(10);

class Schedule {
 public:
  virtual ~Schedule() = default;

  // An exchange to send now, if there is one. `learnt`: the model is known; before, one device begins alone.
  virtual std::optional<Exchange> Next(TimePoint now, bool learnt) = 0;
  // When to ask again if nothing is answered until then.
  virtual TimePoint NextDue(TimePoint now) const = 0;
  virtual void Answered(const Exchange& exchange, const Answer& answer, TimePoint now) = 0;
  virtual void Broken(const Exchange& exchange, TimePoint now) = 0;
  // No more new devices; what is under way is still told, and waited for up to kAfterwards.
  virtual void StopArrivals(TimePoint now) = 0;
  // Set when nothing is left to do, or nothing can be done any more.
  virtual std::optional<Ending> ended(TimePoint now) const = 0;
  // Exchanges that were due by now and were not handed out.
  virtual std::uint64_t Overdue(TimePoint now) const = 0;

  enum class Phase : std::uint8_t { kStart, kUpdate, kSwitch, kResult, kModel, kMixed };
  virtual Phase phase() const = 0;

  virtual void Fill(LoadReport& report) const = 0;
};

}  // namespace msfl::load
