#include "cache/job_keys.h"
#include "cache/job_scripts.h"
#include "cache/store_fixture.h"

namespace msfl::cache {
namespace {

using enum InstanceState;

class Record : public StoreFixture {
 protected:
  AdvanceAnswer Advance(std::uint64_t from, bool valid = true, const std::string& reason = "because") {
    return Wait(store->Advance(At(from), valid, reason, ""));
  }
  ExpireAnswer Expire(std::uint64_t from = 1) { return Wait(store->Expire(At(from))); }
  Status SetState(InstanceState state, std::uint64_t number = 1) {
    return Wait(store->SetState(At(number), state)).status;
  }
  void SetDeadline(const std::string& name, std::int64_t in_ms, int number = 1) {
    const auto now = Call({"TIME"}).value();
    const std::int64_t ms = std::stoll(now.array[0].text) * 1000 + std::stoll(now.array[1].text) / 1000;
    Call({"HSET", Key("i_1:" + std::to_string(number) + ":round"), name, std::to_string(ms + in_ms)}).value();
  }
};

TEST_F(Record, OpenCreatesOrAdopts) {
  const auto created = Open(5);
  EXPECT_TRUE(created.created);
  EXPECT_EQ(created.status.current, At(5));
  EXPECT_EQ(created.status.state, kRunning);
  EXPECT_EQ(created.hyper.at("start_fl_job_threshold"), "3");

  Status other = StatusAt(1);
  other.current.instance = "i_2";
  std::map<std::string, std::string> hyper;
  hyper["start_fl_job_threshold"] = "9";
  const auto second_store = MakeStore();
  const auto adopted = Wait(second_store->Open(other, hyper));
  EXPECT_FALSE(adopted.created);
  EXPECT_EQ(adopted.status.current, At(5));
  EXPECT_EQ(adopted.hyper.at("start_fl_job_threshold"), "3");
  EXPECT_FALSE(Open(5).created);
  EXPECT_EQ(Rows(5).status.at("iteration"), "5");
}

TEST_F(Record, OpenWritesTheWholeCandidate) {
  Status candidate = StatusAt(7);
  candidate.state = kFinish;
  candidate.last_valid = false;
  candidate.last_reason = "a reason; with 'quotes'";
  const std::map<std::string, std::string> none;
  const auto opened = Wait(store->Open(candidate, none));
  EXPECT_EQ(opened.status.state, kFinish);
  EXPECT_FALSE(opened.status.last_valid);
  EXPECT_EQ(opened.status.last_reason, candidate.last_reason);
  EXPECT_TRUE(opened.hyper.empty());
}

TEST_F(Record, FirstModelDescriptionHolds) {
  EXPECT_EQ(Wait(store->AgreeOnModel("")), "");  // asks only
  const std::string first("\0binary\xff\r\n", 10);
  EXPECT_EQ(Wait(store->AgreeOnModel(first)), first);
  EXPECT_EQ(Wait(store->AgreeOnModel("second")), first);
  EXPECT_EQ(Wait(store->AgreeOnModel("")), first);
  EXPECT_GT(Call({"PTTL", Key("model")}).value().integer, 0);
}

TEST_F(Record, AdvanceIsCompareAndSet) {
  Open();
  const auto moved = Advance(1, false, "it failed");
  EXPECT_EQ(moved.verdict, AdvanceVerdict::kMovedByUs);
  EXPECT_EQ(moved.status.current, At(2));
  EXPECT_FALSE(moved.status.last_valid);
  EXPECT_EQ(moved.status.last_reason, "it failed");
  const auto late = Advance(1, true, "too late");
  EXPECT_EQ(late.verdict, AdvanceVerdict::kMoved);
  EXPECT_EQ(late.status.current, At(2));
  EXPECT_FALSE(late.status.last_valid);
  EXPECT_EQ(Advance(3).verdict, AdvanceVerdict::kMoved);
  EXPECT_EQ(Advance(2).status.state, kRunning);
  const auto finished = Advance(3);
  EXPECT_EQ(finished.verdict, AdvanceVerdict::kMovedByUs);
  EXPECT_EQ(finished.status.current, At(4));
  EXPECT_EQ(finished.status.state, kFinish);
  EXPECT_EQ(Advance(4).verdict, AdvanceVerdict::kMoved);
}

TEST_F(Record, AdvanceFollowsAnotherInstance) {
  Open();
  Call({"HSET", Key("i_2:status"), "iteration", "1", "state", "0", "valid", "1", "reason", ""}).value();
  Call({"SET", Key("instance"), "i_2"}).value();
  const auto moved = Advance(1);
  EXPECT_EQ(moved.verdict, AdvanceVerdict::kMoved);
  EXPECT_EQ(moved.status.current, At(1, "i_2"));
  EXPECT_EQ(Expire(1).status.current, At(1, "i_2"));
  EXPECT_EQ(Observe(9).status.current, At(1, "i_2"));
  EXPECT_EQ(SetState(kStop).current, At(1, "i_2"));
}

TEST_F(Record, GoneRecordIsAnError) {
  const auto advanced = Sync(loops, store->Advance(At(1), true, "x", ""));
  ASSERT_FALSE(advanced);
  EXPECT_EQ(advanced.error().code, Errc::kDisagreement);
  EXPECT_FALSE(Sync(loops, store->Expire(At(1))));
  EXPECT_FALSE(Sync(loops, store->SetState(At(1), kStop)));
  EXPECT_FALSE(Observe().known);
}

TEST_F(Record, ExpireWithItsReason) {
  struct Case {
    const char *field, *reason;
  };
  const Case cases[] = {
      {"start_by", "Round startFLJob timeout! This iteration is invalid. Proceed to next iteration."},
      {"update_by", "Round updateModel timeout! This iteration is invalid. Proceed to next iteration."},
      {"global_by", "Global timer timeout! This iteration is invalid. Proceed to next iteration."}};
  Open();
  EXPECT_FALSE(Expire().expired);
  EXPECT_FALSE(Expire().deadline_in_ms);
  Join("d1");
  const auto running = Expire();
  EXPECT_FALSE(running.expired);
  ASSERT_TRUE(running.deadline_in_ms);
  EXPECT_LE(*running.deadline_in_ms, 100'000);
  int number = 1;
  for (const Case& c : cases) {
    SetDeadline("global_by", -1'000, number);
    SetDeadline(c.field, -60'000, number);
    const auto seen = Observe(static_cast<std::uint64_t>(number));
    ASSERT_TRUE(seen.deadline_in_ms);
    EXPECT_LT(*seen.deadline_in_ms, 0);
    const auto expired = Expire(static_cast<std::uint64_t>(number));
    EXPECT_TRUE(expired.expired);
    EXPECT_EQ(expired.status.last_reason, c.reason);
    EXPECT_FALSE(expired.status.last_valid);
    ++number;
    EXPECT_EQ(expired.status.current.number, static_cast<std::uint64_t>(number));
    EXPECT_FALSE(Expire(static_cast<std::uint64_t>(number - 1)).expired);
  }
  EXPECT_EQ(Observe().status.state, kFinish);
}

TEST_F(Record, ShortWindowsExpireByRedisClock) {
  Windows windows;
  windows.start_fl_job = 1;
  windows.update_model = 100'000;
  windows.global_iteration = 100'000;
  store->SetRules(windows, DefaultOptions().thresholds, 3);
  Open();
  Join("d1");
  ASSERT_TRUE(Eventually([&] { return Expire().expired; }));
  EXPECT_EQ(Join("d2").verdict, JoinVerdict::kMoved);
  EXPECT_EQ(Join("d1", "", true, 2).verdict, JoinVerdict::kAccepted);
}

TEST_F(Record, ObserveFollowsTheIteration) {
  Open();
  Join("d1");
  Advance(1);
  Join("d1", "", true, 2);
  Join("d2", "", true, 2);
  const auto seen = Observe(1);
  EXPECT_TRUE(seen.known);
  EXPECT_EQ(seen.status.current, At(2));
  EXPECT_EQ(seen.started, 2U);
  ASSERT_TRUE(seen.deadline_in_ms);
}

TEST_F(Record, StatesMoveAsSpecified) {
  Open();
  EXPECT_EQ(SetState(kRunning).state, kRunning);
  const auto disabled = SetState(kDisable);
  EXPECT_EQ(disabled.state, kDisable);
  EXPECT_EQ(disabled.current, At(2));
  EXPECT_FALSE(disabled.last_valid);
  EXPECT_EQ(disabled.last_reason, "Disable instance");
  EXPECT_EQ(SetState(kDisable).current, At(2));  // nothing happens twice
  EXPECT_EQ(Advance(2).verdict, AdvanceVerdict::kMoved);
  const auto enabled = SetState(kRunning, 2);
  EXPECT_EQ(enabled.state, kRunning);
  EXPECT_EQ(enabled.current, At(2));
  Advance(2);
  Advance(3);
  for (const auto state : {kRunning, kDisable}) EXPECT_EQ(SetState(state, 4).state, kFinish);
  EXPECT_EQ(SetState(kStop, 4).state, kStop);
  for (const auto state : {kDisable, kStop}) EXPECT_EQ(SetState(state, 4).state, kStop);
  EXPECT_EQ(SetState(kRunning, 4).state, kFinish);
  EXPECT_FALSE(Sync(loops, store->SetState(At(4), kFinish)));
}

TEST_F(Record, DisabledInTheLastIterationFinishesWhenEnabled) {
  Open(3);
  EXPECT_EQ(SetState(kDisable, 3).state, kDisable);
  EXPECT_EQ(SetState(kRunning, 4).state, kFinish);
}

// What JobStore sends carries a nonce of the call, so these are the same call sent again after a lost answer.
TEST_F(Record, CallsSentTwiceAnswerTheSame) {
  const JobKeys job("lenet {1}");
  const IterationKeys rows(job, At(1));
  const auto send = [&](const Script& script, std::vector<std::string_view> keys,
                        std::vector<std::string_view> arguments) {
    const RedisValue once = Wait(client->Run(script, keys, arguments));
    const RedisValue twice = Wait(client->Run(script, keys, arguments));
    EXPECT_EQ(once.array.size(), twice.array.size()) << script.name();
    for (std::size_t i = 0; i < std::min(once.array.size(), twice.array.size()); ++i) {
      EXPECT_EQ(once.array[i].integer, twice.array[i].integer) << script.name() << " " << i;
      EXPECT_EQ(once.array[i].text, twice.array[i].text) << script.name() << " " << i;
    }
    return twice;
  };
  const std::vector<std::string_view> all{job.instance, rows.status, rows.round, rows.devices, rows.updates};
  const RedisValue opened = send(Scripts().open, {job.instance, rows.status, rows.hyper},
                                 {"i_1", "1", "0", "1", "", "nonce-1", "100000", "1", "", "a", "1"});
  EXPECT_EQ(opened.array.at(7).integer, 1);
  const RedisValue advanced = send(Scripts().advance, all, {"i_1", "1", "1", "done", "nonce-2", "3", ""});
  EXPECT_EQ(advanced.array.at(2).text, "2");
  EXPECT_EQ(advanced.array.at(7).integer, 1);
  Join("d1", "", true, 2);
  SetDeadline("start_by", -1, 2);
  const IterationKeys second(job, At(2));
  const RedisValue expired =
      send(Scripts().expire, {job.instance, second.status, second.round, second.devices, second.updates},
           {"i_1", "2", "nonce-3", "3", "2", "0", "5000"});
  EXPECT_EQ(expired.array.at(2).text, "3");
  EXPECT_EQ(expired.array.at(7).integer, 1);
  EXPECT_EQ(Observe(3).status.current, At(3));
}

TEST_F(Record, EventsOfAWholeIteration) {
  std::mutex mutex;
  std::vector<std::string> seen;
  int gaps = 0;
  store->Watch(
      [&](const JobEvent& event) {
        const std::lock_guard lock(mutex);
        seen.push_back(std::to_string(static_cast<int>(event.kind)) + " " + event.iteration.instance + " " +
                       std::to_string(event.iteration.number));
      },
      [&] {
        const std::lock_guard lock(mutex);
        ++gaps;
      });
  ASSERT_TRUE(Eventually([&] {
    const std::lock_guard lock(mutex);
    return gaps == 1;
  }));
  Open();
  const Node node = Register("a");
  for (const char* fl_id : {"d1", "d2", "d3"}) Join(fl_id);
  for (const char* fl_id : {"d1", "d2"}) Reserve(node, fl_id);
  for (const char* fl_id : {"d1", "d2"}) Commit(node, fl_id);
  Advance(1);
  SetState(kStop, 2);
  using Kind = JobEvent::Kind;
  std::vector<std::string> expected;
  const std::pair<Kind, int> kinds[] = {{Kind::kInstance, 1}, {Kind::kDeadline, 1},   {Kind::kStartFull, 1},
                                        {Kind::kDeadline, 1}, {Kind::kUpdateFull, 1}, {Kind::kCountedFull, 1},
                                        {Kind::kMoved, 2},    {Kind::kState, 2}};
  for (const auto& [kind, number] : kinds) {
    expected.push_back(std::to_string(static_cast<int>(kind)) + " i_1 " + std::to_string(number));
  }
  EXPECT_TRUE(Eventually([&] {
    const std::lock_guard lock(mutex);
    return seen.size() >= expected.size();
  }));
  client->Stop();
  EXPECT_EQ(seen, expected);
}

TEST(ParseJobEvent, OddLines) {
  using Kind = JobEvent::Kind;
  const auto event = ParseJobEvent("moved i_2024-01-01-00:00:00 12");
  EXPECT_EQ(event.kind, Kind::kMoved);
  EXPECT_EQ(event.iteration.instance, "i_2024-01-01-00:00:00");
  EXPECT_EQ(event.iteration.number, 12U);
  EXPECT_EQ(ParseJobEvent("summary i_1 3").kind, Kind::kSummary);
  EXPECT_EQ(ParseJobEvent("recorded i_1 3").kind, Kind::kRecorded);
  EXPECT_EQ(ParseJobEvent("leave i_1 3").kind, Kind::kLeave);
  EXPECT_EQ(ParseJobEvent("nodes i_1 3").kind, Kind::kOther);
  EXPECT_EQ(ParseJobEvent("nodes i_1 3").iteration.number, 3U);
  for (const char* line : {"", " ", "moved", "moved i_1", "moved i_1 x", "moved i_1 -1", "moved i_1 1x"}) {
    EXPECT_EQ(ParseJobEvent(line).kind, Kind::kOther) << line;
  }
}

}  // namespace
}  // namespace msfl::cache
