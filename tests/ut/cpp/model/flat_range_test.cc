#include "model/flat_range.h"

#include <gtest/gtest.h>

#include <cstring>
#include <numeric>
#include <random>

#include "model/make_model.h"
#include "model/running_sum.h"

namespace msfl::model {
namespace {

TEST(Segment, PartsFollowEachOtherAndAreEqual) {
  for (const std::size_t elements : {0, 1, 15, 16, 17, 31, 33, 48, 49, 1000, 123457}) {
    for (std::size_t count = 1; count <= 9; ++count) {
      std::size_t end = 0;
      std::size_t least = elements, most = 0;
      for (std::size_t rank = 0; rank < count; ++rank) {
        const FlatRange part = Segment(elements, count, rank);
        ASSERT_EQ(part.begin, end) << elements << " in " << count;
        ASSERT_LE(part.begin, part.end);
        ASSERT_TRUE(part.begin % 16 == 0 || part.begin == elements);
        least = std::min(least, part.size());
        most = std::max(most, part.size());
        end = part.end;
      }
      ASSERT_EQ(end, elements);
      ASSERT_LE(most - least, 31U);
    }
  }
}

class FlatRangeTest : public testing::Test {
 protected:
  FlatRangeTest() {
    std::vector<Feature> features;
    std::mt19937 random(3);
    for (int i = 0; i < 60; ++i) {
      features.push_back(
          Declare("f" + std::to_string(i), {1 + static_cast<std::int64_t>(random() % 40)}, i % 4 != 1));
    }
    layout = MakeLayout(std::move(features));
    start = MakeModel(layout, *pool, 0.5F);
  }

  std::shared_ptr<BufferPool> pool = BufferPool::Create(0);
  std::shared_ptr<const Layout> layout;
  std::shared_ptr<Model> start;
};

TEST_F(FlatRangeTest, PiecesCoverEachElementOnce) {
  const std::size_t elements = layout->aggregated_elements();
  for (std::size_t begin = 0; begin < elements; begin += 7) {
    for (std::size_t end = begin; end <= elements; end += 13) {
      std::size_t expected = begin;
      ForEachPiece(*layout, {begin, end},
                   [&](std::size_t index, std::size_t first, std::size_t count, std::size_t offset) {
                     const Feature& feature = layout->features()[index];
                     EXPECT_TRUE(feature.require_aggr);
                     EXPECT_EQ(feature.sum_offset + first, expected);
                     EXPECT_EQ(offset, expected - begin);
                     EXPECT_GE(count, 1U);
                     EXPECT_LE(first + count, feature.elements);
                     expected += count;
                     return true;
                   });
      ASSERT_EQ(expected, end);
    }
  }
}

TEST_F(FlatRangeTest, BytesCarryARangeAndNothingElse) {
  const std::size_t elements = layout->aggregated_elements();
  for (std::size_t begin = 0; begin < elements; begin += 11) {
    for (std::size_t end = begin + 1; end <= elements; end += 17) {
      const auto model = MakeModel(layout, *pool, 1e6F);
      const ByteRange bytes = FloatBytes(*layout, {begin, end});
      std::memcpy(model->float_bytes().data() + bytes.begin, start->float_bytes().data() + bytes.begin,
                  bytes.size());
      for (const std::size_t index : layout->aggregated()) {
        const Feature& feature = layout->features()[index];
        for (std::size_t i = 0; i < feature.elements; ++i) {
          const bool inside = feature.sum_offset + i >= begin && feature.sum_offset + i < end;
          const float value = std::as_const(*model).values(index)[i];
          ASSERT_EQ(value == std::as_const(*start).values(index)[i], inside) << begin << ' ' << end;
        }
      }
    }
  }
  EXPECT_EQ(FloatBytes(*layout, {3, 3}).size(), 0U);
}

TEST_F(FlatRangeTest, LengthsThatCameFromElsewhereAreWrittenAnew) {
  const auto model = MakeModel(layout, *pool, 0.5F);
  const FlatRange range{5, layout->aggregated_elements() - 5};
  const ByteRange bytes = FloatBytes(*layout, range);
  ForEachPiece(*layout, range, [&](std::size_t index, std::size_t, std::size_t, std::size_t offset) {
    if (offset != 0) std::memset(reinterpret_cast<std::uint8_t*>(model->values(index).data()) - 4, 0xEE, 4);
    return true;
  });
  RestoreLengths(*model, range);
  EXPECT_EQ(
      std::memcmp(model->tail(false).bytes.data(), start->tail(false).bytes.data(), layout->tail_bytes()), 0);
  ASSERT_GT(bytes.size(), 0U);
  std::memset(model->float_bytes().data(), 0xEE, 4);
  model->RestoreLengths();
  EXPECT_EQ(
      std::memcmp(model->tail(false).bytes.data(), start->tail(false).bytes.data(), layout->tail_bytes()), 0);
}

TEST_F(FlatRangeTest, AveragesByPartsAreThoseOfTheWhole) {
  RunningSum sum(layout, *pool);
  std::vector<float> values(40);
  std::iota(values.begin(), values.end(), 0.37F);
  for (std::uint64_t data_size = 1; data_size < 6; ++data_size) {
    std::vector<Contribution> upload;
    for (std::size_t i = 0; i < layout->features().size(); ++i) {
      if (i % 5 != 0 && (i + data_size) % 3 != 0) upload.push_back({i, values.data()});
    }
    sum.Add(upload, data_size);
  }
  const auto whole = sum.Average(*start, *pool);
  ASSERT_NE(whole, nullptr);
  ASSERT_TRUE(sum.Seal(5));
  std::vector<std::uint64_t> data_sizes(layout->features().size());
  for (std::size_t i = 0; i < data_sizes.size(); ++i) data_sizes[i] = sum.data_size(i);
  const auto parts = Model::Make(layout, *pool);
  CopyNotAggregated(*start, *parts);
  for (std::size_t begin = 0; begin < layout->aggregated_elements(); begin += 19) {
    const std::size_t count = std::min<std::size_t>(19, layout->aggregated_elements() - begin);
    ASSERT_TRUE(AverageRange(sum.sums().subspan(begin, count), begin, data_sizes, *start, *parts));
  }
  EXPECT_EQ(
      std::memcmp(whole->tail(false).bytes.data(), parts->tail(false).bytes.data(), layout->tail_bytes()), 0);
}

}  // namespace
}  // namespace msfl::model
