#include "server/limit_report.h"

#include <string_view>

#include "base/log.h"

namespace msfl::server {
namespace {

struct Named {
  std::string_view name;  // in the metrics
  net::HttpLimit limit;
  std::string_view what;  // empty: daily business, not logged
  std::string_view key;
};

constexpr Named kLimits[] = {
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

}  // namespace

void AddLimits(const net::HttpStats& stats, std::map<std::string, std::uint64_t>& to) {
  for (const Named& named : kLimits) to["limit_" + std::string(named.name)] = stats.Limit(named.limit);
}

void LimitReport::Log(const net::HttpStats& stats) {
  for (const Named& named : kLimits) {
    std::uint64_t& known = known_[static_cast<std::size_t>(named.limit)];
    const std::uint64_t now = stats.Limit(named.limit);
    if (now > known && !named.what.empty()) {
      MSFL_LOG(kWarning, "A limit has struck: " << named.what << " (" << named.key << "), " << now - known
                                                << (now - known == 1 ? " time, " : " times, ") << now
                                                << " since the start");
    }
    known = now;
  }
}

}  // namespace msfl::server
