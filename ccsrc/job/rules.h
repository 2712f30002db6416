// The numbers an instance runs by: thresholds, windows, length and the plan for devices. The first Server of
// an instance publishes them; every later one adopts what it finds in the cache (rounds.md, section 9).
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/error.h"
#include "cache/job_store.h"
#include "options/server_options.h"

namespace msfl::job {

struct Rules {
  cache::Thresholds thresholds;
  cache::Windows windows;
  std::uint64_t iterations = 0;
  ClientPlan plan;
  bool as_release_0_2 = false;

  // Sum of the windows of all rounds that have one, in ms and not cut: what `next_req_time` adds to the start
  // of an iteration.
  std::uint64_t round_window_sum = 0;
};

// ceil(threshold * ratio), the product taken in float32 (rounds.md, section 2).
std::uint64_t UpdateThreshold(std::uint64_t start_fl_job_threshold, double ratio);

// The rules of `options`, with every number that `cached` names replaced by the cached one.
// Errc::kDisagreement when a cached value can't be read, or no iteration could be run by it.
Result<Rules> MakeRules(const ServerOptions& options, const std::map<std::string, std::string>& cached);

// What devices are told besides the rules, and no new instance changes: `options` with what `cached` names.
// Errc::kDisagreement when a value can't be read.
Result<ServerOptions> AdoptCipher(ServerOptions options, const std::map<std::string, std::string>& cached);

using HyperParameters = std::map<std::string, std::string>;

// Errc::kDisagreement when the file and the running instance can't go together: aggregation_type,
// enable_ssl and pki_verify.
Result<void> CompareHyperParameters(const HyperParameters& file, const HyperParameters& cached);
// `<name>: file says <x>, the running instance has <y>`, one for each other value that differs.
std::vector<std::string> AdoptedValues(const HyperParameters& file, const HyperParameters& cached);

// Of settings that the Servers of a cluster have to have alike, one `<name>=<value>` line for each.
std::string SettingsText(const HyperParameters& settings);
// Errc::kDisagreement, naming each difference between this Server's settings and those of the living ones.
Error OtherSettings(const HyperParameters& file, const std::string& theirs);

}  // namespace msfl::job
