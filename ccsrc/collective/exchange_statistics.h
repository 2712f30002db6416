// How combinations and fetches of models have ended, for monitoring. Thread-safe.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "base/clock.h"
#include "base/error.h"

namespace msfl::collective {

class ExchangeStatistics {
 public:
  // `fault`: none if it is done.
  void NoteCombination(std::optional<Errc> fault, SteadyClock::duration took);
  void NoteFetch(std::optional<Errc> fault) { Count(fetches_, fault); }

  // Adds combinations_<result>_total, model_fetches_<result>_total and combination_us_total. A result is
  // done, unavailable, refused, disagreement, not_finite, model_unknown, stopped, no_memory or invalid.
  void AddTo(std::map<std::string, std::uint64_t>& stats) const;

 private:
  static constexpr std::size_t kResults = 9;
  using Counts = std::array<std::atomic<std::uint64_t>, kResults>;
  static void Count(Counts& counts, std::optional<Errc> fault);

  Counts combinations_{}, fetches_{};
  std::atomic<std::uint64_t> combination_us_{0};
};

}  // namespace msfl::collective
