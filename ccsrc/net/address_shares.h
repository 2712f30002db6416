// How many there are of something that connections hold (places, requests that wait), and how many of them
// each address has. An entry lives only as long as its address holds something, so it takes memory in
// proportion to the connections. Thread-safe.
#pragma once

#include <atomic>
#include <cstddef>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <utility>

#include "net/address_key.h"

namespace msfl::net {

class AddressShares : public std::enable_shared_from_this<AddressShares> {
 public:
  // One of an address, given back with it. Movable; empty when made without arguments.
  class Hold {
   public:
    Hold() = default;
    Hold(Hold&& other) noexcept = default;
    Hold& operator=(Hold&& other) noexcept {
      Hold(std::move(other)).Swap(*this);
      return *this;
    }
    ~Hold() {
      if (shares_) shares_->Give(key_);
    }
    explicit operator bool() const { return shares_ != nullptr; }

   private:
    friend class AddressShares;
    Hold(std::shared_ptr<AddressShares> shares, const AddressKey& key)
        : shares_(std::move(shares)), key_(key) {}
    void Swap(Hold& other) noexcept {
      shares_.swap(other.shares_);
      std::swap(key_, other.key_);
    }

    std::shared_ptr<AddressShares> shares_;  // its own: it may outlive the server
    AddressKey key_;
  };

  // What one address may hold of `count`, at least one; without a limit from a `share` of 1.0 on.
  static std::size_t Ceiling(std::size_t count, double share);

  // `ceiling` (>= 1) is what one address may hold. To be owned by a shared_ptr.
  explicit AddressShares(std::size_t ceiling) : ceiling_(ceiling) {}
  AddressShares(const AddressShares&) = delete;
  AddressShares& operator=(const AddressShares&) = delete;

  // Empty if the address holds its share already.
  Hold Take(const AddressKey& key);
  std::size_t held() const { return held_.load(std::memory_order_relaxed); }
  std::size_t addresses() const;

 private:
  void Give(const AddressKey& key) noexcept;

  const std::size_t ceiling_;
  std::atomic<std::size_t> held_{0};
  mutable std::mutex mutex_;
  std::unordered_map<AddressKey, std::size_t, AddressKeyHash> by_address_;
};

}  // namespace msfl::net
