#include "net/peer_places.h"

#include <algorithm>
#include <utility>

namespace msfl::net {

PeerPlaces::PeerPlaces(std::size_t servers, std::size_t strangers, double address_share)
    : server_places_(servers),
      stranger_places_(strangers),
      shares_(std::make_shared<AddressShares>(AddressShares::Ceiling(servers, address_share))) {}

std::shared_ptr<PeerSocket> PeerPlaces::Enter(const std::shared_ptr<PeerSocket>& socket,
                                              const boost::asio::ip::address& address) {
  Connections made(1);
  Connection& connection = made.front();
  connection.socket = socket;
  connection.name = socket.get();
  connection.address = address;
  connection.key = AddressKey(address);
  const std::lock_guard lock(mutex_);
  // What may lack memory comes first, and leaves nothing behind that counts.
  const auto of = strangers_of_.try_emplace(connection.key, 0).first;
  by_name_.emplace(socket.get(), made.begin());
  ++of->second;
  strangers_.splice(strangers_.end(), made);
  return strangers_.size() > stranger_places_ ? Displace() : nullptr;
}

std::shared_ptr<PeerSocket> PeerPlaces::Displace() {
  const auto most =
      std::ranges::max_element(strangers_of_, {}, [](const auto& entry) { return entry.second; })->second;
  const auto oldest = std::ranges::find_if(
      strangers_, [&](const Connection& connection) { return strangers_of_.at(connection.key) == most; });
  std::shared_ptr<PeerSocket> socket = oldest->socket.lock();
  strikes_.Note(PeerLimit::kStrangerDisplaced, oldest->address);
  NoStranger(oldest->key);
  by_name_.erase(oldest->name);
  strangers_.erase(oldest);
  return socket;
}

bool PeerPlaces::Recognise(const PeerSocket* socket) {
  const std::lock_guard lock(mutex_);
  const auto found = by_name_.find(socket);
  if (found == by_name_.end()) return false;  // displaced a moment ago
  Connection& connection = *found->second;
  const bool full = servers_.size() >= server_places_;
  if (!full) connection.place = shares_->Take(connection.key);
  if (!connection.place) {
    strikes_.Note(full ? PeerLimit::kConnections : PeerLimit::kAddressConnections, connection.address);
    return false;
  }
  NoStranger(connection.key);
  servers_.splice(servers_.end(), strangers_, found->second);
  return true;
}

void PeerPlaces::Leave(const PeerSocket* socket) noexcept {
  const std::lock_guard lock(mutex_);
  const auto found = by_name_.find(socket);
  if (found == by_name_.end()) return;
  const auto connection = found->second;
  by_name_.erase(found);
  if (connection->place) {
    servers_.erase(connection);
  } else {
    NoStranger(connection->key);
    strangers_.erase(connection);
  }
}

void PeerPlaces::NoStranger(const AddressKey& key) noexcept {
  const auto found = strangers_of_.find(key);
  if (--found->second == 0) strangers_of_.erase(found);
}

std::size_t PeerPlaces::connections() const {
  const std::lock_guard lock(mutex_);
  return by_name_.size();
}

std::vector<std::shared_ptr<PeerSocket>> PeerPlaces::Open() const {
  std::vector<std::shared_ptr<PeerSocket>> open;
  const std::lock_guard lock(mutex_);
  open.reserve(by_name_.size());
  for (const Connections* connections : {&strangers_, &servers_}) {
    for (const Connection& connection : *connections) {
      if (auto socket = connection.socket.lock()) open.push_back(std::move(socket));
    }
  }
  return open;
}

}  // namespace msfl::net
