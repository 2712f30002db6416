// A part: what is counted under one Server in one iteration. Its owner has the sum, holders have copies of
// it.
#pragma once

#include <compare>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>

#include "base/buffer.h"
#include "cache/job_types.h"
#include "model/layout.h"
#include "model/metric_sums.h"
#include "model/running_sum.h"
#include "recovery/holder_list.h"
#include "recovery/ledger.h"

namespace msfl::recovery {

struct PartKey {
  std::string instance;
  std::uint64_t iteration = 0;
  std::string part;  // id of the node that it is counted under
  auto operator<=>(const PartKey&) const = default;

  cache::IterationKey in() const { return cache::IterationKey{instance, iteration}; }
};

struct Part {
  Part(PartKey the_key, std::shared_ptr<const model::Layout> layout, BufferPool& pool)
      : key(std::move(the_key)), sum(std::move(layout), pool) {}

  const PartKey key;
  model::RunningSum sum;
  Ledger ledger;
  HolderList holders;  // of what this Server owns

  // Thread-safe:
  void AddMetrics(float loss, std::uint64_t data_size, float accuracy, std::uint64_t eval_data_size) {
    const std::lock_guard lock(metrics_mutex_);
    metrics_.Add(loss, data_size, accuracy, eval_data_size);
  }
  void SetMetrics(const model::MetricSums& sums) {
    const std::lock_guard lock(metrics_mutex_);
    metrics_ = sums;
  }
  model::MetricSums metrics() const {
    const std::lock_guard lock(metrics_mutex_);
    return metrics_;
  }

 private:
  mutable std::mutex metrics_mutex_;
  model::MetricSums metrics_;
};

}  // namespace msfl::recovery
