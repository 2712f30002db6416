// A connection to the port for other Servers, from its first request to its end.
#pragma once

#include <atomic>
#include <boost/asio/ip/address.hpp>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "base/task.h"
#include "net/live_count.h"
#include "net/peer_frame.h"
#include "net/peer_places.h"
#include "net/peer_server.h"
#include "net/peer_socket.h"

namespace msfl::net {

// What sessions and their server share. Thread-safe.
struct PeerContext {
  PeerContext(PeerServerOptions options_, PeerHandler handler_)
      : options(options_),
        handler(std::move(handler_)),
        places(options.max_servers, options.max_strangers, options.address_share) {}

  // Logged once a minute for each address.
  void Complain(const std::string& address, const std::string& what);

  const PeerServerOptions options;
  const PeerHandler handler;
  PeerPlaces places;
  const std::shared_ptr<PeerTraffic> traffic = std::make_shared<PeerTraffic>();
  std::uint16_t port = 0;
  std::atomic<bool> stopping{false};

 private:
  std::mutex mutex_;
  std::map<std::string, SteadyClock::time_point> complained_;
};

class PeerSession {
 public:
  // `socket` has entered the places. `hold` counts the session as live from before it starts.
  static Task<> Run(std::shared_ptr<PeerContext> context, std::shared_ptr<PeerSocket> socket,
                    boost::asio::ip::address address, LiveHold hold);

 private:
  PeerSession(PeerContext& context, std::shared_ptr<PeerSocket> socket,
              const boost::asio::ip::address& address)
      : context_(context), socket_(std::move(socket)), address_(address) {}

  // These are awaited by Run alone, whose frame has the session.
  Task<> Serve();
  Task<bool> ReadRequest(PeerFrameReader& reader);
  Task<bool> Send(const PeerAnswer& answer);
  void Struck(PeerLimit limit) { context_.places.strikes().Note(limit, address_); }

  PeerContext& context_;
  const std::shared_ptr<PeerSocket> socket_;
  const boost::asio::ip::address address_;
  bool stranger_ = true;
  const SteadyClock::time_point begun_ = SteadyClock::now();
};

}  // namespace msfl::net
