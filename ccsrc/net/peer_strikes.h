// Which limits of the port for other Servers have struck, and whom: for the log and for monitoring.
#pragma once

#include <array>
#include <boost/asio/ip/address.hpp>
#include <cstddef>
#include <cstdint>
#include <mutex>

namespace msfl::net {

// Why a connection was closed. A stranger is one that has not sent a request of this job yet.
enum class PeerLimit {
  kConnections,         // a Server, all places are taken
  kAddressConnections,  // a Server whose address holds its share of the places
  kStrangerDisplaced,   // a stranger that gave its place to a newcomer
  kStrangerTime,        // no request of this job came in time
  kRequestTime,         // a request that began did not go on
  kIdleTime,            // no request came
  kAnswerTime,          // an answer was taken too slowly
  kMessage,             // what came is no request
  kCount
};

// Thread-safe.
class PeerStrikes {
 public:
  struct Count {
    std::uint64_t times = 0;
    boost::asio::ip::address last;  // whom it has struck last
  };

  void Note(PeerLimit limit, const boost::asio::ip::address& address) {
    const std::lock_guard lock(mutex_);
    Count& count = counts_[static_cast<std::size_t>(limit)];
    ++count.times;
    count.last = address;
  }
  Count Of(PeerLimit limit) const {
    const std::lock_guard lock(mutex_);
    return counts_[static_cast<std::size_t>(limit)];
  }

 private:
  mutable std::mutex mutex_;
  std::array<Count, static_cast<std::size_t>(PeerLimit::kCount)> counts_;
};

}  // namespace msfl::net
