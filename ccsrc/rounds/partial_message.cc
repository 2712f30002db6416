#include "rounds/partial_message.h"

namespace msfl::rounds {
namespace {

// FlatBuffers have no more; so no sum of offsets below leaves 64 bits.
constexpr std::uint64_t kMostBytes = (std::uint64_t{1} << 31) - 1;

std::optional<std::uint8_t> ByteAt(const PartialMessage& message, std::uint64_t at) {
  if (at < message.first.size()) return message.first[at];
  const std::uint64_t last_begins = message.bytes - message.last.size();
  if (at >= last_begins && at < message.bytes) return message.last[at - last_begins];
  return std::nullopt;
}

// Little-endian, as the wire is, whatever the machine.
template <class Unsigned>
std::optional<Unsigned> NumberAt(const PartialMessage& message, std::uint64_t at) {
  Unsigned number = 0;
  for (std::size_t i = 0; i < sizeof(Unsigned); ++i) {
    const std::optional<std::uint8_t> byte = ByteAt(message, at + i);
    if (!byte) return std::nullopt;
    number = static_cast<Unsigned>(number | static_cast<Unsigned>(*byte) << (8 * i));
  }
  return number;
}

// Where the value of a field of the root table stands; 0 if the table leaves it out, nothing if that can't be
// known.
std::optional<std::uint64_t> FieldAt(const PartialMessage& message, std::uint16_t field) {
  if (message.bytes > kMostBytes || message.first.size() > message.bytes ||
      message.last.size() > message.bytes - message.first.size()) {
    return std::nullopt;
  }
  const std::optional<std::uint32_t> table = NumberAt<std::uint32_t>(message, 0);
  if (!table) return std::nullopt;
  const std::optional<std::uint32_t> back = NumberAt<std::uint32_t>(message, *table);
  if (!back) return std::nullopt;
  const std::int64_t vtable = std::int64_t{*table} - static_cast<std::int32_t>(*back);
  if (vtable < 0) return std::nullopt;
  const auto begin = static_cast<std::uint64_t>(vtable);
  const std::optional<std::uint16_t> vtable_bytes = NumberAt<std::uint16_t>(message, begin);
  if (!vtable_bytes) return std::nullopt;
  if (std::size_t{field} + sizeof(std::uint16_t) > *vtable_bytes) return 0;
  const std::optional<std::uint16_t> offset = NumberAt<std::uint16_t>(message, begin + field);
  if (!offset) return std::nullopt;
  return *offset == 0 ? 0 : std::uint64_t{*table} + *offset;
}

}  // namespace

std::optional<std::string> PeekString(const PartialMessage& message, std::uint16_t field,
                                      std::size_t most_bytes) {
  const std::optional<std::uint64_t> at = FieldAt(message, field);
  if (!at || *at == 0) return std::nullopt;
  const std::optional<std::uint32_t> forward = NumberAt<std::uint32_t>(message, *at);
  if (!forward) return std::nullopt;
  const std::uint64_t begin = *at + *forward;
  const std::optional<std::uint32_t> size = NumberAt<std::uint32_t>(message, begin);
  if (!size || *size > most_bytes) return std::nullopt;
  std::string text;
  for (std::uint64_t i = 0; i < *size; ++i) {
    const std::optional<std::uint8_t> byte = ByteAt(message, begin + sizeof(std::uint32_t) + i);
    if (!byte) return std::nullopt;
    text.push_back(static_cast<char>(*byte));
  }
  return text;
}

std::optional<std::int32_t> PeekInt(const PartialMessage& message, std::uint16_t field) {
  const std::optional<std::uint64_t> at = FieldAt(message, field);
  if (!at) return std::nullopt;
  if (*at == 0) return 0;
  const std::optional<std::uint32_t> number = NumberAt<std::uint32_t>(message, *at);
  if (!number) return std::nullopt;
  return static_cast<std::int32_t>(*number);
}

}  // namespace msfl::rounds
