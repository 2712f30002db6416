#include "net/address_shares.h"

#include <cstdint>

namespace msfl::net {

std::size_t AddressShares::Ceiling(std::size_t count, double share) {
  if (share >= 1.0) return SIZE_MAX;  // also while a newcomer is there beside the idle one it replaces
  const double allowed = share * static_cast<double>(count);
  return allowed >= 1.0 ? static_cast<std::size_t>(allowed) : 1;
}

AddressShares::Hold AddressShares::Take(const AddressKey& key) {
  const std::lock_guard lock(mutex_);
  std::size_t& count = by_address_[key];
  if (count >= ceiling_) return {};
  ++count;
  held_.fetch_add(1, std::memory_order_relaxed);
  return Hold(shared_from_this(), key);
}

std::size_t AddressShares::addresses() const {
  const std::lock_guard lock(mutex_);
  return by_address_.size();
}

void AddressShares::Give(const AddressKey& key) noexcept {
  const std::lock_guard lock(mutex_);
  held_.fetch_sub(1, std::memory_order_relaxed);
  const auto found = by_address_.find(key);
  if (--found->second == 0) by_address_.erase(found);
}

}  // namespace msfl::net
