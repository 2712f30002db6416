#include "server/advertised.h"

#include <algorithm>
#include <boost/asio/ip/address.hpp>
#include <optional>

namespace msfl::server {
namespace {

using boost::asio::ip::address;

std::optional<address> AsAddress(const std::string& host) {
  boost::system::error_code failed;
  const address ip = boost::asio::ip::make_address(host, failed);
  if (failed) return std::nullopt;
  return ip;
}

bool IsWildcard(const std::string& host) {
  const std::optional<address> ip = AsAddress(host);
  return ip && ip->is_unspecified();
}

// A part of the node's row and of a URL: nothing that would end either.
bool IsHostName(const std::string& host) {
  return !host.empty() && std::all_of(host.begin(), host.end(), [](unsigned char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '.' ||
           c == '-' || c == '_';
  });
}

std::string InUrl(const std::string& host) {
  const std::optional<address> ip = AsAddress(host);
  if (!ip) return host;
  return ip->is_v6() ? "[" + ip->to_string() + "]" : ip->to_string();
}

// `bound` is the value of the option `name`.
Result<std::string> HostFor(const char* name, const std::string& bound, const std::string& advertised) {
  if (!IsWildcard(bound)) return InUrl(bound);
  if (!advertised.empty()) return InUrl(advertised);
  return Error{Errc::kInvalidArgument,
               std::string("The ") + name + " '" + bound +
                   "' means every address of this machine, which tells others nothing. "
                   "Set the address to advertise: a host name or an IP address"};
}

}  // namespace

Result<Advertised> Advertise(const ServerOptions& options) {
  const std::string& wanted = options.advertise_host;
  if (!wanted.empty() && (IsWildcard(wanted) || (!AsAddress(wanted) && !IsHostName(wanted)))) {
    return Error{Errc::kInvalidArgument,
                 "Others can't reach this Server at '" + wanted +
                     "': the address to advertise is a host name or an IP address, without port or brackets"};
  }
  const Result<std::string> tcp = wanted.empty() ? HostFor("tcp_server_ip", options.tcp_server_ip, wanted)
                                                 : Result<std::string>(InUrl(wanted));
  if (!tcp) return tcp.error();
  const Result<std::string> http = HostFor("http_server_address", options.http_host, wanted);
  if (!http) return http.error();
  return Advertised{*tcp, *http};
}

}  // namespace msfl::server
