#include "net/peer_address.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <utility>

namespace msfl::net {

namespace {

constexpr std::size_t kMaxHostCharacters = 255;

std::optional<std::uint16_t> ParsePort(std::string_view text) {
  std::uint16_t port = 0;
  const char* const end = text.data() + text.size();
  const auto [stopped, fault] = std::from_chars(text.data(), end, port);
  if (fault != std::errc() || stopped != end || port == 0) return std::nullopt;
  return port;
}

bool IsHost(std::string_view host) {
  const auto acceptable = [](char c) { return c > ' ' && c < 0x7F && c != '[' && c != ']' && c != '/'; };
  return !host.empty() && host.size() <= kMaxHostCharacters && std::ranges::all_of(host, acceptable);
}

}  // namespace

Result<PeerAddress> PeerAddress::Parse(std::string_view text) {
  const Error refused{Errc::kInvalidArgument, "'" + std::string(text.substr(0, kMaxHostCharacters)) +
                                                  "' is no address of a Server; it has to be ip:port, "
                                                  "[v6]:port or name:port"};
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return refused;
  std::string_view host = text.substr(0, colon);
  const bool bracketed = host.size() > 2 && host.front() == '[' && host.back() == ']';
  if (bracketed) host = host.substr(1, host.size() - 2);
  const std::optional<std::uint16_t> port = ParsePort(text.substr(colon + 1));
  if (!port || !IsHost(host) || (host.find(':') != std::string_view::npos) != bracketed) return refused;
  PeerAddress address;
  address.host = host;
  address.port = *port;
  return address;
}

}  // namespace msfl::net
