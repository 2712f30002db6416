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
                     BufferPool& pool, std::string node_id)
    : part(std::make_shared<recovery::Part>(recovery::PartKey{key.instance, key.number, std::move(node_id)},
                                            start_model->layout_ptr(), pool)),
      sum(part->sum),
      key_(std::move(key)),
      rules_(rules),
      start_model_(std::move(start_model)),
      pool_(pool),
      made_ms_(WallMillis()) {}

void Iteration::Supersede() {
  superseded = true;
  spoilt = false;
  part->SetMetrics(MetricSums());
}

void Iteration::TakeOver(std::shared_ptr<recovery::Part> other) {
  const std::lock_guard lock(mutex_);
  taken_over_.push_back(std::move(other));
}

std::vector<std::shared_ptr<recovery::Part>> Iteration::taken_over() const {
  const std::lock_guard lock(mutex_);
  return taken_over_;
}

// In memory of its own: what was merged before may be read by others, who combine the sums of other members,
// and parts stay what they are.
std::shared_ptr<model::RunningSum> Iteration::WholeSum() {
  const std::lock_guard lock(mutex_);
  const bool own = !superseded && sum.uploads() > 0;
  if (taken_over_.empty()) {
    std::shared_ptr<model::RunningSum> mine;
    if (own) mine = std::shared_ptr<model::RunningSum>(part, &part->sum);
    return mine;
  }
  if (whole_ != nullptr && merged_ == taken_over_.size()) return whole_;
  const std::shared_ptr<const model::Layout>& layout = start_model_->layout_ptr();
  whole_ = std::make_shared<model::RunningSum>(layout, pool_);
  const std::vector<std::uint64_t> none(layout->features().size());
  std::ranges::fill(whole_->Restore(none, 0), 0.0);
  if (own) whole_->Absorb(sum);
  for (const auto& other : taken_over_) {
    if (other->sum.uploads() > 0) whole_->Absorb(other->sum);
  }
  merged_ = taken_over_.size();
  return whole_;
}

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
  part->AddMetrics(loss, data_size, accuracy, eval_data_size);
}

Iteration::MetricSums Iteration::metric_sums() const {
  MetricSums sums = part->metrics();
  for (const auto& other : taken_over()) sums.Add(other->metrics());
  return sums;
}

}  // namespace msfl::job
