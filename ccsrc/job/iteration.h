// Everything that this Server holds of one iteration. A switch replaces the whole object, so nothing of an
// iteration can leak into the next; a request that still holds the old one finds it closed by the store
// (`kMoved`).
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "cache/job_store.h"
#include "job/rules.h"
#include "model/metric_sums.h"
#include "model/model.h"
#include "model/running_sum.h"
#include "recovery/part.h"

namespace msfl::job {

// Answers of one round that its handler gave; plain-text refusals are not counted (rounds.md, section 13.1).
struct RoundVisits {
  std::atomic<std::uint64_t> accepted{0}, rejected{0};
  void Count(bool accept) { (accept ? accepted : rejected).fetch_add(1, std::memory_order_relaxed); }
  // The answer was not given after all.
  void Uncount(bool accept) { (accept ? accepted : rejected).fetch_sub(1, std::memory_order_relaxed); }
};

struct Visits {
  RoundVisits start_fl_job, update_model, get_model, get_result;
  std::atomic<std::uint64_t> participation_level1{0}, participation_level2{0}, participation_level3{0};

  // Keys of `clientVisitedInfo`.
  std::map<std::string, std::uint64_t> Summary() const;
};

class Iteration {
 public:
  // `node_id`: of this Server, under which its updates are counted.
  Iteration(cache::IterationKey key, Rules rules, std::shared_ptr<const model::Model> start_model,
            BufferPool& pool, std::string node_id = std::string());

  const cache::IterationKey& key() const { return key_; }
  std::uint64_t number() const { return key_.number; }
  const Rules& rules() const { return rules_; }
  // Model number() - 1: what startFLJob hands out.
  const std::shared_ptr<const model::Model>& start_model() const { return start_model_; }

  // What is counted under this Server.
  const std::shared_ptr<recovery::Part> part;
  model::RunningSum& sum;  // its own
  Visits visits;

  // Another Server answers for this one's part: nothing is added to it any more.
  std::atomic<bool> superseded{false};
  void Supersede();
  // The part of a Server that is gone belongs to this one.
  void TakeOver(std::shared_ptr<recovery::Part> other);
  std::vector<std::shared_ptr<recovery::Part>> taken_over() const;
  // All that this Server answers for; null when it is nothing. Precondition: every update is counted.
  std::shared_ptr<model::RunningSum> WholeSum();

  // Once a round is full its refusals need no word from the cache: a threshold that is reached stays reached.
  std::atomic<bool> start_fl_job_full{false};
  std::atomic<bool> update_model_full{false};
  // Devices were sent back to startFLJob that may have a place already: the cache knows which, so it has the
  // word.
  std::atomic<bool> some_start_again{false};

  // The sum holds an update that is not counted.
  std::atomic<bool> spoilt{false};

  // The first of an instance that took the place of another one: who asks for its result before any device
  // has started in it waits for the iteration of that number in the instance before. Set before it is seen.
  bool follows_instance = false;
  bool IsAwaited() const { return !follows_instance || began_ms.load(std::memory_order_relaxed) != 0; }

  // Evaluation vectors of counted updates on their way to the cache: the record of the iteration reads them
  // there.
  std::atomic<std::uint64_t> evaluations_under_way{0};

  // Wall time of the first startFLJob, Unix ms; 0 before it.
  std::atomic<std::int64_t> began_ms{0};
  void NoteBegin();

  // `T` of wire.md section 5: begin of the iteration + the windows of its rounds, Unix ms.
  std::int64_t NextRequestTime() const;
  // The same, but never in the past: a device that is told a past time gives up for good. With
  // Rules::as_release_0_2 the same as that.
  std::int64_t FutureRequestTime() const;

  using MetricSums = model::MetricSums;
  void AddMetrics(float loss, std::uint64_t data_size, float accuracy, std::uint64_t eval_data_size);
  MetricSums metric_sums() const;

 private:
  const cache::IterationKey key_;
  const Rules rules_;
  const std::shared_ptr<const model::Model> start_model_;
  BufferPool& pool_;
  const std::int64_t made_ms_;
  mutable std::mutex mutex_;
  std::vector<std::shared_ptr<recovery::Part>> taken_over_;
  std::shared_ptr<model::RunningSum> whole_;  // of its own and others' parts
  std::size_t merged_ = 0;                    // of taken_over_, in whole_
};

}  // namespace msfl::job
