#include "cache/job_keys.h"

#include <utility>

namespace msfl::cache {

std::string KeyPrefix(std::string_view fl_name) {
  std::string prefix = "ms_fl:{";
  for (const char c : fl_name) {
    if (c == '{') {
      prefix += "%7B";
    } else if (c == '}') {
      prefix += "%7D";
    } else if (c == '%') {
      prefix += "%25";
    } else {
      prefix += c;
    }
  }
  return prefix + "}:";
}

JobKeys::JobKeys(std::string_view fl_name)
    : prefix(KeyPrefix(fl_name)),
      instance(prefix + "instance"),
      model(prefix + "model"),
      epoch(prefix + "epoch"),
      nodes(prefix + "nodes"),
      leaving(prefix + "leaving"),
      settings(prefix + "settings"),
      forgotten(prefix + "forgotten"),
      events(prefix + "events") {}

IterationKeys::IterationKeys(const JobKeys& job, IterationKey of)
    : iteration(std::move(of)), number(std::to_string(iteration.number)) {
  const std::string of_instance = job.prefix + iteration.instance + ":";
  const std::string of_iteration = of_instance + number + ":";
  status = of_instance + "status";
  hyper = of_instance + "hyper";
  round = of_iteration + "round";
  devices = of_iteration + "devices";
  updates = of_iteration + "updates";
  summary = of_iteration + "summary";
}

}  // namespace msfl::cache
