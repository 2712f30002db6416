// Windows that end with enough: JobStore::Expire with a minimum, and what the other calls do from then on.
#include <algorithm>
#include <mutex>

#include "cache/job_keys.h"
#include "cache/job_scripts.h"
#include "cache/store_fixture.h"

namespace msfl::cache {
namespace {

constexpr std::uint64_t kStart = 4, kUpdates = 3;

class Timeouts : public StoreFixture {
 protected:
  Timeouts() { Begin(1); }

  // A fresh record with this minimum.
  void Begin(std::uint64_t minimum) {
    Call({"FLUSHALL"}).value();
    Thresholds thresholds;
    thresholds.start_fl_job = kStart;
    thresholds.update_model = kUpdates;
    thresholds.minimum = minimum;
    store->SetRules(DefaultOptions().windows, thresholds, 3);
    Open();
    node = Register("a");
  }
  static std::string Device(std::uint64_t number) { return "d" + std::to_string(number); }
  // The first `counted` of the devices that have joined are counted, the next `leased` are leased.
  void Fill(std::uint64_t joined, std::uint64_t leased, std::uint64_t counted) {
    for (std::uint64_t i = 0; i < joined; ++i) Join(Device(i));
    for (std::uint64_t i = 0; i < counted + leased; ++i) {
      ASSERT_EQ(Reserve(node, Device(i)).verdict, ReserveVerdict::kReserved);
    }
    for (std::uint64_t i = 0; i < counted; ++i) Commit(node, Device(i));
  }
  void SetDeadline(const std::string& name, std::int64_t in_ms = -1'000) {
    const auto now = Call({"TIME"}).value();
    const std::int64_t ms = std::stoll(now.array[0].text) * 1000 + std::stoll(now.array[1].text) / 1000;
    Call({"HSET", Key("i_1:1:round"), name, std::to_string(ms + in_ms)}).value();
  }
  ExpireAnswer Expire() { return Wait(store->Expire(At(1))); }
  bool HasField(const std::string& name) { return Rows().round.contains(name); }

  Node node;
};

struct Window {
  const char *field, *name;
};
constexpr Window kWindows[] = {
    {"start_by", "Round startFLJob"}, {"update_by", "Round updateModel"}, {"global_by", "Global timer"}};

TEST_F(Timeouts, EveryStateOfASmallRound) {
  for (const auto& [field, name] : kWindows) {
    for (std::uint64_t minimum = 0; minimum <= kUpdates; ++minimum) {
      for (std::uint64_t joined = 1; joined <= kStart; ++joined) {
        for (std::uint64_t counted = 0; counted <= std::min(joined, kUpdates); ++counted) {
          for (std::uint64_t leased = 0; counted + leased <= std::min(joined, kUpdates); ++leased) {
            Begin(minimum);
            Fill(joined, leased, counted);
            if (!HasField(field)) continue;  // the round is full, or has not begun
            SCOPED_TRACE(std::string(field) + " minimum=" + std::to_string(minimum) +
                         " joined=" + std::to_string(joined) + " leased=" + std::to_string(leased) +
                         " counted=" + std::to_string(counted));
            SetDeadline(field);
            const bool of_start = field == kWindows[0].field;
            const std::uint64_t enough = of_start ? joined : counted + leased;
            const ExpireAnswer answer = Expire();
            if (counted == kUpdates) {  // about to be aggregated
              EXPECT_FALSE(answer.expired);
              EXPECT_FALSE(answer.deadline_in_ms);
              EXPECT_EQ(Observe().status.current, At(1));
              EXPECT_FALSE(Observe().target);
              continue;
            }
            if (minimum == 0 || enough < minimum) {
              EXPECT_TRUE(answer.expired);
              EXPECT_EQ(
                  answer.status.last_reason,
                  std::string(name) + " timeout! This iteration is invalid. Proceed to next iteration.");
              continue;
            }
            EXPECT_FALSE(answer.expired);
            const std::uint64_t target = of_start ? std::min(joined, kUpdates) : counted + leased;
            Snapshot seen = Observe();
            ASSERT_TRUE(seen.target);
            EXPECT_EQ(*seen.target, target);
            EXPECT_EQ(seen.timed_out, name);
            EXPECT_EQ(Join("late").verdict, JoinVerdict::kThresholdReached);
            EXPECT_EQ(Join(Device(0)).verdict, JoinVerdict::kAccepted);  // sent again
            if (counted < target && !of_start) {
              ASSERT_TRUE(answer.deadline_in_ms);
              EXPECT_EQ(*answer.deadline_in_ms, 5'000);
            }
            if (counted == target) {
              EXPECT_FALSE(answer.deadline_in_ms);
            }
            EXPECT_FALSE(Expire().expired);
            // Who has a lease is counted; others still find a place only after startFLJob's window.
            std::uint64_t now_counted = counted;
            for (std::uint64_t i = counted; i < joined; ++i) {
              const bool has_lease = i < counted + leased,
                         may = has_lease || (of_start && now_counted < target);
              EXPECT_EQ(Reserve(node, Device(i)).verdict,
                        may ? ReserveVerdict::kReserved : ReserveVerdict::kThresholdReached)
                  << i;
              if (!may) continue;
              const CommitAnswer committed = Commit(node, Device(i));
              EXPECT_EQ(committed.verdict, CommitVerdict::kCounted);
              ++now_counted;
              EXPECT_EQ(committed.counted, now_counted);
              EXPECT_EQ(committed.last, now_counted == target);
            }
            seen = Observe();
            EXPECT_EQ(seen.counted, *seen.target);
            EXPECT_EQ(seen.leased, 0U);
            for (const auto& window : kWindows) SetDeadline(window.field);
            EXPECT_FALSE(Expire().expired);  // complete: nothing can fail it but a lost sum
          }
        }
      }
    }
  }
}

TEST_F(Timeouts, TheLastUpdatesHaveAShortTime) {
  Fill(3, 1, 1);
  SetDeadline("update_by");
  EXPECT_FALSE(Expire().expired);
  SetDeadline("update_by");
  EXPECT_EQ(Reserve(node, "d2").verdict, ReserveVerdict::kThresholdReached);
  const ExpireAnswer answer = Expire();
  EXPECT_TRUE(answer.expired);
  EXPECT_EQ(answer.status.last_reason,
            "Round updateModel timeout! This iteration is invalid. Proceed to next iteration.");
}

TEST_F(Timeouts, AfterTheStartWindowTheOthersStillCount) {
  Begin(1);
  Fill(3, 0, 2);
  SetDeadline("start_by");
  EXPECT_FALSE(Expire().expired);
  EXPECT_EQ(Observe().target, 3U);
  SetDeadline("update_by");
  EXPECT_FALSE(Expire().expired);
  EXPECT_EQ(Observe().target, 2U);
  EXPECT_EQ(Observe().timed_out, "Round updateModel");
  EXPECT_EQ(Reserve(node, "d2").verdict, ReserveVerdict::kThresholdReached);
}

TEST_F(Timeouts, WindowsThatEndedTogetherAreDecidedTogether) {
  Begin(2);
  Fill(3, 1, 1);
  SetDeadline("start_by", -3'000);
  SetDeadline("update_by", -2'000);
  const ExpireAnswer answer = Expire();
  EXPECT_FALSE(answer.expired);
  EXPECT_EQ(Observe().target, 2U);
  EXPECT_TRUE(HasField("closed"));
  Begin(2);
  Fill(3, 0, 1);
  SetDeadline("start_by", -3'000);
  SetDeadline("update_by", -2'000);
  const ExpireAnswer too_few = Expire();
  EXPECT_TRUE(too_few.expired);
  EXPECT_EQ(too_few.status.last_reason,
            "Round updateModel timeout! This iteration is invalid. Proceed to next iteration.");
}

TEST_F(Timeouts, ALeaseThatIsGivenBackIsNoLongerWaitedFor) {
  const Node other = Register("b");
  for (int i = 0; i < 3; ++i) Join(Device(i));
  Reserve(node, "d0");
  Reserve(node, "d1");
  Commit(node, "d0");
  Reserve(other, "d2", "u2");
  SetDeadline("global_by");
  EXPECT_FALSE(Expire().expired);
  EXPECT_EQ(Observe().target, 3U);
  Wait(store->Unregister(other));
  EXPECT_EQ(Observe().target, 2U);
  EXPECT_GT(*Observe().deadline_in_ms, 0);
  EXPECT_EQ(Reserve(node, "d2").verdict, ReserveVerdict::kThresholdReached);
  EXPECT_TRUE(Commit(node, "d1").last);
}

TEST_F(Timeouts, AWithdrawnLeaseMayCompleteTheIteration) {
  Fill(3, 1, 2);
  SetDeadline("global_by");
  Expire();
  Wait(store->Withdraw(At(1), "d2", "u-d2"));
  const Snapshot seen = Observe();
  EXPECT_EQ(seen.target, 2U);
  EXPECT_EQ(seen.counted, 2U);
  EXPECT_FALSE(HasField("update_by"));
  EXPECT_FALSE(Expire().expired);
}

TEST_F(Timeouts, TooFewThatAreLeftFail) {
  Begin(2);
  Fill(3, 1, 1);
  SetDeadline("global_by");
  EXPECT_FALSE(Expire().expired);
  Wait(store->Withdraw(At(1), "d1", "u-d1"));
  EXPECT_LE(*Observe().deadline_in_ms, 0);
  EXPECT_GT(*Observe().target, Observe().counted);
  EXPECT_EQ(Reserve(node, "d2").verdict, ReserveVerdict::kThresholdReached);
  const ExpireAnswer answer = Expire();
  EXPECT_TRUE(answer.expired);
  EXPECT_EQ(answer.status.last_reason,
            "Global timer timeout! This iteration is invalid. Proceed to next iteration.");
}

TEST_F(Timeouts, AWithdrawnDeviceIsNotWaitedFor) {
  Begin(2);
  Fill(3, 1, 1);
  SetDeadline("start_by");
  Expire();
  EXPECT_EQ(Observe().target, 3U);
  Wait(store->Withdraw(At(1), "d2", "j-d2"));
  EXPECT_EQ(Observe().target, 2U);
  EXPECT_FALSE(HasField("start_by"));   // it does not open again
  EXPECT_FALSE(HasField("update_by"));  // full: only the global window is left
  EXPECT_EQ(Join("late").verdict, JoinVerdict::kThresholdReached);
  EXPECT_TRUE(Commit(node, "d1").last);

  Begin(2);
  Fill(2, 0, 0);
  SetDeadline("start_by");
  EXPECT_FALSE(Expire().expired);
  Wait(store->Withdraw(At(1), "d1", "j-d1"));
  EXPECT_LE(*Observe().deadline_in_ms, 0);
  EXPECT_EQ(Reserve(node, "d0").verdict, ReserveVerdict::kThresholdReached);
  const ExpireAnswer answer = Expire();
  EXPECT_TRUE(answer.expired);
  EXPECT_EQ(answer.status.last_reason,
            "Round startFLJob timeout! This iteration is invalid. Proceed to next iteration.");
}

TEST_F(Timeouts, AfterTheStartWindowAFreedPlaceOpensTheRoundAgain) {
  Fill(2, 2, 0);
  SetDeadline("start_by");
  Expire();
  EXPECT_EQ(Observe().target, 2U);
  EXPECT_FALSE(HasField("update_by"));
  Wait(store->Withdraw(At(1), "d1", "u-d1"));
  EXPECT_EQ(Observe().target, 2U);
  EXPECT_TRUE(HasField("update_by"));
  EXPECT_EQ(Reserve(node, "d1", "again").verdict, ReserveVerdict::kReserved);
  EXPECT_FALSE(HasField("update_by"));
}

TEST_F(Timeouts, AContributorThatIsLostIsTold) {
  Fill(3, 1, 1);
  SetDeadline("global_by");
  Expire();
  Wait(store->Unregister(node));
  const Snapshot seen = Observe();
  EXPECT_TRUE(seen.contributor_lost);
  EXPECT_EQ(seen.target, 1U);
}

TEST_F(Timeouts, SentTwiceIsDecidedOnce) {
  Fill(3, 1, 1);
  SetDeadline("update_by");
  const JobKeys job("lenet {1}");
  const IterationKeys rows(job, At(1));
  const std::vector<std::string_view> keys{job.instance, rows.status, rows.round, rows.devices, rows.updates};
  const std::vector<std::string_view> arguments{"i_1", "1", "nonce", "3", "3", "1", "5000"};
  const RedisValue once = Wait(client->Run(Scripts().expire, keys, arguments));
  EXPECT_EQ(once.array.at(7).integer, 0);
  EXPECT_EQ(once.array.at(8).integer, 5'000);
  Commit(node, "d1");
  const RedisValue twice = Wait(client->Run(Scripts().expire, keys, arguments));
  EXPECT_EQ(twice.array.at(7).integer, 0);
  EXPECT_EQ(Observe().target, 2U);
  EXPECT_EQ(Observe().counted, 2U);
}

TEST_F(Timeouts, ServersAreToldAtOnce) {
  std::mutex mutex;
  std::vector<JobEvent::Kind> seen;
  bool watching = false;
  store->Watch(
      [&](const JobEvent& event) {
        const std::lock_guard lock(mutex);
        seen.push_back(event.kind);
      },
      [&] {
        const std::lock_guard lock(mutex);
        watching = true;
      });
  ASSERT_TRUE(Eventually([&] {
    const std::lock_guard lock(mutex);
    return watching;
  }));
  Fill(2, 0, 1);
  SetDeadline("start_by");
  Expire();
  SetDeadline("global_by");
  Expire();
  using enum JobEvent::Kind;
  const std::vector<JobEvent::Kind> expected{kDeadline,  kDeadline,   kStartFull,
                                             kStartFull, kUpdateFull, kCountedFull};
  EXPECT_TRUE(Eventually([&] {
    const std::lock_guard lock(mutex);
    return seen.size() >= expected.size();
  }));
  client->Stop();
  EXPECT_EQ(seen, expected);
}

// Devices race with the end of the window: whoever was told that its update counts is in the target, and
// nobody else.
TEST_F(Timeouts, UpdatesRaceWithTheEnd) {
  constexpr std::uint64_t kDevices = 40;
  for (int round = 0; round < 30; ++round) {
    Begin(1);
    Thresholds thresholds;
    thresholds.start_fl_job = thresholds.update_model = kDevices + 1;
    thresholds.minimum = 1;
    store->SetRules(DefaultOptions().windows, thresholds, 3);
    Fill(kDevices, 0, 1);
    std::vector<std::string> ids(kDevices), nonces(kDevices);
    for (std::uint64_t i = 0; i < kDevices; ++i) ids[i] = Device(i), nonces[i] = "u-" + Device(i);
    SetDeadline("update_by");
    Many<bool> uploads;
    std::atomic<int> lasts{0};
    const auto upload = [](JobStore& the_store, const Node& on, std::string_view id, std::string_view nonce,
                           std::atomic<int>& last_ones) -> Task<bool> {
      ReserveRequest request;
      request.iteration = At(1);
      request.claimed_iteration = 1;
      request.fl_id = id;
      request.nonce = nonce;
      const auto reserved = co_await the_store.Reserve(request, on);
      if (!reserved || reserved->verdict != ReserveVerdict::kReserved) co_return false;
      const IterationKey key = At(1);
      const auto committed = co_await the_store.Commit(key, id, nonce, on, "x");
      if (committed && committed->last) ++last_ones;
      co_return committed && committed->verdict == CommitVerdict::kCounted;
    };
    Many<Result<ExpireAnswer>> ends;
    for (std::uint64_t i = 1; i < kDevices; ++i) {
      uploads.Start(loops, i, upload(*store, node, ids[i], nonces[i], lasts));
      if (i == static_cast<std::uint64_t>(round)) ends.Start(loops, i, store->Expire(At(1)));
    }
    const auto counted = uploads.Wait();
    for (const auto& end : ends.Wait()) {
      ASSERT_TRUE(end);
      EXPECT_FALSE(end->expired);
    }
    if (round == 0) {
      EXPECT_FALSE(Expire().expired);
    }
    const Snapshot seen = Observe();
    ASSERT_TRUE(seen.target);
    EXPECT_EQ(seen.counted,
              1U + static_cast<std::uint64_t>(std::count(counted.begin(), counted.end(), true)));
    EXPECT_EQ(seen.counted, *seen.target);
    EXPECT_EQ(seen.leased, 0U);
    EXPECT_LE(lasts, 1);  // none when the end found everything counted
  }
}

}  // namespace
}  // namespace msfl::cache
