// Devices at work while Redis is broken again and again: whatever happens, a model is the mean of exactly
// those updates that were answered with success.
#include <array>
#include <atomic>
#include <set>

#include "rounds/round_fixture.h"

namespace msfl::rounds {
namespace {

constexpr int kDevices = 5;

class FaultStormTest : public RoundTest {
 protected:
  // Where an answer in plain text means "come back".
  template <class Table>
  std::optional<Bytes8> Try(const std::string& round, const Bytes8& body) {
    Bytes8 bytes = Ask(round, body);
    flatbuffers::Verifier verifier(bytes.data(), bytes.size());
    if (!verifier.VerifyBuffer<Table>(nullptr)) return std::nullopt;
    return bytes;
  }

  void Device(int device) {
    const std::string id = "d" + std::to_string(device);
    while (!finished_) {
      const auto started = Try<schema::ResponseFLJob>("startFLJob", StartRequest(id, 1));
      if (!started) continue;
      const int number = flatbuffers::GetRoot<schema::ResponseFLJob>(started->data())->iteration();
      // Even one that believes it was refused tries: what is in the cache decides.
      const auto value = static_cast<float>(1 << device);
      const auto updated =
          Try<schema::ResponseUpdateModel>("updateModel", UpdateRequest(id, number, AllWeights(value)));
      if (!updated) continue;
      const auto* answer = flatbuffers::GetRoot<schema::ResponseUpdateModel>(updated->data());
      if (answer->retcode() != 200) continue;
      const std::lock_guard lock(mutex_);
      accepted_[static_cast<std::uint64_t>(number)].insert(device);  // also each time that it asks again
    }
  }

  // The devices work, and `disturb` is called again and again, until the job is finished.
  template <class Disturb>
  void Run(int count, const Disturb& disturb) {
    ServerOptions options = Options();
    options.iterations = static_cast<std::uint64_t>(count);
    options.round.start_fl_job_threshold = kDevices;
    options.round.update_model_ratio = 0.6;
    Start(options);
    std::vector<std::thread> devices;
    for (int device = 0; device < kDevices; ++device) {
      devices.emplace_back([this, device] { Device(device); });
    }
    while (job_->gate().Look().service != job::Service::kFinished) disturb();
    finished_ = true;
    for (std::thread& thread : devices) thread.join();

    const std::vector<job::IterationEnded> iterations = ended();
    ASSERT_EQ(iterations.size(), static_cast<std::size_t>(count));
    for (std::size_t i = 0; i < iterations.size(); ++i) {
      const job::IterationEnded& iteration = iterations[i];
      EXPECT_EQ(iteration.key.number, i + 1);
      if (!iteration.valid) continue;
      const std::set<int>& accepted = accepted_[i + 1];
      EXPECT_EQ(accepted.size(), 3U);
      float sum = 0;
      for (const int device : accepted) sum += static_cast<float>(4 << device);
      const float mean = sum / static_cast<float>(accepted.size());
      EXPECT_EQ(iteration.model->values(1)[0], mean) << "iteration " << i + 1;
    }
    const auto valid = [](const job::IterationEnded& iteration) { return iteration.valid; };
    valid_ = std::ranges::count_if(iterations, valid);
  }

  std::ptrdiff_t valid_ = 0;

 private:
  std::atomic<bool> finished_{false};
  std::mutex mutex_;
  std::map<std::uint64_t, std::set<int>> accepted_;
};

TEST_F(FaultStormTest, ConnectionsBreak) {
  int turn = 0;
  Run(6, [this, &turn] {
    // Now and then longer than a link pauses: with this as the first command of each connection nothing else
    // would get through for as long as the two keep step.
    std::this_thread::sleep_for(std::chrono::milliseconds(7 + 61 * (turn++ % 5)));
    // Answered or not: it breaks the connection that it came on as well.
    static_cast<void>(OnControl(client_->Command({"CLIENT", "KILL", "TYPE", "normal", "SKIPME", "no"})));
  });
  EXPECT_EQ(valid_, 6) << "a broken connection costs no iteration";
}

TEST_F(FaultStormTest, RedisIsSlow) {
  Run(30, [this] {
    redis_.Pause();
    std::this_thread::sleep_for(std::chrono::milliseconds(40));
    redis_.Continue();
    std::this_thread::sleep_for(std::chrono::milliseconds(3));
  });
  EXPECT_EQ(valid_, 30) << "an answer that comes late costs no iteration";
}

TEST_F(FaultStormTest, RedisIsSlowerThanAnybodyWaits) {
  Run(20, [this] {
    redis_.Pause();
    std::this_thread::sleep_for(std::chrono::milliseconds(2300));
    redis_.Continue();
    std::this_thread::sleep_for(std::chrono::milliseconds(30));
  });
}

TEST_F(FaultStormTest, RedisForgetsEverything) {
  int turn = 0;
  Run(300, [this, &turn] {
    std::this_thread::sleep_for(std::chrono::microseconds(500 + 1700 * (turn++ % 5)));
    static_cast<void>(OnControl(client_->Command({"FLUSHALL"})));
  });
}

TEST_F(FaultStormTest, RedisIsStartedAgain) {
  int turn = 0;
  Run(200, [this, &turn] {
    std::this_thread::sleep_for(std::chrono::milliseconds(250 + 17 * (turn++ % 5)));
    redis_.Kill();
    redis_.Start();
  });
}

}  // namespace
}  // namespace msfl::rounds
