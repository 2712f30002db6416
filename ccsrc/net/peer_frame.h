// The framing between Servers, free of I/O. A frame is
//
//   magic (4) | version (1) | kind (1) | length of the head (2) | length of the payload (8) | head | payload
//
// little-endian; the head is a FlatBuffers message, the payload raw memory that goes from and to where it
// lives.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace msfl::net {

enum class PeerFrameKind : std::uint8_t { kRequest = 1, kAnswer = 2, kRefusal = 3 };

struct PeerFrame {
  static constexpr std::size_t kPreludeBytes = 16;
  static constexpr std::size_t kMaxHeadBytes = 0xFFFF;

  PeerFrameKind kind = PeerFrameKind::kRequest;
  std::size_t head_bytes = 0;  // at most kMaxHeadBytes
  std::uint64_t payload_bytes = 0;

  void Encode(std::span<std::uint8_t, kPreludeBytes> prelude) const;
};

// Prelude and head, as they are sent. Precondition: the head has no more than kMaxHeadBytes.
std::vector<std::uint8_t> EncodePeerFrame(PeerFrameKind kind, std::span<const std::uint8_t> head,
                                          std::uint64_t payload_bytes);

// Takes a frame up to its payload, whatever pieces it comes in.
class PeerFrameReader {
 public:
  enum class Fault { kNone, kMagic, kVersion, kKind, kHeadLength, kPayloadLength };

  // What the other side may send: requests carry no payload; answers as much as was asked for, refusals none.
  struct Expected {
    bool request = false;
    std::uint64_t answer_payload_bytes = 0;
  };
  explicit PeerFrameReader(Expected expected) : expected_(expected) {}

  // Where the next bytes belong; empty when prelude and head are complete, or after a fault.
  std::span<std::uint8_t> Wanted();
  // So many of them have come.
  void Received(std::size_t bytes);

  bool begun() const { return received_ > 0 || state_ != State::kPrelude; }
  bool complete() const { return state_ == State::kComplete; }
  Fault fault() const { return fault_; }
  static const char* Text(Fault fault);
  // Once complete.
  const PeerFrame& frame() const { return frame_; }
  std::span<const std::uint8_t> head() const { return head_; }

 private:
  enum class State { kPrelude, kHead, kComplete, kFault };
  Fault Decode();

  Expected expected_;
  State state_ = State::kPrelude;
  Fault fault_ = Fault::kNone;
  std::array<std::uint8_t, PeerFrame::kPreludeBytes> prelude_{};
  std::size_t received_ = 0;  // of the part that is being read
  PeerFrame frame_;
  std::vector<std::uint8_t> head_;
};

}  // namespace msfl::net
