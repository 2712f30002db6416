// Devices that were told to come back later, and when. Those in the field begin an iteration at most twice:
// one that comes back as it was told and is refused again in the same iteration ends its job for good
// (wire.md, section 4). So it had better wait for its answer.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace msfl::rounds {

// Stands for an `fl_id`, so that a refusal costs no copy of it.
using DeviceHash = std::uint64_t;
DeviceHash HashDevice(std::string_view fl_id);

// A table of fixed size, 8 bytes for a device; without locks, since every refusal of a crowd writes to it.
//
// What its size costs. Each device has one row, of `kWays` places. A ninth device of one row drives out the
// one whose time comes first, and that one is known by the iteration that it claims alone, which clients
// before 0.2 may not send: of 2^18 devices that are away at the same time about 40, of 2^16 none. Two devices
// of one row that agree in 30 more bits of their hashes (one in a hundred million for a device in a full row)
// are taken for each other: one that was told nothing then waits for the next iteration instead of being
// refused. The hash has no secret, so somebody may choose names that drive out a device; it is then served as
// if nobody remembered it.
class ReturningDevices {
 public:
  // `rows` is a power of two. 8 MB as it is.
  explicit ReturningDevices(std::size_t rows = std::size_t{1} << 17);

  // In `iteration` the device was told to come back at `when_ms` (Unix), or it may do so from then on.
  void Note(DeviceHash device, std::uint64_t iteration, std::int64_t when_ms);
  // Whether it was told so in this iteration and the time has come, to 64 ms; nothing if it isn't remembered.
  std::optional<bool> HasReturned(DeviceHash device, std::uint64_t iteration, std::int64_t now_ms) const;

 private:
  static constexpr std::size_t kWays = 8;
  // Tag of device and iteration above, time below. Nothing else belongs to a place, so each is read and
  // written as one word; 0 is an empty one.
  using Place = std::atomic<std::uint64_t>;
  struct alignas(64) Row {
    std::array<Place, kWays> places{};
  };

  Row& RowOf(DeviceHash device) { return rows_[device & (rows_.size() - 1)]; }
  const Row& RowOf(DeviceHash device) const { return rows_[device & (rows_.size() - 1)]; }

  std::vector<Row> rows_;
};

}  // namespace msfl::rounds
