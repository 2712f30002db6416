#include "rounds/returning_devices.h"

#include <gtest/gtest.h>

#include <limits>
#include <string>
#include <thread>
#include <vector>

namespace msfl::rounds {
namespace {

constexpr std::int64_t kStart = 1'800'000'000'000;  // Unix ms
constexpr std::int64_t kUnit = 64;                  // told apart

DeviceHash Device(int number) { return HashDevice("device " + std::to_string(number)); }

int Remembered(const ReturningDevices& devices, int count, std::uint64_t iteration, std::int64_t now_ms) {
  int remembered = 0;
  for (int i = 0; i < count; ++i)
    remembered += devices.HasReturned(Device(i), iteration, now_ms) == true ? 1 : 0;
  return remembered;
}

TEST(ReturningDevices, OneThatCameBackAsItWasTold) {
  ReturningDevices devices;
  const DeviceHash a = HashDevice("a"), b = HashDevice("b");
  const std::int64_t when = kStart + 1000, later = kStart + 5000;
  EXPECT_NE(devices.HasReturned(a, 3, when), true);
  devices.Note(a, 3, when);
  EXPECT_NE(devices.HasReturned(a, 3, when - kUnit), true) << "too soon";
  EXPECT_EQ(devices.HasReturned(a, 3, when), true);
  EXPECT_EQ(devices.HasReturned(a, 3, later), true);
  EXPECT_NE(devices.HasReturned(a, 4, later), true) << "in another iteration it begins anew";
  EXPECT_NE(devices.HasReturned(b, 3, later), true);
  devices.Note(a, 3, kStart + 9000);
  EXPECT_NE(devices.HasReturned(a, 3, later), true) << "the newest word counts";
}

TEST(ReturningDevices, TimesThatDoNotFit) {
  ReturningDevices devices;
  const DeviceHash a = HashDevice("a");
  devices.Note(a, 1, -5);
  EXPECT_EQ(devices.HasReturned(a, 1, 0), true);
  devices.Note(a, 1, std::numeric_limits<std::int64_t>::max());
  EXPECT_NE(devices.HasReturned(a, 1, 1'800'000'000'000), true);
  EXPECT_NE(devices.HasReturned(a, 2, 1'800'000'000'000), true);
}

// An empty place belongs to nobody, whatever its hash.
TEST(ReturningDevices, WhoWasNeverToldAnythingHasNotReturned) {
  const ReturningDevices devices;
  EXPECT_NE(devices.HasReturned(0, 0, kStart), true) << "all bits of its tag are 0";
  for (DeviceHash device = 0; device < 1 << 22; ++device) {
    ASSERT_NE(devices.HasReturned(device, 1, kStart), true) << device;
  }
}

TEST(ReturningDevices, ACrowdIsRemembered) {
  ReturningDevices devices;
  constexpr int kCrowd = 1 << 16;
  for (int i = 0; i < kCrowd; ++i) devices.Note(Device(i), 1, kStart);
  EXPECT_EQ(Remembered(devices, kCrowd, 1, kStart), kCrowd);
  EXPECT_EQ(Remembered(devices, kCrowd, 1, kStart - kUnit), 0);
  EXPECT_LE(Remembered(devices, kCrowd, 2, kStart), 1);
}

TEST(ReturningDevices, WhoseTimeCameFirstIsForgottenFirst) {
  ReturningDevices devices(1);
  for (int i = 0; i < 1000; ++i) devices.Note(Device(i), 1, kStart + i * kUnit);
  for (int i = 992; i < 1000; ++i)
    EXPECT_EQ(devices.HasReturned(Device(i), 1, kStart + 1000 * kUnit), true) << i;
  EXPECT_EQ(Remembered(devices, 1000, 1, kStart + 1000 * kUnit), 8);
}

TEST(ReturningDevices, AnIterationDrivesOutThoseBefore) {
  ReturningDevices devices(1);
  for (std::uint64_t iteration = 1; iteration < 1000; ++iteration) {
    const std::int64_t now = kStart + static_cast<std::int64_t>(iteration) * kUnit;
    for (int i = 0; i < 8; ++i) devices.Note(Device(i), iteration, now);
    EXPECT_EQ(Remembered(devices, 8, iteration, now), 8);
    EXPECT_EQ(Remembered(devices, 8, iteration - 1, now), 0);
  }
}

TEST(ReturningDevices, FromSeveralThreadsAtOnce) {
  ReturningDevices devices(1 << 12);
  constexpr int kThreads = 4, kEach = 1000;
  std::vector<std::thread> threads;
  for (int thread = 0; thread < kThreads; ++thread) {
    threads.emplace_back([&devices, thread] {
      for (int i = thread * kEach; i < (thread + 1) * kEach; ++i) {
        devices.Note(Device(i), 1, kStart);
        EXPECT_EQ(devices.HasReturned(Device(i), 1, kStart), true);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(Remembered(devices, kThreads * kEach, 1, kStart), kThreads * kEach);
}

}  // namespace
}  // namespace msfl::rounds
