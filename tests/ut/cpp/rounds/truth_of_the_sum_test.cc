// Whatever happens to requests, the model is the mean of exactly the acknowledged updates: cut connections,
// repeats, late and wrong updates, devices that vanish, windows that end, a cache that stumbles. Drawn at
// random; a seed that failed is run again with MSFL_TRUTH_SEED, and MSFL_TRUTH_RUNS runs so many from there.
#include <cstdlib>
#include <deque>
#include <thread>

#include "base/log.h"
#include "rounds/truth_job.h"

namespace msfl::rounds::truth {
namespace {

constexpr std::size_t kThreads = 4;

// Sanitizers take ten times as long.
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
constexpr bool kSlow = true;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
constexpr bool kSlow = true;
#else
constexpr bool kSlow = false;
#endif
#else
constexpr bool kSlow = false;
#endif

std::uint64_t FromEnvironment(const char* name, std::uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

void Trouble(Dice& dice, Job& job) {
  std::this_thread::sleep_for(std::chrono::milliseconds(5 + dice.Below(120)));
  if (dice.Chance(0.3)) {
    job.Command({"CLIENT", "KILL", "TYPE", "normal", "SKIPME", "no"});
    return;
  }
  job.redis().Pause();
  // Rarely for longer than a command may take: then requests are given up, and withdrawn.
  std::this_thread::sleep_for(std::chrono::milliseconds(dice.Chance(0.04) ? 2300 : 1 + dice.Below(80)));
  job.redis().Continue();
}

class TruthOfTheSum : public testing::Test {
 protected:
  // A cache in trouble makes many words; the last ones are told when something is wrong.
  void SetUp() override {
    SetLogSink([this](const LogLine& line) {
      const std::lock_guard lock(lines_mutex_);
      lines_.push_back(line.text);
      if (lines_.size() > 60) lines_.pop_front();
    });
  }
  void TearDown() override {
    SetLogSink({});
    if (!HasFailure()) return;
    for (const std::string& line : lines_) std::printf("%s\n", line.c_str());
  }

  template <class Draw>
  void Runs(const Draw& draw) {
    const std::uint64_t first = FromEnvironment("MSFL_TRUTH_SEED", 1);
    const std::uint64_t runs = FromEnvironment("MSFL_TRUTH_RUNS", kSlow ? 1 : 2);
    for (std::uint64_t seed = first; seed < first + runs && !HasFailure(); ++seed) {
      Dice dice(seed);
      const Case the_case = draw(dice);
      const std::string trace =
          "run again with MSFL_TRUTH_SEED=" + std::to_string(seed) + " MSFL_TRUTH_RUNS=1";
      SCOPED_TRACE(trace);
      Run(the_case, seed);
    }
  }

  void Run(const Case& the_case, std::uint64_t seed) {
    Job job(the_case);
    ASSERT_EQ(job.update_threshold(), the_case.updates);
    std::vector<std::atomic<std::size_t>> spare(the_case.iterations + 3);
    for (auto& places : spare)
      places = the_case.waste ? the_case.devices : the_case.devices - the_case.updates;

    std::atomic<bool> stop{false};
    std::vector<std::unique_ptr<Crowd>> crowds;
    std::vector<std::thread> threads;
    for (std::size_t i = 0; i < kThreads; ++i) {
      crowds.push_back(std::make_unique<Crowd>(job.port(), the_case.sizes, the_case.manner,
                                               seed * kThreads + i, i, kThreads, spare));
      threads.emplace_back([&, crowd = crowds.back().get()] {
        try {
          crowd->Run(stop);
        } catch (const std::exception& error) {
          crowd->complaints.emplace_back(error.what());
        }
      });
    }
    if (the_case.trouble) {
      threads.emplace_back([&] {
        Dice dice(~seed);
        while (!stop) Trouble(dice, job);
      });
    }
    std::size_t before = 0;
    while (!job.AwaitEnd(std::chrono::seconds(100))) {
      const std::size_t now = job.ended().size();
      if (now == before) {
        ADD_FAILURE() << "iteration " << now + 1 << " does not end";
        break;
      }
      before = now;
    }
    stop = true;
    for (std::thread& thread : threads) thread.join();
    Judge(the_case, job, crowds);
  }

  void Judge(const Case& the_case, Job& job, const std::vector<std::unique_ptr<Crowd>>& crowds) {
    Ledger ledger;
    std::set<std::pair<std::uint64_t, std::uint64_t>> seen;
    for (const auto& crowd : crowds) {
      for (const std::string& complaint : crowd->complaints) ADD_FAILURE() << complaint;
      ledger.merge(crowd->ledger);
      seen.merge(crowd->seen);
    }
    const std::vector<job::IterationEnded> ended = job.ended();
    EXPECT_EQ(ended.size(), the_case.iterations);
    Check check(the_case.sizes, ledger, the_case.manner.one_each);
    std::map<std::uint64_t, std::uint64_t> prints{{0, Print(*job.start_model)}};
    const model::Model* previous = job.start_model.get();
    std::size_t valid = 0, updates = 0;
    for (const job::IterationEnded& iteration : ended) {
      EXPECT_EQ(iteration.key.number, prints.size());
      check.Iteration(iteration, *previous);
      if (iteration.valid) {
        ++valid;
        updates += check.updates;
        if (the_case.minimum == 0) {
          EXPECT_EQ(check.updates, the_case.updates);
        } else {
          EXPECT_GE(check.updates, the_case.minimum);
          EXPECT_LE(check.updates, the_case.updates);
        }
      }
      previous = iteration.model.get();
      prints[iteration.key.number] = Print(*previous);
    }
    for (const auto& [iteration, print] : seen) {
      EXPECT_EQ(prints.at(iteration), print) << "a device was served another model " << iteration;
    }
    if (!the_case.waste && !the_case.trouble) {
      EXPECT_EQ(valid, ended.size());
    }
    if (FromEnvironment("MSFL_TRUTH_RUNS", 0) == 0) return;
    std::printf("valid %zu of %zu, updates %zu, of them unheard %zu, models seen %zu\n", valid, ended.size(),
                updates, check.unknown_in, seen.size());
    std::fflush(stdout);
  }

 private:
  std::mutex lines_mutex_;
  std::deque<std::string> lines_;
};

Case Small(Dice& dice) {
  Case drawn;
  drawn.sizes.devices = 500 + dice.Below(3000);
  drawn.sizes.numbers = 1 + dice.Below(400);
  drawn.updates = std::uint64_t{1} << dice.Below(8);
  drawn.devices = drawn.updates + 1 + dice.Below(drawn.updates);
  drawn.iterations = std::max<std::uint64_t>((kSlow ? 200 : 1500) / drawn.updates, kSlow ? 3 : 6);
  drawn.iterations = std::min<std::uint64_t>(drawn.iterations, 60);
  drawn.manner.fault = 0.05 * static_cast<double>(dice.Below(9));
  drawn.manner.abandon = 0.1;
  drawn.manner.one_each = true;
  return drawn;
}

TEST_F(TruthOfTheSum, Exactly) { Runs(Small); }

TEST_F(TruthOfTheSum, WithDataSizes) {
  Runs([](Dice& dice) {
    Case drawn = Small(dice);
    drawn.manner.one_each = false;
    drawn.updates = 1 + dice.Below(100);
    drawn.devices = drawn.updates + 1 + dice.Below(drawn.updates);
    return drawn;
  });
}

// Larger than a block of sums, and now and then than what is added in one go.
TEST_F(TruthOfTheSum, OfLargeModels) {
  Runs([](Dice& dice) {
    Case drawn = Small(dice);
    const bool huge = !kSlow && dice.Chance(0.3);
    drawn.sizes.devices = 300;
    drawn.sizes.numbers = huge ? 1'300'000 : 33'000 + dice.Below(80'000);
    drawn.updates = huge ? 4 : 8;
    drawn.devices = drawn.updates + 3;
    drawn.iterations = kSlow || huge ? 4 : 12;
    drawn.manner.batch = 4;
    return drawn;
  });
}

TEST_F(TruthOfTheSum, WhenWindowsEnd) {
  Runs([](Dice& dice) {
    Case drawn = Small(dice);
    drawn.updates = 2 + dice.Below(40);
    drawn.devices = drawn.updates + dice.Below(5);
    drawn.iterations = kSlow ? 8 : 14;
    drawn.start_window = 40 + dice.Below(200);
    drawn.update_window = 40 + dice.Below(200);
    drawn.global_window = 100 + dice.Below(300);
    if (dice.Chance(0.8)) drawn.minimum = 1 + dice.Below(drawn.updates);
    drawn.waste = true;
    drawn.manner.abandon = 0.1 * static_cast<double>(dice.Below(6));
    drawn.manner.one_each = dice.Chance(0.5);
    drawn.trouble = dice.Chance(0.3);
    return drawn;
  });
}

TEST_F(TruthOfTheSum, WhenTheCacheStumbles) {
  Runs([](Dice& dice) {
    Case drawn = Small(dice);
    drawn.trouble = true;
    drawn.manner.one_each = dice.Chance(0.5);
    return drawn;
  });
}

}  // namespace
}  // namespace msfl::rounds::truth
