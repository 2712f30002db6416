#include "cache/handshake.h"

#include <boost/asio/error.hpp>
#include <charconv>

namespace msfl::cache {
namespace {

std::string Name(const Target& target) {
  const std::string who =
      target.kind == PlaceKind::kSentinel ? "the sentinel at " : "the distributed cache at ";
  return who + target.address.ForDisplay() + ": ";
}

ConnectFault Fault(const Target& target, Errc code, const std::string& why, bool not_yet) {
  ConnectFault answer;
  answer.error = Error{code, Name(target) + why};
  answer.not_yet = not_yet;
  return answer;
}

std::uint16_t Port(const std::string& text) {
  std::uint16_t number = 0;
  const auto [end, fault] = std::from_chars(text.data(), text.data() + text.size(), number);
  return fault == std::errc() && end == text.data() + text.size() ? number : std::uint16_t{0};
}

std::optional<ConnectFault> MasterFault(const Target& target, const Reply& reply) {
  const auto& words = reply.value.array;
  if (reply.value.kind == RedisValue::Kind::kNil) {
    return Fault(target, Errc::kCacheRefused, "it knows no master '" + target.master + "'", false);
  }
  if (words.size() != 2 || words[0].text.empty() || Port(words[1].text) == 0) {
    return ProtocolFault(target, "it was asked for a master and answers something that is no address");
  }
  return std::nullopt;
}

std::optional<ConnectFault> RoleFault(const Target& target, const Reply& reply) {
  const auto& words = reply.value.array;
  if (words.empty()) return ProtocolFault(target, "ROLE was answered by something that is no list");
  if (words[0].text == "master") return std::nullopt;
  // Sentinels name it until a new master is there.
  return Fault(target, Errc::kCacheUnavailable, "it is a " + words[0].text + ", not a master", true);
}

}  // namespace

std::vector<std::vector<std::string>> Greeting(const Target& target) {
  const RedisAddress& address = target.address;
  std::vector<std::vector<std::string>> commands;
  if (!address.user.empty()) {
    commands.push_back({"AUTH", address.user, address.password});
  } else if (!address.password.empty()) {
    commands.push_back({"AUTH", address.password});
  }
  if (target.kind == PlaceKind::kSentinel) {
    commands.push_back({"SENTINEL", "GET-MASTER-ADDR-BY-NAME", target.master});
    return commands;
  }
  if (address.database != 0) commands.push_back({"SELECT", std::to_string(address.database)});
  commands.push_back({"PING"});
  if (target.kind == PlaceKind::kMaster) commands.push_back({"ROLE"});
  if (target.kind == PlaceKind::kClusterNode) commands.push_back({"CLUSTER", "INFO"});
  return commands;
}

ConnectFault OpenFault(const Target& target, const boost::system::error_code& fault) {
  if (fault == asio::error::operation_aborted) return SilenceFault(target, fault);
  // A Redis that is just being started has no socket file yet.
  const bool not_yet = fault == boost::system::errc::connection_refused ||
                       fault == boost::system::errc::no_such_file_or_directory;
  return Fault(target, Errc::kCacheUnavailable, fault.message(), not_yet);
}

std::optional<ConnectFault> GreetingFault(const Target& target, const std::string& command,
                                          const Reply& reply) {
  if (reply.error) {
    const std::string& text = reply.value.text;
    // Whoever may not ask for it has to believe.
    if ((command == "ROLE" || command == "CLUSTER") && text.starts_with("NOPERM")) return std::nullopt;
    if (command == "CLUSTER") {
      return Fault(target, Errc::kCacheRefused,
                   "several addresses are for the nodes of a Redis Cluster, which it is not: '" + text + "'",
                   false);
    }
    const Errc code = ClassifyRedisError(text);
    return Fault(target, code, command + " was answered by '" + text + "'", code == Errc::kCacheUnavailable);
  }
  if (command == "SENTINEL") return MasterFault(target, reply);
  if (command == "ROLE") return RoleFault(target, reply);
  if (reply.value.kind == RedisValue::Kind::kText) return std::nullopt;
  return ProtocolFault(target, command + " was answered by something that is no text");
}

ConnectFault SilenceFault(const Target& target, const boost::system::error_code& fault) {
  const bool timeout = fault == asio::error::operation_aborted || fault == asio::error::bad_descriptor;
  return Fault(
      target, Errc::kCacheUnavailable,
      timeout ? std::string("no answer before the deadline")
              : "closed by the other side, which may expect TLS or not be Redis (" + fault.message() + ")",
      false);
}

ConnectFault ProtocolFault(const Target& target, const std::string& why) {
  return Fault(target, Errc::kCacheRefused, "what listens there does not speak as Redis: " + why, false);
}

RedisPlace MasterIn(const Reply& reply) {
  return RedisPlace(reply.value.array[0].text, Port(reply.value.array[1].text));
}

}  // namespace msfl::cache
