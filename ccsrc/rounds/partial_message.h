// Fields of a FlatBuffer of which only the beginning and the end were kept.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "net/http_message.h"

namespace msfl::rounds {

struct PartialMessage {
  std::span<const std::uint8_t> first, last;  // its first and its last bytes; they don't overlap
  std::uint64_t bytes = 0;                    // all it has

  static PartialMessage Of(const net::OverloadedRequest& request) {
    return {request.first, request.last, request.body_bytes};
  }
};

// A field of the root table; `field` is its place in the vtable (`VT_...` of the generated table). The bytes
// may be anything: whatever leads out of what was kept ends in nothing. What is found is not verified
// otherwise. Nothing, too, for a string of more than `most_bytes`, which is copied.
std::optional<std::string> PeekString(const PartialMessage& message, std::uint16_t field,
                                      std::size_t most_bytes);
// 0, as every integer of the wire, if the table is there and leaves it out.
std::optional<std::int32_t> PeekInt(const PartialMessage& message, std::uint16_t field);

}  // namespace msfl::rounds
