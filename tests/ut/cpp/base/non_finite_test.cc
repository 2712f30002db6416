#include "base/non_finite.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "base/buffer.h"

namespace msfl {
namespace {

constexpr std::size_t kBlock = NonFiniteMap::kBlockBytes;
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

Buffer Message(std::size_t bytes) {
  Buffer message(bytes);
  std::memset(message.data(), 0x11, bytes);
  return message;
}

void Put(Buffer& message, std::size_t offset, float value) {
  std::memcpy(message.data() + offset, &value, 4);
}

TEST(NonFiniteMap, MarksTheBlockOfEachKindOfValue) {
  for (const float value :
       {kNan, -kNan, kInfinity, -kInfinity, std::numeric_limits<float>::signaling_NaN()}) {
    Buffer message = Message(10 * kBlock);
    Put(message, 3 * kBlock + 8, value);
    NonFiniteMap map;
    map.Reset(message.size());
    map.Scan(message.data(), 0, message.size());
    EXPECT_TRUE(map.any());
    EXPECT_FALSE(map.MayContain(0, 3 * kBlock));
    EXPECT_TRUE(map.MayContain(3 * kBlock + 4095, 3 * kBlock + 4096));
    EXPECT_TRUE(map.MayContain(0, message.size()));
    EXPECT_FALSE(map.MayContain(4 * kBlock, message.size()));
  }
}

TEST(NonFiniteMap, LeavesFiniteNumbersUnmarked) {
  Buffer message = Message(kBlock);
  const float finite[] = {0.F, -0.F, std::numeric_limits<float>::max(), std::numeric_limits<float>::lowest(),
                          std::numeric_limits<float>::denorm_min()};
  for (std::size_t i = 0; i < std::size(finite); ++i) Put(message, 4 * i, finite[i]);
  NonFiniteMap map;
  map.Reset(message.size());
  map.Scan(message.data(), 0, message.size());
  EXPECT_FALSE(map.any());
  EXPECT_FALSE(map.MayContain(0, kBlock));
}

TEST(NonFiniteMap, LooksAtWordsAtMultiplesOfFourOnly) {
  Buffer message = Message(64);
  Put(message, 2, kInfinity);  // bytes 00 00 80 7F across two words, none of them suspicious by itself
  NonFiniteMap map;
  map.Reset(message.size());
  map.Scan(message.data(), 0, message.size());
  EXPECT_FALSE(map.any());
}

TEST(NonFiniteMap, IgnoresBytesBehindTheLastWord) {
  Buffer message = Message(8);
  std::memset(message.data(), 0xFF, 8);
  NonFiniteMap map;
  map.Reset(3);
  map.Scan(message.data(), 0, 3);
  EXPECT_FALSE(map.any());
}

TEST(NonFiniteMap, EmptyRangesContainNothing) {
  Buffer message = Message(kBlock);
  Put(message, 0, kNan);
  NonFiniteMap map;
  map.Reset(message.size());
  map.Scan(message.data(), 0, message.size());
  EXPECT_FALSE(map.MayContain(5, 5));
  EXPECT_TRUE(map.MayContain(0, SIZE_MAX));  // ends with the message
  map.Reset(message.size());
  EXPECT_FALSE(map.any());
  EXPECT_FALSE(map.MayContain(0, message.size()));
}

// However the message arrives, the map is the same as that of the whole.
TEST(NonFiniteMap, DoesNotDependOnThePieces) {
  std::mt19937 random(7);
  for (int trial = 0; trial < 200; ++trial) {
    Buffer message = Message(1 + random() % (5 * kBlock));
    for (unsigned i = random() % 4; i > 0 && message.size() >= 4; --i) {
      Put(message, random() % (message.size() / 4) * 4, kNan);
    }
    NonFiniteMap whole, pieces;
    whole.Reset(message.size());
    whole.Scan(message.data(), 0, message.size());
    pieces.Reset(message.size());
    for (std::size_t from = 0; from < message.size();) {
      const std::size_t to =
          std::min<std::size_t>(message.size(), from + 1 + random() % (trial < 100 ? 7 : 3000));
      pieces.Scan(message.data(), from, to);
      from = to;
    }
    EXPECT_EQ(whole.any(), pieces.any());
    for (std::size_t block = 0; block * kBlock < message.size(); ++block) {
      EXPECT_EQ(whole.MayContain(block * kBlock, block * kBlock + 1),
                pieces.MayContain(block * kBlock, block * kBlock + 1));
    }
  }
}

TEST(AllFinite, FindsTheOneBadValueWhereverItIs) {
  std::vector<float> values(3001, 1.5F);
  EXPECT_TRUE(AllFinite(values.data(), values.size()));
  EXPECT_TRUE(AllFinite(values.data(), 0));
  for (std::size_t i = 0; i < values.size(); ++i) {
    values[i] = i % 2 == 0 ? kNan : -kInfinity;
    EXPECT_FALSE(AllFinite(values.data(), values.size())) << i;
    EXPECT_TRUE(AllFinite(values.data(), i));
    EXPECT_TRUE(AllFinite(values.data() + i + 1, values.size() - i - 1));
    values[i] = 1.5F;
  }
}

}  // namespace
}  // namespace msfl
