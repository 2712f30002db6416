#include "rounds/returning_devices.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

namespace msfl::rounds {
namespace {

TEST(ReturningDevices, OneThatCameBackAsItWasTold) {
  ReturningDevices devices;
  EXPECT_FALSE(devices.HasReturned("a", 3, 1000));
  devices.Note("a", 3, 1000);
  EXPECT_FALSE(devices.HasReturned("a", 3, 999)) << "too soon";
  EXPECT_TRUE(devices.HasReturned("a", 3, 1000));
  EXPECT_TRUE(devices.HasReturned("a", 3, 5000));
  EXPECT_FALSE(devices.HasReturned("a", 4, 5000)) << "in another iteration it begins anew";
  EXPECT_FALSE(devices.HasReturned("b", 3, 5000));
  devices.Note("a", 3, 9000);
  EXPECT_FALSE(devices.HasReturned("a", 3, 5000)) << "the newest word counts";
}

TEST(ReturningDevices, TheNewestAreRemembered) {
  ReturningDevices devices(10);
  for (int i = 0; i < 1000; ++i) {
    devices.Note(std::to_string(i), 1, 0);
    for (int k = std::max(0, i - 9); k <= i; ++k) {
      EXPECT_TRUE(devices.HasReturned(std::to_string(k), 1, 0)) << k << " after " << i;
    }
    EXPECT_FALSE(devices.HasReturned(std::to_string(i - 20), 1, 0));
  }
}

}  // namespace
}  // namespace msfl::rounds
