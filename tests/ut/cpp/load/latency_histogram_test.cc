#include "load/latency_histogram.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <vector>

namespace msfl::load {
namespace {

using Nanoseconds = LatencyHistogram::Nanoseconds;

TEST(LatencyHistogram, AnEmptyOneHasZeros) {
  const LatencyHistogram histogram;
  EXPECT_EQ(histogram.count(), 0U);
  EXPECT_EQ(histogram.max(), Nanoseconds(0));
  EXPECT_EQ(histogram.Quantile(0.99), Nanoseconds(0));
  EXPECT_EQ(histogram.mean(), 0);
}

TEST(LatencyHistogram, SmallTimesAreExact) {
  LatencyHistogram histogram;
  for (int i = 1; i <= 200; ++i) histogram.Add(Nanoseconds(i));
  EXPECT_EQ(histogram.Quantile(0), Nanoseconds(1));
  EXPECT_EQ(histogram.Quantile(0.5), Nanoseconds(100));
  EXPECT_EQ(histogram.Quantile(1), Nanoseconds(200));
  EXPECT_DOUBLE_EQ(histogram.mean(), 100.5);
}

TEST(LatencyHistogram, EveryTimeIsKeptToHalfAPercent) {
  for (std::int64_t time = 1; time < std::int64_t{1} << 50; time += 1 + time / 7) {
    LatencyHistogram histogram;
    histogram.Add(Nanoseconds(time));
    histogram.Add(Nanoseconds(std::int64_t{1} << 60));  // so that the quantile is no maximum
    const auto kept = static_cast<double>(histogram.Quantile(0.5).count());
    EXPECT_NEAR(kept, static_cast<double>(time), 0.005 * static_cast<double>(time));
  }
}

TEST(LatencyHistogram, QuantilesOfManyTimesAreThoseOfTheSortedOnes) {
  std::mt19937_64 random(7);
  std::lognormal_distribution<double> times(14, 2);
  LatencyHistogram histogram;
  std::vector<std::int64_t> sorted;
  for (int i = 0; i < 20'000; ++i) {
    sorted.push_back(static_cast<std::int64_t>(times(random)));
    histogram.Add(Nanoseconds(sorted.back()));
  }
  std::ranges::sort(sorted);
  for (const double fraction : {0.01, 0.5, 0.95, 0.99, 0.999}) {
    const auto index = static_cast<std::size_t>(fraction * static_cast<double>(sorted.size())) - 1;
    const auto exact = static_cast<double>(sorted[index]);
    EXPECT_NEAR(static_cast<double>(histogram.Quantile(fraction).count()), exact, 0.01 * exact + 1);
  }
  EXPECT_EQ(histogram.max().count(), sorted.back());
}

TEST(LatencyHistogram, ANegativeTimeIsNone) {
  LatencyHistogram histogram;
  histogram.Add(Nanoseconds(-5));
  EXPECT_EQ(histogram.count(), 1U);
  EXPECT_EQ(histogram.max(), Nanoseconds(0));
}

TEST(LatencyHistogram, TheLongestTimeHasABucket) {
  LatencyHistogram histogram;
  histogram.Add(Nanoseconds::max());
  EXPECT_EQ(histogram.Quantile(0.5).count() > 0, true);
  EXPECT_EQ(histogram.max(), Nanoseconds::max());
}

}  // namespace
}  // namespace msfl::load
