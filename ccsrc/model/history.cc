#include "model/history.h"

#include <algorithm>
#include <utility>

namespace msfl::model {

void History::Store(std::uint64_t iteration, std::shared_ptr<const Model> model) {
  Models dropped;
  {
    const std::lock_guard lock(mutex_);
    for (auto it = models_.lower_bound(iteration); it != models_.end();)
      dropped.insert(models_.extract(it++));
    while (models_.size() >= kKept) dropped.insert(models_.extract(models_.begin()));
    model->SetWithdrawn(false);
    models_.emplace(iteration, std::move(model));
  }
  Retire(std::move(dropped));
}

void History::Restart(std::uint64_t iteration, std::shared_ptr<const Model> model) {
  Models dropped;
  {
    const std::lock_guard lock(mutex_);
    model->SetWithdrawn(false);
    models_.swap(dropped);
    models_.emplace(iteration, std::move(model));
  }
  Retire(std::move(dropped));
}

void History::Retire(Models dropped) {
  // Whoever is the last owner of a large model gives much memory back: not with the lock held.
  std::vector<std::weak_ptr<const Model>> leaving;
  for (const auto& [number, model] : dropped) leaving.push_back(model);
  dropped.clear();
  std::vector<std::shared_ptr<const Model>> alive;
  const std::lock_guard lock(mutex_);
  const auto stored = [this](const std::shared_ptr<const Model>& model) {
    return std::any_of(models_.begin(), models_.end(),
                       [&](const auto& entry) { return entry.second == model; });
  };
  leaving.insert(leaving.begin(), retired_.begin(), retired_.end());
  retired_.clear();
  std::uint64_t bytes = 0;
  for (auto it = leaving.rbegin(); it != leaving.rend(); ++it) {
    std::shared_ptr<const Model> model = it->lock();
    if (model == nullptr || stored(model) || std::find(alive.begin(), alive.end(), model) != alive.end())
      continue;
    bytes += model->bytes();
    if (alive.empty() || bytes <= retired_bytes_) {
      retired_.insert(retired_.begin(), *it);
    } else {
      model->SetWithdrawn(true);
    }
    alive.push_back(std::move(model));
  }
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
