#include "server/limit_report.h"

#include <string_view>
#include <utility>

#include "base/log.h"

namespace msfl::server {
namespace {

template <class Limit>
struct Named {
  std::string_view name;  // in the metrics
  Limit limit;
  std::string_view what;  // empty: daily business, or logged elsewhere
  std::string_view key;   // empty: fixed
};

constexpr Named<net::HttpLimit> kLimits[] = {
    {"connections", net::HttpLimit::kConnections, "connections refused, all places are taken",
     "client.connection_num"},
    {"address_connections", net::HttpLimit::kAddressConnections,
     "connections refused, their address has its share of the places", "limits.address_share"},
    {"idle_evicted", net::HttpLimit::kIdleEvicted, "idle connections closed to make room for others",
     "client.connection_num"},
    {"header_time", net::HttpLimit::kHeaderTime, "connections closed, the header of a request took too long",
     "limits.header_time"},
    {"idle_time", net::HttpLimit::kIdleTime, "", "limits.idle_time"},
    {"body_time", net::HttpLimit::kBodyTime, "connections closed, the body of a request came too slowly",
     "limits.stall_time, limits.minimum_rate, limits.transfer_time"},
    {"answer_time", net::HttpLimit::kReplyTime, "connections closed, an answer was taken too slowly",
     "limits.stall_time, limits.minimum_rate, limits.transfer_time"},
    {"old_model", net::HttpLimit::kReplyWithdrawn, "downloads of models that are no longer kept cut off",
     "limits.body_memory"},
    {"body_memory", net::HttpLimit::kBodyMemory, "requests told to come back, no memory for their bodies",
     "limits.body_memory, limits.address_share"},
};
static_assert(std::size(kLimits) == static_cast<std::size_t>(net::HttpLimit::kCount));

// What is no request is logged by the port itself, which can tell what it is.
constexpr Named<net::PeerLimit> kPeerLimits[] = {
    {"peer_connections", net::PeerLimit::kConnections,
     "connections of other Servers refused, all places are taken", ""},
    {"peer_address_connections", net::PeerLimit::kAddressConnections,
     "connections of other Servers refused, their address has its share of the places", ""},
    {"peer_stranger_displaced", net::PeerLimit::kStrangerDisplaced,
     "strangers at the port for other Servers closed to make room for newcomers", ""},
    {"peer_stranger_time", net::PeerLimit::kStrangerTime,
     "strangers at the port for other Servers closed, no request of this job came", ""},
    {"peer_request_time", net::PeerLimit::kRequestTime,
     "connections of other Servers closed, a request took too long", ""},
    {"peer_idle_time", net::PeerLimit::kIdleTime, "", ""},
    {"peer_answer_time", net::PeerLimit::kAnswerTime,
     "connections of other Servers closed, an answer was taken too slowly", ""},
    {"peer_message", net::PeerLimit::kMessage, "", ""},
};
static_assert(std::size(kPeerLimits) == static_cast<std::size_t>(net::PeerLimit::kCount));

// Whom it has struck last is told where it is known.
template <class Limit>
void LogStrikes(const Named<Limit>& named, std::uint64_t now, std::uint64_t& known, const std::string& last) {
  const std::uint64_t before = std::exchange(known, now);
  if (now <= before || named.what.empty()) return;
  const std::uint64_t count = now - before;
  MSFL_LOG(kWarning, "A limit has struck: "
                         << named.what << (named.key.empty() ? "" : " (" + std::string(named.key) + ")")
                         << ", " << count << (count == 1 ? " time, " : " times, ") << now
                         << " since the start" << (last.empty() ? "" : ", last from " + last));
}

}  // namespace

void AddLimits(const net::HttpStats& stats, const net::PeerStrikes& peers,
               std::map<std::string, std::uint64_t>& to) {
  for (const auto& named : kLimits) to["limit_" + std::string(named.name)] = stats.Limit(named.limit);
  for (const auto& named : kPeerLimits) to["limit_" + std::string(named.name)] = peers.Of(named.limit).times;
}

void LimitReport::Log(const net::HttpStats& stats, const net::PeerStrikes& peers) {
  for (const auto& named : kLimits) {
    LogStrikes(named, stats.Limit(named.limit), known_[static_cast<std::size_t>(named.limit)], {});
  }
  for (const auto& named : kPeerLimits) {
    const net::PeerStrikes::Count count = peers.Of(named.limit);
    LogStrikes(named, count.times, known_of_peers_[static_cast<std::size_t>(named.limit)],
               count.last.to_string());
  }
}

}  // namespace msfl::server
