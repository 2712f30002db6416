// What operators do to an instance: states that are set, and new instances.
#include "cache/job_keys.h"
#include "cache/job_scripts.h"
#include "cache/store_fixture.h"

namespace msfl::cache {
namespace {

using enum InstanceState;

class Instance : public StoreFixture {
 protected:
  Status NewInstance(const std::string& name, std::map<std::string, std::string> changed = {}) {
    return Wait(store->NewInstance(name, std::move(changed)));
  }
  JobStore::StateAnswer SetState(InstanceState state, std::uint64_t number = 1) {
    return Wait(store->SetState(At(number), state));
  }
  std::map<std::string, std::string> Hyper(const std::string& instance) {
    return Wait(store->Read(At(1, instance))).hyper;
  }
};

TEST_F(Instance, EachStateTellsTheOneBefore) {
  Open();
  EXPECT_EQ(SetState(kRunning).before, kRunning);
  EXPECT_EQ(SetState(kDisable).before, kRunning);
  EXPECT_EQ(SetState(kDisable, 2).before, kDisable);
  EXPECT_EQ(SetState(kStop, 2).before, kDisable);
  EXPECT_EQ(SetState(kDisable, 2).status.state, kStop);
  EXPECT_EQ(SetState(kStop, 2).before, kStop);
}

TEST_F(Instance, AStoppedJobRunsOnWhereItWas) {
  Open(2);
  const Node node = Register("a");
  Join("d1", "", true, 2);
  SetState(kStop, 2);
  EXPECT_EQ(Reserve(node, "d1", "", true, 2, 2).verdict, ReserveVerdict::kMoved);
  const auto again = SetState(kRunning, 2);
  EXPECT_EQ(again.before, kStop);
  EXPECT_EQ(again.status.state, kRunning);
  EXPECT_EQ(again.status.current, At(2));
  EXPECT_EQ(Reserve(node, "d1", "", true, 2, 2).verdict, ReserveVerdict::kReserved);
}

TEST_F(Instance, AStoppedJobThatHadFinishedIsFinished) {
  Open(4);  // of 3
  SetState(kStop, 4);
  EXPECT_EQ(SetState(kRunning, 4).status.state, kFinish);
}

TEST_F(Instance, AStateThatIsSentTwiceTellsTheSameStateBefore) {
  Open();
  const JobKeys job("lenet {1}");
  const auto send = [&](const char* wanted, const char* nonce, std::uint64_t number) {
    const IterationKeys rows(job, At(number));
    const std::vector<std::string_view> keys{job.instance, rows.status, rows.round, rows.devices,
                                             rows.updates};
    const std::vector<std::string_view> arguments{"i_1", rows.number, wanted, nonce, "3"};
    const RedisValue answer = Wait(client->Run(Scripts().set_state, keys, arguments));
    return answer.array.at(2).text + answer.array.at(3).text + " " +
           std::to_string(answer.array.at(7).integer) + answer.array.at(8).text;
  };
  EXPECT_EQ(send("1", "n1", 9), "10 00");  // another iteration: look again
  EXPECT_EQ(send("1", "n1", 1), "21 10");
  EXPECT_EQ(send("1", "n1", 1), "21 10");
  EXPECT_EQ(send("1", "n1", 2), "21 10");
  EXPECT_EQ(send("1", "n2", 1), "21 01");
  EXPECT_EQ(send("1", "n2", 2), "21 11");
  EXPECT_EQ(send("0", "n3", 2), "20 11");
  EXPECT_EQ(send("0", "n3", 2), "20 11");
}

TEST_F(Instance, ANewOneStartsAtOneWithWhatChanged) {
  Open(3);
  const auto fresh = NewInstance("i_2", {{"start_fl_job_threshold", "7"}, {"client_learning_rate", "0.03"}});
  EXPECT_EQ(fresh.current, At(1, "i_2"));
  EXPECT_EQ(fresh.state, kRunning);
  EXPECT_TRUE(fresh.last_valid);
  EXPECT_EQ(fresh.last_reason, "");
  EXPECT_EQ(Hyper("i_2"), (std::map<std::string, std::string>{{"start_fl_job_threshold", "7"},
                                                              {"client_learning_rate", "0.03"}}));
  EXPECT_EQ(Hyper("i_1").at("start_fl_job_threshold"), "3");
  EXPECT_EQ(Observe(3).status.current, At(1, "i_2"));
  for (const char* row : {"instance", "i_1:status", "i_1:hyper", "i_2:status", "i_2:hyper"}) {
    EXPECT_GT(Call({"PTTL", Key(row)}).value().integer, 0) << row;
  }
  EXPECT_LE(Call({"PTTL", Key("i_1:status")}).value().integer, 60'000);
  EXPECT_GT(Call({"PTTL", Key("i_2:status")}).value().integer, 60'000);
}

TEST_F(Instance, NothingNeedsToChange) {
  Open();
  EXPECT_EQ(NewInstance("i_2").current, At(1, "i_2"));
  EXPECT_EQ(Hyper("i_2"), Hyper("i_1"));
  // A record without hyper-parameters has none afterwards.
  Call({"DEL", Key("i_2:hyper")}).value();
  EXPECT_EQ(NewInstance("i_3").current, At(1, "i_3"));
  EXPECT_TRUE(Hyper("i_3").empty());
}

TEST_F(Instance, ANewOneComesFromAnyState) {
  Open(3);
  SetState(kDisable, 3);
  EXPECT_EQ(NewInstance("i_2").state, kRunning);
  for (int number = 1; number <= 3; ++number) {
    const IterationKey from = At(static_cast<std::uint64_t>(number), "i_2");
    Wait(store->Advance(from, true, "done", ""));
  }
  EXPECT_EQ(Observe().status.state, kFinish);
  EXPECT_EQ(NewInstance("i_3").state, kRunning);
  SetState(kStop);
  EXPECT_EQ(Observe().status.state, kStop);
  EXPECT_EQ(NewInstance("i_4").state, kRunning);
}

TEST_F(Instance, SentTwiceIsHarmless) {
  Open();
  NewInstance("i_2", {{"fl_iteration_num", "5"}});
  Wait(store->Advance(At(1, "i_2"), false, "it failed", ""));
  const auto again = NewInstance("i_2", {{"fl_iteration_num", "9"}});
  EXPECT_EQ(again.current, At(2, "i_2"));
  EXPECT_EQ(Hyper("i_2").at("fl_iteration_num"), "5");
  // As sent before: the old instance is named as it was then.
  const JobKeys job("lenet {1}");
  const IterationKeys old(job, At(1)), fresh(job, At(1, "i_2"));
  const std::vector<std::string_view> keys{job.instance, old.status, old.hyper, fresh.status, fresh.hyper};
  const std::vector<std::string_view> arguments{"i_1", "i_2", "nonce", "100000", "fl_iteration_num", "9"};
  const RedisValue answer = Wait(client->Run(Scripts().new_instance, keys, arguments));
  EXPECT_EQ(answer.array.at(1).text, "i_2");
  EXPECT_EQ(answer.array.at(2).text, "2");
  EXPECT_EQ(Hyper("i_2").at("fl_iteration_num"), "5");
}

TEST_F(Instance, WithoutARecordThereIsNothingToContinue) {
  const auto refused = Sync(loops, store->NewInstance("i_2", {}));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::kDisagreement);
  EXPECT_EQ(Call({"EXISTS", Key("instance")}).value().integer, 0);
}

TEST_F(Instance, WhatIsInFlightBelongsToTheOldOne) {
  Open();
  const Node node = Register("a");
  for (const char* fl_id : {"d1", "d2"}) Join(fl_id);
  Reserve(node, "d1");
  Commit(node, "d1");
  Reserve(node, "d2");
  NewInstance("i_2");
  EXPECT_EQ(Commit(node, "d1").verdict, CommitVerdict::kCounted);  // sent again: it was counted
  EXPECT_EQ(Commit(node, "d2").verdict, CommitVerdict::kMoved);
  EXPECT_EQ(Reserve(node, "d2", "again").verdict, ReserveVerdict::kMoved);
  EXPECT_EQ(Join("d3").verdict, JoinVerdict::kMoved);
  EXPECT_EQ(Wait(store->Expire(At(1))).status.current, At(1, "i_2"));
  EXPECT_EQ(Wait(store->Advance(At(1), true, "late", "")).verdict, AdvanceVerdict::kMoved);
  JoinRequest request;
  request.iteration = At(1, "i_2");
  request.fl_id = "d1";
  request.data_size = 1;
  request.nonce = "fresh";
  const auto joined = Wait(store->Join(request));
  EXPECT_EQ(joined.verdict, JoinVerdict::kAccepted);
  EXPECT_EQ(joined.started, 1U);
}

TEST_F(Instance, EveryChangeIsPublished) {
  std::mutex mutex;
  std::vector<std::string> seen;
  bool watching = false;
  store->Watch(
      [&](const JobEvent& event) {
        const std::lock_guard lock(mutex);
        seen.push_back(std::to_string(static_cast<int>(event.kind)) + " " + event.iteration.instance + " " +
                       std::to_string(event.iteration.number));
      },
      [&] {
        const std::lock_guard lock(mutex);
        watching = true;
      });
  ASSERT_TRUE(Eventually([&] {
    const std::lock_guard lock(mutex);
    return watching;
  }));
  Open();
  SetState(kDisable);
  SetState(kRunning, 2);
  SetState(kStop, 2);
  SetState(kRunning, 2);
  NewInstance("i_2");
  using Kind = JobEvent::Kind;
  std::vector<std::string> expected;
  const std::tuple<Kind, const char*, int> events[] = {{Kind::kInstance, "i_1", 1}, {Kind::kMoved, "i_1", 2},
                                                       {Kind::kState, "i_1", 2},    {Kind::kState, "i_1", 2},
                                                       {Kind::kState, "i_1", 2},    {Kind::kState, "i_1", 2},
                                                       {Kind::kInstance, "i_2", 1}};
  for (const auto& [kind, instance, number] : events) {
    expected.push_back(std::to_string(static_cast<int>(kind)) + " " + instance + " " +
                       std::to_string(number));
  }
  EXPECT_TRUE(Eventually([&] {
    const std::lock_guard lock(mutex);
    return seen.size() >= expected.size();
  }));
  client->Stop();
  EXPECT_EQ(seen, expected);
}

TEST(ScriptText, IsWhatTheServersRun) {
  EXPECT_EQ(ScriptText("set_state"), Scripts().set_state.source());
  EXPECT_EQ(ScriptText("new_instance"), Scripts().new_instance.source());
  EXPECT_EQ(ScriptText("new_instance")->find("--include"), std::string_view::npos);
  for (const char* name : {"", "clock", "parts/clock", "set_state.lua"})
    EXPECT_FALSE(ScriptText(name)) << name;
}

}  // namespace
}  // namespace msfl::cache
