#include "net/peer_frame.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

namespace msfl::net {
namespace {

using Fault = PeerFrameReader::Fault;

constexpr std::uint64_t kPayload = 0x0102030405;

std::vector<std::uint8_t> Head(std::size_t size) {
  std::vector<std::uint8_t> head(size);
  for (std::size_t i = 0; i < size; ++i) head[i] = static_cast<std::uint8_t>(i * 7 + 1);
  return head;
}

PeerFrameReader RequestReader() {
  PeerFrameReader::Expected expected;
  expected.request = true;
  return PeerFrameReader(expected);
}

PeerFrameReader ReplyReader(std::uint64_t payload = kPayload) {
  PeerFrameReader::Expected expected;
  expected.answer_payload_bytes = payload;
  return PeerFrameReader(expected);
}

// In pieces of at most `piece` bytes; returns how many were taken.
std::size_t Feed(PeerFrameReader& reader, const std::vector<std::uint8_t>& bytes, std::size_t piece) {
  std::size_t at = 0;
  while (at < bytes.size() && !reader.Wanted().empty()) {
    const std::size_t size = std::min({piece, reader.Wanted().size(), bytes.size() - at});
    std::copy_n(bytes.begin() + static_cast<std::ptrdiff_t>(at), size, reader.Wanted().begin());
    reader.Received(size);
    at += size;
  }
  return at;
}

Fault FaultOf(PeerFrameReader reader, const std::vector<std::uint8_t>& bytes) {
  Feed(reader, bytes, 100);
  EXPECT_EQ(reader.fault() == Fault::kNone, reader.complete());
  EXPECT_TRUE(reader.Wanted().empty());
  return reader.fault();
}

TEST(PeerFrame, LooksAsDocumented) {
  const std::vector<std::uint8_t> head{0xAA, 0xBB};
  const std::vector<std::uint8_t> expected{'M', 'S', 'F', 'P', 1, 2, 2, 0,    5,
                                           4,   3,   2,   1,   0, 0, 0, 0xAA, 0xBB};
  EXPECT_EQ(EncodePeerFrame(PeerFrameKind::kAnswer, head, kPayload), expected);
}

TEST(PeerFrame, IsReadInPiecesOfAnySize) {
  for (const std::size_t head_size : {std::size_t{1}, std::size_t{300}, PeerFrame::kMaxHeadBytes}) {
    const auto head = Head(head_size);
    const auto bytes = EncodePeerFrame(PeerFrameKind::kRequest, head, 0);
    for (const std::size_t piece : {std::size_t{1}, std::size_t{3}, std::size_t{16}, bytes.size()}) {
      PeerFrameReader reader = RequestReader();
      EXPECT_FALSE(reader.begun());
      EXPECT_EQ(Feed(reader, bytes, piece), bytes.size());
      ASSERT_TRUE(reader.complete());
      EXPECT_TRUE(reader.Wanted().empty());
      EXPECT_EQ(reader.frame().kind, PeerFrameKind::kRequest);
      EXPECT_TRUE(std::ranges::equal(reader.head(), head));
    }
  }
}

TEST(PeerFrame, CutAnywhereItIsNeitherCompleteNorWrong) {
  const auto bytes = EncodePeerFrame(PeerFrameKind::kRequest, Head(20), 0);
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    PeerFrameReader reader = RequestReader();
    Feed(reader, {bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(size)}, 5);
    EXPECT_FALSE(reader.complete());
    EXPECT_EQ(reader.fault(), Fault::kNone);
    EXPECT_EQ(reader.begun(), size > 0);
    EXPECT_FALSE(reader.Wanted().empty());
  }
}

TEST(PeerFrame, NothingBehindItIsTaken) {
  auto bytes = EncodePeerFrame(PeerFrameKind::kRequest, Head(20), 0);
  const std::size_t size = bytes.size();
  bytes.insert(bytes.end(), 50, 0xFF);
  PeerFrameReader reader = RequestReader();
  EXPECT_EQ(Feed(reader, bytes, 1000), size);
}

TEST(PeerFrame, AnAnswerNeedsNoHead) {
  PeerFrameReader reader = ReplyReader();
  Feed(reader, EncodePeerFrame(PeerFrameKind::kAnswer, {}, kPayload), 7);
  ASSERT_TRUE(reader.complete());
  EXPECT_TRUE(reader.head().empty());
  EXPECT_EQ(reader.frame().payload_bytes, kPayload);
}

TEST(PeerFrame, EachByteOfThePreludeIsChecked) {
  const auto request = EncodePeerFrame(PeerFrameKind::kRequest, Head(20), 0);
  for (std::size_t at = 0; at < PeerFrame::kPreludeBytes; ++at) {
    for (int value = 0; value < 256; ++value) {
      auto bytes = request;
      if (bytes[at] == value) continue;
      bytes[at] = static_cast<std::uint8_t>(value);
      PeerFrameReader reader = RequestReader();
      Feed(reader, bytes, 100);
      if (at < 4) {
        EXPECT_EQ(reader.fault(), Fault::kMagic);
      } else if (at == 4) {
        EXPECT_EQ(reader.fault(), Fault::kVersion);
      } else if (at == 5) {
        EXPECT_EQ(reader.fault(), Fault::kKind);
      } else if (at < 8) {  // another length that is allowed, but for 0
        EXPECT_EQ(reader.fault(), at == 6 && value == 0 ? Fault::kHeadLength : Fault::kNone);
      } else {
        EXPECT_EQ(reader.fault(), Fault::kPayloadLength);
      }
    }
  }
}

TEST(PeerFrame, OnlyWhatIsExpectedIsAccepted) {
  const auto head = Head(3);
  const auto request = EncodePeerFrame(PeerFrameKind::kRequest, head, 0);
  const auto refusal = EncodePeerFrame(PeerFrameKind::kRefusal, head, 0);
  EXPECT_EQ(FaultOf(ReplyReader(), request), Fault::kKind);
  EXPECT_EQ(FaultOf(RequestReader(), refusal), Fault::kKind);
  EXPECT_EQ(FaultOf(RequestReader(), EncodePeerFrame(PeerFrameKind::kAnswer, {}, 0)), Fault::kKind);
  EXPECT_EQ(FaultOf(ReplyReader(), refusal), Fault::kNone);
  EXPECT_EQ(FaultOf(ReplyReader(), EncodePeerFrame(PeerFrameKind::kRefusal, head, kPayload)),
            Fault::kPayloadLength);
  EXPECT_EQ(FaultOf(ReplyReader(), EncodePeerFrame(PeerFrameKind::kRefusal, {}, 0)), Fault::kHeadLength);
  EXPECT_EQ(FaultOf(ReplyReader(), EncodePeerFrame(PeerFrameKind::kAnswer, head, kPayload)),
            Fault::kHeadLength);
  for (const std::uint64_t wrong : {std::uint64_t{0}, kPayload - 1, kPayload + 1, UINT64_MAX}) {
    EXPECT_EQ(FaultOf(ReplyReader(), EncodePeerFrame(PeerFrameKind::kAnswer, {}, wrong)),
              Fault::kPayloadLength);
  }
  EXPECT_EQ(FaultOf(RequestReader(), EncodePeerFrame(PeerFrameKind::kRequest, head, 1)),
            Fault::kPayloadLength);
  EXPECT_EQ(FaultOf(RequestReader(), EncodePeerFrame(PeerFrameKind::kRequest, {}, 0)), Fault::kHeadLength);
}

TEST(PeerFrame, HttpIsNoFrame) {
  const std::string http = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
  EXPECT_EQ(FaultOf(RequestReader(), {http.begin(), http.end()}), Fault::kMagic);
}

}  // namespace
}  // namespace msfl::net
