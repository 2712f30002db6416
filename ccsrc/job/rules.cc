#include "job/rules.h"

#include <charconv>
#include <cmath>

namespace msfl::job {
namespace {

using Cached = std::map<std::string, std::string>;

// Leaves `value` alone when the cache does not name `key`.
template <class T>
Result<void> Adopt(const Cached& cached, const char* key, T& value) {
  const auto found = cached.find(key);
  if (found == cached.end()) return {};
  const std::string& text = found->second;
  T parsed{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), parsed);
  if (error != std::errc() || end != text.data() + text.size()) {
    return Error{Errc::kDisagreement, std::string("The hyper-parameter ") + key +
                                          " in the distributed cache is not a number: " + text};
  }
  value = parsed;
  return {};
}

}  // namespace

std::uint64_t UpdateThreshold(std::uint64_t start_fl_job_threshold, double ratio) {
  const float product = static_cast<float>(start_fl_job_threshold) * static_cast<float>(ratio);
  return static_cast<std::uint64_t>(std::ceil(product));
}

Result<Rules> MakeRules(const ServerOptions& options, const Cached& cached) {
  RoundOptions round = options.round;
  Rules rules;
  rules.iterations = options.iterations;
  rules.plan = options.client;
  for (const Result<void>& adopted : {
           Adopt(cached, "start_fl_job_threshold", round.start_fl_job_threshold),
           Adopt(cached, "update_model_ratio", round.update_model_ratio),
           Adopt(cached, "start_fl_job_time_window", round.start_fl_job_time_window),
           Adopt(cached, "update_model_time_window", round.update_model_time_window),
           Adopt(cached, "global_iteration_time_window", round.global_iteration_time_window),
           Adopt(cached, "fl_iteration_num", rules.iterations),
           Adopt(cached, "client_epoch_num", rules.plan.epochs),
           Adopt(cached, "client_batch_size", rules.plan.batch_size),
           Adopt(cached, "client_learning_rate", rules.plan.learning_rate),
       }) {
    if (!adopted) return adopted.error();
  }
  // A threshold of 0 would end every iteration before it has begun. `!(> 0)` because "nan" is a number here.
  if (round.start_fl_job_threshold == 0 || round.start_fl_job_threshold > UINT32_MAX) {
    return Error{Errc::kDisagreement,
                 "The hyper-parameter start_fl_job_threshold in the distributed cache is " +
                     std::to_string(round.start_fl_job_threshold) + "; allowed is 1 to 4294967295"};
  }
  if (!(round.update_model_ratio > 0) || round.update_model_ratio > 1) {
    return Error{Errc::kDisagreement, "The hyper-parameter update_model_ratio in the distributed cache is " +
                                          std::to_string(round.update_model_ratio) +
                                          "; allowed is above 0 and at most 1"};
  }
  rules.thresholds.start_fl_job = round.start_fl_job_threshold;
  rules.thresholds.update_model = UpdateThreshold(round.start_fl_job_threshold, round.update_model_ratio);
  rules.windows.start_fl_job = round.start_fl_job_time_window;
  rules.windows.update_model = round.update_model_time_window;
  rules.windows.global_iteration = round.global_iteration_time_window;
  return rules;
}

}  // namespace msfl::job
