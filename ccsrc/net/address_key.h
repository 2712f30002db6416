// Whom a connection is counted against: an IPv4 address, or an IPv6 network of 64 bits, since one subscriber
// has all of that.
#pragma once

#include <algorithm>
#include <array>
#include <boost/asio/ip/address.hpp>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace msfl::net {

struct AddressKey {
  std::array<unsigned char, 16> bytes{};  // of the IPv6 address; IPv4 as ::ffff:a.b.c.d

  AddressKey() = default;
  explicit AddressKey(const boost::asio::ip::address& address) {
    if (address.is_v4()) {
      bytes = boost::asio::ip::make_address_v6(boost::asio::ip::v4_mapped, address.to_v4()).to_bytes();
      return;
    }
    bytes = address.to_v6().to_bytes();
    if (!address.to_v6().is_v4_mapped())
      std::fill(bytes.begin() + 8, bytes.end(), static_cast<unsigned char>(0));
  }

  bool operator==(const AddressKey&) const = default;
};

struct AddressKeyHash {
  std::size_t operator()(const AddressKey& key) const noexcept {
    std::uint64_t halves[2];
    std::memcpy(halves, key.bytes.data(), sizeof halves);
    std::uint64_t mixed = (halves[0] ^ (halves[1] + 0x9e3779b97f4a7c15U)) * 0xff51afd7ed558ccdU;
    return static_cast<std::size_t>(mixed ^ (mixed >> 32));
  }
};

}  // namespace msfl::net
