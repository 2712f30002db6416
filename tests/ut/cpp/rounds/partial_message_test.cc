#include "rounds/partial_message.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <random>
#include <vector>

#include "rounds/wire_format.h"

namespace msfl::rounds {
namespace {

using Update = schema::RequestUpdateModel;
using Bytes8 = std::vector<std::uint8_t>;

// A large update of "device 7" in iteration 5; its texts stand at the end or at the beginning, as builders
// please.
Bytes8 LargeUpdate(bool texts_first, std::size_t floats = 50'000) {
  flatbuffers::FlatBufferBuilder builder;
  flatbuffers::Offset<flatbuffers::String> id;
  if (texts_first) id = builder.CreateString("device 7");
  const auto name = builder.CreateString("weight");
  const auto data = builder.CreateVector(std::vector<float>(floats, 1));
  const auto feature = schema::CreateFeatureMap(builder, name, data);
  const auto map = builder.CreateVector(&feature, 1);
  if (!texts_first) id = builder.CreateString("device 7");
  schema::RequestUpdateModelBuilder request(builder);
  request.add_fl_id(id);
  request.add_iteration(5);
  request.add_feature_map(map);
  request.add_timestamp(id);
  builder.Finish(request.Finish());
  return Bytes(builder);
}

PartialMessage Windows(const Bytes8& whole, std::size_t first, std::size_t last) {
  PartialMessage message;
  message.bytes = whole.size();
  message.first = std::span(whole).first(std::min(first, whole.size()));
  message.last = std::span(whole).last(std::min(last, whole.size() - message.first.size()));
  return message;
}

PartialMessage Sample(const Bytes8& whole) {
  return Windows(whole, net::OverloadedRequest::kSampleBytes, net::OverloadedRequest::kSampleBytes);
}

TEST(PartialMessage, KnowsWhoSentItWhereverThatStands) {
  for (const bool texts_first : {true, false}) {
    const Bytes8 whole = LargeUpdate(texts_first);
    EXPECT_EQ(PeekString(Sample(whole), Update::VT_FL_ID, 256), "device 7");
    EXPECT_EQ(PeekInt(Sample(whole), Update::VT_ITERATION), 5);
  }
}

TEST(PartialMessage, OfStartFlJob) {
  flatbuffers::FlatBufferBuilder builder;
  const std::string certificate(20'000, 'c');
  builder.Finish(schema::CreateRequestFLJobDirect(builder, "job", "device 7", 0, 1, "now", nullptr,
                                                  certificate.c_str()));
  EXPECT_EQ(PeekString(Sample(Bytes(builder)), schema::RequestFLJob::VT_FL_ID, 256), "device 7");
}

TEST(PartialMessage, AbsentFieldsAreNothingOrZero) {
  flatbuffers::FlatBufferBuilder builder;
  builder.Finish(schema::CreateRequestUpdateModel(builder));
  const Bytes8 whole = Bytes(builder);
  EXPECT_EQ(PeekString(Sample(whole), Update::VT_FL_ID, 256), std::nullopt);
  EXPECT_EQ(PeekInt(Sample(whole), Update::VT_ITERATION), 0);
  EXPECT_EQ(PeekInt(PartialMessage(), Update::VT_ITERATION), std::nullopt);
}

TEST(PartialMessage, AStringIsTakenUpToTheLimitAndWithAllItsBytes) {
  flatbuffers::FlatBufferBuilder builder;
  const std::string text("a\0\r\n\xff", 5);
  const auto id = builder.CreateString(text);
  schema::RequestUpdateModelBuilder request(builder);
  request.add_fl_id(id);
  builder.Finish(request.Finish());
  const Bytes8 whole = Bytes(builder);
  EXPECT_EQ(PeekString(Sample(whole), Update::VT_FL_ID, 5), text);
  EXPECT_EQ(PeekString(Sample(whole), Update::VT_FL_ID, 4), std::nullopt);
}

TEST(PartialMessage, WindowsOfAnySizeGiveTheTruthOrNothing) {
  for (const bool texts_first : {true, false}) {
    const Bytes8 whole = LargeUpdate(texts_first, 10);
    int found = 0;
    for (std::size_t first = 0; first <= whole.size(); ++first) {
      for (std::size_t last = 0; last <= whole.size(); ++last) {
        const PartialMessage message = Windows(whole, first, last);
        const std::optional<std::string> id = PeekString(message, Update::VT_FL_ID, 256);
        const std::optional<std::int32_t> iteration = PeekInt(message, Update::VT_ITERATION);
        EXPECT_TRUE(!id || *id == "device 7");
        EXPECT_TRUE(!iteration || *iteration == 5);
        found += id.has_value() ? 1 : 0;
        // Together they are the whole.
        if (first + last >= whole.size()) {
          EXPECT_TRUE(id.has_value() && iteration.has_value());
        }
      }
    }
    EXPECT_GT(found, static_cast<int>(whole.size()));
  }
}

TEST(PartialMessage, LengthsThatDoNotFitTheWindowsAreNothing) {
  const Bytes8 whole = LargeUpdate(true, 10);
  for (const std::uint64_t bytes : {std::uint64_t{0}, std::uint64_t{whole.size() - 1}, std::uint64_t{1} << 31,
                                    std::uint64_t{1} << 63, ~std::uint64_t{0}}) {
    PartialMessage message = Windows(whole, whole.size() / 2, whole.size());
    message.bytes = bytes;
    EXPECT_EQ(PeekString(message, Update::VT_FL_ID, 256), std::nullopt) << bytes;
    EXPECT_EQ(PeekInt(message, Update::VT_ITERATION), std::nullopt) << bytes;
  }
}

// Windows in memory of their own, so that a sanitizer sees what is read beyond them.
void Peek(const Bytes8& whole, std::size_t first, std::size_t last) {
  const PartialMessage windows = Windows(whole, first, last);
  const Bytes8 own_first(windows.first.begin(), windows.first.end());
  const Bytes8 own_last(windows.last.begin(), windows.last.end());
  const PartialMessage message{own_first, own_last, windows.bytes};
  const std::optional<std::string> id = PeekString(message, Update::VT_FL_ID, 256);
  EXPECT_TRUE(!id || id->size() <= 256);
  static_cast<void>(PeekInt(message, Update::VT_ITERATION));
}

TEST(PartialMessage, HostileWordsLeadNowhere) {
  for (const bool texts_first : {true, false}) {
    const Bytes8 good = LargeUpdate(texts_first, 10);
    for (std::size_t at = 0; at + 4 <= good.size(); ++at) {
      for (const std::uint32_t word :
           {0U, 1U, 4U, 0x100U, 0x7FFF'FFFFU, 0x8000'0000U, 0xFFFF'FFFFU, 0xFFFF'FFFCU,
            static_cast<std::uint32_t>(good.size()), static_cast<std::uint32_t>(good.size() - at - 1),
            static_cast<std::uint32_t>(0U - at)}) {
        Bytes8 whole = good;
        std::memcpy(whole.data() + at, &word, sizeof word);
        Peek(whole, whole.size(), 0);
        Peek(whole, whole.size() / 3, whole.size() / 3);
      }
    }
  }
}

TEST(PartialMessage, NoiseLeadsNowhere) {
  std::mt19937 random(7);
  for (int round = 0; round < 20'000; ++round) {
    Bytes8 whole(random() % 200);
    // Small numbers, so that offsets lead to somewhere.
    for (std::uint8_t& byte : whole) byte = static_cast<std::uint8_t>(random() % 4 == 0 ? random() % 64 : 0);
    Peek(whole, random() % 200, random() % 200);
  }
}

}  // namespace
}  // namespace msfl::rounds
