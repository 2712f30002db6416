// What is told about an iteration when it has ended: first by each Server of what it has seen itself, then by
// one of them, the writer, of what all have seen together.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "cache/job_store.h"
#include "job/iteration.h"

namespace msfl::job {

struct IterationEnded {
  cache::IterationKey key;
  cache::InstanceState state = cache::InstanceState::kRunning;
  std::uint64_t iterations = 0;
  bool valid = false;
  std::string reason;
  std::int64_t started_ms = 0, ended_ms = 0;  // Unix ms; started 0: no device came
  Iteration::MetricSums metric_sums;
  std::map<std::string, std::uint64_t> visits;
  std::shared_ptr<const model::Model> model;  // model `key.number`
  // This Server writes the iteration's files. Another one has done so for those that don't.
  bool writer = true;
};

// This Server's part as text, for the cache.
std::string EncodeSummary(const IterationEnded& ended);
// Adds another Server's part. What can't be read, as of a later version, is left out.
void AddSummary(IterationEnded& ended, const std::string& text);

}  // namespace msfl::job
