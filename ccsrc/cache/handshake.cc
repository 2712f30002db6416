#include "cache/handshake.h"

#include <boost/asio/error.hpp>

namespace msfl::cache {
namespace {

std::string Cache(const RedisAddress& address) {
  return "the distributed cache at " + address.ForDisplay() + ": ";
}

}  // namespace

std::vector<std::vector<std::string>> Greeting(const RedisAddress& address) {
  std::vector<std::vector<std::string>> commands;
  if (!address.user.empty()) {
    commands.push_back({"AUTH", address.user, address.password});
  } else if (!address.password.empty()) {
    commands.push_back({"AUTH", address.password});
  }
  if (address.database != 0) commands.push_back({"SELECT", std::to_string(address.database)});
  commands.push_back({"PING"});
  return commands;
}

ConnectFault OpenFault(const RedisAddress& address, const boost::system::error_code& fault) {
  if (fault == asio::error::operation_aborted) return SilenceFault(address, fault);
  ConnectFault answer;
  answer.error = Error{Errc::kCacheUnavailable, Cache(address) + fault.message()};
  // A Redis that is just being started has no socket file yet.
  answer.not_yet = fault == boost::system::errc::connection_refused ||
                   fault == boost::system::errc::no_such_file_or_directory;
  return answer;
}

std::optional<ConnectFault> GreetingFault(const RedisAddress& address, const std::string& command,
                                          const Reply& reply) {
  if (reply.error) {
    ConnectFault answer;
    const Errc code = ClassifyRedisError(reply.value.text);
    answer.error = Error{code, Cache(address) + command + " was answered by '" + reply.value.text + "'"};
    answer.not_yet = code == Errc::kCacheUnavailable;
    return answer;
  }
  if (reply.value.kind == RedisValue::Kind::kText) return std::nullopt;
  return ProtocolFault(address, command + " was answered by something that is no text");
}

ConnectFault SilenceFault(const RedisAddress& address, const boost::system::error_code& fault) {
  ConnectFault answer;
  answer.error.code = Errc::kCacheUnavailable;
  const bool timeout = fault == asio::error::operation_aborted || fault == asio::error::bad_descriptor;
  answer.error.text =
      Cache(address) +
      (timeout ? std::string("no answer before the deadline")
               : "closed by the other side, which may expect TLS or not be Redis (" + fault.message() + ")");
  return answer;
}

ConnectFault ProtocolFault(const RedisAddress& address, const std::string& why) {
  ConnectFault answer;
  answer.error =
      Error{Errc::kCacheRefused, Cache(address) + "what listens there does not speak as Redis: " + why};
  return answer;
}

}  // namespace msfl::cache
