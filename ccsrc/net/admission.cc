#include "net/admission.h"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <cstdint>
#include <utility>

namespace msfl::net {

Admission::Admission(EventLoops& loops, std::shared_ptr<HttpContext> context)
    : loops_(loops),
      context_(std::move(context)),
      shares_(std::make_shared<AddressShares>(
          AddressShares::Ceiling(context_->options.max_connections, context_->options.address_share))),
      under_way_(loops.io_count()) {}

Task<AddressShares::Hold> Admission::Admit(std::shared_ptr<Admission> self, AddressKey address) {
  AddressShares::Hold place = self->shares_->Take(address);
  if (!place) {
    self->Count(HttpLimit::kAddressConnections);
    co_return place;
  }
  const bool room = co_await MakePlace(self);
  if (!room) {
    self->Count(HttpLimit::kConnections);
    place = {};
  }
  co_return place;
}

Task<bool> Admission::MakePlace(std::shared_ptr<Admission> self) {
  const std::size_t places = self->context_->options.max_connections;
  while (self->shares_->held() > places) {
    std::size_t under_way = 0;
    for (const auto& count : self->under_way_) under_way += count;
    const std::size_t held =
        self->shares_->held();  // after the others: an eviction gives its place back first
    if (held <= places + under_way) break;
    const std::optional<std::size_t> index = self->LoopOfLongestIdle();
    if (!index) co_return false;
    if (under_way < kAhead && held <= places + kAhead) {
      ++self->under_way_[*index];
      asio::post(self->loops_.loop(*index), [self, loop = *index] {
        self->Evict(loop);
        --self->under_way_[loop];
      });
    } else {
      const bool evicted = co_await EvictIdle(self);
      if (!evicted) co_return false;
    }
  }
  co_return true;
}

Task<bool> Admission::EvictIdle(std::shared_ptr<Admission> self) {
  const std::optional<std::size_t> index = self->LoopOfLongestIdle();
  if (!index) co_return false;
  const bool evicted =
      co_await asio::co_spawn(self->loops_.loop(*index).get_executor(), EvictOn(self, *index), kAwait);
  co_return evicted;
}

Task<bool> Admission::EvictOn(std::shared_ptr<Admission> self, std::size_t index) {
  co_return self->Evict(index);
}

bool Admission::Evict(std::size_t index) {
  const bool evicted = context_->loops[index].sessions.EvictIdle();
  if (evicted) Count(HttpLimit::kIdleEvicted);
  return evicted;
}

std::optional<std::size_t> Admission::LoopOfLongestIdle() const {
  std::optional<std::size_t> best;
  std::int64_t since = SessionList::kNoneIdle;
  for (std::size_t i = 0; i < under_way_.size(); ++i) {
    const SessionList& sessions = context_->loops[i].sessions;
    if (sessions.idle_count() <= under_way_[i] || sessions.idle_since() >= since) continue;
    since = sessions.idle_since();
    best = i;
  }
  return best;
}

}  // namespace msfl::net
