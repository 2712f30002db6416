#include "rounds/returning_devices.h"

#include <algorithm>
#include <functional>

namespace msfl::rounds {
namespace {

// In units of 64 ms since 2025, which is enough until 2059; earlier and later times are these ends.
constexpr std::int64_t kEpochMs = 1'735'689'600'000, kUnitMs = 64;
constexpr unsigned kTimeBits = 34;
constexpr std::uint64_t kTimeMask = (std::uint64_t{1} << kTimeBits) - 1;

// The iteration is part of it: what was said in another one does not count. The multiplier is 2^64 divided by
// the golden ratio, which spreads consecutive numbers over the upper bits.
std::uint64_t Tag(DeviceHash device, std::uint64_t iteration) {
  return ((device + iteration) * 0x9E37'79B9'7F4A'7C15) & ~kTimeMask;
}

std::uint64_t Time(std::int64_t ms) {
  // A place that is taken is never 0.
  return static_cast<std::uint64_t>(
      std::clamp<std::int64_t>((std::max(ms, kEpochMs) - kEpochMs) / kUnitMs, 1, kTimeMask));
}

}  // namespace

DeviceHash HashDevice(std::string_view fl_id) { return std::hash<std::string_view>()(fl_id); }

ReturningDevices::ReturningDevices(std::size_t rows) : rows_(rows) {}

void ReturningDevices::Note(DeviceHash device, std::uint64_t iteration, std::int64_t when_ms) {
  Row& row = RowOf(device);
  const std::uint64_t tag = Tag(device, iteration);
  while (true) {
    Place* place = nullptr;
    std::uint64_t seen = 0;
    for (Place& candidate : row.places) {
      const std::uint64_t word = candidate.load(std::memory_order_relaxed);
      const bool own = word != 0 && (word & ~kTimeMask) == tag;
      if (place == nullptr || own || (word & kTimeMask) < (seen & kTimeMask)) {
        place = &candidate;
        seen = word;
      }
      if (own) break;
    }
    // Otherwise another device has taken the place meanwhile.
    if (place->compare_exchange_strong(seen, tag | Time(when_ms), std::memory_order_relaxed)) return;
  }
}

std::optional<bool> ReturningDevices::HasReturned(DeviceHash device, std::uint64_t iteration,
                                                  std::int64_t now_ms) const {
  const std::uint64_t tag = Tag(device, iteration);
  for (const Place& place : RowOf(device).places) {
    const std::uint64_t word = place.load(std::memory_order_relaxed);
    if (word != 0 && (word & ~kTimeMask) == tag) return (word & kTimeMask) <= Time(now_ms);
  }
  return std::nullopt;
}

}  // namespace msfl::rounds
