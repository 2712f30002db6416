#include "model/history.h"

#include <gtest/gtest.h>

#include <limits>
#include <optional>
#include <thread>

#include "model/make_model.h"

namespace msfl::model {
namespace {

class HistoryTest : public testing::Test {
 protected:
  std::shared_ptr<const Model> NewModel() { return MakeModel(layout_, *pool_); }
  std::uint64_t Found(std::int64_t iteration) const {
    const auto entry = history_.FindOrLatest(iteration);
    EXPECT_NE(entry.model, nullptr);
    return entry.iteration;
  }

  std::shared_ptr<BufferPool> pool_ = BufferPool::Create(1 << 20);
  std::shared_ptr<const Layout> layout_ = MakeLayout({Declare("a", {2})});
  History history_;
};

TEST_F(HistoryTest, NothingStoredNothingFound) {
  EXPECT_EQ(history_.Latest().model, nullptr);
  EXPECT_EQ(history_.FindOrLatest(0).model, nullptr);
  EXPECT_EQ(history_.FindOrLatest(-1).model, nullptr);
}

TEST_F(HistoryTest, KeepsTheNewestThree) {
  for (std::uint64_t i = 0; i <= 4; ++i) history_.Store(i, NewModel());
  for (std::int64_t stored : {2, 3, 4}) EXPECT_EQ(Found(stored), static_cast<std::uint64_t>(stored));
  EXPECT_EQ(Found(0), 4U);
  EXPECT_EQ(Found(1), 4U);
}

TEST_F(HistoryTest, WhatIsNotStoredIsTheLatest) {
  history_.Restart(5, NewModel());
  history_.Store(6, NewModel());
  for (const std::int64_t iteration :
       {std::int64_t{0}, std::int64_t{4}, std::int64_t{7}, std::int64_t{-1},
        std::numeric_limits<std::int64_t>::min(), std::numeric_limits<std::int64_t>::max()}) {
    EXPECT_EQ(Found(iteration), 6U) << iteration;
  }
  EXPECT_EQ(Found(5), 5U);
}

TEST_F(HistoryTest, StoringDropsWhatIsNotOlder) {
  for (std::uint64_t i = 1; i <= 3; ++i) history_.Store(i, NewModel());
  const auto again = NewModel();
  history_.Store(2, again);
  EXPECT_EQ(history_.Latest().iteration, 2U);
  EXPECT_EQ(history_.Latest().model, again);
  EXPECT_EQ(Found(3), 2U);
  EXPECT_EQ(Found(1), 1U);
}

TEST_F(HistoryTest, ASkippedNumberIsNoModel) {
  history_.Store(1, NewModel());
  history_.Store(9, NewModel());
  EXPECT_EQ(Found(1), 1U);
  EXPECT_EQ(Found(5), 9U);
}

TEST_F(HistoryTest, RestartForgets) {
  for (std::uint64_t i = 7; i <= 9; ++i) history_.Store(i, NewModel());
  const auto first = NewModel();
  history_.Restart(0, first);
  EXPECT_EQ(history_.Latest().iteration, 0U);
  EXPECT_EQ(history_.FindOrLatest(9).model, first);
}

TEST_F(HistoryTest, ADroppedModelLivesWhileItIsSent) {
  const auto model = NewModel();
  history_.Store(1, model);
  history_.Restart(2, NewModel());
  EXPECT_EQ(model.use_count(), 1);
  EXPECT_EQ(model->values(0)[1], 1.0F);
}

class RetiredModels : public HistoryTest {
 protected:
  RetiredModels() : model_bytes_(NewModel()->bytes()) {}
  // Stores `count` models more, and returns them: they are held as by readers.
  std::vector<std::shared_ptr<const Model>> Store(std::size_t count) {
    std::vector<std::shared_ptr<const Model>> models;
    for (std::size_t i = 0; i < count; ++i) {
      models.push_back(NewModel());
      limited_->Store(next_++, models.back());
    }
    return models;
  }
  static std::vector<bool> Withdrawn(const std::vector<std::shared_ptr<const Model>>& models) {
    std::vector<bool> withdrawn;
    for (const auto& model : models) withdrawn.push_back(model != nullptr && model->withdrawn());
    return withdrawn;
  }

  const std::size_t model_bytes_;
  std::optional<History> limited_{std::in_place};
  std::uint64_t next_ = 0;
};

TEST_F(RetiredModels, StayWithoutALimit) {
  EXPECT_EQ(Withdrawn(Store(6)), (std::vector<bool>{false, false, false, false, false, false}));
}

TEST_F(RetiredModels, TheOldestBeyondTheLimitAreWithdrawn) {
  limited_.emplace(2 * model_bytes_);
  auto models = Store(6);
  EXPECT_EQ(Withdrawn(models), (std::vector<bool>{true, false, false, false, false, false}));
  models.push_back(Store(1)[0]);
  EXPECT_EQ(Withdrawn(models), (std::vector<bool>{true, true, false, false, false, false, false}));
}

TEST_F(RetiredModels, TheLastOneStaysWhateverTheLimit) {
  limited_.emplace(0);
  EXPECT_EQ(Withdrawn(Store(5)), (std::vector<bool>{true, false, false, false, false}));
}

TEST_F(RetiredModels, ThoseThatNobodyReadsDoNotCount) {
  limited_.emplace(model_bytes_);
  auto models = Store(4);
  for (int i = 0; i < 20; ++i) Store(1);
  EXPECT_EQ(Withdrawn(models), (std::vector<bool>{true, true, true, false}));
}

TEST_F(RetiredModels, OneUnderSeveralNumbersHasNotLeft) {
  limited_.emplace(0);
  const auto model = NewModel();
  for (; next_ < 10; ++next_) limited_->Store(next_, model);
  EXPECT_FALSE(model->withdrawn());
  Store(2);
  EXPECT_FALSE(model->withdrawn());
  const auto newer = Store(2);  // `model` has left, as the only one
  EXPECT_FALSE(model->withdrawn());
  Store(2);
  EXPECT_TRUE(model->withdrawn());
  EXPECT_FALSE(newer[0]->withdrawn());
}

TEST_F(RetiredModels, OneThatComesAgainIsServedAgain) {
  limited_.emplace(0);
  const auto models = Store(5);
  ASSERT_TRUE(models[0]->withdrawn());
  limited_->Restart(0, models[0]);
  EXPECT_EQ(Withdrawn(models), (std::vector<bool>{false, true, true, true, false}));
}

TEST_F(HistoryTest, ReadersAndAWriter) {
  history_.Restart(0, NewModel());
  std::atomic<bool> done{false};
  std::vector<std::thread> readers;
  for (int i = 0; i < 3; ++i) {
    readers.emplace_back([&] {
      std::uint64_t newest = 0;
      while (!done.load()) {
        const auto entry = history_.FindOrLatest(3);
        ASSERT_NE(entry.model, nullptr);
        const std::uint64_t latest = history_.Latest().iteration;
        ASSERT_GE(latest, newest);
        newest = latest;
      }
    });
  }
  for (std::uint64_t i = 1; i <= 2000; ++i) history_.Store(i, NewModel());
  done = true;
  for (auto& reader : readers) reader.join();
  EXPECT_EQ(history_.Latest().iteration, 2000U);
}

}  // namespace
}  // namespace msfl::model
