// The newest models by iteration number; the rule by which getModel finds one (rounds.md section 7).
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>

#include "model/model.h"

namespace msfl::model {

class History {
 public:
  static constexpr std::size_t kKept = 3;

  struct Entry {
    std::uint64_t iteration = 0;
    std::shared_ptr<const Model> model;
  };

  // Drops every model numbered >= iteration first, then the oldest beyond kKept. Thread-safe, as all of it.
  void Store(std::uint64_t iteration, std::shared_ptr<const Model> model);
  // Forgets everything and starts with this one (start-up, new instance).
  void Restart(std::uint64_t iteration, std::shared_ptr<const Model> model);
  Entry Latest() const;
  // The model of that iteration, or the latest when it is not stored.
  Entry FindOrLatest(std::int64_t iteration) const;

 private:
  mutable std::mutex mutex_;
  std::map<std::uint64_t, std::shared_ptr<const Model>> models_;
};

}  // namespace msfl::model
