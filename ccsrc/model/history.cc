#include "model/history.h"

#include <utility>

namespace msfl::model {

void History::Store(std::uint64_t iteration, std::shared_ptr<const Model> model) {
  // Freed after the lock: the last owner of a large model gives much memory back.
  std::map<std::uint64_t, std::shared_ptr<const Model>> dropped;
  const std::lock_guard lock(mutex_);
  for (auto it = models_.lower_bound(iteration); it != models_.end();) dropped.insert(models_.extract(it++));
  while (models_.size() >= kKept) dropped.insert(models_.extract(models_.begin()));
  models_.emplace(iteration, std::move(model));
}

void History::Restart(std::uint64_t iteration, std::shared_ptr<const Model> model) {
  std::map<std::uint64_t, std::shared_ptr<const Model>> fresh;
  fresh.emplace(iteration, std::move(model));
  const std::lock_guard lock(mutex_);
  models_.swap(fresh);
}

History::Entry History::Latest() const {
  const std::lock_guard lock(mutex_);
  if (models_.empty()) return {};
  return {models_.rbegin()->first, models_.rbegin()->second};
}

History::Entry History::FindOrLatest(std::int64_t iteration) const {
  const std::lock_guard lock(mutex_);
  if (models_.empty()) return {};
  auto found = models_.end();
  if (iteration >= 0) found = models_.find(static_cast<std::uint64_t>(iteration));
  if (found == models_.end()) found = std::prev(models_.end());
  return {found->first, found->second};
}

}  // namespace msfl::model
