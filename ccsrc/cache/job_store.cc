#include "cache/job_store.h"

#include <charconv>
#include <utility>

#include "cache/job_store_impl.h"

namespace msfl::cache {

JobStore::JobStore(RedisClient& redis, JobStoreOptions options)
    : impl_(std::make_unique<Impl>(redis, std::move(options))) {}

JobStore::~JobStore() = default;

void JobStore::SetRules(Windows windows, Thresholds thresholds, std::uint64_t iterations) {
  auto rules = std::make_shared<const RuleTexts>(windows, thresholds, iterations);
  const std::lock_guard lock(impl_->mutex_);
  impl_->rules_ = std::move(rules);
}

JobEvent ParseJobEvent(std::string_view line) {
  using Kind = JobEvent::Kind;
  static constexpr std::pair<std::string_view, Kind> kKinds[] = {{"start_full", Kind::kStartFull},
                                                                 {"start_open", Kind::kStartOpen},
                                                                 {"update_full", Kind::kUpdateFull},
                                                                 {"counted_full", Kind::kCountedFull},
                                                                 {"moved", Kind::kMoved},
                                                                 {"state", Kind::kState},
                                                                 {"deadline", Kind::kDeadline},
                                                                 {"instance", Kind::kInstance},
                                                                 {"summary", Kind::kSummary},
                                                                 {"recorded", Kind::kRecorded},
                                                                 {"leave", Kind::kLeave}};
  JobEvent event;
  const auto first = line.find(' '), last = line.rfind(' ');
  if (first == std::string_view::npos || first == last) return event;
  const std::string_view number = line.substr(last + 1);
  const auto [end, fault] =
      std::from_chars(number.data(), number.data() + number.size(), event.iteration.number);
  if (fault != std::errc() || end != number.data() + number.size()) return JobEvent();
  event.iteration.instance = line.substr(first + 1, last - first - 1);
  for (const auto& [name, kind] : kKinds) {
    if (line.substr(0, first) == name) event.kind = kind;
  }
  return event;
}

void JobStore::Watch(std::function<void(const JobEvent&)> on_event, std::function<void()> on_gap) {
  impl_->redis.Subscribe(
      impl_->keys.events,
      [on_event = std::move(on_event)](std::string_view line) { on_event(ParseJobEvent(line)); },
      std::move(on_gap));
}

}  // namespace msfl::cache
