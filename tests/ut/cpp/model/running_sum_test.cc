#include "model/running_sum.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <thread>

#include "model/make_model.h"

namespace msfl::model {
namespace {

struct Upload {
  std::vector<std::vector<float>> values;  // of each feature; empty: not sent
  std::uint64_t data_size = 1;

  void AddTo(RunningSum& sum) const {
    std::vector<Contribution> contributions;
    for (std::size_t i = 0; i < values.size(); ++i) {
      if (!values[i].empty()) contributions.push_back({i, values[i].data()});
    }
    sum.Add(contributions, data_size);
  }
};

class RunningSumTest : public testing::Test {
 protected:
  void SetLayout(std::vector<Feature> features) {
    layout_ = MakeLayout(std::move(features));
    previous_ = MakeModel(layout_, *pool_, 0.25F);
  }
  std::vector<float> Result(const RunningSum& sum, std::size_t feature) {
    const auto model = sum.Average(*previous_, *pool_);
    if (model == nullptr) {
      ADD_FAILURE() << "no finite average";
      return {};
    }
    const auto values = std::as_const(*model).values(feature);
    return {values.begin(), values.end()};
  }
  std::vector<float> Previous(std::size_t feature) {
    const auto values = std::as_const(*previous_).values(feature);
    return {values.begin(), values.end()};
  }
  // The next sums start in memory that holds garbage.
  void DirtyPool() {
    Buffer dirty = pool_->Take(layout_->aggregated_elements() * sizeof(double));
    std::fill_n(dirty.data(), dirty.size(), std::uint8_t{0xFF});
  }

  std::shared_ptr<BufferPool> pool_ = BufferPool::Create(64 << 20);
  std::shared_ptr<const Layout> layout_;
  std::shared_ptr<const Model> previous_;
};

TEST_F(RunningSumTest, ExampleOfTheSpecification) {
  SetLayout({Declare("w", {2})});
  RunningSum sum(layout_, *pool_);
  Upload{{{3, 24}}, 16}.AddTo(sum);
  Upload{{{9, 48}}, 8}.AddTo(sum);
  EXPECT_EQ(Result(sum, 0), (std::vector<float>{0.5F, 3.0F}));
  EXPECT_EQ(sum.uploads(), 2U);
  EXPECT_EQ(sum.data_size(0), 24U);

  RunningSum one(layout_, *pool_);
  Upload{{{64, 1}}, 32}.AddTo(one);
  EXPECT_EQ(Result(one, 0), (std::vector<float>{2.0F, 1.0F / 32}));
}

TEST_F(RunningSumTest, EachFeatureHasItsOwnDivisor) {
  SetLayout({Declare("a", {}), Declare("b", {3}), Declare("c", {2})});
  DirtyPool();
  RunningSum sum(layout_, *pool_);
  Upload{{{10}, {}, {}}, 10}.AddTo(sum);
  Upload{{{20}, {5, 10, 15}, {}}, 5}.AddTo(sum);
  Upload{{{}, {15, 20, 25}, {}}, 5}.AddTo(sum);
  EXPECT_EQ(Result(sum, 0), (std::vector<float>{2}));
  EXPECT_EQ(Result(sum, 1), (std::vector<float>{2, 3, 4}));
  EXPECT_EQ(Result(sum, 2), Previous(2)) << "nobody sent it";
  EXPECT_EQ(sum.data_size(0), 15U);
  EXPECT_EQ(sum.data_size(1), 10U);
  EXPECT_EQ(sum.data_size(2), 0U);
}

TEST_F(RunningSumTest, NotAggregatedFeaturesStay) {
  SetLayout({Declare("a", {2}), Declare("frozen", {3}, false), Declare("z", {1})});
  RunningSum sum(layout_, *pool_);
  Upload{{{1, 2}, {7, 7, 7}, {3}}, 1}.AddTo(sum);
  EXPECT_EQ(Result(sum, 0), (std::vector<float>{1, 2}));
  EXPECT_EQ(Result(sum, 1), Previous(1));
  EXPECT_EQ(Result(sum, 2), (std::vector<float>{3}));
  EXPECT_EQ(sum.data_size(1), 0U);
}

TEST_F(RunningSumTest, NothingToAggregate) {
  SetLayout({Declare("frozen", {3}, false)});
  RunningSum sum(layout_, *pool_);
  Upload{{{7, 7, 7}}, 1}.AddTo(sum);
  EXPECT_EQ(sum.uploads(), 1U);
  EXPECT_EQ(Result(sum, 0), Previous(0));
}

TEST_F(RunningSumTest, NoUploadKeepsThePreviousModel) {
  SetLayout({Declare("a", {2}), Declare("b", {40000})});
  DirtyPool();
  const RunningSum sum(layout_, *pool_);
  EXPECT_EQ(Result(sum, 0), Previous(0));
  EXPECT_EQ(Result(sum, 1), Previous(1));
}

TEST_F(RunningSumTest, AFeatureNamedTwiceCountsOnce) {
  SetLayout({Declare("a", {1})});
  RunningSum sum(layout_, *pool_);
  const float first = 3;
  const float second = 8;
  const std::vector<Contribution> upload{{0, &first}, {0, &second}};
  sum.Add(upload, 4);
  EXPECT_EQ(sum.data_size(0), 4U);
  EXPECT_EQ(Result(sum, 0), (std::vector<float>{2}));
}

TEST_F(RunningSumTest, ResultsThatAreNotFiniteAreNoModel) {
  SetLayout({Declare("a", {70000}), Declare("b", {2})});
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
                          -std::numeric_limits<float>::infinity()}) {
    for (const std::size_t at : {std::size_t{0}, std::size_t{33333}, std::size_t{69999}}) {
      RunningSum sum(layout_, *pool_);
      std::vector<float> values(70000, 1.0F);
      values[at] = bad;
      Upload{{values, {}}, 2}.AddTo(sum);
      EXPECT_EQ(sum.Average(*previous_, *pool_), nullptr) << bad << " at " << at;
    }
  }
}

TEST_F(RunningSumTest, LargeValuesOverflowOnlyInTheResult) {
  SetLayout({Declare("a", {1})});
  constexpr float kMax = std::numeric_limits<float>::max();
  RunningSum finite(layout_, *pool_);
  for (int i = 0; i < 10; ++i) Upload{{{kMax}}, 1}.AddTo(finite);
  EXPECT_EQ(Result(finite, 0), (std::vector<float>{kMax}));

  RunningSum too_large(layout_, *pool_);
  Upload{{{kMax}}, 1}.AddTo(too_large);
  const float more = kMax;
  too_large.Add(std::vector<Contribution>{{0, &more}}, 0);
  EXPECT_EQ(too_large.Average(*previous_, *pool_), nullptr);
}

// Uploads of random features, from many threads, of integers: the result is exact whatever the order.
TEST_F(RunningSumTest, ManyThreadsPartialUploadsExactSums) {
  std::mt19937 random(7);
  std::vector<Feature> features;
  for (int i = 0; i < 40; ++i) features.push_back(Declare("t" + std::to_string(i), {1 + i % 5}));
  for (int i = 0; i < 6; ++i)
    features.push_back(Declare("m" + std::to_string(i), {20000 + 7777 * i}, i != 3));
  features.push_back(Declare("large", {150000}));
  SetLayout(std::move(features));
  const std::size_t count = layout_->features().size();

  constexpr int kUploads = 24;
  std::vector<Upload> uploads(kUploads);
  std::vector<std::vector<std::int64_t>> expected(count);
  std::vector<std::uint64_t> sizes(count, 0);
  for (std::size_t i = 0; i < count; ++i) expected[i].resize(layout_->features()[i].elements);
  for (Upload& upload : uploads) {
    upload.data_size = 1 + random() % 65535;
    upload.values.resize(count);
    for (std::size_t i = 0; i < count; ++i) {
      if (random() % 3 == 0) continue;
      sizes[i] += upload.data_size;
      upload.values[i].resize(expected[i].size());
      for (std::size_t j = 0; j < expected[i].size(); ++j) {
        const auto value = static_cast<std::int64_t>(random() % (1U << 25)) - (1 << 24);
        upload.values[i][j] = static_cast<float>(value);
        expected[i][j] += static_cast<std::int64_t>(upload.values[i][j]);
      }
    }
  }

  for (int round = 0; round < 3; ++round) {
    DirtyPool();
    RunningSum sum(layout_, *pool_);
    std::vector<std::thread> threads;
    for (int t = 0; t < 6; ++t) {
      threads.emplace_back([&, t] {
        for (int i = t; i < kUploads; i += 6) uploads[static_cast<std::size_t>(i)].AddTo(sum);
      });
    }
    for (auto& thread : threads) thread.join();
    EXPECT_EQ(sum.uploads(), static_cast<std::uint64_t>(kUploads));
    const auto model = sum.Average(*previous_, *pool_);
    ASSERT_NE(model, nullptr);
    for (std::size_t i = 0; i < count; ++i) {
      const auto values = std::as_const(*model).values(i);
      if (!layout_->features()[i].require_aggr) {
        ASSERT_TRUE(std::ranges::equal(values, Previous(i)));
        continue;
      }
      ASSERT_EQ(sum.data_size(i), sizes[i]);
      for (std::size_t j = 0; j < values.size(); ++j) {
        const auto exact =
            static_cast<float>(static_cast<double>(expected[i][j]) / static_cast<double>(sizes[i]));
        ASSERT_EQ(values[j], exact) << layout_->features()[i].name << " " << j;
      }
    }
  }
}

// |result - exact| <= 2^-22 * sum|u| / sum n, for values that cancel, grow, shrink, or are far apart.
TEST_F(RunningSumTest, PrecisionBoundWithAdversarialValues) {
  constexpr std::int64_t kElements = 4096;
  SetLayout({Declare("a", {kElements})});
  std::mt19937 random(42);
  std::uniform_real_distribution<float> mantissa(1.0F, 2.0F);
  for (const int uploads : {1, 2, 3, 50, 2000}) {
    RunningSum sum(layout_, *pool_);
    std::vector<long double> exact(kElements, 0), magnitude(kElements, 0);
    std::uint64_t total = 0;
    std::vector<float> last;
    for (int u = 0; u < uploads; ++u) {
      Upload upload{{std::vector<float>(kElements)}, 1 + random() % 1000};
      for (std::size_t j = 0; j < kElements; ++j) {
        float value = mantissa(random);
        switch (j % 5) {
          case 0:
            break;  // grows for ever
          case 1:
            value = u % 2 == 1 ? -last[j] : value * 1e6F;
            break;  // cancels to nothing
          case 2:
            value = u == 0 ? 1e8F : value * 1e-3F;
            break;  // small ones behind a large one
          case 3:
            value = std::ldexp(value, static_cast<int>(random() % 60) - 30);
            break;
          default:
            value = (random() % 2 == 0 ? value : -value) * 1e30F;
        }
        upload.values[0][j] = value;
        exact[j] += value;
        magnitude[j] += std::fabs(value);
      }
      last = upload.values[0];
      total += upload.data_size;
      upload.AddTo(sum);
    }
    const std::vector<float> result = Result(sum, 0);
    ASSERT_EQ(result.size(), static_cast<std::size_t>(kElements));
    for (std::size_t j = 0; j < kElements; ++j) {
      const long double divisor = total;
      const long double bound = std::ldexp(magnitude[j] / divisor, -22);
      ASSERT_LE(std::fabs(result[j] - exact[j] / divisor), bound) << uploads << " uploads, element " << j;
    }
  }
}

TEST_F(RunningSumTest, AdditionsThatTakeTurns) {
  SetLayout({Declare("a", {3'000'000}), Declare("b", {500'000}), Declare("c", {7})});
  DirtyPool();
  RunningSum sum(layout_, *pool_);
  const std::vector<float> ones(3'000'000, 1.0F);
  const std::vector<Contribution> whole{{0, ones.data()}, {1, ones.data()}, {2, ones.data()}};
  const std::vector<Contribution> part{{1, ones.data()}};
  RunningSum::Addition first(sum, whole, 2), second(sum, part, 3), third(sum, whole, 4);
  int steps = 0;
  for (bool end1 = false, end2 = false, end3 = false; !end1 || !end2 || !end3; ++steps) {
    if (!end1) end1 = first.Step();
    if (!end2) end2 = second.Step();
    if (!end3) end3 = third.Step();
  }
  EXPECT_GT(steps, 1);
  EXPECT_EQ(sum.uploads(), 3U);
  EXPECT_EQ(Result(sum, 0), std::vector<float>(3'000'000, 2.0F / 6));
  EXPECT_EQ(Result(sum, 1), std::vector<float>(500'000, 3.0F / 9));
  EXPECT_EQ(Result(sum, 2), std::vector<float>(7, 2.0F / 6));
}

TEST_F(RunningSumTest, ThousandsOfTinyFeatures) {
  std::vector<Feature> features;
  for (int i = 0; i < 50000; ++i) features.push_back(Declare("f" + std::to_string(i), {}, i % 7 != 0));
  SetLayout(std::move(features));
  RunningSum sum(layout_, *pool_);
  for (int u = 0; u < 5; ++u) {
    Upload upload{std::vector<std::vector<float>>(50000), 2};
    for (std::size_t i = 0; i < 50000; ++i) upload.values[i] = {static_cast<float>(i)};
    upload.AddTo(sum);
  }
  const auto model = sum.Average(*previous_, *pool_);
  ASSERT_NE(model, nullptr);
  for (std::size_t i = 0; i < 50000; ++i) {
    const float expected = layout_->features()[i].require_aggr ? static_cast<float>(i) / 2 : Previous(i)[0];
    ASSERT_EQ(std::as_const(*model).values(i)[0], expected);
  }
}

TEST_F(RunningSumTest, UploadsNeedNoMoreThanFourByteAlignment) {
  SetLayout({Declare("a", {1000})});
  RunningSum sum(layout_, *pool_);
  std::vector<float> storage(1010, 1.0F);
  for (std::size_t shift = 0; shift < 10; ++shift) {
    const std::vector<Contribution> upload{{0, storage.data() + shift}};
    sum.Add(upload, 1);
  }
  EXPECT_EQ(Result(sum, 0), std::vector<float>(1000, 1.0F));
}

TEST_F(RunningSumTest, OneAbsorbsAnother) {
  SetLayout({Declare("a", {2}), Declare("b", {1})});
  RunningSum sum(layout_, *pool_), other(layout_, *pool_);
  Upload{{{1, 2}, {3}}, 1}.AddTo(sum);
  Upload{{{10, 20}, {}}, 3}.AddTo(other);
  sum.Absorb(other);
  EXPECT_EQ(sum.uploads(), 2U);
  EXPECT_TRUE(sum.Seal(2));
  EXPECT_EQ(Result(sum, 0), (std::vector<float>{11 / 4.0F, 22 / 4.0F}));
  EXPECT_EQ(Result(sum, 1), (std::vector<float>{3}));
}

TEST_F(RunningSumTest, ACopyGoesOn) {
  SetLayout({Declare("a", {2})});
  DirtyPool();
  RunningSum copy(layout_, *pool_);
  const std::uint64_t sizes[] = {3};
  const std::span<double> sums = copy.Restore(sizes, 2);
  ASSERT_EQ(sums.size(), 2U);
  sums[0] = 1;
  sums[1] = 2;
  Upload{{{4, 8}}, 2}.AddTo(copy);
  EXPECT_EQ(copy.uploads(), 3U);
  EXPECT_EQ(Result(copy, 0), (std::vector<float>{1, 2}));
}

}  // namespace
}  // namespace msfl::model
