#include "collective/exchange_statistics.h"

#include <algorithm>
#include <chrono>
#include <iterator>

namespace msfl::collective {
namespace {

struct Named {
  const char* name;
  std::optional<Errc> fault;
};

// The last one stands for all others.
constexpr Named kNamed[] = {{"done", std::nullopt},
                            {"unavailable", Errc::kPeerUnavailable},
                            {"refused", Errc::kPeerRefused},
                            {"disagreement", Errc::kDisagreement},
                            {"not_finite", Errc::kNotFinite},
                            {"model_unknown", Errc::kModelUnknown},
                            {"stopped", Errc::kStopping},
                            {"no_memory", Errc::kOutOfMemory},
                            {"invalid", Errc::kInvalidArgument}};

}  // namespace

void ExchangeStatistics::NoteCombination(std::optional<Errc> fault, SteadyClock::duration took) {
  const auto us = std::chrono::duration_cast<std::chrono::microseconds>(took).count();
  combination_us_.fetch_add(static_cast<std::uint64_t>(us), std::memory_order_relaxed);
  Count(combinations_, fault);
}

void ExchangeStatistics::Count(Counts& counts, std::optional<Errc> fault) {
  const auto named = std::ranges::find(kNamed, fault, &Named::fault);
  const auto index = static_cast<std::size_t>(std::distance(std::begin(kNamed), named));
  counts[std::min(index, kResults - 1)].fetch_add(1, std::memory_order_relaxed);
}

void ExchangeStatistics::AddTo(std::map<std::string, std::uint64_t>& stats) const {
  static_assert(std::size(kNamed) == kResults);
  for (std::size_t i = 0; i < kResults; ++i) {
    const std::string result = kNamed[i].name;
    stats["combinations_" + result + "_total"] = combinations_[i];
    stats["model_fetches_" + result + "_total"] = fetches_[i];
  }
  stats["combination_us_total"] = combination_us_;
}

}  // namespace msfl::collective
