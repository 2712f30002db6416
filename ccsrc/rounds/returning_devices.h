// Devices that were told to come back later, and when. Those in the field begin an iteration at most twice:
// one that comes back as it was told and is refused again in the same iteration ends its job for good
// (wire.md, section 4). So it had better wait for its answer.
#pragma once

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string_view>
#include <unordered_map>

namespace msfl::rounds {

// Remembers the newest `capacity` devices at least, and at most twice as many. Thread-safe.
class ReturningDevices {
 public:
  explicit ReturningDevices(std::size_t capacity = std::size_t{1} << 18) : capacity_(capacity) {}

  // In `iteration` the device was told to come back at `when_ms`, or it may do so from then on.
  void Note(std::string_view fl_id, std::uint64_t iteration, std::int64_t when_ms);
  // Whether it was told so in this iteration and the time has come.
  bool HasReturned(std::string_view fl_id, std::uint64_t iteration, std::int64_t now_ms) const;

 private:
  struct Appointment {
    std::uint64_t iteration = 0;
    std::int64_t when_ms = 0;
  };
  // By hash: two devices that share one are taken for each other, which makes one of them wait.
  using Appointments = std::unordered_map<std::size_t, Appointment>;

  const std::size_t capacity_;
  mutable std::mutex mutex_;
  Appointments newer_, older_;
};

}  // namespace msfl::rounds
