#include "rounds/returning_devices.h"

#include <functional>
#include <utility>

namespace msfl::rounds {

void ReturningDevices::Note(std::string_view fl_id, std::uint64_t iteration, std::int64_t when_ms) {
  const std::size_t hash = std::hash<std::string_view>()(fl_id);
  const std::lock_guard lock(mutex_);
  if (newer_.size() >= capacity_) {
    older_ = std::move(newer_);
    newer_.clear();
  }
  newer_[hash] = Appointment{iteration, when_ms};
}

bool ReturningDevices::HasReturned(std::string_view fl_id, std::uint64_t iteration,
                                   std::int64_t now_ms) const {
  const std::size_t hash = std::hash<std::string_view>()(fl_id);
  const std::lock_guard lock(mutex_);
  for (const Appointments* appointments : {&newer_, &older_}) {
    const auto found = appointments->find(hash);
    if (found == appointments->end()) continue;
    return found->second.iteration == iteration && found->second.when_ms <= now_ms;
  }
  return false;
}

}  // namespace msfl::rounds
