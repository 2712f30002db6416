// What a device may call itself. It is a key in the cache and part of answers and log lines, so it is short;
// otherwise it may be any bytes, also none, as in the reference.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace msfl::rounds {

// Why it is refused; empty if it is not.
inline std::string FaultOfFlId(std::string_view fl_id, std::size_t most_bytes) {
  if (fl_id.size() <= most_bytes) return {};
  return "The fl_id has " + std::to_string(fl_id.size()) + " bytes, which is more than the limit of " +
         std::to_string(most_bytes) + " bytes (limits.fl_id_bytes).";
}

}  // namespace msfl::rounds
