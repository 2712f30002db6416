#include "base/buffer.h"

#include <gtest/gtest.h>

#include <cstring>
#include <thread>
#include <vector>

namespace msfl {
namespace {

constexpr std::size_t kMegabyte = 1 << 20;

TEST(Buffer, IsEmptyByDefault) {
  const Buffer buffer;
  EXPECT_EQ(buffer.size(), 0U);
  EXPECT_EQ(buffer.capacity(), 0U);
  EXPECT_TRUE(buffer.bytes().empty());
}

TEST(Buffer, IsAlignedAndUsableToItsLastByte) {
  for (const std::size_t size :
       {std::size_t{0}, std::size_t{1}, std::size_t{63}, std::size_t{65}, 3 * kMegabyte + 1}) {
    Buffer buffer(size);
    EXPECT_EQ(buffer.size(), size);
    EXPECT_GE(buffer.capacity(), size);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(buffer.data()) % 64, 0U);
    std::memset(buffer.data(), 7, buffer.capacity());
  }
}

TEST(Buffer, MovesItsMemory) {
  Buffer first(100);
  const auto* const data = first.data();
  Buffer second(std::move(first));
  EXPECT_EQ(second.data(), data);
  EXPECT_EQ(first.data(), nullptr);  // NOLINT(bugprone-use-after-move): promised
  first = std::move(second);
  EXPECT_EQ(first.data(), data);
  EXPECT_EQ(first.size(), 100U);
}

TEST(Buffer, ResizeKeepsTheContents) {
  Buffer buffer(4);
  std::memcpy(buffer.data(), "abcd", 4);
  buffer.Resize(2);
  EXPECT_EQ(buffer.bytes().size(), 2U);
  buffer.Resize(4);
  EXPECT_EQ(std::memcmp(buffer.data(), "ab", 2), 0);
}

TEST(Buffer, RefusesSizesThatNoMachineHas) {
  EXPECT_THROW(Buffer(SIZE_MAX / 2), std::bad_alloc);
  EXPECT_THROW(BufferPool::Create(0)->Take(SIZE_MAX), std::bad_alloc);
}

TEST(BufferPool, WastesAtMostAQuarterAndKeepsTheAlignment) {
  const auto pool = BufferPool::Create(0);
  for (std::size_t size = 257; size < 64 * kMegabyte; size = size * 5 / 4 + 1) {
    for (const std::size_t wanted : {size - 1, size}) {
      const Buffer buffer = pool->Take(wanted);
      EXPECT_EQ(buffer.size(), wanted);
      EXPECT_GE(buffer.capacity(), wanted);
      EXPECT_LE(buffer.capacity(), wanted + wanted / 4 + 64) << wanted;
      EXPECT_EQ(reinterpret_cast<std::uintptr_t>(buffer.data()) % 64, 0U);
    }
  }
}

TEST(BufferPool, GivesTheSameMemoryAgainForASizeNearby) {
  const auto pool = BufferPool::Create(100 * kMegabyte);
  const std::uint8_t* data = nullptr;
  {
    const Buffer buffer = pool->Take(10'000'000);
    data = buffer.data();
    EXPECT_EQ(pool->idle_bytes(), 0U);
  }
  EXPECT_GE(pool->idle_bytes(), 10'000'000U);
  const Buffer again = pool->Take(9'900'000);
  EXPECT_EQ(again.data(), data);
  EXPECT_EQ(again.size(), 9'900'000U);
  EXPECT_EQ(pool->idle_bytes(), 0U);
}

TEST(BufferPool, KeepsNoMoreThanItMay) {
  const auto pool = BufferPool::Create(2 * kMegabyte);
  {
    std::vector<Buffer> buffers;
    for (int i = 0; i < 5; ++i) buffers.push_back(pool->Take(kMegabyte));
  }
  EXPECT_EQ(pool->idle_bytes(), 2 * kMegabyte);
  { const Buffer huge = pool->Take(8 * kMegabyte); }
  EXPECT_EQ(pool->idle_bytes(), 2 * kMegabyte);
  pool->Trim();
  EXPECT_EQ(pool->idle_bytes(), 0U);
}

TEST(BufferPool, GivesBackWhatWasNotUsedForAWholeInterval) {
  const auto pool = BufferPool::Create(64 * kMegabyte);
  {
    const Buffer first = pool->Take(kMegabyte), second = pool->Take(kMegabyte);
    const Buffer other = pool->Take(3 * kMegabyte);
  }
  pool->TrimUnused();  // the interval begins
  EXPECT_EQ(pool->idle_bytes(), 5 * kMegabyte);
  { const Buffer again = pool->Take(kMegabyte); }
  pool->TrimUnused();
  EXPECT_EQ(pool->idle_bytes(), kMegabyte);
  pool->TrimUnused();
  EXPECT_EQ(pool->idle_bytes(), 0U);
}

TEST(BufferPool, KeepsLessWhileItIsToldTo) {
  const auto pool = BufferPool::Create(64 * kMegabyte);
  {
    std::vector<Buffer> buffers;
    for (int i = 0; i < 5; ++i) buffers.push_back(pool->Take(kMegabyte));
    const Buffer large = pool->Take(4 * kMegabyte);
  }
  EXPECT_EQ(pool->idle_bytes(), 9 * kMegabyte);
  {
    BufferPool::Surplus all = pool->LimitIdle(8 * kMegabyte);  // the large one goes
    EXPECT_EQ(pool->idle_bytes(), 5 * kMegabyte);
    all.Add(pool->LimitIdle(3 * kMegabyte));
    EXPECT_EQ(pool->idle_bytes(), 3 * kMegabyte);
  }
  { const Buffer large = pool->Take(4 * kMegabyte); }
  EXPECT_EQ(pool->idle_bytes(), 3 * kMegabyte);
  pool->LimitIdle(1000 * kMegabyte);
  { const Buffer large = pool->Take(61 * kMegabyte); }
  { const Buffer large = pool->Take(60 * kMegabyte); }
  EXPECT_LE(pool->idle_bytes(), 64 * kMegabyte);
  pool->Trim();
  EXPECT_EQ(pool->idle_bytes(), 0U);
}

TEST(BufferPool, GivesIdleMemoryAloneWhereNoneIsToBeMade) {
  const auto pool = BufferPool::Create(64 * kMegabyte);
  EXPECT_EQ(pool->TakeIdle(kMegabyte).data(), nullptr);
  { const Buffer buffer = pool->Take(kMegabyte); }
  const Buffer again = pool->TakeIdle(kMegabyte - 1);
  EXPECT_NE(again.data(), nullptr);
  EXPECT_EQ(again.size(), kMegabyte - 1);
  EXPECT_EQ(again.capacity(), BufferPool::CapacityFor(kMegabyte - 1));
  EXPECT_EQ(pool->TakeIdle(kMegabyte).data(), nullptr);
}

TEST(BufferPool, CountsTheIdleBytesOfEverySize) {
  const auto pool = BufferPool::Create(64 * kMegabyte);
  for (std::size_t size = 1; size < 2 * kMegabyte; size = size * 5 / 4 + 1) {
    {
      const Buffer buffer = pool->Take(size);
    }
    EXPECT_GE(pool->idle_bytes(), size);
    pool->Trim();
    EXPECT_EQ(pool->idle_bytes(), 0U) << size;
  }
}

TEST(BufferPool, MayEndBeforeItsBuffers) {
  auto pool = BufferPool::Create(kMegabyte);
  Buffer buffer = pool->Take(1000);
  pool.reset();
  buffer.data()[999] = 1;
}

TEST(BufferPool, ServesManyThreads) {
  const auto pool = BufferPool::Create(4 * kMegabyte);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 2000; ++i) {
        Buffer buffer = pool->Take(static_cast<std::size_t>(1 + (i * 7919 + t) % 50'000));
        buffer.data()[buffer.size() - 1] = static_cast<std::uint8_t>(t);
        if (i % 500 == 0) pool->Trim();
        EXPECT_EQ(buffer.data()[buffer.size() - 1], t);
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_LE(pool->idle_bytes(), 4 * kMegabyte);
}

}  // namespace
}  // namespace msfl
