// A Server as schedules see it: each exchange is answered at once, or its connection breaks.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "load/schedule.h"

namespace msfl::load {

using std::chrono::milliseconds;

inline Answer Make(Verdict verdict, std::int32_t iteration = 1) {
  Answer answer;
  answer.verdict = verdict;
  answer.iteration = iteration;
  return answer;
}

class Player {
 public:
  using Server = std::function<std::optional<Answer>(const Exchange&)>;
  TimePoint now{std::chrono::hours(1)};
  TimePoint stop_at = TimePoint::max();
  std::vector<Exchange> sent;

  std::vector<std::string> Rounds() const {
    std::vector<std::string> names;
    for (const Exchange& exchange : sent) names.emplace_back(kRoundNames[Index(exchange.round)]);
    return names;
  }

  Ending Play(Schedule& schedule, const Server& server) {
    bool learnt = false;
    for (int steps = 0; steps < 100'000; ++steps) {
      if (now >= stop_at) {
        schedule.StopArrivals(now);
        stop_at = TimePoint::max();
      }
      if (const auto ending = schedule.ended(now)) return *ending;
      const auto exchange = schedule.Next(now, learnt);
      if (!exchange) {
        now = std::max(now + milliseconds(1), std::min(schedule.NextDue(now), now + milliseconds(100)));
        continue;
      }
      sent.push_back(*exchange);
      const auto answer = server(*exchange);
      if (answer) {
        learnt = learnt || answer->verdict == Verdict::kAccepted;
        schedule.Answered(*exchange, *answer, now);
      } else {
        schedule.Broken(*exchange, now);
      }
    }
    ADD_FAILURE() << "no end";
    return Ending::kSilent;
  }
};

inline LoadOptions Options(std::uint64_t devices, std::uint64_t iterations) {
  LoadOptions options;
  options.devices = devices;
  options.iterations = iterations;
  options.patience = 5;
  return options;
}

}  // namespace msfl::load
