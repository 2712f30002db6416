#include "job/iteration.h"

#include <algorithm>
#include <utility>

#include "base/clock.h"

namespace msfl::job {
namespace {

// How far in the future a refused device is sent when the iteration's own time has passed.
constexpr std::int64_t kShortestPauseMs = 1000;

void Summarise(std::map<std::string, std::uint64_t>& summary, const std::string& round,
               const RoundVisits& visits) {
  const std::uint64_t accepted = visits.accepted.load(), rejected = visits.rejected.load();
  summary[round + "TotalClientNum"] = accepted + rejected;
  summary[round + "AcceptClientNum"] = accepted;
  summary[round + "RejectClientNum"] = rejected;
}

}  // namespace

std::map<std::string, std::uint64_t> Visits::Summary() const {
  std::map<std::string, std::uint64_t> summary;
  Summarise(summary, "startFLJob", start_fl_job);
  Summarise(summary, "updateModel", update_model);
  Summarise(summary, "getModel", get_model);
  Summarise(summary, "getResult", get_result);
  summary["participationTimeLevel1"] = participation_level1.load();
  summary["participationTimeLevel2"] = participation_level2.load();
  summary["participationTimeLevel3"] = participation_level3.load();
  return summary;
}

Iteration::Iteration(cache::IterationKey key, Rules rules, std::shared_ptr<const model::Model> start_model,
                     BufferPool& pool)
    : sum(start_model->layout_ptr(), pool),
      key_(std::move(key)),
      rules_(rules),
      start_model_(std::move(start_model)),
      made_ms_(WallMillis()) {}

void Iteration::NoteBegin() {
  std::int64_t none = 0;
  began_ms.compare_exchange_strong(none, WallMillis());
}

std::int64_t Iteration::NextRequestTime() const {
  const std::int64_t began = began_ms.load(std::memory_order_relaxed);
  return (began != 0 ? began : made_ms_) + static_cast<std::int64_t>(rules_.round_window_sum);
}

std::int64_t Iteration::FutureRequestTime() const {
  if (rules_.as_release_0_2) return NextRequestTime();
  return std::max(NextRequestTime(), WallMillis() + kShortestPauseMs);
}

void Iteration::AddMetrics(float loss, std::uint64_t data_size, float accuracy,
                           std::uint64_t eval_data_size) {
  const std::lock_guard lock(metrics_mutex_);
  metric_sums_.loss += static_cast<double>(loss) * static_cast<double>(data_size);
  metric_sums_.accuracy += static_cast<double>(accuracy) * static_cast<double>(eval_data_size);
  metric_sums_.data_size += data_size;
  metric_sums_.eval_data_size += eval_data_size;
}

Iteration::MetricSums Iteration::metric_sums() const {
  const std::lock_guard lock(metrics_mutex_);
  return metric_sums_;
}

Iteration::Metrics Iteration::MetricSums::Mean() const {
  Metrics mean;
  mean.loss = data_size == 0 ? loss : loss / static_cast<double>(data_size);
  mean.accuracy = eval_data_size == 0 ? accuracy : accuracy / static_cast<double>(eval_data_size);
  return mean;
}

}  // namespace msfl::job
