// The budget of bodies, without a socket: who gets room, who waits, and in which order.
#include "net/body_memory.h"

#include <gtest/gtest.h>

#include <atomic>
#include <boost/asio/ip/address.hpp>
#include <deque>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "net/body_sample.h"
#include "net/transfer_clock.h"

namespace msfl::net {
namespace {

using std::chrono::milliseconds;

constexpr std::size_t kMegabyte = 1 << 20;  // a size class of its own

AddressKey Address(const std::string& text) { return AddressKey(boost::asio::ip::make_address(text)); }

class BodyMemoryTest : public testing::Test {
 protected:
  void Make(std::uint64_t budget, double share = 1.0) {
    memory = std::make_unique<BodyMemory>(pool, budget, share, stats);
  }
  BodyRoom& Room(const std::string& address = "10.0.0.1") {
    return rooms.emplace_back(*memory, Address(address));
  }
  // Waits, and counts being woken.
  void Await(BodyRoom& room, std::size_t bytes) {
    room.Await(bytes, [this] { ++woken; });
  }
  ~BodyMemoryTest() override { rooms.clear(); }

  HttpStats stats;
  std::shared_ptr<BufferPool> pool = BufferPool::Create(std::size_t{1} << 30);
  std::unique_ptr<BodyMemory> memory;
  std::deque<BodyRoom> rooms;
  int woken = 0;
};

TEST_F(BodyMemoryTest, GivesRoomUntilThereIsNone) {
  Make(3 * kMegabyte);
  EXPECT_TRUE(Room().Take(kMegabyte));
  EXPECT_TRUE(Room().Take(2 * kMegabyte));
  EXPECT_EQ(stats.body_memory_used, 3 * kMegabyte);
  BodyRoom& third = Room();
  EXPECT_FALSE(third.Take(1));
  rooms[0].Release();
  EXPECT_TRUE(third.Take(kMegabyte - 100));  // as large a buffer
  EXPECT_EQ(stats.body_memory_used, 3 * kMegabyte);
  std::memset(third.buffer().data(), 1, kMegabyte - 100);
  rooms.clear();
  EXPECT_EQ(stats.body_memory_used, 0U);
}

TEST_F(BodyMemoryTest, ServesInTheOrderOfArrivalAndNobodyOvertakes) {
  Make(4 * kMegabyte);
  EXPECT_TRUE(Room().Take(3 * kMegabyte));
  BodyRoom& large = Room();
  Await(large, 2 * kMegabyte);
  BodyRoom& small = Room("10.0.0.2");
  EXPECT_FALSE(small.Take(kMegabyte));  // there would be room
  Await(small, kMegabyte);
  BodyRoom& last = Room("10.0.0.3");
  Await(last, 2 * kMegabyte);
  EXPECT_EQ(stats.bodies_waiting, 3U);
  EXPECT_EQ(woken, 0);
  rooms[0].Release();
  EXPECT_EQ(woken, 2);
  EXPECT_FALSE(large.waiting());
  EXPECT_TRUE(large.Leave());
  EXPECT_TRUE(small.Leave());
  EXPECT_TRUE(last.waiting());
  large.Release();
  EXPECT_TRUE(last.Leave());
  EXPECT_EQ(stats.bodies_waiting, 0U);
  EXPECT_EQ(stats.body_memory_used, 3 * kMegabyte);
}

TEST_F(BodyMemoryTest, WhoLeavesTheQueueMakesWay) {
  Make(4 * kMegabyte);
  EXPECT_TRUE(Room().Take(3 * kMegabyte));
  BodyRoom& large = Room();
  Await(large, 2 * kMegabyte);
  BodyRoom& small = Room();
  Await(small, kMegabyte);
  EXPECT_FALSE(large.Leave());
  EXPECT_EQ(woken, 1);
  EXPECT_TRUE(small.Leave());
  Await(large, 3 * kMegabyte);
  rooms[0].Release();
  EXPECT_TRUE(large.Leave());
  rooms.pop_front();
  // Some that go away while they wait, first, between and last.
  for (int i = 0; i < 3; ++i) {
    std::deque<BodyRoom> gone;
    for (int n = 0; n < 3; ++n) Await(gone.emplace_back(*memory, Address("10.0.0.9")), kMegabyte);
    EXPECT_EQ(stats.bodies_waiting, 3U);
    gone[static_cast<std::size_t>(i)].Release();
    EXPECT_EQ(stats.bodies_waiting, 2U);
  }
  EXPECT_EQ(stats.bodies_waiting, 0U);
  EXPECT_EQ(woken, 2);
}

TEST_F(BodyMemoryTest, AnAddressThatHoldsItsShareIsPassedOver) {
  Make(8 * kMegabyte, 0.5);
  EXPECT_TRUE(Room("10.0.0.1").Take(3 * kMegabyte));
  BodyRoom& more = Room("10.0.0.1");
  EXPECT_FALSE(more.Take(2 * kMegabyte));
  Await(more, 2 * kMegabyte);
  BodyRoom& after = Room("10.0.0.1");
  EXPECT_FALSE(after.Take(kMegabyte));  // its own queue has an order, too
  EXPECT_TRUE(Room("10.0.0.2").Take(kMegabyte));
  // A body larger than the share is let in if it is the only one.
  EXPECT_TRUE(Room("10.0.0.3").Take(4 * kMegabyte + 1) == false);  // 5 MB: no room just now
  BodyRoom& other = Room("10.0.0.4");
  EXPECT_TRUE(other.Take(4 * kMegabyte));
  EXPECT_EQ(stats.body_memory_used, 8 * kMegabyte);
  rooms[0].Release();
  EXPECT_EQ(woken, 1);
  EXPECT_TRUE(more.Leave());
  other.Release();
  more.Release();
  EXPECT_TRUE(Room("10.0.0.3").Take(7 * kMegabyte));
}

TEST_F(BodyMemoryTest, AnAddressIsForgottenAndItsShareCountsAnew) {
  Make(4 * kMegabyte, 0.5);
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(Room("2001:db8::1").Take(2 * kMegabyte));
    BodyRoom& neighbour = Room("2001:db8::2");  // of the same subscriber
    EXPECT_FALSE(neighbour.Take(kMegabyte));
    Await(neighbour, kMegabyte);
    BodyRoom& mapped = Room("::ffff:10.0.0.1");
    EXPECT_TRUE(mapped.Take(2 * kMegabyte));
    EXPECT_FALSE(Room("10.0.0.1").Take(kMegabyte));
    rooms.clear();
    EXPECT_EQ(stats.body_memory_used, 0U);
    EXPECT_EQ(stats.bodies_waiting, 0U);
  }
}

TEST_F(BodyMemoryTest, ABodyAsLargeAsTheBudgetIsLetInAlone) {
  Make(5'000'001);  // its size class has more
  BodyRoom& whole = Room();
  EXPECT_TRUE(whole.Take(5'000'001));
  EXPECT_EQ(stats.body_memory_used, 5'000'001U);
  BodyRoom& next = Room();
  Await(next, 5'000'001);
  EXPECT_TRUE(next.waiting());
  whole.Release();
  EXPECT_TRUE(next.Leave());
}

TEST_F(BodyMemoryTest, IdleBuffersLiveOnWhatBodiesLeave) {
  Make(10 * kMegabyte);
  {
    std::vector<Buffer> models;
    for (int i = 0; i < 8; ++i) models.push_back(pool->Take(2 * kMegabyte));
  }
  EXPECT_EQ(pool->idle_bytes(), 10 * kMegabyte);
  BodyRoom& first = Room();
  EXPECT_TRUE(first.Take(2 * kMegabyte));
  EXPECT_EQ(pool->idle_bytes(), 8 * kMegabyte);  // one of them has become the body
  BodyRoom& second = Room();
  EXPECT_TRUE(second.Take(3 * kMegabyte));
  EXPECT_EQ(pool->idle_bytes(), 4 * kMegabyte);
  second.buffer().data()[0] = 1;
  { const Buffer sum = pool->Take(4 * kMegabyte); }
  EXPECT_EQ(pool->idle_bytes(), 4 * kMegabyte);  // no place for it
  second.Release();
  EXPECT_EQ(pool->idle_bytes(), 7 * kMegabyte);
  first.Release();
  EXPECT_EQ(pool->idle_bytes(), 9 * kMegabyte);
  EXPECT_TRUE(first.Take(10 * kMegabyte));
  EXPECT_EQ(pool->idle_bytes(), 0U);
}

TEST_F(BodyMemoryTest, MemoryGoesFromHandToHandWhenAllIsTaken) {
  Make(3'000'000);
  BodyRoom& first = Room();
  EXPECT_TRUE(first.Take(2'500'000));
  const std::uint8_t* const data = first.buffer().data();
  BodyRoom& second = Room();
  Await(second, 2'500'000);
  first.Release();
  EXPECT_TRUE(second.Leave());
  EXPECT_EQ(second.buffer().data(), data);
}

TEST_F(BodyMemoryTest, GrowingTakesTheDifferenceOrNothing) {
  Make(4 * kMegabyte, 0.75);
  BodyRoom& body = Room("10.0.0.1");
  EXPECT_TRUE(body.Take(4));
  std::memcpy(body.buffer().data(), "abcd", 4);
  EXPECT_TRUE(body.Grow(kMegabyte, 4));
  EXPECT_EQ(stats.body_memory_used, kMegabyte);
  EXPECT_EQ(std::memcmp(body.buffer().data(), "abcd", 4), 0);
  BodyRoom& other = Room("10.0.0.2");
  EXPECT_TRUE(other.Take(kMegabyte));
  EXPECT_FALSE(body.Grow(4 * kMegabyte, 4));
  EXPECT_EQ(stats.body_memory_used, 2 * kMegabyte);
  EXPECT_TRUE(body.Grow(2 * kMegabyte, 4));
  BodyRoom& beside = Room("10.0.0.1");
  EXPECT_TRUE(beside.Take(kMegabyte));
  EXPECT_FALSE(beside.Grow(2 * kMegabyte, 0));  // beyond its address's share, and there is no room
  other.Release();
  EXPECT_FALSE(beside.Grow(2 * kMegabyte, 0));  // beyond its address's share
  beside.Release();
  EXPECT_TRUE(body.Grow(4 * kMegabyte, 4));  // alone it may
  EXPECT_EQ(std::memcmp(body.buffer().data(), "abcd", 4), 0);
  body.Release();
  EXPECT_EQ(stats.body_memory_used, 0U);
}

TEST_F(BodyMemoryTest, AnEndOfWaitingIsForGood) {
  Make(kMegabyte, 0.5);
  EXPECT_TRUE(Room("10.0.0.1").Take(kMegabyte));
  BodyRoom& first = Room("10.0.0.1");
  BodyRoom& second = Room("10.0.0.2");
  Await(first, kMegabyte);
  Await(second, kMegabyte);
  memory->EndWaiting();
  EXPECT_EQ(woken, 2);
  EXPECT_FALSE(first.Leave());
  EXPECT_FALSE(second.Leave());
  Await(first, kMegabyte);
  EXPECT_FALSE(first.waiting());
  EXPECT_FALSE(first.Leave());
  rooms[0].Release();
  EXPECT_TRUE(first.Take(kMegabyte));  // what needs no waiting goes on
}

TEST_F(BodyMemoryTest, KeepsTheBudgetUnderManyThreads) {
  constexpr std::uint64_t kBudget = 16 * kMegabyte;
  Make(kBudget, 0.5);
  std::atomic<int> served{0};
  std::atomic<std::uint64_t> most{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      std::mt19937 random(static_cast<std::uint32_t>(t));
      const AddressKey address = Address("10.0.0." + std::to_string(t % 3));
      for (int i = 0; i < 1500; ++i) {
        const std::size_t bytes = 20'000 + random() % (5 * kMegabyte);
        std::atomic<bool> woken_up{false};
        BodyRoom room(*memory, address);
        bool held = room.Take(bytes);
        if (!held) {
          room.Await(bytes, [&] { woken_up = true; });
          for (int wait = 0; wait < 200 && room.waiting(); ++wait) std::this_thread::yield();
          held = room.Leave();
        }
        if (held) {
          room.buffer().data()[bytes - 1] = 1;
          if (i % 7 == 0) static_cast<void>(room.Grow(bytes * 2, bytes));
          ++served;
        }
        const std::uint64_t used = stats.body_memory_used;
        if (used > most) most = used;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_LE(most, kBudget);
  EXPECT_GT(served, 1000);
  EXPECT_EQ(stats.body_memory_used, 0U);
  EXPECT_EQ(stats.bodies_waiting, 0U);
  EXPECT_LE(pool->idle_bytes(), kBudget);
  BodyRoom all(*memory, Address("10.0.0.1"));
  EXPECT_TRUE(all.Take(kBudget));
}

TEST(BodySample, KeepsTheFirstAndTheLastBytesThatDoNotOverlap) {
  constexpr std::size_t kKept = OverloadedRequest::kSampleBytes;
  for (const std::size_t size : {std::size_t{0}, std::size_t{1}, kKept, kKept + 1, 2 * kKept - 1, 2 * kKept,
                                 2 * kKept + 1, 100'000UL}) {
    std::vector<std::uint8_t> body(size);
    for (std::size_t i = 0; i < size; ++i) body[i] = static_cast<std::uint8_t>(i * 7 + i / 251);
    for (const std::size_t piece : {std::size_t{1}, std::size_t{1000}, kKept, std::size_t{100'000}}) {
      BodySample sample;
      for (std::size_t at = 0; at < size; at += piece) {
        sample.Add(std::span(body).subspan(at, std::min(piece, size - at)));
      }
      EXPECT_EQ(sample.bytes(), size);
      const std::size_t first = std::min(size, kKept), last = std::min(size - first, kKept);
      ASSERT_EQ(sample.first().size(), first);
      ASSERT_EQ(sample.last().size(), last);
      EXPECT_TRUE(std::equal(sample.first().begin(), sample.first().end(), body.begin()));
      EXPECT_TRUE(std::equal(sample.last().rbegin(), sample.last().rend(), body.rbegin()));
    }
  }
}

TEST(TransferClock, GivesTheEarliestOfItsDeadlines) {
  HttpOptions options;
  options.body_stall_timeout = milliseconds(30'000);
  options.minimum_rate = 1000;
  options.transfer_timeout = milliseconds(200'000);
  const SteadyClock::time_point start{};
  const TransferClock clock(options, start);
  EXPECT_EQ(clock.Next(start, 100'000), start + milliseconds(30'000));
  EXPECT_EQ(clock.Next(start + milliseconds(90'000), 100'000), start + milliseconds(120'000));
  EXPECT_EQ(clock.Next(start + milliseconds(125'000), 100'000), start + milliseconds(130'000));
  EXPECT_EQ(clock.Next(start + milliseconds(199'000), UINT64_MAX), start + milliseconds(200'000));
  options.minimum_rate = 0;
  options.transfer_timeout = milliseconds::max();
  const auto late = start + milliseconds(3'000'000);
  EXPECT_EQ(TransferClock(options, start).Next(late, 0), late + milliseconds(30'000));
}

}  // namespace
}  // namespace msfl::net
