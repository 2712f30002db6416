// What operators change while devices are at work: a new instance.
#include "base/log.h"
#include "rounds/plain_text.h"
#include "rounds/round_fixture.h"

namespace msfl::rounds {
namespace {

class NewInstanceTest : public RoundTest {
 protected:
  void NewInstance(const std::string& name, std::map<std::string, std::string> changed = {}) {
    ASSERT_TRUE(OnControl(store_->NewInstance(name, std::move(changed))));
  }
  void AwaitInstance(const std::string& name) {
    while (job_->gate().Look().switching || job_->gate().Look().iteration->key().instance != name) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  }
  void RunIteration(int number, float value) {
    EXPECT_EQ(StartJob("d1", 1)->retcode(), 200);
    EXPECT_EQ(StartJob("d2", 1)->retcode(), 200);
    EXPECT_EQ(Update("d1", number, AllWeights(value))->retcode(), 200);
    EXPECT_EQ(Update("d2", number, AllWeights(value))->retcode(), 200);
    while (job_->gate().Look().switching ||
           job_->gate().Look().iteration->number() != static_cast<std::uint64_t>(number) + 1) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  }
};

TEST_F(NewInstanceTest, InARunningIterationTheSameDeviceStartsAgain) {
  ServerOptions options = Options();
  options.round.start_fl_job_threshold = 1;
  Start(options);
  EXPECT_EQ(StartJob("d1", 1)->iteration(), 1);
  NewInstance("i_2", {{"start_fl_job_threshold", "2"}});
  AwaitInstance("i_2");
  const auto again = StartJob("d1", 1);
  EXPECT_EQ(again->retcode(), 200);
  EXPECT_EQ(again->iteration(), 1);
  EXPECT_EQ(Update("d1", 1, AllWeights(1))->retcode(), 200);
  EXPECT_EQ(Model(1)->retcode(), 201);
  EXPECT_EQ(StartJob("d2", 1)->retcode(), 200);
  EXPECT_EQ(Update("d2", 1, AllWeights(3))->retcode(), 200);
  AwaitIteration(2);
  EXPECT_EQ(Values(Model(1)->feature_map()).at("s"), std::vector<float>{8});

  ASSERT_EQ(ended().size(), 2U);
  EXPECT_NE(ended()[0].key.instance, "i_2");
  EXPECT_EQ(ended()[0].key.number, 1U);
  EXPECT_FALSE(ended()[0].valid);
  EXPECT_EQ(ended()[0].reason, "New instance");
  EXPECT_EQ(ended()[0].state, cache::InstanceState::kRunning);
  EXPECT_GT(ended()[0].started_ms, 0);
  EXPECT_EQ(ended()[0].visits.at("startFLJobAcceptClientNum"), 1U);
  EXPECT_EQ(ended()[0].model, job_->history().FindOrLatest(0).model);
  EXPECT_EQ(ended()[1].key, (cache::IterationKey{"i_2", 1}));
  EXPECT_TRUE(ended()[1].valid);
}

TEST_F(NewInstanceTest, EveryParameterTakesEffectAtOnce) {
  Start();
  NewInstance("i_2", {{"start_fl_job_threshold", "3"},
                      {"update_model_ratio", "0.5"},
                      {"start_fl_job_time_window", "123000"},
                      {"update_model_time_window", "77000"},
                      {"global_iteration_time_window", "654321"},
                      {"client_epoch_num", "7"},
                      {"client_batch_size", "5"},
                      {"client_learning_rate", "0.03"},
                      {"fl_iteration_num", "1"}});
  AwaitInstance("i_2");
  const std::int64_t before = WallMillis();
  const auto answer = StartJob("d1", 1);
  const std::int64_t window = std::stoll(answer->next_req_time()->str()) - before;
  EXPECT_GE(window, 200'000);
  EXPECT_LT(window, 260'000);  // in ms, as given
  EXPECT_EQ(answer->fl_plan_config()->iterations(), 1);
  EXPECT_EQ(answer->fl_plan_config()->epochs(), 7);
  EXPECT_EQ(answer->fl_plan_config()->mini_batch(), 5);
  EXPECT_EQ(answer->fl_plan_config()->lr(), 0.03F);
  EXPECT_EQ(StartJob("d2", 1)->retcode(), 200);
  EXPECT_EQ(StartJob("d3", 1)->retcode(), 200);
  EXPECT_EQ(StartJob("d4", 1)->retcode(), 300);
  const auto rows = *OnControl(store_->Read(cache::IterationKey{"i_2", 1}));
  EXPECT_EQ(std::stoll(rows.round.at("global_by")) - std::stoll(rows.round.at("began_ms")), 654'321);
  EXPECT_EQ(Update("d1", 1, AllWeights(1))->retcode(), 200);
  EXPECT_EQ(Model(1)->retcode(), 201);
  EXPECT_EQ(Update("d2", 1, AllWeights(3))->retcode(), 200);  // ceil(3 * 0.5)
  AwaitIteration(2);
  EXPECT_TRUE(ended().back().valid);
  EXPECT_EQ(ended().back().iterations, 1U);
  EXPECT_EQ(AskText("startFLJob", StartRequest("d1", 1)), kDisabledText);  // that was the only one
  EXPECT_EQ(Values(Model(1)->feature_map()).at("s"), std::vector<float>{8});
}

TEST_F(NewInstanceTest, AShortWindowEndsTheFirstIteration) {
  Start();
  NewInstance("i_2", {{"start_fl_job_time_window", "200"}});
  AwaitInstance("i_2");
  StartJob("d1", 1);
  AwaitIteration(2);
  EXPECT_EQ(ended().back().reason,
            "Round startFLJob timeout! This iteration is invalid. Proceed to next iteration.");
}

TEST_F(NewInstanceTest, AfterTheEndItGoesOnWithTheLastModel) {
  ServerOptions options = Options();
  options.iterations = 2;
  Start(options);
  RunIteration(1, 1);
  RunIteration(2, 2);
  EXPECT_EQ(AskText("startFLJob", StartRequest("d1", 1)), kDisabledText);
  NewInstance("i_2");
  AwaitInstance("i_2");
  EXPECT_EQ(ended().size(), 2U);  // no line: no iteration was running
  const auto answer = StartJob("d1", 1);
  EXPECT_EQ(answer->iteration(), 1);
  EXPECT_EQ(Values(answer->feature_map()), (Weights{{"a", {2, 4, 6}}, {"s", {8}}, {"z", {5, 6}}}));
  EXPECT_EQ(Model(1)->retcode(), 201);
  // The models of the old instance are forgotten, only the last one is there: as model 0.
  for (const int number : {0, 2, 3, -1}) {
    EXPECT_EQ(Values(Model(number)->feature_map()).at("s"), std::vector<float>{8}) << number;
  }
  NewInstance("i_3");
  AwaitInstance("i_3");
  RunIteration(1, 5);
  RunIteration(2, 6);
  EXPECT_EQ(Values(Model(1)->feature_map()).at("s"), std::vector<float>{20});
  EXPECT_EQ(job_->gate().Look().service, job::Service::kFinished);
}

TEST_F(NewInstanceTest, ADisabledJobRunsAgain) {
  Start();
  StartJob("d1", 1);
  const cache::IterationKey current = job_->gate().Look().iteration->key();
  ASSERT_TRUE(OnControl(store_->SetState(current, cache::InstanceState::kDisable)));
  AwaitIteration(2);
  NewInstance("i_2");
  AwaitInstance("i_2");
  ASSERT_EQ(ended().size(), 1U);
  EXPECT_EQ(ended()[0].reason, "Disable instance");
  RunIteration(1, 3);
  EXPECT_TRUE(ended().back().valid);
}

TEST_F(NewInstanceTest, RequestsWaitForItAndAreAnsweredInIt) {
  hold_records_ = true;
  ServerOptions options = Options();
  options.round.start_fl_job_threshold = 1;
  Start(options);
  EXPECT_EQ(StartJob("d1", 1)->retcode(), 200);
  NewInstance("i_2");
  while (ended().empty()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  // The files of the dropped iteration are being written.
  std::future<Bytes8> start =
      std::async(std::launch::async, [this] { return Ask("startFLJob", StartRequest("d2", 1)); });
  std::future<Bytes8> upload = std::async(
      std::launch::async, [this] { return Ask("updateModel", UpdateRequest("d1", 1, AllWeights(9))); });
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  EXPECT_TRUE(job_->gate().Look().switching);
  job_->NoteRecorded(1);
  const Bytes8 started = start.get(), uploaded = upload.get();
  const auto* answer = flatbuffers::GetRoot<schema::ResponseFLJob>(started.data());
  EXPECT_EQ(answer->retcode(), 200);
  EXPECT_EQ(answer->iteration(), 1);
  const auto* refusal = flatbuffers::GetRoot<schema::ResponseUpdateModel>(uploaded.data());
  EXPECT_EQ(refusal->retcode(), 300);
  EXPECT_EQ(refusal->reason()->str(), "devices_meta for d1 is not set. Please retry later.");
  EXPECT_EQ(job_->gate().Look().iteration->key(), (cache::IterationKey{"i_2", 1}));
}

TEST_F(NewInstanceTest, DevicesThatHammerNeverSeeAnythingOdd) {
  ServerOptions options = Options();
  options.round.start_fl_job_threshold = 1;
  options.iterations = 1'000'000;
  Start(options);
  std::atomic<bool> over{false};
  std::atomic<int> served{0};
  std::vector<std::future<void>> devices;
  for (int device = 0; device < 3; ++device) {
    devices.push_back(std::async(std::launch::async, [&, device] {
      const std::string id = "d" + std::to_string(device);
      while (!over) {
        const auto start = StartJob(id, 1);  // verified: no plain text
        EXPECT_TRUE(start->retcode() == 200 || start->retcode() == 300) << start->retcode();
        if (start->retcode() != 200) continue;
        const auto update = Update(id, start->iteration(), AllWeights(1));
        EXPECT_TRUE(update->retcode() == 200 || update->retcode() == 300) << update->retcode();
        ++served;
      }
    }));
  }
  for (int instance = 2; instance < 12; ++instance) {
    const int before = served;
    while (served < before + 20) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    NewInstance("i_" + std::to_string(instance));
    AwaitInstance("i_" + std::to_string(instance));
  }
  over = true;
  for (auto& device : devices) device.get();
  int dropped = 0;
  for (const auto& one : ended()) {
    if (one.valid) continue;
    EXPECT_EQ(one.reason, "New instance");
    ++dropped;
  }
  EXPECT_EQ(dropped, 10);
}

TEST_F(NewInstanceTest, ParametersThatCannotBeReadAreLeftAsTheyWere) {
  Start();
  NewInstance("i_2", {{"start_fl_job_threshold", "many"}});
  AwaitInstance("i_2");
  RunIteration(1, 1);
  EXPECT_TRUE(ended().back().valid);
}

TEST_F(NewInstanceTest, WithoutWaitingForFilesTheSwitchGoesOn) {
  hold_records_ = true;
  ServerOptions options = Options();
  options.await_record = false;
  std::mutex mutex;
  std::vector<std::string> errors;
  SetLogSink([&](const LogLine& line) {
    const std::lock_guard lock(mutex);
    if (line.level >= LogLevel::kError) errors.push_back(line.text);
  });
  Start(options);
  RunIteration(1, 1);
  RunIteration(2, 2);
  SetLogSink({});
  EXPECT_EQ(ended().size(), 2U);
  const std::lock_guard lock(mutex);
  EXPECT_EQ(errors, std::vector<std::string>());
}

TEST_F(NewInstanceTest, FilesThatAreNotWaitedForMayOnlyFallThreeIterationsBehind) {
  hold_records_ = true;
  ServerOptions options = Options();
  options.await_record = false;
  options.iterations = 9;
  Start(options);
  for (int number = 1; number <= 3; ++number) RunIteration(number, number);
  std::future<void> fourth = std::async(std::launch::async, [this] { RunIteration(4, 4); });
  while (ended().size() < 4) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  EXPECT_TRUE(job_->gate().Look().switching);
  job_->NoteRecorded(1);
  fourth.get();
  while (job_->gate().Look().switching) std::this_thread::sleep_for(std::chrono::milliseconds(1));
}

}  // namespace
}  // namespace msfl::rounds
