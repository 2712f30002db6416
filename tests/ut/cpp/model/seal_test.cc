#include <gtest/gtest.h>

#include <algorithm>
#include <thread>

#include "model/make_model.h"
#include "model/running_sum.h"

namespace msfl::model {
namespace {

class SealTest : public testing::Test {
 protected:
  std::shared_ptr<BufferPool> pool = BufferPool::Create(64 << 20);
  std::shared_ptr<const Layout> layout =
      MakeLayout({Declare("a", {100'000}), Declare("b", {}), Declare("frozen", {5}, false)});
  const std::vector<float> ones = std::vector<float>(100'000, 1.0F);
  const std::vector<Contribution> whole{{0, ones.data()}, {1, ones.data()}};
};

TEST_F(SealTest, OnlyWithAsManyUploadsAsExpected) {
  RunningSum sum(layout, *pool);
  sum.Add(whole, 2);
  EXPECT_FALSE(sum.Seal(0));
  EXPECT_FALSE(sum.Seal(2));
  sum.Add(whole, 3);  // still open
  EXPECT_TRUE(sum.Seal(2));
  EXPECT_TRUE(sum.Seal(2)) << "again";
  EXPECT_FALSE(sum.Seal(3));
  EXPECT_EQ(sum.uploads(), 2U);
  EXPECT_EQ(std::ranges::count(sum.sums(), 2.0), 100'001);
  EXPECT_EQ(sum.data_size(0), 5U);
}

TEST_F(SealTest, WhatComesLaterTouchesNothing) {
  RunningSum sum(layout, *pool);
  sum.Add(whole, 2);
  ASSERT_TRUE(sum.Seal(1));
  RunningSum::Addition late(sum, whole, 7);
  EXPECT_TRUE(late.late());
  EXPECT_TRUE(late.Step());
  EXPECT_EQ(sum.uploads(), 1U);
  EXPECT_EQ(sum.data_size(0), 2U);
  EXPECT_EQ(std::ranges::count(sum.sums(), 1.0), 100'001);
}

TEST_F(SealTest, ASumThatGotNothingIsZero) {
  Buffer dirty = pool->Take(layout->aggregated_elements() * sizeof(double));
  std::fill_n(dirty.data(), dirty.size(), std::uint8_t{0xFF});
  dirty = Buffer();
  RunningSum sum(layout, *pool);
  ASSERT_TRUE(sum.Seal(0));
  EXPECT_EQ(std::ranges::count(sum.sums(), 0.0), 100'001);
}

TEST_F(SealTest, CountsAndSealExcludeEachOther) {
  for (int round = 0; round < 50; ++round) {
    RunningSum sum(layout, *pool);
    std::atomic<std::uint64_t> on_time{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < 3; ++t) {
      threads.emplace_back([&] {
        for (int i = 0; i < 4; ++i) {
          RunningSum::Addition addition(sum, whole, 1);
          while (!addition.Step()) {
          }
          if (!addition.late()) ++on_time;
        }
      });
    }
    while (!sum.Seal(sum.uploads())) {
    }
    for (auto& thread : threads) thread.join();
    EXPECT_EQ(sum.uploads(), on_time);
    EXPECT_EQ(sum.data_size(0), on_time);
  }
}

}  // namespace
}  // namespace msfl::model
