#include "job/rules.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <sstream>

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

// As 0.2 cuts its windows; one below a second is over at once.
std::uint64_t WholeSeconds(std::uint64_t ms) { return std::max<std::uint64_t>(ms / 1000 * 1000, 1); }

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
           Adopt(cached, "round_minimum", round.minimum),
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
  // What completes an iteration is enough when its window is over, too.
  rules.thresholds.minimum = std::min(round.minimum, rules.thresholds.update_model);
  rules.windows.start_fl_job = round.start_fl_job_time_window;
  rules.windows.update_model = round.update_model_time_window;
  rules.windows.global_iteration = round.global_iteration_time_window;
  rules.round_window_sum = rules.windows.start_fl_job + rules.windows.update_model;
  rules.as_release_0_2 = options.as_release_0_2;
  if (options.as_release_0_2) {
    for (std::uint64_t* window :
         {&rules.windows.start_fl_job, &rules.windows.update_model, &rules.windows.global_iteration})
      *window = WholeSeconds(*window);
  }
  return rules;
}

Result<ServerOptions> AdoptCipher(ServerOptions options, const Cached& cached) {
  for (const Result<void>& adopted : {
           Adopt(cached, "dp_eps", options.dp_eps),
           Adopt(cached, "dp_delta", options.dp_delta),
           Adopt(cached, "dp_norm_clip", options.dp_norm_clip),
           Adopt(cached, "sign_k", options.sign_k),
           Adopt(cached, "sign_eps", options.sign_eps),
           Adopt(cached, "sign_thr_ratio", options.sign_thr_ratio),
           Adopt(cached, "sign_global_lr", options.sign_global_lr),
           Adopt(cached, "sign_dim_out", options.sign_dim_out),
           Adopt(cached, "laplace_eval_eps", options.laplace_eval_eps),
           Adopt(cached, "reconstruct_secrets_threshold", options.reconstruct_secrets_threshold),
           Adopt(cached, "upload_sparse_rate", options.upload_sparse_rate),
       }) {
    if (!adopted) return adopted.error();
  }
  const auto encrypt_type = cached.find("encrypt_type");
  if (encrypt_type != cached.end()) options.encrypt_type = encrypt_type->second;
  return options;
}

namespace {

constexpr const char* kMustBeEqual[] = {"aggregation_type", "enable_ssl", "pki_verify"};

// 0.5 and 0.50 are the same value, and so is what float32 can't tell apart.
bool SameValue(const std::string& one, const std::string& other) {
  if (one == other) return true;
  float first = 0, second = 0;
  const auto parsed = [](const std::string& text, float& value) {
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    return error == std::errc() && end == text.data() + text.size();
  };
  const bool whole = one.find_first_not_of("0123456789") == std::string::npos &&
                     other.find_first_not_of("0123456789") == std::string::npos;
  return !whole && parsed(one, first) && parsed(other, second) && first == second;
}

}  // namespace

Result<void> CompareHyperParameters(const HyperParameters& file, const HyperParameters& cached) {
  for (const char* name : kMustBeEqual) {
    const auto mine = file.find(name), theirs = cached.find(name);
    if (mine == file.end() || theirs == cached.end() || mine->second == theirs->second) continue;
    return Error{Errc::kDisagreement,
                 std::string("Context '") + name + "' " + mine->second + " of local != that " +
                     theirs->second +
                     " declared in distributed cache. Start every Server of a job alike; "
                     "to begin anew run `msfl reset`, or choose another fl_name"};
  }
  return {};
}

std::string SettingsText(const HyperParameters& settings) {
  std::string text;
  for (const auto& [name, value] : settings) text += name + '=' + value + '\n';
  return text;
}

Error OtherSettings(const HyperParameters& file, const std::string& theirs) {
  HyperParameters other;
  std::istringstream lines(theirs);
  for (std::string line; std::getline(lines, line);) {
    const std::size_t sign = line.find('=');
    if (sign != std::string::npos) other[line.substr(0, sign)] = line.substr(sign + 1);
  }
  std::string text;
  const auto add = [&](const std::string& name, const std::string& mine, const std::string& found) {
    text += "\n  " + name + ": this Server's file says " + mine + ", they have " + found;
  };
  for (const auto& [name, mine] : file) {
    const auto found = other.find(name);
    if (found == other.end()) {
      add(name, "'" + mine + "'", "none");
    } else if (found->second != mine) {
      add(name, "'" + mine + "'", "'" + found->second + "'");
    }
  }
  for (const auto& [name, found] : other) {
    if (!file.contains(name)) add(name, "nothing", "'" + found + "'");
  }
  return {Errc::kDisagreement, "the Servers of this job that are running have other settings:" + text +
                                   "\nStart every Server of a job alike, or end the others first"};
}

std::vector<std::string> AdoptedValues(const HyperParameters& file, const HyperParameters& cached) {
  std::vector<std::string> lines;
  for (const auto& [name, mine] : file) {
    const auto theirs = cached.find(name);
    if (theirs == cached.end() || SameValue(mine, theirs->second)) continue;
    lines.push_back(name + ": file says " + mine + ", the running instance has " + theirs->second);
  }
  return lines;
}

}  // namespace msfl::job
