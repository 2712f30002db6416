#include <algorithm>
#include <charconv>
#include <optional>
#include <utility>

#include "cache/redis_client.h"

namespace msfl::cache {
namespace {

constexpr std::size_t kLongestSocketPath = 107;  // sun_path with its final zero
constexpr std::size_t kMostPlaces = 64;
constexpr std::uint16_t kSentinelPort = 26379;
constexpr std::string_view kSentinelScheme = "sentinel://";
constexpr char kAllowed[] =
    "allowed are host:port, [v6]:port, redis://[user[:password]@]host[:port][/database], several of these, "
    "with commas between their hosts, for a Redis Cluster, and unix:/path";

Error Invalid(std::string text, const std::string& why) {
  // What stands before '@' may be a password, and so may what stands behind '?'.
  text = text.substr(0, text.find('?', text.rfind('@') == std::string::npos ? 0 : text.rfind('@')));
  const bool secret = text.find('@') != std::string::npos;
  return Error{Errc::kInvalidArgument, "The distributed cache address '" +
                                           (secret ? "..." + text.substr(text.rfind('@')) : text) + "' " +
                                           why + "; " + kAllowed};
}

template <class Number>
std::optional<Number> ParseNumber(std::string_view text, std::uint64_t least, std::uint64_t most) {
  std::uint64_t number = 0;
  const auto [end, fault] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (fault != std::errc() || end != text.data() + text.size() || number < least || number > most) return {};
  return static_cast<Number>(number);
}

std::optional<std::string> DecodePercent(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out += text[i];
      continue;
    }
    unsigned value = 0;
    if (i + 2 >= text.size()) return {};
    const char* first = text.data() + i + 1;
    const auto [end, fault] = std::from_chars(first, first + 2, value, 16);
    if (fault != std::errc() || end != first + 2) return {};
    out += static_cast<char>(value);
    i += 2;
  }
  return out;
}

// host:port, host, [v6]:port or [v6]; nullptr, or what is wrong.
const char* ParseHostPort(std::string_view text, bool port_required, RedisPlace& out) {
  std::string_view port;
  bool has_port = false;
  if (text.starts_with('[')) {
    const auto close = text.find(']');
    if (close == std::string_view::npos) return "has '[' without ']'";
    out.host = text.substr(1, close - 1);
    const auto rest = text.substr(close + 1);
    has_port = !rest.empty();
    if (has_port && rest.front() != ':') return "has something other than a port after ']'";
    if (has_port) port = rest.substr(1);
  } else {
    const auto colon = text.find(':');
    if (colon != text.rfind(':')) return "has more than one ':' (an IPv6 address stands in brackets)";
    has_port = colon != std::string_view::npos;
    out.host = text.substr(0, colon);
    if (has_port) port = text.substr(colon + 1);
  }
  if (out.host.empty()) return "has no host";
  if (out.host.find_first_of(" /\t\r\n") != std::string::npos) return "has a host that can't be one";
  if (!has_port) return port_required ? "has no port" : nullptr;
  const auto number = ParseNumber<std::uint16_t>(port, 1, 65535);
  if (!number) return "has a port that is not in [1, 65535]";
  out.port = *number;
  return nullptr;
}

const char* ParsePlaces(std::string_view text, bool port_required, std::uint16_t port, RedisAddress& out) {
  std::size_t count = 0;
  while (true) {
    const auto comma = text.find(',');
    RedisPlace place;
    place.port = port;
    if (const char* why = ParseHostPort(text.substr(0, comma), port_required, place)) return why;
    if (count++ == 0) {
      out.host = std::move(place.host);
      out.port = place.port;
    } else {
      out.others.push_back(std::move(place));
    }
    if (comma == std::string_view::npos) return nullptr;
    if (count == kMostPlaces) return "has too many hosts";
    text = text.substr(comma + 1);
  }
}

// master=name, user=name and password=word, joined by '&'; nullptr, or what is wrong.
const char* ParseSentinelOptions(std::string_view text, RedisAddress& out) {
  while (!text.empty()) {
    const auto end = text.find('&');
    const std::string_view option = text.substr(0, end);
    text = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
    const auto equals = option.find('=');
    if (equals == std::string_view::npos) return "has an option without '='";
    const std::string_view name = option.substr(0, equals);
    const auto value = DecodePercent(option.substr(equals + 1));
    if (!value) return "has an option with a malformed percent escape";
    if (name == "master") {
      out.master = *value;
    } else if (name == "user") {
      out.sentinel_user = *value;
    } else if (name == "password") {
      out.sentinel_password = *value;
    } else {
      return "has an unknown option";
    }
  }
  return out.master.empty() ? "does not name the master" : nullptr;
}

std::string Display(const std::string& host, std::uint16_t port) {
  const bool v6 = host.find(':') != std::string::npos;
  return (v6 ? "[" + host + "]" : host) + ":" + std::to_string(port);
}

}  // namespace

Result<RedisAddress> RedisAddress::Parse(const std::string& text) {
  RedisAddress address;
  if (text.starts_with("unix:")) {
    address.socket_path = text.substr(5);
    if (address.socket_path.starts_with("//")) address.socket_path.erase(0, 2);  // unix:///path
    if (!address.socket_path.starts_with('/')) return Invalid(text, "has no absolute path");
    if (address.socket_path.size() > kLongestSocketPath) {
      return Invalid(text, "has a path longer than " + std::to_string(kLongestSocketPath) + " bytes");
    }
    return address;
  }
  if (text.starts_with("rediss://")) return Invalid(text, "asks for TLS, which this build does not have");
  const bool sentinels = text.starts_with(kSentinelScheme);
  if (!sentinels && !text.starts_with("redis://")) {
    if (text.find("://") != std::string::npos) return Invalid(text, "has an unknown scheme");
    if (const char* why = ParsePlaces(text, true, 0, address)) return Invalid(text, why);
    return address;
  }
  std::string_view rest = std::string_view(text).substr(sentinels ? kSentinelScheme.size() : 8);
  if (sentinels) {
    const auto options = rest.rfind('?');  // percent signs keep it out of the words before it
    if (options == std::string_view::npos) return Invalid(text, "does not name the master");
    if (const char* why = ParseSentinelOptions(rest.substr(options + 1), address)) return Invalid(text, why);
    rest = rest.substr(0, options);
  }
  if (const auto at = rest.rfind('@'); at != std::string_view::npos) {
    const auto who = rest.substr(0, at);
    rest = rest.substr(at + 1);
    const auto colon = who.find(':');
    const auto user = DecodePercent(who.substr(0, colon));
    const auto password =
        DecodePercent(colon == std::string_view::npos ? std::string_view() : who.substr(colon + 1));
    if (!user || !password) return Invalid(text, "has a user or password with a malformed percent escape");
    address.user = *user;
    address.password = *password;
  }
  if (const auto slash = rest.find('/'); slash != std::string_view::npos) {
    const auto database = rest.substr(slash + 1);
    rest = rest.substr(0, slash);
    if (!database.empty()) {
      const auto number = ParseNumber<int>(database, 0, 1'000'000);
      if (!number) return Invalid(text, "has a database that is not in [0, 1000000]");
      address.database = *number;
    }
  }
  const std::uint16_t port = sentinels ? kSentinelPort : 6379;
  if (const char* why = ParsePlaces(rest, false, port, address)) return Invalid(text, why);
  return address;
}

std::string RedisAddress::ForDisplay() const {
  if (!socket_path.empty()) return "unix:" + socket_path;
  std::string text = Display(host, port);
  for (const RedisPlace& other : others) text += "," + Display(other.host, other.port);
  if (database != 0) text += "/" + std::to_string(database);
  if (!master.empty()) text += " (sentinels of " + master + ")";
  return text;
}

}  // namespace msfl::cache
