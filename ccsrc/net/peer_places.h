// Who may hold a connection to the port for other Servers. A newcomer is a stranger until it has sent a
// request of this job. Strangers have few places of their own, so that they take none from Servers, and
// always find one: when all are taken, the address that holds most of them loses its oldest. So who floods
// the port displaces itself.
#pragma once

#include <boost/asio/ip/address.hpp>
#include <cstddef>
#include <list>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "net/address_key.h"
#include "net/address_shares.h"
#include "net/peer_socket.h"
#include "net/peer_strikes.h"

namespace msfl::net {

// Thread-safe. Sockets are named by their address in memory, and never touched.
class PeerPlaces {
 public:
  // `servers`, `strangers`: places of each kind, at least one; one address may hold `address_share` of the
  // former.
  PeerPlaces(std::size_t servers, std::size_t strangers, double address_share);

  // The stranger that gives way to the newcomer, and is to be closed; null: none had to.
  std::shared_ptr<PeerSocket> Enter(const std::shared_ptr<PeerSocket>& socket,
                                    const boost::asio::ip::address& address);
  // It has sent a request of this job. False: it has no place any more, and is to be closed.
  bool Recognise(const PeerSocket* socket);
  void Leave(const PeerSocket* socket) noexcept;

  std::size_t connections() const;
  std::vector<std::shared_ptr<PeerSocket>> Open() const;
  PeerStrikes& strikes() { return strikes_; }
  const PeerStrikes& strikes() const { return strikes_; }

 private:
  struct Connection {
    std::weak_ptr<PeerSocket> socket;
    const PeerSocket* name = nullptr;
    boost::asio::ip::address address;
    AddressKey key;
    AddressShares::Hold place;  // of a Server
  };
  using Connections = std::list<Connection>;

  std::shared_ptr<PeerSocket> Displace();
  void NoStranger(const AddressKey& key) noexcept;

  const std::size_t server_places_, stranger_places_;
  PeerStrikes strikes_;
  const std::shared_ptr<AddressShares> shares_;
  mutable std::mutex mutex_;
  Connections strangers_, servers_;  // oldest first
  std::unordered_map<AddressKey, std::size_t, AddressKeyHash> strangers_of_;
  std::unordered_map<const PeerSocket*, Connections::iterator> by_name_;
};

}  // namespace msfl::net
