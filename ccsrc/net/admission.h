// Who gets a place among the connections of a server: up to the ceiling everybody whose address does not hold
// its share; beyond, a newcomer gets the place of the connection that is idle for longest.
#pragma once

#include <atomic>
#include <cstddef>
#include <memory>
#include <optional>
#include <vector>

#include "net/address_shares.h"
#include "net/event_loops.h"
#include "net/http_context.h"

namespace msfl::net {

// Used by the loop that accepts.
class Admission {
 public:
  // How many newcomers may be let in before the idle connections that give their places are closed, which is
  // done by their own loops: by so many the ceiling may be exceeded for a moment.
  static constexpr std::size_t kAhead = 64;

  Admission(EventLoops& loops, std::shared_ptr<HttpContext> context);

  // Empty: the newcomer is to be closed; why is counted.
  static Task<AddressShares::Hold> Admit(std::shared_ptr<Admission> self, AddressKey address);
  // Closes the connection that is idle for longest. False if there is none.
  static Task<bool> EvictIdle(std::shared_ptr<Admission> self);

 private:
  static Task<bool> MakePlace(std::shared_ptr<Admission> self);
  static Task<bool> EvictOn(std::shared_ptr<Admission> self, std::size_t index);
  bool Evict(std::size_t index);
  std::optional<std::size_t> LoopOfLongestIdle() const;
  void Count(HttpLimit limit) { context_->stats.Limit(limit).fetch_add(1, std::memory_order_relaxed); }

  EventLoops& loops_;
  const std::shared_ptr<HttpContext> context_;
  const std::shared_ptr<AddressShares> shares_;
  std::vector<std::atomic<std::size_t>> under_way_;  // evictions, for each loop
};

}  // namespace msfl::net
