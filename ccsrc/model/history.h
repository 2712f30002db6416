// The newest models by iteration number; the rule by which getModel finds one (rounds.md section 7). What has
// left it is held by its readers alone: `retired_bytes` bounds what slow ones can keep.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "model/model.h"

namespace msfl::model {

class History {
 public:
  static constexpr std::size_t kKept = 3;

  struct Entry {
    std::uint64_t iteration = 0;
    std::shared_ptr<const Model> model;
  };

  // Of the models that have left and are still held, the newest stay up to `retired_bytes` (but the last one
  // always); the others are withdrawn.
  explicit History(std::uint64_t retired_bytes = UINT64_MAX) : retired_bytes_(retired_bytes) {}

  // Drops every model numbered >= iteration first, then the oldest beyond kKept. The same model may stand
  // under several numbers, and come again after it was dropped. Thread-safe, as all of it.
  void Store(std::uint64_t iteration, std::shared_ptr<const Model> model);
  // Forgets everything and starts with this one (start-up, new instance).
  void Restart(std::uint64_t iteration, std::shared_ptr<const Model> model);
  Entry Latest() const;
  // The model of that iteration, or the latest when it is not stored.
  Entry FindOrLatest(std::int64_t iteration) const;

 private:
  using Models = std::map<std::uint64_t, std::shared_ptr<const Model>>;
  void Retire(Models dropped);

  mutable std::mutex mutex_;
  const std::uint64_t retired_bytes_;
  Models models_;
  std::vector<std::weak_ptr<const Model>> retired_;  // not withdrawn; oldest first
};

}  // namespace msfl::model
