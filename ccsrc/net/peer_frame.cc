#include "net/peer_frame.h"

#include <algorithm>
#include <bit>
#include <cstring>

static_assert(std::endian::native == std::endian::little, "frames are little-endian, and so are tensors");

namespace msfl::net {

namespace {

constexpr std::array<std::uint8_t, 4> kMagic{'M', 'S', 'F', 'P'};
constexpr std::uint8_t kVersion = 1;
constexpr std::size_t kVersionAt = 4, kKindAt = 5, kHeadLengthAt = 6, kPayloadLengthAt = 8;

}  // namespace

void PeerFrame::Encode(std::span<std::uint8_t, kPreludeBytes> prelude) const {
  std::ranges::copy(kMagic, prelude.begin());
  prelude[kVersionAt] = kVersion;
  prelude[kKindAt] = static_cast<std::uint8_t>(kind);
  const auto head_length = static_cast<std::uint16_t>(head_bytes);
  std::memcpy(prelude.data() + kHeadLengthAt, &head_length, sizeof head_length);
  std::memcpy(prelude.data() + kPayloadLengthAt, &payload_bytes, sizeof payload_bytes);
}

std::vector<std::uint8_t> EncodePeerFrame(PeerFrameKind kind, std::span<const std::uint8_t> head,
                                          std::uint64_t payload_bytes) {
  PeerFrame frame;
  frame.kind = kind;
  frame.head_bytes = head.size();
  frame.payload_bytes = payload_bytes;
  std::vector<std::uint8_t> bytes(PeerFrame::kPreludeBytes + head.size());
  frame.Encode(std::span(bytes).first<PeerFrame::kPreludeBytes>());
  std::ranges::copy(head, bytes.begin() + PeerFrame::kPreludeBytes);
  return bytes;
}

std::span<std::uint8_t> PeerFrameReader::Wanted() {
  switch (state_) {
    case State::kPrelude:
      return std::span(prelude_).subspan(received_);
    case State::kHead:
      return std::span(head_).subspan(received_);
    case State::kComplete:
    case State::kFault:
      break;
  }
  return {};
}

void PeerFrameReader::Received(std::size_t bytes) {
  received_ += bytes;
  if (state_ == State::kPrelude && received_ == prelude_.size()) {
    fault_ = Decode();
    state_ = fault_ == Fault::kNone ? State::kHead : State::kFault;
    if (state_ == State::kFault) return;
    head_.resize(frame_.head_bytes);
    received_ = 0;
  }
  if (state_ == State::kHead && received_ == head_.size()) state_ = State::kComplete;
}

PeerFrameReader::Fault PeerFrameReader::Decode() {
  if (!std::equal(kMagic.begin(), kMagic.end(), prelude_.begin())) return Fault::kMagic;
  if (prelude_[kVersionAt] != kVersion) return Fault::kVersion;
  const auto kind = static_cast<PeerFrameKind>(prelude_[kKindAt]);
  const bool is_request = kind == PeerFrameKind::kRequest;
  const bool is_reply = kind == PeerFrameKind::kAnswer || kind == PeerFrameKind::kRefusal;
  if (expected_.request ? !is_request : !is_reply) return Fault::kKind;
  std::uint16_t head_length = 0;
  std::memcpy(&head_length, prelude_.data() + kHeadLengthAt, sizeof head_length);
  std::uint64_t payload_length = 0;
  std::memcpy(&payload_length, prelude_.data() + kPayloadLengthAt, sizeof payload_length);
  // Only an answer says everything by its payload.
  if ((head_length == 0) != (kind == PeerFrameKind::kAnswer)) return Fault::kHeadLength;
  const std::uint64_t allowed = kind == PeerFrameKind::kAnswer ? expected_.answer_payload_bytes : 0;
  if (payload_length != allowed) return Fault::kPayloadLength;
  frame_.kind = kind;
  frame_.head_bytes = head_length;
  frame_.payload_bytes = payload_length;
  return Fault::kNone;
}

const char* PeerFrameReader::Text(Fault fault) {
  switch (fault) {
    case Fault::kNone:
      return "no fault";
    case Fault::kMagic:
      return "what came is not the protocol of Servers";
    case Fault::kVersion:
      return "another version of the protocol of Servers";
    case Fault::kKind:
      return "a frame of a kind that was not expected";
    case Fault::kHeadLength:
      return "a frame whose head has a wrong length";
    case Fault::kPayloadLength:
      return "a frame whose payload has a wrong length";
  }
  return "";
}

}  // namespace msfl::net
