#include "net/address_shares.h"

#include <gtest/gtest.h>

#include <boost/asio/ip/address.hpp>
#include <thread>
#include <vector>

namespace msfl::net {
namespace {

AddressKey Key(const char* text) { return AddressKey(boost::asio::ip::make_address(text)); }

TEST(AddressKeys, OneForASubscriber) {
  EXPECT_EQ(Key("192.0.2.1"), Key("192.0.2.1"));
  EXPECT_NE(Key("192.0.2.1"), Key("192.0.2.2"));
  EXPECT_EQ(Key("192.0.2.1"), Key("::ffff:192.0.2.1"));
  EXPECT_NE(Key("::ffff:192.0.2.1"), Key("::ffff:192.0.2.2"));
  EXPECT_EQ(Key("2001:db8:1:2::1"), Key("2001:db8:1:2:ffff:ffff:ffff:ffff"));
  EXPECT_NE(Key("2001:db8:1:2::1"), Key("2001:db8:1:3::1"));
  EXPECT_NE(Key("::1"), Key("127.0.0.1"));
}

TEST(AddressSharesTest, CountsWhatIsHeld) {
  const auto shares = std::make_shared<AddressShares>(2);
  auto first = shares->Take(Key("192.0.2.1"));
  auto second = shares->Take(Key("192.0.2.1"));
  auto other = shares->Take(Key("192.0.2.2"));
  ASSERT_TRUE(first && second && other);
  EXPECT_FALSE(shares->Take(Key("192.0.2.1")));
  EXPECT_EQ(shares->held(), 3U);
  EXPECT_EQ(shares->addresses(), 2U);

  AddressShares::Hold moved = std::move(first);
  EXPECT_EQ(shares->held(), 3U);
  moved = {};
  EXPECT_EQ(shares->held(), 2U);
  EXPECT_TRUE(shares->Take(Key("192.0.2.1")));  // and given back
  moved = std::move(second);
  other = {};
  EXPECT_EQ(shares->held(), 1U);
  EXPECT_EQ(shares->addresses(), 1U);
}

TEST(AddressSharesTest, AnAddressThatHoldsNothingTakesNoMemory) {
  const auto shares = std::make_shared<AddressShares>(1);
  for (unsigned i = 0; i < 10'000; ++i) {
    EXPECT_TRUE(shares->Take(AddressKey(boost::asio::ip::address_v4(i))));
  }
  EXPECT_EQ(shares->addresses(), 0U);
}

TEST(AddressSharesTest, AHoldOutlivesTheLedger) {
  auto shares = std::make_shared<AddressShares>(1);
  auto hold = shares->Take(Key("::1"));
  shares.reset();
  hold = {};
}

TEST(AddressSharesTest, FromManyThreads) {
  const auto shares = std::make_shared<AddressShares>(3);
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < 4; ++t) {
    threads.emplace_back([&shares] {
      for (unsigned i = 0; i < 5000; ++i) {
        auto first = shares->Take(AddressKey(boost::asio::ip::address_v4(i % 3)));
        auto second = shares->Take(AddressKey(boost::asio::ip::address_v4(i % 2)));
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(shares->held(), 0U);
  EXPECT_EQ(shares->addresses(), 0U);
}

}  // namespace
}  // namespace msfl::net
