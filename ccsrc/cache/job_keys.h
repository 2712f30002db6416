// Names of the rows of a job's record, see job_store.h.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "cache/job_store.h"

namespace msfl::cache {

// `ms_fl:{<fl_name>}:`. Braces and percent signs of the name are written as %7B, %7D and %25: the name stands
// alone between the first two braces, so no two jobs share a row and all rows of one have the same hash tag.
std::string KeyPrefix(std::string_view fl_name);

struct JobKeys {
  explicit JobKeys(std::string_view fl_name);
  std::string Alive(std::string_view node_id) const { return prefix + "alive:" + std::string(node_id); }

  std::string prefix, instance, model, epoch, nodes, leaving, settings, forgotten, events;
};

struct IterationKeys {
  IterationKeys(const JobKeys& job, IterationKey of);

  IterationKey iteration;
  std::string number;  // of the iteration, as text
  std::string status, hyper, round, devices, updates, summary;
};

}  // namespace msfl::cache
