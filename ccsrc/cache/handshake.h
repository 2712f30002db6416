// Opening a connection: transport, AUTH, SELECT, and a PING that tells Redis from anything else that listens
// there. Of a sentinel: AUTH, and the question for the master.
#pragma once

#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/asio/write.hpp>
#include <optional>
#include <string>
#include <vector>

#include "cache/command_pipeline.h"
#include "cache/redis_client.h"
#include "cache/reply_reader.h"
#include "cache/transport.h"
#include "cache/whereabouts.h"

namespace msfl::cache {

struct ConnectFault {
  Error error;
  bool not_yet = false;  // nobody listens, or Redis is still loading: worth another try
};

// What came of a handshake.
struct Encounter {
  std::optional<ConnectFault> fault;
  std::optional<RedisPlace> named;  // the master, by a sentinel
};

// The words to send first, one command each.
std::vector<std::vector<std::string>> Greeting(const Target& target);
// Of what an Open() answered, and of a reply to the greeting; nothing when it is fine.
ConnectFault OpenFault(const Target& target, const boost::system::error_code& fault);
std::optional<ConnectFault> GreetingFault(const Target& target, const std::string& command,
                                          const Reply& reply);
ConnectFault SilenceFault(const Target& target, const boost::system::error_code& fault);
ConnectFault ProtocolFault(const Target& target, const std::string& why);
inline constexpr std::size_t kMostGreeting = 1 << 20;  // bytes; ROLE lists all replicas
// The master in a sentinel's answer that GreetingFault() has found fine.
RedisPlace MasterIn(const Reply& reply);

// The caller ends it by closing the socket when connect_timeout is over.
template <class Transport>
Task<Encounter> Establish(typename Transport::Socket& socket, const Target& target) {
  Encounter met;
  boost::system::error_code fault = co_await Transport::Open(socket, target.address);
  if (fault) {
    met.fault = OpenFault(target, fault);
    co_return met;
  }
  const auto greeting = Greeting(target);
  OutputBuffer output;
  for (const auto& words : greeting) {
    const std::vector<std::string_view> views(words.begin(), words.end());
    output.AppendWords(views);
  }
  co_await asio::async_write(socket, asio::buffer(output.data(), output.size()),
                             asio::redirect_error(kAwait, fault));
  if (fault) {
    met.fault = SilenceFault(target, fault);
    co_return met;
  }
  ReplyReader reader;
  Reply reply;
  std::array<char, 1024> bytes;
  std::size_t received = 0;
  for (std::size_t answered = 0; answered < greeting.size();) {
    const ReplyReader::Step step = reader.Next(reply);
    if (step == ReplyReader::Step::kBroken) {
      met.fault = ProtocolFault(target, reader.fault());
      co_return met;
    }
    if (step == ReplyReader::Step::kReply) {
      met.fault = GreetingFault(target, greeting[answered].front(), reply);
      if (met.fault) co_return met;
      ++answered;
      continue;
    }
    if (received > kMostGreeting) {
      met.fault = ProtocolFault(target, "its greeting has no end");
      co_return met;
    }
    const std::size_t size =
        co_await socket.async_read_some(asio::buffer(bytes), asio::redirect_error(kAwait, fault));
    if (fault) {
      met.fault = SilenceFault(target, fault);
      co_return met;
    }
    received += size;
    reader.Feed(bytes.data(), size);
  }
  if (target.kind == PlaceKind::kSentinel) met.named = MasterIn(reply);
  co_return met;
}

}  // namespace msfl::cache
